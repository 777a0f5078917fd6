"""Files, settings and folders that do not make a SALMONN: each is refused by name, none is run with random weights."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_salmonn

pytest.importorskip("peft", reason="SALMONN needs the extra 'lora'")

from serxbench.adapters import Loading
from serxbench.adapters.salmonn import Salmonn, load
from serxbench.audio import Clip
from serxbench.catalog import embedded_folder, read_card
from serxbench.errors import AdapterError
from serxbench.records import Decoding, Prompt

PROMPT = Prompt(name="official", text="Describe the emotion of the speaker in one word.", sha256="0" * 64)
CLIP = Clip(waveform=tiny_salmonn.clip(1.2), seconds=1.2)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = tmp_path_factory.mktemp("salmonn")
    return {name: tiny_salmonn.build(made / name, config) for name, config in tiny_salmonn.CONFIGS.items()}


@pytest.fixture(scope="module")
def wanted(folders: dict[str, Path]) -> str | None:
    return answer(tiny_salmonn.load(folders["official"]))


def answer(adapter: Salmonn) -> str | None:
    return adapter.generate(["a"], [CLIP], PROMPT, Decoding(max_new_tokens=16))[0].text


Change = Callable[[dict[str, Any]], object]


def first_lora(weights: dict[str, Any]) -> str:
    return sorted(key for key in weights if "lora_A" in key)[0]


class TestRefusals:
    @pytest.fixture
    def changed(self, folders: dict[str, Path], tmp_path: Path) -> Callable[..., Salmonn]:
        """Loads the official configuration with one file changed."""
        import torch

        def change(file: str, how: Change) -> Salmonn:
            found = torch.load(folders["official"] / file, weights_only=True)
            how(found)
            torch.save(found, tmp_path / file)
            part = {value: key for key, value in tiny_salmonn.SETTINGS.items()}[file]
            return tiny_salmonn.load(folders["official"], **{part: str(tmp_path / file)})

        return change

    @pytest.mark.parametrize(
        ("how", "message"),
        [
            (lambda f: f["model"].pop(first_lora(f["model"])), "1 weights are missing .*layers.0.*q_proj.lora_A"),
            (lambda f: f["model"].pop("ln_audio.weight"), "1 weights are missing .the first: ln_audio.weight"),
            (lambda f: f["model"].pop("speech_llama_proj.weight"), "has no 'speech_llama_proj.weight'"),
            (
                lambda f: f["model"].update(speech_extra=f["model"]["ln_audio.bias"]),
                "no place in the model .*speech_extra",
            ),
            (
                lambda f: f["model"].update({"ln_speech.bias": f["model"]["ln_audio.bias"]}),
                r"other shapes .*\(48,\) for",
            ),
            (lambda f: f.pop("model"), "holds no dictionary 'model'"),
        ],
    )
    def test_salmonn_file(self, changed: Callable[..., Salmonn], how: Change, message: str) -> None:
        with pytest.raises(AdapterError, match=rf"salmonn\.pth: .*{message}"):
            changed("salmonn.pth", how)

    @pytest.mark.parametrize(
        ("how", "message"),
        [
            (lambda f: f["model"].pop("encoder.pos_conv.0.weight_v"), "missing .*pos_conv.0.weight"),
            (lambda f: f["model"].pop("encoder.layers.1.fc1.bias"), "missing .*encoder.layers.1.fc1.bias"),
            (lambda f: f["model"].update(more=f["model"]["layer_norm.bias"]), "no place in the model .*more"),
            (lambda f: f["cfg"].update(encoder_ffn_embed_dim=65), "other shapes"),
            (lambda f: f["cfg"].pop("max_distance"), "'cfg' has no max_distance"),
            (lambda f: f["cfg"].update(layer_norm_first=True), "layer_norm_first=True; only False is supported"),
            (
                lambda f: f["model"].update(
                    {
                        "encoder.layers.1.self_attn.relative_attention_bias.weight": 1
                        + f["model"]["encoder.layers.1.self_attn.relative_attention_bias.weight"]
                    }
                ),
                "'encoder.layers.1.self_attn.relative_attention_bias.weight' differs",
            ),
        ],
    )
    def test_beats_file(self, changed: Callable[..., Salmonn], how: Change, message: str) -> None:
        with pytest.raises(AdapterError, match=rf"beats\.pt: .*{message}"):
            changed("beats.pt", how)

    def test_another_beats_than_in_training(self, changed: Callable[..., Salmonn]) -> None:
        def shift(file: dict[str, Any]) -> None:
            for key in [key for key in file["model"] if "relative_attention_bias" in key]:
                file["model"][key] = file["model"][key] + 1

        with pytest.raises(AdapterError, match=r"salmonn\.pth: .* differs from the BEATs that is loaded"):
            changed("beats.pt", shift)

    def test_optimizer_and_buffers_do_not_matter(self, changed: Callable[..., Salmonn], wanted: str | None) -> None:
        def strip(file: dict[str, Any]) -> None:
            del file["optimizer"], file["epoch"], file["scaler"]
            strays = ("inv_freq", "position_ids", "relative_attention_bias.weight")
            for key in [key for key in file["model"] if key.endswith(strays)]:
                del file["model"][key]

        assert answer(changed("salmonn.pth", strip)) == wanted

    def test_pickled_objects(self, changed: Callable[..., Salmonn], folders: dict[str, Path], tmp_path: Path) -> None:
        with pytest.raises(AdapterError, match=r"salmonn\.pth: holds pickled objects .* refused"):
            changed("salmonn.pth", lambda file: file.update(config=Path("code")))
        (tmp_path / "broken.pth").write_bytes(b"PK\x03\x04 not a file of torch.save")
        with pytest.raises(AdapterError, match=r"broken\.pth: "):
            tiny_salmonn.load(folders["official"], checkpoint=str(tmp_path / "broken.pth"))

    def test_parts_of_other_sizes(self, folders: dict[str, Path]) -> None:
        with pytest.raises(AdapterError, match=r"width 64; .*vicuna has 96\. SALMONN-7B goes with Vicuna 7B v1\.5"):
            tiny_salmonn.load(folders["official"], llm=str(folders["other"] / "vicuna"))
        with pytest.raises(AdapterError, match=r"other shapes than the model .* belong together"):
            tiny_salmonn.load(folders["official"], whisper=str(folders["other"] / "whisper"))

    def test_parts_without_their_content(self, folders: dict[str, Path], tmp_path: Path) -> None:
        import safetensors.torch

        with pytest.raises(AdapterError, match="vicuna: cannot be loaded as the feature extractor"):
            tiny_salmonn.load(folders["official"], whisper="vicuna")
        with pytest.raises(AdapterError, match="whisper: has no tokenizer of a LLaMA"):
            tiny_salmonn.load(folders["official"], llm="whisper")
        disguised = shutil.copytree(folders["official"] / "vicuna", tmp_path / "disguised")
        shutil.copy(folders["official"] / "whisper" / "config.json", disguised)
        with pytest.raises(AdapterError, match="disguised: is a model of type 'whisper'"):
            tiny_salmonn.load(folders["official"], llm=str(disguised))
        for part, key in (("whisper", "model.encoder.conv1.weight"), ("vicuna", "lm_head.weight")):
            broken = shutil.copytree(folders["official"] / part, tmp_path / part)
            tensors = safetensors.torch.load_file(broken / "model.safetensors")
            del tensors[key]
            safetensors.torch.save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
            setting = {"whisper": "whisper", "vicuna": "llm"}[part]
            with pytest.raises(AdapterError, match=f"{part}: 1 weights are not in the checkpoint .*{key[6:]}"):
                tiny_salmonn.load(folders["official"], **{setting: str(broken)})
            (broken / "model.safetensors").unlink()
            with pytest.raises(AdapterError, match=f"{part}: cannot be loaded as"):
                tiny_salmonn.load(folders["official"], **{setting: str(broken)})


class TestSettings:
    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"num_beam": 4}, "settings have 'num_beam', which is none; did you mean 'num_beams'?"),
            ({"num_beams": 0}, "num_beams must be a whole number from 1 up; found 0"),
            ({"num_beams": True}, "found True"),
            ({"llm": None}, r"settings.llm must be a path or a hub id \(lmsys/vicuna-7b-v1.5\); found None"),
            ({"llm": "vicuna-7b"}, "settings.llm: 'vicuna-7b' is no folder"),
            ({"whisper": "beats.pt"}, "settings.whisper: 'beats.pt' is no folder"),
            ({"beats": "whisper"}, "settings.beats: 'whisper' is no file"),
            ({"checkpoint": "owner/name"}, "settings.checkpoint: 'owner/name' is no file"),
            ({"beats": "/nowhere/beats.pt"}, "settings.beats: '/nowhere/beats.pt' is no file"),
            ({"sha256": {"beats": "0" * 64}}, r"beats\.pt: has the sha256 .*settings.sha256.beats says 0000"),
            ({"sha256": {"llm": "0" * 64}}, "settings.sha256 must map beats and checkpoint to hashes; found"),
        ],
    )
    def test_mistakes_are_named(self, folders: dict[str, Path], settings: dict[str, Any], message: str) -> None:
        with pytest.raises(AdapterError, match=message):
            tiny_salmonn.load(folders["official"], **settings)

    def test_hub_ids_are_looked_up(
        self, folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: str | None
    ) -> None:
        from huggingface_hub import constants

        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        commit = "0123456789abcdef0123456789abcdef01234567"
        for repo, source in (("one--whisper", "whisper"), ("two--vicuna", "vicuna"), ("three--beats", "beats.pt")):
            snapshot = tmp_path / f"models--{repo}" / "snapshots" / commit
            snapshot.mkdir(parents=True)
            (tmp_path / f"models--{repo}" / "refs").mkdir()
            (tmp_path / f"models--{repo}" / "refs" / "main").write_text(commit)
            content = folders["official"] / source
            for file in content.iterdir() if content.is_dir() else [content]:
                (snapshot / file.name).write_bytes(file.read_bytes())
        named = {"whisper": "one/whisper", "llm": f"two/vicuna@{commit}", "beats": f"three/beats@{commit}::beats.pt"}
        assert answer(tiny_salmonn.load(folders["official"], **named)) == wanted
        (tmp_path / "models--one--whisper" / "snapshots" / commit / "model.safetensors").unlink()
        for settings, command in (
            ({"whisper": "one/whisper"}, r"hf download one/whisper --include '\*\.json'"),
            ({"llm": "two/vicuna@other"}, r"hf download two/vicuna --revision other --include"),
            ({"beats": "three/beats@abc::b.pt"}, "hf download three/beats b.pt --revision abc"),
        ):
            with pytest.raises(AdapterError, match=f"could not be downloaded .*{command}"):
                tiny_salmonn.load(folders["official"], **settings)

    def test_what_is_not_installed_is_named(self, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
        find = importlib.util.find_spec
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "peft" else find(name))
        with pytest.raises(AdapterError, match=r"needs the package peft .*pip install 'serxbench\[lora\]'"):
            tiny_salmonn.load(folders["official"])

    def test_prompt_style(self, folders: dict[str, Path]) -> None:
        with pytest.raises(AdapterError, match="no prompt style 'chat'; there are: user-assistant"):
            load(Loading(folder=folders["official"], settings=tiny_salmonn.SETTINGS))

    @pytest.mark.parametrize(("name", "vicuna"), [("salmonn-7b", "vicuna-7b-v1.5"), ("salmonn-13b", "vicuna-13b-v1.1")])
    def test_cards(self, name: str, vicuna: str, tmp_path: Path) -> None:
        card = read_card(embedded_folder("model_cards") / f"{name}.md")
        assert (card.adapter, card.prompt_style, card.settings["num_beams"]) == ("salmonn", "user-assistant", 4)
        assert vicuna in card.settings["llm"]
        assert card.settings["sha256"].keys() == {"checkpoint", "beats"}
        with pytest.raises(AdapterError, match=r"settings.checkpoint: 'salmonn_.*\.pth' is no file"):
            load_without_hub(card.settings, tmp_path)

    def test_naming_the_family_does_not_import_torch(self) -> None:
        code = "import sys, serxbench.adapters.salmonn; sys.exit('torch' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def load_without_hub(settings: Any, folder: Path) -> None:
    """Loads a card's settings with empty folders for what lies on the hub."""
    local = dict(settings)
    for part in ("whisper", "llm"):
        (folder / part).mkdir()
        local[part] = part
    (folder / "beats.pt").touch()
    load(Loading(folder=folder, prompt_style="user-assistant", settings={**local, "beats": "beats.pt"}))
