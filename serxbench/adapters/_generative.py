"""What the adapters of generative models share: clips → responses, complete decoding settings, careful loading.

A family subclasses `Generative` and says two things: the text that one clip is asked with (`render`), and the model's
inputs for a batch (`build_inputs`), where it also checks that the sound is really in them. One whose encoder lets the
clips of a batch change each other says a third: which of them may go through the model together (`batches`).

Building inputs needs no device where `prepares_ahead` says so, so an engine may do it for the next batch while the
model computes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from serxbench.adapters._decoding import complete_generation_config, find_end_tokens
from serxbench.adapters._inputs import Prepared, last_logits, pad_left
from serxbench.adapters._quiet import hush_transformers
from serxbench.adapters._tuning import Cache, Tuning, remember_features, set_attention
from serxbench.audio import SAMPLE_RATE, Clip
from serxbench.errors import AdapterError
from serxbench.llm._loglik import letter_of
from serxbench.records import Decoding, Prompt, Response

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: What torch's own memory on a CPU is aligned to, in bytes.
_ALIGNMENT = 64

#: Below this, pooling in an audio encoder can leave no token at all.
MIN_SECONDS = 0.1


class Generative:
    """A loaded decoder-only model with an audio encoder and its processor; see serxbench.adapters.Adapter."""

    min_seconds = MIN_SECONDS

    #: Whether build_inputs leaves the model alone. One that listens there must not do so beside its own generate.
    prepares_ahead = True

    def __init__(self, model: Any, processor: Any, max_seconds: float) -> None:
        self._model = model
        self._processor = processor
        self.max_seconds = max_seconds
        tokenizer = processor.tokenizer
        tokenizer.padding_side = "left"
        # A fast tokenizer can be used by one thread at a time, and the next batch's prompts may be tokenised meanwhile.
        self._detokenizer = copy.deepcopy(tokenizer)
        self._end_tokens = find_end_tokens(model, tokenizer)
        self._pad_token: int = self._end_tokens[0] if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        self._cache: Cache = "dynamic"
        # Whatever generate() is not told it takes from here, so the checkpoint's own settings must not stay.
        model.generation_config = self._generation_config(Decoding())

    def render(self, prompt: Prompt) -> str:
        """The text that is tokenised for one clip: the chat template around the audio and the question."""
        raise NotImplementedError

    def build_inputs(self, waveforms: Sequence[NDArray[np.float32]], prompt: Prompt) -> Any:
        """The model's keyword arguments for a batch, padded on the left. Raises AdapterError if they lack the sound.

        They hold `input_ids`, or `inputs_embeds` if the sound is in its place already.
        """
        raise NotImplementedError

    def batches(self, waveforms: Sequence[NDArray[np.float32]]) -> list[list[int]]:
        """Which waveforms go through the model together, by position. All of them, unless a family says otherwise."""
        return [list(range(len(waveforms)))]

    def tune(self, tuning: Tuning) -> None:
        """Has the model compute in another way than the usual. Raises AdapterError if it cannot."""
        if tuning.attention != Tuning.attention:
            set_attention(self._model, tuning.attention)
        self._cache = tuning.cache
        remember_features(self._processor, tuning)

    def prepare(self, clips: Sequence[Clip], prompt: Prompt) -> Prepared:
        """What `generate` needs of these clips: cut, turned into features, tokenised. Raises as build_inputs does."""
        fitting = [n for n, clip in enumerate(clips) if len(clip.waveform) >= self.min_seconds * SAMPLE_RATE]
        waveforms = [self._cut(clips[n]) for n in fitting]
        groups = self.batches(waveforms) if waveforms else []
        inputs = (self._ready_to_move(self.build_inputs([waveforms[n] for n in group], prompt)) for group in groups)
        return Prepared(fitting=tuple(fitting), inputs=tuple(zip(map(tuple, groups), inputs, strict=True)))

    def generate(
        self,
        ids: Sequence[str],
        clips: Sequence[Clip],
        prompt: Prompt,
        decoding: Decoding,
        prepared: Prepared | None = None,
    ) -> list[Response]:
        """One response a clip, in the order given; see serxbench.adapters.Adapter.

        prepared: what `prepare` gave for the same clips and prompt, if that was done before.
        """
        import torch

        prepared = prepared or self.prepare(clips, prompt)
        if decoding.temperature > 0:
            torch.manual_seed(decoding.seed)
        answered: dict[int, tuple[str, bool]] = {}
        for group, inputs in prepared.inputs:
            found = self._finish(inputs, decoding)
            answered.update(zip((prepared.fitting[n] for n in group), found, strict=True))
        return [self._response(ids[n], clip, answered.get(n)) for n, clip in enumerate(clips)]

    def weigh(
        self, ids: Sequence[str], clips: Sequence[Clip], prompt: Prompt, prepared: Prepared | None = None
    ) -> list[tuple[Response, dict[str, float]]]:
        """A response without text for each clip, and what log-probability the options' letters have as first token.

        They come from the pass that `generate` begins with. There are none for a clip that is too short.
        """
        prepared = prepared or self.prepare(clips, prompt)
        letters = {letter for letter, _ in prompt.options or ()}
        vocabulary = self._processor.tokenizer.get_vocab()
        wanted = {token: number for token, number in vocabulary.items() if letter_of(token) in letters}
        found: dict[int, dict[str, float]] = {}
        for group, inputs in prepared.inputs:
            shares = self._first_token(inputs)[:, list(wanted.values())].tolist()
            rows = (dict(zip(wanted, row, strict=True)) for row in shares)
            found.update(zip((prepared.fitting[n] for n in group), rows, strict=True))
        return [
            (self._response(ids[n], clip, ("", True) if n in found else None), found.get(n, {}))
            for n, clip in enumerate(clips)
        ]

    def hear(self, clips: Sequence[Clip], prompt: Prompt) -> NDArray[np.float32]:
        """The logits of the first answer token, shape (clips, vocabulary): what the sound does to the model."""
        return np.stack(self._by_batch([self._cut(clip) for clip in clips], lambda batch: self._hear(batch, prompt)))

    def read(
        self, ids: Sequence[str], transcripts: Sequence[str], prompt: Prompt, decoding: Decoding
    ) -> list[Response]:
        """One response a transcript, with the words in the question and no sound anywhere: for control runs."""
        import torch

        from serxbench.adapters._cascade import break_up_control_tokens, transcript_prompt

        tokenizer = self._processor.tokenizer
        questions = [transcript_prompt(prompt, transcript) for transcript in transcripts]
        rows = [self.tokenize_words(break_up_control_tokens(question, tokenizer)) for question in questions]
        inputs = pad_left(rows, self._pad_token)
        if decoding.temperature > 0:
            torch.manual_seed(decoding.seed)
        return [
            Response(id=id, text=text, stop="end" if ended else "length")
            for id, (text, ended) in zip(ids, self._finish(inputs, decoding), strict=True)
        ]

    def render_words(self, question: str) -> str:
        """The text that is tokenised for a question without sound: the chat template around it."""
        tokenizer = self._processor.tokenizer
        rendered: str = tokenizer.apply_chat_template(
            [{"role": "user", "content": [{"type": "text", "text": question}]}],
            chat_template=getattr(self._processor, "chat_template", None) or tokenizer.chat_template,
            add_generation_prompt=True,
            tokenize=False,
        )
        return rendered

    def tokenize_words(self, question: str) -> list[int]:
        """The tokens of a question without sound."""
        # The template has written the token that begins a text, if there is one.
        tokens: list[int] = self._processor.tokenizer(self.render_words(question), add_special_tokens=False).input_ids
        return tokens

    def _by_batch(
        self, waveforms: list[NDArray[np.float32]], compute: Callable[[list[Any]], Iterable[Any]]
    ) -> list[Any]:
        """What `compute` gives for each waveform, in order, computed in the batches that the family allows."""
        found: dict[int, Any] = {}
        for batch in self.batches(waveforms):
            found.update(zip(batch, compute([waveforms[n] for n in batch]), strict=True))
        return [found[n] for n in range(len(waveforms))]

    def _hear(self, waveforms: list[NDArray[np.float32]], prompt: Prompt) -> NDArray[np.float32]:
        import torch

        inputs = self._on_device(self.build_inputs(waveforms, prompt))
        with torch.inference_mode(), last_logits(self._model):
            logits = self._model(**inputs).logits[:, -1]
        return np.asarray(logits.float().cpu(), dtype=np.float32)

    def _cut(self, clip: Clip) -> NDArray[np.float32]:
        return clip.waveform[: int(self.max_seconds * SAMPLE_RATE)]

    def _response(self, id: str, clip: Clip, answer: tuple[str, bool] | None) -> Response:
        return respond_to(id, clip, answer, (self.min_seconds, self.max_seconds))

    def _finish(self, inputs: Any, decoding: Decoding) -> list[tuple[str, bool]]:
        """(text, whether the model ended it itself) for each row of the inputs."""
        import torch

        inputs = self._on_device(inputs)
        with torch.inference_mode(), last_logits(self._model):
            tokens = self._model.generate(**inputs, generation_config=self._cached_config(decoding))
        # Decoder-only with left padding: every row's answer begins where the padded prompt ends. A prompt given as
        # embeddings is not returned.
        start = inputs["input_ids"].shape[1] if "input_ids" in inputs else 0
        rows = tokens[:, start:].tolist()
        texts = self._detokenizer.batch_decode(rows, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return [(text, not set(self._end_tokens).isdisjoint(row)) for text, row in zip(texts, rows, strict=True)]

    def _ready_to_move(self, inputs: Any) -> dict[str, Any]:
        """The inputs in the model's number format (token ids and masks stay integers), where a GPU can fetch them."""
        model = self._model
        ready = {name: value.to(model.dtype) if value.is_floating_point() else value for name, value in inputs.items()}
        if model.device.type != "cuda":
            return ready
        return {name: value.pin_memory() if value.device.type == "cpu" else value for name, value in ready.items()}

    def _first_token(self, inputs: Any) -> Any:
        """Log-probabilities of the first answer token, shape (rows, vocabulary), float32 on the CPU."""
        import torch

        config = self._cached_config(Decoding(max_new_tokens=1))
        config.num_beams, config.output_logits, config.return_dict_in_generate = 1, True, True
        with torch.inference_mode(), last_logits(self._model):
            (logits,) = self._model.generate(**self._on_device(inputs), generation_config=config).logits
            return logits.float().log_softmax(-1).cpu()

    def _on_device(self, inputs: Any) -> dict[str, Any]:
        """The inputs where the model is."""
        ready = self._ready_to_move(inputs)
        return {name: value.to(self._model.device, non_blocking=True) for name, value in ready.items()}

    def _cached_config(self, decoding: Decoding) -> Any:
        config = self._generation_config(decoding)
        if self._cache == "static":
            config.cache_implementation = "static"
        return config

    def _generation_config(self, decoding: Decoding) -> Any:
        return complete_generation_config(decoding, self._end_tokens, self._pad_token)


def respond_to(id: str, clip: Clip, answer: tuple[str, bool] | None, limits: tuple[float, float]) -> Response:
    """The response to one clip.

    answer: the text and whether the model ended it itself; None for a clip that is too short for the model.
    limits: the shortest and the longest clip that it hears whole, in seconds.
    """
    shortest, longest = limits
    known = describe_clip(clip, longest)
    if answer is None:
        error = f"clip of {clip.seconds:.3f} s is too short; the model needs at least {shortest:g} s"
        return Response(id=id, stop="error", error=error, **known)
    text, ended = answer
    return Response(id=id, text=text, stop="end" if ended else "length", **known)


def describe_clip(clip: Clip, max_seconds: float) -> dict[str, Any]:
    """The fields of a Response that say what was heard of a clip by a model that hears `max_seconds` at most."""
    # The waveform of a very long file is its beginning, so its own length does not tell. A header may be a little off.
    truncated = len(clip.waveform) / SAMPLE_RATE > max_seconds or clip.seconds > max_seconds + 0.1
    cut = f"cut from {clip.seconds:.1f} s to {max_seconds:g} s" if truncated else None
    return {
        "audio_seconds": round(clip.seconds, 4),
        "truncated": truncated,
        "note": ", ".join(filter(None, (clip.note, cut))) or None,
        "audio_sha256": clip.sha256()[:16],
    }


def check_audio_tokens(found: Any, wanted: Any) -> None:
    """Raises AdapterError unless the prompt has as many audio tokens as the encoder gives, for every clip.

    found, wanted: integer tensors of shape (clips,).
    """
    if found.tolist() != wanted.tolist() or not bool((found > 0).all()):
        raise AdapterError(
            f"the prompt has {found.tolist()} audio tokens and the encoder gives {wanted.tolist()}: the sound "
            "would not reach the model. The processor and the model of this checkpoint do not fit together"
        )


def check_prompt_style(family: str, style: str, known: Sequence[str]) -> None:
    """Raises AdapterError for a prompt style that the family does not have."""
    if style not in known:
        raise AdapterError(f"{family} has no prompt style '{style}'; there are: {', '.join(known)}")


def load_pretrained(folder: Path, family: str, load: Callable[[], tuple[Any, Any]]) -> Any:
    """The model that `load` returns with its loading info; no weight of it is left at random.

    load: calls `from_pretrained(…, output_loading_info=True)`. Raises AdapterError naming the folder.
    """
    hush_transformers()
    try:
        model, found = load()
    except Exception as error:  # a damaged checkpoint raises any of many unrelated types
        raise unloadable(folder, family, error) from error
    if absent := sorted(found["missing_keys"]):
        # transformers only warns, and runs with random numbers in their place.
        raise AdapterError(f"{folder}: {len(absent)} weights are not in the checkpoint (the first: {absent[0]})")
    align_weights(model)
    return model.eval()


def align_weights(model: Any) -> None:
    """Copies the weights that lie where a file's layout put them to where torch puts its own.

    transformers (from 5.24 on) leaves weights in the mapped file, at addresses that no vector unit would choose, and a
    CPU's matrix products then sum in another order: the same weights would give other logits in another file.
    """
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.data_ptr() % _ALIGNMENT:
            tensor.data = tensor.data.clone()


def unloadable(folder: Path, family: str, error: Exception) -> AdapterError:
    """The AdapterError for whatever transformers raised, with its first line as the reason."""
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return AdapterError(f"{folder}: cannot be loaded as {family} ({reason})")
