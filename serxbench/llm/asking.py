"""Text LLMs as parsers, clusterers, judges and teachers: each different question is asked once, and its reply kept."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

from serxbench.errors import AdapterError, BudgetSpent
from serxbench.llm._asking import Asker, Client, Question
from serxbench.llm._budget import Budget
from serxbench.llm._cache import Cache
from serxbench.llm._endpoints import Endpoint, Pool
from serxbench.llm._trouble import Answer
from serxbench.records import Decoding, JsonRecord, Stop

#: So many questions in a row that end in an error, with not one reply before, mean that all of them would.
_BROKEN_AFTER = 8

#: Samples and seconds of a WAV file as serxbench makes them, and tokens a second that no service exceeds.
_WAV_BYTES_A_SECOND = 32_000
_AUDIO_TOKENS_A_SECOND = 50


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One question to an LLM. id: whose it is; it is not sent.

    text: the user's turn; system: instructions apart from it. wav: a sound that goes before the text. schema: the JSON
    schema that the answer should have. A server without such a thing is asked without, so a reply has to be checked.
    """

    id: str
    text: str
    system: str | None = None
    wav: bytes | None = None
    schema: Mapping[str, Any] | None = None

    def sha256(self) -> str:
        """The hash of everything that is sent of it."""
        wav = None if self.wav is None else hashlib.sha256(self.wav).hexdigest()
        sent = [self.text, self.system, wav, self.schema]
        return hashlib.sha256(json.dumps(sent, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Told(JsonRecord):
    """The reply to one question. text: verbatim, None if there is none; error: the reason then, or a provider's.

    served: the name under which the server says that it answered. cached: nothing was asked, the reply was there.
    n_prompt_tokens, n_answer_tokens: as the server counted them; None if it did not.
    """

    id: str
    text: str | None = None
    stop: Stop
    error: str | None = None
    note: str | None = None
    served: str | None = None
    cached: bool = False
    n_prompt_tokens: int | None = None
    n_answer_tokens: int | None = None


class Service(Protocol):
    """A model behind a server, ready to be asked."""

    endpoints: list[Endpoint]

    def describe(self) -> dict[str, Any]:
        """Everything that may move an answer; no host, no key."""
        ...

    def connect(self) -> Client: ...

    def pool(self) -> Pool: ...


class Llm:
    """An LLM behind a server. name: as it was asked for. family: its card's, None without a card.

    counts: questions `asked` for and those `cached`, `requests` sent, tokens as the server counted them, and what went
    wrong, by kind.
    """

    def __init__(
        self,
        *,
        name: str,
        family: str | None,
        service: Service,
        decoding: Decoding,
        cache: Cache,
        budget: Budget,
        note: Callable[[Mapping[str, Any]], None] = lambda event: None,
    ) -> None:
        self.name, self.family = name, family
        self.counts: Counter[str] = Counter()
        self.budget = budget
        self._service, self._decoding, self._cache, self._note = service, decoding, cache, note

    def describe(self) -> dict[str, Any]:
        """Everything that may move an answer: the server's kind and its name for the model, and how text is decoded."""
        return {**self._service.describe(), "decoding": asdict(self._decoding)}

    @property
    def sha256(self) -> str:
        """The hash of describe()."""
        return hashlib.sha256(json.dumps(self.describe(), sort_keys=True).encode()).hexdigest()

    @property
    def third_party(self) -> str | None:
        """The first endpoint that is neither this machine nor in a private network, None if there is none."""
        return next((endpoint.shown for endpoint in self._service.endpoints if not endpoint.private), None)

    def ask(self, asks: Iterable[Ask]) -> Iterator[Told]:
        """One reply for each question, as they come; questions that differ in nothing but their id are asked once.

        Each reply is in the cache before it is given out. Errors are not kept there: the next run asks again. Raises
        BudgetSpent when all that could be paid for is told, AdapterError if the server cannot be used.
        """
        asking = _Asking(self.sha256, self._cache, self.counts)
        pool = self._service.pool()
        permit = _Permit(self.budget, self._decoding)
        asker = Asker(client=self._service.connect(), pool=pool, counts=self.counts, permit=permit)
        answered = False
        failed: list[str] = []
        with contextlib.closing(asker.ask(asking.questions(asks, permit), self._decoding)) as replies:
            for reply in replies:
                self._tell(pool)
                answer = reply.answer
                if permit.refused(reply.question):
                    asking.forget(reply.question)
                    continue
                permit.settle(reply.question, answer)
                self.counts["prompt_tokens"] += answer.n_prompt_tokens or 0
                self.counts["answer_tokens"] += answer.n_answer_tokens or 0
                answered = answered or answer.stop != "error"
                failed += [answer.error or "no answer"] if answer.stop == "error" else []
                if not answered and len(failed) >= _BROKEN_AFTER:
                    raise AdapterError(
                        f"'{self.name}' answered none of the first {len(failed)} questions: {failed[-1]}"
                    )
                yield from asking.told(reply.question, answer)
                yield from asking.found()
        yield from asking.found()
        self._tell(pool)
        if self.budget.refused:
            raise BudgetSpent(_spent(self.budget))

    def _tell(self, pool: Pool) -> None:
        while pool.remarks:
            self._note(pool.remarks.pop(0))


class _Asking:
    """Which questions wait for which request. The questions are read in another thread than the replies."""

    def __init__(self, model: str, cache: Cache, counts: Counter[str]) -> None:
        self._model, self._cache, self._counts = model, cache, counts
        self._lock = threading.Lock()
        self._waiting: dict[str, list[str]] = {}
        self._failed: dict[str, Told] = {}
        self._found: deque[Told] = deque()

    def questions(self, asks: Iterable[Ask], permit: _Permit) -> Iterator[Question]:
        """The questions whose reply is neither there nor on its way, each under the hash of what is sent."""
        for ask in asks:
            self._counts["asked"] += 1
            key = hashlib.sha256(f"{self._model}:{ask.sha256()}".encode()).hexdigest()
            with self._lock:
                if key in self._waiting:
                    self._waiting[key].append(ask.id)
                    continue
                known = self._failed.get(key)
                if known is None and (row := self._cache.find(key)) is not None:
                    known = Told(id="", **{**row, "cached": True})
                    self._counts["cached"] += 1
                if known is not None:
                    self._found.append(replace(known, id=ask.id))
                    continue
                if permit.spent:
                    # What is in the cache is given out all the same.
                    continue
                self._waiting[key] = [ask.id]
            yield Question(number=0, id=key, text=ask.text, wav=ask.wav, system=ask.system, schema=ask.schema)

    def told(self, question: Question, answer: Answer) -> list[Told]:
        """The reply, for everyone who waits for it."""
        reply = Told(
            id="",
            text=answer.text,
            stop=answer.stop,
            error=answer.error,
            note=answer.note,
            served=answer.served,
            n_prompt_tokens=answer.n_prompt_tokens,
            n_answer_tokens=answer.n_answer_tokens,
        )
        with self._lock:
            if answer.stop == "error":
                self._failed[question.id] = reply
            else:
                self._cache.keep(question.id, {k: v for k, v in asdict(reply).items() if k not in ("id", "cached")})
            ids = self._waiting.pop(question.id)
        # All but the first would find it in the cache if they came a moment later.
        self._counts["cached"] += len(ids) - 1 if answer.stop != "error" else 0
        return [replace(reply, id=id, cached=n > 0 and answer.stop != "error") for n, id in enumerate(ids)]

    def forget(self, question: Question) -> None:
        """Nobody is told anything about a question that was not asked."""
        with self._lock:
            self._waiting.pop(question.id)

    def found(self) -> Iterator[Told]:
        """The replies that were there already."""
        while self._found:
            yield self._found.popleft()


class _Permit:
    """Pays for each request in advance, and remembers which questions could not be paid for."""

    def __init__(self, budget: Budget, decoding: Decoding) -> None:
        self._budget, self._decoding = budget, decoding
        self._paid: dict[str, float] = {}
        self._refused: set[str] = set()

    @property
    def spent(self) -> bool:
        return self._budget.refused

    def __call__(self, question: Question) -> bool:
        seconds = 0 if question.wav is None else len(question.wav) / _WAV_BYTES_A_SECOND
        n_characters = len(question.text) + len(question.system or "") + len(json.dumps(question.schema or ""))
        tokens = round(seconds * _AUDIO_TOKENS_A_SECOND)
        most = self._budget.most(n_characters, tokens, self._decoding.max_new_tokens)
        if not self._budget.take(most):
            self._refused.add(question.id)
            return False
        self._paid[question.id] = most
        return True

    def refused(self, question: Question) -> bool:
        return question.id in self._refused

    def settle(self, question: Question, answer: Answer) -> None:
        self._budget.settle(self._paid.pop(question.id, 0.0), answer.n_prompt_tokens, answer.n_answer_tokens)


def _spent(budget: Budget) -> str:
    limits = [
        *([f"{budget.n_calls} of {budget.max_calls} requests are used"] if budget.max_calls is not None else []),
        *([f"{budget.usd:.4f} of {budget.max_usd:g} US dollars are used"] if budget.max_usd is not None else []),
    ]
    return (
        f"the budget is spent ({', '.join(limits)}). All replies are kept: repeat the same command with a larger "
        "--max-calls or --max-cost, and only what is missing is asked"
    )
