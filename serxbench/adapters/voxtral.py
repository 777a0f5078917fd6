"""Voxtral: `VoxtralForConditionalGeneration` with the tokenizer of mistral-common, which also writes the prompt.

What has to be right here, because getting it wrong gives scores that look normal:

- the processor takes sound only through `apply_chat_template`, as an encoded file: a WAV of 32-bit floats, since one of
  16 bits would change the samples,
- every clip is padded to a multiple of 30 s and none of it is masked: it costs 375 tokens per 30 s, however short,
- there is no system prompt beside sound,
- padding is on the left.

Nothing of a clip is cut: the model takes 40 min, more than the harness reads of a file.

The number of audio tokens in the prompt is compared with the number that the encoder will emit for every clip.
"""

from __future__ import annotations

import base64
import importlib.util
import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from serxbench.adapters import Loading
from serxbench.adapters._generative import (
    Generative,
    check_audio_tokens,
    check_prompt_style,
    load_pretrained,
    unloadable,
)
from serxbench.audio import MAX_SECONDS_READ, SAMPLE_RATE
from serxbench.errors import AdapterError
from serxbench.records import Prompt

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MODEL_TYPES = ("voxtral",)

#: The prompt styles that a card of this family may name. `chat` is what mistral-common writes.
PROMPT_STYLES = ("chat",)

_CHUNK_SECONDS = 30


def load(loading: Loading) -> Voxtral:
    """The adapter for the checkpoint in `loading.folder`. Raises AdapterError."""
    check_prompt_style("voxtral", loading.prompt_style, PROMPT_STYLES)
    if importlib.util.find_spec("mistral_common") is None:
        raise AdapterError("voxtral needs the package mistral-common: pip install 'serxbench[voxtral]'")
    import torch
    from transformers import AutoProcessor, VoxtralForConditionalGeneration

    folder = loading.folder
    model = load_pretrained(
        folder,
        "Voxtral",
        lambda: VoxtralForConditionalGeneration.from_pretrained(
            folder, dtype=getattr(torch, loading.dtype), output_loading_info=True
        ),
    )
    try:
        processor = AutoProcessor.from_pretrained(folder)
    except Exception as error:
        raise unloadable(folder, "Voxtral", error) from error
    return Voxtral(model.to(loading.device), processor)


class Voxtral(Generative):
    """A loaded Voxtral; see serxbench.adapters.Adapter."""

    def __init__(self, model: Any, processor: Any) -> None:
        super().__init__(model, processor, max_seconds=MAX_SECONDS_READ)

    def render(self, prompt: Prompt) -> str:
        """The text that the prompt's tokens stand for, with one `[AUDIO]` for all audio tokens of a clip."""
        import numpy as np

        silence = np.zeros(SAMPLE_RATE, np.float32)
        text: str = self._processor.tokenizer.apply_chat_template(_conversation(silence, prompt), tokenize=False)
        token = re.escape(self._processor.audio_token)
        return re.sub(f"(?:{token})+", self._processor.audio_token, text)

    def build_inputs(self, waveforms: Sequence[NDArray[np.float32]], prompt: Prompt) -> Any:
        """The model's keyword arguments; as many audio tokens in the prompt as the encoder will emit."""
        import torch

        inputs = self._processor.apply_chat_template([_conversation(waveform, prompt) for waveform in waveforms])
        audio = self._model.config.audio_config
        # The projector joins neighbouring frames of the encoder into one token.
        tokens_a_chunk = audio.max_source_positions * audio.hidden_size // audio.intermediate_size
        chunks = torch.tensor([-(-len(waveform) // (_CHUNK_SECONDS * SAMPLE_RATE)) for waveform in waveforms])
        check_audio_tokens((inputs["input_ids"] == self._model.config.audio_token_id).sum(-1), chunks * tokens_a_chunk)
        if len(inputs["input_features"]) != int(chunks.sum()):
            raise AdapterError(f"{int(chunks.sum())} chunks of sound went in; found {len(inputs['input_features'])}")
        return inputs

    def tokenize_words(self, question: str) -> list[int]:
        """The tokens of a question without sound; mistral-common tokenises conversations only."""
        found = self._processor.tokenizer.apply_chat_template([{"role": "user", "content": question}], tokenize=True)
        tokens: list[int] = found["input_ids"] if hasattr(found, "keys") else found
        return tokens


def _conversation(waveform: NDArray[np.float32], prompt: Prompt) -> list[dict[str, Any]]:
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, waveform, SAMPLE_RATE, format="WAV", subtype="FLOAT")
    sound = {"data": base64.b64encode(file.getvalue()).decode("ascii"), "format": "wav"}
    content = [{"type": "input_audio", "input_audio": sound}, {"type": "text", "text": prompt.text}]
    return [{"role": "user", "content": content}]
