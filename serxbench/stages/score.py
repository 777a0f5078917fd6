"""predictions.jsonl → scores.json: what the answers are worth against what every annotator said."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from serxbench import __version__, runs
from serxbench.corpora import Corpus
from serxbench.errors import MetricError, MissingStage, RunError
from serxbench.metrics import (
    References,
    Selection,
    chance_corrected,
    check_consensus,
    classification,
    contributions,
    floors,
    human_contributions,
    krippendorff_alpha,
    matched_contributions,
    soft_labels,
    totals,
)
from serxbench.records import STATUSES, Prediction, Response
from serxbench.runs import Run
from serxbench.signatures import signature_of, signature_text
from serxbench.stages.evaluation import (
    SUBSETS,
    Evaluation,
    Headline,
    Settings,
    Subset,
    check_corpus,
    evaluate,
    reopen_corpus,
)
from serxbench.statistics import interval

#: Of scores.json; raised by one when a change makes older files unreadable.
SCHEMA = 2


def score(run: Run, corpus: Corpus | None = None, settings: Settings | None = None) -> dict[str, Any]:
    """The scores of a run, written to scores.json; up-to-date ones are read from there.

    corpus: None opens the one that the run folder remembers. Raises CorpusError if it is not the corpus that was asked
    about, MissingStage if there are no predictions made from the present answers.
    """
    settings = settings or Settings()
    corpus = corpus or reopen_corpus(run)
    check_corpus(run, corpus)
    with run.lock():
        clusterer, parser = run.made_by(runs.PREDICTIONS), run.made_by(runs.PARSED)
        made_by = {"serxbench": __version__, "schema": SCHEMA, **settings.describe()}
        sources = [runs.MANIFEST, runs.PREDICTIONS, runs.RESPONSES]
        if run.is_fresh(runs.SCORES, sources, made_by):
            return read_scores(run)
        parts = signature_of(run.manifest, parser=parser, clusterer=clusterer, references=str(settings.policy))
        result = compute_scores(run, corpus, settings)
        result["signature"] = {"text": signature_text(parts), "parts": parts}
        for row in result["scores"]:
            row["signature"] = "|".join([signature_text(parts), *_signature_of_row(row)])
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


def compute_scores(run: Run, corpus: Corpus, settings: Settings) -> dict[str, Any]:
    """What scores.json holds, but for the signatures."""
    found = evaluate(run, corpus, settings)
    predictions = run.read_records(runs.PREDICTIONS, Prediction)
    return {
        "schema": SCHEMA,
        "system": {
            "model": run.manifest.model["name"],
            "display_name": run.manifest.model["display_name"],
            "mode": run.manifest.mode,
            "cot": run.manifest.cot,
            "control": run.manifest.control,
        },
        "corpus": {**corpus.describe(), "description": corpus.info.description},
        "answers": _answers(run.read_records(runs.RESPONSES, Response), predictions),
        "references": _references(found),
        "scores": list(_score_rows(found, settings)),
        "soft": _soft(found),
    }


def _signature_of_row(row: dict[str, Any]) -> list[str]:
    inference = f"{row['method']}-{row['level']:g}" if row.get("method") else "n/a"
    return [
        f"metric:{row['metric']}",
        f"variant:{row['variant']}",
        f"subset:{row['subset']}",
        f"unit:{row.get('unit') or 'n/a'}",
        f"interval:{inference}",
    ]


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


def _references(found: Evaluation) -> dict[str, Any]:
    check, known = check_consensus(found.table, found.references), found.references
    voted = known.votes[known.has_votes]
    enough = bool((voted.sum(axis=1) >= 2).any()) if len(voted) else False
    return {
        "policy": str(known.policy),
        "consensus_agreement": {"agree": check.agree, "total": check.total} if check.total else None,
        "individual_votes": bool(len(voted)),
        "mean_votes": float(voted.sum(axis=1).mean()) if len(voted) else None,
        "mean_union": float((voted[:, :-1] > 0).sum(axis=1).mean()) if len(voted) else None,
        "krippendorff_alpha": _or_none(lambda: krippendorff_alpha(voted)) if enough else None,
        "excluded": {"mv": _excluded(known)},
    }


def _excluded(known: References) -> dict[str, int] | None:
    """Reason → items that MV leaves out; None if it leaves out all of them, which its rows then say."""
    try:
        return dict(known.select("mv").excluded)
    except MetricError:
        return None


def _soft(found: Evaluation) -> dict[str, Any]:
    """How far the model's probabilities are from the annotators' votes; a `reason` where one of the two is not there.

    Over every item with votes, whether or not they have a plurality. Other is a class on both sides. An item without an
    answer is one where all votes are missed: no annotator ever votes for the last column.
    """
    rated = found.references.has_votes
    if found.probabilities is None:
        return {"reason": "not every answer has probabilities" if found.answered.any() else "there are no answers"}
    if not rated.any():
        return {"reason": "the corpus has no votes of single annotators"}
    votes = np.column_stack([found.table.votes[rated], np.zeros(int(rated.sum()), dtype=np.intp)])
    try:
        scores = dataclasses.asdict(soft_labels(votes, probabilities=found.probabilities[rated]))
    except MetricError as error:
        return {"reason": str(error)}
    del scores["samples"]
    return {**scores, "n_unanswered": int((rated & ~found.answered).sum())}


def _score_rows(found: Evaluation, settings: Settings) -> Iterator[dict[str, Any]]:
    for headline in settings.headlines():
        for subset in SUBSETS:
            yield _score_row(headline, subset, found, settings)


def _score_row(headline: Headline, subset: Subset, found: Evaluation, settings: Settings) -> dict[str, Any]:
    row: dict[str, Any] = {
        "metric": headline.metric,
        "reference": headline.reference,
        "variant": headline.variant,
        "subset": subset,
    }
    try:
        selection = found.select(headline, subset)
        own = found.contributions(headline, selection)
    except MetricError as error:
        return {**row, "value": None, "low": None, "high": None, "reason": str(error)}
    guesses = dataclasses.asdict(floors(selection, headline.variant, headline.formula))
    guesses["majority_class"] = selection.names[guesses["majority_class"]]
    value = own.value(headline.formula)
    row |= {
        "value": value,
        **_interval(headline, selection, found, settings),
        "n": selection.n_items,
        "excluded": dict(selection.excluded),
        "support": dict(zip(selection.names, selection.support.tolist(), strict=True)),
        "coverage": float(found.answered[selection.items].mean()),
        "value_answered_only": _answered_only(headline, selection, found),
        "floors": guesses,
        "value_above_prior": _or_none(lambda: chance_corrected(value, guesses["prior"])),
        "ceiling": _ceiling(headline, subset, selection, found),
        "mean_votes": selection.mean_votes,
        "mean_union": selection.mean_union,
    }
    if headline.metric == "macro_f1":
        row["per_class"] = _per_class(headline, selection, found)
    return row


def _interval(headline: Headline, selection: Selection, found: Evaluation, settings: Settings) -> dict[str, Any]:
    unit = found.unit.take(selection.items)
    try:
        own = interval(found.contributions(headline, selection), headline.formula, unit=unit, how=settings.how)
    except MetricError as error:
        return {"low": None, "high": None, "level": settings.how.level, "method": None, "interval_reason": str(error)}
    return {
        "low": own.low,
        "high": own.high,
        "se": own.se,
        "level": own.level,
        "method": own.method,
        "unit": own.unit,
        "n_clusters": own.n_clusters,
        "design_effect": own.design_effect,
        "n_resamples": own.n_resamples,
        "seed": own.seed,
        "cautions": [dataclasses.asdict(caution) for caution in own.cautions],
    }


def _answered_only(headline: Headline, selection: Selection, found: Evaluation) -> float | None:
    """The same score over the items that were answered; None if none was. Its denominator moves: never the headline."""
    answered = found.answered[selection.items]
    if not answered.any():
        return None
    kept = selection.keep(answered)
    return found.contributions(headline, kept).value(headline.formula)


def _ceiling(headline: Headline, subset: Subset, selection: Selection, found: Evaluation) -> dict[str, Any] | None:
    """What one more annotator scores, and the system on the same leave-one-out references; None without votes.

    For the subset `all` over every item with votes: an item that is left out of the score for a tie must not be left
    out here, because the vote that is held out has a part in the tie.
    """
    if selection.votes is None:
        return None
    items = found.references.has_votes.nonzero()[0] if subset == "all" else selection.items
    votes, answers = found.references.votes[items], found.answers[items]
    try:
        human = human_contributions(votes, headline.variant).value(headline.formula)
        model = matched_contributions(votes, answers, headline.variant).value(headline.formula)
    except MetricError:
        return None
    return {"human": human, "model_matched": model, "n": len(items)}


def _per_class(headline: Headline, selection: Selection, found: Evaluation) -> dict[str, Any]:
    answers = found.answers[selection.items]
    if headline.variant == "mv":
        scores = classification(selection.labels, answers, selection.n_classes)
        pairs = zip(selection.names, scores.per_class, strict=True)
        by_class = {name: dataclasses.asdict(each) for name, each in pairs}
        return {"classes": by_class, "confusion": [list(row) for row in scores.confusion]}
    f1 = totals.f1_by_class(contributions(selection, answers, headline.variant).totals).tolist()
    triples = zip(selection.names, f1, selection.support.tolist(), strict=True)
    return {"classes": {name: {"f1": value, "support": count} for name, value, count in triples}}


def _or_none(compute: Callable[[], float]) -> float | None:
    """A number that is undefined on some data, such as alpha where every vote is the same: None there."""
    try:
        return float(compute())
    except MetricError:
        return None
