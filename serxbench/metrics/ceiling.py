"""What one more annotator would score: the ceiling beside every score, by holding out each vote in turn.

Vote counts are enough: a vote c of item i is scored against the plurality and the union of V_i − e_c. Only
`per_annotator` needs to know who voted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from serxbench.errors import MetricError
from serxbench.metrics import totals
from serxbench.metrics.all_labels import DEFAULT_VARIANT, Variant, contributions
from serxbench.metrics.arrays import Integers, counts, distinct_rows, fingerprint_of, integers, same_length
from serxbench.metrics.references import plurality_of
from serxbench.metrics.selection import Selection
from serxbench.metrics.totals import Contributions


@dataclass(frozen=True, kw_only=True)
class LeaveOneOut:
    """Every vote of every item, held out in turn: the references that the other votes of its item give.

    selection: the references from the remaining votes. held_out: the vote (C for Other). item: which item.
    weight: how many equal votes of that item it stands for. n_votes: all votes. n_tied, n_other, n_alone:
    votes that were dropped because the others tie, have Other as plurality, or do not exist.
    """

    selection: Selection
    held_out: Integers
    item: Integers
    weight: Integers
    n_votes: int
    n_tied: int
    n_other: int
    n_alone: int


def leave_one_out(votes: ArrayLike) -> LeaveOneOut:
    """The leave-one-annotator-out cases of a (n, C + 1) matrix of vote counts, last column Other.

    >>> cases = leave_one_out([[2, 1, 0], [1, 1, 0]])
    >>> cases.held_out.tolist(), cases.weight.tolist(), cases.n_tied
    ([1, 0, 1], [1, 1, 1], 2)
    """
    table = counts(votes, name="votes")
    n_classes = table.shape[1] - 1
    item, held_out = (index.astype(np.intp) for index in np.nonzero(table))
    weight = table[item, held_out]
    rest = table[item]
    rest[np.arange(len(item)), held_out] -= 1
    winner, alone_at_top = plurality_of(rest)
    alone = rest.sum(axis=1) == 0
    other = alone_at_top & (winner == n_classes)
    keep = alone_at_top & ~other
    if not keep.any():
        raise MetricError("no vote can be held out: wanted items with two votes or more that do not tie")
    union = rest[keep] > 0
    union[:, -1] = False
    selection = Selection(
        names=tuple(str(c) for c in range(n_classes)),
        items=np.arange(int(keep.sum())),
        labels=winner[keep],
        has_label=np.ones(int(keep.sum()), np.bool_),
        union=union,
        votes=rest[keep],
        subset="leave-one-out",
    )
    return LeaveOneOut(
        selection=selection,
        held_out=held_out[keep],
        item=item[keep],
        weight=weight[keep],
        n_votes=int(table.sum()),
        n_tied=int(weight[~alone_at_top & ~alone].sum()),
        n_other=int(weight[other].sum()),
        n_alone=int(weight[alone].sum()),
    )


def human_contributions(votes: ArrayLike, variant: str | Variant = "mv") -> Contributions:
    """What each item adds to the totals of one more annotator: every vote against the others of its item.

    An item adds all its votes, so intervals over these contributions resample items (or speakers), never
    single votes.
    """
    table = counts(votes, name="votes")
    first, codes = distinct_rows(table)
    cases = leave_one_out(table[first])
    return _per_item(cases, cases.held_out, variant, codes=codes, items=fingerprint_of(table))


def matched_contributions(votes: ArrayLike, predictions: ArrayLike, variant: str | Variant = "mv") -> Contributions:
    """What each item adds when a model is scored on exactly the references of the human ceiling.

    A model usually faces n annotators and the held-out human n − 1. Compare model and human only by these
    numbers.
    """
    table = counts(votes, name="votes")
    answers = integers(predictions, name="predictions", low=0, high=table.shape[1] - 1)
    same_length(votes=table, predictions=answers)
    first, codes = distinct_rows(np.column_stack([table, answers]))
    cases = leave_one_out(table[first])
    return _per_item(cases, answers[first][cases.item], variant, codes=codes, items=fingerprint_of(table))


def _per_item(
    cases: LeaveOneOut, predictions: Integers, variant: str | Variant, *, codes: Integers, items: str
) -> Contributions:
    """Sums the cases of each kind of item; kinds whose votes were all dropped keep a row of zeros."""
    n_kinds = int(codes.max()) + 1
    found = contributions(cases.selection, predictions, variant)
    rows = np.zeros((n_kinds, found.rows.shape[1]))
    np.add.at(rows, cases.item, found.rows[found.codes] * cases.weight[:, None])
    n_classes = cases.selection.n_classes
    references = (rows[:, n_classes : 2 * n_classes] * np.bincount(codes, minlength=n_kinds)[:, None]).sum(axis=0)
    return Contributions(
        codes=codes,
        rows=rows,
        formula=found.formula,
        support=np.rint(references).astype(np.intp),
        names=cases.selection.names,
        fingerprint=items,
    )


@dataclass(frozen=True, kw_only=True)
class Ceiling:
    """What one more annotator scores (`human_*`), and a model on the same references (`model_*`, else None).

    all: the variant `all_variant`. tied: share of the votes that were dropped because the others of their
    item tie. mean_votes, mean_union: of the items. All-labels numbers of corpora that differ in them cannot
    be compared.
    """

    human_mv: float
    human_accuracy: float
    human_all: float
    model_mv: float | None
    model_all: float | None
    all_variant: str
    n_votes: int
    tied: float
    mean_votes: float
    mean_union: float


def human_ceiling(votes: ArrayLike, predictions: ArrayLike | None = None, variant: str = DEFAULT_VARIANT) -> Ceiling:
    """The leave-one-annotator-out ceiling of a (n, C + 1) matrix of counts, and the matched score of a model.

    >>> found = human_ceiling([[3, 0, 0], [0, 3, 0], [2, 1, 0]], predictions=[0, 1, 0])
    >>> round(found.human_mv, 4), found.model_mv
    (0.8571, 1.0)
    """
    table = counts(votes, name="votes")
    cases = leave_one_out(table)
    human = human_contributions(table, "mv")
    model = (
        dict.fromkeys(("mv", variant))
        if predictions is None
        else {name: matched_contributions(table, predictions, name).value() for name in ("mv", variant)}
    )
    return Ceiling(
        human_mv=human.value(),
        human_accuracy=human.value(totals.accuracy),
        human_all=human_contributions(table, variant).value(),
        model_mv=model["mv"],
        model_all=model[variant],
        all_variant=variant,
        n_votes=cases.n_votes,
        tied=cases.n_tied / cases.n_votes,
        mean_votes=float(table.sum(axis=1).mean()),
        mean_union=float((table[:, :-1] > 0).sum(axis=1).mean()),
    )


@dataclass(frozen=True, kw_only=True)
class AnnotatorScores:
    """Leave-one-out scores of single annotators: `values[a]` over `n_votes[a]` held-out votes of annotator a.

    Only annotators with enough votes are listed; n_left_out counts the others. sd is None for a single
    annotator.
    """

    annotators: tuple[int, ...]
    values: tuple[float, ...]
    n_votes: tuple[int, ...]
    n_left_out: int

    @property
    def mean(self) -> float:
        """Mean over annotators."""
        return float(np.mean(self.values))

    @property
    def sd(self) -> float | None:
        """Standard deviation over annotators (n − 1)."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else None


def per_annotator(
    items: ArrayLike,
    annotators: ArrayLike,
    labels: ArrayLike,
    n_classes: int,
    *,
    variant: str | Variant = "mv",
    min_items: int = 30,
) -> AnnotatorScores:
    """Each annotator's score against the other annotators of the same items. One array entry per vote.

    items, annotators: indices from 0. labels: a class, or C for Other. Held-out votes whose item has no
    plurality among the other votes are dropped before `min_items` is asked for.
    """
    high = np.iinfo(np.intp).max
    item, who = (
        integers(values, name=name, low=0, high=high) for values, name in ((items, "items"), (annotators, "annotators"))
    )
    label = integers(labels, name="labels", low=0, high=n_classes)
    same_length(items=item, annotators=who, labels=label)
    cases_of = np.zeros((int(item.max()) + 1, n_classes + 1), dtype=np.intp)
    np.add.at(cases_of, (item, label), 1)
    cases = leave_one_out(cases_of)
    position = np.full(cases_of.shape, len(cases.item), dtype=np.intp)
    position[cases.item, cases.held_out] = np.arange(len(cases.item))
    case = position[item, label]
    found = contributions(cases.selection, cases.held_out, variant)
    who, case = who[case < len(cases.item)], case[case < len(cases.item)]
    sizes = np.bincount(who, minlength=int(who.max()) + 1)
    enough = np.flatnonzero(sizes >= min_items)
    if not enough.size:
        raise MetricError(f"no annotator has {min_items} held-out votes (the most is {sizes.max()}); lower min_items")
    rows = found.rows[found.codes]
    values = [float(found.formula(rows[case[who == annotator]].sum(axis=0))) for annotator in enough]
    return AnnotatorScores(
        annotators=tuple(enough.tolist()),
        values=tuple(values),
        n_votes=tuple(sizes[enough].tolist()),
        n_left_out=int(len(np.unique(integers(annotators, name="annotators", low=0, high=high))) - len(enough)),
    )


def draw_panel(votes: ArrayLike, size: int, *, seed: int = 0) -> Integers:
    """Vote counts of a panel of `size` votes drawn without replacement from each item's own.

    All-labels scores grow with the panel, so scores on corpora of different panel sizes are comparable only
    after this; average a few seeds. Raises MetricError if an item has fewer votes.

    >>> draw_panel([[5, 0, 0], [0, 4, 0]], 3).tolist()
    [[3, 0, 0], [0, 3, 0]]
    """
    table = counts(votes, name="votes")
    short = np.flatnonzero(table.sum(axis=1) < size)
    if short.size or size < 1:
        raise MetricError(
            f"a panel of {size}: {short.size} items have fewer votes (indices {short[:3].tolist()} …); "
            "wanted a size from 1 that every item can fill: leave those items out, or draw a smaller one"
        )
    draws = np.random.default_rng(seed)
    kinds, inverse = np.unique(table, axis=0, return_inverse=True)
    panel = np.zeros_like(table)
    for kind, row in enumerate(kinds):
        among = np.flatnonzero(inverse.reshape(-1) == kind)
        panel[among] = draws.multivariate_hypergeometric(row, size, size=len(among))
    return panel
