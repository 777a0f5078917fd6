"""Guessing as a registered model: it hears nothing, so what it scores is what a corpus gives away.

Settings of a card:

    strategy: uniform | prior | majority
    shares: {Angry: 0.1, …}       class → share, for `prior` and `majority`; renormalised over the classes on offer

The closed prompt's options say which classes are on offer; in the open form all eight are. An answer depends on
the utterance's id alone, so neither order nor batches nor seeds move it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from serxbench.adapters import Loading
from serxbench.adapters._generative import describe_clip
from serxbench.audio import Clip
from serxbench.emotions import EMOTIONS, OTHER
from serxbench.errors import AdapterError
from serxbench.records import Decoding, Prompt, Response

MODEL_TYPES: tuple[str, ...] = ()
PROMPT_STYLES = ("chat",)
STRATEGIES = ("uniform", "prior", "majority")


def load(loading: Loading) -> Guess:
    """The guesser that a card's settings describe. Raises AdapterError for a strategy or class that is none."""
    strategy, shares = loading.settings.get("strategy"), dict(loading.settings.get("shares") or {})
    if strategy not in STRATEGIES:
        raise AdapterError(f"guess: settings.strategy must be one of {', '.join(STRATEGIES)}; found {strategy!r}")
    strange = [name for name in shares if name not in EMOTIONS]
    if strange or any(not isinstance(share, (int, float)) or share < 0 for share in shares.values()):
        raise AdapterError(f"guess: settings.shares must give classes numbers from 0 up; found {shares}")
    if strategy != "uniform" and not shares:
        raise AdapterError(f"guess: the strategy '{strategy}' needs settings.shares (class → share)")
    return Guess(str(strategy), shares)


class Guess:
    """A model that answers without listening; see serxbench.adapters.Adapter."""

    max_seconds = float("inf")
    min_seconds = 0.0

    def __init__(self, strategy: str, shares: Mapping[str, float]) -> None:
        self._strategy = strategy
        self._shares = shares

    def generate(self, ids: Sequence[str], clips: Sequence[Clip], prompt: Prompt, decoding: Decoding) -> list[Response]:
        """One guess a clip, in the order given."""
        offered = tuple(label for _, label in prompt.options or () if label != OTHER) or EMOTIONS
        weights = [1.0 if self._strategy == "uniform" else float(self._shares.get(label, 0)) for label in offered]
        if not sum(weights):
            raise AdapterError(f"guess: settings.shares has no share for any of {', '.join(offered)}")
        return [
            Response(id=id, text=self._draw(id, offered, weights), stop="end", **describe_clip(clip, self.max_seconds))
            for id, clip in zip(ids, clips, strict=True)
        ]

    def hear(self, clips: Sequence[Clip], prompt: Prompt) -> None:
        """None: a guess does not listen, and says so."""

    def _draw(self, id: str, offered: Sequence[str], weights: Sequence[float]) -> str:
        if self._strategy == "majority":
            return offered[weights.index(max(weights))]
        place = int(hashlib.sha256(id.encode()).hexdigest()[:13], 16) / 16**13 * sum(weights)
        for label, weight in zip(offered, weights, strict=True):
            place -= weight
            if place < 0:
                return label
        return offered[-1]
