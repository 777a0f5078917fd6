"""The committed twins: each answers in the form that it was taught, and both were trained on the same samples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from serxbench.audio import read_audio
from serxbench.catalog import embedded_folder, load_prompt, resolve_card
from serxbench.corpora import open_corpus
from serxbench.parsing import get_parser
from serxbench.records import Decoding
from serxbench.stages.models import load_adapter, locate_model

TWINS = {"nano-reason": "with-reason", "nano-no-reason": "without-reason"}


def facts(name: str) -> Any:
    return json.loads((embedded_folder("model_cards") / name / "sft.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", TWINS)
def test_it_answers_as_it_was_taught(name: str) -> None:
    torch.set_num_threads(1)
    corpus = open_corpus("demo:development")
    some = corpus.utterances[::12]
    adapter = load_adapter(locate_model(resolve_card(name)), "cpu", "float32")
    clips = [read_audio(Path(str(utterance.audio))) for utterance in some]
    prompt = load_prompt("open", corpus.labels)
    responses = adapter.generate([utterance.id for utterance in some], clips, prompt, Decoding(max_new_tokens=200))
    parsed = [get_parser("rules").parse(response, None) for response in responses]
    assert sum(each.status == "ok" for each in parsed) >= 7
    assert all(each.transcript for each in parsed)
    assert all((each.rationale is not None) == (name == "nano-reason") for each in parsed)


def test_they_are_twins() -> None:
    one, other = (facts(name) for name in TWINS)
    assert (one["variant"], other["variant"]) == tuple(TWINS.values())
    for key in ("base", "settings", "modules", "data", "samples", "packages"):
        assert one[key] == other[key], key
    assert one["samples"]["left_out"] == {"demo": {"no_class": 70, "rationale_rejected": 50}}


@pytest.mark.parametrize("name", TWINS)
def test_their_base_is_the_committed_one(name: str) -> None:
    assert facts(name)["base"]["revision"] == locate_model(resolve_card("nano")).checkpoint.revision
