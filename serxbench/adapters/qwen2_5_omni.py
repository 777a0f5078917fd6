"""Qwen2.5-Omni: its thinker, `Qwen2_5OmniThinkerForConditionalGeneration`, from the full checkpoint or one of its own.

What has to be right here, because getting it wrong gives scores that look normal, or takes for ever:

- only the thinker is loaded: talker and vocoder write speech, which nobody scores, and double the memory,
- the processor pads each clip to 300 s; features padded just beyond the longest clip are the same and 20 times cheaper,
- the template's own system prompt ("You are a helpful assistant.") stays; the long one about a virtual human is for
  spoken answers,
- padding is on the left, and the feature mask goes into the model, or batches change the answers.

The number of audio tokens in the prompt is compared with the number that the encoder will emit for every clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serxbench.adapters import Loading
from serxbench.adapters._generative import Generative, check_prompt_style, load_pretrained
from serxbench.adapters._inputs import pooled_twice
from serxbench.adapters._renderer import Renderer, Weightless
from serxbench.adapters._speech_processor import SpeechProcessor, load_speech_processor
from serxbench.audio import SAMPLE_RATE
from serxbench.records import Prompt

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MODEL_TYPES = ("qwen2_5_omni", "qwen2_5_omni_thinker")

#: The prompt styles that a card of this family may name. `chat` is the processor's own template.
PROMPT_STYLES = ("chat",)

#: For fine-tuning: what ends an answer, and which modules a LoRA goes on (the thinker's language model; the encoders'
#: attention has modules of the same short names).
ANSWER_END = "<|im_end|>"
LORA_MODULES = r"model\.(language_model\.)?layers\.\d+\.self_attn\.[qkvo]_proj|lm_head"


def load(loading: Loading) -> Qwen25Omni:
    """The adapter for the checkpoint in `loading.folder`. Raises AdapterError."""
    import torch
    from transformers import Qwen2_5OmniThinkerForConditionalGeneration

    folder = loading.folder
    check_prompt_style("qwen2_5_omni", loading.prompt_style, PROMPT_STYLES)
    model = load_pretrained(
        folder,
        "Qwen2.5-Omni",
        lambda: Qwen2_5OmniThinkerForConditionalGeneration.from_pretrained(
            folder, dtype=getattr(torch, loading.dtype), output_loading_info=True
        ),
    )
    return Qwen25Omni(model.to(loading.device), _load_processor(folder))


def load_renderer(loading: Loading) -> Renderer:
    """The prompts of the checkpoint in `loading.folder`, without its weights. Raises AdapterError."""
    check_prompt_style("qwen2_5_omni", loading.prompt_style, PROMPT_STYLES)
    model = Weightless(loading.folder, "Qwen2.5-Omni")
    model.config = getattr(model.config, "thinker_config", model.config)
    return Renderer(Qwen25Omni(model, _load_processor(loading.folder)), model.config.audio_token_id)


def _load_processor(folder: Path) -> SpeechProcessor:
    return load_speech_processor(folder, "Qwen2.5-Omni", "WhisperFeatureExtractor")


class Qwen25Omni(Generative):
    """A loaded Qwen2.5-Omni thinker; see serxbench.adapters.Adapter."""

    def __init__(self, model: Any, processor: SpeechProcessor) -> None:
        super().__init__(model, processor, max_seconds=processor.feature_extractor.n_samples / SAMPLE_RATE)

    def render(self, prompt: Prompt) -> str:
        """The text that is tokenised for one clip: the chat template around the audio and the question."""
        rendered: str = self._processor.render(
            [{"type": "audio", "audio": "clip"}, {"type": "text", "text": prompt.text}]
        )
        return rendered

    def build_inputs(self, waveforms: Sequence[NDArray[np.float32]], prompt: Prompt) -> Any:
        """The model's keyword arguments; as many audio tokens in the prompt as the encoder will emit."""
        features = self._processor.feature_extractor(
            list(waveforms),
            sampling_rate=SAMPLE_RATE,
            padding="max_length",
            max_length=_samples_beyond(max(map(len, waveforms))),
            return_attention_mask=True,
            return_tensors="pt",
        )
        mask = features["attention_mask"]
        wanted = pooled_twice(mask.sum(-1))
        return {
            **self._processor.tokenize(self.render(prompt), self._model.config.audio_token_id, wanted),
            "input_features": features["input_features"],
            "feature_attention_mask": mask,
        }

    def count_audio_tokens(self, samples: int) -> int:
        """How many audio tokens a waveform of so many samples becomes; build_inputs counts the same in its mask."""
        return int(pooled_twice(-(-samples // self._processor.feature_extractor.hop_length)))


def _samples_beyond(samples: int) -> int:
    """A whole number of seconds, at least one second longer.

    With silence after it, the end of a clip looks to the feature extractor as it does in 300 s; without, its last
    frames would mirror the clip.
    """
    return (samples // SAMPLE_RATE + 2) * SAMPLE_RATE
