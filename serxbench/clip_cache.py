"""What was computed of single clips, kept in the user's cache folder under path, size and time of change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from serxbench.cache_files import cache_folder, open_cache


class ClipCache:
    """One kind of result for many clips, in a file that several processes may use.

    kind: names what is kept and everything that moves it; another kind shares nothing with it.
    """

    def __init__(self, kind: str, path: Path | None = None) -> None:
        self._kind = kind
        path = path or cache_folder() / "clips.sqlite"
        self._connection = open_cache(path, "clips (key TEXT PRIMARY KEY, found TEXT)", advice="delete it")

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
