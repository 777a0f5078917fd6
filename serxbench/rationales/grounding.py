"""Are the claims of rationales true of their clips? Claims against measurements, and against chance.

A number says little by itself: a pitch of 200 Hz is high for one voice and low for another. Each clip is therefore
placed among the clips of its speaker, or of the corpus where the speaker has too few: its rank, 0 for the lowest and 1
for the highest. A claim is

    supported      high: rank of 0.6 or more;  low: 0.4 or less;  middle: 0.25 to 0.75
    contradicted   high: 0.4 or less;          low: 0.6 or more;  middle: below 0.15 or above 0.85
    not checkable  anything between, a negated claim, a clip that could not be measured, nothing to compare with

The rate is supported / (supported + contradicted). What chance gives is found by dealing the rationales out to other
clips of the same speaker: a rationale that says what is true of most clips of its speaker is supported by chance too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from serxbench.rationales.claims import PROPERTIES, Claim, Direction

Verdict = Literal["supported", "contradicted", "not_checkable"]

#: Fewer clips of a speaker than this are no distribution.
FEWEST_CLIPS = 8

_SUPPORTED: Mapping[Direction, tuple[float, float]] = {"high": (0.6, 1.0), "low": (0.0, 0.4), "middle": (0.25, 0.75)}
_DIRECTIONS: tuple[Direction, ...] = ("high", "middle", "low")
#: Every kind of claim that can be checked; the columns of the arrays below.
_KINDS = tuple((property, direction) for property in PROPERTIES for direction in _DIRECTIONS)

Reals = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Chance:
    """What dealing the rationales out anew gives. rate: the mean over the deals. p: of a rate as high as was found.

    n_moved: clips that have another clip of their speaker to change with; the others stay as they are in every deal.
    """

    rate: float
    low: float
    high: float
    p: float
    n_deals: int
    n_moved: int


def rank_clips(
    measures: Sequence[Mapping[str, float]], speakers: Sequence[str | None]
) -> tuple[list[dict[str, float]], list[str]]:
    """For each clip: property → its rank among the clips it is compared with, and whose these are.

    The second list says `speaker` or `corpus`. Ties share their middle rank. A property with one value has no ranks.

    >>> ranks, among = rank_clips([{"pitch": 3.0}, {"pitch": 1.0}, {}], [None] * 3)
    >>> ranks, among[0]
    ([{'pitch': 1.0}, {'pitch': 0.0}, {}], 'corpus')
    """
    members: dict[str, list[int]] = defaultdict(list)
    for place, speaker in enumerate(speakers):
        members[speaker or ""].append(place)
    enough = {name for name, places in members.items() if name and len(places) >= FEWEST_CLIPS}
    among = ["speaker" if speaker in enough else "corpus" for speaker in speakers]
    ranks: list[dict[str, float]] = [{} for _ in measures]
    everything = list(range(len(measures)))
    for property in PROPERTIES:
        of_corpus = _ranks(measures, everything, property)
        of_speaker = {k: v for name in enough for k, v in _ranks(measures, members[name], property).items()}
        for place, kind in enumerate(among):
            found = (of_speaker if kind == "speaker" else of_corpus).get(place)
            if found is not None:
                ranks[place][property] = found
    return ranks, among


def _ranks(measures: Sequence[Mapping[str, float]], places: Sequence[int], property: str) -> dict[int, float]:
    known = [place for place in places if property in measures[place]]
    values = np.array([measures[place][property] for place in known])
    if len(known) < 2 or values.min() == values.max():
        return {}
    ordered = np.sort(values)
    middle = (np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right") - 1) / 2
    return dict(zip(known, (middle / (len(known) - 1)).tolist(), strict=True))


def verdict(claim: Claim, ranks: Mapping[str, float]) -> Verdict:
    """What the clip's ranks say of a claim.

    >>> claim = Claim(property="pitch", direction="high", words="high pitch")
    >>> [verdict(claim, {"pitch": rank}) for rank in (0.7, 0.5, 0.1)]
    ['supported', 'not_checkable', 'contradicted']
    """
    rank = ranks.get(claim.property)
    if rank is None or claim.negated:
        return "not_checkable"
    low, high = _SUPPORTED[claim.direction]
    if low <= rank <= high:
        return "supported"
    if claim.direction == "middle":
        return "contradicted" if not 0.15 <= rank <= 0.85 else "not_checkable"
    opposite = _SUPPORTED["low" if claim.direction == "high" else "high"]
    return "contradicted" if opposite[0] <= rank <= opposite[1] else "not_checkable"


def chance(
    claims: Sequence[Sequence[Claim]],
    ranks: Sequence[Mapping[str, float]],
    groups: Sequence[str | None],
    *,
    n_deals: int = 1000,
    seed: int = 0,
) -> Chance | None:
    """The rate with the rationales dealt out among the clips of each group; None if no claim can be checked.

    p = (1 + deals with at least the rate found) / (1 + deals). The draw depends on the seed and the order of the clips.
    """
    says = _count(claims)
    supports, decides = _outcomes(ranks)
    observed = _rate(says, supports, decides, np.arange(len(says)))
    if observed is None:
        return None
    random = np.random.default_rng(seed)
    members: dict[str, list[int]] = defaultdict(list)
    for place, group in enumerate(groups):
        members[group or ""].append(place)
    movable = [np.array(places) for places in members.values() if len(places) > 1]
    rates = []
    for _ in range(n_deals):
        order = np.arange(len(says))
        for places in movable:
            order[places] = random.permutation(places)
        rate = _rate(says, supports, decides, order)
        if rate is not None:
            rates.append(rate)
    if not rates:
        return None
    low, high = np.quantile(rates, [0.025, 0.975])
    return Chance(
        rate=float(np.mean(rates)),
        low=float(low),
        high=float(high),
        p=float((1 + sum(rate >= observed - 1e-12 for rate in rates)) / (1 + len(rates))),
        n_deals=len(rates),
        n_moved=int(sum(len(places) for places in movable)),
    )


def _count(claims: Sequence[Sequence[Claim]]) -> Reals:
    """(clips, kinds) how often each rationale makes each kind of claim, negated ones left out."""
    says = np.zeros((len(claims), len(_KINDS)))
    for row, found in zip(says, claims, strict=True):
        for claim in found:
            if not claim.negated:
                row[_KINDS.index((claim.property, claim.direction))] += 1
    return says


def _outcomes(ranks: Sequence[Mapping[str, float]]) -> tuple[Reals, Reals]:
    """(clips, kinds) whether a claim of each kind would be supported by each clip, and whether it would be decided."""
    kinds = [Claim(property=property, direction=direction, words="") for property, direction in _KINDS]
    verdicts = [[verdict(kind, known) for kind in kinds] for known in ranks]
    supports = np.array([[each == "supported" for each in row] for row in verdicts], dtype=np.float64)
    decides = np.array([[each != "not_checkable" for each in row] for row in verdicts], dtype=np.float64)
    return supports.reshape(-1, len(_KINDS)), decides.reshape(-1, len(_KINDS))


def _rate(says: Reals, supports: Reals, decides: Reals, order: NDArray[np.intp]) -> float | None:
    """The rate when clip n is explained by rationale order[n]."""
    decided = float((says[order] * decides).sum())
    return float((says[order] * supports).sum()) / decided if decided else None
