"""What a person sees: progress and remarks on stderr, tables on stdout."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from serxbench.progress import Progress, Silent


def listen(quiet: bool) -> Progress:
    """A listener for a stage: silent, a bar on a terminal, or a line now and then where stderr is a file."""
    if quiet:
        return Silent()
    return Bar() if sys.stderr.isatty() else Lines()


class Bar:
    """A progress bar with rate, time left and failures."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[failures]}"),
            console=self._console,
        )
        self._task: Any = None
        self._n_failed = 0

    def start(self, task: str, total: int, done: int) -> None:
        """Shows the bar."""
        self._n_failed = 0
        self._task = self._bar.add_task(task, total=total, completed=done, rate="", failures="")
        self._bar.start()

    def advance(self, n: int, n_failed: int) -> None:
        """Moves the bar."""
        self._n_failed += n_failed
        speed = self._bar.tasks[-1].speed
        self._bar.update(
            self._task,
            advance=n,
            rate=f"{speed:.1f}/s" if speed else "",
            failures=f"[red]{self._n_failed} failed[/red]" if self._n_failed else "0 failed",
        )

    def finish(self) -> None:
        """Leaves the bar as it is."""
        self._bar.stop()

    def say(self, message: str) -> None:
        """Prints above the bar."""
        self._console.print(message, markup=False, highlight=False)


class Lines:
    """For logs: a line at every tenth of the work."""

    def __init__(self) -> None:
        self._task, self._total, self._done, self._n_failed, self._next = "", 0, 0, 0, 0.0

    def start(self, task: str, total: int, done: int) -> None:
        """One line."""
        self._task, self._total, self._done, self._n_failed = task, total, done, 0
        self._next = done + total / 10
        there = f" ({done} there already)" if done else ""
        click.echo(f"{task}: {total} in all{there}", err=True)

    def advance(self, n: int, n_failed: int) -> None:
        """A line when the next tenth is reached."""
        self._done += n
        self._n_failed += n_failed
        if self._done >= self._next:
            self._next = self._done + self._total / 10
            click.echo(f"{self._task}: {self._done}/{self._total}, {self._n_failed} failed", err=True)

    def finish(self) -> None:
        """Nothing."""

    def say(self, message: str) -> None:
        """One line."""
        click.echo(message, err=True)


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]], title: str | None = None) -> None:
    """A plain table on stdout, columns aligned; numbers to the right."""
    if title:
        click.echo(title)
    widths = [max(len(row[n]) for row in (headings, *rows)) for n in range(len(headings))]
    for row in (headings, ["─" * width for width in widths], *rows):
        cells = [
            cell.rjust(width) if n and _is_numeric(cell) else cell.ljust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        click.echo("  ".join(cells).rstrip())


def _is_numeric(cell: str) -> bool:
    return cell in ("n/a", "–") or cell.replace(".", "", 1).isdigit()
