"""Folders that are there as a whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path


def write_folder(path: Path, write: Callable[[Path], None]) -> None:
    """Makes or replaces the folder `path` with what `write` puts into the folder that it is given."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)  # what a killed process left
    unfinished.mkdir(parents=True)
    write(unfinished)
    for written in (*unfinished.iterdir(), unfinished):
        handle = os.open(written, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    shutil.rmtree(path, ignore_errors=True)
    unfinished.replace(path)
