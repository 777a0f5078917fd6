"""SALMONN (Tang et al., ICLR 2024, arXiv 2310.13289): two encoders, a fusion, and a language model with LoRA."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import LlamaForCausalLM, WhisperModel

from serxbench.adapters._generative import load_pretrained, unloadable
from serxbench.adapters._salmonn.beats import Beats
from serxbench.adapters._salmonn.checkpoint import fill_salmonn, fusion_sizes, load_beats, read_file
from serxbench.adapters._salmonn.fusion import Fusion
from serxbench.adapters._salmonn.parts import Parts
from serxbench.errors import AdapterError


class Ears(nn.Module):
    """A clip → the tokens that the language model hears."""

    def __init__(self, whisper: nn.Module, beats: Beats, fusion: Fusion) -> None:
        super().__init__()
        self.whisper = whisper
        self.beats = beats
        self.fusion = fusion

    def forward(self, mel: Tensor, waveform: Tensor) -> Tensor:
        """(tokens, width) of one clip: mel (1, bands, frames) of Whisper's extractor, waveform (samples,).

        One clip at a time: BEATs would otherwise answer for the padding too, and a clip for its neighbours.
        """
        weight = self.fusion.query_tokens
        speech = self.whisper(mel.to(weight)).last_hidden_state
        # The waveform keeps its number format; BEATs rounds the filterbank to that of its weights.
        tokens: Tensor = self.fusion(speech, self.beats(waveform.to(weight.device)))
        return tokens[0]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of a batch: token ids before the audio (with the one that begins a text), audio tokens, ids after."""

    before: Sequence[int]
    audio: Tensor
    after: Sequence[int]


def join_rows(llm: Any, rows: Sequence[Row]) -> dict[str, Tensor]:
    """The language model's `inputs_embeds` (rows, length, width) and `attention_mask`, padded on the left.

    All rows end together, so the next token of each is the first of its answer.
    """
    embed, device = llm.get_input_embeddings(), llm.device

    def embedded(row: Row) -> Tensor:
        before, after = (embed(torch.tensor(ids, device=device)) for ids in (row.before, row.after))
        return torch.cat([before, row.audio, after])

    rows_embedded = [embedded(row) for row in rows]
    length = max(len(row) for row in rows_embedded)
    inputs = rows_embedded[0].new_zeros(len(rows), length, rows_embedded[0].shape[1])
    mask = torch.zeros(len(rows), length, dtype=torch.long, device=device)
    for n, row in enumerate(rows_embedded):
        inputs[n, length - len(row) :] = row
        mask[n, length - len(row) :] = 1
    return {"inputs_embeds": inputs, "attention_mask": mask}


def load_model(parts: Parts, *, dtype: torch.dtype, device: str) -> tuple[Ears, Any]:
    """The ears and the language model of a SALMONN, from its parts. Raises AdapterError."""
    weights = read_file(parts.checkpoint, ("model",))["model"]
    beats = load_beats(parts.beats)
    whisper = load_pretrained(
        parts.whisper,
        "Whisper",
        lambda: WhisperModel.from_pretrained(parts.whisper, dtype=dtype, output_loading_info=True),
    ).get_encoder()
    sizes = fusion_sizes(weights, whisper.config.d_model, beats.width, parts.checkpoint)
    fusion = Fusion(sizes)
    llm = _language_model(parts, sizes.llm, dtype)
    fill_salmonn(fusion, llm, beats, weights, parts.checkpoint)
    return Ears(whisper, beats.to(dtype), fusion.to(dtype)).to(device).eval(), llm.to(device).eval()


def _language_model(parts: Parts, width: int, dtype: torch.dtype) -> Any:
    """Vicuna with LoRA layers that are still empty. Raises AdapterError if it is not `width` wide."""
    from peft import LoraConfig, inject_adapter_in_model

    folder = parts.llm
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        kind, found = config.get("model_type"), config.get("hidden_size")
    except (OSError, ValueError, AttributeError) as error:
        raise unloadable(folder, "Vicuna", error) from error
    if kind != "llama":
        # transformers would take what it knows of the file and fill in LLaMA's defaults.
        raise AdapterError(f"{folder}: is a model of type '{kind}'; Vicuna, a 'llama', was wanted")
    if found != width:
        raise AdapterError(
            f"{parts.checkpoint}: was trained for a language model of width {width}; {folder} has {found}. "
            "SALMONN-7B goes with Vicuna 7B v1.5 (4096), SALMONN-13B with Vicuna 13B v1.1 (5120)"
        )
    llm = load_pretrained(
        folder, "Vicuna", lambda: LlamaForCausalLM.from_pretrained(folder, dtype=dtype, output_loading_info=True)
    )
    # As it was trained: what it adds is scaled by alpha / r = 4.
    inject_adapter_in_model(LoraConfig(r=8, lora_alpha=32, target_modules=["q_proj", "v_proj"]), llm)
    for name, weight in llm.named_parameters():
        if ".lora_" in name:
            # peft computes in the format of the LoRA's own weights, which are stored in float32.
            weight.data = weight.data.float()
    return llm
