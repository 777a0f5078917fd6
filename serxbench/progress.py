"""How a stage tells of its progress, whoever listens."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Listens to a stage."""

    def start(self, task: str, total: int, done: int) -> None:
        """`total` items in all, of which `done` were there already."""

    def advance(self, n: int, n_failed: int) -> None:
        """`n` more items are finished, `n_failed` of them without an answer."""

    def finish(self) -> None:
        """The task is over, well or not."""

    def say(self, message: str) -> None:
        """A remark for the user."""


class Silent:
    """Listens and says nothing."""

    def start(self, task: str, total: int, done: int) -> None:
        """Ignored."""

    def advance(self, n: int, n_failed: int) -> None:
        """Ignored."""

    def finish(self) -> None:
        """Ignored."""

    def say(self, message: str) -> None:
        """Ignored."""
