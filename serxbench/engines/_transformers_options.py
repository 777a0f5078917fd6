"""The options of the transformers backend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from serxbench.adapters._tuning import Attention, Cache, Tuning
from serxbench.errors import UsageError

Decode = Literal["text", "loglik"]

_CHOICES: Mapping[str, tuple[str, ...]] = {
    "attention": get_args(Attention),
    "cache": get_args(Cache),
    "decode": get_args(Decode),
}


@dataclass(frozen=True, kw_only=True)
class TransformersOptions:
    """How the model computes, and where features are kept.

    attention: which kernels. cache: `static` is allocated once for the longest prompt and answer, and on a GPU the
    decoding step is compiled. feature_cache: a folder; None keeps none. feature_cache_gib: the most that it may hold.
    decode: what `--decode` says.
    """

    attention: Attention = "sdpa"
    cache: Cache = "dynamic"
    feature_cache: Path | None = None
    feature_cache_gib: float = 100.0
    decode: Decode = "text"

    def describe(self) -> dict[str, Any]:
        """What may move an answer, where it is not as usual."""
        usual = TransformersOptions()
        return {name: value for name in _CHOICES if (value := getattr(self, name)) != getattr(usual, name)}

    def tuning(self) -> Tuning | None:
        """What the adapter is told; None if there is nothing to tell."""
        if self == TransformersOptions(feature_cache_gib=self.feature_cache_gib, decode=self.decode):
            return None
        return Tuning(
            attention=self.attention,
            cache=self.cache,
            features=self.feature_cache,
            feature_bytes=int(self.feature_cache_gib * 2**30),
        )


def read_options(given: Mapping[str, Any]) -> TransformersOptions:
    """The options in `given`. Raises UsageError.

    >>> read_options({"attention": "eager"}).describe()
    {'attention': 'eager'}
    """
    known = TransformersOptions.__dataclass_fields__
    chosen = dict(given)
    for name, value in given.items():
        if name not in known:
            raise UsageError(f"the backend transformers has no option '{name}'; there are: {', '.join(known)}")
        if name in _CHOICES and value not in _CHOICES[name]:
            raise _unfit(name, value, f"one of {', '.join(_CHOICES[name])}")
    if "feature_cache" in chosen:
        folder = chosen["feature_cache"]
        if not isinstance(folder, str) or not folder:
            raise _unfit("feature_cache", folder, "a folder")
        # A worker of Ray may work in another folder.
        chosen["feature_cache"] = Path(folder).expanduser().absolute()
    size = chosen.get("feature_cache_gib", 1.0)
    if isinstance(size, bool) or not isinstance(size, (int, float)) or not 0 < size < float("inf"):
        raise _unfit("feature_cache_gib", size, "a positive number")
    return TransformersOptions(**chosen)


def _unfit(name: str, value: object, wanted: str) -> UsageError:
    return UsageError(f"the option '{name}' of the backend transformers is {value!r}; wanted {wanted}")
