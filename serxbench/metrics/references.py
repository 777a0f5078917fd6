"""References from votes, in one place: plurality, strict majority and union, under named policies.

    votes V_ic (items × C + 1, the last column is Other), n_i = Σ_c V_ic
    plurality        the class with the most votes; an item with a tie has none (policy `ties`)
    strict majority  plurality with V_ic / n_i > 0.5
    union A_i        {c < C : V_ic > 0}   (policies `secondary`, `other_creditable`)

An item with a released consensus but no votes is scored against the consensus. It has no union and no strict
majority: these are None or excluded, never made up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from serxbench.emotions import NO_AGREEMENT
from serxbench.errors import MetricError
from serxbench.metrics.arrays import Integers, Mask, counts, mask
from serxbench.metrics.selection import Selection
from serxbench.records import Utterance

Subset = Literal["all", "strict"]
Kind = Literal["mv", "all"]

#: Written where an item has no plurality. Larger than any class, so that using it without the mask raises.
_NONE = np.iinfo(np.intp).max


@dataclass(frozen=True, kw_only=True)
class ReferencePolicy:
    """The choices that move a reference; `str(policy)` prints all of them for a signature.

    ties: what a tie gives: `none` no plurality; `first` the first tied class in the corpus's order; `random`
    one of the tied classes drawn with `seed` (depends on the order of the items: pass them in corpus order).
    other_in_strict_denominator: n_i of the strict majority counts votes for Other.
    other_creditable: an answer Other is a hit where an annotator said Other (a failed answer never is).
    secondary: the union has the secondary labels too.
    include_x: items without a plurality enter the All-labels scores; a miss there is charged to A_i in equal
    parts.

    >>> print(ReferencePolicy())
    ties:none+strict-n:all+other-credit:no+secondary:no+x:out
    """

    ties: Literal["none", "first", "random"] = "none"
    seed: int = 0
    other_in_strict_denominator: bool = True
    other_creditable: bool = False
    secondary: bool = False
    include_x: bool = False

    def __str__(self) -> str:
        ties = f"random({self.seed})" if self.ties == "random" else self.ties
        strict = "all" if self.other_in_strict_denominator else "classes"
        yes_no = {True: "yes", False: "no"}
        return (
            f"ties:{ties}+strict-n:{strict}+other-credit:{yes_no[self.other_creditable]}"
            f"+secondary:{yes_no[self.secondary]}+x:{'in' if self.include_x else 'out'}"
        )


@dataclass(frozen=True, kw_only=True)
class VoteTable:
    """What a corpus says of its items, as arrays.

    labels: the C class names. votes: (n, C + 1) counts. secondary: (n, C + 1) booleans, None if the corpus
    has no secondary labels. consensus: released label per item (`X` for no agreement), None where none was
    released.
    """

    labels: tuple[str, ...]
    votes: Integers
    secondary: Mask | None = None
    consensus: tuple[str | None, ...] | None = None

    def __post_init__(self) -> None:
        width = len(self.labels) + 1
        object.__setattr__(self, "votes", counts(self.votes, name="votes", columns=width))
        if self.secondary is not None:
            mask(self.secondary, name="secondary", shape=self.votes.shape)
        if self.consensus is not None and len(self.consensus) != len(self.votes):
            raise MetricError(
                f"{len(self.consensus)} consensus labels for {len(self.votes)} items: wanted one per item, "
                "None where none was released"
            )


def vote_table(utterances: Sequence[Utterance], labels: tuple[str, ...]) -> VoteTable:
    """The vote counts of `utterances`. A vote for a class outside `labels` counts as Other.

    >>> from serxbench.records import Vote
    >>> item = Utterance(id="a", votes=(Vote(primary="Sad"), Vote(primary="Sad"), Vote(primary="Fear")))
    >>> vote_table([item], ("Angry", "Sad")).votes.tolist()
    [[0, 2, 1]]
    """
    column = {label: position for position, label in enumerate(labels)}
    votes = np.zeros((len(utterances), len(labels) + 1), dtype=np.intp)
    secondary = np.zeros(votes.shape, dtype=np.bool_)
    for row, utterance in enumerate(utterances):
        for vote in utterance.votes:
            votes[row, column.get(vote.primary, len(labels))] += 1
            for label in vote.secondary:
                secondary[row, column.get(label, len(labels))] = True
    released = tuple(utterance.consensus for utterance in utterances)
    return VoteTable(
        labels=labels,
        votes=votes,
        secondary=secondary if secondary.any() else None,
        consensus=released if any(label is not None for label in released) else None,
    )


@dataclass(frozen=True, kw_only=True)
class References:
    """The references of n items under one policy.

    plurality: (n,) class index, C for Other; only meaningful where `has_plurality` (elsewhere a number that
    every metric refuses). union: (n, C + 1) booleans, last column Other, or None if no item has votes.
    strict: (n,) the plurality is a strict majority, or None likewise. n_votes: (n,).
    """

    labels: tuple[str, ...]
    policy: ReferencePolicy
    votes: Integers
    plurality: Integers
    has_plurality: Mask
    has_votes: Mask
    union: Mask | None
    strict: Mask | None

    @property
    def n_votes(self) -> Integers:
        """(n,) votes per item, Other included."""
        return np.asarray(self.votes.sum(axis=1), dtype=np.intp)

    def select(self, kind: Kind = "mv", subset: Subset = "all") -> Selection:
        """The items that a score is over, with their references, and how many were left out for which reason.

        kind `mv`: items with a plurality among the classes. kind `all`: those of them that have votes; with
        the policy `include_x` also items without a plurality whose union is not empty. subset `strict`:
        strict majorities only. Raises MetricError if that needs votes and no item has any, or if no item is
        left.
        """
        reasons = self._reasons(kind, subset)
        keep = np.flatnonzero(reasons == "")
        names, numbers = np.unique(reasons[reasons != ""], return_counts=True)
        excluded = {str(name): int(number) for name, number in zip(names, numbers, strict=True)}
        if not keep.size:
            raise MetricError(f"no item is left to score ({kind}, {subset}); excluded: {excluded}")
        with_votes = bool(self.has_votes[keep].all())
        return Selection(
            names=self.labels,
            items=keep,
            labels=np.where(self.has_plurality[keep], self.plurality[keep], len(self.labels)),
            has_label=self.has_plurality[keep],
            union=self.union[keep] if self.union is not None and with_votes else None,
            votes=self.votes[keep] if with_votes else None,
            excluded=excluded,
            subset=subset,
        )

    def _reasons(self, kind: Kind, subset: Subset) -> np.ndarray[tuple[int], np.dtype[np.str_]]:
        """Why an item is left out; empty for those that are kept."""
        needs_votes = kind == "all" or subset == "strict"
        if needs_votes and (self.union is None or self.strict is None):
            raise MetricError(
                f"{kind} references on the subset '{subset}' need the votes of single annotators, and no "
                "item has any; only mv on all items can be scored"
            )
        n_classes = len(self.labels)
        reasons = np.full(len(self.votes), "", dtype="U20")
        if subset == "strict" and self.strict is not None:
            reasons[~self.strict] = "no_strict_majority"
        reasons[self.has_plurality & (self.plurality == n_classes)] = "other_plurality"
        without = ~self.has_plurality
        if kind == "all" and subset == "all" and self.policy.include_x and self.union is not None:
            without &= ~self.union[:, :n_classes].any(axis=1)
        reasons[without] = "no_plurality"
        reasons[~self.has_votes & (~self.has_plurality | needs_votes)] = "no_votes"
        return reasons


def references(table: VoteTable, policy: ReferencePolicy | None = None) -> References:
    """The references of a vote table under `policy` (default `ReferencePolicy()`).

    >>> table = VoteTable(labels=("Angry", "Sad"), votes=np.array([[3, 1, 0], [1, 1, 0], [0, 1, 2]]))
    >>> found = references(table)
    >>> found.has_plurality.tolist(), found.plurality[[0, 2]].tolist(), found.strict.tolist()
    ([True, False, True], [0, 2], [True, False, True])
    >>> found.select("mv").excluded
    {'no_plurality': 1, 'other_plurality': 1}
    """
    policy = policy or ReferencePolicy()
    votes, n_classes = table.votes, len(table.labels)
    has_votes = votes.sum(axis=1) > 0
    plurality, has_plurality = _plurality(votes, policy)
    if table.consensus is not None:
        _use_consensus(table.consensus, table.labels, ~has_votes, plurality, has_plurality)
    if not has_votes.any():
        union, strict = None, None
    else:
        union = _union(table, policy)
        entitled = votes if policy.other_in_strict_denominator else votes[:, :n_classes]
        strict = has_votes & has_plurality & (2 * votes.max(axis=1) > entitled.sum(axis=1))
    return References(
        labels=table.labels,
        policy=policy,
        votes=votes,
        plurality=plurality,
        has_plurality=has_plurality,
        has_votes=has_votes,
        union=union,
        strict=strict,
    )


def plurality_of(votes: Integers) -> tuple[Integers, Mask]:
    """For each row of counts: the column with the most votes, and whether it is alone at the top."""
    top = votes.max(axis=1)
    alone = (top > 0) & ((votes == top[:, None]).sum(axis=1) == 1)
    return np.asarray(votes.argmax(axis=1), dtype=np.intp), alone


def _plurality(votes: Integers, policy: ReferencePolicy) -> tuple[Integers, Mask]:
    winner, alone = plurality_of(votes) if len(votes) else (np.zeros(0, np.intp), np.zeros(0, np.bool_))
    has_votes = votes.sum(axis=1) > 0
    if policy.ties == "random":
        draw = np.random.default_rng(policy.seed).random(votes.shape)
        tied = votes == votes.max(axis=1, initial=0)[:, None]
        winner = np.asarray(np.where(tied, draw, -1.0).argmax(axis=1), dtype=np.intp)
    known = alone if policy.ties == "none" else has_votes
    return np.where(known, winner, _NONE), known.copy()


def _use_consensus(
    consensus: Sequence[str | None],
    labels: tuple[str, ...],
    rows: Mask,
    plurality: Integers,
    has_plurality: Mask,
) -> None:
    """Writes the released label into `plurality` for those `rows` that have one."""
    column = {label: position for position, label in enumerate(labels)}
    for row in np.flatnonzero(rows).tolist():
        label = consensus[row]
        if label is not None and label != NO_AGREEMENT:
            plurality[row] = column.get(label, len(labels))
            has_plurality[row] = True


def _union(table: VoteTable, policy: ReferencePolicy) -> Mask:
    union = table.votes > 0
    if policy.secondary:
        if table.secondary is None:
            raise MetricError("the policy secondary=True needs secondary labels, and this corpus has none")
        union = union | (table.secondary & (table.votes.sum(axis=1) > 0)[:, None])
    if not policy.other_creditable:
        union[:, -1] = False
    return union


@dataclass(frozen=True, kw_only=True)
class ConsensusCheck:
    """How often the own plurality is the released consensus; `differing` lists item indices."""

    agree: int
    total: int
    differing: tuple[int, ...]


def check_consensus(table: VoteTable, found: References) -> ConsensusCheck:
    """Agreement of the own plurality with the released consensus, over items that have votes and a consensus.

    No plurality agrees with `X`; a consensus outside the class names agrees with a plurality of Other.
    """
    released: Sequence[str | None] = table.consensus or [None] * len(table.votes)
    own = [
        table.labels[winner] if known and winner < len(table.labels) else ("Other" if known else NO_AGREEMENT)
        for winner, known in zip(found.plurality.tolist(), found.has_plurality.tolist(), strict=True)
    ]
    both = [row for row, label in enumerate(released) if label is not None and found.has_votes[row]]
    known_names = {*table.labels, NO_AGREEMENT}
    differing = [row for row in both if own[row] != (released[row] if released[row] in known_names else "Other")]
    return ConsensusCheck(agree=len(both) - len(differing), total=len(both), differing=tuple(differing))
