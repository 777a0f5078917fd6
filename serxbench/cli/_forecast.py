"""What `--dry-run` prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from serxbench.stages.backends import RespondRequest
    from serxbench.stages.dry_run import Forecast, Price


def print_forecast(request: RespondRequest, out: Path, as_json: bool) -> int:
    """Prints what would be asked; the exit code."""
    from serxbench.stages.dry_run import forecast

    found = forecast(request, out)
    if as_json:
        click.echo(json.dumps({"run": str(out), **found.to_dict()}, indent=1, ensure_ascii=False))
        return 0
    for name, value in _lines(found):
        click.echo(f"{name:<9}{value}")
    return 0


def _lines(found: Forecast) -> list[tuple[str, str]]:
    tokens = found.tokens
    audio = "an unknown number" if tokens.audio is None else f"{tokens.audio:,}"
    batches = "made up by the run" if found.batches is None else f"{found.batches:,} of at most {found.batch_size}"
    lines = [
        ("model", f"{found.model}, backend {found.backend}"),
        ("items", f"{found.n:,} of {found.corpus}; {found.n_unreadable} unreadable, {found.n_done:,} answered already"),
        ("audio", f"{found.audio_hours:.2f} hours"),
        ("tokens", f"about {tokens.prompt:,} of prompt, {audio} of audio, at most {tokens.answers:,} of answers"),
        ("batches", batches),
        ("workers", _workers(found)),
    ]
    if found.calls is not None:
        lines.append(("calls", f"{found.calls:,}, and a few to see that the sound arrives"))
    if found.price is not None:
        lines.append(("price", _price(found.price)))
    lines.append(("time", "n/a (the run folder has no timings)" if found.seconds is None else _duration(found.seconds)))
    return lines


def _price(price: Price) -> str:
    if price.dollars is None:
        return "unknown"
    aside = "hidden thinking and repeated requests aside"
    return f"at most ${price.dollars:,.2f}, {aside}, at the prices of {price.date} ({price.source})"


def _workers(found: Forecast) -> str:
    if found.ray is None:
        return "this process"
    gpus = f"{found.gpus_per_worker:g} GPU each" if found.gpus_per_worker else "on the CPU"
    return f"{found.workers} by Ray ({found.ray}), {gpus}"


def _duration(seconds: float) -> str:
    """In words: `about 3 h 05 min`."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"about {seconds:.0f} s"
    hours, minutes = divmod(minutes, 60)
    return f"about {hours} h {minutes:02} min" if hours else f"about {minutes} min"
