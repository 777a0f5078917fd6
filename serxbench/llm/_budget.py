"""How much may be asked: a limit on requests, and one on money, neither of which is ever exceeded."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

#: Characters that are surely no fewer than one token each, on average over a text of any language.
_CHARACTERS_A_TOKEN = 2.0

_A_MILLION = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Price:
    """US dollars for a million tokens of each kind."""

    text: float
    answer: float
    audio: float | None = None


@dataclass(kw_only=True)
class Budget:
    """What may be spent, and what is. None: no limit.

    A request is paid for in advance as if every answer were as long as it may be; once the server has counted its
    tokens, the difference comes back.
    """

    max_calls: int | None = None
    max_usd: float | None = None
    price: Price | None = None
    n_calls: int = 0
    usd: float = 0.0
    refused: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def most(self, n_characters: int, audio_tokens: int, max_new_tokens: int) -> float:
        """The most that one request can cost, in US dollars; 0 where nothing limits the money."""
        if self.max_usd is None or self.price is None:
            return 0.0
        text = n_characters / _CHARACTERS_A_TOKEN * self.price.text
        audio = audio_tokens * (self.price.audio or self.price.text)
        return (text + audio + max_new_tokens * self.price.answer) / _A_MILLION

    def take(self, most: float) -> bool:
        """Pays for a request in advance; False, and nothing is paid, if it could exceed a limit."""
        with self._lock:
            too_many = self.max_calls is not None and self.n_calls + 1 > self.max_calls
            too_dear = self.max_usd is not None and self.usd + most > self.max_usd
            if too_many or too_dear:
                self.refused = True
                return False
            self.n_calls += 1
            self.usd += most
            return True

    def settle(self, most: float, n_prompt_tokens: int | None, n_answer_tokens: int | None) -> None:
        """Gives back what a request did not cost, if the server has counted its tokens."""
        if self.price is None or n_prompt_tokens is None or n_answer_tokens is None or not most:
            return
        # Servers count sound among the prompt's tokens; it is reckoned at the higher of both prices.
        dearest = max(self.price.text, self.price.audio or 0.0)
        cost = (n_prompt_tokens * dearest + n_answer_tokens * self.price.answer) / _A_MILLION
        with self._lock:
            self.usd -= max(0.0, most - cost)
