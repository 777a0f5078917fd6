"""From two encoders' features to the tokens that the language model hears: SALMONN's window-level Q-Former.

Every window of about a third of a second becomes one token, whatever is in it. Whisper's features always last 30 s,
and so do the tokens: 1500 frames, windows of 17, hence 88 tokens; the last 4 frames belong to none.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import Blip2QFormerConfig, Blip2QFormerModel

from serxbench.errors import AdapterError

#: Whisper's encoder yields 1500 frames for 30 s; SALMONN's windows are 0.333333 s long and do not overlap.
WINDOW_FRAMES = round(1500 * 0.333333 / 30)

#: The Q-Former is cut from BERT, whose heads are 64 wide at every size.
_HEAD_WIDTH = 64


@dataclass(frozen=True, kw_only=True)
class FusionSizes:
    """Widths of what is fused (speech, audio), of the Q-Former, and of the language model."""

    speech: int
    audio: int
    hidden: int
    inner: int
    layers: int
    queries: int
    llm: int


class Fusion(nn.Module):
    """Features of both encoders → audio tokens."""

    def __init__(self, sizes: FusionSizes) -> None:
        super().__init__()
        self.ln_speech = nn.LayerNorm(sizes.speech)
        self.ln_audio = nn.LayerNorm(sizes.audio)
        self.query_tokens = nn.Parameter(torch.zeros(1, sizes.queries, sizes.hidden))
        # bert-base-uncased but for its depth, with cross-attention in every layer, and only the branch of the queries.
        self.qformer = Blip2QFormerModel(
            Blip2QFormerConfig(
                hidden_size=sizes.hidden,
                num_hidden_layers=sizes.layers,
                num_attention_heads=sizes.hidden // _HEAD_WIDTH,
                intermediate_size=sizes.inner,
                hidden_act="gelu",
                layer_norm_eps=1e-12,
                cross_attention_frequency=1,
                encoder_hidden_size=sizes.speech + sizes.audio,
                use_qformer_text_input=False,
            )
        )
        self.projection = nn.Linear(sizes.hidden, sizes.llm)

    def forward(self, speech: Tensor, audio: Tensor) -> Tensor:
        """(1, tokens, llm) for (1, frames, speech) and (1, patches, audio) of one clip."""
        speech, audio = self.ln_speech(speech), self.ln_audio(audio)
        # Both run at 50 Hz. After the end of a short clip there is Whisper's idea of silence, and zeros from BEATs.
        length = max(speech.shape[1], audio.shape[1])
        both = torch.cat([_lengthen(speech, length), _lengthen(audio, length)], dim=-1)
        windows = both.shape[1] // WINDOW_FRAMES
        if not windows:
            raise AdapterError(f"the encoders give {both.shape[1]} frames; one window takes {WINDOW_FRAMES}")
        both = both[0, : windows * WINDOW_FRAMES].reshape(windows, WINDOW_FRAMES, -1)
        queries = self.query_tokens.expand(windows, -1, -1)
        answers = self.qformer(query_embeds=queries, encoder_hidden_states=both).last_hidden_state
        tokens: Tensor = self.projection(answers)
        return tokens.flatten(0, 1)[None]


def _lengthen(features: Tensor, length: int) -> Tensor:
    return functional.pad(features, (0, 0, 0, length - features.shape[1]))
