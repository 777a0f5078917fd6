"""`--decode loglik` in this process: no text, but what share each option's letter has of the first token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from serxbench.audio import Clip
from serxbench.errors import UsageError
from serxbench.llm._loglik import score_options
from serxbench.llm._trouble import Answer
from serxbench.records import Decoding, Prompt, Response


class WeighingAdapter:
    """An adapter that answers a closed prompt with the likeliest option; see serxbench.adapters.Adapter.

    Raises UsageError for a model whose adapter cannot `weigh`.
    """

    def __init__(self, adapter: Any, name: str) -> None:
        if not hasattr(adapter, "weigh"):
            raise UsageError(f"--decode loglik: '{name}' shows no probabilities of a first token here")
        self._adapter = adapter
        self.max_seconds, self.min_seconds = adapter.max_seconds, adapter.min_seconds
        self.prepares_ahead = getattr(adapter, "prepares_ahead", False)

    def prepare(self, clips: Sequence[Clip], prompt: Prompt) -> Any:
        """What the model's adapter makes of the clips."""
        return self._adapter.prepare(clips, prompt)

    def hear(self, clips: Sequence[Clip], prompt: Prompt) -> Any:
        """What the model's adapter hears."""
        return self._adapter.hear(clips, prompt)

    def generate(
        self, ids: Sequence[str], clips: Sequence[Clip], prompt: Prompt, decoding: Decoding, **prepared: Any
    ) -> list[Response]:
        """One response a clip: the label of the likeliest option, and the probabilities of all."""
        assert prompt.options is not None
        weighed = self._adapter.weigh(ids, clips, prompt, **prepared)
        return [
            response if response.stop == "error" else weigh_response(response, logprobs, prompt.options)
            for response, logprobs in weighed
        ]


def weigh_response(
    response: Response, logprobs: Mapping[str, float] | None, options: Sequence[tuple[str, str]]
) -> Response:
    """The response with what the log-probabilities of its first tokens say of the options."""
    answer = score_options(Answer(stop="end", logprobs=logprobs or None), options)
    return replace(
        response,
        text=answer.text,
        stop=answer.stop,
        error=answer.error,
        note=", ".join(filter(None, (response.note, answer.note))) or None,
        probabilities=answer.probabilities,
    )
