"""The cascade `whisper-llm`: Whisper writes down what is said, and a text LLM that hears nothing is asked the question.

A control for what the words give away, and the baseline that a model which listens has to beat. Settings of a card:

    whisper: openai/whisper-large-v3@06f2…       where the parts lie; serxbench.adapters._parts says how they are pinned
    llm: Qwen/Qwen2.5-7B-Instruct@a09a…
    language: en                                 what Whisper is told is spoken; it finds out if this is left out

Whisper decodes greedily, without its fallbacks to sampling. Of a clip longer than its window the rest is cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from serxbench.adapters import Loading
from serxbench.adapters._cascade import TRANSCRIPT_STYLE, TextModel, load_text_model, transcript_prompt
from serxbench.adapters._generative import (
    MIN_SECONDS,
    check_prompt_style,
    load_pretrained,
    respond_to,
    unloadable,
)
from serxbench.adapters._parts import locate_part
from serxbench.audio import SAMPLE_RATE, Clip
from serxbench.errors import AdapterError, nearest
from serxbench.records import Decoding, Prompt, Response

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: It is two checkpoints; only a card can name them.
MODEL_TYPES: tuple[str, ...] = ()

#: The prompt styles that a card of this family may name.
PROMPT_STYLES = (TRANSCRIPT_STYLE,)

_SETTINGS = ("whisper", "llm", "language")


def load(loading: Loading) -> WhisperLlm:
    """The adapter for the two parts that `loading.settings` name. Raises AdapterError."""
    check_prompt_style("whisper_llm", loading.prompt_style, PROMPT_STYLES)
    settings = loading.settings
    for name in settings:
        if name not in _SETTINGS:
            near = nearest(str(name), _SETTINGS)
            hint = f"did you mean '{near}'?" if near else f"there are: {', '.join(_SETTINGS)}"
            raise AdapterError(f"whisper_llm: the card's settings have '{name}', which is none; {hint}")
    whisper, llm = (locate_part(settings.get(name), loading.folder, name) for name in ("whisper", "llm"))
    transcriber = load_whisper(whisper, loading.device, loading.dtype, settings.get("language"))
    return WhisperLlm(transcriber, load_text_model(llm, loading.device, loading.dtype))


class WhisperLlm:
    """A loaded cascade; see serxbench.adapters.Adapter."""

    min_seconds = MIN_SECONDS

    def __init__(self, whisper: Whisper, llm: TextModel) -> None:
        self._whisper = whisper
        self._llm = llm
        self.max_seconds = whisper.max_seconds

    def generate(self, ids: Sequence[str], clips: Sequence[Clip], prompt: Prompt, decoding: Decoding) -> list[Response]:
        """One response a clip, in the order given: the LLM's answer alone, not the transcript that it was given."""
        fitting = [n for n, clip in enumerate(clips) if len(clip.waveform) >= self.min_seconds * SAMPLE_RATE]
        transcripts = self._whisper.transcribe([self._cut(clips[n]) for n in fitting])
        answers = dict(zip(fitting, self._ask(transcripts, prompt, decoding), strict=True))
        limits = (self.min_seconds, self.max_seconds)
        return [respond_to(ids[n], clip, answers.get(n), limits) for n, clip in enumerate(clips)]

    def read(self, ids: Sequence[str], texts: Sequence[str], prompt: Prompt, decoding: Decoding) -> list[Response]:
        """One response a transcript, in the order given; no clip is heard."""
        return [
            Response(id=id, text=text, stop="end" if ended else "length")
            for id, (text, ended) in zip(ids, self._ask(texts, prompt, decoding), strict=True)
        ]

    def hear(self, clips: Sequence[Clip], prompt: Prompt) -> NDArray[np.float32]:
        """The logits of the LLM's first answer token, then those of Whisper's first: shape (clips, both vocabularies).

        Two clips of the same words are the same to the LLM, as they should be; Whisper shows that it heard either.
        """
        waveforms = [self._cut(clip) for clip in clips]
        questions = [transcript_prompt(prompt, text) for text in self._whisper.transcribe(waveforms)]
        return np.concatenate([self._llm.hear(questions), self._whisper.hear(waveforms)], axis=1)

    def _ask(self, transcripts: Sequence[str], prompt: Prompt, decoding: Decoding) -> list[tuple[str, bool]]:
        questions = [transcript_prompt(prompt, transcript) for transcript in transcripts]
        return self._llm.generate(questions, decoding) if questions else []

    def _cut(self, clip: Clip) -> NDArray[np.float32]:
        return clip.waveform[: int(self.max_seconds * SAMPLE_RATE)]


class Whisper:
    """A loaded Whisper that transcribes, greedily, up to its window of sound."""

    def __init__(self, model: Any, processor: Any, language: str | None) -> None:
        self._model = model
        self._processor = processor
        self.max_seconds: float = processor.feature_extractor.n_samples / SAMPLE_RATE
        config = model.generation_config
        # An English-only Whisper has no tokens for these.
        self._asked: dict[str, Any] = {"task": "transcribe", "language": language}
        if not getattr(config, "is_multilingual", False):
            if language not in (None, "en"):
                raise AdapterError(f"settings.language is '{language}', and this Whisper knows only English")
            self._asked = {}
        # What it must not say and begins with stays as it is; how it chooses, and when it tries again, does not.
        config.update(num_beams=1, do_sample=False, temperature=1.0, repetition_penalty=1.0, no_repeat_ngram_size=0)
        config.update(compression_ratio_threshold=None, logprob_threshold=None, no_speech_threshold=None)

    def transcribe(self, waveforms: Sequence[NDArray[np.float32]]) -> list[str]:
        """What is said in each, without the spaces around it; empty for silence, if Whisper takes it for that."""
        if not waveforms:
            return []
        tokens = self._generate(self._features(waveforms))
        texts = self._processor.batch_decode(tokens, skip_special_tokens=True)
        return [text.strip() for text in texts]

    def hear(self, waveforms: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """The logits of the first token of each transcript, after the token that begins one."""
        import torch

        features = self._features(waveforms)
        start = torch.full((len(waveforms), 1), self._model.config.decoder_start_token_id, device=features.device)
        with torch.inference_mode():
            logits = self._model(input_features=features, decoder_input_ids=start).logits[:, -1]
        return np.asarray(logits.float().cpu(), dtype=np.float32)

    def _generate(self, features: Any) -> Any:
        import torch

        with torch.inference_mode():
            return self._model.generate(
                features, return_timestamps=False, condition_on_prev_tokens=False, **self._asked
            )

    def _features(self, waveforms: Sequence[NDArray[np.float32]]) -> Any:
        extracted = self._processor.feature_extractor(
            list(waveforms), sampling_rate=SAMPLE_RATE, return_tensors="pt", padding="max_length"
        )
        return extracted.input_features.to(self._model.device, self._model.dtype)


def load_whisper(folder: Path, device: str, dtype: str, language: object = None) -> Whisper:
    """The Whisper in `folder`. Raises AdapterError."""
    import torch
    from transformers import WhisperForConditionalGeneration, WhisperProcessor

    if language is not None and not isinstance(language, str):
        raise AdapterError(f"settings.language must be a language's code, like en; found {language!r}")
    model = load_pretrained(
        folder,
        "Whisper",
        lambda: WhisperForConditionalGeneration.from_pretrained(
            folder, dtype=getattr(torch, dtype), output_loading_info=True
        ),
    )
    try:
        processor = WhisperProcessor.from_pretrained(folder)
    except Exception as error:
        raise unloadable(folder, "Whisper", error) from error
    known = getattr(model.generation_config, "lang_to_id", None)
    if language is not None and known is not None and f"<|{language}|>" not in known:
        raise AdapterError(f"settings.language: this Whisper does not know '{language}'; it knows codes like en, de")
    return Whisper(model.to(device), processor, language)
