"""Model families: how each is loaded, prompted and batched. One module a family; a module is found by its name.

A module of this package holds

    MODEL_TYPES: tuple[str, ...]                          the `model_type`s of config.json that it loads
    PROMPT_STYLES: tuple[str, ...]                        the prompt styles that a card may name
    PARSER: str                                           `identity` if it answers with a label; `rules` if absent
    def load(loading: Loading) -> Adapter
    def load_renderer(loading: Loading) -> Renderer       its prompts without its weights, for engines that load those
                                                          themselves and for fine-tuning (serxbench.adapters._renderer);
                                                          absent if it has neither
    ANSWER_END: str                                       what ends an answer, and the pattern of the modules that a
    LORA_MODULES: str                                     LoRA goes on (serxbench.sft); absent if it is not fine-tuned

and imports torch only inside functions.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

from serxbench.errors import UnknownName, UsageError
from serxbench.records import Decoding, Prompt, Response

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from serxbench.audio import Clip


@dataclass(frozen=True, kw_only=True)
class Loading:
    """What a family needs to load a model.

    settings: the card's `settings`, which only its adapter understands. base: the model that it builds on (LoRA).
    """

    folder: Path
    prompt_style: str = "chat"
    device: str = "cpu"
    dtype: str = "float32"
    settings: Mapping[str, Any] = field(default_factory=dict)
    base: Base | None = None


@dataclass(frozen=True, kw_only=True)
class Base:
    """The model under another one: which family loads it, and from where."""

    adapter: str
    loading: Loading


class Adapter(Protocol):
    """A loaded model.

    One with `prepares_ahead = True` also has `prepare(clips, prompt)`, which makes the inputs of a batch without the
    model, in another thread, while `generate` computes the batch before; `generate` then takes them as `prepared`.
    """

    #: Longest and shortest clip that the model hears whole, in seconds.
    max_seconds: float
    min_seconds: float

    def generate(self, ids: Sequence[str], clips: Sequence[Clip], prompt: Prompt, decoding: Decoding) -> list[Response]:
        """One response a clip, in the order given.

        A clip that does not fit the model yields a response with `stop="error"`; it never ends the batch.
        Raises AdapterError when the inputs built for the model are not what they should be.
        """
        ...

    def hear(self, clips: Sequence[Clip], prompt: Prompt) -> NDArray[np.float32] | None:
        """Numbers that the sound must move, shape (clips, n): logits of the first answer token, or of the classes.

        None for a model that does not listen (guessing) or shows no numbers (a model behind an API). Clips are at
        least `min_seconds` long.
        """
        ...


def list_adapters() -> list[str]:
    """The names of all model families."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def find_adapter(name: str) -> ModuleType:
    """The module of a family. Raises UnknownName."""
    if name not in list_adapters():
        raise UnknownName("adapter", name, list_adapters(), "serxbench models")
    return importlib.import_module(f"{__name__}.{name}")


def adapter_of_model_type(model_type: object, config: Path) -> str:
    """The family that loads checkpoints of this `model_type`. Raises UsageError naming `config` if none does."""
    known = {kind: name for name in list_adapters() for kind in find_adapter(name).MODEL_TYPES}
    if not isinstance(model_type, str) or model_type not in known:
        raise UsageError(f"{config}: no adapter loads model_type {model_type!r}; there are: {', '.join(sorted(known))}")
    return known[model_type]
