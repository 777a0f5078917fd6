"""From references and answers to totals: the plurality score, and every reading of "correct iff in A_i".

    m plurality, A union, ŷ answer, hit h = [ŷ ∈ A]
    name                 TP_c              R_c                                  P_c
    mv                   ŷ = m = c         m = c                                ŷ = c
    credited_reference   ŷ = c, h          TP_c + [m = c, miss]                 ŷ = c      (default)
    credited_fn_split    ŷ = c, h          TP_c + [c ∈ A, miss] / |A|           ŷ = c
    credited_fn_all      ŷ = c, h          TP_c + [c ∈ A, miss]                 ŷ = c
    credited_prediction  m = c, h          m = c                                ŷ = c, or m = c on hits
    multilabel           ŷ = c, h          c ∈ A                                ŷ = c
    multilabel_thr       ŷ = c, c ∈ A^t    c ∈ A^t = {c : V_c / n > t}          ŷ = c      (t = 1/C)
    annotator_pooled     p_ŷ at ŷ = c      p_c = V_c / n over the classes       ŷ = c
    hit_rate             mean of h
    macro_hit_recall     mean over c of P(h | m = c)
    macro_hit_precision  mean over c of P(h | ŷ = c)

`credited_prediction` gives 60 to 70 % to a system that always answers the most frequent class: it is here to
recognise published numbers, not to be reported. Source of the readings: arXiv 2509.24187 fixes the hit, not
the reference mass; threshold 1/C is Chou et al. (EMO-SUPERB, arXiv 2402.13018).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from serxbench.errors import MetricError, UnknownName
from serxbench.metrics import totals
from serxbench.metrics.arrays import (
    Integers,
    Mask,
    Reals,
    distinct_rows,
    integers,
    mask,
    one_hot,
    same_length,
)
from serxbench.metrics.selection import Selection
from serxbench.metrics.totals import Contributions, Formula

#: The All-labels variant that is meant where none is named.
DEFAULT_VARIANT = "credited_reference"


@dataclass(frozen=True, kw_only=True)
class Cases:
    """One item of every kind: what a variant needs to know to write its row of totals."""

    n_classes: int
    labels: Integers
    has_label: Mask
    union: Mask
    votes: Integers
    predictions: Integers
    said_other: Mask

    @property
    def answer(self) -> Reals:
        """One-hot ŷ; zeros for Other and failures."""
        return one_hot(self.predictions, self.n_classes)

    @property
    def plurality(self) -> Reals:
        """One-hot m; zeros where there is none."""
        return one_hot(self.labels, self.n_classes) * self.has_label[:, None]

    @property
    def classes(self) -> Reals:
        """A as zeros and ones, without Other."""
        return self.union[:, : self.n_classes].astype(np.float64)

    @property
    def hit(self) -> Mask:
        """ŷ ∈ A. Other can only hit where it was really said and the policy lets it (`other_creditable`)."""
        among = self.union[np.arange(len(self.predictions)), self.predictions]
        hit: Mask = among & ((self.predictions < self.n_classes) | self.said_other)
        return hit


Rows = Callable[[Cases], Reals]


def _rows(hits: Reals, references: Reals, answers: Reals, correct: Reals | Mask) -> Reals:
    n = np.ones((len(hits), 1))
    return np.hstack([hits, references, answers, np.asarray(correct, dtype=np.float64)[:, None], n])


def _mv(cases: Cases) -> Reals:
    hits = cases.plurality * cases.answer
    return _rows(hits, cases.plurality, cases.answer, hits.sum(axis=1))


def _credited(cases: Cases, miss: Literal["plurality", "split", "all"]) -> Reals:
    split = totals.ratio(cases.classes, np.broadcast_to(cases.classes.sum(axis=1, keepdims=True), cases.classes.shape))
    charged = {"plurality": cases.plurality, "split": split, "all": cases.classes}[miss]
    if miss == "plurality":  # items without a plurality (policy include_x) have no other way to be charged
        charged = np.where(cases.has_label[:, None], charged, split)
    hit = cases.hit[:, None]
    hits = cases.answer * hit
    return _rows(hits, hits + charged * ~hit, cases.answer, cases.hit)


def _credited_prediction(cases: Cases) -> Reals:
    hit = cases.hit[:, None]
    return _rows(cases.plurality * hit, cases.plurality, np.where(hit, cases.plurality, cases.answer), cases.hit)


def _multilabel(cases: Cases) -> Reals:
    hits = cases.answer * cases.classes
    return _rows(hits, cases.classes, cases.answer, cases.hit)


def _shares(cases: Cases) -> Reals:
    votes = cases.votes[:, : cases.n_classes].astype(np.float64)
    return totals.ratio(votes, np.broadcast_to(votes.sum(axis=1, keepdims=True), votes.shape))


def _multilabel_thr(cases: Cases, threshold: float | None = None) -> Reals:
    among = (_shares(cases) > (1 / cases.n_classes if threshold is None else threshold)).astype(np.float64)
    hits = cases.answer * among
    return _rows(hits, among, cases.answer, hits.sum(axis=1))


def _annotator_pooled(cases: Cases) -> Reals:
    shares = _shares(cases)
    hits = cases.answer * shares
    return _rows(hits, shares, cases.answer, hits.sum(axis=1))


def _hits_at_plurality(cases: Cases) -> Reals:
    return _rows(cases.plurality * cases.hit[:, None], cases.plurality, cases.answer, cases.hit)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One reading of a score: how an item becomes totals, and the formula they are meant for.

    needs: what has to be known of an item's references. plurality: whether every item must have one.
    """

    name: str
    rows: Rows
    formula: Formula = totals.macro_f1
    needs: Literal["label", "union", "votes"] = "union"
    plurality: bool = False


_credited_reference = partial(_credited, miss="plurality")

#: Variant by name.
VARIANTS: Mapping[str, Variant] = {
    variant.name: variant
    for variant in (
        Variant(name="mv", rows=_mv, needs="label", plurality=True),
        Variant(name="credited_reference", rows=_credited_reference),
        Variant(name="credited_fn_split", rows=partial(_credited, miss="split")),
        Variant(name="credited_fn_all", rows=partial(_credited, miss="all")),
        Variant(name="credited_prediction", rows=_credited_prediction, plurality=True),
        Variant(name="multilabel", rows=_multilabel),
        Variant(name="multilabel_thr", rows=_multilabel_thr, needs="votes"),
        Variant(name="annotator_pooled", rows=_annotator_pooled, needs="votes"),
        Variant(name="hit_rate", rows=_credited_reference, formula=totals.accuracy),
        Variant(name="macro_hit_recall", rows=_hits_at_plurality, formula=totals.uar, plurality=True),
        Variant(name="macro_hit_precision", rows=_credited_reference, formula=totals.macro_precision),
    )
}


def multilabel_threshold(threshold: float) -> Variant:
    """The variant `multilabel_thr` with another threshold than 1/C."""
    rows = partial(_multilabel_thr, threshold=threshold)
    return Variant(name=f"multilabel_thr({threshold:g})", rows=rows, needs="votes")


def variant_of(name: str) -> Variant:
    """The variant of that name; raises UnknownName with the nearest one."""
    if name not in VARIANTS:
        raise UnknownName("score variant", name, VARIANTS)
    return VARIANTS[name]


def contributions(
    selection: Selection,
    predictions: ArrayLike,
    variant: str | Variant = DEFAULT_VARIANT,
    *,
    said_other: ArrayLike | None = None,
) -> Contributions:
    """What each item of `selection` adds to the totals of one system, for `value()`, intervals and tests.

    predictions: (n,) a class, or C for Other and for every failed or unparsed answer: such an answer is
    wrong, adds to no class's answers and stays in the denominator. said_other: (n,) the answer really was
    Other; only needed with the policy `other_creditable`, because a failure is never credited.

    >>> selection = Selection.of([0, 0, 1], 2, votes=[[2, 1, 0], [3, 0, 0], [1, 2, 0]])
    >>> contributions(selection, [1, 0, 2], "mv").value()
    0.3333333333333333
    >>> round(contributions(selection, [1, 0, 2], "credited_reference").value(), 4)
    0.8333
    """
    reading = variant_of(variant) if isinstance(variant, str) else variant
    n_classes = selection.n_classes
    answers = integers(predictions, name="predictions", low=0, high=n_classes)
    n_items = same_length(references=selection.labels, predictions=answers)
    if reading.plurality and not selection.has_label.all():
        missing = int((~selection.has_label).sum())
        raise MetricError(f"{reading.name} needs a plurality, and {missing} items have none; select without them")
    other = np.zeros(n_items, np.bool_)
    if said_other is not None:
        other = mask(said_other, name="said_other", shape=(n_items,)) & (answers == n_classes)
    kinds = {"label": "by_label", "union": "by_union", "votes": "by_votes"}[reading.needs]
    _, kind = getattr(selection, kinds)
    first, codes = distinct_rows(np.stack([kind, answers, other.astype(np.intp)], axis=1))
    return Contributions(
        codes=codes,
        rows=reading.rows(_cases(selection, first, answers, other)),
        formula=reading.formula,
        support=selection.support,
        names=selection.names,
        fingerprint=selection.fingerprint,
    )


def _cases(selection: Selection, items: Integers, answers: Integers, said_other: Mask) -> Cases:
    none = np.zeros((len(items), selection.n_classes + 1), np.intp)
    return Cases(
        n_classes=selection.n_classes,
        labels=selection.labels[items],
        has_label=selection.has_label[items],
        union=none.astype(np.bool_) if selection.union is None else selection.union[items],
        votes=none if selection.votes is None else selection.votes[items],
        predictions=answers[items],
        said_other=said_other[items],
    )


@dataclass(frozen=True, kw_only=True)
class LabelScore:
    """One All-labels score with what a reader needs to judge it."""

    variant: str
    value: float
    f1: tuple[float, ...]
    hit_rate: float
    support: tuple[int, ...]
    n: int
    mean_union: float | None


def all_labels(selection: Selection, predictions: ArrayLike, variant: str = DEFAULT_VARIANT) -> LabelScore:
    """The score of one system under one variant, with F1 per class and the plurality support of each class.

    >>> selection = Selection.of([0, 0, 1], 2, votes=[[2, 1, 0], [3, 0, 0], [1, 2, 0]])
    >>> all_labels(selection, [1, 0, 2], "hit_rate").value
    0.6666666666666666
    """
    found = contributions(selection, predictions, variant)
    return LabelScore(
        variant=variant,
        value=found.value(),
        f1=tuple(totals.f1_by_class(found.totals).tolist()),
        hit_rate=found.value(totals.accuracy),
        support=tuple(selection.support.tolist()),
        n=selection.n_items,
        mean_union=selection.mean_union,
    )


def variant_table(selection: Selection, predictions: ArrayLike) -> dict[str, float]:
    """All variants for one system: the table that shows which reading a published number used."""
    return {name: contributions(selection, predictions, name).value() for name in VARIANTS}
