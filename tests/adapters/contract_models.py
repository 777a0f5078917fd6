"""What test_contract.py runs on: for each model family a tiny checkpoint, and what there is to check of it.

A new family is one more entry of MODELS. A family is in a check because of what it is (see ContractModel), so a
classifier takes no part in the checks of prompts and of decoding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import tiny_cascade
import tiny_lora
import tiny_models
import tiny_salmonn
import tiny_speech_llms
import tiny_ssl

from serxbench.adapters import Base, Loading


@dataclass(frozen=True, kw_only=True)
class ContractModel:
    """One family under test.

    loading: an empty folder → what `load` is given, with the checkpoint built where it is wanted.
    needs: packages that the harness runs without; the family's tests skip where one is missing.
    golden: prompt style → the text that the open question is asked with. Empty for a family that reads no prompt.
    decodes: the answer is generated token by token by a subclass of Generative.
    reads: it also takes a transcript in place of the sound.
    listens: the sound moves the answer. cuts, refuses: there is a longest, and a shortest, clip that the model takes.
    silence: the method that is given waveforms (or one) on their way into the model, as a path under the adapter.
    computes: the method that runs out of memory first, likewise; None if none does.
    weights: the file without which there is no model; None if there is none.
    """

    loading: Callable[[Path], Loading]
    needs: tuple[str, ...] = ()
    golden: Mapping[str, str] = field(default_factory=dict)
    decodes: bool = True
    reads: bool = True
    listens: bool = True
    cuts: bool = True
    refuses: bool = True
    silence: str = "build_inputs"
    computes: str | None = "_model.generate"
    weights: str | None = "model.safetensors"


def checkpoint(build: Callable[[Path], Path]) -> Callable[[Path], Loading]:
    """The loading of a family whose checkpoint is a folder and nothing else."""
    return lambda folder: Loading(folder=build(folder / "checkpoint"))


def _lora(folder: Path) -> Loading:
    base = tiny_models.qwen2_audio(folder / "base")
    adapter = tiny_lora.lora(folder / "adapter", base)
    return Loading(folder=adapter, base=Base(adapter="qwen2_audio", loading=Loading(folder=base)))


def _cascade(folder: Path) -> Loading:
    parts = {"whisper": tiny_cascade.whisper(folder / "whisper"), "llm": tiny_cascade.llm(folder / "llm")}
    settings = {**{name: tiny_cascade.pinned(part) for name, part in parts.items()}, "language": "en"}
    return Loading(folder=Path(), prompt_style="transcript-1", settings=settings)


def _probe(folder: Path) -> Loading:
    probe = tiny_ssl.probe(folder / "probe", folder / "encoder")
    base = Base(adapter="linear_probe", loading=Loading(folder=folder / "encoder"))
    return Loading(folder=probe, base=base)


_QUESTION = "What emotion do you think the audio expresses?"
_SYSTEM = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
_ASSISTANT = "<|im_end|>\n<|im_start|>assistant\n"

MODELS: dict[str, ContractModel] = {
    "guess": ContractModel(
        loading=lambda folder: Loading(folder=folder, settings={"strategy": "uniform"}),
        decodes=False,
        reads=False,
        listens=False,
        cuts=False,
        refuses=False,
        computes=None,
        weights=None,
    ),
    "qwen2_audio": ContractModel(
        loading=checkpoint(tiny_models.qwen2_audio),
        golden={
            "chat": f"{_SYSTEM}<|im_start|>user\nAudio 1: <|audio_bos|><|AUDIO|><|audio_eos|>\n{_QUESTION}{_ASSISTANT}",
            "llamafactory": f"{_SYSTEM}<|im_start|>user\n<|audio_bos|><|AUDIO|><|audio_eos|>{_QUESTION}{_ASSISTANT}",
        },
    ),
    "qwen2_5_omni": ContractModel(
        loading=checkpoint(tiny_speech_llms.qwen2_5_omni),
        golden={"chat": f"{_SYSTEM}<|im_start|>user\n<|audio_bos|><|AUDIO|><|audio_eos|>{_QUESTION}{_ASSISTANT}"},
    ),
    "qwen3_omni": ContractModel(
        loading=checkpoint(tiny_speech_llms.qwen3_omni),
        golden={"chat": f"<|im_start|>user\n<|audio_start|><|audio_pad|><|audio_end|>{_QUESTION}{_ASSISTANT}"},
    ),
    "audio_flamingo_3": ContractModel(
        loading=checkpoint(tiny_speech_llms.audio_flamingo_3),
        golden={"chat": f"{_SYSTEM}<|im_start|>user\n<sound>{_QUESTION}{_ASSISTANT}"},
    ),
    "voxtral": ContractModel(
        loading=checkpoint(tiny_speech_llms.voxtral),
        needs=("mistral_common",),
        golden={"chat": f"<s>[INST][BEGIN_AUDIO][AUDIO]{_QUESTION}[/INST]"},
    ),
    "phi4_multimodal": ContractModel(
        loading=checkpoint(tiny_speech_llms.phi4_multimodal),
        needs=("peft",),
        golden={"chat": f"<|user|><|audio|>{_QUESTION}<|end|><|assistant|>"},
    ),
    "salmonn": ContractModel(
        loading=lambda folder: Loading(
            folder=tiny_salmonn.build(folder, tiny_salmonn.CONFIGS["official"]),
            prompt_style="user-assistant",
            settings=tiny_salmonn.SETTINGS,
        ),
        needs=("peft",),
        golden={"user-assistant": f"USER: <Speech><SpeechHere></Speech> {_QUESTION}\nASSISTANT:"},
        weights=None,
    ),
    "lora": ContractModel(loading=_lora, needs=("peft",), weights=None),
    "whisper_llm": ContractModel(
        loading=_cascade,
        decodes=False,
        reads=False,
        silence="_whisper._features",
        computes="_llm._model.generate",
        weights=None,
    ),
    "audio_classifier": ContractModel(
        loading=checkpoint(tiny_ssl.audio_classifier),
        decodes=False,
        reads=False,
        cuts=False,
        silence="logits",
        computes="logits",
    ),
    "msp_ser": ContractModel(
        loading=checkpoint(lambda folder: tiny_ssl.msp_hub(folder, tiny_ssl.msp_parts())),
        decodes=False,
        reads=False,
        silence="logits",
        computes="logits",
    ),
    "linear_probe": ContractModel(loading=_probe, decodes=False, reads=False, silence="logits", computes="logits"),
}

#: Families without an entry, and why no tiny checkpoint of theirs can be run here.
EXEMPT: dict[str, str] = {
    "hosted": "its models are behind servers; see tests/engines/test_http.py",
    "baichuan_omni": "its code comes with its weights and runs in an environment of its own; see tests/workers",
    "sentence_encoder": "it hears nothing and answers nothing; see tests/stages/test_clusterers.py",
}
