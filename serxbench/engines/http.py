"""Any server that speaks OpenAI's chat completions with audio: vLLM, SGLang, llama.cpp, OpenAI itself, and others.

docs/backends.md says which options there are, what is asked again and what becomes of the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from serxbench.engines import Asked, Batch, Plan, Starting, plan_singly
from serxbench.engines._served import answer_all, make_questions
from serxbench.engines._served_hearing import prove_served_hearing
from serxbench.llm._asking import Asker
from serxbench.llm.openai import ChatService, third_party
from serxbench.records import Utterance

__all__ = ["DECODES", "SERVED", "HttpEngine", "start", "third_party"]

#: The weights are somewhere else: nothing is located or loaded on this machine.
SERVED = True

#: What `--decode` may say.
DECODES = ("text", "loglik")


def start(starting: Starting) -> HttpEngine:
    """The engine for the endpoints in the options. Raises UsageError for options that make no sense."""
    return HttpEngine(starting)


class HttpEngine:
    """A model behind one server or several that serve the same; see serxbench.engines."""

    def __init__(self, starting: Starting) -> None:
        self._service = ChatService(starting.options, (starting.name, starting.repository))

    def describe(self) -> dict[str, Any]:
        """The server's kind, its name for the model, and how the question is put; no host, no key."""
        described = self._service.describe()
        options = self._service.options
        return {
            **described,
            "audio_part": options.audio_part,
            "part_order": options.part_order,
            "decode": options.decode,
            **options.describe_limit(),
        }

    def plan(self, utterances: Sequence[Utterance]) -> Plan:
        """Each utterance by itself."""
        return plan_singly(utterances)

    def answer(self, asked: Asked) -> Iterator[Batch]:
        """Has the model show that it hears, and asks all questions, as many at once as the endpoints take."""
        client, pool, options = self._service.connect(), self._service.pool(), self._service.options
        # OpenAI's audio models refuse log-probabilities; elsewhere it is found out.
        shows_logprobs = options.decode == "loglik" or not self._service.is_official
        prove_served_hearing(asked, client, pool, options.max_audio_seconds, shows_logprobs=shows_logprobs)
        questions = make_questions(asked, options.max_audio_seconds, loglik=options.decode == "loglik")
        yield from answer_all(Asker(client=client, pool=pool), asked, questions)
