"""Does a model behind a server hear? By the probabilities of its first token if the server shows them, else by answers.

With probabilities, a deaf model is caught as in this process. Without, equal answers prove nothing (a model that hears
may call every clip neutral), so the run goes on and its record says that nothing was proven.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serxbench.adapters._generative import MIN_SECONDS
from serxbench.audio import Clip
from serxbench.engines import Asked
from serxbench.engines._hearing import _exchanged, prove_hearing
from serxbench.engines._served import with_sound
from serxbench.llm._asking import Asker, Client, Question, Reply
from serxbench.llm._endpoints import Pool
from serxbench.records import Decoding, Prompt, Response

#: A paid service is asked three times for each.
_N_CLIPS = 3

_MAX_TOKENS = 64

#: The log-probability of a token that is not listed; far below any that is.
_UNLISTED = -50.0

#: More tokens than three replies for each clip can list.
_WIDTH = 1024

_UNPROVEN = "it is not proven that the model hears anything"


def prove_served_hearing(asked: Asked, client: Client, pool: Pool, max_seconds: float, *, shows_logprobs: bool) -> None:
    """Notes what was found with the run's timings; nothing in a run without sound.

    Raises AdapterError if the model is deaf, or the server unusable.
    """
    if asked.silent or asked.transcripts is not None:
        return
    ear = _Ear(Asker(client=client, pool=pool), max_seconds, asked.decoding, shows_logprobs=shows_logprobs)
    prove_hearing(ear, asked, _N_CLIPS)
    if ear.silent_about is not None:
        asked.note({"n_clips": len(ear.silent_about), **ear.compare_answers(asked.prompt)})


class _Ear:
    """What serxbench.engines._hearing needs of an adapter. silent_about: the clips, if the server shows no numbers."""

    min_seconds = MIN_SECONDS

    def __init__(self, asker: Asker, max_seconds: float, decoding: Decoding, *, shows_logprobs: bool) -> None:
        self._asker, self._decoding, self._shows_logprobs = asker, decoding, shows_logprobs
        self.max_seconds = max_seconds
        self.silent_about: Sequence[Clip] | None = None
        self._places: dict[str, int] = {}

    def hear(self, clips: Sequence[Clip], prompt: Prompt) -> NDArray[np.float32] | None:
        """Log-probabilities of first tokens, shape (clips, tokens seen so far and room for more)."""
        found = self._ask(clips, prompt, first_token=True) if self._shows_logprobs else []
        if not found or any(reply.answer.logprobs is None for reply in found):
            self.silent_about = clips
            return None
        numbers = np.full((len(clips), _WIDTH), _UNLISTED, dtype=np.float32)
        for row, reply in zip(numbers, found, strict=True):
            for token, logprob in (reply.answer.logprobs or {}).items():
                row[self._places.setdefault(token, len(self._places))] = max(logprob, _UNLISTED)
        return numbers

    def generate(self, ids: Sequence[str], clips: Sequence[Clip], prompt: Prompt, decoding: Decoding) -> list[Response]:
        """Nothing is generated for a proof."""
        raise NotImplementedError

    def compare_answers(self, prompt: Prompt) -> dict[str, Any]:
        """What silence and others' sound do to the answers, as an event for the run's record."""
        clips = list(self.silent_about or ())
        silence = [replace(clip, waveform=np.zeros_like(clip.waveform)) for clip in clips]
        replies = self._ask([*clips, *silence, *_exchanged(clips)], prompt, first_token=False)
        answers = [reply.answer.text for reply in replies]
        as_it_is, others = answers[: len(clips)], answers[len(clips) :]
        if None in answers:
            return {"event": "heard_unproven", "warning": f"{_UNPROVEN}: not every probe was answered"}
        if as_it_is * 2 == others:
            why = f"to silence and to other utterances' sound it answers as to {len(clips)} clips themselves"
            return {"event": "heard_unproven", "warning": f"{_UNPROVEN}: {why}"}
        return {"event": "heard", "by": "answers"}

    def _ask(self, clips: Sequence[Clip], prompt: Prompt, *, first_token: bool) -> list[Reply]:
        questions = [
            with_sound(
                Question(number=n, id="hearing", text=prompt.text, first_token=first_token), clip, self.max_seconds
            )
            for n, clip in enumerate(clips)
        ]
        brief = replace(self._decoding, max_new_tokens=min(_MAX_TOKENS, self._decoding.max_new_tokens))
        return sorted(self._asker.ask(iter(questions), brief), key=lambda reply: reply.question.number)
