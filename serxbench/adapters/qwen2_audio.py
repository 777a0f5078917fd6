"""Qwen2-Audio: `Qwen2AudioForConditionalGeneration` with its own processor and chat template, at any size.

What has to be right here, because getting it wrong gives scores that look normal:

- the processor's keyword is `audio=`; with the older `audios=` no sound reaches the model,
- padding is on the left, and the feature mask goes into the model, or batches change the answers,
- the checkpoint's generation settings sample and penalise repetition; all of them are replaced,
- a clip longer than the feature extractor's window is cut without a word; here the record says so,
- a clip of a few milliseconds yields no audio token at all.

The number of audio tokens in the prompt is compared with the number that the encoder will emit for every clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from serxbench.adapters import Loading
from serxbench.adapters._quiet import hush_transformers
from serxbench.audio import SAMPLE_RATE, Clip
from serxbench.errors import AdapterError
from serxbench.records import Decoding, Prompt, Response

if TYPE_CHECKING:
    from numpy.typing import NDArray

MODEL_TYPES = ("qwen2_audio",)

#: The prompt styles that a card of this family may name. `chat` is the processor's own template.
PROMPT_STYLES = ("chat",)

#: Below this, pooling can leave no audio token, and a single one takes a deprecated path in transformers.
MIN_SECONDS = 0.1


def load(loading: Loading) -> Qwen2Audio:
    """The adapter for the checkpoint in `loading.folder`. Raises AdapterError."""
    import torch
    from transformers import AutoProcessor, Qwen2AudioForConditionalGeneration

    folder, style = loading.folder, loading.prompt_style
    if style not in PROMPT_STYLES:
        raise AdapterError(f"qwen2_audio has no prompt style '{style}'; there are: {', '.join(PROMPT_STYLES)}")
    hush_transformers()
    try:
        processor = AutoProcessor.from_pretrained(folder)
        model, found = Qwen2AudioForConditionalGeneration.from_pretrained(
            folder, dtype=getattr(torch, loading.dtype), output_loading_info=True
        )
    except Exception as error:  # a damaged checkpoint raises any of many unrelated types
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise AdapterError(f"{folder}: cannot be loaded as Qwen2-Audio ({reason})") from error
    if absent := sorted(found["missing_keys"]):
        # transformers only warns, and runs with random numbers in their place.
        raise AdapterError(f"{folder}: {len(absent)} weights are not in the checkpoint (the first: {absent[0]})")
    return Qwen2Audio(model.to(loading.device).eval(), processor)


class Qwen2Audio:
    """A loaded Qwen2-Audio model; see serxbench.adapters.Adapter."""

    min_seconds = MIN_SECONDS

    def __init__(self, model: Any, processor: Any) -> None:
        self._model = model
        self._processor = processor
        processor.tokenizer.padding_side = "left"
        self.max_seconds: float = processor.feature_extractor.n_samples / SAMPLE_RATE
        self._end_tokens = _end_tokens(model, processor.tokenizer)
        self._pad_token = processor.tokenizer.pad_token_id
        if self._pad_token is None:
            self._pad_token = self._end_tokens[0]
        # Whatever generate() is not told it takes from here, so the checkpoint's own settings must not stay.
        model.generation_config = self._generation_config(Decoding())

    def render(self, prompt: Prompt) -> str:
        """The text that is tokenised for one clip: the chat template around the audio and the question."""
        content = [{"type": "audio", "audio": "clip"}, {"type": "text", "text": prompt.text}]
        rendered: str = self._processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
        )
        return rendered

    def generate(self, ids: Sequence[str], clips: Sequence[Clip], prompt: Prompt, decoding: Decoding) -> list[Response]:
        """One response a clip, in the order given; see serxbench.adapters.Adapter."""
        fitting = [n for n, clip in enumerate(clips) if len(clip.waveform) >= self.min_seconds * SAMPLE_RATE]
        answers = self._answer([self._cut(clips[n]) for n in fitting], prompt, decoding) if fitting else []
        answered = dict(zip(fitting, answers, strict=True))
        return [self._response(ids[n], clip, answered.get(n)) for n, clip in enumerate(clips)]

    def _cut(self, clip: Clip) -> NDArray[np.float32]:
        return clip.waveform[: int(self.max_seconds * SAMPLE_RATE)]

    def _response(self, id: str, clip: Clip, answer: tuple[str, bool] | None) -> Response:
        truncated = len(clip.waveform) > int(self.max_seconds * SAMPLE_RATE)
        cut = f"cut from {clip.seconds:.1f} s to {self.max_seconds:g} s" if truncated else None
        known: dict[str, Any] = {
            "id": id,
            "audio_seconds": round(clip.seconds, 4),
            "truncated": truncated,
            "note": ", ".join(filter(None, (clip.note, cut))) or None,
            "audio_sha256": clip.sha256()[:16],
        }
        if answer is None:
            wanted = f"the model needs at least {self.min_seconds:g} s"
            return Response(stop="error", error=f"clip of {clip.seconds:.3f} s is too short; {wanted}", **known)
        text, ended = answer
        return Response(text=text, stop="end" if ended else "length", **known)

    def _answer(
        self, waveforms: list[NDArray[np.float32]], prompt: Prompt, decoding: Decoding
    ) -> list[tuple[str, bool]]:
        """(text, whether the model ended it itself) for each waveform."""
        import torch

        inputs = self._processor(
            text=[self.render(prompt)] * len(waveforms),
            audio=waveforms,
            sampling_rate=SAMPLE_RATE,
            return_tensors="pt",
            padding=True,
        )
        self._check_audio_tokens(inputs)
        inputs = inputs.to(self._model.device)
        inputs["input_features"] = inputs["input_features"].to(self._model.dtype)
        if decoding.temperature > 0:
            torch.manual_seed(decoding.seed)
        with torch.inference_mode():
            tokens = self._model.generate(**inputs, generation_config=self._generation_config(decoding))
        # Decoder-only with left padding: every row's answer begins where the padded prompt ends.
        rows = tokens[:, inputs["input_ids"].shape[1] :].tolist()
        texts = self._processor.batch_decode(rows, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return [(text, not set(self._end_tokens).isdisjoint(row)) for text, row in zip(texts, rows, strict=True)]

    def _check_audio_tokens(self, inputs: Any) -> None:
        # The encoder halves the mel frames by a convolution and again by pooling: 25 tokens a second.
        frames = inputs["feature_attention_mask"].sum(-1)
        wanted = ((frames - 1) // 2 + 1 - 2) // 2 + 1
        found = (inputs["input_ids"] == self._model.config.audio_token_id).sum(-1)
        if found.tolist() != wanted.tolist() or not bool((found > 0).all()):
            raise AdapterError(
                f"the prompt has {found.tolist()} audio tokens and the encoder gives {wanted.tolist()}: the sound "
                "would not reach the model. The processor and the model of this checkpoint do not fit together"
            )

    def _generation_config(self, decoding: Decoding) -> Any:
        """A complete configuration: nothing is left for the checkpoint's own settings to fill in."""
        from transformers import GenerationConfig

        sampling: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        if decoding.temperature > 0:
            sampling = {"do_sample": True, "temperature": decoding.temperature, "top_p": 1.0, "top_k": 0}
        return GenerationConfig(
            max_new_tokens=decoding.max_new_tokens,
            min_new_tokens=1,
            num_beams=1,
            repetition_penalty=1.0,
            no_repeat_ngram_size=0,
            eos_token_id=self._end_tokens,
            pad_token_id=self._pad_token,
            **sampling,
        )


def _end_tokens(model: Any, tokenizer: Any) -> list[int]:
    """The tokens that end an answer, from wherever the checkpoint names them. Raises AdapterError if nowhere."""
    for holder in (model.generation_config, model.config.get_text_config(), tokenizer):
        found = getattr(holder, "eos_token_id", None)
        if found is not None:
            return sorted(found) if isinstance(found, (list, tuple)) else [int(found)]
    raise AdapterError("the checkpoint names no end-of-text token (eos_token_id), so no answer would ever end")
