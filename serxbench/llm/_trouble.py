"""What goes wrong between us and a server, sorted by what to do about it, and how long to wait before the next try."""

from __future__ import annotations

import asyncio
import datetime
import email.utils
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from serxbench.records import Stop

#: unreachable: no connection came about. busy: the server asks for patience. empty: a sound reply without an answer.
#: schema: a question with a schema was declined. failed: anything else that may go well the next time.
Trouble = Literal["unreachable", "busy", "failed", "empty", "schema"]

#: Requests for one item before its failure is recorded. Neither a busy server nor one that is away counts.
MAX_ATTEMPTS = 6

#: How often a busy server is asked about one item before it is given up.
MAX_BUSY = 30

#: How often one item may be the one by which a server that is away is tried, before it counts as what keeps it away.
MAX_IN_DOUBT = 10

#: An empty answer may be a fault of the server, or the model's own; after so many more tries it is the model's.
EMPTY_RETRIES = 2

_FIRST_DELAY_SECONDS = 0.5
_LONGEST_DELAY_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a server said to one question. served: the name under which it says that it answered.

    logprobs: first token → natural logarithm of its probability, if they were asked for. n_prompt_tokens,
    n_answer_tokens: as the server counts them, thoughts included; None if it does not say.
    """

    text: str | None = None
    stop: Stop
    error: str | None = None
    note: str | None = None
    served: str | None = None
    logprobs: Mapping[str, float] | None = None
    probabilities: Mapping[str, float] | None = None
    n_prompt_tokens: int | None = None
    n_answer_tokens: int | None = None


class TryAgain(Exception):
    """A request that may go well the next time. seconds: how long the server asks to wait, if it does.

    answer: what is recorded if it stays as it is. in_doubt: the endpoint fails on everything at present, so that this
    says nothing about the item.
    """

    def __init__(
        self, trouble: Trouble, reason: str, seconds: float | None = None, answer: Answer | None = None
    ) -> None:
        super().__init__(reason)
        self.trouble, self.reason, self.seconds, self.answer = trouble, reason, seconds, answer
        self.in_doubt = False


class Declined(Exception):
    """A request that the server will never accept; its message becomes the item's recorded error."""


class RetryBudget:
    """How many retries a run may afford, so that a faulty server is not flooded.

    Each item adds a half, and time adds a few: under heavy faults the retries slow down and none is given up.
    """

    _PER_ITEM = 0.5
    _PER_SECOND = 1.0

    def __init__(self, at_first: float) -> None:
        self._tokens = at_first
        self._at = time.monotonic()

    def add_item(self) -> None:
        """One more item was asked about."""
        self._tokens += self._PER_ITEM

    async def spend(self) -> None:
        """Returns when another retry can be afforded."""
        while True:
            now = time.monotonic()
            self._tokens += (now - self._at) * self._PER_SECOND if self._tokens < 1 else 0.0
            self._at = now
            if self._tokens >= 1:
                self._tokens -= 1
                return
            await asyncio.sleep((1 - self._tokens) / self._PER_SECOND)


def delay_before(attempt: int, asked: float | None) -> float:
    """Seconds before try number `attempt` (the first retry is 1): at random below a bound that doubles each time.

    Never less than the server asked for. (Full jitter: retries of many items that failed together spread out.)
    """
    bound = min(_LONGEST_DELAY_SECONDS, _FIRST_DELAY_SECONDS * 2 ** (attempt - 1))
    return (asked or 0.0) + random.uniform(0, bound)


def read_retry_after(value: str | None, now: datetime.datetime | None = None) -> float | None:
    """Seconds to wait according to a Retry-After header, None without a usable one (RFC 9110, section 10.2.3).

    >>> read_retry_after("7"), read_retry_after("soon"), read_retry_after(None)
    (7.0, None, None)
    >>> noon = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)
    >>> read_retry_after("Thu, 01 Jan 2026 12:00:30 GMT", noon)
    30.0
    """
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            at = email.utils.parsedate_to_datetime(value)
        except ValueError:
            return None
        at = at if at.tzinfo else at.replace(tzinfo=datetime.UTC)
        seconds = (at - (now or datetime.datetime.now(datetime.UTC))).total_seconds()
    # A NaN or an infinity is a number to float().
    return max(0.0, seconds) if seconds < float("inf") else None


def first_line(message: Any, limit: int = 200) -> str:
    """The message's first line, shortened, for an error of one line."""
    lines = str(message).strip().splitlines() or ["no message"]
    return lines[0] if len(lines[0]) <= limit else lines[0][: limit - 1] + "…"
