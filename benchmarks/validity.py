"""Whether the intervals cover and the paired test holds its level, by simulation. Prints a markdown table.

    python benchmarks/validity.py [--replicates R] [--seed S] [--out FILE.md]

Corpora are drawn from a population whose macro-F1 is known: eight classes with the skewed plurality shares of a
spontaneous corpus (48.5 % neutral … 1.2 % fear), two systems, and, where items come from speakers, speakers that differ
in their class mix (Dirichlet), in how well they are recognised (logit-normal, 70 % of it shared by both systems) and in
how much they speak (log-normal). Two null hypotheses: `exchangeable` systems, and systems of `equal` macro-F1 that
behave differently (one favours the frequent classes). The strengths of the speaker effects are assumptions.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from serxbench.metrics import Selection, contributions
from serxbench.metrics.totals import accuracy, macro_f1
from serxbench.statistics import ITEMS, Inference, Unit
from serxbench.statistics.blocks import blocks, score, standard_error
from serxbench.statistics.limits import chosen, limits
from serxbench.statistics.paired import permutation_p, t_test

PRIOR = np.array([0.485, 0.2, 0.12, 0.07, 0.05, 0.035, 0.028, 0.012])
CLASSES = len(PRIOR)
#: Population macro-F1 of both systems.
TARGET = 0.351
#: Share of the items on which both systems meet the same difficulty.
SHARED_ITEMS = 0.4
#: Share of the speaker effect's variance that both systems have in common.
SHARED_SPEAKERS = 0.7
METHODS = ("percentile", "bca", "studentized", "jackknife", "delta")
COVERAGE, TYPE_I = (0.93, 0.965), (0.035, 0.065)
#: Steps of logit recall at which the population is integrated over the speaker effect.
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(21)


@dataclass(frozen=True)
class System:
    """logits: recall of each class. errors: (C, C + 1) where the misses go, the last column Other."""

    logits: np.ndarray
    errors: np.ndarray


@dataclass(frozen=True)
class Setting:
    """n items of n_speakers (None: independent). spread: SD of logit recall. mix: Dirichlet concentration."""

    null: str
    n: int
    n_speakers: int | None = None
    spread: float = 0.0
    mix: float = 0.0
    variant: str = "mv"


STRONG, WEAK = {"spread": 0.45, "mix": 12.0}, {"spread": 0.25, "mix": 40.0}
SETTINGS = (
    *(Setting(null, n) for n in (200, 1000, 10_000) for null in ("exchangeable", "equal")),
    *(
        Setting(null, n, speakers, **STRONG)
        for n, speakers in ((200, 20), (1000, 50), (10_000, 100), (46_294, 465))
        for null in ("exchangeable", "equal")
    ),
    Setting("exchangeable", 46_294, 465, **WEAK),
    Setting("exchangeable", 1000, variant="credited_reference"),
    Setting("exchangeable", 46_294, 465, **STRONG, variant="credited_reference"),
)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def population(system: System, spread: float) -> tuple[float, float]:
    """Macro-F1 and accuracy over the whole population, speakers integrated out."""
    recall = (sigmoid(system.logits[:, None] + spread * NODES) * WEIGHTS).sum(axis=1) / WEIGHTS.sum()
    answers = (1 - recall)[:, None] * system.errors
    answers[np.arange(CLASSES), np.arange(CLASSES)] += recall
    joint = PRIOR[:, None] * answers
    hits = np.diagonal(joint)
    totals = np.concatenate([hits, PRIOR, joint[:, :CLASSES].sum(axis=0), [hits.sum(), 1.0]])
    return float(macro_f1(totals)), float(accuracy(totals))


def tuned(profile: np.ndarray, bias: float, spread: float) -> System:
    """The system with this recall profile whose population macro-F1 is TARGET; its errors favour frequent classes."""
    errors = np.zeros((CLASSES, CLASSES + 1))
    for c in range(CLASSES):
        towards = PRIOR**bias
        towards[c] = 0
        errors[c, :CLASSES] = 0.92 * towards / towards.sum()
        errors[c, CLASSES] = 0.08
    low, high = -5.0, 5.0
    for _ in range(60):
        middle = (low + high) / 2
        below = population(System(profile + middle, errors), spread)[0] < TARGET
        low, high = (middle, high) if below else (low, middle)
    return System(profile + low, errors)


def systems(setting: Setting) -> tuple[System, System]:
    """The two systems of a null hypothesis."""
    frequent = tuned(np.array([0.9, 0.3, 0.3, 0, 0, -0.3, -0.3, -0.6]), 1.0, setting.spread)
    if setting.null == "exchangeable":
        return frequent, frequent
    return frequent, tuned(np.zeros(CLASSES), 0.4, setting.spread)


def draw(setting: Setting, pair: tuple[System, System], rng: np.random.Generator):
    """One corpus: references, the two systems' answers, the unions of annotators' labels, the speakers."""
    n, effects = setting.n, np.zeros((2, setting.n))
    if setting.n_speakers is None:
        speaker = None
        labels = rng.choice(CLASSES, n, p=PRIOR)
    else:
        sizes = rng.lognormal(0, 0.8, setting.n_speakers)
        speaker = rng.choice(setting.n_speakers, n, p=sizes / sizes.sum())
        mixes = rng.dirichlet(setting.mix * PRIOR, setting.n_speakers).cumsum(axis=1)
        labels = (rng.random(n)[:, None] > mixes[speaker]).sum(axis=1).clip(max=CLASSES - 1)
        common, own = rng.normal(size=setting.n_speakers), rng.normal(size=(2, setting.n_speakers))
        mixed = np.sqrt(SHARED_SPEAKERS) * common + np.sqrt(1 - SHARED_SPEAKERS) * own
        effects = setting.spread * mixed[:, speaker]
    same = rng.random(n) < SHARED_ITEMS
    hard, wrong = rng.random((2, n)), rng.random((2, n))
    hard[1], wrong[1] = np.where(same, hard[0], hard[1]), np.where(same, wrong[0], wrong[1])
    answers = []
    for system, effect, difficulty, error in zip(pair, effects, hard, wrong, strict=True):
        right = difficulty < sigmoid(system.logits[labels] + effect)
        missed = (error[:, None] > system.errors.cumsum(axis=1)[labels]).sum(axis=1).clip(max=CLASSES)
        answers.append(np.where(right, labels, missed))
    union = rng.random((n, CLASSES)) < 0.6 * np.sqrt(PRIOR)
    union[np.arange(n), labels] = True
    return labels, answers, union, speaker


def truth(setting: Setting, pair: tuple[System, System]) -> tuple[float, float]:
    """Population score of both systems: in closed form for mv, from two million items for All-labels."""
    if setting.variant == "mv":
        first, second = (population(system, setting.spread)[0] for system in pair)
        return first, second
    large = dataclasses.replace(setting, n=2_000_000, n_speakers=setting.n_speakers and 100_000)
    labels, answers, union, _ = draw(large, pair, np.random.default_rng(99))
    selection = Selection.of(labels, CLASSES, union=union)
    first, second = (contributions(selection, answer, setting.variant).value() for answer in answers)
    return (first, first) if setting.null == "exchangeable" else (first, second)


@dataclass(frozen=True)
class Outcome:
    """Shares of the replicates for one unit, by (method, `one` or `difference`): the interval covers; by (test,
    `rejected`): p ≤ 0.05. default: the method that `auto` chose for one score and for the difference."""

    unit: str
    rates: dict[tuple[str, str], float]
    default: tuple[str, str]


def simulate(
    setting: Setting, *, replicates: int, n_resamples: int = 499, seed: int = 1, methods: tuple[str, ...] = METHODS
) -> list[Outcome]:
    """What happens over corpora drawn anew: with items as the unit, and with speakers where there are any."""
    pair = systems(setting)
    truths = truth(setting, pair)
    rng = np.random.default_rng([seed, setting.n, setting.n_speakers or 0, setting.null == "equal"])
    tally: dict[str, list[dict[tuple[str, str], bool]]] = {}
    for replicate in range(replicates):
        labels, answers, union, speaker = draw(setting, pair, rng)
        selection = Selection.of(labels, CLASSES, union=union)
        scored = tuple(contributions(selection, answer, setting.variant) for answer in answers)
        how = Inference(n_resamples=n_resamples, seed=replicate)
        if speaker is None:
            tally.setdefault("item", []).append(replicated(scored, truths, ITEMS, how, methods))
        else:
            tally.setdefault("item", []).append(replicated(scored, truths, ITEMS, how, ("delta",)))
            unit = Unit(name="speaker", clusters=speaker)
            tally.setdefault("speaker", []).append(replicated(scored, truths, unit, how, methods))
    found = []
    for unit, rows in tally.items():
        rates = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
        of_unit = Unit(name=unit, clusters=speaker if unit == "speaker" else None)
        default = tuple(chosen("auto", some, of_unit) for some in (scored[:1], scored))
        found.append(Outcome(unit=unit, rates=rates, default=default))
    return found


def replicated(scored, truths, unit: Unit, how: Inference, methods) -> dict[tuple[str, str], bool]:
    """(method, of) → whether the interval covers; (test, `rejected`) → whether it rejects at 0.05."""
    one, both = blocks(scored[:1], unit), blocks(scored, unit)
    formula = scored[0].formula
    found = {}
    for method in methods:
        for of, sample, true in (("one", one, truths[0]), ("difference", both, truths[0] - truths[1])):
            if method == "studentized" and sample is both and sample.n_units > 200:
                continue  # bootstrap-t over so many pairs would take most of the time, and is no default there
            low, high, _ = limits(sample, formula, method, how)
            found[method, of] = bool(low <= true <= high)
    found["permutation", "rejected"] = permutation_p(both, formula, how)[0] <= 0.05
    difference, se = float(score(both, formula, both.totals)), standard_error(both, formula)
    found["t test", "rejected"] = t_test(difference, se, both.n_units) <= 0.05
    return found


def table(settings, replicates: int, seed: int) -> Iterator[str]:
    """The lines of a markdown table: one per setting, unit and method. Bold: the default. `!`: outside the target."""
    yield "| null, score | N | speakers | unit | method | one score | difference | permutation | t test |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for setting in settings:
        n_replicates = replicates if setting.n <= 10_000 else replicates // 2
        for outcome in simulate(setting, replicates=n_replicates, seed=seed):
            methods = list(dict.fromkeys(method for method, of in outcome.rates if of == "one"))
            for method in methods:
                cells = [
                    marked(outcome.rates.get((method, of)), COVERAGE, default=method == default)
                    for of, default in zip(("one", "difference"), outcome.default, strict=True)
                ]
                for test in ("permutation", "t test"):
                    rate = outcome.rates[test, "rejected"] if method == methods[0] else None
                    cells.append(marked(rate, TYPE_I, default=test == "permutation"))
                name = f"{setting.null}, {setting.variant}" + (", weak" if setting.mix > 20 else "")
                where = f"{setting.n:,} | {setting.n_speakers or '–'} | {outcome.unit} | {method}"
                yield f"| {name} | {where} | " + " | ".join(cells) + " |"


def marked(share: float | None, target: tuple[float, float], *, default: bool) -> str:
    if share is None:
        return ""
    text = f"{share:.3f}" + ("" if target[0] <= share <= target[1] else " !")
    return f"**{text}**" if default else text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicates", type=int, default=1500, help="corpora per setting (half for the largest)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=argparse.FileType("w"), default=sys.stdout)
    options = parser.parse_args()
    start = time.perf_counter()
    for line in table(SETTINGS, options.replicates, options.seed):
        print(line, file=options.out, flush=True)
    error = 100 * np.sqrt(0.95 * 0.05 / options.replicates)
    print(
        f"\n{options.replicates} corpora per setting ({options.replicates // 2} at 46,294 items), 499 resamples, seed "
        f"{options.seed}: Monte Carlo error {error:.1f} points (× 1.4). `!`: outside the targets, "
        f"{COVERAGE} and {TYPE_I}. Bold: the default. {time.perf_counter() - start:.0f} s.",
        file=options.out,
    )


if __name__ == "__main__":
    main()
