"""Phi-4-multimodal: transformers' own `Phi4MultimodalForCausalLM` with the speech adapter beside its weights.

What has to be right here, because getting it wrong gives scores that look normal:

- without the LoRA weights in `speech-lora/` the model understands little of speech; they are loaded and compared with
  the file, since loaders have left them at zero without an error,
- the main branch of the hub repository holds the authors' code for transformers 4 (`<|audio_1|>`); the converted files
  are at its revision refs/pr/70, and their placeholder is `<|audio|>`,
- the encoder does not mask the padding of a batch (the mask is added to the attention as 0 or 1), so each clip is
  encoded by itself, and a batch is put together from embeddings,
- padding is on the left.

The number of audio tokens in the prompt is compared with the number that the encoder will emit for every clip.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serxbench.adapters import Loading
from serxbench.adapters._generative import Generative, check_prompt_style, load_pretrained, unloadable
from serxbench.adapters._speech_processor import SpeechProcessor, load_speech_processor
from serxbench.audio import SAMPLE_RATE
from serxbench.errors import AdapterError
from serxbench.records import Prompt

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MODEL_TYPES = ("phi4_multimodal",)

#: The prompt styles that a card of this family may name. `chat` is the authors' format for one question about a clip.
PROMPT_STYLES = ("chat",)

#: The authors recommend clips up to this for anything but summaries; it is also what the encoder takes in one piece.
MAX_SECONDS = 40.0

SPEECH_ADAPTER = "speech-lora"

_FAMILY = "Phi-4-multimodal"


def load(loading: Loading) -> Phi4Multimodal:
    """The adapter for the checkpoint in `loading.folder`. Raises AdapterError."""
    check_prompt_style("phi4_multimodal", loading.prompt_style, PROMPT_STYLES)
    if importlib.util.find_spec("peft") is None:
        raise AdapterError(
            "phi4_multimodal needs the package peft for its speech adapter: pip install 'serxbench[lora]'"
        )
    import torch
    from transformers import Phi4MultimodalForCausalLM

    folder = loading.folder
    _check_files(folder)
    model = load_pretrained(
        folder,
        _FAMILY,
        lambda: Phi4MultimodalForCausalLM.from_pretrained(
            folder, dtype=getattr(torch, loading.dtype), output_loading_info=True
        ),
    )
    _load_speech_adapter(model, folder / SPEECH_ADAPTER)
    processor = load_speech_processor(folder, _FAMILY, "Phi4MultimodalFeatureExtractor")
    return Phi4Multimodal(model.to(loading.device), processor)


def _check_files(folder: Path) -> None:
    """Raises AdapterError for the authors' original files, and for a checkpoint without the speech adapter."""
    config = folder / "config.json"
    found = json.loads(config.read_text(encoding="utf-8")).get("model_type") if config.is_file() else None
    if found not in MODEL_TYPES:
        raise AdapterError(
            f"{config}: model_type is {found!r}, wanted '{MODEL_TYPES[0]}'; the files converted for transformers are "
            "those of the hub repository's revision refs/pr/70"
        )
    if not (folder / SPEECH_ADAPTER / "adapter_config.json").is_file():
        raise AdapterError(
            f"{folder}: has no {SPEECH_ADAPTER}/ with the speech adapter, without which it understands little"
        )


def _load_speech_adapter(model: Any, folder: Path) -> None:
    """Adds the LoRA weights in `folder` to the model. Raises AdapterError if any of them did not get there.

    Through peft itself: transformers' own way asks for a version of peft that need not be published yet.
    """
    from peft import (
        PeftConfig,
        get_peft_model_state_dict,
        inject_adapter_in_model,
        set_peft_model_state_dict,
    )

    try:
        config = PeftConfig.from_pretrained(str(folder))
        config.inference_mode = True
        inject_adapter_in_model(config, model, "speech")
        saved = _read_tensors(folder)
        set_peft_model_state_dict(model, saved, adapter_name="speech")
        for name, weight in model.named_parameters():
            if "lora_" in name:
                weight.data = weight.data.to(model.dtype)
        loaded = get_peft_model_state_dict(model, adapter_name="speech", save_embedding_layers=False)
    except Exception as error:
        raise unloadable(folder, f"the speech adapter of {_FAMILY}", error) from error
    loaded = {_plain_name(name): tensor for name, tensor in loaded.items()}
    lost = [name for name, tensor in saved.items() if not _same(loaded.get(name), tensor)]
    if lost or not saved or len(loaded) != len(saved):
        raise AdapterError(
            f"{folder}: {len(lost)} of {len(saved)} LoRA weights are not in the model, which has {len(loaded)}"
            + (f" (the first: {lost[0]})" if lost else "")
        )


def _read_tensors(folder: Path) -> dict[str, Any]:
    import safetensors.torch

    tensors = safetensors.torch.load_file(folder / "adapter_model.safetensors")
    return {_plain_name(name): tensor for name, tensor in tensors.items()}


def _plain_name(name: str) -> str:
    # Files converted at different times carry peft's prefix or do not.
    return name.removeprefix("base_model.model.")


def _same(loaded: Any, saved: Any) -> bool:
    return loaded is not None and bool((loaded.cpu() == saved.to(loaded.dtype)).all())


class Phi4Multimodal(Generative):
    """A loaded Phi-4-multimodal; see serxbench.adapters.Adapter."""

    def __init__(self, model: Any, processor: SpeechProcessor) -> None:
        super().__init__(model, processor, max_seconds=MAX_SECONDS)
        self._audio_token: int = model.config.audio_config.audio_token_id

    def render(self, prompt: Prompt) -> str:
        """The text that is tokenised for one clip."""
        return f"<|user|>{self._processor.placeholder(self._audio_token)}{prompt.text}<|end|><|assistant|>"

    def render_words(self, question: str) -> str:
        """The text for a question without sound."""
        return f"<|user|>{question}<|end|><|assistant|>"

    def build_inputs(self, waveforms: Sequence[NDArray[np.float32]], prompt: Prompt) -> Any:
        """Embeddings with the sound in its place, each clip encoded by itself, padded on the left, and their mask."""
        import torch

        with torch.inference_mode():
            rows = [self._embed(waveform, prompt) for waveform in waveforms]
        length = max(len(row) for row in rows)
        return {
            "inputs_embeds": torch.stack([torch.nn.functional.pad(row, (0, 0, length - len(row), 0)) for row in rows]),
            "attention_mask": torch.stack([(torch.arange(length) >= length - len(row)).long() for row in rows]),
        }

    def _embed(self, waveform: NDArray[np.float32], prompt: Prompt) -> Any:
        """One clip's prompt as embeddings, shape (tokens, hidden)."""
        features = self._processor.feature_extractor([waveform], sampling_rate=SAMPLE_RATE, return_tensors="pt")
        wanted = features["audio_embed_sizes"]
        tokens = self._processor.tokenize(self.render(prompt), self._audio_token, wanted)["input_ids"]
        model = self._model
        tokens = tokens.to(model.device)
        embedded = model.model.embed_tokens_extend(
            tokens,
            model.get_input_embeddings()(tokens),
            audio_input_features=features["audio_input_features"].to(model.device, model.dtype),
            audio_embed_sizes=wanted.to(model.device),
        )
        return embedded[0]
