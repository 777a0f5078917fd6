"""How fast intervals and tests are, beside what is usually done, in one process. Prints ratios and the targets.

    python benchmarks/statistics.py [--quick]

N = 46,000 items (and 460,000), nine labels, 10,000 resamples. The scikit-learn loop calls `f1_score` on every resample
and is extrapolated from a stated number of resamples; so is the numpy loop (random index, bincount of the confusion
matrix, macro-F1). Counting the items into blocks is timed and printed apart. Then the paper's table: 11 systems × 8
columns, an interval in every cell and Holm-adjusted speaker permutation tests of ten systems against one.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

# One core, before numpy starts its threads; and this file must not be what `import statistics` finds.
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
sys.path[:] = [folder for folder in sys.path if Path(folder or ".").resolve() != Path(__file__).resolve().parent]

import argparse  # noqa: E402
import resource  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable, Iterator  # noqa: E402

import numpy as np  # noqa: E402
from sklearn.metrics import f1_score  # noqa: E402

from serxbench.metrics import Selection, contributions  # noqa: E402
from serxbench.metrics.totals import macro_f1  # noqa: E402
from serxbench.statistics import ITEMS, Inference, Unit, against_baseline, interval, paired_test  # noqa: E402
from serxbench.statistics.blocks import Blocks, blocks, bootstrap_totals, permuted_pairs, score  # noqa: E402

CLASSES = 8
PRIOR = np.array([0.485, 0.2, 0.12, 0.07, 0.05, 0.035, 0.028, 0.012])
RESAMPLES = 10_000
#: The costlier choice: with this many speakers the default interval is the closed-form jackknife.
BOOTSTRAP = Inference(method="percentile", n_resamples=RESAMPLES)


def corpus(rng: np.random.Generator, n_items: int, n_systems: int, n_speakers: int = 465):
    """A selection with 5 to 9 votes per item, systems' answers with Other and failures, and speakers."""
    labels = rng.choice(CLASSES, n_items, p=PRIOR)
    votes = rng.multinomial(4, 0.5 * np.eye(CLASSES)[labels] + 0.5 * PRIOR)
    votes[np.arange(n_items), labels] += 1 + rng.integers(0, 5, n_items)
    systems = []
    for recall in np.linspace(0.3, 0.5, n_systems):
        guess = rng.choice(CLASSES + 1, n_items, p=np.append(0.9 * PRIOR, 0.1))
        systems.append(np.where(rng.random(n_items) < recall, labels, guess))
    sizes = rng.lognormal(0, 0.8, n_speakers)
    speaker = rng.choice(n_speakers, n_items, p=sizes / sizes.sum())
    return Selection.of(labels, CLASSES, votes=np.column_stack([votes, np.zeros(n_items, int)])), systems, speaker


def seconds(work: Callable[[], object], repeats: int = 1) -> float:
    """The least wall time of `repeats` runs: others share the machine."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def sklearn_loop(labels, systems, n_resamples: int, rng: np.random.Generator) -> None:
    for _ in range(n_resamples):
        index = rng.integers(0, len(labels), len(labels))
        for answers in systems:
            f1_score(labels[index], answers[index], labels=range(CLASSES), average="macro", zero_division=0)


def numpy_loop(labels, systems, n_resamples: int, rng: np.random.Generator) -> None:
    width = CLASSES + 1
    codes = [labels * width + answers for answers in systems]
    for _ in range(n_resamples):
        index = rng.integers(0, len(labels), len(labels))
        for code in codes:
            confusion = np.bincount(code[index], minlength=width * width).reshape(width, width)
            hits = np.diagonal(confusion)[:CLASSES]
            mass = confusion.sum(axis=1)[:CLASSES] + confusion.sum(axis=0)[:CLASSES]
            np.divide(2 * hits, mass, out=np.zeros(CLASSES), where=mass > 0).mean()


def resampled(found: Blocks) -> None:
    """All resampled scores, or differences: what the loops do."""
    for totals in bootstrap_totals(found, RESAMPLES, np.random.default_rng(0)):
        score(found, macro_f1, totals)


def permuted(found: Blocks) -> None:
    for first, second in permuted_pairs(found, RESAMPLES, np.random.default_rng(0)):
        macro_f1(first), macro_f1(second)


def compare_with_loops(rng: np.random.Generator, n_sklearn: int, n_numpy: int, repeats: int) -> Iterator[str]:
    selection, systems, speaker = corpus(rng, 46_000, 2)
    yield f"| N = 46,000, {RESAMPLES:,} resamples | one system | pair |"
    yield "|---|---|---|"
    loops = {}
    for name, loop, n in (("scikit-learn", sklearn_loop, n_sklearn), ("numpy", numpy_loop, n_numpy)):
        loops[name] = [
            seconds(lambda loop=loop, n=n, some=some: loop(selection.labels, some, n, rng)) * RESAMPLES / n
            for some in (systems[:1], systems)
        ]
        yield f"| {name} loop (extrapolated from {n}) | {loops[name][0]:.1f} s | {loops[name][1]:.1f} s |"
    scored = tuple(contributions(selection, answers, "mv") for answers in systems)
    for unit in (ITEMS, Unit(name="speaker", clusters=speaker)):
        counted = [blocks(scored[:1], unit), blocks(scored, unit)]
        times = [seconds(lambda found=found: resampled(found), repeats) for found in counted]
        sizes = " and ".join(f"{len(found.sizes)}" for found in counted)
        yield f"| blocks bootstrap, {unit.name}s ({sizes} blocks) | {times[0]:.3f} s | {times[1]:.3f} s |"
        yield f"| blocks permutation, {unit.name}s | | {seconds(lambda: permuted(counted[1]), repeats):.3f} s |"  # noqa: B023
        if unit is ITEMS:
            ratios = {name: [loop / ours for loop, ours in zip(loops[name], times, strict=True)] for name in loops}
    yield ""
    for name, targets in (("scikit-learn", (800, 100)), ("numpy", (None, None))):
        for what, ratio, target in zip(("one system", "a pair"), ratios[name], targets, strict=True):
            yield f"{what}: {ratio:,.0f} × the {name} loop" + (f" (target {target} ×)" if target else "")


def growth(rng: np.random.Generator, repeats: int) -> Iterator[str]:
    yield ""
    yield "| variant, unit | count 46,000 | count 460,000 | interval | 10 × N | pair | 10 × N | worst ratio |"
    yield "|---|---|---|---|---|---|---|---|"
    corpora = [corpus(rng, n, 2) for n in (46_000, 460_000)]
    for variant in ("mv", "credited_reference"):
        for by_speaker in (False, True):
            counting, one, pair = [], [], []
            for selection, systems, speaker in corpora:
                unit = Unit(name="speaker", clusters=speaker) if by_speaker else ITEMS
                start = time.perf_counter()
                scored = tuple(contributions(selection, answers, variant) for answers in systems)
                counted = [blocks(scored[:1], unit), blocks(scored, unit)]
                counting.append(time.perf_counter() - start)
                one.append(seconds(lambda found=counted[0]: resampled(found), repeats))
                pair.append(seconds(lambda found=counted[1]: (resampled(found), permuted(found)), repeats))
            worst = max(one[1] / one[0], pair[1] / pair[0])
            cells = [f"{value:.3f} s" for value in (*counting, *one, *pair)]
            yield f"| {variant}, {unit.name} | " + " | ".join(cells) + f" | {worst:.2f} (target 1.5) |"


def whole_table(rng: np.random.Generator) -> Iterator[str]:
    """11 systems × {open, closed} × {all, strict} × {MV, All}: 88 intervals, 80 speaker tests with intervals."""
    forms = [corpus(rng, 46_000, 11) for _ in range(2)]
    start = time.perf_counter()
    n_intervals = n_tests = 0
    for selection, systems, speaker in forms:
        strict = 2 * selection.votes.max(axis=1) > selection.votes.sum(axis=1)
        for items in (np.arange(selection.n_items), np.flatnonzero(strict)):
            subset = Selection.of(selection.labels[items], CLASSES, votes=selection.votes[items])
            unit = Unit(name="speaker", clusters=speaker).take(items)
            for variant in ("mv", "credited_reference"):
                scored = {f"{k}": contributions(subset, answers[items], variant) for k, answers in enumerate(systems)}
                n_intervals += len([interval(system, unit=unit, how=BOOTSTRAP) for system in scored.values()])
                n_tests += len(against_baseline(scored, "0", unit=unit, how=BOOTSTRAP))
    took = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    yield ""
    yield (
        f"whole table: {n_intervals} intervals and {n_tests} speaker tests, {RESAMPLES:,} resamples each, in "
        f"{took:.1f} s on one core (target 30 s); peak memory of this process {peak:.2f} GB (target 1 GB)"
    )


def closed_forms(rng: np.random.Generator) -> Iterator[str]:
    selection, systems, speaker = corpus(rng, 46_000, 2)
    scored = [contributions(selection, answers, "mv") for answers in systems]
    unit = Unit(name="speaker", clusters=speaker)
    one = seconds(lambda: interval(scored[0], unit=unit, how=Inference(method="jackknife")), 3)
    pair = seconds(lambda: paired_test(*scored, unit=unit, how=Inference(method="jackknife", test="delta")), 3)
    yield f"closed forms (jackknife interval; with t test): {1000 * one:.0f} ms one system, {1000 * pair:.0f} ms a pair"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer resamples of the loops to extrapolate from")
    quick = parser.parse_args().quick
    rng = np.random.default_rng(1)
    parts = (
        whole_table(rng),  # first: the peak memory is then its own
        compare_with_loops(rng, 20 if quick else 100, 50 if quick else 500, 1 if quick else 3),
        growth(rng, 1 if quick else 3),
        closed_forms(rng),
    )
    for part in parts:
        for line in part:
            print(line, flush=True)


if __name__ == "__main__":
    main()
