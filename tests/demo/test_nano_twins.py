"""`nano` and its twin: each answers in the form that it was taught, and the committed recipe made both."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from serxbench.audio import read_audio
from serxbench.catalog import embedded_folder, load_prompt, resolve_card
from serxbench.corpora import open_corpus
from serxbench.demo import rationales
from serxbench.hashing import hash_file
from serxbench.parsing import get_parser
from serxbench.progress import Silent
from serxbench.rationales.rules import Bounds
from serxbench.records import Decoding
from serxbench.sft.recipe import read_recipe
from serxbench.stages.curate import curate
from serxbench.stages.models import load_adapter, locate_model

TWINS = {"nano": "with-reason", "nano-no-reason": "without-reason"}


def facts(name: str) -> Any:
    return json.loads((embedded_folder("model_cards") / name / "sft.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("form", ["open", "closed-cot"])
@pytest.mark.parametrize("name", TWINS)
def test_it_answers_as_it_was_taught(name: str, form: str) -> None:
    torch.set_num_threads(1)
    corpus = open_corpus("demo:development")
    some = corpus.utterances[::12]
    adapter = load_adapter(locate_model(resolve_card(name)), "cpu", "float32")
    clips = [read_audio(Path(str(utterance.audio))) for utterance in some]
    prompt = load_prompt(form, corpus.labels)
    responses = adapter.generate([utterance.id for utterance in some], clips, prompt, Decoding(max_new_tokens=200))
    assert {response.stop for response in responses} == {"end"}
    parsed = [get_parser("rules").parse(response, None) for response in responses]
    assert sum(each.status == "ok" for each in parsed) >= 7
    assert all(each.transcript for each in parsed)
    assert all((each.rationale is not None) == (name == "nano") for each in parsed)


def test_they_are_twins() -> None:
    one, other = (facts(name) for name in TWINS)
    assert (one["variant"], other["variant"]) == tuple(TWINS.values())
    for key in ("base", "settings", "data", "samples", "packages"):
        assert one[key] == other[key], key
    assert one["samples"]["left_out"] == {"demo": {"no_class": 70, "rationale_rejected": 50}}


def test_the_recipe_and_the_rationales_are_the_committed_ones(tmp_path: Path) -> None:
    made, recipe = facts("nano"), read_recipe("demo")
    settings = dataclasses.asdict(recipe.settings) | {"dtype": "float32", "speeds": list(recipe.settings.speeds)}
    assert made["settings"] == settings
    assert rationales.main(["--out", str(tmp_path / "rationales.jsonl")]) == 0
    curate(tmp_path / "rationales.jsonl", tmp_path / "curated.jsonl", Bounds(), Silent())
    (corpus,) = made["data"]["corpora"]
    assert corpus["rationales"] == hash_file(tmp_path / "curated.jsonl")
    assert corpus["revision"] == open_corpus("demo:train").revision
