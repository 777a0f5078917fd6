import csv
import gzip
import warnings
from pathlib import Path

import krippendorff
import numpy as np
import pytest

from serxbench.errors import MetricError
from serxbench.metrics import (
    FORMULAS,
    ReferencePolicy,
    VoteTable,
    alpha_by_class,
    check_consensus,
    draw_panel,
    human_ceiling,
    human_contributions,
    krippendorff_alpha,
    matched_contributions,
    per_annotator,
    references,
)
from serxbench.metrics.ceiling import leave_one_out

CREMA_D = Path(__file__).parents[3] / "shared" / "data" / "crema-d" / "tabulatedVotes.csv.gz"


def crema_d_rows():
    if not CREMA_D.exists():
        pytest.skip(f"{CREMA_D} is not here")
    with gzip.open(CREMA_D, "rt") as lines:
        return [row for row in csv.DictReader(lines) if int(row[""]) // 100000 == 1]


def crema_d_votes():
    return np.array([[int(row[c]) for c in "ADFHNS"] + [0] for row in crema_d_rows()])


def test_alpha_equals_the_krippendorff_package():
    rng = np.random.default_rng(1)
    for _ in range(200):
        n_classes = int(rng.integers(2, 7))
        votes = rng.multinomial(int(rng.integers(2, 9)), rng.dirichlet(np.full(n_classes, 0.4), 15))
        votes[rng.random(15) < 0.2] //= 2  # uneven panels, some with one vote or none
        if (votes[votes.sum(axis=1) > 1].sum(axis=0) > 0).sum() < 2:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = krippendorff.alpha(value_counts=votes, level_of_measurement="nominal")
        assert krippendorff_alpha(votes) == pytest.approx(expected, abs=1e-9)


def test_alpha_by_hand():
    # n = 6, D_o = (0 + 0 + 2) / 6 = 1/3, D_e = (36 − 9 − 9) / 30 = 3/5
    assert krippendorff_alpha([[2, 0], [0, 2], [1, 1]]) == pytest.approx(1 - (1 / 3) / (3 / 5))


def test_alpha_is_undefined_without_disagreement_to_expect():
    for votes in ([[2, 0], [3, 0]], [[1, 0], [0, 1]]):
        with pytest.raises(MetricError, match="alpha is undefined"):
            krippendorff_alpha(votes)
    assert alpha_by_class([[2, 0, 0], [1, 1, 0]])[2] is None


def test_ceiling_by_hand():
    # item 0: three equal votes; item 1 likewise; item 2: holding out 0 leaves a tie (2 votes), holding out 1 is a miss
    found = human_ceiling([[3, 0, 0], [0, 3, 0], [2, 1, 0]], [0, 1, 0])
    assert found.human_mv == pytest.approx((2 * 3 / (4 + 3) + 2 * 3 / (3 + 4)) / 2)
    assert found.human_accuracy == pytest.approx(6 / 7)
    assert found.tied == pytest.approx(2 / 9)
    assert found.model_mv == 1.0
    assert (found.n_votes, found.mean_votes) == (9, 3)
    assert found.mean_union == pytest.approx(4 / 3)


def test_votes_that_cannot_be_held_out_are_counted():
    cases = leave_one_out([[1, 0, 0], [1, 1, 0], [1, 0, 2], [2, 0, 0]])
    # alone: item 0. [1,1]: each rest is a single vote. [1,0,2]: holding 0 leaves Other; holding Other leaves a tie
    assert (cases.n_alone, cases.n_other, cases.n_tied) == (1, 1, 2)
    assert cases.weight.sum() == cases.n_votes - 4


def explicit_ceiling(votes, predictions):
    """Every single vote, one by one."""
    references_, humans, models = [], [], []
    for row, answer in zip(votes, predictions, strict=True):
        for c in np.repeat(np.arange(len(row)), row):
            rest = row.copy()
            rest[c] -= 1
            if rest.sum() == 0 or (rest == rest.max()).sum() > 1 or rest.argmax() == len(row) - 1:
                continue
            union = {k for k in range(len(row) - 1) if rest[k] > 0}
            references_.append((rest.argmax(), union))
            humans.append(c)
            models.append(answer)
    return references_, humans, models


def credited(cases, answers, n_classes):
    from sklearn.metrics import f1_score

    labels = [
        answer if answer in union else plurality for (plurality, union), answer in zip(cases, answers, strict=True)
    ]
    return f1_score(labels, answers, labels=range(n_classes), average="macro", zero_division=0)


def test_ceiling_equals_holding_out_every_vote_one_by_one():
    from sklearn.metrics import f1_score

    rng = np.random.default_rng(3)
    for _ in range(25):
        votes = rng.multinomial(5, rng.dirichlet(np.full(5, 0.6), 30))
        votes[0] = 0
        predictions = rng.integers(0, 5, 30)
        cases, humans, models = explicit_ceiling(votes, predictions)
        plurality = [label for label, _ in cases]
        found = human_ceiling(votes, predictions)
        among = {"labels": range(4), "average": "macro", "zero_division": 0}
        assert found.human_mv == pytest.approx(f1_score(plurality, humans, **among))
        assert found.model_mv == pytest.approx(f1_score(plurality, models, **among))
        assert found.human_all == pytest.approx(credited(cases, humans, 4))
        assert found.model_all == pytest.approx(credited(cases, models, 4))


def test_human_contributions_keep_the_votes_of_an_item_together():
    votes = np.array([[3, 1, 0], [1, 3, 0], [0, 4, 0]])
    found = human_contributions(votes)
    assert found.n_items == 3
    assert matched_contributions(votes, [0, 1, 1]).value() == 1.0
    assert found.value(FORMULAS["accuracy"]) == pytest.approx(10 / 12)


def test_per_annotator_by_hand():
    # annotators 0 and 1 always agree, annotator 2 always differs; with three votes the others of 0 tie unless …
    items = np.repeat(np.arange(4), 4)
    annotators = np.tile(np.arange(4), 4)
    truth = np.array([0, 1, 0, 1])
    labels = np.where(annotators == 3, 1 - truth[items], truth[items])
    found = per_annotator(items, annotators, labels, 2, min_items=4)
    assert found.values == (1.0, 1.0, 1.0, 0.0)
    assert found.n_votes == (4, 4, 4, 4)
    assert found.mean == 0.75
    assert found.sd == pytest.approx(0.5)
    assert found.n_left_out == 0
    with pytest.raises(MetricError, match="no annotator has 30"):
        per_annotator(items, annotators, labels, 2)


def test_a_panel_is_drawn_from_the_items_own_votes():
    rng = np.random.default_rng(4)
    votes = rng.multinomial(8, [0.5, 0.3, 0.2], 200)
    panel = draw_panel(votes, 5, seed=1)
    assert (panel.sum(axis=1) == 5).all()
    assert (panel <= votes).all()
    assert (panel == draw_panel(votes, 5, seed=1)).all()
    with pytest.raises(MetricError, match="200 items have fewer"):
        draw_panel(votes, 9)


def test_real_votes_of_crema_d_reproduce_the_published_figures():
    votes = crema_d_votes()
    assert len(votes) == 7442
    found = human_ceiling(votes)
    assert round(found.human_mv, 3) == 0.488
    assert round(found.human_all, 3) == 0.861
    assert round(found.human_accuracy, 3) == 0.592
    assert round(krippendorff_alpha(votes[:, :-1]), 3) == 0.281
    assert round(found.mean_votes, 1) == 9.2


def test_plurality_of_crema_d_is_the_released_one():
    rows = crema_d_rows()
    released = tuple("X" if ":" in row["emoVote"] else row["emoVote"] for row in rows)
    table = VoteTable(labels=tuple("ADFHNS"), votes=crema_d_votes(), consensus=released)
    check = check_consensus(table, references(table))
    assert (check.agree, check.total) == (7442, 7442)


def test_an_oracle_loses_only_on_ties_against_leave_one_out_references():
    # Taking one vote away from a plurality leaves it a plurality or a tie, and ties are dropped. On items that tie
    # with all votes, whoever is held out decides, and no fixed answer can follow.
    votes = crema_d_votes()
    table = VoteTable(labels=tuple("ADFHNS"), votes=votes)
    selection = references(table).select()
    assert matched_contributions(votes[selection.items], selection.labels).value() == 1.0
    first = references(table, ReferencePolicy(ties="first")).plurality
    assert matched_contributions(votes, first).value() == pytest.approx(0.966, abs=0.02)
