"""What was computed of single clips, kept in the user's cache folder under path, size and time of change."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

from serxbench.errors import RunError
from serxbench.llm._cache import usual_cache


class ClipCache:
    """One kind of result for many clips, in a file that several processes may use.

    kind: names what is kept and everything that moves it; another kind shares nothing with it.
    """

    def __init__(self, kind: str, path: Path | None = None) -> None:
        self._kind = kind
        path = path or usual_cache().with_name("clips.sqlite")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=60, isolation_level=None)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS clips (key TEXT PRIMARY KEY, found TEXT) WITHOUT ROWID"
            )
        except (sqlite3.Error, OSError) as error:
            raise RunError(f"{path}: is no usable cache ({error}); delete it") from error

    def find(self, clip: Path) -> Any:
        """What was kept for the clip as it is now, None if nothing was."""
        key = self._key(clip)
        row = key and self._connection.execute("SELECT found FROM clips WHERE key = ?", (key,)).fetchone()
        return json.loads(row[0]) if row else None

    def keep(self, clip: Path, found: Any) -> None:
        """Keeps a result, which must not be None, for the clip as it is now."""
        if key := self._key(clip):
            self._connection.execute("INSERT OR REPLACE INTO clips VALUES (?, ?)", (key, json.dumps(found)))

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()

    def _key(self, clip: Path) -> str | None:
        try:
            state = clip.stat()
        except OSError:
            return None
        return f"{self._kind}\0{clip.absolute()}\0{state.st_size}\0{state.st_mtime_ns}"
