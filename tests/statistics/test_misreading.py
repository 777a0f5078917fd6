"""Parser errors from a stratified sample, by hand; scores without them, for systems whose true answers are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serxbench.errors import MetricError
from serxbench.metrics import FORMULAS, Contributions, Selection, contributions
from serxbench.metrics.arrays import Integers
from serxbench.statistics import ITEMS
from serxbench.statistics.misreading import (
    Said,
    Stratum,
    adjusted,
    error_rate,
    indistinct,
    joint,
    posterior,
    unmixing,
)

MACRO_F1 = FORMULAS["macro_f1"]

#: Two readings, three strata: 600 and 300 read as 0, 100 as 1.
STRATA = [
    Stratum(size=600, read=0, truths=(57, 3)),
    Stratum(size=300, read=0, truths=(10, 0)),
    Stratum(size=100, read=1, truths=(2, 8)),
]


def test_error_rate_by_hand() -> None:
    """.6 · 3/60 + .3 · 0 + .1 · 2/10 = .05. Kish: (.36/60 + .09/10 + .01/10)⁻¹ = 62.5 answers of a simple sample."""
    found = error_rate(STRATA)
    assert found.value == pytest.approx(0.05)
    assert (found.n, found.n_errors) == (80, 5)
    assert found.n_effective == pytest.approx(62.5)
    assert found.low < 0.05 < found.high


def test_joint_by_hand() -> None:
    """J[1, 0] = .6 · .05 = .03; J[0, 1] = .1 · .2 = .02; J[1, 1] = .08; the rest is .87."""
    assert joint(STRATA) == pytest.approx(np.array([[0.87, 0.02], [0.03, 0.08]]))


def test_unmixing_inverts_the_confusion_by_hand() -> None:
    """E = [[.87, .02] / .89, [.03, .08] / .11], and the readings (.9, .1) times E⁻¹ are the truths (.89, .11)."""
    weights = unmixing(joint(STRATA))
    confusion = np.array([[0.87 / 0.89, 0.02 / 0.89], [0.03 / 0.11, 0.08 / 0.11]])
    assert weights == pytest.approx(np.linalg.inv(confusion))
    assert np.array([0.9, 0.1]) @ weights == pytest.approx([0.89, 0.11])


def test_no_error_seen_is_an_upper_bound() -> None:
    found = error_rate([Stratum(size=1000, read=0, truths=(300, 0))])
    assert (found.value, found.low) == (0, 0)
    assert found.high == pytest.approx(0.0126, abs=5e-5)


def test_strata_without_a_sample_are_refused() -> None:
    with pytest.raises(MetricError, match="1 of 2 strata have no sampled answer"):
        error_rate([STRATA[0], Stratum(size=5, read=1, truths=(0, 0))])


@st.composite
def tables(draw: st.DrawFn) -> np.ndarray:
    k = draw(st.integers(2, 5))
    cells = draw(st.lists(st.integers(0, 20), min_size=k * k, max_size=k * k))
    table = np.array(cells, dtype=float).reshape(k, k)
    table[0, 0] += 1
    return table / table.sum()


@given(tables())
@settings(deadline=None, max_examples=150)
def test_unmixing_gives_back_the_truths_of_any_confusion(table: np.ndarray) -> None:
    """Whatever the parser does, Σ_j (answers read as j) · weights[j, t] is the number of answers that are t."""
    weights = unmixing(table)
    assert weights.sum(axis=1) == pytest.approx(np.ones(len(table)))
    assert table.sum(axis=0) @ weights == pytest.approx(table.sum(axis=1), abs=1e-9)
    assert np.abs(weights).sum(axis=1).max() <= 5 + 1e-9


def test_what_the_parser_never_reads_is_indistinct_and_goes_by_the_reading_alone() -> None:
    table = np.array([[0.5, 0.0, 0.0], [0.0, 0.4, 0.0], [0.1, 0.0, 0.0]])
    assert indistinct(table).tolist() == [False, False, True]
    assert unmixing(table)[0] == pytest.approx([5 / 6, 0, 1 / 6])


def test_posterior_centres_on_the_sample_and_leaves_doubt_where_no_error_was_seen() -> None:
    """Jeffreys: Beta(½, 300½) has mean .00166 and its 97.5 % point at .0083, however the sample is stratified."""
    strata = [Stratum(size=100, read=c, truths=tuple(30 if t == c else 0 for t in range(10))) for c in range(10)]
    errors = 1 - posterior(strata, 20_000, np.random.default_rng(0)).trace(axis1=1, axis2=2)
    assert errors.mean() == pytest.approx(0.5 / 301, rel=0.1)
    assert np.quantile(errors, 0.975) == pytest.approx(0.0083, rel=0.1)
    drawn = posterior(STRATA, 5_000, np.random.default_rng(1))
    assert drawn.mean(axis=0) == pytest.approx(joint(STRATA), abs=0.006)


PRIOR = np.array([0.1, 0.1, 0.15, 0.05, 0.05, 0.05, 0.05, 0.45])


def world(rng: np.random.Generator, n: int, error: float, *, to_none: bool) -> tuple[Integers, Integers, Integers]:
    """References, what each answer says (8 is Other, 9 none), and what the parser reads."""
    references = rng.choice(8, size=n, p=PRIOR)
    mistaken = rng.choice(10, size=n, p=np.append(0.9 * PRIOR, [0.06, 0.04]))
    said = np.where(rng.random(n) < 0.5, references, mistaken)
    wrong = np.full(n, 9) if to_none else (said + rng.integers(1, 10, n)) % 10
    return references, said, np.where(rng.random(n) < error, wrong, said)


def coded(rng: np.random.Generator, said: Integers, read: Integers, n: int = 300) -> list[Stratum]:
    strata = []
    for reading in np.unique(read):
        members = np.flatnonzero(read == reading)
        size = min(len(members), math.ceil(0.7 * n * len(members) / len(read) + 0.03 * n))
        truths = np.bincount(said[rng.choice(members, size=size, replace=False)], minlength=10)
        strata.append(Stratum(size=len(members), read=int(reading), truths=tuple(truths.tolist())))
    return strata


def rows_by_truth(selection: Selection, variant: str = "mv") -> list[Contributions]:
    n = selection.n_items
    return [
        contributions(selection, np.full(n, min(truth, 8)), variant, said_other=np.full(n, truth == 8))
        for truth in range(10)
    ]


@pytest.mark.parametrize("to_none", [False, True])
def test_five_percent_of_errors_are_taken_back(to_none: bool) -> None:
    """20 samples of 300: the error's interval covers, and the score moves to the true one from well below it."""
    rng, covered, gaps, inside = np.random.default_rng(5), 0, [], 0
    for seed in range(20):
        references, said, read = world(rng, 8_000, 0.05, to_none=to_none)
        strata, selection = coded(rng, said, read), Selection.of(references, 8)
        rate = error_rate(strata)
        covered += rate.low <= (said != read).mean() <= rate.high
        true = contributions(selection, np.minimum(said, 8), "mv").value()
        own = Said(by_truth=rows_by_truth(selection), read=read, strata=strata)
        found = adjusted([own], MACRO_F1, ITEMS, n_draws=100, seed=seed)
        gaps.append((found.read - true, found.value - true))
        inside += found.parser_low <= true <= found.parser_high
        assert found.low < true < found.high
    assert covered >= 17
    before, after = np.mean(gaps, axis=0)
    assert before < (-0.012 if to_none else -0.025)
    assert abs(after) < 0.004
    assert inside >= 17


def test_a_parser_without_errors_changes_nothing() -> None:
    rng = np.random.default_rng(2)
    references, said, _ = world(rng, 3_000, 0, to_none=False)
    selection = Selection.of(references, 8)
    own = Said(by_truth=rows_by_truth(selection), read=said, strata=coded(rng, said, said))
    found = adjusted([own], MACRO_F1, ITEMS)
    assert found.value == pytest.approx(found.read, abs=1e-12)
    assert 0 < found.se_parser < 0.005


def test_a_gap_that_one_parser_made_is_closed() -> None:
    """Two systems that say equally much; one of them is misread a tenth of the time: its star is the parser's."""
    rng = np.random.default_rng(11)
    references, said, read = world(rng, 8_000, 0.10, to_none=False)
    _, other, _ = world(rng, 8_000, 0, to_none=False)
    other = np.where(rng.random(8_000) < 0.5, references, other)
    other = np.where(said == references, references, np.where(other == references, said, other))
    selection = Selection.of(references, 8)
    systems = [
        Said(by_truth=rows_by_truth(selection), read=each, strata=coded(rng, true, each))
        for true, each in ((other, other), (said, read))
    ]
    found = adjusted(systems, MACRO_F1, ITEMS)
    assert found.p_read < 0.001
    assert found.p > 0.05
    mirrored = adjusted(systems[::-1], MACRO_F1, ITEMS)
    assert mirrored.value == pytest.approx(-found.value)


def test_answers_without_text_stay_as_they_are() -> None:
    """The reading K (here 10) is no answer, and no confusion of other answers touches it."""
    references = np.array([0, 0, 1, 1])
    selection = Selection.of(references, 8)
    strata = [Stratum(size=2, read=0, truths=(1, 1, *[0] * 8)), Stratum(size=2, read=1, truths=(0, 2, *[0] * 8))]
    found = adjusted(
        [Said(by_truth=rows_by_truth(selection), read=np.full(4, 10), strata=strata)], FORMULAS["accuracy"], ITEMS
    )
    assert (found.value, found.read) == (0, 0)
