"""What the engines behind a server share: a corpus → questions, each asked until it has an answer or a reason."""

from __future__ import annotations

import asyncio
import contextlib
import io
import time
import wave
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from serxbench.adapters._cascade import transcript_prompt
from serxbench.adapters._generative import MIN_SECONDS, describe_clip
from serxbench.audio import SAMPLE_RATE, Clip, read_ahead
from serxbench.engines import UNREADABLE, Asked, Batch, failure
from serxbench.engines._http_endpoints import Endpoint, Pool
from serxbench.engines._http_flow import flow
from serxbench.engines._http_trouble import (
    EMPTY_RETRIES,
    MAX_ATTEMPTS,
    MAX_BUSY,
    MAX_IN_DOUBT,
    Answer,
    Declined,
    RetryBudget,
    TryAgain,
    delay_before,
)
from serxbench.errors import AdapterError, AudioError
from serxbench.records import Decoding, Response

#: So many items in a row that end in an error, with not one answer before, mean that all of them would.
_BROKEN_AFTER = 8

_NO_TRANSCRIPT = "the corpus has no transcript of it, which --control transcript needs"


@dataclass(frozen=True, kw_only=True)
class Question:
    """One item as a server is asked it.

    number: of its batch. wav: the sound, None for a question about words. known: what the response says of the clip.
    error: why it cannot be asked. first_token: only the probabilities of the answer's first token are wanted, and if
    there are choices, those of the choices' letters.
    """

    number: int
    id: str
    text: str = ""
    wav: bytes | None = None
    known: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    first_token: bool = False
    choices: Sequence[tuple[str, str]] | None = None


#: One request at one endpoint. Raises TryAgain, Declined, or AdapterError if no other request would fare better.
Send = Callable[[Endpoint], Awaitable[Answer]]


class Client(Protocol):
    """What speaks a server's language."""

    def opened(self) -> contextlib.AbstractAsyncContextManager[Callable[[Question, Decoding], Send]]:
        """Opens connections; gives what turns a question into its request."""
        ...


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What became of a question, and how long that took, retries and waiting included."""

    question: Question
    answer: Answer
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Asker:
    """Asks questions through a client at the endpoints of a pool. Counts the requests and what went wrong."""

    client: Client
    pool: Pool
    counts: Counter[str] = field(default_factory=Counter)

    def ask(self, questions: Iterator[Question], decoding: Decoding) -> Generator[Reply, None, None]:
        """The reply to each question, as they come. Raises AdapterError if no more can be expected."""
        n_in_flight = sum(endpoint.concurrency for endpoint in self.pool.endpoints)
        budget = RetryBudget(at_first=2.0 * n_in_flight)

        @contextlib.asynccontextmanager
        async def opened() -> AsyncIterator[Callable[[Question], Awaitable[Reply]]]:
            async with self.client.opened() as request:

                async def work(question: Question) -> Reply:
                    began = time.perf_counter()
                    if question.error is not None:
                        answer = Answer(stop="error", error=question.error)
                    else:
                        answer = await self._persist(request(question, decoding), budget)
                    return Reply(question=question, answer=answer, seconds=time.perf_counter() - began)

                yield work

        return flow(questions, opened, n_in_flight)

    async def _persist(self, send: Send, budget: RetryBudget) -> Answer:
        """The answer, after as many requests as it takes and is allowed."""
        budget.add_item()
        seen: Counter[str] = Counter()
        while True:
            try:
                async with self.pool.take() as endpoint:
                    self.counts["requests"] += 1
                    return await send(endpoint)
            except Declined as declined:
                self.counts["declined"] += 1
                return Answer(stop="error", error=str(declined))
            except TryAgain as trouble:
                self.counts[trouble.trouble] += 1
                seen["in_doubt" if trouble.in_doubt else trouble.trouble] += 1
                if seen["empty"] > EMPTY_RETRIES and trouble.answer is not None:
                    return trouble.answer
                if _is_hopeless(seen):
                    self.counts["given_up"] += 1
                    reason = f"gave up after {seen.total()} requests; the last: {trouble.reason}"
                    return Answer(stop="error", error=reason)
                # The pool makes all requests to a busy endpoint wait for as long as it asks.
                asked = None if trouble.trouble == "busy" else trouble.seconds
                await asyncio.sleep(delay_before(seen.total(), asked))
                await budget.spend()


def _is_hopeless(seen: Counter[str]) -> bool:
    """Whether an item has had as many requests as it may. A server that takes no connection does not count."""
    n_failed = seen["failed"] + seen["empty"]
    return n_failed >= MAX_ATTEMPTS or seen["busy"] >= MAX_BUSY or seen["in_doubt"] >= MAX_IN_DOUBT


def make_questions(asked: Asked, max_seconds: float, *, loglik: bool = False) -> Generator[Question, None, None]:
    """The questions that are not done, in the plan's order; clips are decoded a few ahead."""
    usual = Question(number=UNREADABLE, id="", first_token=loglik, choices=asked.prompt.options if loglik else None)
    waiting = [number for number in asked.plan.batches if number != UNREADABLE and number not in asked.done]
    members = [(number, asked.utterances[n]) for number in waiting for n in asked.plan.batches[number]]
    if asked.transcripts is not None:
        for number, utterance in members:
            words = asked.transcripts.get(utterance.id)
            text = transcript_prompt(asked.prompt, words) if words else ""
            error = None if words else _NO_TRANSCRIPT
            yield replace(usual, number=number, id=utterance.id, text=text, error=error)
        return
    # An utterance without audio is in batch 0, so every one here has a path.
    paths = (path for _, utterance in members if (path := utterance.audio))
    with contextlib.closing(read_ahead(paths)) as clips:
        for (number, utterance), clip in zip(members, clips, strict=True):
            question = replace(usual, number=number, id=utterance.id, text=asked.prompt.text)
            yield with_sound(question, clip, max_seconds, silent=asked.silent)


def with_sound(question: Question, clip: Clip | AudioError, max_seconds: float, *, silent: bool = False) -> Question:
    """The question with a clip in it, cut to what the model hears, or with the reason why it has none."""
    if isinstance(clip, AudioError):
        return replace(question, error=str(clip))
    if silent:
        clip = replace(clip, waveform=np.zeros_like(clip.waveform))
    known = describe_clip(clip, max_seconds)
    if len(clip.waveform) < MIN_SECONDS * SAMPLE_RATE:
        reason = f"clip of {clip.seconds:.3f} s is too short; the model needs at least {MIN_SECONDS:g} s"
        return replace(question, known=known, error=reason)
    heard = clip.waveform if max_seconds == float("inf") else clip.waveform[: int(max_seconds * SAMPLE_RATE)]
    return replace(question, known=known, wav=encode_wav(heard))


def encode_wav(waveform: np.ndarray[Any, np.dtype[np.float32]]) -> bytes:
    """A WAV file of 16-bit samples, mono at 16 kHz; without loss for what came from such a file."""
    # 32768, as libsndfile divides by it when it reads: 16-bit samples come out as they went in.
    samples = np.clip(np.rint(waveform * np.float32(32768)), -32768, 32767).astype("<i2")
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(SAMPLE_RATE)
        writer.writeframes(samples.tobytes())
    return file.getvalue()


def answer_all(asker: Asker, asked: Asked, questions: Generator[Question, None, None]) -> Iterator[Batch]:
    """The batches of a run. Raises AdapterError if the first items all fail: nothing of them is kept then."""
    if UNREADABLE in asked.plan.batches and UNREADABLE not in asked.done:
        failed = [failure(asked.utterances[n].id, reason) for n, reason in asked.plan.unreadable.items()]
        yield Batch(number=UNREADABLE, responses=failed, seconds_waiting=0.0, seconds_generating=0.0)
    held: list[Batch] = []
    served: set[str | None] = {None}
    answered = False
    try:
        with contextlib.closing(questions), contextlib.closing(asker.ask(questions, asked.decoding)) as replies:
            for reply in replies:
                _tell(asker, asked, reply, served)
                batch = _batch(reply)
                answered = answered or reply.answer.stop != "error"
                held.append(batch)
                n_raised = sum(len(each.raised) for each in held)
                if not answered and n_raised >= _BROKEN_AFTER:
                    raise AdapterError(
                        f"the server answered none of the first {n_raised} questions; the run was stopped and nothing "
                        f"of them is kept: {batch.raised[-1] if batch.raised else held[0].raised[-1]}"
                    )
                if answered:
                    yield from held
                    held.clear()
        yield from held
    finally:
        asked.note({"event": "requests", **asker.counts})


def _batch(reply: Reply) -> Batch:
    question, answer = reply.question, reply.answer
    notes = ", ".join(filter(None, (question.known.get("note"), answer.note))) or None
    response = Response(
        id=question.id,
        text=answer.text,
        stop=answer.stop,
        error=answer.error,
        probabilities=answer.probabilities,
        **{**question.known, "note": notes},
    )
    # What is wrong with a clip itself says nothing about the server.
    raised = (answer.error or "no answer",) if answer.stop == "error" and question.error is None else ()
    return Batch(
        number=question.number,
        responses=[response],
        seconds_waiting=0.0,
        seconds_generating=reply.seconds,
        raised=raised,
    )


def _tell(asker: Asker, asked: Asked, reply: Reply, served: set[str | None]) -> None:
    """Notes what happened at the endpoints, and each name that a server gave for what it runs."""
    while asker.pool.remarks:
        asked.note(asker.pool.remarks.pop(0))
    if reply.answer.served not in served:
        served.add(reply.answer.served)
        asked.note({"event": "served", "by": reply.answer.served})
