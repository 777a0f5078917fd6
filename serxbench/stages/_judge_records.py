"""What a judge decided → the records of judgments.jsonl and canaries.jsonl, in the order of the plan."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from serxbench.judging.canaries import AGAIN, ORDERS, CanaryVerdict
from serxbench.judging.pairs import Item
from serxbench.records import Judgment
from serxbench.stages._judge_asking import Decided
from serxbench.stages._judge_plan import Key, Plan, in_order, orders_for, wanted


def judgments_of(plan: Plan, decided: Mapping[Key, Decided]) -> list[Judgment]:
    """One record a question of the comparison."""
    return [_judgment(item, form, order, decided, plan) for item, form, order in wanted(plan)]


def canary_verdicts_of(plan: Plan, decided: Mapping[Key, Decided]) -> list[CanaryVerdict]:
    """One record a question of the canaries."""
    return [*_canary_verdicts(plan, decided), *_again_verdicts(plan, decided)]


def _judgment(item: Item, form: str, order: str, decided: Mapping[Key, Decided], plan: Plan) -> Judgment:
    found = decided["pair", form, item.pair, order, item.id]
    first, second = plan.shown[form][item.pair, item.id]
    verdict = found.verdict
    evidence = None if verdict is None else verdict.evidence
    return Judgment(
        id=item.id,
        pair=item.pair,
        order=order,
        form=form,
        emotion=item.emotion,
        status=found.status,
        verdict=_winner(found, order[0], order[1]),
        confidence=None if verdict is None else verdict.confidence,
        evidence=None if evidence is None else in_order(evidence, order, item.pair),
        characters=(len(first), len(second)),
        text=found.reply,
        repair_text=found.repair,
        error=found.error,
        served=found.served,
    )


def _winner(found: Decided, first: str, second: str) -> str | None:
    """What the verdict A or B stands for."""
    return None if found.verdict is None else {"A": first, "B": second, "tie": "tie"}[found.verdict.choice]


def _canary_verdicts(plan: Plan, decided: Mapping[Key, Decided]) -> list[CanaryVerdict]:
    form = next(iter(plan.forms))
    verdicts = []
    for canary, order in itertools.product(plan.canaries, ORDERS):
        found = decided[canary.kind, form, canary.pair, order, canary.id]
        first, second = ("probe", "control") if order == ORDERS[0] else ("control", "probe")
        verdicts.append(_canary(canary.kind, canary.id, canary.pair, order, found, _winner(found, first, second)))
    return verdicts


def _again_verdicts(plan: Plan, decided: Mapping[Key, Decided]) -> list[CanaryVerdict]:
    form = next(iter(plan.forms))
    verdicts = []
    for item in plan.again:
        for order in orders_for(plan, item):
            first, second = (decided[kind, form, item.pair, order, item.id] for kind in ("pair", AGAIN))
            same = None
            if first.verdict is not None and second.verdict is not None:
                same = "same" if first.verdict.choice == second.verdict.choice else "other"
            verdicts.append(_canary(AGAIN, item.id, item.pair, order, second, same))
    return verdicts


def _canary(kind: str, id: str, pair: str, order: str, found: Decided, verdict: str | None) -> CanaryVerdict:
    return CanaryVerdict(
        kind=kind,
        id=id,
        pair=pair,
        order=order,
        status=found.status,
        verdict=verdict,
        text=found.reply,
        repair_text=found.repair,
        error=found.error,
    )
