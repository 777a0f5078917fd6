import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from serxbench.errors import MetricError
from serxbench.metrics import soft_labels
from serxbench.metrics.soft import calibration_error, entropy_terciles, jensen_shannon, jensen_shannon_floor


def perfect_model(rng, n_items, n_votes, n_samples):
    """Votes and samples from one Dirichlet-multinomial with the shares of a skewed corpus."""
    prior = np.array([0.45, 0.2, 0.12, 0.08, 0.06, 0.04, 0.03, 0.02])
    truth = rng.dirichlet(prior * 1.5, n_items)
    return truth, rng.multinomial(n_votes, truth), rng.multinomial(n_samples, truth)


def test_distances_by_hand():
    scores = soft_labels([[3, 1], [0, 4]], [[2, 2], [0, 4]])
    # item 0: (6+0)/12 + (2+2)/12 − 2 (3·2 + 1·2)/16 = −1/6; item 1: 1 + 1 − 2 = 0
    assert scores.sqdist_unbiased == pytest.approx((-1 / 6) / 2)
    assert scores.sqdist_plugin == pytest.approx((2 / 16) / 2)
    assert scores.tv == pytest.approx(0.125)
    # item 0: q = ½; item 1: q = (½/5, 4½/5)
    assert scores.cross_entropy == pytest.approx((1 - np.log2(0.9)) / 2)
    assert (scores.n, scores.n_pairs, scores.samples) == (2, 2, (4, 4))


def test_jsd_equals_scipy():
    rng = np.random.default_rng(1)
    p, q = rng.dirichlet(np.ones(5), 50), rng.dirichlet(np.ones(5), 50)
    np.testing.assert_allclose(jensen_shannon(p, q), jensenshannon(p, q, axis=1, base=2) ** 2, atol=1e-12)


def test_unbiased_distance_of_a_perfect_model_is_zero():
    rng = np.random.default_rng(2)
    _, votes, samples = perfect_model(rng, 40_000, 5, 5)
    assert soft_labels(votes, samples).sqdist_unbiased == pytest.approx(0, abs=0.004)


def test_unbiased_distance_is_unbiased_for_another_model():
    rng = np.random.default_rng(3)
    truth, votes, _ = perfect_model(rng, 40_000, 5, 5)
    other = 0.5 * truth + 0.5 / 8
    expected = ((truth - other) ** 2).sum(axis=1).mean()
    assert soft_labels(votes, rng.multinomial(4, other)).sqdist_unbiased == pytest.approx(expected, abs=0.004)
    assert soft_labels(votes, probabilities=other).sqdist_unbiased == pytest.approx(expected, abs=0.004)


@pytest.mark.parametrize("n_samples", [5, 20])
def test_the_floor_is_what_a_perfect_model_scores(n_samples):
    rng = np.random.default_rng(4)
    truth, votes, samples = perfect_model(rng, 20_000, 5, n_samples)
    scores = soft_labels(votes, samples)
    assert scores.jsd_floor == pytest.approx(scores.jsd, rel=0.04)
    assert scores.jsd_panel == pytest.approx(jensen_shannon(votes / 5, rng.multinomial(5, truth) / 5).mean(), rel=0.04)
    exact = soft_labels(votes, probabilities=truth)
    assert exact.jsd_floor == pytest.approx(exact.jsd, rel=0.04)


def test_failed_samples_cost_and_are_not_dropped():
    votes = [[4, 1], [1, 4]]
    whole = soft_labels(votes, [[8, 2, 0], [2, 8, 0]])
    failed = soft_labels(votes, [[4, 1, 5], [1, 4, 5]])
    assert whole.jsd == pytest.approx(0, abs=1e-12)
    assert whole == soft_labels(votes, [[8, 2], [2, 8]])
    assert failed.jsd > 0.2
    assert failed.tv == pytest.approx(0.5)


def test_what_cannot_be_computed_is_none():
    one = soft_labels([[3, 1], [1, 3]], [[1, 0], [0, 1]])
    assert one.sqdist_unbiased is None
    ruled_out = soft_labels([[3, 1], [1, 3]], probabilities=[[1.0, 0.0], [0.5, 0.5]])
    assert ruled_out.cross_entropy is None
    assert ruled_out.samples is None
    assert jensen_shannon_floor([[1, 0], [0, 1]], None) is None
    assert soft_labels([[1, 0], [2, 1]], [[2, 0], [2, 0]]).n_pairs == 1


@pytest.mark.parametrize(
    ("votes", "more", "message"),
    [
        ([[0, 0], [1, 0]], {"samples": [[1, 0], [1, 0]]}, "votes: 1 items have none"),
        ([[1, 0]], {"samples": [[0, 0]]}, "samples: 1 items have none"),
        ([[1, 0]], {}, "either samples or probabilities"),
        ([[1, 0]], {"probabilities": [[0.5, 0.6]]}, "sum to 1.1"),
        ([[1, 0]], {"probabilities": [[0.5, 0.25, 0.25]]}, "3 answer columns for 2"),
        ([[1, 0]], {"samples": [[1, 0], [1, 0]]}, "1 votes, 2 answers"),
    ],
)
def test_what_does_not_fit_is_refused(votes, more, message):
    with pytest.raises(MetricError, match=message):
        soft_labels(votes, **more)


def test_terciles_keep_equal_entropies_together():
    votes = [[4, 0], [4, 0], [3, 1], [3, 1], [2, 2], [2, 2]]
    assert entropy_terciles(votes).tolist() == [0, 0, 1, 1, 2, 2]
    assert entropy_terciles([[4, 0]] * 5 + [[2, 2]]).tolist() == [0] * 5 + [2]


def test_calibration_error_by_hand():
    # all answers in one bin of class 0: |0.8 − 0.5|
    errors = calibration_error([[1, 0], [0, 1]], [[0.8, 0.2], [0.8, 0.2]])
    assert errors == pytest.approx((0.3, 0.3))
    rng = np.random.default_rng(5)
    truth, votes, _ = perfect_model(rng, 20_000, 5, 5)
    assert max(calibration_error(votes, truth)) < 0.01
