"""scores.json of many runs → one markdown leaderboard in the shape of Table 1 of arXiv 2509.24187.

A row is a system, asked with or without chain of thought; a column is a form of the question × the items × the
reference. Runs on different corpora, splits or items stand in tables of their own. A run whose signature differs from
that of most runs of its table in anything but who was asked is marked.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from serxbench.signatures import differing_parts

Scores = Mapping[str, Any]

FORMS = ("open", "closed")

#: (reference, subset, heading) of the four columns of one form.
COLUMNS = (
    ("mv", "all", "MV"),
    ("all", "all", "All"),
    ("mv", "strict", "MV >.5"),
    ("all", "strict", "All >.5"),
)

#: Which score of which run: folder, reference, subset.
Cell = tuple[str, str, str]

STAR_LEVEL = 0.05

_MARKS = "†‡§¶‖"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One system: its scores in each form that was run.

    model: name and revision. control: what it got in place of the sound, in a control run.
    """

    name: str
    model: str
    control: str | None
    forms: Mapping[str, Scores]

    @property
    def label(self) -> str:
        """What stands in the table."""
        return f"↳ {self.name}, {self.control}" if self.control else self.name

    def rank_value(self) -> tuple[float, ...]:
        """Descending by the first column that there is; a system without a score comes last."""
        rows = (headline(scores, "mv", "all") for form in FORMS if (scores := self.forms.get(form)))
        return tuple(math.inf if row["value"] is None else -row["value"] for row in rows)


def leaderboard(runs: Sequence[Scores], comparisons: Sequence[Mapping[str, Any]] = ()) -> str:
    """The markdown text for the scores of some runs.

    comparisons: what serxbench.stages.compare found with a baseline, one a form at most; each score whose Holm-adjusted
    p is at most 0.05 gets a star. For that each of `runs` says its folder under `run`.
    """
    tables: dict[tuple[str, ...], list[Scores]] = {}
    for scores in runs:
        corpus = scores["corpus"]
        key = (corpus["name"], str(corpus["split"]), corpus["revision"], str(corpus["n"]))
        tables.setdefault(key, []).append(scores)
    stars = _stars(comparisons)
    parts = ["# Leaderboard", "", _LEGEND, ""]
    for members in tables.values():
        parts += _table(members, stars)
    return "\n".join([*parts, *_star_caption(comparisons)]).rstrip() + "\n"


def headline(scores: Scores, reference: str, subset: str) -> Mapping[str, Any]:
    """The macro-F1 row of scores.json for a reference and a subset."""
    wanted = ("macro_f1", reference, subset)
    found: Mapping[str, Any] = next(
        row for row in scores["scores"] if (row["metric"], row["reference"], row["subset"]) == wanted
    )
    return found


def _table(members: Sequence[Scores], stars: frozenset[Cell]) -> list[str]:
    corpus = members[0]["corpus"]
    marks = _Marks(_usual_signature(members))
    where = f"{corpus['name']}{', split ' + corpus['split'] if corpus['split'] else ''}"
    heading = f"## {where} ({corpus['n']} utterances, {len(corpus['labels'])} classes)"
    heads = [f"{form} {heading}" for form in FORMS for heading in (*(c[2] for c in COLUMNS), "coverage")]
    top = ["| # | system | " + " | ".join(heads) + " |", "|---:|---|" + "---:|" * len(heads)]
    lines = [heading, "", _plain(corpus["description"]), "", *top]
    rows = _ordered(_rows(members))
    n_ranked = 0
    for row in rows:
        n_ranked += row.control is None
        rank = f" {n_ranked} " if row.control is None else " "
        cells = [cell for form in FORMS for cell in _cells(row.forms.get(form), marks, stars)]
        lines.append(f"|{rank}| {_plain(row.label)} | " + " | ".join(cells) + " |")
    lines += [*_floor_rows(members[0]), "", *_item_lines(members[0]), *marks.explain(), ""]
    lines += ["<details><summary>Intervals</summary>", "", *top]
    for row in rows:
        cells = [cell for form in FORMS for cell in _intervals(row.forms.get(form))]
        lines.append(f"| | {_plain(row.label)} | " + " | ".join(cells) + " |")
    lines += ["", *_interval_lines(members), "", "</details>", "", "<details><summary>Signatures</summary>", ""]
    for row in rows:
        lines += [f"- {_plain(row.label)}, {form}: {_code(row.forms[form]['signature']['text'])}" for form in row.forms]
    return [*lines, "", "</details>", ""]


def _rows(members: Sequence[Scores]) -> list[Row]:
    """Open and closed runs of one system side by side; a second run of the same form gets a row of its own."""
    rows: list[Row] = []
    for scores in members:
        system = scores["system"]
        name, control = f"{system['display_name']}{' + CoT' if system['cot'] else ''}", system.get("control")
        model = scores["signature"]["parts"]["model"]
        for n, row in enumerate(rows):
            if (row.name, row.model, row.control) == (name, model, control) and system["mode"] not in row.forms:
                both = {**row.forms, system["mode"]: scores}
                rows[n] = replace(row, forms={form: both[form] for form in FORMS if form in both})
                break
        else:
            rows.append(Row(name=name, model=model, control=control, forms={system["mode"]: scores}))
    return rows


def _ordered(rows: Sequence[Row]) -> list[Row]:
    """The systems by score, each followed by its control runs; control runs of no system here come last."""
    ranked = sorted((row for row in rows if row.control is None), key=lambda row: (row.rank_value(), row.name))
    controls = sorted((row for row in rows if row.control is not None), key=lambda row: (row.name, str(row.control)))
    ordered = []
    for row in ranked:
        own = [each for each in controls if (each.name, each.model) == (row.name, row.model)]
        controls = [each for each in controls if each not in own]
        ordered += [row, *own]
    return [*ordered, *controls]


def _cells(scores: Scores | None, marks: _Marks, stars: frozenset[Cell]) -> list[str]:
    if scores is None:
        return ["–"] * (len(COLUMNS) + 1)
    mark = marks.mark(scores)
    cells = []
    for reference, subset, _ in COLUMNS:
        row = headline(scores, reference, subset)
        star = "\\*" if (str(scores.get("run")), reference, subset) in stars else ""
        cells.append("n/a" if row["value"] is None else f"{100 * row['value']:.2f}{star}{mark}")
    return [*cells, f"{100 * scores['answers']['coverage']:.1f}"]


def _intervals(scores: Scores | None) -> list[str]:
    if scores is None:
        return ["–"] * (len(COLUMNS) + 1)
    rows = [headline(scores, reference, subset) for reference, subset, _ in COLUMNS]
    return [*("n/a" if r.get("low") is None else f"[{100 * r['low']:.2f}, {100 * r['high']:.2f}]" for r in rows), ""]


def _interval_lines(members: Sequence[Scores]) -> list[str]:
    """How the intervals were made, and every caution once."""
    rows = [headline(scores, "mv", "all") for scores in members]
    made = {(row["method"], row["unit"], row["n_clusters"]) for row in rows if row.get("method")}
    lines = [f"- {method}, unit {unit}{f' ({n})' if n else ''}" for method, unit, n in sorted(made, key=str)]
    texts = dict.fromkeys(caution["text"] for row in rows for caution in row.get("cautions", ()))
    return [*lines, *(f"- caution: {_plain(text)}" for text in texts)]


def _stars(comparisons: Sequence[Mapping[str, Any]]) -> frozenset[Cell]:
    """The cells whose difference to the baseline has an adjusted p of at most 0.05."""
    return frozenset(
        (row["first"], row["reference"], row["subset"])
        for found in comparisons
        for row in found["comparisons"]
        if row["metric"] == "macro_f1" and row["difference"] is not None and row["p_adjusted"] <= STAR_LEVEL
    )


def _star_caption(comparisons: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = []
    for found in comparisons:
        row = next((row for row in found["comparisons"] if row["difference"] is not None), None)
        if row is not None:
            against, test = found["runs"][found["baseline"]], f"paired {row['test']} of whole {row['unit']}s"
            lines.append(
                f"\\* {against['mode']} form: differs from {_plain(against['model'])} "
                f"({_code(str(found['baseline']))}), {test}, B = {row['n_resamples']}, Holm-adjusted p ≤ {STAR_LEVEL} "
                f"over {row['family_size']} comparisons in each column."
            )
    return lines


def _usual_signature(members: Sequence[Scores]) -> Mapping[str, str]:
    """The signature that most runs of a table share, beyond who was asked what."""
    parts = [scores["signature"]["parts"] for scores in members]
    votes = Counter(tuple(not differing_parts(one, other) for other in parts).count(True) for one in parts)
    most = max(votes)
    return next(one for one in parts if [not differing_parts(one, other) for other in parts].count(True) == most)


class _Marks:
    """Hands out †, ‡, … to signatures that differ from the usual one, and explains them."""

    def __init__(self, usual: Mapping[str, str]) -> None:
        self._usual = usual
        self._given: dict[str, str] = {}

    def mark(self, scores: Scores) -> str:
        parts = scores["signature"]["parts"]
        differing = differing_parts(parts, self._usual)
        if not differing:
            return ""
        what = ", ".join(f"{part} {parts.get(part)} instead of {self._usual[part]}" for part in differing)
        if what not in self._given:
            n = len(self._given)
            self._given[what] = _MARKS[n] if n < len(_MARKS) else f"({n + 1})"
        return f" {self._given[what]}"

    def explain(self) -> list[str]:
        if not self._given:
            return []
        lines = [
            f"- {mark} not comparable with the unmarked rows: {_plain(what)}" for what, mark in self._given.items()
        ]
        return ["", *lines]


def _floor_rows(scores: Scores) -> list[str]:
    """What guessing and one more annotator score on the same items: no number should be read without them."""
    rows = [headline(scores, reference, subset) for reference, subset, _ in COLUMNS]
    lines = []
    guesses = {
        "guess: uniform": "uniform",
        "guess: prior of these items": "prior",
        "always the most frequent class": "majority",
    }
    values = {name: [(row.get("floors") or {}).get(key) for row in rows] for name, key in guesses.items()}
    values["one more annotator"] = [(row.get("ceiling") or {}).get("human") for row in rows]
    for name, columns in values.items():
        cells = ["n/a" if each is None else f"{100 * each:.2f}" for each in columns]
        lines.append(f"| | *{name}* | " + " | ".join([*cells, ""] * len(FORMS)) + " |")
    return lines


def _item_lines(scores: Scores) -> list[str]:
    lines = []
    for reference, subset, heading in COLUMNS:
        row = headline(scores, reference, subset)
        said = f"n/a ({_plain(row['reason'])})" if row["value"] is None else f"{row['n']} items"
        lines.append(f"- {heading}: {said}")
    return lines


def _plain(text: str) -> str:
    """Text from a card or a file as markdown that cannot break out of its cell."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("`", "'").replace("\n", " ")


def _code(text: str) -> str:
    """Text as a code span that it cannot break out of."""
    return "`" + " ".join(text.replace("`", "'").split()) + "`"


_LEGEND = (
    "Macro-F1 in percent. **MV**: against the plurality of the annotators' labels. **All**: a prediction counts as "
    "correct if any annotator gave that label (`credited_reference`). **>.5**: only utterances on which more than half "
    "of the annotators agree. **coverage**: share of the utterances whose answer committed to an emotion; every other "
    "answer counts as wrong. Systems are ordered by their first column. **One more annotator**: each vote in turn "
    "against the others of its item; a system faces one vote more, so compare it by `model_matched` in scores.json."
)
