"""The items that one score is over, with their references."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from serxbench.errors import MetricError
from serxbench.metrics.arrays import Integers, Mask, counts, distinct_rows, fingerprint_of, integers, mask, same_length


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The references of the items that a score is over; made by `References.select`, or from arrays by `of`.

    items: (n,) their indices in the corpus: take predictions with `predictions[selection.items]`.
    labels: (n,) plurality, a class below C where `has_label`. union: (n, C + 1), None where annotators are
    not known.
    votes: (n, C + 1), None likewise. excluded: reason → number of items left out.
    """

    names: tuple[str, ...]
    items: Integers
    labels: Integers
    has_label: Mask
    union: Mask | None = None
    votes: Integers | None = None
    excluded: Mapping[str, int] = field(default_factory=dict)
    subset: str = "all"

    @classmethod
    def of(
        cls,
        labels: ArrayLike,
        n_classes: int,
        *,
        votes: ArrayLike | None = None,
        union: ArrayLike | None = None,
    ) -> Selection:
        """A selection from arrays: plurality labels, and vote counts (n, C + 1) or unions (n, C) where known.

        Raises MetricError if a label is not in its item's union.

        >>> Selection.of([0, 1], 2, votes=[[2, 1, 0], [0, 3, 0]]).union.tolist()
        [[True, True, False], [False, True, False]]
        """
        plurality = integers(labels, name="references", low=0, high=n_classes - 1)
        n_items = same_length(references=plurality)
        known = None if votes is None else counts(votes, name="votes", columns=n_classes + 1)
        said: Mask | None = None
        if union is not None:
            said = np.zeros((n_items, n_classes + 1), dtype=np.bool_)
            said[:, :n_classes] = mask(union, name="union", shape=(n_items, n_classes))
        elif known is not None:
            same_length(references=plurality, votes=known)
            said = known > 0
            said[:, -1] = False
        if said is not None and not said[np.arange(n_items), plurality].all():
            row = int(np.flatnonzero(~said[np.arange(n_items), plurality])[0])
            raise MetricError(f"item {row}: its reference {plurality[row]} is not among its annotators' labels")
        return cls(
            names=tuple(str(position) for position in range(n_classes)),
            items=np.arange(n_items),
            labels=plurality,
            has_label=np.ones(n_items, dtype=np.bool_),
            union=said,
            votes=known,
        )

    def keep(self, which: Mask) -> Selection:
        """The items where `which` (n,) is true. Their number is another one: name the score that is over it."""
        chosen = mask(which, name="which", shape=(self.n_items,))
        return replace(
            self,
            items=self.items[chosen],
            labels=self.labels[chosen],
            has_label=self.has_label[chosen],
            union=None if self.union is None else self.union[chosen],
            votes=None if self.votes is None else self.votes[chosen],
        )

    @property
    def n_items(self) -> int:
        """Number of items."""
        return len(self.items)

    @property
    def n_classes(self) -> int:
        """Number of classes, Other not among them."""
        return len(self.names)

    @cached_property
    def support(self) -> Integers:
        """(C,) reference items of each class."""
        return np.bincount(self.labels[self.has_label], minlength=self.n_classes)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of items and references: two systems can be compared item by item only if theirs are equal."""
        return fingerprint_of(self.items, self.labels, self.has_label, self.union)

    @cached_property
    def mean_votes(self) -> float | None:
        """Mean number of votes per item, None where annotators are not known."""
        return None if self.votes is None else float(self.votes.sum(axis=1).mean())

    @cached_property
    def mean_union(self) -> float | None:
        """Mean |A_i|, None where annotators are not known. All-labels scores grow with it."""
        return None if self.union is None else float(self.union.sum(axis=1).mean())

    @cached_property
    def by_label(self) -> tuple[Integers, Integers]:
        """Items of one kind share the plurality (see `distinct_rows`)."""
        return distinct_rows(np.stack([self.labels, self.has_label.astype(np.intp)], axis=1))

    @cached_property
    def by_union(self) -> tuple[Integers, Integers]:
        """Items of one kind share plurality and union."""
        if self.union is None:
            raise MetricError("this score needs the labels of single annotators, and these items have none")
        own = np.stack([self.labels, self.has_label.astype(np.intp)], axis=1)
        return distinct_rows(np.hstack([own, self.union.astype(np.intp)]))

    @cached_property
    def by_votes(self) -> tuple[Integers, Integers]:
        """Items of one kind share plurality, union and vote counts."""
        if self.votes is None or self.union is None:
            raise MetricError("this score needs the vote counts of the items, and these items have none")
        own = np.stack([self.labels, self.has_label.astype(np.intp)], axis=1)
        return distinct_rows(np.hstack([own, self.union.astype(np.intp), self.votes]))
