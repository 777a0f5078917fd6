"""People's votes on the same pairs: how they are read, and how far the judge agrees with them.

A file of votes is JSONL or CSV with the columns `id` (the utterance), `vote` (the letter of the better system, or
`tie`), and, where they apply, `rater` and `pair` (`ab`; needed with more than two systems).
"""

from __future__ import annotations

import csv
import dataclasses
import itertools
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from serxbench.errors import MetricError, UsageError
from serxbench.metrics.arrays import Reals
from serxbench.statistics.judge_validity import corrected_rate
from serxbench.statistics.limits import Inference
from serxbench.statistics.pairwise import WinRate
from serxbench.statistics.two_raters import TwoRaters, compare_raters

TIE = "tie"


@dataclass(frozen=True, kw_only=True)
class Votes:
    """(pair, id) → rater → the letter of the better system, or `tie`."""

    by_item: Mapping[tuple[str, str], Mapping[str, str]]


def read_votes(path: Path, pairs: Sequence[str]) -> Votes:
    """The votes in a file. pairs: the pairs of systems that were judged. Raises UsageError naming file and row."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for number, row in _rows(path):
        pair = str(row.get("pair") or (pairs[0] if len(pairs) == 1 else ""))
        if pair not in pairs:
            raise UsageError(f"{path}:{number}: pair {pair!r}; wanted one of {', '.join(pairs)}")
        id, vote, rater = row.get("id"), str(row.get("vote", "")).strip(), str(row.get("rater") or "")
        if not isinstance(id, str) or not id:
            raise UsageError(f"{path}:{number}: has no id of an utterance")
        if vote not in (*pair, TIE):
            raise UsageError(f"{path}:{number}: vote {vote!r}; wanted {pair[0]}, {pair[1]} or tie")
        raters = found.setdefault((pair, id), {})
        if rater in raters:
            who = f"rater {rater!r}" if rater else "a rater without a name"
            raise UsageError(f"{path}:{number}: a second vote of {who} on {id!r}; give each rater a name and one vote")
        raters[rater] = vote
    if not found:
        raise UsageError(f"{path}: holds no votes; wanted rows with id and vote")
    return Votes(by_item=found)


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    with path.open(encoding="utf-8", newline="") as file:
        if path.suffix.lower() == ".csv":
            yield from enumerate(csv.DictReader(file), start=2)
            return
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise UsageError(f"{path}:{number}: is not JSON ({error})") from error
            if not isinstance(row, dict):
                raise UsageError(f"{path}:{number}: wanted an object with id and vote")
            yield number, row


def beside_people(pair: str, scores: Mapping[str, Reals], votes: Votes, rate: WinRate) -> dict[str, Any]:
    """The judge beside people on the items of one pair that both judged.

    scores: id → the first system's, one an order. The judge prefers a system on an item if its mean score says so. Of
    several raters the most frequent vote counts, and no one most frequent vote is a tie.
    """
    voted = {id: raters for (of, id), raters in votes.by_item.items() if of == pair}
    ids = sorted(id for id in voted if id in scores and not np.isnan(scores[id]).any())
    found: dict[str, Any] = {"n_voted": len(voted), "n": len(ids)}
    if not ids:
        return {**found, "reason": "no pair with votes has a verdict of the judge in every order"}
    people = [_most_frequent(list(voted[id].values())) for id in ids]
    means = [float(scores[id].mean()) for id in ids]
    judge = [pair[0] if mean > 0.5 else pair[1] if mean < 0.5 else TIE for mean in means]
    how = Inference(level=rate.level)
    agreed = compare_raters(judge, people, [*pair, TIE], how=how)
    found |= {"judge_and_people": _agreement(agreed), "people_and_people": _among_people(pair, voted, how)}
    numbers = [1.0 if vote == pair[0] else 0.0 if vote == pair[1] else 0.5 for vote in people]
    try:
        found["corrected_win_rate"] = dataclasses.asdict(corrected_rate(rate, means, numbers))
    except MetricError as error:
        found["corrected_win_rate"], found["correction_reason"] = None, str(error)
    return found


def _agreement(found: TwoRaters) -> dict[str, Any]:
    """With the agreement inside what the judge prefers, which a lopsided win rate hides."""
    inside = {code: found.given_first(code) for code in found.codes}
    return {
        **dataclasses.asdict(found),
        "within_judge": {code: {"agreed": agreed, "n": n} for code, (agreed, n) in inside.items()},
    }


def _among_people(pair: str, voted: Mapping[str, Mapping[str, str]], how: Inference) -> list[dict[str, Any]]:
    """Every two raters on the items that both voted on."""
    raters = sorted({rater for votes in voted.values() for rater in votes})
    found = []
    for one, other in itertools.combinations(raters, 2):
        both = [votes for _, votes in sorted(voted.items()) if one in votes and other in votes]
        if both:
            agreed = compare_raters([v[one] for v in both], [v[other] for v in both], [*pair, TIE], how=how)
            found.append({"raters": [one, other], **dataclasses.asdict(agreed)})
    return found


def _most_frequent(votes: Sequence[str]) -> str:
    (most, n), *others = Counter(votes).most_common()
    return TIE if others and others[0][1] == n else most
