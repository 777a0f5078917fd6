"""The identity of what reads verdicts and makes questions: a judging under other code is another judging."""

from __future__ import annotations

import functools
import hashlib
from importlib import resources


@functools.cache
def code_sha256() -> str:
    """The hash of the modules of this package; it changes whenever what is asked, or what a reply decides, could."""
    digest = hashlib.sha256()
    modules = [entry for entry in resources.files("serxbench.judging").iterdir() if entry.name.endswith(".py")]
    for module in sorted(modules, key=lambda entry: entry.name):
        digest.update(module.name.encode() + b"\0" + module.read_bytes() + b"\0")
    return digest.hexdigest()
