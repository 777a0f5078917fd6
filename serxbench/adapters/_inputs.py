"""What goes into a generative model, and how much of what comes out is computed."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """The inputs of one batch, before they are on the device.

    fitting: positions of the clips that are long enough for the model. inputs: for each group of them that goes through
    the model together, positions in `fitting` and the model's keyword arguments.
    """

    fitting: tuple[int, ...]
    inputs: tuple[tuple[tuple[int, ...], dict[str, Any]], ...]


@contextlib.contextmanager
def last_logits(model: Any) -> Iterator[None]:
    """Within it, the model computes logits of the last position alone, which are all that generation looks at.

    Some families know no `logits_to_keep` and compute those of the whole prompt: gigabytes for a batch of long clips.
    """
    head = model.get_output_embeddings()
    if head is None or "logits_to_keep" in inspect.signature(model.forward).parameters:
        yield
        return
    hook = head.register_forward_pre_hook(lambda _, given: (given[0][:, -1:], *given[1:]))
    try:
        yield
    finally:
        hook.remove()


def pad_left(rows: Sequence[Sequence[int]], pad_token: int) -> dict[str, Any]:
    """`input_ids` and `attention_mask` of shape (rows, longest); all rows end together."""
    import torch

    longest = max(map(len, rows))
    return {
        "input_ids": torch.tensor([[pad_token] * (longest - len(row)) + list(row) for row in rows]),
        "attention_mask": torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows]),
    }


def pooled_twice(frames: Any) -> Any:
    """Audio tokens of so many mel frames, where an encoder halves them by a convolution and again by pooling.

    25 tokens a second of frames of 10 ms. frames: a number, or an integer tensor.

    >>> pooled_twice(100), pooled_twice(3000)
    (25, 750)
    """
    return ((frames - 1) // 2 + 1 - 2) // 2 + 1
