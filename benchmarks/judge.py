"""How far the judge's numbers can be trusted, on simulated verdicts with planted effects. Prints coverage and errors.

    python benchmarks/judge.py [--simulations 300] [--seed 0]

planted: 400 items of eight emotions, both orders. The judge leans to the first text by 1 logit and to the longer one by
γ; verdicts on one item hang together; some are ties. All effects are population-averaged, as those of the model are.
items differ: P(first system wins) = σ(δ ± b) with δ ~ N(0.6, 1) for each item. The truth is the win rate at b = 0, and
the share of an order that is always the same stands beside it. four systems: Bradley-Terry, items that favour systems.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

# One core, before numpy starts its threads; and this file's folder must not be where `import statistics` is found.
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
sys.path[:] = [folder for folder in sys.path if Path(folder or ".").resolve() != Path(__file__).resolve().parent]

import argparse  # noqa: E402
import math  # noqa: E402
from dataclasses import dataclass  # noqa: E402

import numpy as np  # noqa: E402

from serxbench.statistics.bradley_terry import bradley_terry  # noqa: E402
from serxbench.statistics.judge_glm import judge_model  # noqa: E402
from serxbench.statistics.logistic import sigmoid  # noqa: E402
from serxbench.statistics.pairwise import Verdicts, order_effects, win_rate  # noqa: E402

EMOTIONS = ("Angry", "Sad", "Happy", "Surprise", "Fear", "Disgust", "Contempt", "Neutral")
PER_EMOTION = 50
STRATA = np.repeat(np.arange(8), PER_EMOTION)
FIRST = np.tile([1.0, 0.0], (len(STRATA), 1))


@dataclass(frozen=True)
class Planted:
    """position, length, quality: π, γ, β₀ in logits. together: correlation of an item's two verdicts. ties: share of
    the less likely verdicts that is a tie."""

    position: float = 1.0
    length: float = 0.7
    quality: float = 0.6
    spread: float = 0.4
    together: float = 0.4
    ties: float = 0.3

    @property
    def by_emotion(self):
        return self.quality + self.spread * np.linspace(-1, 1, 8)

    def truths(self):
        """The numbers that the intervals are about, by integration over the normal differences in length."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(99)
        weights = weights / weights.sum()
        eta = self.by_emotion[:, None] + self.length * np.tanh(nodes)[None, :]
        over = lambda p: float((p @ weights).mean())  # noqa: E731
        return {
            "win rate": over((sigmoid(eta + self.position) + sigmoid(eta - self.position)) / 2),
            "win rate without position": over(sigmoid(eta)),
            "win rate at equal length": float(sigmoid(self.by_emotion).mean()),
            "position": self.position,
            "length": self.length,
        }

    def draw(self, rng):
        """Verdicts and differences in length."""
        delta = rng.normal(0, 250, len(STRATA))
        eta = self.by_emotion[STRATA] + self.length * np.tanh(delta / 250)
        p = sigmoid(eta[:, None] + np.array([self.position, -self.position]))
        shared, own = rng.normal(size=(len(STRATA), 1)), rng.normal(size=p.shape)
        latent = math.sqrt(self.together) * shared + math.sqrt(1 - self.together) * own
        u = np.vectorize(lambda x: 0.5 * math.erfc(-x / math.sqrt(2)))(latent)
        tie = self.ties * np.minimum(p, 1 - p)
        scores = np.where(u < p - tie / 2, 1.0, np.where(u < p + tie / 2, 0.5, 0.0))
        return Verdicts(scores=scores, first=FIRST, strata=STRATA, names=EMOTIONS), delta


def coverage(planted: Planted, simulations: int, seed: int):
    """Share of simulations whose 95 % interval holds the truth, by number; and the mean of each number."""
    truths = planted.truths()
    held, values = dict.fromkeys(truths, 0), {name: [] for name in truths}
    for n in range(simulations):
        verdicts, delta = planted.draw(np.random.default_rng([seed, n]))
        model = judge_model(verdicts, delta)
        found = {
            "win rate": win_rate(verdicts),
            "win rate without position": model.win_rate,
            "win rate at equal length": model.win_rate_equal_length,
            "position": model.position,
            "length": model.length,
        }
        for name, each in found.items():
            held[name] += each.low <= truths[name] <= each.high
            values[name].append(each.value)
    return {name: (truths[name], float(np.mean(values[name])), held[name] / simulations) for name in truths}


def differing_items(bias: float, simulations: int, seed: int, mean=0.6, sd=1.0):
    """Truth, and the mean over simulations of what is reported, of the model's rate and of a fixed order's."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(99)
    truth = float(sigmoid(mean + sd * nodes) @ weights / weights.sum())
    rates, models, fixed = [], [], []
    for n in range(simulations):
        rng = np.random.default_rng([seed, n])
        delta = rng.normal(mean, sd, len(STRATA))
        p = sigmoid(delta[:, None] + np.array([bias, -bias]))
        scores = (rng.random(p.shape) < p).astype(float)
        verdicts = Verdicts(scores=scores, first=FIRST, strata=STRATA, names=EMOTIONS)
        rates.append(win_rate(verdicts).value)
        models.append(judge_model(verdicts, np.zeros(len(STRATA))).win_rate.value)
        fixed.append(float(scores[:, 0].mean()))
    flips = order_effects(verdicts).flips
    return truth, np.array(rates), np.array(models), np.array(fixed), flips.value


def four_systems(simulations: int, seed: int, n_items=150, spread=0.8):
    """Coverage of the strengths' intervals, of those that take verdicts as independent, and both mean errors."""
    true = np.array([0.6, 0.2, -0.2, -0.6])
    pairs = [(a, b) for a in range(4) for b in range(4) if a != b]
    first, second = (np.tile([pair[k] for pair in pairs], n_items) for k in (0, 1))
    items = np.repeat(np.arange(n_items), len(pairs))
    nodes, weights = np.polynomial.hermite_e.hermegauss(99)
    held, held_naive, values, errors, naive_errors = 0, 0, [], [], []
    # The strengths that the population-averaged model has when items favour systems: from verdicts without noise.
    wide = math.sqrt(2) * spread
    expected = sigmoid((true[first] - true[second])[:, None] + wide * nodes) @ weights / weights.sum()
    target = np.array([s.value for s in bradley_terry("wxyz", first, second, expected, items).strengths])
    for n in range(simulations):
        rng = np.random.default_rng([seed, n])
        favour = rng.normal(0, spread, (n_items, 4)) + true
        p = sigmoid(favour[items, first] - favour[items, second])
        won = (rng.random(len(p)) < p).astype(float)
        found = bradley_terry("wxyz", first, second, won, items)
        alone = bradley_terry("wxyz", first, second, won, np.arange(len(p)))
        for k in range(4):
            strength, naive = found.strengths[k], alone.strengths[k]
            held += strength.low <= target[k] <= strength.high
            held_naive += naive.low <= target[k] <= naive.high
            errors.append(strength.se)
            naive_errors.append(naive.se)
        values.append([s.value for s in found.strengths])
    total = 4 * simulations
    spread_seen = float(np.std(values, axis=0, ddof=1).mean())
    return held / total, held_naive / total, spread_seen, float(np.mean(errors)), float(np.mean(naive_errors))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--simulations", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    n, seed = given.simulations, given.seed
    print(f"{n} simulations, seed {seed}; Monte Carlo error of a coverage {math.sqrt(0.95 * 0.05 / n):.3f}")
    print(f"{'planted, 1 logit of position':40s} {'truth':>7s} {'mean':>7s} {'coverage':>8s}")
    for name, (truth, mean, share) in coverage(Planted(), n, seed).items():
        print(f"  {name:38s} {truth:7.3f} {mean:7.3f} {share:8.3f}")
    print(f"{'items differ, δ ~ N(0.6, 1)':40s} {'truth':>7s} {'report':>7s} {'model':>7s} {'fixed':>7s} {'flips':>7s}")
    for bias in (0.0, 0.5, 1.0):
        truth, rates, models, fixed, flips = differing_items(bias, n, seed)
        line = f"{truth:7.3f} {rates.mean():7.3f} {models.mean():7.3f} {fixed.mean():7.3f} {flips:7.2f}"
        print(f"  bias {bias:<33g} {line}")
    held, naive, seen, error, naive_error = four_systems(n, seed)
    print(f"four systems, 150 items: coverage {held:.3f} clustered by item, {naive:.3f} as if independent")
    print(f"  standard deviation seen {seen:.4f}; error clustered {error:.4f}, as if independent {naive_error:.4f}")


if __name__ == "__main__":
    main()
