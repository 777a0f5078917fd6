"""The numbers by which a model in vLLM shows that it hears: the log-probabilities of its first answer token."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from serxbench.adapters._renderer import Renderer
from serxbench.audio import SAMPLE_RATE, Clip
from serxbench.engines._vllm_session import Answer, Session, check_tokens
from serxbench.errors import AdapterError
from serxbench.records import Decoding, Prompt, Response

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Ear:
    """As much of an adapter as serxbench.engines._hearing asks for."""

    def __init__(self, session: Session, renderer: Renderer, note: Callable[[Mapping[str, Any]], None]) -> None:
        self._session, self._renderer, self._note = session, renderer, note
        self.max_seconds, self.min_seconds = renderer.max_seconds, renderer.min_seconds

    def generate(self, ids: Sequence[str], clips: Sequence[Clip], prompt: Prompt, decoding: Decoding) -> list[Response]:
        """Nothing: it only listens."""
        raise NotImplementedError

    def hear(self, clips: Sequence[Clip], prompt: Prompt) -> NDArray[np.float32] | None:
        """The log-probabilities of the likeliest first tokens, shape (clips, tokens); None if vLLM gives none.

        A token that is not among a clip's likeliest has the log-probability of the last that is. The prompt of each
        clip is built once as the adapter builds it, features and all. Raises AdapterError if vLLM made another of it.
        """
        answers: list[Answer] = []
        for clip in clips:
            sound = clip.waveform[: int(self.max_seconds * SAMPLE_RATE)]
            answer = self._session.ask_alone(self._renderer.placeholder_tokens(prompt), sound)
            check_tokens("a clip of the hearing test", answer.prompt, self._renderer.build_tokens(sound, prompt))
            answers.append(answer)
        tops = [answer.top for answer in answers if answer.top]
        if len(tops) < len(answers):
            self._note({"event": "hearing unproven", "reason": "vLLM gave no log-probabilities"})
            return None
        return _as_rows(tops)


#: Wider than any vocabulary, so that all rows have one width whatever tokens are in them.
_WIDTH = 2**19


def _as_rows(tops: Sequence[Mapping[int, float]]) -> NDArray[np.float32]:
    rows = np.empty((len(tops), _WIDTH), dtype=np.float32)
    for row, top in zip(rows, tops, strict=True):
        if max(top) >= _WIDTH:
            raise AdapterError(f"the model gave token {max(top)}; no vocabulary of more than {_WIDTH} was foreseen")
        row[:] = min(top.values())
        row[list(top)] = list(top.values())
    return rows
