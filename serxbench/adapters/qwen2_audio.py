"""Qwen2-Audio: `Qwen2AudioForConditionalGeneration` with its own processor and chat template, at any size.

What has to be right here, because getting it wrong gives scores that look normal:

- the processor's keyword is `audio=`; with the older `audios=` no sound reaches the model,
- padding is on the left, and the feature mask goes into the model, or batches change the answers,
- the checkpoint's generation settings sample and penalise repetition; all of them are replaced,
- a clip longer than the feature extractor's window is cut without a word; here the record says so,
- a clip of a few milliseconds yields no audio token at all,
- a fine-tuned checkpoint has to be asked in the words that it was trained with (`prompt_style`).

The number of audio tokens in the prompt is compared with the number that the encoder will emit for every clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serxbench.adapters import Loading
from serxbench.adapters._generative import (
    Generative,
    check_audio_tokens,
    check_prompt_style,
    load_pretrained,
    unloadable,
)
from serxbench.adapters._inputs import pooled_twice
from serxbench.adapters._renderer import Renderer, Weightless
from serxbench.audio import SAMPLE_RATE
from serxbench.records import Prompt

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MODEL_TYPES = ("qwen2_audio",)

#: The prompt styles that a card of this family may name. `chat` is the processor's own template. `llamafactory` is what
#: LLaMA-Factory's template `qwen2_audio` trains on: no "Audio 1: " before the sound and no line break after it.
PROMPT_STYLES = ("chat", "llamafactory")

#: For fine-tuning: what ends an answer, and which modules a LoRA goes on (the language model's attention, the output
#: layer; the encoder's attention has modules of the same short names).
ANSWER_END = "<|im_end|>"
LORA_MODULES = r"(.*\.)?language_model\.(.*\.)?self_attn\.[qkvo]_proj|(.*\.)?lm_head"

_LLAMAFACTORY = (
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    "<|im_start|>user\n<|audio_bos|><|AUDIO|><|audio_eos|>{question}<|im_end|>\n<|im_start|>assistant\n"
)


def load(loading: Loading) -> Qwen2Audio:
    """The adapter for the checkpoint in `loading.folder`. Raises AdapterError."""
    import torch
    from transformers import Qwen2AudioForConditionalGeneration

    folder = loading.folder
    check_prompt_style("qwen2_audio", loading.prompt_style, PROMPT_STYLES)
    dtype = getattr(torch, loading.dtype)
    model = load_pretrained(
        folder,
        "Qwen2-Audio",
        lambda: Qwen2AudioForConditionalGeneration.from_pretrained(folder, dtype=dtype, output_loading_info=True),
    )
    return Qwen2Audio(model.to(loading.device), _load_processor(folder), loading.prompt_style)


def load_renderer(loading: Loading) -> Renderer:
    """The prompts of the checkpoint in `loading.folder`, without its weights. Raises AdapterError."""
    check_prompt_style("qwen2_audio", loading.prompt_style, PROMPT_STYLES)
    model = Weightless(loading.folder, "Qwen2-Audio")
    adapter = Qwen2Audio(model, _load_processor(loading.folder), loading.prompt_style)
    return Renderer(adapter, model.config.audio_token_id)


def _load_processor(folder: Path) -> Any:
    from transformers import AutoProcessor

    try:
        return AutoProcessor.from_pretrained(folder)
    except Exception as error:
        raise unloadable(folder, "Qwen2-Audio", error) from error


class Qwen2Audio(Generative):
    """A loaded Qwen2-Audio model; see serxbench.adapters.Adapter."""

    def __init__(self, model: Any, processor: Any, prompt_style: str = "chat") -> None:
        super().__init__(model, processor, max_seconds=processor.feature_extractor.n_samples / SAMPLE_RATE)
        self._prompt_style = prompt_style

    def render(self, prompt: Prompt) -> str:
        """The text that is tokenised for one clip: the template of the prompt style around audio and question."""
        if self._prompt_style == "llamafactory":
            return _LLAMAFACTORY.format(question=prompt.text)
        content = [{"type": "audio", "audio": "clip"}, {"type": "text", "text": prompt.text}]
        rendered: str = self._processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
        )
        return rendered

    def build_inputs(self, waveforms: Sequence[NDArray[np.float32]], prompt: Prompt) -> Any:
        """The model's keyword arguments; as many audio tokens in the prompt as the encoder will emit."""
        inputs = self._processor(
            text=[self.render(prompt)] * len(waveforms),
            audio=list(waveforms),
            sampling_rate=SAMPLE_RATE,
            return_tensors="pt",
            padding=True,
        )
        wanted = pooled_twice(inputs["feature_attention_mask"].sum(-1))
        check_audio_tokens((inputs["input_ids"] == self._model.config.audio_token_id).sum(-1), wanted)
        return inputs

    def count_audio_tokens(self, samples: int) -> int:
        """How many audio tokens a waveform of so many samples becomes; build_inputs counts the same in its mask."""
        return int(pooled_twice(-(-samples // self._processor.feature_extractor.hop_length)))
