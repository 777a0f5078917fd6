"""What fits a model: the length of its clips in seconds, and of a whole sample in tokens. No weights are loaded."""

from __future__ import annotations

from collections.abc import Iterable

from serxbench.adapters import Loading, find_adapter
from serxbench.errors import AdapterError
from serxbench.records import Prompt
from serxbench.sft.recipe import Settings
from serxbench.sft.samples import Sample
from serxbench.sft.targets import Variant


class Limits:
    """The limits of the model of one family. min_seconds, max_seconds: at every speed that a clip may be played at."""

    def __init__(self, family: str, loading: Loading, settings: Settings) -> None:
        module = find_adapter(family)
        if not hasattr(module, "ANSWER_END") or not hasattr(module, "load_renderer"):
            raise AdapterError(f"models of the family '{family}' cannot be fine-tuned here")
        self._end: str = module.ANSWER_END
        self._renderer = module.load_renderer(loading)
        self._slowest = min(1.0, *settings.speeds)
        self.min_seconds = self._renderer.min_seconds * max(1.0, *settings.speeds)
        self.max_seconds = self._renderer.max_seconds * self._slowest

    def count_tokens(self, sample: Sample, variants: Iterable[Variant]) -> int:
        """The tokens of prompt, sound and answer, of the longest variant at the slowest speed."""
        prompt = Prompt(name=sample.prompt, text=sample.question, sha256="")
        tokenizer = self._renderer._adapter._processor.tokenizer
        answers = (sample.target(variant) + self._end for variant in variants)
        longest = max(len(tokenizer(answer, add_special_tokens=False).input_ids) for answer in answers)
        return len(self._renderer.tokens(round(sample.n_samples / self._slowest), prompt)) + longest
