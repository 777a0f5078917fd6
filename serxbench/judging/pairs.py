"""Which explanations are judged against each other, and in which order they are shown."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from serxbench.emotions import OTHER
from serxbench.errors import UnknownName, UsageError
from serxbench.judging.texts import Labelled

Rule = Literal["same-label", "all", "both-correct"]
Orders = Literal["both", "one"]

RULES: tuple[Rule, ...] = get_args(Rule)

ORDER_NAMES: tuple[Orders, ...] = get_args(Orders)

#: Systems are called a, b, c, … in the order of the command; so many have a letter.
LETTERS = "abcdefghijklmnopqrstuvwxyz"

#: The stratum of an item without a plurality, under the rule `all`.
UNDECIDED = "no plurality"


@dataclass(frozen=True, kw_only=True)
class System:
    """One system's explanations. answers: utterance id → text and label; an id without a text to judge is missing."""

    letter: str
    answers: Mapping[str, Labelled]


@dataclass(frozen=True, kw_only=True)
class Item:
    """Two systems' explanations of one utterance. pair: their letters, such as `ab`. emotion: the stratum."""

    id: str
    pair: str
    emotion: str
    texts: tuple[Labelled, Labelled]


@dataclass(frozen=True, kw_only=True)
class Stratum:
    """How many items of one emotion there were, were wanted (None: all) and were taken, for one pair of systems."""

    pair: str
    emotion: str
    n_eligible: int
    n_wanted: int | None
    n_taken: int

    @property
    def shortfall(self) -> int:
        """How many items are missing to what was wanted."""
        return 0 if self.n_wanted is None else max(self.n_wanted - self.n_taken, 0)


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """What is judged. left_out: pair → reason → items that the rule leaves out, before any sampling."""

    items: tuple[Item, ...]
    strata: tuple[Stratum, ...]
    left_out: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Selecting:
    """How items are chosen. per_emotion: None takes them all. labels: the emotions that are sampled."""

    rule: Rule = "same-label"
    per_emotion: int | None = None
    seed: int = 0
    labels: tuple[str, ...] = ()


def as_rule(name: str) -> Rule:
    """`name` as a Rule. Raises UnknownName."""
    if name not in RULES:
        raise UnknownName("rule for pairs", name, RULES)
    return name


def select(
    systems: Sequence[System], ids: Sequence[str], selecting: Selecting, plurality: Mapping[str, str | None]
) -> Pairs:
    """The items of every pair of systems, in the order of `ids`.

    same-label: both systems commit to the same class, which is the stratum; `Other` is none. all: every item that both
    explain, by the plurality. both-correct: both commit to the plurality. plurality: id → class; `same-label` needs
    none. A sample is the items with the smallest hashes of seed and id, so that it depends on no order, and samples of
    several pairs overlap as far as they can. Raises UsageError if nothing is left to judge.
    """
    if len(systems) < 2:
        raise UsageError("two runs or more are wanted: serxbench judge RUN_A RUN_B …")
    items: list[Item] = []
    strata: list[Stratum] = []
    left_out: dict[str, dict[str, int]] = {}
    for first, second in itertools.combinations(systems, 2):
        pair, reasons, eligible = first.letter + second.letter, Counter[str](), dict[str, list[Item]]()
        for id in ids:
            texts = first.answers.get(id), second.answers.get(id)
            emotion, reason = _stratum(texts, selecting, plurality.get(id))
            if reason is None and texts[0] is not None and texts[1] is not None:
                item = Item(id=id, pair=pair, emotion=emotion, texts=(texts[0], texts[1]))
                eligible.setdefault(emotion, []).append(item)
            else:
                reasons[str(reason)] += 1
        left_out[pair] = dict(sorted(reasons.items()))
        taken = {emotion: _sample(there, selecting) for emotion, there in eligible.items()}
        strata += _strata(pair, eligible, taken, selecting)
        kept = {item.id: item for chosen in taken.values() for item in chosen}
        items += [kept[id] for id in ids if id in kept]
    if not items:
        reasons_given = "; ".join(f"{pair}: {_listed(reasons)}" for pair, reasons in left_out.items())
        raise UsageError(f"no pair of explanations is left to judge ({reasons_given})")
    return Pairs(items=tuple(items), strata=tuple(strata), left_out=left_out)


def _stratum(
    texts: tuple[Labelled | None, Labelled | None], selecting: Selecting, plurality: str | None
) -> tuple[str, str | None]:
    """The stratum of an item, or why it is left out."""
    first, second = texts
    if first is None or second is None:
        return "", "no explanation"
    if selecting.rule == "all":
        return plurality or UNDECIDED, None
    if first.label is None or second.label is None:
        return "", "no label"
    if first.label != second.label:
        return "", "different labels"
    if first.label == OTHER:
        return "", "both say Other"
    if selecting.rule == "both-correct" and first.label != plurality:
        return "", "both are wrong" if plurality else "no plurality"
    return first.label, None


def _listed(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {reason}" for reason, n in reasons.items()) or "no utterance in common"


def _sample(items: Sequence[Item], selecting: Selecting) -> list[Item]:
    ranked = sorted(items, key=lambda item: rank(selecting.seed, "sample", item.id))
    return ranked[: selecting.per_emotion]


def rank(seed: int, *names: str) -> str:
    """A hash of seed and names to sort by: a random order that depends on nothing else."""
    return hashlib.sha256("\0".join([str(seed), *names]).encode()).hexdigest()


def _strata(
    pair: str, eligible: Mapping[str, list[Item]], taken: Mapping[str, list[Item]], selecting: Selecting
) -> list[Stratum]:
    emotions = [*selecting.labels, *sorted(set(eligible) - set(selecting.labels))]
    wanted = selecting.per_emotion
    return [
        Stratum(
            pair=pair,
            emotion=emotion,
            n_eligible=len(eligible.get(emotion, ())),
            n_wanted=None if emotion == UNDECIDED and emotion not in eligible else wanted,
            n_taken=len(taken.get(emotion, ())),
        )
        for emotion in emotions
    ]


def orders_of(items: Sequence[Item], orders: Orders, seed: int) -> dict[tuple[str, str], tuple[str, ...]]:
    """(pair, id) → the orders in which its systems are shown, such as `("ab", "ba")`.

    With one order, items come in random blocks of two within pair and emotion, one of each order, so that every system
    is shown first on half of each emotion's items, give or take one.
    """
    if orders == "both":
        return {(item.pair, item.id): (item.pair, item.pair[::-1]) for item in items}
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    groups: dict[tuple[str, str], list[Item]] = {}
    for item in items:
        groups.setdefault((item.pair, item.emotion), []).append(item)
    for (pair, emotion), members in groups.items():
        ranked = sorted(members, key=lambda item: rank(seed, "order", item.id))
        for number, item in enumerate(ranked):
            block = rank(seed, "block", pair, emotion, str(number // 2))
            turned = (int(block[:8], 16) + number) % 2
            found[pair, item.id] = (pair[::-1] if turned else pair,)
    return found
