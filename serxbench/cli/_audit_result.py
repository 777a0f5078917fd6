"""What `serxbench audit score` prints, as markdown tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from serxbench.cli._report import between, p_value, percent, reading
from serxbench.stages.audit_readings import one_line


def print_result(found: Mapping[str, Any]) -> None:
    """The coders first, because nothing can be known better than they agree; then systems, scores, comparisons."""
    _print_coders(found)
    if found["systems"] is None:
        return
    if found["kind"] == "words":
        _print_words(found)
        return
    _print_errors(found)
    gate = found["gate"]
    if gate["passes"]:
        click.echo("\nGate passed: the scores may be read as the parser gives them.")
    else:
        click.echo(f"\nGate not passed, so that adjusted scores come first: {'; '.join(gate['reasons'])}.")
    _print_scores(found["systems"], adjusted_first=not gate["passes"])
    _print_comparisons(found["comparisons"])
    for system in found["systems"]:
        _print_confusion(system)
        _print_parsers(system)


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    click.echo(f"\n| {' | '.join(headings)} |\n|{'---|' * len(headings)}")
    for row in rows:
        click.echo(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |")


def _limits(part: Mapping[str, Any] | None) -> str:
    """A share in percent with its limits."""
    if part is None or part.get("value") is None:
        return "n/a"
    return f"{percent(part['value'])} {between(dict(part))}"


def _coefficient(part: Mapping[str, Any] | None) -> str:
    if part is None:
        return "n/a"
    limits = "" if part["low"] is None else f" [{part['low']:.3f}, {part['high']:.3f}]"
    return f"{part['value']:.3f}{limits}"


def _print_words(found: Mapping[str, Any]) -> None:
    words = found["words"]
    click.echo(f"\n{words['n_coded']} of {words['n']} words coded, which stand for {words['n_answers']} answers")
    rows = [
        [f"{each['name']} {each['model']}", each["clusterer"], _limits(each["by_word"]), _limits(each["by_answer"])]
        for each in found["systems"]
    ]
    _table(["system", "clusterer", "words mapped as people do %", "answers mapped so %"], rows)
    wrong = {
        (row["word"], row["mapped"], row["people"]): row["n"] for each in found["systems"] for row in each["wrong"]
    }
    if wrong:
        listed = [[one_line(word)[:60], str(n), mapped, people] for (word, mapped, people), n in wrong.items()]
        _table(["word", "answers", "mapped", "people"], listed)
    told = [row for row in found["scores"] if "values" in row]
    if told:
        maps = list(told[0]["values"])
        rows = [[row["system"], *_head(row), *(percent(row["values"][name]) for name in maps)] for row in told]
        _table(["system", "metric", "reference", "items", *maps], rows)
    for row in found["scores"]:
        if "reason" in row:
            click.echo(f"\n{row['system']}: no scores ({row['reason']})")


def _print_coders(found: Mapping[str, Any]) -> None:
    coders = found["coders"]
    alpha = "n/a" if coders["alpha"] is None else f"{coders['alpha']:.3f}"
    n, disputed = found["n_items"], found["n_disagreements"]
    click.echo(f"{n} different {found['kind']}, {disputed} disagreements, alpha {alpha}")
    rows = [
        [
            f"{pair['first']}, {pair['second']}",
            _limits(pair["agreement"]),
            _coefficient(pair["kappa"]),
            _coefficient(pair["ac1"]),
            *([_coefficient(pair["kappa_all_codes"])] if found["kind"] == "answers" else []),
        ]
        for pair in coders["pairs"]
    ]
    apart = ["kappa, reasons told apart"] if found["kind"] == "answers" else []
    _table(["coders", "agreement %", "kappa", "AC1", *apart], rows)


def _name(system: Mapping[str, Any]) -> str:
    form = f"{system['mode']}{' + CoT' if system['cot'] else ''}"
    return f"{system['name']} {system['model']}, {form}"


def _print_errors(found: Mapping[str, Any]) -> None:
    rows = []
    for system in found["systems"]:
        error, none = system["error"], system["none"]
        sampled = f"{error['n_errors']} of {error['n']}"
        parts = [_limits(error), _limits(none["precision"]), _limits(none["recall"])]
        rows.append([_name(system), system["parser"], str(system["n"]), sampled, *parts])
    headings = ["system", "parser", "answers", "misread in sample", "misread %", "none: precision %", "none: recall %"]
    _table(headings, rows)
    for each in found["differences"]:
        points = f"{100 * each['difference']:+.2f} points {between(each)}"
        click.echo(f"\nMisread, {each['first']} minus {each['second']}: {points}")


def _head(row: Mapping[str, Any]) -> list[str]:
    return [row["metric"], reading(dict(row)), "strict majority" if row["subset"] == "strict" else "all"]


def _print_scores(systems: Sequence[Mapping[str, Any]], *, adjusted_first: bool) -> None:
    rows = []
    for system in systems:
        for row in system["scores"]:
            if "reason" in row:
                values = ["n/a", "n/a", "n/a"]
            else:
                values = [f"{percent(row['value'])} {between(dict(row))}", percent(row["read"])]
                values = [*(values if adjusted_first else values[::-1]), f"{100 * row['se_parser']:.2f}"]
            rows.append([_name(system), *_head(row), *values])
        if "reason" in system:
            click.echo(f"\n{_name(system)}: no scores ({system['reason']})")
    names = ["adjusted", "as the parser reads"]
    if rows:
        names = names if adjusted_first else names[::-1]
        _table(["system", "metric", "reference", "items", *names, "SE from the parser"], rows)


def _print_comparisons(comparisons: Sequence[Mapping[str, Any]]) -> None:
    rows = []
    for row in comparisons:
        if "reason" in row:
            rows.append([*_head(row), *["n/a"] * 7])
            continue
        read, true = f"{100 * row['read']:+.2f}", f"{100 * row['value']:+.2f} {between(dict(row))}"
        values = [read, p_value(row["p_read"]), true, p_value(row["p"]), ", ".join(row["changes"])]
        rows.append([*_head(row), row["first"], row["second"], *values])
    if rows:
        headings = ["metric", "reference", "items", "first", "second", "as read", "p", "adjusted", "p", "changes"]
        _table(headings, rows)


def _print_confusion(system: Mapping[str, Any]) -> None:
    """Shares of each truth by reading, in percent of all answers of that truth, weighted back."""
    table = system["confusion"]
    click.echo(f"\n{_name(system)}: how the parser reads what an answer says, % of each row (sampled answers)")
    rows = []
    for code, shares, counts in zip(table["codes"], table["shares"], table["counts"], strict=True):
        if shares is not None:
            cells = [f"{100 * share:.1f} ({n})" if n else "" for share, n in zip(shares, counts, strict=True)]
            rows.append([code, *cells])
    _table(["says", *table["codes"]], rows)


def _print_parsers(system: Mapping[str, Any]) -> None:
    for pair in system["agreement"]:
        told = f"agreement {_limits(pair['agreement'])} %, kappa {_coefficient(pair['kappa'])}"
        click.echo(f"\n{_name(system)}, all answers, {pair['first']} against {pair['second']}: {told}")
