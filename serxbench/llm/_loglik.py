"""Label probabilities from the first token of an answer: what share each option's letter gets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from serxbench.llm._trouble import Answer

#: If letters that are not listed could hold more than this, the answer has a label and no probabilities.
_UNLISTED_SHARE = 0.01


def score_options(answer: Answer, options: Sequence[tuple[str, str]]) -> Answer:
    """The answer with the label of the likeliest option as its text, and every option's probability.

    A letter counts in any dress: `B`, ` B`, `(B`, `B.`. The probabilities sum to 1 over the options. A server lists
    only its likeliest tokens; a letter that is not among them has less than the least of those. It is written down as 0
    if all such letters together could not have more than 1 %; else there are no probabilities, and the note says why.
    """
    logprobs = answer.logprobs
    if logprobs is None:
        return Answer(stop="error", error="the server gave no log-probabilities", served=answer.served)
    shares = {label: _share(letter, logprobs) for letter, label in options}
    listed = sum(shares.values())
    if listed <= 0:
        reason = f"no option's letter is among the {len(logprobs)} likeliest first tokens"
        return Answer(stop="error", error=reason, served=answer.served)
    best = max(shares, key=lambda label: shares[label])
    note = f"the options have {listed:.3f} of the first token"
    n_unlisted = sum(share == 0 for share in shares.values())
    least = math.exp(min(logprobs.values()))
    rest = max(0.0, 1 - sum(math.exp(value) for value in logprobs.values()))
    unlisted = min(n_unlisted * least, rest)
    if unlisted > _UNLISTED_SHARE * (listed + unlisted):
        note += f"; {n_unlisted} letters are not listed and could have {unlisted / (listed + unlisted):.3f}"
        return Answer(text=best, stop="end", note=note, served=answer.served)
    probabilities = {label: share / listed for label, share in shares.items()}
    return Answer(text=best, stop="end", note=note, served=answer.served, probabilities=probabilities)


def letter_of(token: str) -> str:
    """What is left of a token without the dress of a letter."""
    return token.strip(" \t\n().:*\"'▁ĠĊ")


def _share(letter: str, logprobs: Mapping[str, float]) -> float:
    return sum(math.exp(value) for token, value in logprobs.items() if letter_of(token) == letter)
