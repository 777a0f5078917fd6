"""Scores as a table or as JSON on stdout."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from serxbench.cli._console import print_table
from serxbench.runs import Run


def print_scores(scored: Sequence[tuple[Run, dict[str, Any]]], as_json: bool) -> None:
    """JSON is a list with one object a run: what scores.json holds, and the run's folder under `run`."""
    if as_json:
        rows = [{"run": str(run.path), **scores} for run, scores in scored]
        click.echo(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    for position, (run, scores) in enumerate(scored):
        if position:
            click.echo()
        _print_one(run, scores)


def _print_one(run: Run, scores: dict[str, Any]) -> None:
    system, corpus, answers = scores["system"], scores["corpus"], scores["answers"]
    form = f"{system['mode']}{' + CoT' if system['cot'] else ''}"
    where = f"{corpus['name']}{':' + corpus['split'] if corpus['split'] else ''}"
    click.echo(f"{system['display_name']}, {form} form, on {where} ({corpus['n']} utterances)")
    headings = ["metric", "reference", "items", "score", "n", "coverage", "answered only", "prior guess", "majority"]
    print_table(headings, [_row(row) for row in scores["scores"]])
    statuses = ", ".join(f"{n} {status}" for status, n in answers["statuses"].items())
    click.echo(f"answers: {statuses}; {answers['n_failed']} failed, {answers['n_unlisted_words']} unlisted words")
    if answers["n_audio_truncated"]:
        click.echo(f"audio: {answers['n_audio_truncated']} clips were longer than the model hears")
    click.echo(f"signature: {scores['signature']['text']}")
    click.echo(f"run: {run.path}")


def _row(row: dict[str, Any]) -> list[str]:
    reference = "MV" if row["reference"] == "mv" else "All"
    items = "strict majority" if row["subset"] == "strict" else "all"
    if row["value"] is None:
        return [row["metric"], reference, items, *["n/a"] * 6]
    return [
        row["metric"],
        reference,
        items,
        percent(row["value"]),
        str(row["n"]),
        percent(row["coverage"]),
        percent(row["value_answered_only"]),
        percent(row["floors"]["prior"]),
        percent(row["floors"]["majority"]),
    ]


def percent(value: float | None) -> str:
    """A share in percent with two decimals, `n/a` for None."""
    return "n/a" if value is None else f"{100 * value:.2f}"
