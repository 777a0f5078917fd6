"""A family's prompts without its weights, for an engine that loads the weights itself.

A Renderer holds the family's own adapter around a model that is only its configuration, so the tokens are made by the
code that makes them for the transformers backend.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from serxbench.adapters._cascade import break_up_control_tokens, transcript_prompt
from serxbench.adapters._generative import unloadable
from serxbench.errors import AdapterError
from serxbench.records import Prompt

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Weightless:
    """What an adapter asks of its model before it computes: the two configurations."""

    def __init__(self, folder: Path, family: str) -> None:
        from transformers import AutoConfig, GenerationConfig

        try:
            self.config: Any = AutoConfig.from_pretrained(folder)
            named = (folder / "generation_config.json").is_file()
            self.generation_config: Any = (
                GenerationConfig.from_pretrained(folder) if named else GenerationConfig.from_model_config(self.config)
            )
        except Exception as error:
            raise unloadable(folder, family, error) from error


class Rendering(Protocol):
    """What a Renderer needs of an adapter; serxbench.adapters._generative.Generative has most of it."""

    max_seconds: float
    min_seconds: float
    _end_tokens: list[int]
    _processor: Any

    def build_inputs(self, waveforms: Sequence[NDArray[np.float32]], prompt: Prompt) -> Any: ...

    def tokenize_words(self, question: str) -> list[int]: ...

    def count_audio_tokens(self, samples: int) -> int: ...


class Renderer:
    """The tokens that a family is asked with: one unbroken run of audio tokens a clip, text around it.

    end_tokens: those that end an answer. max_seconds, min_seconds: as of the family's adapter.
    """

    def __init__(self, adapter: Rendering, audio_token: int) -> None:
        self._adapter = adapter
        self.audio_token = audio_token
        self.end_tokens = tuple(adapter._end_tokens)
        self.max_seconds, self.min_seconds = adapter.max_seconds, adapter.min_seconds
        self._around = functools.lru_cache(maxsize=4)(self._read_around)

    def placeholder_tokens(self, prompt: Prompt) -> list[int]:
        """The prompt with one audio token where a clip's run of them goes."""
        before, after = self._around(prompt)
        return [*before, self.audio_token, *after]

    def tokens(self, samples: int, prompt: Prompt) -> list[int]:
        """The tokens that the adapter sends for a clip of so many samples, by the family's arithmetic."""
        before, after = self._around(prompt)
        return [*before, *[self.audio_token] * self._adapter.count_audio_tokens(samples), *after]

    def build_tokens(self, waveform: NDArray[np.float32], prompt: Prompt) -> list[int]:
        """The tokens that the adapter sends for this clip, built as it builds them, features and all."""
        row: list[int] = self._adapter.build_inputs([waveform], prompt)["input_ids"][0].tolist()
        return row

    def word_tokens(self, prompt: Prompt, transcript: str) -> list[int]:
        """The tokens of the question about a transcript, with no sound anywhere."""
        question = break_up_control_tokens(transcript_prompt(prompt, transcript), self._adapter._processor.tokenizer)
        return self._adapter.tokenize_words(question)

    def decode(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """The texts of generated tokens, as the adapter decodes them."""
        texts: list[str] = self._adapter._processor.tokenizer.batch_decode(
            [list(row) for row in rows], skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return texts

    def _read_around(self, prompt: Prompt) -> tuple[list[int], list[int]]:
        """The tokens before and after the sound. Raises AdapterError unless the sound is one unbroken run."""
        import numpy as np

        row = self.build_tokens(np.zeros(16_000, np.float32), prompt)
        places = [n for n, token in enumerate(row) if token == self.audio_token]
        if not places or places[-1] - places[0] + 1 != len(places):
            raise AdapterError(f"the prompt has its {len(places)} audio tokens not in one run; wanted one run of them")
        return row[: places[0]], row[places[-1] + 1 :]
