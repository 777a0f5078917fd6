"""A question to a model behind a server, asked until it has an answer or a reason."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from serxbench.llm._endpoints import Endpoint, Pool
from serxbench.llm._flow import flow
from serxbench.llm._trouble import (
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
from serxbench.records import Decoding


@dataclass(frozen=True, kw_only=True)
class Question:
    """One item as a server is asked it.

    number: of its batch. wav: the sound, None for a question about words. known: what the response says of the clip.
    error: why it cannot be asked. first_token: only the probabilities of the answer's first token are wanted, and if
    there are choices, those of the choices' letters. system: instructions apart from the question. schema: the JSON
    schema of the answer, sent where the server takes it.
    """

    number: int
    id: str
    text: str = ""
    wav: bytes | None = None
    known: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    first_token: bool = False
    choices: Sequence[tuple[str, str]] | None = None
    system: str | None = None
    schema: Mapping[str, Any] | None = None


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
    """Asks questions through a client at the endpoints of a pool. Counts the requests and what went wrong.

    permit: whether one more request about a question may be sent, asked before each of them.
    """

    client: Client
    pool: Pool
    counts: Counter[str] = field(default_factory=Counter)
    permit: Callable[[Question], bool] = lambda question: True

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
                        answer = await self._persist(question, request(question, decoding), budget)
                    return Reply(question=question, answer=answer, seconds=time.perf_counter() - began)

                yield work

        return flow(questions, opened, n_in_flight)

    async def _persist(self, question: Question, send: Send, budget: RetryBudget) -> Answer:
        """The answer, after as many requests as it takes and is allowed."""
        budget.add_item()
        seen: Counter[str] = Counter()
        while True:
            try:
                async with self.pool.take() as endpoint:
                    if not self.permit(question):
                        return Answer(stop="error", error="not asked: the budget is spent")
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
