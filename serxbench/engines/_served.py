"""What the engines behind a server share: a corpus → questions, and the replies → the batches of a run."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from dataclasses import replace

import numpy as np

from serxbench.adapters._cascade import transcript_prompt
from serxbench.adapters._generative import MIN_SECONDS, describe_clip
from serxbench.audio import SAMPLE_RATE, Clip, read_ahead
from serxbench.engines import UNREADABLE, Asked, Batch, failure
from serxbench.errors import AdapterError, AudioError
from serxbench.llm._asking import Asker, Question, Reply
from serxbench.llm._wav import encode_wav
from serxbench.records import Response

#: So many items in a row that end in an error, with not one answer before, mean that all of them would.
_BROKEN_AFTER = 8

_NO_TRANSCRIPT = "the corpus has no transcript of it, which --control transcript needs"


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
            question = replace(usual, number=number, id=utterance.id, text=asked.prompt_of(utterance.id).text)
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
