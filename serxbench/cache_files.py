"""Where results are kept from command to command, and the SQLite files they are kept in."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from serxbench.errors import RunError


def cache_folder() -> Path:
    """The folder SERXBENCH_CACHE, else the one in the user's folder for caches."""
    named = os.environ.get("SERXBENCH_CACHE")
    return Path(named or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "serxbench").expanduser()


def open_cache(path: Path, table: str, *, advice: str) -> sqlite3.Connection:
    """The file at `path`, which several processes may use, with its table there; every write is committed at once.

    table: its name and columns, as behind CREATE TABLE. A thread that uses it beside others needs a lock.
    Raises RunError, with `advice` on what to do.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A write-ahead log survives a kill at any moment, and costs no wait for the disk at each entry.
        connection = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(f"CREATE TABLE IF NOT EXISTS {table} WITHOUT ROWID")
    except (sqlite3.Error, OSError) as error:
        kept = table.partition(" ")[0]
        raise RunError(f"{path}: is no usable cache of {kept} ({error}); {advice}") from error
    return connection
