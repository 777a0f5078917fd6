"""Decoding settings in which nothing is left to a checkpoint, and the tokens that end an answer."""

from __future__ import annotations

from typing import Any

from serxbench.errors import AdapterError
from serxbench.records import Decoding


def complete_generation_config(decoding: Decoding, end_tokens: list[int], pad_token: int, num_beams: int = 1) -> Any:
    """A transformers GenerationConfig in which nothing is left for the checkpoint's own settings to fill in."""
    from transformers import GenerationConfig

    sampling: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
    if decoding.temperature > 0:
        sampling = {"do_sample": True, "temperature": decoding.temperature, "top_p": 1.0, "top_k": 0}
    return GenerationConfig(
        max_new_tokens=decoding.max_new_tokens,
        min_new_tokens=1,
        num_beams=num_beams,
        repetition_penalty=1.0,
        length_penalty=1.0,
        no_repeat_ngram_size=0,
        eos_token_id=end_tokens,
        pad_token_id=pad_token,
        **sampling,
    )


def find_end_tokens(model: Any, tokenizer: Any) -> list[int]:
    """The tokens that end an answer, from wherever the checkpoint names them. Raises AdapterError if nowhere."""
    for holder in (model.generation_config, model.config.get_text_config(), tokenizer):
        found = getattr(holder, "eos_token_id", None)
        if found is not None:
            return sorted(found) if isinstance(found, (list, tuple)) else [int(found)]
    raise AdapterError("the checkpoint names no end-of-text token (eos_token_id), so no answer would ever end")
