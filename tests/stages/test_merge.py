"""A merged checkpoint answers like base and adapter, says what it is, and is there whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_lora
import torch
from conftest import Serxbench
from safetensors.torch import load_file, save_file

from serxbench.adapters import Loading, lora
from serxbench.adapters.lora import hear_test_clip
from serxbench.adapters.qwen2_audio import load as load_qwen2_audio
from serxbench.audio import SAMPLE_RATE, Clip
from serxbench.catalog import read_card, resolve_card
from serxbench.errors import AdapterError, RunLocked, UsageError
from serxbench.progress import Silent
from serxbench.records import Decoding, Prompt
from serxbench.runs import lock_folder
from serxbench.stages.merge import TOLERANCES, MergeRequest, merge
from serxbench.stages.models import load_adapter, locate_model

PROMPT = Prompt(name="open", text="What emotion?", sha256="")
IDS = list("abc")
CLIPS = [
    Clip(waveform=np.random.default_rng(n).normal(scale=0.03 * n, size=n * 6000).astype(np.float32), seconds=n * 0.375)
    for n in (1, 2, 3)
]
assert SAMPLE_RATE == 16_000


@pytest.fixture
def adapter_folder(tmp_path: Path, tiny_checkpoint: Path) -> Path:
    return tiny_lora.lora(tmp_path / "adapter", tiny_checkpoint)


def answers(model: str) -> list[Any]:
    adapter = load_adapter(locate_model(resolve_card(model)), "cpu", "float32")
    return adapter.generate(IDS, CLIPS, PROMPT, Decoding(max_new_tokens=12))


def test_it_answers_like_base_and_adapter(adapter_folder: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "merged"
    merged = merge(MergeRequest(card=resolve_card(str(adapter_folder))), out, Silent())
    assert (merged.folder, merged.card, merged.dtype) == (out, out / "merged.md", "float32")
    assert merged.difference <= merged.tolerance == TOLERANCES["float32"] * merged.largest_logit < merged.effect
    assert answers(str(out)) == answers(str(adapter_folder)) != answers(str(tiny_checkpoint))
    # Saved and loaded, the weights are those of a run with the adapter to the last bit.
    again = load_qwen2_audio(Loading(folder=out))
    run = load_adapter(locate_model(resolve_card(str(adapter_folder))), "cpu", "float32")
    assert (hear_test_clip(again) == hear_test_clip(run)).all()


def test_the_files_are_the_bases(adapter_folder: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "merged"
    merge(MergeRequest(card=resolve_card(str(adapter_folder))), out, Silent())
    names = {path.name for path in tiny_checkpoint.iterdir()}
    assert {path.name for path in out.iterdir()} == names | {"merged.md"}
    for name in names - {"model.safetensors", "config.json"}:
        assert (out / name).read_bytes() == (tiny_checkpoint / name).read_bytes()
    assert json.loads((out / "config.json").read_text()) == json.loads((tiny_checkpoint / "config.json").read_text())
    # Under the names of the hub's checkpoints, which vLLM reads too.
    weights = load_file(out / "model.safetensors")
    assert weights.keys() == load_file(tiny_checkpoint / "model.safetensors").keys()
    assert not list(tmp_path.glob(".*"))


def test_the_card_says_what_it_was_made_from(adapter_folder: Path, tmp_path: Path) -> None:
    (adapter_folder / "trainer_log.jsonl").write_text("{}\n")
    out = tmp_path / "merged"
    model = locate_model(resolve_card(str(adapter_folder)))
    assert model.base is not None
    card = read_card(merge(MergeRequest(card=model.card), out, Silent()).card)
    assert (card.name, card.display_name, card.adapter, card.folder) == ("merged", "adapter", "qwen2_audio", out)
    assert f"base: tiny, revision {model.base.checkpoint.revision}" in card.notes
    assert f"adapter: adapter, revision {model.checkpoint.revision}" in card.notes
    assert str(tmp_path) not in card.path.read_text()  # type: ignore[union-attr]
    # Asked by its folder, it is asked as it was trained, wherever the folder lies.
    assert card.prompt_style == "llamafactory"
    moved = out.rename(tmp_path / "elsewhere")
    assert resolve_card(str(moved)).prompt_style == "llamafactory"


@pytest.mark.parametrize(("dtype", "stored"), [("bfloat16", torch.bfloat16), ("float16", torch.float16)])
def test_the_number_format_is_the_bases_or_the_one_asked_for(
    adapter_folder: Path, tiny_checkpoint: Path, tmp_path: Path, dtype: str, stored: Any
) -> None:
    card = resolve_card(str(adapter_folder))
    asked = merge(MergeRequest(card=card, dtype=dtype), tmp_path / "asked", Silent())
    assert asked.dtype == dtype
    tensors = load_file(tmp_path / "asked" / "model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {stored}
    assert json.loads((tmp_path / "asked" / "config.json").read_text())["dtype"] == dtype
    base = tmp_path / "base"
    base.mkdir()
    for file in tiny_checkpoint.iterdir():
        (base / file.name).write_bytes(file.read_bytes())
    halved = {name: tensor.to(stored) for name, tensor in load_file(base / "model.safetensors").items()}
    save_file(halved, base / "model.safetensors", metadata={"format": "pt"})
    found = merge(MergeRequest(card=replace(card, base=str(base))), tmp_path / "found", Silent())
    assert found.dtype == dtype
    assert read_card(found.card).dtype == "auto"
    # A run with the adapter in that format computes with the same weights.
    run = load_adapter(locate_model(replace(card, base=str(base))), "cpu", dtype)
    again = load_adapter(locate_model(read_card(found.card)), "cpu", dtype)
    assert (hear_test_clip(again) == hear_test_clip(run)).all()


def test_a_checkpoint_that_answers_otherwise_is_not_left(
    adapter_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = resolve_card(str(adapter_folder))

    def spoil(self: Any, folder: Path, save: Callable[..., None] = lora.Attached.save) -> None:
        save(self, folder)
        tensors = load_file(folder / "model.safetensors")
        tensors["language_model.lm_head.weight"][0] += 1.0
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    monkeypatch.setattr(lora.Attached, "save", spoil)
    with pytest.raises(AdapterError, match=r"does not answer like base and adapter: a logit differs by .* rounding in"):
        merge(MergeRequest(card=card), tmp_path / "merged", Silent())
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]


def test_what_is_left_of_a_killed_process_is_no_obstacle(adapter_folder: Path, tmp_path: Path) -> None:
    unfinished = tmp_path / ".merged.unfinished"
    (unfinished / "folder").mkdir(parents=True)
    (unfinished / "model-00001-of-00002.safetensors").write_bytes(b"half")
    request = MergeRequest(card=resolve_card(str(adapter_folder)))
    with lock_folder(unfinished), pytest.raises(RunLocked):
        merge(request, tmp_path / "merged", Silent())
    assert (unfinished / "model-00001-of-00002.safetensors").is_file(), "the other process is still at it"
    merge(request, tmp_path / "merged", Silent())
    assert not list((tmp_path / "merged").glob("model-*"))


def test_what_cannot_be_merged(adapter_folder: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    card = resolve_card(str(adapter_folder))
    with pytest.raises(UsageError, match=r"'tiny' is no LoRA \(its adapter is 'qwen2_audio'\)"):
        merge(MergeRequest(card=resolve_card(str(tiny_checkpoint))), tmp_path / "merged", Silent())
    with pytest.raises(UsageError, match="is there already; give another --out"):
        merge(MergeRequest(card=card), adapter_folder, Silent())
    with pytest.raises(UsageError, match="dtype 'int8': wanted one of auto, float32, float16, bfloat16"):
        merge(MergeRequest(card=card, dtype="int8"), tmp_path / "merged", Silent())


def test_the_command_line(adapter_folder: Path, tmp_path: Path, serxbench: Serxbench) -> None:
    done = serxbench("merge", adapter_folder, "--out", "merged", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["card"] == "merged/merged.md"
    assert done.stderr.splitlines()[-1] == "next: serxbench run --model merged --mode closed"
