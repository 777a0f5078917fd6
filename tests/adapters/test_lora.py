"""A LoRA has its effect, all of it, under the names of either release of transformers; or it is refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_lora
import torch
from safetensors.torch import load_file
from tiny_lora import ALPHA, ATTENTION, ENCODER, HEAD, RANK, TARGETS_OF_5, name_of_5

from serxbench.adapters import Adapter, Base, Loading
from serxbench.adapters._lora_file import read_config, read_tensors
from serxbench.adapters._lora_keys import match_modules, names_in_file
from serxbench.adapters._lora_weights import attach
from serxbench.adapters.lora import Attached, hear_test_clip, load
from serxbench.adapters.qwen2_audio import load as load_base
from serxbench.catalog import resolve_card
from serxbench.errors import AdapterError, UsageError
from serxbench.records import Prompt
from serxbench.stages.models import load_adapter, locate_model

SHORT_TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "lm_head"]

Q0 = f"base_model.model.{ATTENTION[0]}"
HEAD_A = f"base_model.model.{HEAD}.lora_A.weight"
HEAD_BASE = f"base_model.model.{HEAD}.base_layer.weight"


@pytest.fixture
def adapter_folder(tmp_path: Path, tiny_checkpoint: Path) -> Path:
    return tiny_lora.lora(tmp_path / "adapter", tiny_checkpoint)


def loading(folder: Path, base: Path, **changes: Any) -> Loading:
    return Loading(folder=folder, **{"base": Base(adapter="qwen2_audio", loading=Loading(folder=base)), **changes})


def weights(adapter: Adapter) -> dict[str, Any]:
    model: Any = adapter._model  # type: ignore[attr-defined]
    return dict(model.state_dict())


def expected(base: Path, folder: Path, rename: Callable[[str], str], modules: tuple[str, ...]) -> dict[str, Any]:
    """The base's weights with scale · B·A added by hand, under the names of transformers 5."""
    before = load_file(base / "model.safetensors")
    lora = load_file(folder / "adapter_model.safetensors")
    assert len(lora) == 2 * len(modules)
    for module in modules:
        name = f"base_model.model.{rename(module)}"
        before[f"{module}.weight"] += ALPHA / RANK * lora[f"{name}.lora_B.weight"] @ lora[f"{name}.lora_A.weight"]
    return {f"{name_of_5(name.rpartition('.')[0])}.{name.rpartition('.')[2]}": each for name, each in before.items()}


@pytest.mark.parametrize(
    ("rename", "modules", "targets"),
    [
        (str, (*ATTENTION, HEAD), tiny_lora.TARGETS_OF_4),
        (str, (*ATTENTION, *ENCODER, HEAD), SHORT_TARGETS),
        (str, ATTENTION[:4], r"language_model\.model\.layers\.0\.self_attn\..*_proj"),
        (name_of_5, (*ATTENTION, HEAD), TARGETS_OF_5),
        (name_of_5, (*ATTENTION, *ENCODER, HEAD), SHORT_TARGETS),
    ],
    ids=["4-long", "4-short", "4-pattern", "5-long", "5-short"],
)
def test_every_weight_is_the_base_plus_the_lora(
    tmp_path: Path, tiny_checkpoint: Path, rename: Callable[[str], str], modules: tuple[str, ...], targets: Any
) -> None:
    folder = tiny_lora.lora(
        tmp_path / "adapter", tiny_checkpoint, modules=modules, rename=rename, target_modules=targets
    )
    found = weights(load(loading(folder, tiny_checkpoint)))
    wanted = expected(tiny_checkpoint, folder, rename, modules)
    assert found.keys() == wanted.keys()
    for name, weight in wanted.items():
        torch.testing.assert_close(found[name], weight, rtol=0, atol=1e-6, msg=name)


def test_beside_the_base_it_hears_the_same(adapter_folder: Path, tiny_checkpoint: Path) -> None:
    merged = load(loading(adapter_folder, tiny_checkpoint))
    beside = load(loading(adapter_folder, tiny_checkpoint, settings={"merged": False}))
    assert any("lora_A" in name for name in weights(beside))
    assert not any("lora" in name for name in weights(merged))
    logits = hear_test_clip(beside)
    np.testing.assert_allclose(hear_test_clip(merged), logits, rtol=0, atol=1e-4 * abs(logits).max())


def test_the_base_hears_something_else(adapter_folder: Path, tiny_checkpoint: Path) -> None:
    attached = Attached(loading(adapter_folder, tiny_checkpoint))
    assert abs(attached.hear() - attached.logits_of_base).max() > 0.1
    other = weights(Attached(loading(adapter_folder, tiny_checkpoint)).adapter)
    assert all(torch.equal(weight, other[name]) for name, weight in weights(attached.adapter).items())


def test_in_bfloat16_each_weight_is_rounded_once(adapter_folder: Path, tiny_checkpoint: Path) -> None:
    # The base's weights as a bfloat16 checkpoint holds them, so that the sum in float32 is exact for both.
    found = weights(load(loading(adapter_folder, tiny_checkpoint, dtype="bfloat16")))["lm_head.weight"]
    lora = load_file(adapter_folder / "adapter_model.safetensors")
    base = load_file(tiny_checkpoint / "model.safetensors")[f"{HEAD}.weight"].bfloat16().float()
    delta = ALPHA / RANK * lora[HEAD_A.replace("_A", "_B")] @ lora[HEAD_A]
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, (base + delta).bfloat16())


def remove(*names: str) -> Callable[[dict[str, Any]], None]:
    return lambda tensors: [tensors.pop(name) for name in names] and None


def add(**given: Any) -> Callable[[dict[str, Any]], None]:
    return lambda tensors: tensors.update({f"base_model.model.{key.replace('__', '.')}": t for key, t in given.items()})


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (remove(HEAD_A), "lacks a tensor: nothing in it is the base's 'lm_head.lora_A.default.weight'"),
        (
            remove(f"{Q0}.lora_A.weight", f"{Q0}.lora_B.weight"),
            r"trained on 9 modules and lacks the weights of 1 \(the first: 'model.language_model.layers.0.self_attn.q_",
        ),
        (
            add(language_model__model__layers__0__mlp__up_proj__lora_A__weight=torch.zeros(RANK, 64)),
            "has weights for 'language_model.model.layers.0.mlp.up_proj', which its target_modules do not name",
        ),
        (
            add(language_model__model__layers__7__self_attn__q_proj__lora_A__weight=torch.zeros(RANK, 64)),
            r"weights for 'language_model.model.layers.7.self_attn.q_proj', and the base has no such module",
        ),
        (add(nowhere__lora_A__weight=torch.zeros(RANK, 64)), "weights for 'nowhere', and the base has no such module"),
        (add(lm_head__lora_A__weight=torch.zeros(RANK, 64)), "'language_model.lm_head' and 'lm_head' are both"),
        (
            add(language_model__lm_head__lora_A__bias=torch.zeros(RANK)),
            r"tensor '.*lm_head.lora_A.bias' has no place in the base",
        ),
        (lambda tensors: tensors.update({HEAD_A: torch.zeros(RANK, 63)}), r"has the shape \[4, 63\]; wanted \[4, 64\]"),
        (
            lambda tensors: tensors.update({HEAD_BASE: torch.zeros(262, 64)}),
            "carries its base's '.*lm_head.base_layer.weight', and that is not this base's",
        ),
        (
            lambda tensors: tensors.update({HEAD_BASE: torch.zeros(300, 64)}),
            r"the shape \[300, 64\] and the base's \[262, 64\]: it was trained on another base",
        ),
        (lambda tensors: tensors.clear(), "holds no LoRA weights"),
    ],
)
def test_a_tensor_too_few_or_too_many_is_refused(
    adapter_folder: Path, tiny_checkpoint: Path, edit: Callable[[dict[str, Any]], None], message: str
) -> None:
    tiny_lora.change(adapter_folder, edit)
    with pytest.raises(AdapterError, match=message):
        load(loading(adapter_folder, tiny_checkpoint))


def test_an_untrained_adapter_is_refused(tmp_path: Path, tiny_checkpoint: Path) -> None:
    folder = tiny_lora.lora(tmp_path / "adapter", tiny_checkpoint, size=0.0)
    for settings in ({}, {"merged": False}):
        with pytest.raises(AdapterError, match="the adapter changes nothing"):
            load(loading(folder, tiny_checkpoint, settings=settings))
    small = tiny_lora.lora(tmp_path / "small", tiny_checkpoint, size=1e-6)
    load(loading(small, tiny_checkpoint))
    with pytest.raises(AdapterError, match="too small for bfloat16"):
        load(loading(small, tiny_checkpoint, dtype="bfloat16"))


def test_numbers_that_are_none_are_refused(adapter_folder: Path, tiny_checkpoint: Path) -> None:
    tiny_lora.change(adapter_folder, lambda tensors: tensors.update({HEAD_A: torch.full((RANK, 64), torch.nan)}))
    with pytest.raises(AdapterError, match="cannot be merged"):
        load(loading(adapter_folder, tiny_checkpoint))
    with pytest.raises(AdapterError, match="logits that are not finite"):
        load(loading(adapter_folder, tiny_checkpoint, settings={"merged": False}))


def test_the_frozen_weights_that_it_carries_along(adapter_folder: Path, tiny_checkpoint: Path) -> None:
    head = load_file(tiny_checkpoint / "model.safetensors")[f"{HEAD}.weight"].bfloat16()
    without = hear_test_clip(load(loading(adapter_folder, tiny_checkpoint)))
    tiny_lora.change(adapter_folder, lambda tensors: tensors.update({HEAD_BASE: head}))
    assert (hear_test_clip(load(loading(adapter_folder, tiny_checkpoint))) == without).all()


def test_modules_that_were_trained_whole(tmp_path: Path, tiny_checkpoint: Path) -> None:
    folder = tiny_lora.lora(
        tmp_path / "adapter",
        tiny_checkpoint,
        modules=ATTENTION,
        target_modules=tiny_lora.TARGETS_OF_4[:-1],
        modules_to_save=["lm_head"],
    )
    with pytest.raises(AdapterError, match=r"lacks a tensor: nothing in it is the base's 'lm_head\.weight'"):
        load(loading(folder, tiny_checkpoint))
    whole = torch.randn(262, 64)
    tiny_lora.change(folder, lambda tensors: tensors.update({f"base_model.model.{HEAD}.weight": whole}))
    assert torch.equal(weights(load(loading(folder, tiny_checkpoint)))["lm_head.weight"], whole)


@pytest.mark.parametrize(
    "asked",
    [
        {"use_dora": True},
        {"use_rslora": True},
        {"lora_bias": True, "target_modules": r".*language_model.*[qkv]_proj"},
        {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {r"layers\.1\.self_attn\.q_proj": 32}},
        {"target_modules": ["lm_head", "embed_tokens"]},
        {"target_modules": ["multi_modal_projector.linear"], "modules_to_save": ["lm_head"]},
        {"layers_to_transform": [1], "layers_pattern": "layers", "target_modules": ["o_proj"]},
    ],
    ids=lambda asked: next(iter(asked)),
)
def test_what_peft_itself_saves(tmp_path: Path, tiny_checkpoint: Path, asked: dict[str, Any]) -> None:
    """An adapter made by peft, with random weights: with ours the model gives the logits that it gave with peft."""
    from peft import LoraConfig, get_peft_model

    fresh = load_base(Loading(folder=tiny_checkpoint))
    torch.manual_seed(0)
    config = LoraConfig(
        **{"r": 4, "lora_alpha": 8, "target_modules": TARGETS_OF_5, "init_lora_weights": False, **asked}
    )
    model: Any = get_peft_model(fresh._model, config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora" in name or "modules_to_save" in name:
                parameter.mul_(0.1 if "lora" in name else 1.5)
    fresh._model = model
    wanted = hear_test_clip(fresh)
    model.save_pretrained(tmp_path / "adapter")
    for settings in ({}, {"merged": False}):
        ours = hear_test_clip(load(loading(tmp_path / "adapter", tiny_checkpoint, settings=settings)))
        np.testing.assert_allclose(ours, wanted, rtol=0, atol=1e-4 * abs(wanted).max())


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"peft_type": "IA3"}, "peft_type is 'IA3'; only 'LORA' can be loaded"),
        ({"bias": "all"}, "'bias' is 'all', which cannot be honoured here"),
        ({"layer_replication": [[0, 2]]}, "'layer_replication' is"),
        ({"a_new_idea": 3}, "'a_new_idea' is 3"),
        ({"init_lora_weights": "pissa"}, "which changes the base's own weights"),
        ({"target_modules": "(["}, "cannot be read by peft"),
        (
            {"base_model_name_or_path": "Qwen/Qwen2-Audio-7B"},
            r"was trained on Qwen/Qwen2-Audio-7B, and the card's base is",
        ),
    ],
)
def test_configurations_that_are_refused(
    tmp_path: Path, tiny_checkpoint: Path, config: dict[str, Any], message: str
) -> None:
    folder = tiny_lora.lora(tmp_path / "adapter", tiny_checkpoint, **config)
    cached = tmp_path / "models--Qwen--Qwen2-Audio-7B-Instruct" / "snapshots" / "0a09"
    cached.parent.mkdir(parents=True)
    cached.symlink_to(tiny_checkpoint)
    with pytest.raises(AdapterError, match=message):
        load(loading(folder, cached))


def test_files_that_are_refused(adapter_folder: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    asked = loading(adapter_folder, tiny_checkpoint)
    for change, message in [
        ({"base": None}, "the card names no base"),
        ({"folder": Path()}, "the card names no adapter"),
        ({"folder": tiny_checkpoint}, r"has no adapter_config\.json"),
        ({"settings": {"merge": True}}, "'merge', which is none; there is: merged"),
        ({"settings": {"merged": "no"}}, "settings.merged must be true or false; found 'no'"),
        ({"prompt_style": "chatml"}, "no prompt style 'chatml'"),
    ]:
        with pytest.raises(AdapterError, match=message):
            load(replace(asked, **change))
    guess = Base(adapter="guess", loading=Loading(folder=Path(), settings={"strategy": "uniform"}))
    with pytest.raises(AdapterError, match="family 'guess' cannot carry an adapter"):
        load(replace(asked, base=guess))
    file = adapter_folder / "adapter_model.safetensors"
    file.write_bytes(b"\xff" * 100)
    with pytest.raises(AdapterError, match="is damaged"):
        load(asked)
    file.rename(adapter_folder / "adapter_model.bin")
    with pytest.raises(AdapterError, match=r"has only adapter_model\.bin, a pickle\. Convert it"):
        load(asked)
    (adapter_folder / "adapter_model.bin").unlink()
    with pytest.raises(AdapterError, match=r"has no adapter_model\.safetensors"):
        load(asked)


def test_tied_weights_are_refused(adapter_folder: Path, tiny_checkpoint: Path) -> None:
    model: Any = load_base(Loading(folder=tiny_checkpoint))._model
    model.lm_head.weight = model.model.language_model.embed_tokens.weight
    with pytest.raises(AdapterError, match=r"the base ties 'lm_head\.weight' to '.*embed_tokens\.weight'"):
        attach(model, read_config(adapter_folder), read_tensors(adapter_folder))


def test_without_peft_the_error_says_what_to_install(
    adapter_folder: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(AdapterError, match=r"pip install 'serxbench\[lora\]'"):
        load(loading(adapter_folder, tiny_checkpoint))


def test_the_prompt_is_the_one_of_the_training(adapter_folder: Path, tiny_checkpoint: Path) -> None:
    prompt = Prompt(name="open", text="What emotion?", sha256="")
    (adapter_folder / "README.md").write_text("---\nlibrary_name: peft\ntags:\n- llama-factory\n- lora\n---\n")
    trained = load_adapter(locate_model(resolve_card(str(adapter_folder))), "cpu", "float32")
    assert trained.render(prompt) == (  # type: ignore[attr-defined]
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
        "<|audio_bos|><|AUDIO|><|audio_eos|>What emotion?<|im_end|>\n<|im_start|>assistant\n"
    )
    chat = load(loading(adapter_folder, tiny_checkpoint))
    assert "Audio 1: " in chat.render(prompt)  # type: ignore[attr-defined]


def test_an_adapters_folder_needs_no_card(adapter_folder: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    card = resolve_card(str(adapter_folder))
    assert (card.adapter, card.base, card.prompt_style) == ("lora", str(tiny_checkpoint), "chat")
    described = locate_model(card).describe()
    assert described["revision"].startswith("sha256:")
    assert described["base"]["revision"].startswith("sha256:")
    assert str(tmp_path.parent) not in json.dumps(described), "a manifest holds no path of a machine"

    def base_of(trained_on: object) -> str | None:
        folder = tiny_lora.lora(tmp_path / "other", tiny_checkpoint, base_model_name_or_path=trained_on)
        return resolve_card(str(folder)).base

    assert base_of("Qwen/Qwen2-Audio-7B-Instruct") == "q2a"
    assert base_of("/cache/models--Qwen--Qwen2-Audio-7B-Instruct/snapshots/0a09") == "q2a"
    assert base_of("/not/this/machine/Qwen2-Audio-7B-Instruct") == "q2a"
    for unknown in ("Qwen/Qwen2-Audio-7B", "/not/this/machine/base", None):
        with pytest.raises(UsageError, match="not the repository of just one card; write a card: adapter: lora"):
            base_of(unknown)


def test_llamafactorys_marks(adapter_folder: Path) -> None:
    (adapter_folder / "checkpoint-500").mkdir()
    for file in list(adapter_folder.glob("adapter_*")):
        (adapter_folder / "checkpoint-500" / file.name).write_bytes(file.read_bytes())
    (adapter_folder / "trainer_log.jsonl").write_text("{}\n")
    for folder in (adapter_folder, adapter_folder / "checkpoint-500"):
        assert resolve_card(str(folder)).prompt_style == "llamafactory"


@pytest.mark.parametrize("name", ["q2a-lora-sft", "q2a-lora-sft-reasoning"])
def test_unpublished_weights_say_how_to_use_ones_own(name: str) -> None:
    with pytest.raises(UsageError, match=r"not published.*serxbench run --model path/to/its/folder; or copy .*\.md"):
        resolve_card(name)


def test_names_find_their_modules() -> None:
    model = ["model.language_model.layers.0.q", "model.audio_tower.layers.0.q", "model.language_model.layers.0.k"]
    with pytest.raises(
        AdapterError, match=r"'layers\.0\.q' may be any of the base's model\.audio_tower.*, model\.lang"
    ):
        match_modules(["layers.0.q"], model)
    with pytest.raises(AdapterError, match=r"'model\.layers\.0\.q' may be any of"):
        match_modules(["model.layers.0.q"], model)
    assert match_modules(["audio_tower.layers.0.q"], model) == {"audio_tower.layers.0.q": model[1]}
    thinker = ["model.layers.0.q", "model.layers.1.q", "audio_tower.layers.0.q"]
    matched = match_modules(["thinker.model.layers.0.q"], thinker)
    assert matched == {"thinker.model.layers.0.q": "model.layers.0.q"}
    assert names_in_file(thinker, matched) == {name: f"thinker.{name}" for name in thinker}
    matched = match_modules(["layers.0.q"], ["model.layers.0.q"])
    assert names_in_file(["model.layers.0.q", "head"], matched) == {"model.layers.0.q": "layers.0.q", "head": "head"}
