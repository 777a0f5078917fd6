"""What parsers, and people, can make of an answer, and how an answer is shown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from serxbench import runs
from serxbench.emotions import EMOTIONS, OTHER
from serxbench.errors import MissingStage
from serxbench.parsing import PARSERS, get_parser
from serxbench.records import STATUSES, Parsed, Prediction, Response
from serxbench.runs import Run
from serxbench.stages.cluster import DEFAULT_CLUSTERER, cluster_again
from serxbench.stages.parse import parsings

#: What an answer that commits to nothing is, whatever the reason.
NONE = "none"

#: What scores depend on: a class, Other, or nothing.
READINGS = (*EMOTIONS, OTHER, NONE)

#: Everything that a record of a parsed answer can come out as.
CODES = (*EMOTIONS, OTHER, *(status for status in STATUSES if status != "ok"))

#: The statuses that a person can give to a text; `error` is that there is none.
TEXT_STATUSES = ("off_format", "refused", "truncated", "empty")


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How one parser reads the answers of a run. derived: made for this report and stored nowhere."""

    parser: str
    parsed: Sequence[Parsed]
    predictions: Sequence[Prediction]
    derived: bool = False

    @cached_property
    def codes(self) -> list[str]:
        """One of CODES for each answer: its label, or why it has none."""
        return [prediction.label or prediction.status for prediction in self.predictions]


def reading_of(code: str) -> str:
    """One of READINGS for a code.

    >>> reading_of("Sad"), reading_of("refused")
    ('Sad', 'none')
    """
    return code if code in READINGS else NONE


def readings_of(run: Run) -> dict[str, Reading]:
    """Parser → its reading of the run's present answers, the scored one first. Words become labels as in the run.

    Of a stored parser `rules+NAME`, what `rules` reads on its own is added. Raises MissingStage if nothing is parsed.
    """
    stored = parsings(run)
    if not stored:
        raise MissingStage(f"{run.path}: no parser has read its present answers; run: serxbench parse {run.path}")
    found = {name: _reading(run, name, records) for name, records in stored.items()}
    for name in stored:
        alone = name.partition("+")[0]
        if alone not in found and alone in PARSERS:
            parser, options = get_parser(alone), run.manifest.options
            records = [parser.parse(each, options) for each in run.read_records(runs.RESPONSES, Response)]
            found[alone] = _reading(run, alone, records, derived=True)
    return found


def clusterer_of(run: Run) -> str:
    """The name of the clusterer that made the run's predictions, else of the default one."""
    made_by = run.maker(runs.PREDICTIONS)
    return DEFAULT_CLUSTERER if made_by is None else str(made_by["clusterer"])


def _reading(run: Run, name: str, records: Sequence[Parsed], *, derived: bool = False) -> Reading:
    predictions = _present(run, name) or cluster_again(run, records)
    return Reading(parser=name, parsed=records, predictions=predictions, derived=derived)


def _present(run: Run, name: str) -> list[Prediction] | None:
    """The run's own predictions, if they are of what this parser read."""
    try:
        made_by = run.made_by(runs.PARSED)
        run.made_by(runs.PREDICTIONS)
    except MissingStage:
        return None
    return run.read_records(runs.PREDICTIONS, Prediction) if made_by["parser"] == name else None


def excerpt(text: str | None, spans: Sequence[str | None], width: int = 160) -> str:
    """The stretch of an answer around what parsers decided on, on one line, safe for a terminal.

    Control characters, which could write anything anywhere, are left out.

    >>> excerpt("I hear a voice.\\n\\x1bIt sounds sad to me.", ["sad"], width=24)
    '… ce. It sounds sad to me.'
    """
    line = one_line(text or "")
    if len(line) <= width:
        return line
    found = [at for span in spans if span and (at := line.find(one_line(span))) >= 0]
    centre = min(found) + len(one_line(next(span for span in spans if span))) // 2 if found else 0
    start = max(0, min(centre - width // 2, len(line) - width))
    cut = line[start : start + width]
    head, tail = "… " if start else "", " …" if start + width < len(line) else ""
    return head + cut.strip() + tail


def one_line(text: str) -> str:
    """`text` with white space made single spaces and everything unprintable left out."""
    return "".join(letter for letter in re.sub(r"\s+", " ", text).strip() if letter.isprintable())
