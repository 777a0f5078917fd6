"""Replies kept for good, each under the hash of everything that it is an answer to."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from pathlib import Path
from typing import Any

from serxbench.errors import RunError

#: Raised by one when a change makes older entries unreadable; they are then asked again.
_SCHEMA = 1


def usual_cache() -> Path:
    """The cache's file where nothing else is said: in SERXBENCH_CACHE, else in the user's folder for caches.

    >>> usual_cache().name
    'llm.sqlite'
    """
    named = os.environ.get("SERXBENCH_CACHE")
    if named:
        return Path(named).expanduser() / "llm.sqlite"
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "serxbench" / "llm.sqlite"


class Cache:
    """A file of replies that several threads and processes may use at once. A reply is there whole or not at all."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # A write-ahead log survives a kill at any moment, and costs no wait for the disk at each reply.
            self._connection = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, schema INTEGER, reply TEXT) WITHOUT ROWID"
            )
        except (sqlite3.Error, OSError) as error:
            raise RunError(f"{path}: is no usable cache of replies ({error}); name another with --llm-cache") from error

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
