"""Replies kept for good, each under the hash of everything that it is an answer to."""

from __future__ import annotations

import json
import sqlite3
import threading
from pathlib import Path
from typing import Any

from serxbench.cache_files import cache_folder, open_cache
from serxbench.errors import RunError

#: Raised by one when a change makes older entries unreadable; they are then asked again.
_SCHEMA = 1


def usual_cache() -> Path:
    """The cache's file where nothing else is said.

    >>> usual_cache().name
    'llm.sqlite'
    """
    return cache_folder() / "llm.sqlite"


class Cache:
    """A file of replies that several threads and processes may use at once. A reply is there whole or not at all."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        columns = "replies (key TEXT PRIMARY KEY, schema INTEGER, reply TEXT)"
        self._connection = open_cache(path, columns, advice="name another with --llm-cache")

    def find(self, key: str) -> dict[str, Any] | None:
        """The reply under `key`, None if there is none. Raises RunError."""
        try:
            with self._lock:
                row = self._connection.execute("SELECT schema, reply FROM replies WHERE key = ?", (key,)).fetchone()
        except sqlite3.Error as error:
            raise RunError(f"{self.path}: cannot be read ({error})") from error
        if row is None or row[0] != _SCHEMA:
            return None
        reply: dict[str, Any] = json.loads(row[1])
        return reply

    def keep(self, key: str, reply: dict[str, Any]) -> None:
        """Adds a reply; one that another process has put there in the meantime stays. Raises RunError."""
        text = json.dumps(reply, ensure_ascii=False)
        try:
            with self._lock:
                self._connection.execute(
                    "INSERT INTO replies VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET schema = excluded.schema, "
                    "reply = excluded.reply WHERE schema != excluded.schema",
                    (key, _SCHEMA, text),
                )
        except sqlite3.Error as error:
            raise RunError(f"{self.path}: a reply cannot be kept ({error})") from error

    def close(self) -> None:
        """Lets go of the file."""
        with self._lock:
            self._connection.close()
