"""A judging as tables, or as JSON, on stdout; and what the options of `serxbench judge` mean."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from serxbench.cli._console import print_table

if TYPE_CHECKING:
    from serxbench.stages._judge_plan import JudgeRequest
    from serxbench.stages.judge import JudgeForecast, Judging


def make_judge_request(given: Mapping[str, Any], llm: dict[str, Any]) -> JudgeRequest:
    """The request that the options mean. Raises UsageError."""
    from serxbench.cli._llm import make_llm_request
    from serxbench.errors import UnknownName, UsageError
    from serxbench.judging.pairs import ORDER_NAMES, Selecting, as_rule
    from serxbench.judging.texts import Dress
    from serxbench.stages._judge_numbers import WEIGHTS
    from serxbench.stages._judge_plan import JudgeRequest

    if given["judge_audio"] and given["judge_transcript"]:
        raise UsageError("--judge-audio and --judge-transcript exclude each other: a judge that hears needs no words")
    if given["per_emotion"] < 0 or given["canaries"] < 0 or given["max_new_tokens"] < 1:
        raise UsageError("--per-emotion and --canaries must be 0 or more, --max-new-tokens at least 1")
    if not 0 < given["level"] < 1:
        raise UsageError(f"--level: wanted a share between 0 and 1, such as 0.95; found {given['level']:g}")
    for kind, known in (("orders", ORDER_NAMES), ("weights", WEIGHTS)):
        if given[kind] not in known:
            raise UnknownName(kind, given[kind], known)
    dress = Dress.of(tuple(name.strip() for name in given["normalise"].split(",") if name.strip()))
    selecting = Selecting(rule=as_rule(given["rule"]), per_emotion=given["per_emotion"] or None, seed=given["seed"])
    return JudgeRequest(
        llm=make_llm_request(given["judge"], llm),
        sees="audio" if given["judge_audio"] else "transcript" if given["judge_transcript"] else "none",
        selecting=selecting,
        orders=given["orders"],
        dress=dress,
        beside=given["with_and_without"],
        n_canaries=given["canaries"],
        weights=given["weights"],
        level=given["level"],
        votes=given["human_votes"],
        max_new_tokens=given["max_new_tokens"],
        prompts=given["prompts"],
        may_upload=given["may_upload"],
        figure=given["figure"],
    )


def print_forecast(found: JudgeForecast, as_json: bool) -> None:
    """What `--dry-run` prints."""
    if as_json:
        click.echo(found.to_json())
        return
    for pair, emotions in found.pairs.items():
        taken = ", ".join(f"{emotion} {n}" for emotion, n in emotions.items() if n)
        click.echo(f"{pair}: {sum(emotions.values())} pairs: {taken or 'none'}")
    price = "unknown" if found.usd is None else f"at most ${found.usd:,.2f}, with replies as long as they may be"
    click.echo(
        f"{found.judge}: {found.n_questions} different questions ({found.n_pair_questions} on pairs, "
        f"{found.n_canary_questions} on canaries), about {found.prompt_tokens:,} tokens of prompt, price {price}"
    )


def print_judging(found: Judging, as_json: bool) -> None:
    """JSON is what win_rates.json holds, with the folder under `judging`."""
    numbers = found.numbers
    if as_json:
        click.echo(json.dumps({"judging": str(found.folder), **numbers}, indent=1, ensure_ascii=False))
        return
    saw = {"none": "the texts alone", "transcript": "the texts and the transcript", "audio": "the texts and the sound"}
    judge = numbers["judge"]
    click.echo(f"judge {judge['name']}, who had {saw[judge['sees']]}; pairs: {numbers['rule']}")
    for letter, system in numbers["systems"].items():
        texts = ", ".join(f"{n} {kind.replace('_', ' ')}" for kind, n in system["texts"].items())
        click.echo(f"  {letter} = {system['name']} ({system['run']}): {texts}")
    _print_strata(numbers["strata"], numbers["left_out"])
    for pair in numbers["pairs"]:
        click.echo()
        _print_pair(pair, numbers["systems"])
    for ranked in numbers["strengths"]:
        click.echo()
        _print_strengths(ranked, numbers["systems"])
    click.echo()
    _print_canaries(numbers["canaries"])
    for warning in numbers["warnings"]:
        click.echo(f"warning: {warning}")
    click.echo(f"judging: {found.folder}")


def _print_strata(strata: Sequence[Mapping[str, Any]], left_out: Mapping[str, Mapping[str, int]]) -> None:
    for pair in dict.fromkeys(each["pair"] for each in strata):
        own = [each for each in strata if each["pair"] == pair]
        rows = [
            [each["emotion"], str(each["n_eligible"]), _or_dash(each["n_wanted"]), str(each["n_taken"]),
             str(each["shortfall"])]
            for each in own
        ]  # fmt: skip
        title = f"\n{pair}: {sum(each['n_taken'] for each in own)} pairs of {sum(each['n_eligible'] for each in own)}"
        print_table(["emotion", "eligible", "wanted", "taken", "missing"], rows, title)
        if left_out.get(pair):
            click.echo("left out: " + ", ".join(f"{n} {reason}" for reason, n in left_out[pair].items()))


def _print_pair(pair: Mapping[str, Any], systems: Mapping[str, Any]) -> None:
    first, second = (systems[letter]["name"] for letter in pair["pair"])
    click.echo(f"{first} against {second}, {pair['form']}")
    rate = pair["win_rate"]
    if rate is None:
        click.echo(f"  no win rate: {pair['reason']}")
        return
    level = f"{rate['level']:.0%}"
    rows = [_rate_row("all", rate), *(_rate_row(each["emotion"], each) for each in pair["by_emotion"])]
    print_table(
        ["emotion", "win rate", f"{level} interval", "items", "win", "tie", "loss", "no verdict", "bounds"], rows
    )
    click.echo(f"interval: {rate['method']} over items; weights: {pair['weights']}")
    _print_order(pair["orders"])
    _print_model(pair)
    statuses = ", ".join(f"{n} {status}" for status, n in pair["statuses"].items())
    lengths = " and ".join(f"{n:.0f}" for n in pair["mean_characters"])
    click.echo(f"questions: {statuses}; mean lengths {lengths} characters")
    if "people" in pair:
        _print_people(pair["people"], pair["pair"])


def _rate_row(name: str, rate: Mapping[str, Any]) -> list[str]:
    if rate["value"] is None:
        return [name, "n/a", "", "0", "", "", "", "", ""]
    shares = [f"{100 * rate[key]:.1f}" for key in ("win_share", "tie_share", "loss_share")]
    interval = f"[{100 * rate['low']:.1f}, {100 * rate['high']:.1f}]"
    bounds = f"[{100 * rate['worst']:.1f}, {100 * rate['best']:.1f}]" if rate["n_incomplete"] else ""
    return [name, f"{100 * rate['value']:.1f}", interval, str(rate["n"]), *shares, str(rate["n_incomplete"]), bounds]


def _print_order(orders: Mapping[str, Any]) -> None:
    parts = []
    if orders["first_position"] is not None:
        parts.append(f"{_share(orders['first_position'])} of the decisions for the text shown first")
    if orders["flips"] is not None:
        parts.append(f"{_share(orders['flips'])} of the items decided the other way round in the other order")
        parts.append(f"{_share(orders['wavering'])} a tie in one order only")
    parts.append(f"{_share(orders['ties'])} of the verdicts a tie")
    click.echo("order: " + "; ".join(parts))


def _share(rate: Mapping[str, Any]) -> str:
    return f"{100 * rate['value']:.1f} % [{100 * rate['low']:.1f}, {100 * rate['high']:.1f}]"


def _print_model(pair: Mapping[str, Any]) -> None:
    model = pair["model"]
    if model is None:
        click.echo(f"model: none ({pair['model_reason']})")
        return
    length = model["length"]
    logits = [f"position {_effect(model['position'])}", f"length {_effect(length)}" if length else "length: all alike"]
    click.echo(
        f"model: without a lean to a position {_share(model['win_rate'])}; at equal length too "
        f"{_share(model['win_rate_equal_length'])}; in logits, {', '.join(logits)}"
    )


def _effect(effect: Mapping[str, Any]) -> str:
    return f"{effect['value']:+.2f} [{effect['low']:+.2f}, {effect['high']:+.2f}]"


def _print_people(people: Mapping[str, Any], pair: str) -> None:
    if "reason" in people:
        click.echo(f"people: {people['reason']}")
        return
    agreed = people["judge_and_people"]
    kappa = "undefined" if agreed["kappa"] is None else f"{agreed['kappa']['value']:.2f}"
    inside = ", ".join(
        f"{each['agreed']} of {each['n']} where it prefers {code}" for code, each in agreed["within_judge"].items()
    )
    click.echo(
        f"people: {people['n']} pairs; agreement {agreed['agreement']['value']:.0%}, κ {kappa}, "
        f"AC1 {agreed['ac1']['value']:.2f}; the judge agrees on {inside}"
    )
    corrected = people["corrected_win_rate"]
    if corrected is None:
        click.echo(f"people: no corrected win rate: {people['correction_reason']}")
    else:
        click.echo(f"people: win rate of {pair[0]} corrected for the judge's errors {_share(corrected)}")


def _print_strengths(ranked: Mapping[str, Any], systems: Mapping[str, Any]) -> None:
    if "reason" in ranked:
        click.echo(f"strengths: none ({ranked['reason']})")
        return
    rows = [
        [
            systems[each["name"]]["name"],
            f"{each['value']:+.2f}",
            f"[{each['low']:+.2f}, {each['high']:+.2f}]",
            f"{each['rank_best']}–{each['rank_worst']}",
            "always or never" if each["extreme"] else "",
        ]
        for each in ranked["strengths"]
    ]
    title = f"Bradley-Terry strengths in logits, {ranked['form']}; errors clustered by {ranked['n_items']} items"
    print_table(["system", "strength", f"{ranked['level']:.0%} interval", "rank", "won"], rows, title)
    for cycle in ranked["cycles"]:
        click.echo(f"not transitive: {' beats '.join([*cycle, cycle[0]])}")


def _print_canaries(rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        click.echo("canaries: none were asked (--canaries 0), so nothing is known of the judge")
        return
    print_table(
        ["canary", "answers", "unread", "fooled", "share", "interval", "ties", "first"],
        [
            [
                row["kind"],
                str(row["n"]),
                str(row["n_unread"]),
                str(row["fooled"]),
                "n/a" if row["share_fooled"] is None else f"{100 * row['share_fooled']:.0f}",
                "" if row["low"] is None else f"[{100 * row['low']:.0f}, {100 * row['high']:.0f}]",
                str(row["n_ties"]),
                str(row["n_first"]),
            ]
            for row in rows
        ],
        "canaries: how often the judge is fooled, in %",
    )


def _or_dash(value: int | None) -> str:
    return "all" if value is None else str(value)
