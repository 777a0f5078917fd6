"""What `serxbench audit RUN...` prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from serxbench.cli._console import print_table
from serxbench.cli._report import between, p_value, percent, reading
from serxbench.stages.audit_readings import one_line

_KINDS = {
    "other_label": "another class",
    "first_only": "only the first commits",
    "second_only": "only the second commits",
    "other_status": "neither commits, for another reason",
}


def print_audit(found: Mapping[str, Any]) -> None:
    """Agreement, examples and scores of every run, then the comparisons between runs."""
    for position, report in enumerate(found["runs"]):
        if position:
            click.echo()
        _print_run(report)
    if found["comparisons"]:
        click.echo()
        _print_comparisons(found)


def _print_run(report: Mapping[str, Any]) -> None:
    system = report["system"]
    form = f"{system['mode']}{' + CoT' if system['cot'] else ''}"
    click.echo(f"{system['model']}, {form} form: {report['n']} answers, {report['n_distinct']} of them different")
    rows = [
        [each["parser"] + (" *" if each["parser"] == report["scored"] else ""), str(each["n_ok"]), _few(each["codes"])]
        for each in report["readings"]
    ]
    print_table(["parser", "committed", "readings"], rows)
    click.echo("* the one that is scored")
    for pair in report["agreement"]:
        _print_pair(pair)
    for name in report["not_stored"]:
        kept = " ".join(f"--parser {each['parser']}" for each in report["readings"] if not each["derived"])
        hint = f"serxbench parse {report['run']} {kept} --parser {name}"
        click.echo(f"what {name} reads on its own is not stored; to see it: {hint}", err=True)
    if "reason" in report:
        click.echo(f"scores: n/a ({report['reason']})")
    _print_scores(report["scores"])
    click.echo(f"run: {report['run']}")


def _few(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{code} {n}" for code, n in counts.items())


def _print_pair(pair: Mapping[str, Any]) -> None:
    click.echo(f"\n{pair['first']} against {pair['second']}")
    level = f"{100 * pair['level']:g} % interval over {pair['n_clusters']} different answers"
    click.echo(
        f"agreement {_with_limits(pair['agreement'], 100)} %; kappa {_with_limits(pair['kappa'])}, "
        f"AC1 {_with_limits(pair['ac1'])} ({level})"
    )
    kinds = "; ".join(f"{text} {pair['kinds'][kind]}" for kind, text in _KINDS.items() if pair["kinds"][kind])
    click.echo(f"{pair['kinds']['same']} of {pair['n']} read alike; {kinds or 'no difference'}")
    differing = [row for row in pair["routes"] if row["n_differ"]]
    if differing:
        rows = [[row["first"], row["second"], str(row["n"]), str(row["n_differ"])] for row in differing[:10]]
        print_table([f"route of {pair['first']}", f"route of {pair['second']}", "answers", "differ"], rows)
    if pair["examples"]:
        rows = [
            [str(each["n_same"]), _side(each["first"]), _side(each["second"]), each["id"], each["answer"]]
            for each in pair["examples"]
        ]
        print_table(["times", pair["first"], pair["second"], "first of them", "answer"], rows)


def _with_limits(found: Mapping[str, float | None] | None, times: float = 1) -> str:
    """A coefficient and its limits; `n/a` where there is none."""
    if found is None or found["value"] is None:
        return "n/a"
    digits = 2 if times > 1 else 3
    if found["low"] is None or found["high"] is None:
        return f"{times * found['value']:.{digits}f}"
    low, high = times * found["low"], times * found["high"]
    return f"{times * found['value']:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def _side(side: Mapping[str, Any]) -> str:
    word = one_line(side["word"] or "")[:30]
    return f"{side['code']} ({word})" if word and word.casefold() != side["code"].casefold() else str(side["code"])


def _print_scores(rows: list[Mapping[str, Any]]) -> None:
    told = []
    for row in rows:
        head = [row["metric"], reading(dict(row)), "strict majority" if row["subset"] == "strict" else "all"]
        if "reason" in row:
            told.append([*head, *["n/a"] * 6])
            continue
        for each in row["differences"]:
            values = [percent(row["values"][each[side]]) for side in ("first", "second")]
            difference = f"{100 * each['difference']:+.2f}"
            told.append([*head, each["first"], each["second"], *values, difference, between(dict(each))])
    if told:
        click.echo("\nscores under each reading; differences are first minus second")
        headings = ["metric", "reference", "items", "first", "second", "score", "score", "difference", "interval"]
        print_table(headings, told)


def _print_comparisons(found: Mapping[str, Any]) -> None:
    click.echo(
        "comparisons of runs under each reading; differences are first minus second, * adjusted p below the level"
    )
    rows = []
    for row in found["comparisons"]:
        head = [row["metric"], reading(dict(row)), "strict majority" if row["subset"] == "strict" else "all"]
        if "reason" in row:
            rows.append([*head, *["n/a"] * 5])
            continue
        for parser, told in row["by_parser"].items():
            star = " *" if told["starred"] else ""
            values = [f"{100 * told['difference']:+.2f}{star}", between(told), p_value(told["p_adjusted"])]
            rows.append([*head, row["first"], row["second"], parser, *values, ", ".join(row["changes"])])
    headings = ["metric", "reference", "items", "first", "second", "parser", "difference", "interval", "p adjusted"]
    print_table([*headings, "changes"], rows)
    changing = sum(bool(row.get("changes")) for row in found["comparisons"])
    click.echo(f"comparisons whose sign or star depends on the parser: {changing} of {len(found['comparisons'])}")
