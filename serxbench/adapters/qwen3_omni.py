"""Qwen3-Omni: its thinker, `Qwen3OmniMoeThinkerForConditionalGeneration`, from the full checkpoint or one of its own.

What has to be right here, because getting it wrong gives scores that look normal:

- only the thinker is loaded: talker and vocoder write speech, which nobody scores,
- features are computed clip by clip: in a batch, the processor ends a clip with silence if a longer one is beside it
  and with its mirror image if not, and counts one frame more or less,
- the encoder works in windows of a second. In a batch of clips shorter than that the window is the longest clip, and
  what stands after the others' ends leaks in: such clips go through the model one by one,
- padding is on the left, and the feature mask goes into the model.

The Thinking checkpoint reasons in `<think>…</think>` before it answers; that stays in the response, for the parser.
Nothing of a clip is cut: the model takes 40 min, more than the harness reads of a file.

The number of audio tokens in the prompt is compared with the number that the encoder will emit for every clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from serxbench.adapters import Loading
from serxbench.adapters._generative import Generative, check_prompt_style, load_pretrained
from serxbench.adapters._speech_processor import SpeechProcessor, load_speech_processor
from serxbench.audio import MAX_SECONDS_READ, SAMPLE_RATE
from serxbench.records import Prompt

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MODEL_TYPES = ("qwen3_omni_moe", "qwen3_omni_moe_thinker")

#: The prompt styles that a card of this family may name. `chat` is the processor's own template.
PROMPT_STYLES = ("chat",)


def load(loading: Loading) -> Qwen3Omni:
    """The adapter for the checkpoint in `loading.folder`. Raises AdapterError."""
    import torch
    from transformers import Qwen3OmniMoeThinkerForConditionalGeneration

    folder = loading.folder
    check_prompt_style("qwen3_omni", loading.prompt_style, PROMPT_STYLES)
    model = load_pretrained(
        folder,
        "Qwen3-Omni",
        lambda: Qwen3OmniMoeThinkerForConditionalGeneration.from_pretrained(
            folder, dtype=getattr(torch, loading.dtype), output_loading_info=True
        ),
    )
    processor = load_speech_processor(folder, "Qwen3-Omni", "WhisperFeatureExtractor")
    return Qwen3Omni(model.to(loading.device), processor)


class Qwen3Omni(Generative):
    """A loaded Qwen3-Omni thinker; see serxbench.adapters.Adapter."""

    def __init__(self, model: Any, processor: SpeechProcessor) -> None:
        super().__init__(model, processor, max_seconds=MAX_SECONDS_READ)
        self._window: int = 2 * model.config.audio_config.n_window

    def render(self, prompt: Prompt) -> str:
        """The text that is tokenised for one clip: the chat template around the audio and the question."""
        rendered: str = self._processor.render(
            [{"type": "audio", "audio": "clip"}, {"type": "text", "text": prompt.text}]
        )
        return rendered

    def batches(self, waveforms: Sequence[NDArray[np.float32]]) -> list[list[int]]:
        """Clips that fill the encoder's window together; each shorter one by itself."""
        shortest = self._window * self._processor.feature_extractor.hop_length
        long = [n for n, waveform in enumerate(waveforms) if len(waveform) >= shortest]
        alone = [[n] for n, waveform in enumerate(waveforms) if len(waveform) < shortest]
        return [long, *alone] if long else alone

    def build_inputs(self, waveforms: Sequence[NDArray[np.float32]], prompt: Prompt) -> Any:
        """The model's keyword arguments; as many audio tokens in the prompt as the encoder will emit."""
        features = _stack([self._features(waveform) for waveform in waveforms])
        wanted = self._audio_tokens(features["feature_attention_mask"].sum(-1))
        tokens = self._processor.tokenize(self.render(prompt), self._model.config.audio_token_id, wanted)
        return {**tokens, **features}

    def _features(self, waveform: NDArray[np.float32]) -> Any:
        features = self._processor.feature_extractor(
            waveform, sampling_rate=SAMPLE_RATE, padding=True, truncation=False, return_tensors="pt"
        )
        return features["input_features"][0]

    def _audio_tokens(self, frames: Any) -> Any:
        """What the encoder emits: three convolutions halve each window of frames (13 tokens of 100 frames)."""
        return frames // self._window * _halved(self._window) + _halved(frames % self._window)


def _stack(features: Sequence[Any]) -> dict[str, Any]:
    """Features of shape (mels, frames), one a clip → `input_features` padded on the right, `feature_attention_mask`."""
    import torch

    frames = torch.tensor([each.shape[-1] for each in features])
    padded = torch.nn.utils.rnn.pad_sequence([each.T for each in features], batch_first=True)
    mask = torch.arange(padded.shape[1]) < frames[:, None]
    return {"input_features": padded.transpose(1, 2), "feature_attention_mask": mask.long()}


def _halved(frames: Any) -> Any:
    for _ in range(3):
        frames = (frames + 1) // 2
    return frames
