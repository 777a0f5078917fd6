"""Audio Flamingo 3: `AudioFlamingo3ForConditionalGeneration` with its own processor and chat template.

What has to be right here, because getting it wrong gives scores that look normal:

- each text takes exactly one clip; longer clips go in as windows of 30 s, of which the encoder hears one at a time,
- every window is padded to 30 s and its padding masked: `input_features_mask` has to reach the model,
- a clip over 10 minutes is cut by the processor with no more than a log line; here the record says so,
- `decode(strip_prefix=True)` trims transcriptions, and would trim an answer that happens to look like one,
- padding is on the left.

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
from serxbench.errors import AdapterError
from serxbench.records import Prompt

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MODEL_TYPES = ("audioflamingo3",)

#: The prompt styles that a card of this family may name. `chat` is the processor's own template.
PROMPT_STYLES = ("chat",)

#: For fine-tuning: what ends an answer, and which modules a LoRA goes on (the language model's attention, the output
#: layer; the encoder's attention has modules of the same short names).
ANSWER_END = "<|im_end|>"
LORA_MODULES = r"(.*\.)?language_model\.(.*\.)?self_attn\.[qkvo]_proj|(.*\.)?lm_head"


def load(loading: Loading) -> AudioFlamingo3:
    """The adapter for the checkpoint in `loading.folder`. Raises AdapterError."""
    import torch
    from transformers import AudioFlamingo3ForConditionalGeneration

    folder = loading.folder
    check_prompt_style("audio_flamingo_3", loading.prompt_style, PROMPT_STYLES)
    model = load_pretrained(
        folder,
        "Audio Flamingo 3",
        lambda: AudioFlamingo3ForConditionalGeneration.from_pretrained(
            folder, dtype=getattr(torch, loading.dtype), output_loading_info=True
        ),
    )
    return AudioFlamingo3(model.to(loading.device), _load_processor(folder))


def load_renderer(loading: Loading) -> Renderer:
    """The prompts of the checkpoint in `loading.folder`, without its weights. Raises AdapterError."""
    check_prompt_style("audio_flamingo_3", loading.prompt_style, PROMPT_STYLES)
    model = Weightless(loading.folder, "Audio Flamingo 3")
    return Renderer(AudioFlamingo3(model, _load_processor(loading.folder)), model.config.audio_token_id)


def _load_processor(folder: Path) -> Any:
    from transformers import AutoProcessor

    try:
        return AutoProcessor.from_pretrained(folder)
    except Exception as error:
        raise unloadable(folder, "Audio Flamingo 3", error) from error


class AudioFlamingo3(Generative):
    """A loaded Audio Flamingo 3; see serxbench.adapters.Adapter."""

    def __init__(self, model: Any, processor: Any) -> None:
        super().__init__(model, processor, max_seconds=float(processor.max_audio_len))

    def render(self, prompt: Prompt) -> str:
        """The text that is tokenised for one clip: the chat template around the audio and the question."""
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
            text_kwargs={"padding": True},
            audio_kwargs={"sampling_rate": SAMPLE_RATE, "padding": "max_length"},
        )
        wanted = self._sum_windows(pooled_twice(inputs["input_features_mask"].sum(-1)), waveforms)
        check_audio_tokens((inputs["input_ids"] == self._model.config.audio_token_id).sum(-1), wanted)
        return inputs

    def count_audio_tokens(self, samples: int) -> int:
        """How many audio tokens a waveform of so many samples becomes; build_inputs counts the same in its mask."""
        extractor = self._processor.feature_extractor
        whole, rest = divmod(samples, extractor.n_samples)
        windows = [extractor.n_samples] * whole + [rest] * (rest > 0)
        return sum(int(pooled_twice(-(-window // extractor.hop_length))) for window in windows)

    def _sum_windows(self, of_windows: Any, waveforms: Sequence[NDArray[np.float32]]) -> Any:
        """What belongs to each clip, from what belongs to each of its windows."""
        import torch

        samples = self._processor.feature_extractor.n_samples
        windows = [-(-len(waveform) // samples) for waveform in waveforms]
        if len(of_windows) != sum(windows):
            raise AdapterError(f"the processor made {len(of_windows)} windows of sound; wanted {sum(windows)}")
        return torch.stack([part.sum() for part in of_windows.split(windows)])
