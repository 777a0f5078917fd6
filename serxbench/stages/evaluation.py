"""What `score` and `compare` share: one run's answers beside the references, and the numbers that are made of them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from serxbench.corpora import Corpus, open_corpus
from serxbench.errors import CorpusError, RunError
from serxbench.metrics import (
    DEFAULT_VARIANT,
    FORMULAS,
    VARIANTS,
    Contributions,
    Formula,
    ReferencePolicy,
    References,
    Selection,
    VoteTable,
    contributions,
    references,
    vote_table,
)
from serxbench.metrics.all_labels import variant_of
from serxbench.records import Prediction, Utterance
from serxbench.runs import PREDICTIONS, Run
from serxbench.statistics import ITEMS, Inference, Unit, default_unit

Subset = Literal["all", "strict"]
UnitName = Literal["auto", "speaker", "group", "item"]
Integers = NDArray[np.intp]
Mask = NDArray[np.bool_]
Reals = NDArray[np.float64]

SUBSETS: tuple[Subset, ...] = ("all", "strict")


@dataclass(frozen=True, kw_only=True)
class Headline:
    """One number of the report: a metric under one reading of the references.

    reference: `mv` for the plurality, `all` for anything that needs the votes of single annotators.
    """

    metric: str
    reference: Literal["mv", "all"]
    variant: str
    formula: Formula


#: What is always scored, each on all items and on the strict-majority items.
HEADLINES = (
    Headline(metric="macro_f1", reference="mv", variant="mv", formula=FORMULAS["macro_f1"]),
    Headline(metric="uar", reference="mv", variant="mv", formula=FORMULAS["uar"]),
    Headline(metric="accuracy", reference="mv", variant="mv", formula=FORMULAS["accuracy"]),
    Headline(metric="weighted_f1", reference="mv", variant="mv", formula=FORMULAS["weighted_f1"]),
    Headline(metric="macro_f1", reference="all", variant=DEFAULT_VARIANT, formula=FORMULAS["macro_f1"]),
    Headline(metric="hit_rate", reference="all", variant="hit_rate", formula=FORMULAS["accuracy"]),
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The choices behind a report. unit: `auto` takes speakers where every utterance names one. variants: readings of
    All-labels beyond the headlines."""

    policy: ReferencePolicy = field(default_factory=ReferencePolicy)
    unit: UnitName = "auto"
    how: Inference = field(default_factory=Inference)
    variants: tuple[str, ...] = ()

    def headlines(self) -> tuple[Headline, ...]:
        """The headlines, then one row for each further variant."""
        extra = (variant_of(name) for name in dict.fromkeys(self.variants) if name not in ("mv", DEFAULT_VARIANT))
        return (
            *HEADLINES,
            *(Headline(metric="macro_f1", reference="all", variant=v.name, formula=v.formula) for v in extra),
        )

    def describe(self) -> dict[str, Any]:
        """What scores.json remembers of them."""
        return {
            "references": str(self.policy),
            "unit": self.unit,
            "inference": dataclasses.asdict(self.how),
            "variants": list(self.variants),
        }


def reference_variant(name: str) -> str:
    """The variant that `--reference` means: `mv`, `all`, or a variant's own name. Raises UnknownName."""
    return DEFAULT_VARIANT if name == "all" else variant_of(name).name


def known_references() -> tuple[str, ...]:
    """What `--reference` takes."""
    return ("mv", "all", *(name for name in VARIANTS if name != "mv"))


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One run's answers beside the references of its corpus.

    answers: (n,) class index, C for Other, for classes the corpus has not, and for no answer. answered: (n,) whether
    the answer committed to anything. said_other: (n,) whether it committed to something outside the classes.
    probabilities: see distributions; None where an answer has none.
    """

    utterances: tuple[Utterance, ...]
    table: VoteTable
    references: References
    answers: Integers
    answered: Mask
    unit: Unit
    probabilities: Reals | None = None

    @property
    def said_other(self) -> Mask:
        """(n,) an answer that names something outside the classes, as distinct from none."""
        return np.asarray(self.answered & (self.answers == len(self.table.labels)))

    def select(self, headline: Headline, subset: Subset) -> Selection:
        """The items that a headline is over. Raises MetricError where the corpus has not what it needs."""
        return self.references.select(headline.reference, subset)

    def contributions(self, headline: Headline, selection: Selection) -> Contributions:
        """What each item adds to a headline."""
        answers, other = self.answers[selection.items], self.said_other[selection.items]
        return contributions(selection, answers, headline.variant, said_other=other)


def evaluate(
    run: Run,
    corpus: Corpus,
    settings: Settings,
    ids: frozenset[str] | None = None,
    predictions: Sequence[Prediction] | None = None,
) -> Evaluation:
    """The evaluation of a run on its corpus, or on those of its utterances that are in `ids`.

    predictions: None takes those of predictions.jsonl; others are of the same answers, as another parser reads them.
    Raises CorpusError if this is not the corpus that was asked about, RunError if predictions and corpus do not match.
    """
    check_corpus(run, corpus)
    predictions = run.read_records(PREDICTIONS, Prediction) if predictions is None else predictions
    if [prediction.id for prediction in predictions] != [utterance.id for utterance in corpus.utterances]:
        raise RunError(f"{run.path}: its predictions are not one for each utterance of the corpus, in corpus order")
    utterances = corpus.utterances
    if ids is not None:
        predictions = [prediction for prediction in predictions if prediction.id in ids]
        utterances = tuple(utterance for utterance in utterances if utterance.id in ids)
    table = vote_table(utterances, corpus.labels)
    return Evaluation(
        utterances=utterances,
        table=table,
        references=references(table, settings.policy),
        answers=encode(predictions, corpus.labels),
        answered=np.array([prediction.status == "ok" for prediction in predictions]),
        unit=make_unit(utterances, settings.unit),
        probabilities=distributions(predictions, corpus.labels),
    )


def encode(predictions: Sequence[Prediction], labels: tuple[str, ...]) -> Integers:
    """(n,) class indices; C (not a class of any average) for Other, for labels outside the corpus, for no answer."""
    column = {label: position for position, label in enumerate(labels)}
    # A prediction without status ok has label None, which is in no corpus's labels.
    return np.array([column.get(prediction.label or "", len(labels)) for prediction in predictions], dtype=np.intp)


def distributions(predictions: Sequence[Prediction], labels: tuple[str, ...]) -> Reals | None:
    """(n, C + 2) probabilities of the classes, of Other, and of no answer; None unless every answer gives them.

    A class that the corpus has not is Other. No answer is certain where there is none, so that a failure costs.
    """
    if not all(prediction.probabilities for prediction in predictions if prediction.status == "ok"):
        return None
    column = {label: position for position, label in enumerate(labels)}
    table = np.zeros((len(predictions), len(labels) + 2))
    for row, prediction in zip(table, predictions, strict=True):
        if prediction.status != "ok":
            row[-1] = 1.0
        for label, probability in (prediction.probabilities or {}).items():
            row[column.get(label, len(labels))] += probability
    return table if any(prediction.status == "ok" for prediction in predictions) else None


def make_unit(utterances: Sequence[Utterance], name: UnitName) -> Unit:
    """What is resampled. Raises MetricError if an utterance lacks the id that was asked for."""
    speakers = [utterance.speaker for utterance in utterances]
    groups = [utterance.group for utterance in utterances]
    if name == "auto":
        return default_unit(speakers, groups)
    if name == "item":
        return ITEMS
    return Unit.of(name, speakers if name == "speaker" else groups)


def reopen_corpus(run: Run) -> Corpus:
    """The corpus that a run was asked about, from where it lay then. Raises CorpusError if nobody noted where."""
    known = run.recall_corpus()
    if known is None:
        raise CorpusError(f"{run.path}: does not say where its corpus lies here; give --data-root")
    return open_corpus(known[0], known[1], run.manifest.corpus.get("limit"))


def check_corpus(run: Run, corpus: Corpus) -> None:
    """Raises CorpusError, naming what differs, if the run was asked about another corpus, split or revision."""
    found, wanted = corpus.describe(), json.loads(json.dumps(dict(run.manifest.corpus)))
    differing = [key for key in found if found[key] != wanted.get(key)]
    if differing:
        changes = "; ".join(f"{key}: the run has {wanted.get(key)!r}, this is {found[key]!r}" for key in differing)
        raise CorpusError(
            f"{run.path}: this is not the corpus that the run was asked about ({changes}); give --data-root of that one"
        )
