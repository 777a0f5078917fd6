"""The clusterer against people: the words of some runs on blind sheets, and what the filled sheets say of the map."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from serxbench import runs as files
from serxbench.clustering.table import normalized
from serxbench.errors import CorpusError, MetricError, RunError
from serxbench.metrics.arrays import Integers
from serxbench.records import Prediction
from serxbench.runs import Run
from serxbench.stages.audit import columns
from serxbench.stages.audit_adjusted import run_of
from serxbench.stages.audit_readings import clusterer_of
from serxbench.stages.audit_rules import WORDS
from serxbench.stages.audit_sample import (
    SCHEMA,
    SampleRequest,
    check_request,
    finish_sample,
    item_codes,
    write_sample,
)
from serxbench.stages.audit_sheets import Coding, Item
from serxbench.stages.evaluation import Evaluation, Settings, encode, evaluate, reopen_corpus
from serxbench.statistics import Inference, wilson

#: Words that came this often are all coded; of the rest, a random hundred.
FREQUENT = 5
N_RARE = 100


@dataclass(frozen=True, kw_only=True)
class Word:
    """A word, spelled as the table spells words. counts, labels: by run, answers that name it, and its class."""

    word: str
    counts: Mapping[str, int]
    labels: Mapping[str, str]

    @property
    def n(self) -> int:
        """Answers of all runs that name it."""
        return sum(self.counts.values())


def draw_words(runs: Sequence[Run], out: Path, request: SampleRequest) -> dict[str, Any]:
    """Draws words of the runs' present predictions into the folder `out` and returns what its key says.

    Every word that came FREQUENT times or more, and N_RARE others at random. Raises RunError if no answer has a word.
    """
    check_request(runs, out, request)
    rng = np.random.default_rng(request.seed)
    names = [f"s{number + 1}" for number in range(len(runs))]
    words = sorted(_words(dict(zip(names, runs, strict=True))), key=lambda each: (-each.n, each.word))
    frequent = [each for each in words if each.n >= FREQUENT]
    rare = words[len(frequent) :]
    chosen = sorted(rng.choice(len(rare), size=min(N_RARE, len(rare)), replace=False).tolist()) if rare else []
    drawn = [*frequent, *(rare[position] for position in chosen)]
    coded = sorted(zip(item_codes(len(drawn), rng), drawn, strict=True), key=lambda pair: pair[0])
    key = {
        "schema": SCHEMA,
        "kind": "words",
        "request": {"coders": request.n_coders, "seed": request.seed},
        "systems": [
            {"name": name, "model": run.manifest.model["name"], "clusterer": clusterer_of(run)}
            for name, run in zip(names, runs, strict=True)
        ],
        "words": {"n": len(words), "n_frequent": len(frequent), "n_answers": sum(each.n for each in words)},
        "rare": {"n": len(rare), "n_answers": sum(each.n for each in rare)},
        "items": [
            {"item": code, "answer": each.word, "n": each.n, "counts": dict(each.counts), "labels": dict(each.labels)}
            for code, each in coded
        ],
    }
    shown = [Item(item=code, answer=each.word) for code, each in coded]
    write_sample(out, key, shown, WORDS, rng)
    where = {name: run.path for name, run in zip(names, runs, strict=True)}
    return {**finish_sample(out, key, where), "items": len(drawn)}


def _words(runs: Mapping[str, Run]) -> Iterator[Word]:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    labels: dict[str, dict[str, str]] = defaultdict(dict)
    for name, run in runs.items():
        run.made_by(files.PREDICTIONS)
        for prediction in run.read_records(files.PREDICTIONS, Prediction):
            if prediction.label is not None and prediction.word:
                word = normalized(prediction.word) or prediction.word.strip()
                counts[word][name] += 1
                labels[word][name] = prediction.label
    if not counts:
        raise RunError(f"{', '.join(str(run.path) for run in runs.values())}: no answer commits to a word")
    return (Word(word=word, counts=each, labels=labels[word]) for word, each in counts.items())


def judge_words(
    folder: Path, key: Mapping[str, Any], codings: Sequence[Coding], truth: Mapping[str, str], settings: Settings
) -> dict[str, Any]:
    """Agreement of the map with people, by word and by answer, and every score under each coder's map.

    truth: item → class, as the coders agree or a third person decided.
    """
    maps: dict[str, Mapping[str, str]] = {coding.name: coding.labels for coding in codings}
    return {
        "words": {**key["words"], "n_coded": len(key["items"])},
        "systems": [
            {**system, **_mapped(key, system["name"], truth, settings.how), "wrong": _wrong(key, system["name"], truth)}
            for system in key["systems"]
        ],
        "scores": [
            row
            for system in key["systems"]
            for row in _sensitivity(folder, key, system["name"], {**maps, "people": truth}, settings)
        ],
    }


def _mapped(key: Mapping[str, Any], name: str, truth: Mapping[str, str], how: Inference) -> dict[str, Any]:
    """Shares of words, and of answers, that are mapped as people do; words that came rarely stand for all such."""
    rows = [row for row in key["items"] if name in row["labels"]]
    right = np.array([row["labels"][name] == truth[row["item"]] for row in rows])
    n = np.array([row["counts"][name] for row in rows], dtype=np.float64)
    rare = np.array([row["n"] < FREQUENT for row in rows])
    n_rare = sum(row["n"] < FREQUENT for row in key["items"])
    weights = np.where(rare, key["rare"]["n"] / max(n_rare, 1), 1.0)
    return {
        "n_words": len(rows),
        "by_word": _share(right, weights, how),
        "by_answer": _share(right, weights * n, how),
    }


def _share(right: np.ndarray[Any, Any], weights: np.ndarray[Any, Any], how: Inference) -> dict[str, float] | None:
    """A weighted share, with Wilson's interval at Kish's effective number of words."""
    if not len(right):
        return None
    value = float((weights * right).sum() / weights.sum())
    effective = float(weights.sum() ** 2 / (weights**2).sum())
    low, high = wilson(value * effective, effective, how.level)
    return {"value": value, "low": low, "high": high}


def _wrong(key: Mapping[str, Any], name: str, truth: Mapping[str, str]) -> list[dict[str, Any]]:
    """Words that people map otherwise, the most frequent first."""
    rows = [row for row in key["items"] if row["labels"].get(name, truth[row["item"]]) != truth[row["item"]]]
    return [
        {"word": row["answer"], "n": row["counts"][name], "mapped": row["labels"][name], "people": truth[row["item"]]}
        for row in sorted(rows, key=lambda row: (-row["counts"][name], row["answer"]))
    ]


def _sensitivity(
    folder: Path, key: Mapping[str, Any], name: str, maps: Mapping[str, Mapping[str, str]], settings: Settings
) -> Iterator[dict[str, Any]]:
    """Scores with the run's own map, and with the coded words mapped as each coder, and all together, map them."""
    words = {row["item"]: row["answer"] for row in key["items"]}
    try:
        run = run_of(folder, name)
        run.made_by(files.PREDICTIONS)
        found = evaluate(run, reopen_corpus(run), settings)
        predictions = run.read_records(files.PREDICTIONS, Prediction)
    except (RunError, CorpusError) as error:
        yield {"system": name, "reason": str(error)}
        return
    answers = {"as mapped": found}
    for coder, labels in maps.items():
        own = {words[item]: label for item, label in labels.items()}
        answers[coder] = dataclasses.replace(found, answers=_mapped_again(predictions, own, found))
    for headline, subset, head in columns():
        try:
            selection = found.select(headline, subset)
            counted = {coder: each.contributions(headline, selection) for coder, each in answers.items()}
        except MetricError as error:
            yield {"system": name, **head, "reason": str(error)}
            continue
        values = {coder: each.value(headline.formula) for coder, each in counted.items()}
        yield {"system": name, **head, "values": values}


def _mapped_again(predictions: Sequence[Prediction], labels: Mapping[str, str], found: Evaluation) -> Integers:
    """Class indices with some words mapped otherwise."""

    def label_of(prediction: Prediction) -> str | None:
        word = normalized(prediction.word or "") or (prediction.word or "").strip()
        return labels.get(word, prediction.label)

    again = [dataclasses.replace(each, label=label_of(each)) if each.status == "ok" else each for each in predictions]
    return encode(again, found.table.labels)
