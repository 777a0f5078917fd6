"""A LoRA, as peft or LLaMA-Factory writes it, on a model of any other family: `adapter: lora` and `base: CARD`.

What has to be right here, because getting it wrong gives the base's scores under the adapter's name:

- module names of another release of transformers are rewritten; peft skips the weights that it does not find,
- the weights in the file are exactly those that the model got: by name, by shape, and by what the adapter's own
  configuration says it trained,
- the LoRA of the output layer is among them,
- the logits for one clip differ from the base's,
- the prompt is the one of the training: the card's `prompt_style`, not the base card's.

By default the LoRA is merged into the base: in float32, on the CPU, each weight rounded once. `serxbench merge` does
the same, so a run with the adapter and a run with the merged checkpoint compute with the same weights if both have the
same number format, at the base's speed. `settings: {merged: false}` leaves it beside the base, computed in float32;
with a base in bfloat16 that is the training's own arithmetic, and slower.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serxbench.adapters import Adapter, Base, Loading, find_adapter
from serxbench.adapters._lora_file import hub_id, read_config, read_tensors, trained_on
from serxbench.adapters._lora_weights import attach, merge
from serxbench.adapters._quiet import hush_transformers
from serxbench.errors import AdapterError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: An adapter has no config.json; a card, or its adapter_config.json, names it.
MODEL_TYPES: tuple[str, ...] = ()

#: The prompt styles that an adapter may have been trained with; the base's family refuses those that it lacks.
PROMPT_STYLES = ("chat", "llamafactory")


def load(loading: Loading) -> Adapter:
    """The base's adapter with the LoRA in its weights. Raises AdapterError."""
    attached = Attached(loading)
    if loading.settings.get("merged", True):
        attached.merge()
    attached.check_effect()
    adapter: Adapter = attached.adapter
    return adapter


class Attached:
    """A base with a LoRA beside its weights or, after `merge`, in them.

    adapter: the base's adapter, which answers with the LoRA.
    logits_of_base: what the base alone hears of the test clip.
    """

    def __init__(self, loading: Loading) -> None:
        base = _check(loading)
        hush_transformers()
        self._loading = loading
        config, tensors = read_config(loading.folder), read_tensors(loading.folder)
        asked = dataclasses.replace(
            base.loading, prompt_style=loading.prompt_style, device=loading.device, dtype=loading.dtype
        )
        self.adapter: Any = find_adapter(base.adapter).load(asked)
        self._model = _model_of(self.adapter, base)
        self.logits_of_base = self.hear()
        self._model.to("cpu")
        with _naming(loading.folder):
            self._tuner = attach(self._model, config, tensors)

    def hear(self) -> NDArray[np.float32]:
        """The logits of the first answer token for the test clip."""
        self._model.to(self._loading.device)
        return hear_test_clip(self.adapter)

    def merge(self) -> None:
        """Adds the LoRA to the base's weights."""
        # On the CPU: a GPU sums in another order, and `serxbench merge` may have run on another machine.
        self._model.to("cpu")
        with _naming(self._loading.folder):
            merge(self._tuner)

    def check_effect(self) -> None:
        """Raises AdapterError if the model hears what the base alone hears, or nothing that is a number."""
        logits = self.hear()
        if not bool((abs(logits) < float("inf")).all()):
            raise AdapterError(f"{self._loading.folder}: with the adapter the model gives logits that are not finite")
        if bool((logits == self.logits_of_base).all()):
            raise AdapterError(
                f"{self._loading.folder}: the adapter changes nothing: every logit for a test clip is the base's. "
                f"It was not trained, or its weights are too small for {self._loading.dtype}"
            )

    def save(self, folder: Path) -> None:
        """Writes the weights and the configuration of the merged model; the processor's files are the base's."""
        self._model.save_pretrained(folder)


@contextlib.contextmanager
def _naming(folder: Path) -> Iterator[None]:
    """Puts the adapter's folder in front of what is wrong with it."""
    try:
        yield
    except AdapterError as error:
        raise AdapterError(f"{folder}: {error}") from error


def hear_test_clip(adapter: Adapter) -> NDArray[np.float32]:
    """What a generative adapter hears of one made-up clip: noise and a tone, the same every time."""
    import numpy as np

    from serxbench.audio import SAMPLE_RATE, Clip
    from serxbench.records import Prompt

    seconds = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    noise = np.random.default_rng(0).normal(scale=0.05, size=SAMPLE_RATE)
    waveform = (noise + 0.3 * np.sin(2 * np.pi * 220 * seconds)).astype(np.float32)
    prompt = Prompt(name="test", text="What emotion do you think the audio expresses?", sha256="")
    heard = adapter.hear([Clip(waveform=waveform, seconds=1.0)], prompt)
    assert heard is not None  # it is a loaded model
    return heard


def _check(loading: Loading) -> Base:
    """The base, if what is asked for can be done. Raises AdapterError."""
    base = loading.base
    if base is None:
        raise AdapterError("lora: the card names no base; put `base: CARD` in it (a model card or a checkpoint folder)")
    if loading.folder == Path():
        raise AdapterError(
            "lora: the card names no adapter; its `repository` must be a hub id, or a folder with adapter_config.json"
        )
    if unknown := sorted(set(loading.settings) - {"merged"}):
        raise AdapterError(f"lora: the card's settings have '{unknown[0]}', which is none; there is: merged")
    if not isinstance(loading.settings.get("merged", True), bool):
        raise AdapterError(f"lora: settings.merged must be true or false; found {loading.settings['merged']!r}")
    found, wanted = hub_id(trained_on(loading.folder) or ""), hub_id(str(base.loading.folder))
    # Of a mirror or a copy only the model's own name is left to compare; of a folder outside the cache, nothing.
    if found and wanted and found.rpartition("/")[2].casefold() != wanted.rpartition("/")[2].casefold():
        raise AdapterError(f"{loading.folder}: was trained on {found}, and the card's base is {wanted}")
    try:
        import peft  # noqa: F401
    except ImportError as error:
        raise AdapterError(f"lora needs the package peft: pip install 'serxbench[lora]' ({error})") from error
    return base


def _model_of(adapter: Adapter, base: Base) -> Any:
    from transformers import PreTrainedModel

    model = getattr(adapter, "_model", None)
    if not isinstance(model, PreTrainedModel) or getattr(model, "peft_config", None):
        raise AdapterError(f"lora: a model of the family '{base.adapter}' cannot carry an adapter, or has one already")
    return model
