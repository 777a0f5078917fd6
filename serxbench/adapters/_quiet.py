"""Keeping libraries off stderr."""

from __future__ import annotations


def hush_transformers() -> None:
    """Keeps transformers' own progress bars and advice off stderr, which belongs to the run's progress."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
