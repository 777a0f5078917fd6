"""Scores and comparisons as tables, or as JSON, on stdout."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from serxbench.cli._console import print_table
from serxbench.runs import Run

_HEADINGS = [
    "metric",
    "reference",
    "items",
    "score",
    "interval",
    "n",
    "coverage",
    "answered only",
    "prior guess",
    "majority",
    "annotator",
]


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
    control = f" (control: {system['control']})" if system.get("control") else ""
    click.echo(f"{system['display_name']}{control}, {form} form, on {where} ({corpus['n']} utterances)")
    print_table(_HEADINGS, [_row(row) for row in scores["scores"]])
    statuses = ", ".join(f"{n} {status}" for status, n in answers["statuses"].items())
    click.echo(f"answers: {statuses}; {answers['n_failed']} failed, {answers['n_unlisted_words']} unlisted words")
    if answers["n_audio_truncated"]:
        click.echo(f"audio: {answers['n_audio_truncated']} clips were longer than the model hears")
    _print_soft(scores["soft"])
    _print_references(scores["references"])
    _print_inference(scores["scores"])
    click.echo(f"signature: {scores['signature']['text']}")
    click.echo(f"run: {run.path}")


def _print_soft(soft: dict[str, Any]) -> None:
    if "reason" in soft:
        click.echo(f"soft labels: n/a ({soft['reason']})")
        return
    numbers = {name: _three(soft[name]) for name in soft}
    click.echo(
        f"soft labels: JSD {numbers['jsd']} (a perfect model {numbers['jsd_floor']}, other annotators "
        f"{numbers['jsd_panel']}) and cross-entropy {numbers['cross_entropy']} in bits, TV {numbers['tv']}, squared "
        f"distance {numbers['sqdist_unbiased']}; {soft['n']} items with votes"
    )


def _three(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.3f}"


def _print_references(known: dict[str, Any]) -> None:
    parts = []
    if known["individual_votes"]:
        parts.append(f"{known['mean_votes']:.2f} votes and {known['mean_union']:.2f} labels an item")
    if known["krippendorff_alpha"] is not None:
        parts.append(f"alpha {known['krippendorff_alpha']:.3f}")
    if known["consensus_agreement"]:
        agreement = known["consensus_agreement"]
        parts.append(f"our plurality is the released consensus on {agreement['agree']} of {agreement['total']}")
    excluded = known["excluded"]["mv"]
    left_out = "all items" if excluded is None else ", ".join(f"{n} {reason}" for reason, n in excluded.items())
    parts.append(f"left out of MV: {left_out or 'none'}")
    click.echo(f"references: {'; '.join(parts)}")


def _print_inference(rows: Sequence[dict[str, Any]]) -> None:
    row = next((row for row in rows if row.get("method")), None)
    if row is None:
        return
    clusters = f", {row['n_clusters']} {row['unit']}s" if row["n_clusters"] else ""
    effect = f", design effect {row['design_effect']:.2f}" if row["design_effect"] else ""
    how = f"{100 * row['level']:g} %, {row['method']}, unit {row['unit']}"
    click.echo(f"intervals: {how}{clusters}{effect} (first row)")
    for text in dict.fromkeys(caution["text"] for row in rows for caution in row.get("cautions", ())):
        click.echo(f"caution: {text}")


def _row(row: dict[str, Any]) -> list[str]:
    items = "strict majority" if row["subset"] == "strict" else "all"
    if row["value"] is None:
        return [row["metric"], reading(row), items, *["n/a"] * (len(_HEADINGS) - 3)]
    return [
        row["metric"],
        reading(row),
        items,
        percent(row["value"]),
        between(row),
        str(row["n"]),
        percent(row["coverage"]),
        percent(row["value_answered_only"]),
        percent(row["floors"]["prior"]),
        percent(row["floors"]["majority"]),
        percent(row["ceiling"]["human"]) if row["ceiling"] else "n/a",
    ]


def print_comparisons(found: dict[str, Any]) -> None:
    """A table of the comparisons, and what they mean."""
    rows = []
    for row in found["comparisons"]:
        head = [row["metric"], reading(row), "strict majority" if row["subset"] == "strict" else "all"]
        if row["difference"] is None:
            rows.append([*head, *["n/a"] * 7])
            continue
        values = [f"{100 * row['difference']:+.2f}", between(row), p_value(row["p_raw"]), p_value(row["p_adjusted"])]
        star = "*" if row["p_adjusted"] <= 1 - row["level"] else ""
        rows.append([*head, row["first"], row["second"], *values, star])
    headings = ["metric", "reference", "items", "first", "second", "difference", "interval", "p", "p adjusted", ""]
    print_table(headings, rows)
    counts = ", ".join(f"{name}: {n}" for name, n in found["items"]["of"].items())
    click.echo(f"items: {found['items']['n']} compared ({counts})")
    tested = [row for row in found["comparisons"] if row["difference"] is not None]
    if not tested:
        return
    one = tested[0]
    clusters = f" ({one['n_clusters']})" if one["n_clusters"] else ""
    effect = f", design effect {one['design_effect']:.2f} (first row)" if one["design_effect"] else ""
    click.echo(
        f"test: paired {one['test']}, whole {one['unit']}s{clusters} swapped, B = {one['n_resamples'] or 'closed form'}"
        f"{effect}; p adjusted by {one['adjustment']} over {one['family_size']} comparisons in each column"
    )
    against = f"compared with {found['baseline']}" if found["baseline"] else "all pairs, exploratory"
    click.echo(f"* adjusted p ≤ {1 - one['level']:.2f}; {against}; differences are first minus second")
    smallest = 100 * one["detectable_difference"]
    click.echo(f"smallest difference found 80 % of the time (first row): {smallest:.2f} points")
    for text in dict.fromkeys(caution["text"] for row in tested for caution in row["cautions"]):
        click.echo(f"caution: {text}")


def reading(row: dict[str, Any]) -> str:
    """How the references were read: MV, All, or a variant's name."""
    if row["reference"] == "mv":
        return "MV"
    return "All" if row["variant"] in ("credited_reference", "hit_rate") else str(row["variant"])


def between(row: dict[str, Any]) -> str:
    """An interval in percent."""
    if row.get("low") is None:
        return "n/a"
    return f"[{100 * row['low']:.2f}, {100 * row['high']:.2f}]"


def p_value(p: float) -> str:
    """A p value with as many digits as matter."""
    return f"{p:.4f}"


def percent(value: float | None) -> str:
    """A share in percent with two decimals, `n/a` for None."""
    return "n/a" if value is None else f"{100 * value:.2f}"
