"""Sentence encoders: words → vectors, near each other where the words mean alike. They hear nothing and say nothing.

`serxbench cluster --clusterer minilm` uses one for the emotion words that the word table lacks.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from serxbench.adapters import Adapter, Loading
from serxbench.adapters._quiet import hush_transformers
from serxbench.errors import AdapterError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: A checkpoint of a text encoder does not say what it was trained to encode; it needs a card.
MODEL_TYPES: tuple[str, ...] = ()

PROMPT_STYLES = ("chat",)

_BATCH_SIZE = 64


def load(loading: Loading) -> Adapter:
    """Raises AdapterError: such a model answers nothing."""
    raise AdapterError("a sentence encoder does not answer questions; it is for serxbench cluster --clusterer")


class SentenceEncoder:
    """A text encoder whose token states are averaged. Texts are encoded in their order, whatever else is encoded."""

    def __init__(self, folder: Path) -> None:
        hush_transformers()
        import torch
        from transformers import AutoModel, AutoTokenizer

        try:
            self._tokenizer = AutoTokenizer.from_pretrained(folder)
            self._model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
        except (OSError, ValueError) as error:
            raise AdapterError(f"{folder}: holds no sentence encoder that can be loaded ({error})") from error

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors, shape (texts, dimensions): the mean of the last layer's states over each text's tokens."""
        import numpy as np
        import torch

        rows = []
        for start in range(0, len(texts), _BATCH_SIZE):
            batch = list(texts[start : start + _BATCH_SIZE])
            inputs = self._tokenizer(batch, padding=True, truncation=True, max_length=128, return_tensors="pt")
            with torch.inference_mode():
                states = self._model(**inputs).last_hidden_state
            mask = inputs["attention_mask"].unsqueeze(-1).to(states.dtype)
            means = (states * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
            rows.append(torch.nn.functional.normalize(means, dim=1).numpy())
        return np.concatenate(rows).astype(np.float32) if rows else np.zeros((0, 0), dtype=np.float32)
