"""Scores of one label per item: macro-F1, UAR, accuracy, weighted F1, per-class scores, confusion matrix.

An answer C (Other, failed, unparsed) is wrong: a miss for the reference's class, an answer for no class, and
it stays in every denominator. The numbers equal scikit-learn's with `labels=range(C), zero_division=0`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from serxbench.metrics import totals
from serxbench.metrics.arrays import Integers, Reals, integers, same_length

#: Whether macro averages run over all classes or over those that occur among the references.
Average = Literal["all", "present"]


@dataclass(frozen=True, kw_only=True)
class ClassScore:
    """Scores of one class. support: reference items. answered: how often it was the answer."""

    precision: float
    recall: float
    f1: float
    support: int
    answered: int


@dataclass(frozen=True, kw_only=True)
class Classification:
    """All plurality scores of one system.

    average: what the macro averages run over. confusion: C rows (references) of C + 1 numbers (answers, last
    Other or failed). n: items, all of them in the denominators.
    """

    macro_f1: float
    uar: float
    accuracy: float
    weighted_f1: float
    average: Average
    per_class: tuple[ClassScore, ...]
    confusion: tuple[tuple[int, ...], ...]
    n: int

    @property
    def support(self) -> tuple[int, ...]:
        """Reference items per class."""
        return tuple(score.support for score in self.per_class)


def confusion_matrix(references: ArrayLike, predictions: ArrayLike, n_classes: int) -> Integers:
    """(C, C + 1) counts: row = reference, column = answer, last column Other or failed.

    >>> confusion_matrix([0, 0, 1], [0, 2, 1], 2).tolist()
    [[1, 0, 1], [0, 1, 0]]
    """
    labels = integers(references, name="references", low=0, high=n_classes - 1)
    answers = integers(predictions, name="predictions", low=0, high=n_classes)
    same_length(references=labels, predictions=answers)
    width = n_classes + 1
    return np.bincount(labels * width + answers, minlength=n_classes * width).reshape(n_classes, width)


def totals_of(confusion: Integers) -> Reals:
    """The totals (see `serxbench.metrics.totals`) of a (C, C + 1) confusion matrix."""
    n_classes = len(confusion)
    hits = np.diagonal(confusion)
    answers = confusion[:, :n_classes].sum(axis=0)
    ends = [hits.sum(), confusion.sum()]
    counted: Reals = np.concatenate([hits, confusion.sum(axis=1), answers, ends]).astype(np.float64)
    return counted


def classification(
    references: ArrayLike, predictions: ArrayLike, n_classes: int, *, average: Average = "all"
) -> Classification:
    """All scores of one system. Raises MetricError for unequal lengths, no items or an unknown class.

    >>> scores = classification([0, 0, 1, 1], [0, 1, 1, 2], 2)
    >>> scores.macro_f1, scores.uar, scores.accuracy
    (0.5833333333333333, 0.5, 0.5)
    >>> scores.per_class[1]
    ClassScore(precision=0.5, recall=0.5, f1=0.5, support=2, answered=2)
    """
    confusion = confusion_matrix(references, predictions, n_classes)
    sums = totals_of(confusion)
    precision, recall = totals.precision_by_class(sums), totals.recall_by_class(sums)
    f1, (support, answered) = totals.f1_by_class(sums), sums[n_classes : 3 * n_classes].reshape(2, n_classes)
    per_class = tuple(
        ClassScore(
            precision=float(precision[c]),
            recall=float(recall[c]),
            f1=float(f1[c]),
            support=int(support[c]),
            answered=int(answered[c]),
        )
        for c in range(n_classes)
    )
    present = average == "present"
    return Classification(
        macro_f1=float((totals.macro_f1_present if present else totals.macro_f1)(sums)),
        uar=float((totals.uar_present if present else totals.uar)(sums)),
        accuracy=float(totals.accuracy(sums)),
        weighted_f1=float(totals.weighted_f1(sums)),
        average=average,
        per_class=per_class,
        confusion=tuple(map(tuple, confusion.tolist())),
        n=int(confusion.sum()),
    )


def macro_f1(references: ArrayLike, predictions: ArrayLike, n_classes: int) -> float:
    """Mean over all C classes of F1_c = 2 TP_c / (#{reference = c} + #{answer = c}).

    >>> macro_f1([0, 1, 1], [0, 1, 8], 8)
    0.20833333333333331
    """
    return float(totals.macro_f1(totals_of(confusion_matrix(references, predictions, n_classes))))
