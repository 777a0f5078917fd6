"""What a reader should know of a curation, in markdown: counts, rates per emotion, and examples of each reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from serxbench.rationales.rules import MEANINGS, REASONS
from serxbench.stages.curate import Curation

_N_EXAMPLES = 3
_LONGEST_EXAMPLE = 400


def curation_report(curation: Curation, source: str) -> str:
    """The report. source: the name of the file that was curated. The same for the same rows."""
    return "\n".join(_lines(curation, source)) + "\n"


def _lines(curation: Curation, source: str) -> Iterator[str]:
    n, n_kept = len(curation.rows), curation.n_kept
    yield f"# Curation of {_cell(source)}\n"
    yield f"{n_kept} of {n} rationales are kept{_percent(n_kept, n)}.\n"
    yield "## Rejected\n"
    yield from _counts(curation.reasons, n, "A rationale may have several reasons.")
    yield "## Cut out\n"
    yield from _counts(curation.removed, n, "Rationales that lost something; kept if the rest stands on its own.")
    yield "## By emotion\n"
    yield "| emotion | kept | all | kept, % |\n|---|---|---|---|"
    for name, (kept, total) in curation.emotions.items():
        yield f"| {_cell(name)} | {kept} | {total} | {100 * kept / total:.1f} |"
    yield "\n## Examples\n"
    for reason in (reason for reason in REASONS if reason in curation.reasons):
        yield f"### {reason}: {MEANINGS[reason]}\n"
        rows = [row for row in curation.rows if reason in row["reasons"]]
        yield from (_example(row) for row in _spread(rows))
        yield ""
    yield "## How\n"
    yield from (f"- {name}: `{value}`" for name, value in curation.made_by.items())


def _counts(counts: Mapping[str, int], n: int, remark: str) -> Iterator[str]:
    if not counts:
        yield "None.\n"
        return
    yield f"{remark}\n\n| reason | rationales | of all, % | meaning |\n|---|---|---|---|"
    for reason in (reason for reason in REASONS if reason in counts):
        yield f"| {reason} | {counts[reason]} | {100 * counts[reason] / n:.1f} | {MEANINGS[reason]} |"
    yield ""


def _spread(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """A few rows, spread over the file."""
    n = min(_N_EXAMPLES, len(rows))
    return [rows[k * len(rows) // n] for k in range(n)]


def _example(row: Mapping[str, Any]) -> str:
    text = row.get("rationale_given") or row.get("rationale") or row.get("text") or ""
    found = "; ".join(map(str, row.get("details", ())))
    other = f"; like {row['duplicate_of']}" if "duplicate_of" in row else ""
    where = f"{row.get('id', '?')}, {row.get('emotion', '?')}{': ' + found if found else ''}{other}"
    return f"- {_cell(where)}\n\n      {_plain(str(text))}\n"


def _plain(text: str) -> str:
    """One line, shortened. It stands in an indented block, where nothing of it is read as markup."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_EXAMPLE else line[:_LONGEST_EXAMPLE] + " …"


def _cell(text: str) -> str:
    """Text from a file, harmless in a table and in a line of markdown."""
    line = _plain(text).replace("\\", "\\\\")
    for character in "|`*_[]<>#&":
        line = line.replace(character, "\\" + character)
    return line


def _percent(part: int, whole: int) -> str:
    return f" ({100 * part / whole:.1f} %)" if whole else ""
