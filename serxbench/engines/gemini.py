"""Google's Gemini through its own package; the flow and the rules for asking again are those of the backend http.

docs/backends.md says which options there are, and what becomes of a blocked answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from serxbench.engines import Asked, Batch, Plan, Starting, plan_singly
from serxbench.engines._served import answer_all, make_questions
from serxbench.engines._served_hearing import prove_served_hearing
from serxbench.llm._asking import Asker
from serxbench.llm.gemini import GeminiService, third_party
from serxbench.records import Utterance

__all__ = ["SERVED", "GeminiEngine", "start", "third_party"]

#: The weights are somewhere else: nothing is located or loaded on this machine.
SERVED = True


def start(starting: Starting) -> GeminiEngine:
    """The engine for the model in the options. Raises AdapterError without the package, UsageError without a key."""
    return GeminiEngine(starting)


class GeminiEngine:
    """A Gemini model; see serxbench.engines."""

    def __init__(self, starting: Starting) -> None:
        self._service = GeminiService(starting.options)

    def describe(self) -> dict[str, Any]:
        """The model's name and how it is asked; no key."""
        return {**self._service.describe(), **self._service.options.describe_limit()}

    def plan(self, utterances: Sequence[Utterance]) -> Plan:
        """Each utterance by itself."""
        return plan_singly(utterances)

    def answer(self, asked: Asked) -> Iterator[Batch]:
        """Compares answers to sound and to silence, and asks all questions."""
        client, pool, options = self._service.connect(), self._service.pool(), self._service.options
        prove_served_hearing(asked, client, pool, options.max_audio_seconds, shows_logprobs=False)
        questions = make_questions(asked, options.max_audio_seconds)
        yield from answer_all(Asker(client=client, pool=pool), asked, questions)
