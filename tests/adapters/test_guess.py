"""Guessing models: their answers depend on nothing but the id, and follow the shares of their card."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serxbench.adapters import Loading
from serxbench.adapters.guess import load
from serxbench.audio import Clip
from serxbench.catalog import load_prompt
from serxbench.emotions import EMOTIONS
from serxbench.errors import AdapterError
from serxbench.records import Decoding

SILENCE = Clip(waveform=np.zeros(1600, np.float32), seconds=0.1)


def answers(settings: dict[str, Any], n: int = 4000, labels: tuple[str, ...] = EMOTIONS) -> list[str | None]:
    adapter = load(Loading(folder=Path(), settings=settings))
    prompt = load_prompt("closed", labels)
    ids = [f"u{number}" for number in range(n)]
    return [response.text for response in adapter.generate(ids, [SILENCE] * n, prompt, Decoding())]


def test_shares_are_kept() -> None:
    assert {round(n / 500, 1) for n in Counter(answers({"strategy": "uniform"})).values()} <= {0.9, 1.0, 1.1}
    prior = Counter(answers({"strategy": "prior", "shares": {"Sad": 3, "Fear": 1}}))
    assert prior.keys() == {"Sad", "Fear"}
    assert prior["Sad"] / 4000 == pytest.approx(0.75, abs=0.03)
    assert set(answers({"strategy": "majority", "shares": {"Sad": 3, "Neutral": 4}})) == {"Neutral"}


def test_only_classes_on_offer_are_answered() -> None:
    assert set(answers({"strategy": "uniform"}, labels=("Sad", "Fear"))) == {"Sad", "Fear"}
    assert set(answers({"strategy": "majority", "shares": {"Neutral": 4, "Sad": 3}}, labels=("Sad", "Fear"))) == {"Sad"}
    with pytest.raises(AdapterError, match="no share for any of Sad, Fear"):
        answers({"strategy": "prior", "shares": {"Neutral": 1}}, labels=("Sad", "Fear"))


def test_neither_order_nor_company_moves_an_answer() -> None:
    adapter = load(Loading(folder=Path(), settings={"strategy": "uniform"}))
    prompt = load_prompt("open", EMOTIONS)
    together = adapter.generate(["a", "b"], [SILENCE] * 2, prompt, Decoding())
    assert adapter.generate(["b"], [SILENCE], prompt, Decoding(seed=9)) == together[1:]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "strategy must be one of uniform, prior, majority; found None"),
        ({"strategy": "prior"}, "needs settings.shares"),
        ({"strategy": "prior", "shares": {"Glad": 1}}, "must give classes numbers"),
        ({"strategy": "prior", "shares": {"Sad": -1}}, "must give classes numbers"),
    ],
)
def test_malformed_settings_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(AdapterError, match=message):
        load(Loading(folder=Path(), settings=settings))
