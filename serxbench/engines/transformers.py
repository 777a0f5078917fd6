"""Generation in this process: inputs are made ahead in threads, batches run in a fixed order, one failure stays one.

The batch plan is a function of the corpus: clips sorted by length and cut into batches. A resumed run therefore
computes each batch with the same neighbours as an uninterrupted one.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import Any

from serxbench.adapters import Adapter
from serxbench.adapters._tuning import Tuning, check_tuning
from serxbench.audio import Clip
from serxbench.engines import UNREADABLE, Asked, Batch, Plan, Starting, failure, plan_batches
from serxbench.engines._ahead import Loaded, prepare_ahead
from serxbench.engines._hearing import prove_hearing
from serxbench.engines._transformers_options import read_options
from serxbench.engines._weighing import WeighingAdapter
from serxbench.errors import AdapterError, UsageError
from serxbench.records import Decoding, Prompt, Response, Utterance

#: What `--decode` may say.
DECODES = ("text", "loglik")

#: So many clips in a row on which a model raises, with not one answer before, mean that it is broken.
_BROKEN_AFTER = 8


def start(starting: Starting) -> TransformersEngine:
    """The engine of this process."""
    return TransformersEngine(starting)


class TransformersEngine:
    """The model's adapter in this process (or in its card's own, behind the same interface); see serxbench.engines."""

    def __init__(self, starting: Starting) -> None:
        self._starting = starting
        self._options = read_options(starting.options)

    def describe(self) -> dict[str, Any]:
        """Device, number format, batch size, what is not as usual, and the packages that compute."""
        loading = self._starting.loading
        return {
            "backend": "transformers",
            "dtype": loading.dtype,
            "device": _device_name(loading.device),
            "batch_size": self._starting.batch_size,
            **self._options.describe(),
            "versions": {name: version(name) for name in ("torch", "transformers", "soundfile", "soxr")},
        }

    def plan(self, utterances: Sequence[Utterance]) -> Plan:
        """Batches of clips of like length."""
        return plan_batches(utterances, self._starting.batch_size)

    def answer(self, asked: Asked) -> Iterator[Batch]:
        """Loads the model, has it prove that it hears, and generates."""
        tuning = self._options.tuning()
        if tuning is not None:
            check_tuning(tuning)
        began = time.perf_counter()
        if self._starting.loading.device.startswith("cuda"):
            let_memory_grow()
        adapter = self._starting.load()
        if tuning is not None:
            self._tune(adapter, tuning)
        if self._options.decode == "loglik":
            adapter = WeighingAdapter(adapter, self._starting.name)
        asked.note({"event": "loaded", "seconds": round(time.perf_counter() - began, 3)})
        prove_hearing(adapter, asked, self._starting.batch_size)
        request = (asked.prompt, asked.decoding)
        yield from generate_batches(adapter, asked.utterances, asked.plan, asked.done, request, asked.prompts)

    def _tune(self, adapter: Any, tuning: Tuning) -> None:
        if not hasattr(adapter, "tune"):
            raise UsageError(
                f"'{self._starting.name}' has no choice of attention, cache or feature_cache; "
                "leave those options of the backend transformers out"
            )
        adapter.tune(tuning)


def let_memory_grow() -> None:
    """Lets torch extend pieces of GPU memory instead of taking new ones, unless the user has said how it should be.

    The cache of keys and values grows with every token, and a piece that is a little too small is of no use otherwise.
    It has to be said before torch first uses the GPU, and changes no answer.
    """
    if not {"PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"} & os.environ.keys():
        os.environ["PYTORCH_CUDA_ALLOC_CONF"] = "expandable_segments:True"


def _device_name(device: str) -> str:
    if not device.startswith("cuda"):
        return device
    import torch

    return f"cuda:{torch.cuda.get_device_name(device)}"


def generate_batches(
    adapter: Adapter,
    utterances: Sequence[Utterance],
    plan: Plan,
    done: frozenset[int],
    request: tuple[Prompt, Decoding],
    prompts: Mapping[str, Prompt] | None = None,
) -> Iterator[Batch]:
    """The batches of the plan that are not in `done`, the longest clips first.

    What does not fit into memory shows at once then, and on a GPU the shorter batches live in the memory that the first
    one took: in the other order each takes more than any before, which costs half of the time. prompts: id → prompt
    where each utterance has its own; an adapter asks all clips of a call the same, so such a batch is computed in
    parts, one a prompt. Raises AdapterError if the model raised on each of the first clips it was given: it would do so
    on all of them.
    """
    if UNREADABLE in plan.batches and UNREADABLE not in done:
        failed = [failure(utterances[n].id, reason) for n, reason in plan.unreadable.items()]
        yield Batch(number=UNREADABLE, responses=failed, seconds_waiting=0.0, seconds_generating=0.0)
    numbers = sorted(plan.batches.keys() - done - {UNREADABLE}, reverse=True)
    waiting = {number: plan.batches[number] for number in numbers}
    n_answered = n_raised = 0
    coming = ([utterances[n] for n in members] for members in waiting.values())
    shared = request[0] if prompts is None else None
    with contextlib.closing(prepare_ahead(adapter, coming, shared, largest=_largest(plan))) as loaded:
        for number, members in zip(waiting, loaded, strict=True):
            batch = _run_batch(adapter, number, members, request, prompts)
            n_answered += sum(response.stop != "error" for response in batch.responses)
            n_raised += len(batch.raised)
            if not n_answered and n_raised >= _BROKEN_AFTER:
                raise AdapterError(
                    f"the model failed on each of its first {n_raised} clips; the run was stopped: {batch.raised[-1]}"
                )
            yield batch


def _largest(plan: Plan) -> int:
    return max((len(members) for members in plan.batches.values()), default=1)


def _run_batch(
    adapter: Adapter,
    number: int,
    loaded: Loaded,
    request: tuple[Prompt, Decoding],
    prompts: Mapping[str, Prompt] | None,
) -> Batch:
    began = time.perf_counter()
    responses = {id: failure(id, reason) for id, reason in loaded.unreadable.items()}
    trouble = _Trouble()
    for prompt, ids in _by_prompt(list(loaded.clips), request[0], prompts):
        clips = [loaded.clips[id] for id in ids]
        for response in _generate(adapter, ids, clips, (prompt, request[1]), trouble, loaded.prepared):
            responses[response.id] = response
    return Batch(
        number=number,
        responses=[responses[id] for id in loaded.ids],
        seconds_waiting=loaded.seconds_waited,
        seconds_generating=time.perf_counter() - began,
        raised=tuple(trouble.raised),
        halved=tuple(trouble.halved),
    )


def _by_prompt(
    ids: Sequence[str], usual: Prompt, prompts: Mapping[str, Prompt] | None
) -> Iterator[tuple[Prompt, list[str]]]:
    """Each prompt with the ids that are asked it."""
    by_prompt: dict[Prompt, list[str]] = {}
    for id in ids:
        by_prompt.setdefault(usual if prompts is None else prompts[id], []).append(id)
    yield from by_prompt.items()


@dataclass
class _Trouble:
    raised: list[str] = field(default_factory=list)
    halved: list[str] = field(default_factory=list)


def _generate(
    adapter: Any,
    ids: list[str],
    clips: list[Clip],
    request: tuple[Prompt, Decoding],
    trouble: _Trouble,
    prepared: Any = None,
) -> list[Response]:
    """The responses; a batch that fails as a whole is halved, down to the clip that makes it fail."""
    if not ids:
        return []
    prompt, decoding = request
    # One seed a batch, from its members, so that a sampled answer does not depend on what ran before.
    decoding = replace(decoding, seed=decoding.seed + int(hashlib.sha256("\n".join(ids).encode()).hexdigest()[:8], 16))
    ahead = {} if prepared is None else {"prepared": prepared}
    try:
        responses: list[Response] = adapter.generate(ids, clips, prompt, decoding, **ahead)
        return responses
    except AdapterError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a model raises for one clip must not cost the others
        _free_memory()
        reason = f"{type(error).__name__}: {(str(error) or 'no message').splitlines()[0]}"
        if len(ids) == 1:
            trouble.raised.append(reason)
            return [replace(failure(ids[0], reason), audio_seconds=round(clips[0].seconds, 4))]
        trouble.halved.append(f"batch of {len(ids)} failed ({reason}) and was halved")
    half = len(ids) // 2
    return [
        *_generate(adapter, ids[:half], clips[:half], request, trouble),
        *_generate(adapter, ids[half:], clips[half:], request, trouble),
    ]


def _free_memory() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
