"""Judgments → win rates: what win_rates.json says of them. Reads no file and asks nobody."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np

from serxbench.errors import MetricError
from serxbench.judging.canaries import CanaryResult
from serxbench.judging.pairs import Stratum
from serxbench.records import Judgment
from serxbench.stages._judge_people import Votes, beside_people
from serxbench.statistics.bradley_terry import bradley_terry
from serxbench.statistics.judge_glm import LENGTH_ALARM, judge_model
from serxbench.statistics.pairwise import Verdicts, WinRate, order_effects, win_rate
from serxbench.statistics.proportions import wilson

#: How the emotions weigh in a win rate: alike, by the items judged, or by the items that the rule for pairs allows.
WeightsName = Literal["emotions", "items", "population"]

WEIGHTS: tuple[WeightsName, ...] = get_args(WeightsName)

#: A judge that falls for more of a kind of canary than this is named in the warnings.
MOST_FOOLED = 0.1


def compare_pair(
    judgments: Sequence[Judgment], strata: Sequence[Stratum], weights: WeightsName, level: float, votes: Votes | None
) -> dict[str, Any]:
    """The numbers of one pair of systems in one form. judgments: all of them, in any order."""
    emotions = tuple(stratum.emotion for stratum in strata if stratum.n_taken)
    verdicts, ids, delta = _arrays(judgments, emotions)
    found: dict[str, Any] = {
        "pair": judgments[0].pair,
        "form": judgments[0].form,
        "weights": weights,
        "statuses": dict(sorted(Counter(each.status for each in judgments).items())),
        "mean_confidence": _mean([each.confidence for each in judgments if each.confidence is not None]),
        "mean_characters": _mean_lengths(judgments),
    }
    shares = _shares(strata, weights)
    try:
        rate = win_rate(verdicts, shares, level)
        found["win_rate"] = plain(rate)
        found["orders"] = plain(order_effects(verdicts, level))
    except MetricError as error:
        return {**found, "win_rate": None, "reason": str(error)}
    found["by_emotion"] = [_one_emotion(verdicts, h, name, level) for h, name in enumerate(emotions)]
    try:
        model = judge_model(verdicts, delta, shares, level)
        found["model"] = {**plain(model), "length_alarm": _length_alarm(rate, model.win_rate_equal_length.value)}
    except MetricError as error:
        found["model"], found["model_reason"] = None, str(error)
    if votes is not None:
        found["people"] = beside_people(judgments[0].pair, dict(zip(ids, verdicts.scores, strict=True)), votes, rate)
    return found


def _arrays(judgments: Sequence[Judgment], emotions: tuple[str, ...]) -> tuple[Verdicts, list[str], list[float]]:
    """The verdicts as arrays, the id of each row, and by how much its first system's text is the longer one."""
    by_id: dict[str, dict[str, Judgment]] = {}
    for each in judgments:
        by_id.setdefault(each.id, {})[each.order] = each
    ids, pair = sorted(by_id), judgments[0].pair
    n_orders = max(len(each) for each in by_id.values())
    rows = [sorted(by_id[id].values(), key=lambda one: one.order) for id in ids]
    scores = np.array([[_score(one, pair) for one in row] for row in rows]).reshape(len(ids), n_orders)
    first = np.array([[float(one.order == pair) for one in row] for row in rows]).reshape(len(ids), n_orders)
    strata = np.array([emotions.index(row[0].emotion) for row in rows], dtype=np.intp)
    delta = [float(row[0].characters[0] - row[0].characters[1]) for row in rows]
    return Verdicts(scores=scores, first=first, strata=strata, names=emotions), ids, delta


def _score(judgment: Judgment, pair: str) -> float:
    if judgment.verdict is None:
        return math.nan
    return 0.5 if judgment.verdict == "tie" else float(judgment.verdict == pair[0])


def _shares(strata: Sequence[Stratum], weights: WeightsName) -> list[float] | None:
    there = [stratum for stratum in strata if stratum.n_taken]
    if weights == "emotions":
        return None
    return [float(each.n_taken if weights == "items" else each.n_eligible) for each in there]


def _one_emotion(verdicts: Verdicts, number: int, name: str, level: float) -> dict[str, Any]:
    inside = verdicts.take(verdicts.strata == number)
    alone = dataclasses.replace(inside, strata=np.zeros(len(inside.strata), dtype=np.intp), names=(name,))
    try:
        return {"emotion": name, **plain(win_rate(alone, None, level))}
    except MetricError as error:
        return {"emotion": name, "value": None, "reason": str(error)}


def _length_alarm(rate: WinRate, controlled: float) -> bool:
    return abs(rate.value - controlled) > LENGTH_ALARM


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _mean_lengths(judgments: Sequence[Judgment]) -> list[float]:
    return [float(np.mean([each.characters[side] for each in judgments])) for side in (0, 1)]


def strengths(judgments: Sequence[Judgment], letters: Sequence[str], level: float) -> dict[str, Any] | None:
    """Bradley-Terry strengths of three systems or more in one form; None for two."""
    if len(letters) < 3:
        return None
    read = [each for each in judgments if each.verdict is not None]
    number = {letter: n for n, letter in enumerate(letters)}
    ids = {id: n for n, id in enumerate(sorted({each.id for each in read}))}
    try:
        found = bradley_terry(
            letters,
            np.array([number[each.order[0]] for each in read], dtype=np.intp),
            np.array([number[each.order[1]] for each in read], dtype=np.intp),
            np.array([_score(each, each.order) for each in read]),
            np.array([ids[each.id] for each in read], dtype=np.intp),
            level,
        )
    except MetricError as error:
        return {"reason": str(error)}
    return {"form": judgments[0].form, **dict(plain(found))}


def canary_rows(results: Sequence[CanaryResult], level: float) -> list[dict[str, Any]]:
    """Each kind with the share that fooled the judge and its interval; verdicts on one canary count one by one."""
    rows = []
    for each in results:
        row = {**dataclasses.asdict(each), "share_fooled": None, "low": None, "high": None, "level": level}
        if each.n:
            low, high = wilson(each.fooled, each.n, level)
            row |= {"share_fooled": each.fooled / each.n, "low": low, "high": high}
        rows.append(row)
    return rows


def plain(value: Any) -> Any:
    """Dataclasses and arrays as JSON knows them. What is not a number is None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def judge_warnings(pairs: Sequence[Mapping[str, Any]], canaries: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the numbers themselves say against the judge."""
    found = [warning for pair in pairs for warning in _pair_warnings(pair)]
    for row in canaries:
        if row["kind"] == "identical" and row["n"] and row["n_ties"] / row["n"] < 0.5:
            found.append(
                f"of two identical texts the judge prefers one in {row['fooled']} of {row['n']} answers, in "
                f"{row['n_first']} of them the one shown first"
            )
        elif row["kind"] not in ("identical", "other clip") and row["n"] and row["share_fooled"] > MOST_FOOLED:
            found.append(f"the judge falls for {row['fooled']} of {row['n']} canaries '{row['kind']}': {row['asks']}")
        if row["n_unread"]:
            total = row["n"] + row["n_unread"]
            found.append(f"canaries '{row['kind']}': {row['n_unread']} of {total} answers could not be read")
    return found


def _pair_warnings(pair: Mapping[str, Any]) -> list[str]:
    name = "{} against {}".format(*pair["pair"])
    if pair["win_rate"] is None:
        return [f"{name}: {pair['reason']}"]
    found = []
    rate, orders, model = pair["win_rate"], pair["orders"], pair["model"]
    position, flips = orders["first_position"], orders["flips"]
    if position and not position["low"] <= 0.5 <= position["high"]:
        found.append(
            f"{name}: the judge leans to the text shown {'first' if position['value'] > 0.5 else 'second'} "
            f"({position['value']:.0%} of its decisions are for the first)"
        )
    if flips and flips["value"] > 0.25:
        more = "; the win rate says more of the order than of the systems" if flips["value"] > 0.5 else ""
        found.append(f"{name}: {flips['value']:.0%} of the decisions turn round with the order of the texts{more}")
    if model and model["length_alarm"]:
        found.append(
            f"{name}: at equal length the win rate is {model['win_rate_equal_length']['value']:.1%} instead of "
            f"{rate['value']:.1%}; length decides more than ten points"
        )
    if model and not model["converged"]:
        found.append(f"{name}: the model of position and length did not converge; its numbers mean nothing")
    if rate["n_incomplete"]:
        found.append(
            f"{name}: {rate['n_incomplete']} items lack a verdict; with them the win rate is between "
            f"{rate['worst']:.1%} and {rate['best']:.1%}"
        )
    return found
