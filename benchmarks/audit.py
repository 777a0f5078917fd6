"""Whether an audit by people finds a parser's errors, and what scores are without them, by simulation.

    python benchmarks/audit.py [--replicates R] [--items N] [--sample N] [--seed S]

Prints markdown. Systems answer N items with the skewed plurality shares of a spontaneous corpus; half of the answers
are the reference, the others are like an annotator's slip, Other or nothing. A parser reads them by three routes (tag
55 %, statement 35 %, llm 10 %) with planted errors. Each replicate draws a sample as `serxbench audit sample` does, and
people code it without fail. Coverage of the error rate is of the rate among all N answers; of the adjusted score, of
the score of the same N items with every answer read rightly (interval of the parser's part alone), and of the
population's (the whole interval).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from serxbench.metrics import FORMULAS, Selection, contributions
from serxbench.stages.audit_readings import READINGS
from serxbench.stages.audit_sample import allocate, boost_of
from serxbench.statistics import ITEMS, wilson
from serxbench.statistics.misreading import Said, Stratum, adjusted, error_rate

PRIOR = np.array([0.07, 0.12, 0.2, 0.05, 0.028, 0.035, 0.012, 0.485])
ROUTES, SHARES = ("tag", "statement", "llm/agrees"), np.array([0.55, 0.35, 0.10])
CODES = (*READINGS[:-1], "off_format")
N_CODES = len(READINGS)
ACCURACY = 0.5

Generator = np.random.Generator
Integers = np.ndarray


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """rates: error by route. wrong: what a misread answer is read as, given what it says."""

    name: str
    rates: tuple[float, float, float]
    wrong: Callable[[Integers, Generator], Integers]


def anything(said: Integers, rng: Generator) -> Integers:
    """Another reading, all equally likely."""
    return (said + rng.integers(1, N_CODES, len(said))) % N_CODES


def to_none(said: Integers, rng: Generator) -> Integers:
    """No commitment; where there is none, a class."""
    return np.where(said == N_CODES - 1, rng.integers(0, 8, len(said)), N_CODES - 1)


def to_neutral(said: Integers, rng: Generator) -> Integers:
    """Neutral; where it is Neutral, Sad."""
    return np.where(said == 7, 1, 7)


SCENARIOS = (
    Scenario(name="no errors", rates=(0, 0, 0), wrong=anything),
    Scenario(name="0.5 % everywhere", rates=(0.005,) * 3, wrong=anything),
    Scenario(name="2 % everywhere", rates=(0.02,) * 3, wrong=anything),
    Scenario(name="5 % everywhere", rates=(0.05,) * 3, wrong=anything),
    Scenario(name="5 % to none", rates=(0.05,) * 3, wrong=to_none),
    Scenario(name="5 % to Neutral", rates=(0.05,) * 3, wrong=to_neutral),
    Scenario(name="20 % of the LLM's", rates=(0, 0, 0.2), wrong=anything),
)


@dataclass(frozen=True, kw_only=True)
class System:
    """What answers say, how they are read, and by which route."""

    said: Integers
    read: Integers
    route: Integers


def answers(references: Integers, rng: Generator) -> Integers:
    """What a system says."""
    slips = rng.choice(N_CODES, size=len(references), p=np.append(0.9 * PRIOR, [0.06, 0.04]))
    return np.where(rng.random(len(references)) < ACCURACY, references, slips)


def parsed(said: Integers, scenario: Scenario, rng: Generator) -> System:
    """The answers as the parser of a scenario reads them."""
    route = rng.choice(len(ROUTES), size=len(said), p=SHARES)
    bad = rng.random(len(said)) < np.array(scenario.rates)[route]
    return System(said=said, read=np.where(bad, scenario.wrong(said, rng), said), route=route)


def sampled(system: System, n: int, rng: Generator) -> list[Stratum]:
    """A stratified sample, coded without fail."""
    keys = system.route * N_CODES + system.read
    members = [np.flatnonzero(keys == key) for key in np.unique(keys)]
    kinds = [(ROUTES[int(keys[each[0]]) // N_CODES], CODES[int(keys[each[0]]) % N_CODES]) for each in members]
    sizes = allocate([len(each) for each in members], [boost_of(kind) for kind in kinds], n)
    return [
        Stratum(
            size=len(each),
            read=int(system.read[each[0]]),
            truths=tuple(
                np.bincount(system.said[rng.choice(each, size=size, replace=False)], minlength=N_CODES).tolist()
            ),
        )
        for each, size in zip(members, sizes, strict=True)
    ]


def votes_of(references: Integers, rng: Generator) -> np.ndarray:
    """(n, 9) five votes: three for the reference, two from the population."""
    votes = np.zeros((len(references), 9), dtype=np.intp)
    votes[np.arange(len(references)), references] = 3
    for _ in range(2):
        np.add.at(votes, (np.arange(len(references)), rng.choice(8, size=len(references), p=PRIOR)), 1)
    return votes


def audited(system: System, selection: Selection, strata: list[Stratum], variant: str) -> Said:
    """The system as `adjusted` takes it."""
    n = selection.n_items
    by_truth = [
        contributions(selection, np.full(n, min(code, 8)), variant, said_other=np.full(n, code == 8))
        for code in range(N_CODES)
    ]
    return Said(by_truth=by_truth, read=system.read, strata=strata)


def true_score(said: Integers, selection: Selection, variant: str) -> float:
    """The score if every answer is read rightly."""
    return contributions(selection, np.minimum(said, 8), variant).value()


def world(n: int, rng: Generator) -> tuple[Integers, Selection]:
    """References with votes."""
    references = rng.choice(8, size=n, p=PRIOR)
    return references, Selection.of(references, 8, votes=votes_of(references, rng))


def one_system(scenario: Scenario, variant: str, options: argparse.Namespace) -> str:
    """A row of the first table."""
    rng = np.random.default_rng([options.seed, SCENARIOS.index(scenario)])
    references, selection = world(400_000, rng)
    population = true_score(answers(references, rng), selection, variant)
    rows = []
    for replicate in range(options.replicates):
        references, selection = world(options.items, rng)
        system = parsed(answers(references, rng), scenario, rng)
        strata = sampled(system, options.sample, rng)
        rate, error = error_rate(strata), float((system.said != system.read).mean())
        found = adjusted([audited(system, selection, strata, variant)], FORMULAS["macro_f1"], ITEMS, seed=replicate)
        true = true_score(system.said, selection, variant)
        rows.append(
            (
                100 * error,
                100 * rate.value,
                100 * (rate.high - rate.low),
                rate.low <= error <= rate.high,
                100 * true,
                100 * found.read,
                100 * found.value,
                found.parser_low - 1e-12 <= true <= found.parser_high + 1e-12,
                found.low <= population <= found.high,
            )
        )
    mean = np.mean(np.array(rows, dtype=float), axis=0)
    cells = [f"{mean[n]:.2f}" for n in (0, 1, 2)] + [f"{mean[3]:.3f}"]
    cells += [f"{mean[n]:.2f}" for n in (4, 5, 6)] + [f"{mean[7]:.3f}", f"{mean[8]:.3f}"]
    return f"| {scenario.name} | {variant} | " + " | ".join(cells) + " |"


def two_systems(scenario: Scenario, options: argparse.Namespace) -> str:
    """A row of the second table: two systems that are equally good, the second of which is misread."""
    rng = np.random.default_rng([options.seed, 100 + SCENARIOS.index(scenario)])
    stars = []
    for replicate in range(options.replicates):
        references, selection = world(options.items, rng)
        pair = [parsed(answers(references, rng), each, rng) for each in (SCENARIOS[0], scenario)]
        said = [audited(each, selection, sampled(each, options.sample, rng), "mv") for each in pair]
        found = adjusted(said, FORMULAS["macro_f1"], ITEMS, seed=replicate)
        stars.append((found.p_read <= 0.05, found.p <= 0.05))
    as_read, without = np.mean(np.array(stars, dtype=float), axis=0)
    return f"| {scenario.name} | {as_read:.3f} | {without:.3f} |"


def report(options: argparse.Namespace) -> Iterator[str]:
    yield f"{options.replicates} replicates, {options.items} answers, {options.sample} coded, 95 % intervals"
    yield ""
    yield "| parser | score | error % | found % | width | covered | true | as read | adjusted | parser part | whole |"
    yield "|---" * 11 + "|"
    for scenario in SCENARIOS:
        for variant in ("mv", "credited_reference"):
            yield one_system(scenario, variant, options)
    yield ""
    yield "| second system's parser | false stars as read | without its errors |"
    yield "|---|---|---|"
    for scenario in (SCENARIOS[0], SCENARIOS[3], SCENARIOS[4]):
        yield two_systems(scenario, options)
    yield ""
    bounds = ", ".join(f"{n}: {100 * wilson(0, n)[1]:.2f} %" for n in (300, 500, 1000))
    yield f"Upper bound where no error is seen, of a simple sample of {bounds}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicates", type=int, default=200)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--sample", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    started = time.perf_counter()
    for line in report(parser.parse_args()):
        print(line, flush=True)
    print(f"\n{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
