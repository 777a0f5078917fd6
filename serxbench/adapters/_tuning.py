"""How a loaded model computes, where there is a choice: attention kernels, cache, features from disk."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from serxbench.adapters._feature_cache import FeatureCache, RememberingExtractor
from serxbench.errors import AdapterError

Attention = Literal["sdpa", "flash_attention_2", "eager"]
Cache = Literal["dynamic", "static"]


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """What an adapter's `tune` is told.

    features: the folder where features are kept, None if they are not. feature_bytes: the most that it may hold.
    """

    attention: Attention = "sdpa"
    cache: Cache = "dynamic"
    features: Path | None = None
    feature_bytes: int = 0


def check_tuning(tuning: Tuning) -> None:
    """Raises AdapterError, before anything is loaded, if a package is missing."""
    # transformers would look for its kernels in the network.
    if tuning.attention == "flash_attention_2" and importlib.util.find_spec("flash_attn") is None:
        raise AdapterError("attention=flash_attention_2 needs a GPU and the package flash-attn: pip install flash-attn")


def set_attention(model: Any, attention: Attention) -> None:
    """Has the model, audio encoder included, compute attention so. Raises AdapterError if it cannot."""
    try:
        model.set_attn_implementation(attention)
    except (ImportError, ValueError) as error:  # not installed; not for this architecture
        reason = str(error).splitlines()[0]
        raise AdapterError(f"attention={attention} cannot be had here: {reason}") from error
    others = {each for module in model.modules() if (each := _attention_of(module)) not in (None, attention)}
    if others:
        # transformers only warns.
        raise AdapterError(f"attention={attention}: parts of this model compute it as {', '.join(sorted(others))}")


def _attention_of(module: Any) -> str | None:
    from transformers import PreTrainedModel

    if not isinstance(module, PreTrainedModel):
        return None
    found: str | None = module.config._attn_implementation
    return found


def remember_features(processor: Any, tuning: Tuning) -> None:
    """Puts the cache, if one is wanted, before the processor's feature extractor. Raises AdapterError."""
    # A worker of Ray tunes its model for every shard.
    if tuning.features is None or isinstance(processor.feature_extractor, RememberingExtractor):
        return
    extractor = RememberingExtractor(processor.feature_extractor, FeatureCache(tuning.features, tuning.feature_bytes))
    # The dataclass among the processors is frozen.
    object.__setattr__(processor, "feature_extractor", extractor)
