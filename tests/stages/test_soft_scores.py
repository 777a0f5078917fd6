"""Soft labels in scores.json: the model's probabilities against the shares of the votes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from serxbench.metrics import references, vote_table
from serxbench.records import Prediction, Utterance, Vote
from serxbench.stages.evaluation import Evaluation, distributions, encode
from serxbench.stages.score import _soft
from serxbench.statistics import ITEMS

LABELS = ("Angry", "Sad")


def said(id: str, probabilities: Mapping[str, float] | None) -> Prediction:
    return Prediction(id=id, status="ok", label="Angry", probabilities=probabilities)


def evaluation(votes: Sequence[str], predictions: Sequence[Prediction]) -> Evaluation:
    """votes: a word an item, a letter a vote (A, S, or O for Other)."""
    full = {"A": "Angry", "S": "Sad", "O": "Other"}
    items = tuple(
        Utterance(id=str(n), votes=tuple(Vote(primary=full[letter]) for letter in word)) for n, word in enumerate(votes)
    )
    table = vote_table(items, LABELS)
    return Evaluation(
        utterances=items,
        table=table,
        references=references(table),
        answers=encode(predictions, LABELS),
        answered=np.array([prediction.status == "ok" for prediction in predictions]),
        unit=ITEMS,
        probabilities=distributions(predictions, LABELS),
    )


def test_distributions_by_hand() -> None:
    failed = Prediction(id="c", status="error")
    table = distributions(
        [said("a", {"Angry": 0.5, "Fear": 0.2, "Other": 0.3}), said("b", {"Sad": 1.0}), failed], LABELS
    )
    assert table is not None
    assert table.tolist() == [[0.5, 0, 0.5, 0], [0, 1, 0, 0], [0, 0, 0, 1]]
    assert distributions([said("a", {"Sad": 1.0}), said("b", None)], LABELS) is None
    assert distributions([failed], LABELS) is None


def test_scores_by_hand() -> None:
    predictions = [said("0", {"Angry": 0.5, "Sad": 0.5}), Prediction(id="1", status="error"), said("2", {"Sad": 1.0})]
    soft = _soft(evaluation(["AAAS", "SS", ""], predictions))
    # The item without votes is out; the failed answer is in, and as far from its votes as can be.
    assert (soft["n"], soft["n_unanswered"]) == (2, 1)
    assert soft["tv"] == pytest.approx((0.25 + 1) / 2)
    assert soft["sqdist_plugin"] == pytest.approx((2 * 0.25**2 + 2) / 2)
    mixed = -(0.625 * np.log2(0.625) + 0.375 * np.log2(0.375))
    own = -(0.75 * np.log2(0.75) + 0.25 * np.log2(0.25))
    assert soft["jsd"] == pytest.approx((mixed - own / 2 - 1 / 2 + 1) / 2)
    assert soft["cross_entropy"] is None, "no answer rules out what the annotators chose"


def test_other_is_a_class_on_both_sides() -> None:
    soft = _soft(evaluation(["AO", "SS"], [said("0", {"Angry": 0.5, "Other": 0.5}), said("1", {"Sad": 1.0})]))
    assert soft["tv"] == 0
    assert soft["cross_entropy"] == pytest.approx(0.5)
    assert soft["n_unanswered"] == 0


@pytest.mark.parametrize(
    ("votes", "predictions", "reason"),
    [
        (["A"], [said("0", None)], "not every answer has probabilities"),
        (["A"], [Prediction(id="0", status="error")], "there are no answers"),
        ([""], [said("0", {"Sad": 1.0})], "the corpus has no votes of single annotators"),
        (["A"], [said("0", {"Sad": 0.5})], "sum to 0.5, wanted 1"),
    ],
)
def test_what_is_missing_is_said(votes: list[str], predictions: list[Prediction], reason: str) -> None:
    (found,) = _soft(evaluation(votes, predictions)).values()
    assert reason in found


def test_every_field_is_documented() -> None:
    documented = (Path(__file__).parents[2] / "docs" / "scores.md").read_text(encoding="utf-8")
    soft = _soft(evaluation(["AAS", "SS"], [said("0", {"Angry": 1.0}), said("1", {"Sad": 1.0})]))
    assert all(f"`{field}`" in documented for field in soft)
