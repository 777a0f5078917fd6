"""predictions.jsonl → scores.json: what the answers are worth against what every annotator said."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from serxbench import __version__, runs
from serxbench.corpora import Corpus, open_corpus
from serxbench.errors import CorpusError, MetricError, MissingStage, RunError
from serxbench.metrics import (
    ReferencePolicy,
    References,
    Selection,
    VoteTable,
    check_consensus,
    classification,
    contributions,
    floors,
    references,
    totals,
    vote_table,
)
from serxbench.records import STATUSES, Prediction, Response
from serxbench.runs import Run
from serxbench.signatures import signature_of, signature_text

SCHEMA = 1

Subset = Literal["all", "strict"]
Integers = NDArray[np.intp]


@dataclass(frozen=True, kw_only=True)
class Headline:
    """One column of numbers: a metric, under one reading of the references."""

    metric: str
    reference: Literal["mv", "all"]
    variant: str
    formula: totals.Formula


#: What is scored, each on all items and on the strict-majority items. The first row of each kind is the headline.
HEADLINES = (
    Headline(metric="macro_f1", reference="mv", variant="mv", formula=totals.macro_f1),
    Headline(metric="uar", reference="mv", variant="mv", formula=totals.uar),
    Headline(metric="accuracy", reference="mv", variant="mv", formula=totals.accuracy),
    Headline(metric="weighted_f1", reference="mv", variant="mv", formula=totals.weighted_f1),
    Headline(metric="macro_f1", reference="all", variant="credited_reference", formula=totals.macro_f1),
    Headline(metric="hit_rate", reference="all", variant="hit_rate", formula=totals.accuracy),
)


def score(run: Run, corpus: Corpus | None = None, policy: ReferencePolicy | None = None) -> dict[str, Any]:
    """The scores of a run, written to scores.json; up-to-date ones are read from there.

    corpus: None opens the one that the run folder remembers. Raises CorpusError if it is not the corpus that was asked
    about, MissingStage if there are no predictions made from the present answers.
    """
    policy = policy or ReferencePolicy()
    corpus = corpus or reopen_corpus(run)
    if corpus.describe() != json.loads(json.dumps(dict(run.manifest.corpus))):
        raise CorpusError(_other_corpus(corpus.describe(), run.manifest.corpus))
    with run.lock():
        clusterer, parser = run.made_by(runs.PREDICTIONS), run.made_by(runs.PARSED)
        made_by = {"serxbench": __version__, "schema": SCHEMA, "references": str(policy)}
        sources = [runs.MANIFEST, runs.PREDICTIONS, runs.RESPONSES]
        if run.is_fresh(runs.SCORES, sources, made_by):
            return read_scores(run)
        signature = signature_of(run.manifest, parser=parser, clusterer=clusterer, references=str(policy))
        result = compute_scores(run, corpus, policy)
        result["signature"] = {"text": signature_text(signature), "parts": signature}
        runs.write_atomically(run.file(runs.SCORES), json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False))
        run.remember_sources(runs.SCORES, sources, made_by)
        return result


def read_scores(run: Run) -> dict[str, Any]:
    """The scores in a run folder. Raises MissingStage if there are none, or they are not of the present predictions."""
    run.made_by(runs.SCORES)
    try:
        result: dict[str, Any] = json.loads(run.file(runs.SCORES).read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunError(f"{run.file(runs.SCORES)}: not valid JSON ({error})") from error
    if result.get("schema") != SCHEMA:
        raise MissingStage(f"{run.path}: scores.json is of another version; make it with: serxbench score {run.path}")
    return result


def reopen_corpus(run: Run) -> Corpus:
    """The corpus that a run was asked about, from where it lay then."""
    known = run.recall_corpus()
    if known is None:
        raise CorpusError(f"{run.path}: does not say where its corpus lies here; give --data and --data-root")
    return open_corpus(known[0], known[1], run.manifest.corpus.get("limit"))


def compute_scores(run: Run, corpus: Corpus, policy: ReferencePolicy) -> dict[str, Any]:
    """What scores.json holds, but for the signature."""
    predictions = run.read_records(runs.PREDICTIONS, Prediction)
    if [prediction.id for prediction in predictions] != [utterance.id for utterance in corpus.utterances]:
        raise RunError(f"{run.path}: its predictions are not one for each utterance of the corpus, in corpus order")
    labels = corpus.info.labels
    table = vote_table(corpus.utterances, labels)
    known = references(table, policy)
    answers = encode(predictions, labels)
    answered = np.array([prediction.status == "ok" for prediction in predictions])
    return {
        "schema": SCHEMA,
        "system": {
            "model": run.manifest.model["name"],
            "display_name": run.manifest.model["display_name"],
            "mode": run.manifest.mode,
            "cot": run.manifest.cot,
        },
        "corpus": {**corpus.describe(), "description": corpus.info.description},
        "answers": _answers(run.read_records(runs.RESPONSES, Response), predictions),
        "references": _references(table, known),
        "scores": list(_score_rows(known, answers, answered)),
    }


def encode(predictions: Sequence[Prediction], labels: tuple[str, ...]) -> Integers:
    """(n,) class indices; C (not a class of any average) for Other, for labels outside the corpus, for no answer."""
    column = {label: position for position, label in enumerate(labels)}
    # A prediction without status ok has label None, which is in no corpus's labels.
    return np.array([column.get(prediction.label or "", len(labels)) for prediction in predictions], dtype=np.intp)


def _answers(responses: Sequence[Response], predictions: Sequence[Prediction]) -> dict[str, Any]:
    statuses = Counter(prediction.status for prediction in predictions)
    return {
        "n": len(predictions),
        "n_ok": statuses["ok"],
        "coverage": statuses["ok"] / len(predictions),
        "n_failed": sum(response.stop in ("error", "filtered") for response in responses),
        "n_audio_truncated": sum(response.truncated for response in responses),
        "n_unlisted_words": sum(prediction.via == "unlisted" for prediction in predictions),
        "statuses": {status: statuses[status] for status in STATUSES if statuses[status]},
        "labels": dict(Counter(prediction.label for prediction in predictions if prediction.label).most_common()),
    }


def _references(table: VoteTable, known: References) -> dict[str, Any]:
    check = check_consensus(table, known)
    n_votes = known.n_votes
    return {
        "policy": str(known.policy),
        "consensus_agreement": {"agree": check.agree, "total": check.total} if check.total else None,
        "individual_votes": bool(known.has_votes.any()),
        "votes_per_item": float(n_votes[known.has_votes].mean()) if known.has_votes.any() else None,
        "excluded": {"mv": dict(known.select("mv").excluded)},
    }


def _score_rows(known: References, answers: Integers, answered: NDArray[np.bool_]) -> Iterator[dict[str, Any]]:
    subsets: tuple[Subset, ...] = ("all", "strict")
    for headline in HEADLINES:
        for subset in subsets:
            yield _score_row(headline, subset, known, (answers, answered))


def _score_row(
    headline: Headline, subset: Subset, known: References, given: tuple[Integers, NDArray[np.bool_]]
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "metric": headline.metric,
        "reference": headline.reference,
        "variant": headline.variant,
        "subset": subset,
    }
    try:
        selection = known.select(headline.reference, subset)
    except MetricError as error:
        return {**row, "value": None, "reason": str(error)}
    answers, answered = given[0][selection.items], given[1][selection.items]
    found = contributions(selection, answers, headline.variant)
    row |= {
        "value": found.value(headline.formula),
        "n": selection.n_items,
        "excluded": dict(selection.excluded),
        "coverage": float(answered.mean()),
        "value_answered_only": _answered_only(headline, selection, answers, answered),
        "floors": dataclasses.asdict(floors(selection, headline.variant, headline.formula)),
        "mean_union": selection.mean_union,
    }
    if headline.metric == "macro_f1":
        row["per_class"] = _per_class(headline, selection, answers)
    return row


def _answered_only(
    headline: Headline, selection: Selection, answers: Integers, answered: NDArray[np.bool_]
) -> float | None:
    """The same score over the items that were answered; None if none was. Never the headline: its denominator moves."""
    if not answered.any():
        return None
    kept = selection.keep(answered)
    return contributions(kept, answers[answered], headline.variant).value(headline.formula)


def _per_class(headline: Headline, selection: Selection, answers: Integers) -> dict[str, Any]:
    if headline.reference == "mv":
        found = classification(selection.labels, answers, selection.n_classes)
        by_class = {name: dataclasses.asdict(each) for name, each in zip(selection.names, found.per_class, strict=True)}
        return {"classes": by_class, "confusion": [list(row) for row in found.confusion]}
    f1 = totals.f1_by_class(contributions(selection, answers, headline.variant).totals)
    support = selection.support.tolist()
    pairs = zip(selection.names, f1.tolist(), support, strict=True)
    return {"classes": {name: {"f1": value, "support": count} for name, value, count in pairs}}


def _other_corpus(found: dict[str, Any], wanted: Any) -> str:
    differing = [key for key in found if found[key] != wanted.get(key)]
    changes = "; ".join(f"{key}: the run has {wanted.get(key)!r}, this is {found[key]!r}" for key in differing)
    return f"this is not the corpus that the run was asked about ({changes}); point --data-root at that one"
