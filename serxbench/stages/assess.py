"""Rationales → assessment.json and claims.jsonl: what they are worth as far as no judge is needed.

Of a run, the rationale is the part of the answer that explains it; where an answer has no such part, the whole answer
of a chain-of-thought run is. Of a file, it is the column `rationale`.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from serxbench import runs
from serxbench.corpora import Corpus
from serxbench.emotions import EMOTIONS
from serxbench.errors import RunError, UsageError
from serxbench.metrics.totals import Contributions, mean_formula
from serxbench.progress import Progress
from serxbench.rationales.claims import PROPERTIES, Claim, find_claims
from serxbench.rationales.duplicates import near_duplicates
from serxbench.rationales.grounding import chance, rank_clips, verdict
from serxbench.rationales.leakage import LeakFinder
from serxbench.rationales.measures import COUNTS, MEASURES, measure_rationale
from serxbench.rationales.prose import clean, read_prose
from serxbench.records import Parsed, Prediction, Response, Utterance
from serxbench.runs import Run
from serxbench.stages._measurements import Measures, measure_clips
from serxbench.stages.evaluation import check_corpus, make_unit
from serxbench.stages.rationales import gold_label
from serxbench.statistics import Inference, Unit, interval

ASSESSMENT = "assessment.json"
CLAIMS = "claims.jsonl"

_MADE_FROM = (runs.RESPONSES, runs.PARSED, runs.PREDICTIONS)


@dataclass(frozen=True, kw_only=True)
class Explained:
    """One utterance with its rationale, None if it has none. label: what the rationale explains."""

    utterance: Utterance
    rationale: str | None
    label: str | None


@dataclass(frozen=True, kw_only=True)
class Asked:
    """How rationales are assessed. audio: check their claims against the sound."""

    audio: bool = True
    n_deals: int = 1000
    how: Inference = field(default_factory=Inference)


def read_run(run: Run, corpus: Corpus) -> list[Explained]:
    """The rationales of a run, one entry for each utterance of its corpus. Raises RunError or CorpusError."""
    check_corpus(run, corpus)
    parsed = {row.id: row for row in run.read_records(runs.PARSED, Parsed)}
    labels = {row.id: row.label for row in run.read_records(runs.PREDICTIONS, Prediction)}
    answers = {row.id: row.text for row in run.read_records(runs.RESPONSES, Response)} if run.manifest.cot else {}
    if set(parsed) != {utterance.id for utterance in corpus.utterances}:
        raise RunError(f"{run.path}: its answers are not one for each utterance of the corpus")
    return [
        Explained(utterance=u, rationale=parsed[u.id].rationale or answers.get(u.id), label=labels.get(u.id))
        for u in corpus.utterances
    ]


def read_file(path: Path, corpus: Corpus) -> list[Explained]:
    """The rationales of a JSONL file with id, emotion and rationale, one entry for each row, in its order.

    Rows that are marked as not kept have none. Raises UsageError naming the line.
    """
    known = {utterance.id: utterance for utterance in corpus.utterances}
    found = []
    for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            utterance, text = known[row["id"]], row["rationale"] if row.get("kept", True) else None
        except KeyError as error:
            raise UsageError(f"{path}:{number}: {error} is no utterance of {corpus.data}, or no column") from None
        except (ValueError, TypeError, AttributeError) as error:
            raise UsageError(f"{path}:{number}: is no row of id, emotion and rationale ({error})") from error
        found.append(Explained(utterance=utterance, rationale=text, label=row.get("emotion")))
    if not found:
        raise UsageError(f"{path}: has no rows")
    return found


def assess(
    explained: Sequence[Explained], asked: Asked, progress: Progress
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The assessment, and one row for each claim. Raises AdapterError where sound is to be measured without Praat."""
    having = [each for each in explained if each.rationale and each.rationale.strip()]
    finder = LeakFinder()
    measured = [
        measure_rationale(each.rationale or "", transcript=each.utterance.transcript, label=each.label, finder=finder)
        for each in having
    ]
    emotions = [gold_label(each.utterance) for each in having]
    whole = {
        "n": len(explained),
        "n_with_rationale": len(having),
        "measures": _summarise(having, measured, asked.how),
        "by_emotion": {
            emotion: _summarise(*_those(having, measured, [e == emotion for e in emotions]), asked.how)
            for emotion in EMOTIONS
            if emotion in emotions
        },
        "n_near_duplicates": len(near_duplicates([(e.utterance.id, e.rationale or "") for e in having])),
    }
    if not asked.audio:
        return whole, []
    grounding, claims = _ground(having, explained, asked, progress)
    return {**whole, "grounding": grounding}, claims


def write_assessment(run: Run, assessment: Mapping[str, Any], claims: Sequence[Mapping[str, Any]]) -> None:
    """Writes both files into the run's folder and notes what they were made from."""
    with run.lock():
        runs.write_atomically(run.file(ASSESSMENT), json.dumps(assessment, indent=1))
        runs.write_atomically(run.file(CLAIMS), "".join(json.dumps(c, ensure_ascii=False) + "\n" for c in claims))
        for name in (ASSESSMENT, CLAIMS):
            run.remember_sources(name, _MADE_FROM, {"rules": rules_hash()})


def rules_hash() -> str:
    """Hash of the code and the lexicon that rationales are measured with."""
    digest = hashlib.sha256()
    for file in sorted(resources.files("serxbench.rationales").iterdir(), key=lambda entry: entry.name):
        if file.name.endswith((".py", ".tsv")):
            digest.update(file.read_bytes())
    return digest.hexdigest()


def _those(
    having: Sequence[Explained], measured: Sequence[dict[str, float]], chosen: Sequence[bool]
) -> tuple[list[Explained], list[dict[str, float]]]:
    pairs = [pair for pair, taken in zip(zip(having, measured, strict=True), chosen, strict=True) if taken]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def _summarise(having: Sequence[Explained], measured: Sequence[dict[str, float]], how: Inference) -> dict[str, Any]:
    """Measure → its mean over the rationales that have it, with an interval over speakers where they are known."""
    found = {}
    for name in MEASURES:
        places = [n for n, values in enumerate(measured) if name in values]
        if places:
            values = np.array([[measured[n][name], 1.0] for n in places])
            found[name] = _estimate(values, [having[n].utterance for n in places], how, share=name not in COUNTS)
    return found


def _estimate(
    rows: np.ndarray[Any, np.dtype[np.float64]], utterances: Sequence[Utterance], how: Inference, *, share: bool
) -> dict[str, Any]:
    """The ratio of the sums of the two columns; without limits where there are not two speakers or items."""
    value = float(rows[:, 0].sum() / rows[:, 1].sum())
    unit: Unit = make_unit(utterances, "auto")
    if (unit.n_clusters or len(rows)) < 2:
        return {"value": value, "n": len(rows)}
    kinds, codes = np.unique(rows, axis=0, return_inverse=True)
    totals = Contributions(
        codes=codes.reshape(-1).astype(np.intp),
        rows=kinds,
        formula=mean_formula,
        support=np.zeros(0, np.intp),
        names=(),
        fingerprint="",
    )
    found = interval(totals, unit=unit, how=how)
    # No share is below 0 or above 1, whatever the method says; moving such a limit there costs no coverage.
    highest = 1.0 if share else float("inf")
    return {
        "value": value,
        "low": max(found.low, 0.0),
        "high": min(found.high, highest),
        "n": len(rows),
        "unit": found.unit,
        "n_clusters": found.n_clusters,
        "method": found.method,
    }


def _ground(
    having: Sequence[Explained], explained: Sequence[Explained], asked: Asked, progress: Progress
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The claims of the rationales against their clips; all clips count for what is high and what is low."""
    utterances = list({each.utterance.id: each.utterance for each in explained}.values())
    measures = measure_clips(utterances, progress)
    ranks, among = rank_clips(_in_order(utterances, measures), [u.speaker for u in utterances])
    place = {utterance.id: n for n, utterance in enumerate(utterances)}
    places = [place[each.utterance.id] for each in having]
    claims = [find_claims(read_prose(clean(e.rationale or ""), e.utterance.transcript or "")) for e in having]
    rows = [
        {
            "id": each.utterance.id,
            "property": claim.property,
            "direction": claim.direction,
            "words": claim.words,
            **({"negated": True} if claim.negated else {}),
            "rank": ranks[n].get(claim.property),
            "among": among[n],
            "verdict": verdict(claim, ranks[n]),
        }
        for each, n, found in zip(having, places, claims, strict=True)
        for claim in found
    ]
    groups = [having[k].utterance.speaker if among[n] == "speaker" else None for k, n in enumerate(places)]
    properties: tuple[str | None, ...] = (None, *PROPERTIES)
    by_property = {
        name or "all": _grounded(
            having, [[c for c in found if name in (None, c.property)] for found in claims],
            [ranks[n] for n in places], groups, asked,
        )
        for name in properties
    }  # fmt: skip
    return {
        "n_measured": len(measures),
        "n_clips": len(utterances),
        "compared_within": dict(Counter(among[n] for n in places)),
        "claims": {name: found for name, found in by_property.items() if found["n"]},
    }, rows


def _in_order(utterances: Sequence[Utterance], measures: Mapping[str, Measures]) -> list[Measures]:
    return [measures.get(utterance.id, {}) for utterance in utterances]


def _grounded(
    having: Sequence[Explained],
    claims: Sequence[Sequence[Claim]],
    ranks: Sequence[Mapping[str, float]],
    groups: Sequence[str | None],
    asked: Asked,
) -> dict[str, Any]:
    """Counts of verdicts, the rate with its interval, and what chance gives."""
    verdicts = [[verdict(claim, known) for claim in found] for found, known in zip(claims, ranks, strict=True)]
    counts = Counter(each for found in verdicts for each in found)
    n = {name: counts[name] for name in ("supported", "contradicted", "not_checkable")}
    if not n["supported"] + n["contradicted"]:
        return {"n": counts.total(), **n}
    decided = [k for k, found in enumerate(verdicts) if set(found) & {"supported", "contradicted"}]
    totals = np.array([_totals(verdicts[k]) for k in decided])
    dealt = chance(claims, ranks, groups, n_deals=asked.n_deals, seed=asked.how.seed)
    return {
        "n": counts.total(),
        **n,
        "rate": _estimate(totals, [having[k].utterance for k in decided], asked.how, share=True),
        **({"chance": vars(dealt)} if dealt else {}),
    }


def _totals(verdicts: Sequence[str]) -> tuple[float, float]:
    supported = float(verdicts.count("supported"))
    return supported, supported + verdicts.count("contradicted")
