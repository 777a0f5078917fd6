"""Two or more runs on the same items → what differs, with paired tests that are adjusted for their number."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from serxbench.corpora import Corpus
from serxbench.errors import CorpusError, MetricError, UsageError
from serxbench.metrics import Contributions
from serxbench.runs import Run
from serxbench.stages.evaluation import (
    SUBSETS,
    Evaluation,
    Headline,
    Settings,
    Subset,
    evaluate,
    reopen_corpus,
)
from serxbench.statistics import Comparison, Unit, against_baseline, all_pairs, detectable

#: Of the JSON that `serxbench compare --json` prints.
SCHEMA = 1


def compare(
    runs: Sequence[Run], baseline: Run | None, settings: Settings | None = None, *, common: bool = False
) -> dict[str, Any]:
    """The comparisons of some runs: with `baseline` all others against it, Holm-adjusted inside each column; without
    one all pairs, Benjamini-Hochberg-adjusted, which is exploratory.

    A column is a metric × reference × subset. common: compare on the utterances that all runs share, and count them.
    Raises CorpusError if the runs are not on the same items, UsageError if there is nothing to compare.
    """
    settings = settings or Settings()
    members = {str(run.path): run for run in (*([baseline] if baseline else []), *runs)}
    if len({Path(name).resolve() for name in members}) < 2:
        raise UsageError("two different runs or more are wanted: serxbench compare RUN_A RUN_B …")
    ids, items = _shared_items(members, common)
    found = {name: evaluate(run, reopen_corpus(run), settings, ids) for name, run in members.items()}
    reference = str(baseline.path) if baseline else None
    columns = [
        _column(headline, subset, found, reference, settings) for headline in settings.headlines() for subset in SUBSETS
    ]
    return {
        "schema": SCHEMA,
        "runs": {name: _system(run) for name, run in members.items()},
        "baseline": reference,
        "adjustment": "holm" if reference else "benjamini-hochberg",
        "exploratory": reference is None,
        "items": items,
        "references": str(settings.policy),
        "comparisons": [row for column in columns for row in column],
    }


def _system(run: Run) -> dict[str, Any]:
    manifest = run.manifest
    return {"model": manifest.model["name"], "mode": manifest.mode, "cot": manifest.cot}


def _shared_items(members: Mapping[str, Run], common: bool) -> tuple[frozenset[str] | None, dict[str, Any]]:
    """The ids to compare on (None: all of them), and how many items each run has."""
    corpora = {name: reopen_corpus(run) for name, run in members.items()}
    sizes = {name: len(corpus.utterances) for name, corpus in corpora.items()}
    (first, one), *others = corpora.items()
    for name, other in others:
        if other.labels != one.labels:
            raise CorpusError(f"{first} and {name} are on corpora with different classes; they cannot be compared")
        if not common and other.revision != one.revision:
            raise CorpusError(_different_items(first, one, name, other))
    if not common:
        return None, {"n": sizes[first], "of": sizes}
    ids = frozenset.intersection(*(frozenset(u.id for u in corpus.utterances) for corpus in corpora.values()))
    if not ids:
        raise CorpusError(f"{' and '.join(members)} have no utterance in common")
    for name, other in others:
        _check_alike(first, one, name, other, ids)
    return ids, {"n": len(ids), "of": sizes}


def _different_items(first: str, one: Corpus, second: str, other: Corpus) -> str:
    left, right = ({u.id for u in corpus.utterances} for corpus in (one, other))
    if left == right:
        return (
            f"{first} and {second} were asked about different revisions of {one.info.name}: the same "
            f"{len(left)} ids with other labels, votes or speakers. Score both on one revision"
        )
    return (
        f"{first} and {second} are on different items: {len(left - right)} only in the first, {len(right - left)} "
        f"only in the second, {len(left & right)} in both. To compare on those in both, add --common"
    )


def _check_alike(first: str, one: Corpus, second: str, other: Corpus, ids: frozenset[str]) -> None:
    left, right = ({u.id: replace(u, audio=None) for u in c.utterances if u.id in ids} for c in (one, other))
    if differing := sorted(id for id in ids if left[id] != right[id]):
        raise CorpusError(
            f"{first} and {second} share {len(ids)} ids, but {len(differing)} of them have other labels, votes or "
            f"speakers (the first: '{differing[0]}'); they are different corpora or revisions"
        )


def _column(
    headline: Headline,
    subset: Subset,
    found: Mapping[str, Evaluation],
    baseline: str | None,
    settings: Settings,
) -> list[dict[str, Any]]:
    head = {
        "metric": headline.metric,
        "reference": headline.reference,
        "variant": headline.variant,
        "subset": subset,
    }
    try:
        one = next(iter(found.values()))
        selection = one.select(headline, subset)
        systems = {name: each.contributions(headline, selection) for name, each in found.items()}
        unit = one.unit.take(selection.items)
        family: list[Comparison]
        if baseline is None:
            family = list(all_pairs(systems, headline.formula, unit=unit, how=settings.how).values())
        else:
            family = list(against_baseline(systems, baseline, headline.formula, unit=unit, how=settings.how).values())
    except MetricError as error:
        return [{**head, "first": None, "second": None, "difference": None, "reason": str(error)}]
    return [{**head, **_comparison(headline, each, systems, settings, unit)} for each in family]


def _comparison(
    headline: Headline, found: Comparison, systems: Mapping[str, Contributions], settings: Settings, unit: Unit
) -> dict[str, Any]:
    test, first, second = found.test, systems[found.first], systems[found.second]
    smallest = detectable(first, second, headline.formula, unit=unit, alpha=1 - settings.how.level)
    return {
        "first": found.first,
        "second": found.second,
        "value_first": first.value(headline.formula),
        "value_second": second.value(headline.formula),
        "difference": test.difference,
        "low": test.low,
        "high": test.high,
        "se": test.se,
        "level": test.level,
        "method": test.method,
        "test": test.test,
        "p_raw": test.p,
        "p_adjusted": found.p_adjusted,
        "adjustment": found.adjustment,
        "family_size": found.family_size,
        "unit": test.unit,
        "n": test.n,
        "n_clusters": test.n_clusters,
        "design_effect": test.design_effect,
        "n_resamples": test.n_resamples,
        "seed": test.seed,
        "detectable_difference": smallest.difference,
        "cautions": [dataclasses.asdict(caution) for caution in test.cautions],
    }
