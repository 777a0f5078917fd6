"""Training: the loss falls, what was learnt is what a run loads, and killing a training changes nothing of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Serxbench, read_rows, write_rows
from safetensors.torch import load_file

from serxbench.adapters import lora
from serxbench.adapters.lora import hear_test_clip
from serxbench.catalog import resolve_card
from serxbench.errors import RunError, UsageError
from serxbench.progress import Silent
from serxbench.sft.loop import Task
from serxbench.sft.recipe import Settings
from serxbench.sft.state import State
from serxbench.stages import sft as stage
from serxbench.stages.merge import MergeRequest, merge
from serxbench.stages.models import load_adapter, locate_model

from .training import losses, train

WriteRecipe = Callable[..., Path]


def hear(folder: Path, **changes: Any) -> Any:
    card = resolve_card(str(folder))
    model = locate_model(card)
    if not changes:
        return hear_test_clip(load_adapter(model, "cpu", "float32"))
    loading = model.loading("cpu", "float32")
    from dataclasses import replace

    return hear_test_clip(lora.load(replace(loading, **changes)))


def test_a_lora_is_trained_saved_loaded_and_merged(
    write_recipe: WriteRecipe, tmp_path: Path, tiny_checkpoint: Path
) -> None:
    out = tmp_path / "out"
    (trained,) = train(write_recipe(), out)
    found = losses(out)
    assert len(found) == trained.outcome["steps"] == 2 * 4
    assert np.mean(found[-3:]) < np.mean(found[:3]) - 0.5
    assert trained.folder == out / "recipe-with-reason"
    tensors = load_file(trained.folder / "adapter_model.safetensors")
    assert len(tensors) == len(trained.outcome["parameters"]) == 2 * (2 * 4 + 1)
    assert not any("base_layer" in name for name in tensors)
    beside = hear(trained.folder, settings={"merged": False})
    base = hear_test_clip(load_adapter(locate_model(resolve_card(str(tiny_checkpoint))), "cpu", "float32"))
    assert abs(beside - base).max() > 0.1
    np.testing.assert_allclose(hear(trained.folder), beside, rtol=0, atol=1e-5 * abs(beside).max())
    merged = merge(MergeRequest(card=resolve_card(str(trained.folder))), tmp_path / "merged", Silent())
    assert merged.difference < 1e-4 * merged.largest_logit
    # What was saved is what was kept: the weights of the evaluation with the lowest loss.
    best = load_file(next((out / "with-reason" / "checkpoints").glob("best-*/weights.safetensors")))
    for name, tensor in tensors.items():
        kept = best[name.removeprefix("base_model.model.").replace(".weight", ".default.weight")]
        assert torch.equal(tensor, kept)


def test_a_full_model_is_a_checkpoint_that_runs(
    write_recipe: WriteRecipe, tmp_path: Path, tiny_checkpoint: Path
) -> None:
    path = write_recipe(models={"without-reason": "small"})
    changes = {"method": "full", "stored_as": "float16", "learning_rate": 1e-3}
    (trained,) = train(path, tmp_path / "out", ["without-reason"], **changes)
    card = resolve_card(str(trained.folder))
    assert (card.name, card.adapter, card.base) == ("small", "qwen2_audio", None)
    assert {tensor.dtype for tensor in load_file(trained.folder / "model.safetensors").values()} == {torch.float16}
    base = hear_test_clip(load_adapter(locate_model(resolve_card(str(tiny_checkpoint))), "cpu", "float32"))
    assert abs(hear(trained.folder) - base).max() > 0.1


def test_the_card_says_what_it_was_made_from_and_no_path(
    write_recipe: WriteRecipe, tmp_path: Path, rationales: Path
) -> None:
    (trained,) = train(write_recipe(base="nano", settings={"epochs": 1}), tmp_path / "out")
    facts = json.loads((trained.folder / "sft.json").read_text())
    assert facts["samples"]["n_train"] == 16
    assert facts["data"]["corpora"][0]["rationales"] == stage_hash(rationales)
    assert facts["base"]["revision"].startswith("sha256:")
    assert facts["outcome"]["evaluations"][-1][0] == 4
    card = resolve_card(str(trained.folder))
    assert (card.base, card.prompt_style, card.max_audio_seconds) == ("nano", "chat", 6)
    for file in trained.folder.iterdir():
        assert str(tmp_path).encode() not in file.read_bytes(), file.name


def test_the_card_names_the_teacher_of_the_reasons(write_recipe: WriteRecipe, tmp_path: Path, rationales: Path) -> None:
    rows = read_rows(rationales)
    write_rows(rationales, [{**row, "teacher": "q2.5o"} for row in rows])
    both = train(write_recipe(settings={"epochs": 1}), tmp_path / "out", ("with-reason", "without-reason"))
    cards = [resolve_card(str(each.folder)) for each in both]
    assert [card.teacher for card in cards] == ["q2.5o", None]
    assert "Rationales by: q2.5o." in (both[0].folder / f"{both[0].folder.name}.md").read_text()


def stage_hash(path: Path) -> str:
    from serxbench.hashing import hash_file

    return hash_file(path)


def test_variants_see_the_same_samples_in_the_same_order(write_recipe: WriteRecipe, tmp_path: Path) -> None:
    out = tmp_path / "out"
    models = train(write_recipe(settings={"epochs": 1}), out, ["with-reason", "without-reason"])
    facts = [json.loads((each.folder / "sft.json").read_text()) for each in models]
    same = ("base", "settings", "data", "samples", "modules")
    assert all(facts[0][key] == facts[1][key] for key in same)
    assert losses(out) != losses(out, "without-reason")


def test_repeating_a_finished_training_trains_nothing(
    write_recipe: WriteRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_recipe(settings={"epochs": 1})
    first = train(path, tmp_path / "out")
    monkeypatch.setattr(stage, "_learn", lambda *given: pytest.fail("it trains again"))
    assert train(path, tmp_path / "out") == first
    weights = first[0].folder / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\0")
    with pytest.raises(pytest.fail.Exception, match="it trains again"):
        train(path, tmp_path / "out")


def test_another_recipe_is_refused_in_the_same_folder(write_recipe: WriteRecipe, tmp_path: Path) -> None:
    path = write_recipe(settings={"epochs": 1})
    train(path, tmp_path / "out")
    with pytest.raises(RunError, match="was begun with other max_samples"):
        train(path, tmp_path / "out", max_samples=10)
    with pytest.raises(RunError, match="was begun with other settings"):
        train(path, tmp_path / "out", learning_rate=0.5)


def test_a_loss_that_is_no_number_ends_the_training(write_recipe: WriteRecipe, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"the loss is (nan|inf)|its gradient (nan|inf)"):
        train(write_recipe(), tmp_path / "out", ["without-reason"], method="full", learning_rate=1e30)


def test_what_cannot_be_trained_on_is_refused(write_recipe: WriteRecipe, tmp_path: Path) -> None:
    for base in ("random-prior", "q2a-lora-sft", "gpt-audio"):
        with pytest.raises(UsageError, match=r"cannot be fine-tuned here|weights of .* are not published"):
            train(write_recipe(base=base), tmp_path / "out")


def test_patience_ends_a_training() -> None:
    state = State(step=9, evaluations=((2, 3.0), (4, 1.0), (6, 1.0), (8, 2.0)))
    assert state.best == (4, 1.0)
    assert state.is_out_of_patience(2)
    assert not state.is_out_of_patience(3)
    assert not State().is_out_of_patience(1)


def test_evaluations_are_spread_over_the_epoch() -> None:
    task = Task(
        train=[None] * 40,  # type: ignore[list-item]
        validation=[],
        variant="with-reason",
        settings=Settings(samples_per_step=4, evaluations_per_epoch=4, epochs=2),
    )
    assert [step for step in range(1, task.n_steps + 1) if task.is_evaluated_after(step)] == [
        3,
        5,
        8,
        10,
        13,
        15,
        18,
        20,
    ]


def test_an_epoch_is_every_sample_once() -> None:
    task = Task(
        train=list(range(10)),  # type: ignore[arg-type]
        validation=[],
        variant="with-reason",
        settings=Settings(samples_per_step=4, epochs=2),
    )
    epochs = [[each for step in steps for each in task.samples_of(step)] for steps in ((0, 1, 2), (3, 4, 5))]
    assert [sorted(epoch) for epoch in epochs] == [list(range(10))] * 2  # type: ignore[type-var]
    assert epochs[0] != epochs[1]


# Killing, and several processes


COMMAND = [sys.executable, "-m", "serxbench", "sft"]


def start(path: Path, out: Path, *more: str, command: list[str] = COMMAND) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.Popen(
        [*command, str(path), "--out", str(out), "--device", "cpu", "-q", *more],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def finish(process: subprocess.Popen[bytes]) -> None:
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors.decode()


def test_a_killed_training_goes_on_as_if_nothing_had_been(write_recipe: WriteRecipe, tmp_path: Path) -> None:
    path = write_recipe(settings={"dropout": 0.1, "speeds": [0.95, 1.0, 1.05], "save_every": 3, "patience": 99})
    finish(start(path, tmp_path / "whole"))
    torn, curve = tmp_path / "torn", tmp_path / "torn" / "with-reason" / "losses.jsonl"
    lines = np.random.default_rng().integers(2, 9)
    process = start(path, torn)
    deadline = time.monotonic() + 120
    while not (curve.is_file() and curve.read_bytes().count(b"\n") >= lines) and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (torn / "recipe-with-reason").exists(), f"it was over before it could be killed after {lines} lines"
    finish(start(path, torn))
    assert len(losses(torn)) == 8
    for name in ("with-reason/losses.jsonl", "recipe-with-reason/adapter_model.safetensors", "data/samples.jsonl"):
        assert (torn / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_two_processes_train_what_one_does(write_recipe: WriteRecipe, tmp_path: Path) -> None:
    path = write_recipe(settings={"epochs": 1, "samples_per_step": 6})
    # What `accelerate launch` starts on a machine with GPUs; on a CPU it starts one process.
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    finish(start(path, tmp_path / "two", command=[*launch, "-m", "serxbench", "sft"]))
    train(path, tmp_path / "one")
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert len(one) == 3  # 6, 6 and 4 samples: of the last step one process has two, the other two
    np.testing.assert_allclose(two, one, rtol=1e-5)
    facts = json.loads((tmp_path / "two" / "recipe-with-reason" / "sft.json").read_text())
    assert facts["outcome"]["processes"] == 2


def test_the_command_trains_both_variants_and_compares_them(
    write_recipe: WriteRecipe, tmp_path: Path, corpus: Path, serxbench: Serxbench
) -> None:
    path, out = write_recipe(settings={"epochs": 1}), tmp_path / "out"
    arguments = ["sft", path, "--out", out, "--variants", "with-reason,without-reason", "--device", "cpu", "--json"]
    found = serxbench(*arguments, "--evaluate", f"manifest:{corpus}#test", "--modes", "closed")
    assert found.returncode == 0, found.stderr
    assert "learns model.language_model.layers.*.self_attn.o_proj.lora_B.default.weight (2)" in found.stderr
    assert found.stderr.count("with-reason: learns ") == 2 * (4 + 1)
    told = json.loads(found.stdout)
    assert set(told["models"]) == {"with-reason", "without-reason"}
    (comparison,) = told["comparisons"]
    assert comparison["baseline"] == str(out / "runs" / "recipe-without-reason_closed_corpus-test")
    assert comparison["items"]["n"] == 4
    assert json.loads((out / "comparisons.json").read_text()) == told["comparisons"]


def test_curves_are_there_for_tensorboard(write_recipe: WriteRecipe, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(write_recipe(settings={"epochs": 1}), tmp_path / "out")
    events = EventAccumulator(str(tmp_path / "out" / "with-reason" / "events"))
    events.Reload()
    drawn = [scalar.value for scalar in events.Scalars("loss")]
    assert drawn == pytest.approx(losses(tmp_path / "out"), rel=1e-6)
    assert len(events.Scalars("validation_loss")) == 4
