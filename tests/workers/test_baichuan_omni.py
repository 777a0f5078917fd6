"""Baichuan-Omni's worker against a model and a processor of the published shape.

The real code imports flash-attn and needs a GPU, so it cannot be imported here. The token counts below are those of
the published processor (processor_omni.py with its config.json, torchaudio 2.4.0), run once by hand.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from serxbench.adapters import Loading
from serxbench.adapters import baichuan_omni as family
from serxbench.catalog import list_cards, read_card, resolve_card
from serxbench.errors import AdapterError
from serxbench.stages.models import environment_of
from serxbench.workers.models import baichuan_omni as worker

TOKENS = {
    151643: "<|endoftext|>",
    151665: "<B_SYS>",
    151667: "<C_Q>",
    151668: "<C_A>",
    151676: "<audio_start_baichuan>",
    151677: "<audio_end_baichuan>",
    151678: "<audio_pad_baichuan>",
}
AUDIO = SimpleNamespace(
    audio_start_token_id=151676,
    audio_end_token_id=151677,
    audio_pad_token_id=151678,
    avg_pooler=4,
    hop_length=160,
    kernel_size=3,
    max_audio_seconds=30,
    n_fft=400,
    sampling_rate=16_000,
    stride_size=2,
)
GREEDY = {"max_new_tokens": 7, "temperature": 0.0, "seed": 0}
PROMPT = {"text": "What emotion?", "options": None}

#: Samples of a clip → audio tokens of each window.
PUBLISHED = {
    1600: [1],
    2400: [2],
    16_000: [12],
    80_000: [62],
    479_999: [375],
    480_000: [375],
    480_001: [375],
    480_399: [375],
    480_900: [375],
    481_200: [375, 1],
    960_100: [375, 375],
    1_000_000: [375, 375, 31],
    1_440_000: [375, 375, 375],
}


class Tokenizer:
    """Special tokens are one id each, other text a byte an id."""

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        assert not add_special_tokens
        ids = {name: id for id, name in TOKENS.items()}
        parts = re.split(f"({'|'.join(map(re.escape, ids))})", text)
        return [id for part in parts for id in ([ids[part]] if part in ids else part.encode())]

    def decode(self, ids: list[int], **settings: Any) -> str:
        assert settings == {"skip_special_tokens": True, "clean_up_tokenization_spaces": False}
        return bytes(id for id in ids if id < 256).decode()

    def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
        return [TOKENS[id] for id in ids]

    def convert_tokens_to_ids(self, token: str) -> int:
        return next(id for id, name in TOKENS.items() if name == token)


class Processor:
    """Reads the file that the prompt names and puts one pad a token in its place; prints about what it cannot read."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.heard: Any = None
        self.loses: str | None = None

    def __call__(self, prompts: list[str]) -> SimpleNamespace:
        assert isinstance(prompts, list)
        (prompt,) = prompts
        start, end, pad = TOKENS[151676], TOKENS[151677], TOKENS[151678]
        before, sound, after = re.split(f"{start}(.*?){end}", prompt)
        self.heard, rate = soundfile.read(json.loads(sound)["path"], dtype="float32")
        assert rate == 16_000
        # The real one prints what it cannot read, and asserts afterwards that as many came out as went in.
        assert self.loses != "all"
        lengths = list(PUBLISHED[len(self.heard)])
        if self.loses == "a window":
            lengths.pop()
        ids = self.tokenizer.encode(before + start + pad * sum(lengths) + end + after, add_special_tokens=False)
        return SimpleNamespace(
            input_ids=torch.tensor([ids]),
            attention_mask=torch.ones(1, len(ids), dtype=torch.long),
            audios=None if self.loses == "features" else torch.zeros(len(lengths), 128, 3000),
            encoder_length=torch.tensor(lengths) * 4,
            bridge_length=torch.tensor(lengths),
        )


class Model:
    """What the worker touches of OmniForCausalLM."""

    device = torch.device("cpu")

    def __init__(self, answer: str = "Sad", ends: bool = True) -> None:
        self.config = SimpleNamespace(audio_config=AUDIO, use_cache=False, eos_token_id=2)
        self.generation_config = SimpleNamespace(eos_token_id=151643)
        self.asked: list[dict[str, Any]] = []
        self._row = [*answer.encode(), *([151643] if ends else [])]

    def eval(self) -> Model:
        return self

    def bind_processor(self, tokenizer: Tokenizer, training: bool, relative_path: str) -> None:
        assert (training, relative_path) == (False, "/")
        self.processor = Processor(tokenizer)

    def generate(self, input_ids: Any, **settings: Any) -> Any:
        self.asked.append(settings)
        return torch.cat([input_ids, torch.tensor([self._row])], dim=1)

    def prepare_inputs_for_generation(self, input_ids: Any, attention_mask: Any, use_cache: bool, **rest: Any) -> Any:
        assert not use_cache
        assert set(rest) == {"audios", "encoder_length", "bridge_length"}
        return {"input_ids": input_ids, "position_ids": attention_mask.cumsum(-1), **rest}

    def __call__(self, input_ids: Any, position_ids: Any, **rest: Any) -> Any:
        assert position_ids[0, 0] == 1
        return SimpleNamespace(logits=input_ids[..., None].repeat(1, 1, 5).to(torch.bfloat16))


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def served(model: Model, tmp_path: Path) -> worker.BaichuanOmni:
    return worker.BaichuanOmni(model, Tokenizer(), tmp_path, "Be brief.")


def clip(samples: int, seed: int = 0) -> SimpleNamespace:
    return SimpleNamespace(waveform=np.random.default_rng(seed).normal(size=samples).astype(np.float32))


def test_the_prompt(served: worker.BaichuanOmni) -> None:
    assert served.render("What emotion?", Path("/tmp/heard.wav")) == (
        '<B_SYS>Be brief.<C_Q>What emotion?<audio_start_baichuan>{"path": "/tmp/heard.wav"}<audio_end_baichuan><C_A>'
    )


@pytest.mark.parametrize(("samples", "tokens"), PUBLISHED.items())
def test_windows_are_those_of_the_published_processor(samples: int, tokens: list[int]) -> None:
    assert worker.count_tokens(samples, AUDIO) == tokens


def test_every_sample_reaches_the_processor(served: worker.BaichuanOmni, model: Model) -> None:
    for samples in (1600, 481_200):
        heard = clip(samples)
        inputs = served.build_inputs(heard.waveform, "What emotion?")
        assert model.processor.heard.tobytes() == heard.waveform.tobytes()
        assert set(inputs) == {"input_ids", "attention_mask", "audios", "encoder_length", "bridge_length"}
        assert (inputs["input_ids"] == 151678).sum() == sum(PUBLISHED[samples])


@pytest.mark.parametrize(
    ("loses", "reason"),
    [
        ("a window", r"made \[375\] audio tokens .* 375 places .* gives \[375, 1\]: the sound would not reach"),
        ("features", r"made \[\] audio tokens"),
        ("all", "could not read the sound"),
    ],
)
def test_lost_sound_ends_the_run(served: worker.BaichuanOmni, model: Model, loses: str, reason: str) -> None:
    model.processor.loses = loses
    with pytest.raises(worker.AdapterError, match=reason):
        served.answer([clip(481_200)], PROMPT, GREEDY)


def test_decoding_is_greedy_without_penalty(served: worker.BaichuanOmni, model: Model) -> None:
    assert model.config.use_cache, "the checkpoint ships false"
    clips = [clip(16_000), clip(80_000, seed=1)]
    assert served.answer(clips, PROMPT, GREEDY) == [{"text": "Sad", "stop": "end"}] * 2
    asked = model.asked[0]
    wanted = {
        "stop_strings": ["<|endoftext|>"],
        "eos_token_id": 151643,
        "do_sample": False,
        "repetition_penalty": 1.0,
        "num_beams": 1,
        "max_new_tokens": 7,
        "min_new_tokens": 1,
        "use_cache": True,
        "temperature": None,
        "top_k": None,
        "top_p": None,
    }
    assert {key: asked[key] for key in wanted} == wanted
    assert asked["tokenizer"].convert_tokens_to_ids("<C_A>") == 151668
    served.answer(clips[:1], PROMPT, {**GREEDY, "temperature": 0.5})
    assert (model.asked[-1]["do_sample"], model.asked[-1]["temperature"], model.asked[-1]["top_k"]) == (True, 0.5, 0)


def test_an_answer_that_was_cut_says_so(tmp_path: Path) -> None:
    served = worker.BaichuanOmni(Model("Sad, because", ends=False), Tokenizer(), tmp_path, "")
    assert served.answer([clip(1600)], PROMPT, GREEDY) == [{"text": "Sad, because", "stop": "length"}]


def test_what_it_hears(served: worker.BaichuanOmni) -> None:
    heard = served.hear([clip(1600), clip(16_000)], PROMPT)
    assert heard.dtype == np.float32
    assert heard.shape == (2, 5)


def test_another_tokenizer_is_refused(tmp_path: Path) -> None:
    model = Model()
    model.generation_config.eos_token_id = 2
    with pytest.raises(worker.AdapterError, match="token 151643 and answers end with 2"):
        worker.BaichuanOmni(model, Tokenizer(), tmp_path, "")


@pytest.mark.parametrize(
    ("torchaudio", "transformers", "reason"),
    [
        (SimpleNamespace(__version__="2.11.0"), "4.45.0", "torchaudio 2.11.0 cannot read files"),
        (SimpleNamespace(list_audio_backends=list, info=print), "4.45.0", "backends: none"),
        (SimpleNamespace(list_audio_backends=lambda: ["soundfile"]), "4.45.0", "cannot read files"),
        (SimpleNamespace(list_audio_backends=lambda: ["soundfile"], info=print), "5.23.0", "is for transformers 4.45"),
    ],
)
def test_packages_that_could_not_work_are_refused(torchaudio: Any, transformers: str, reason: str) -> None:
    with pytest.raises(worker.AdapterError, match=reason):
        worker.check_packages(torchaudio, transformers)


def test_loading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[tuple[str, dict[str, Any]]] = []

    def pretend(name: str, result: Any) -> Any:
        def from_pretrained(folder: str, **settings: Any) -> Any:
            loaded.append((name, settings))
            return result

        return SimpleNamespace(from_pretrained=from_pretrained)

    transformers, torchaudio = ModuleType("transformers"), ModuleType("torchaudio")
    vars(transformers).update(
        __version__="4.45.0",
        AutoTokenizer=pretend("tokenizer", Tokenizer()),
        AutoModelForCausalLM=pretend("model", Model()),
    )
    vars(torchaudio).update(list_audio_backends=lambda: ["soundfile"], info=print)
    monkeypatch.setitem(sys.modules, "transformers", transformers)
    monkeypatch.setitem(sys.modules, "torchaudio", torchaudio)
    loading = {
        "folder": "w",
        "prompt_style": "chat",
        "device": "cuda",
        "dtype": "bfloat16",
        "settings": {"system": "S"},
    }
    request = {"loading": loading, "trust_remote_code": True, "scratch": str(tmp_path)}
    assert worker.load(request).render("?", Path("f")).startswith("<B_SYS>S<C_Q>?<audio_start")
    placed = {"trust_remote_code": True, "torch_dtype": torch.bfloat16, "device_map": {"": "cuda"}}
    assert loaded == [("tokenizer", {"trust_remote_code": True}), ("model", placed)]
    loaded.clear()
    for change, reason in (
        ({"trust_remote_code": False}, "give --trust-remote-code"),
        ({"loading": {**loading, "prompt_style": "plain"}}, "no prompt style 'plain'"),
        ({"loading": {**loading, "settings": {"sytem": ""}}}, "no setting 'sytem'"),
    ):
        with pytest.raises(worker.AdapterError, match=reason):
            worker.load({**request, **change})
    assert not loaded, "nothing is loaded that will be refused"


def test_the_family_is_never_loaded_in_this_process(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "omni"}')
    assert resolve_card(str(tmp_path)).adapter == "baichuan_omni"
    with pytest.raises(AdapterError, match=r"serxbench env build baichuan-omni-1\.5"):
        family.load(Loading(folder=tmp_path))


def test_the_card_asks_for_an_environment() -> None:
    environment = environment_of(read_card(list_cards()["baichuan-omni-1.5"]))
    assert environment is not None
    assert (environment.worker, environment.remote_code, environment.python) == ("baichuan_omni", True, "3.12")
    assert {"torch==2.4.0", "transformers==4.45.0"} <= set(environment.requirements)
    assert "flash_attn==2.6.3" in environment.build_requirements
