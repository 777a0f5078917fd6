"""The export is what LLaMA-Factory documents, and an adapter that comes back is asked with its prompt.

benchmarks/llamafactory.py reads an export with LLaMA-Factory's own code, which is no dependency of the tests.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_lora
import yaml
from conftest import Serxbench

from serxbench.adapters import Loading
from serxbench.adapters.qwen2_audio import load as load_qwen2_audio
from serxbench.catalog import resolve_card
from serxbench.errors import CorpusError, UsageError
from serxbench.records import Prompt
from serxbench.sft.export import export_llamafactory, make_row
from serxbench.sft.recipe import read_recipe
from serxbench.sft.samples import Sample
from serxbench.stages.models import load_adapter, locate_model

WriteRecipe = Callable[..., Path]


def sample(**changes: Any) -> Sample:
    known = {"id": "c/u1", "part": "train", "audio": "clips/u1.wav", "audio_sha256": "", "n_samples": 1}
    known |= {
        "prompt": "open",
        "question": "What emotion?",
        "emotion": "Sad",
        "transcript": "Late.",
        "rationale": "Low.",
    }
    return Sample(**{**known, **changes})  # type: ignore[arg-type]


def test_a_row_is_what_is_documented() -> None:
    assert make_row(sample(), "with-reason") == {
        "messages": [
            {"role": "user", "content": "<audio>What emotion?"},
            {
                "role": "assistant",
                "content": "<asr> Late. </asr><answer> I think the emotion is sad </answer><reason> Low. </reason>",
            },
        ],
        "audios": [str(Path("clips/u1.wav").resolve())],
    }


@pytest.mark.parametrize("changes", [{"transcript": "an <audio> tag"}, {"question": "What <audio>?"}])
def test_a_text_with_the_placeholder_is_refused(changes: dict[str, str]) -> None:
    with pytest.raises(CorpusError, match="c/u1: its text holds <audio>"):
        make_row(sample(**changes), "with-reason")


def test_the_files_fit_together(write_recipe: WriteRecipe, tmp_path: Path, serxbench: Serxbench) -> None:
    out = tmp_path / "lf"
    variants = ["--variants", "with-reason,without-reason"]
    found = serxbench("sft", "export", write_recipe(), "--format", "llamafactory", "--out", out, *variants)
    assert found.returncode == 0, found.stderr
    info = json.loads((out / "dataset_info.json").read_text())
    for variant in ("with-reason", "without-reason"):
        arguments = yaml.safe_load((out / f"{variant}.yaml").read_text())
        assert (arguments["template"], arguments["cutoff_len"], arguments["stage"]) == ("qwen2_audio", 2048, "sft")
        assert arguments["lora_target"] == "q_proj,k_proj,v_proj,o_proj,lm_head"
        assert arguments["per_device_train_batch_size"] * arguments["gradient_accumulation_steps"] == 4
        assert arguments["eval_steps"] == arguments["save_steps"]  # what load_best_model_at_end asks for
        for name, n in ((arguments["dataset"], 16), (arguments["eval_dataset"], 8)):
            entry = info[name]
            assert (entry["formatting"], entry["columns"]) == ("sharegpt", {"messages": "messages", "audios": "audios"})
            rows = json.loads((Path(arguments["dataset_dir"]) / entry["file_name"]).read_text())
            assert len(rows) == n
            for row in rows:
                assert sum(message["content"].count("<audio>") for message in row["messages"]) == len(row["audios"])
                assert all(Path(path).is_absolute() and Path(path).is_file() for path in row["audios"])
                assert row["messages"][1]["content"].endswith("</reason>") == (variant == "with-reason")
    order = [row["audios"][0] for row in json.loads((out / "with-reason-train.json").read_text())]
    assert order != sorted(order)
    assert order == [row["audios"][0] for row in json.loads((out / "without-reason-train.json").read_text())]


def test_an_adapter_that_comes_back_is_asked_as_it_was_trained(tmp_path: Path, tiny_checkpoint: Path) -> None:
    folder = tiny_lora.lora(tmp_path / "back", tiny_checkpoint)
    (folder / "README.md").write_text("---\nlibrary_name: peft\ntags:\n- llama-factory\n- lora\n---\n# back\n")
    card = resolve_card(str(folder))
    assert card.prompt_style == "llamafactory"
    adapter: Any = load_adapter(locate_model(card), "cpu", "float32")
    # What its template makes of the row's `<audio>` and question.
    row = make_row(sample(), "with-reason")["messages"][0]["content"]
    asked = adapter.render(Prompt(name="open", text="What emotion?", sha256=""))
    assert row.replace("<audio>", "<|audio_bos|><|AUDIO|><|audio_eos|>") in asked
    chat = load_qwen2_audio(Loading(folder=tiny_checkpoint)).render(
        Prompt(name="open", text="What emotion?", sha256="")
    )
    assert "Audio 1: " in chat
    assert "Audio 1: " not in asked


def test_what_it_cannot_do_is_refused(write_recipe: WriteRecipe, tmp_path: Path, serxbench: Serxbench) -> None:
    recipe = read_recipe(str(write_recipe(settings={"speeds": [0.9, 1.0]})))
    with pytest.raises(UsageError, match="cannot do with speeds"):
        export_llamafactory(recipe, resolve_card("nano"), {}, ["with-reason"], tmp_path / "lf")
    with pytest.raises(UsageError, match="template for models of the family 'salmonn' is not known here"):
        export_llamafactory(recipe, resolve_card("salmonn-7b"), {}, ["with-reason"], tmp_path / "lf")
    found = serxbench("sft", "export", write_recipe(), "--format", "llama-factory", "--out", tmp_path / "lf")
    assert found.returncode == 2
    assert "did you mean 'llamafactory'" in found.stderr
