"""The scores of audited systems without the parser's errors, and the comparisons that these errors decide."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from serxbench import runs as files
from serxbench.errors import CorpusError, MetricError, RunError
from serxbench.metrics import Selection, contributions
from serxbench.metrics.arrays import Integers
from serxbench.records import Response
from serxbench.runs import Run
from serxbench.stages.audit import agreement, columns
from serxbench.stages.audit_readings import NONE, READINGS, Reading, reading_of, readings_of
from serxbench.stages.audit_sample import LOCAL, readings_hash
from serxbench.stages.evaluation import Evaluation, Headline, Settings, Subset, evaluate, reopen_corpus
from serxbench.statistics import Inference, benjamini_hochberg
from serxbench.statistics.misreading import Adjusted, Said, Stratum, adjusted


@dataclass(frozen=True, kw_only=True)
class Audited:
    """A sampled run found again. read: (n,) the parser's reading of each answer, len(READINGS) where it has no text."""

    run: Run
    readings: Mapping[str, Reading]
    parser: str
    found: Evaluation | None
    reason: str | None
    revision: str | None
    read: Integers
    strata: Sequence[Stratum] = ()


def reopen(folder: Path, system: Mapping[str, Any], settings: Settings, data_root: Path | None) -> Audited | str:
    """The run that a system of the key was drawn from; or why nothing can be said of its scores."""
    try:
        run = run_of(folder, system["name"])
        readings = readings_of(run)
        reading = readings.get(system["parser"])
        if reading is None or readings_hash(reading) != system["readings_sha256"]:
            return (
                f"{run.path}: {system['parser']} does not read its answers as when the sample was drawn, "
                f"or their words are mapped otherwise; draw another sample"
            )
        responses = run.read_records(files.RESPONSES, Response)
    except RunError as error:
        return str(error)
    found, reason, revision = None, None, None
    try:
        corpus = reopen_corpus(run)
        found, revision = evaluate(run, corpus, settings, predictions=reading.predictions), corpus.revision
    except CorpusError as error:
        reason = str(error)
    textless = np.array([not (response.text or "").strip() for response in responses])
    read = np.array([READINGS.index(reading_of(code)) for code in reading.codes], dtype=np.intp)
    return Audited(
        run=run,
        readings=readings,
        parser=system["parser"],
        found=found,
        reason=reason,
        revision=revision,
        read=np.where(textless, len(READINGS), read),
    )


def run_of(folder: Path, name: str) -> Run:
    """The run that a system of a sample was drawn from, from where it lay then. Raises RunError."""
    where = folder / LOCAL
    known = json.loads(where.read_text(encoding="utf-8")) if where.is_file() else {}
    if name not in known:
        raise RunError(f"{where}: does not say where the run of {name} lies on this machine")
    return Run.open((folder / known[name]).resolve())


def parser_agreement(audited: Audited, how: Inference) -> list[dict[str, Any]]:
    """The audited parser against every other that read the run, over all answers."""
    responses = audited.run.read_records(files.RESPONSES, Response)
    own = audited.readings[audited.parser]
    others = [each for name, each in audited.readings.items() if name != audited.parser]
    return [agreement(responses, own, other, how, 0) for other in others]


def adjusted_scores(audited: Audited, settings: Settings) -> Iterator[dict[str, Any]]:
    """MV and All macro-F1 as the parser reads, and without its errors."""
    for headline, subset, head in columns():
        if audited.found is None:
            yield {**head, "reason": audited.reason}
            continue
        try:
            selection = audited.found.select(headline, subset)
            told = _adjusted([audited], headline, subset, settings)
        except MetricError as error:
            yield {**head, "reason": str(error)}
            continue
        unit = {"unit": audited.found.unit.name, "n_clusters": audited.found.unit.take(selection.items).n_clusters}
        yield {**head, "n": selection.n_items, "level": settings.how.level, **unit, **dataclasses.asdict(told)}


def adjusted_comparisons(systems: Mapping[str, Audited], settings: Settings) -> Iterator[dict[str, Any]]:
    """Every two systems on the same items, first minus second: whether sign or star change without the parser's errors.

    Both p values are of t tests over the unit, adjusted by Benjamini and Hochberg inside each column.
    """
    able = {name: each for name, each in systems.items() if each.found is not None}
    pairs = [(a, b) for a, b in combinations(able, 2) if able[a].revision == able[b].revision]
    for headline, subset, head in columns():
        try:
            tests = [_adjusted([able[a], able[b]], headline, subset, settings) for a, b in pairs]
        except MetricError as error:
            yield {**head, "reason": str(error)}
            continue
        if not tests:
            continue
        alpha = 1 - settings.how.level
        read = benjamini_hochberg([test.p_read for test in tests])
        true = benjamini_hochberg([test.p for test in tests])
        for (first, second), test, p_read, p in zip(pairs, tests, read, true, strict=True):
            changes = [
                name
                for name, differs in (
                    ("sign", np.sign(test.read) != np.sign(test.value)),
                    ("star", (p_read <= alpha) != (p <= alpha)),
                )
                if differs
            ]
            told = dataclasses.asdict(test) | {"p_read": float(p_read), "p": float(p)}
            yield {**head, "first": first, "second": second, **told, "changes": changes}


def _adjusted(systems: Sequence[Audited], headline: Headline, subset: Subset, settings: Settings) -> Adjusted:
    said = []
    for audited in systems:
        assert audited.found is not None
        selection = audited.found.select(headline, subset)
        said.append(
            Said(
                by_truth=by_truth(audited.found, headline, selection),
                read=audited.read[selection.items],
                strata=audited.strata,
            )
        )
    one = systems[0].found
    assert one is not None
    unit = one.unit.take(one.select(headline, subset).items)
    return adjusted(said, headline.formula, unit, level=settings.how.level, seed=settings.how.seed)


def by_truth(found: Evaluation, headline: Headline, selection: Selection) -> list[Any]:
    """For each of READINGS, what every item would add to a score if its answer said that."""
    labels, n = found.table.labels, selection.n_items
    rows = []
    for reading in READINGS:
        column = labels.index(reading) if reading in labels else len(labels)
        other = np.full(n, column == len(labels) and reading != NONE)
        rows.append(contributions(selection, np.full(n, column, dtype=np.intp), headline.variant, said_other=other))
    return rows
