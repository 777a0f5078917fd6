"""Batches made ready while the device computes: decoded and resampled in threads, features and tokens in another one.

What is made ahead is what the adapter would have made itself, of the same clips, by the same function, so answers do
not depend on it. Where the adapter cannot do it apart from its model, only decoding is ahead.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from serxbench.adapters import Adapter
from serxbench.audio import Clip, read_ahead
from serxbench.errors import AudioError
from serxbench.records import Prompt, Utterance

#: Batches that are ready, or being made so, beside the one that is computed.
BATCHES_AHEAD = 2


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """One batch, decoded.

    ids: of all its utterances, in order. clips: id → clip. unreadable: id → why there is none. prepared: what the
    adapter's `generate` takes under that name; None if it has to make it itself. seconds_waited: until it was there.
    """

    ids: tuple[str, ...]
    clips: dict[str, Clip]
    unreadable: dict[str, str]
    prepared: Any = None
    seconds_waited: float = 0.0


def prepare_ahead(
    adapter: Adapter, batches: Iterable[Sequence[Utterance]], prompt: Prompt | None, *, largest: int
) -> Generator[Loaded, None, None]:
    """The batches in order, at most BATCHES_AHEAD of them held. Every utterance names a file.

    prompt: None if not all of a batch are asked the same; only decoding is ahead then. largest: utterances in the
    largest batch. Closing the iterator ends the threads.
    """
    members = [list(batch) for batch in batches]
    paths = (utterance.audio for batch in members for utterance in batch if utterance.audio is not None)
    waiting: deque[Future[Loaded]] = deque()
    # One thread, so that the clips are taken from the stream in its order; the work in it is parallel by itself.
    with contextlib.closing(read_ahead(paths, n_ahead=largest)) as stream:
        pool = ThreadPoolExecutor(1, thread_name_prefix="prepare")
        try:
            for batch in members:
                waiting.append(pool.submit(_load, adapter, batch, stream, prompt))
                if len(waiting) > BATCHES_AHEAD:
                    yield _next(waiting)
            while waiting:
                yield _next(waiting)
        finally:
            pool.shutdown(cancel_futures=True)


def _next(waiting: deque[Future[Loaded]]) -> Loaded:
    began = time.perf_counter()
    loaded = waiting.popleft().result()
    return replace(loaded, seconds_waited=time.perf_counter() - began)


def _load(adapter: Any, batch: list[Utterance], stream: Iterator[Clip | AudioError], prompt: Prompt | None) -> Loaded:
    clips: dict[str, Clip] = {}
    unreadable: dict[str, str] = {}
    for utterance in batch:
        clip = next(stream)
        if isinstance(clip, AudioError):
            unreadable[utterance.id] = str(clip)
        else:
            clips[utterance.id] = clip
    loaded = Loaded(ids=tuple(utterance.id for utterance in batch), clips=clips, unreadable=unreadable)
    if prompt is None or not clips or not getattr(adapter, "prepares_ahead", False):
        return loaded
    try:
        return replace(loaded, prepared=adapter.prepare(list(clips.values()), prompt))
    except Exception:  # noqa: BLE001 - generate() will meet it again, where one clip's failure costs no other
        return loaded
