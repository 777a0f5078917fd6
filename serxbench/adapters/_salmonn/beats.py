"""BEATs (Chen et al., 2022, arXiv 2212.09058): a transformer over 16×16 patches of the filterbank.

Only what SALMONN uses is here: the encoder's features, not the classifier over sound events. Modules carry the names
of the released checkpoints. A clip is encoded alone, so there is no mask.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from serxbench.adapters._salmonn.fbank import beats_features
from serxbench.errors import AdapterError

#: Switches of the architecture that every released checkpoint sets alike, and that are written here only that way.
_FIXED = {
    "activation_fn": "gelu",
    "layer_norm_first": False,
    "relative_position_embedding": True,
    "gru_rel_pos": True,
}


@dataclass(frozen=True, kw_only=True)
class BeatsConfig:
    """The part of a checkpoint's `cfg` that its features depend on, under its own names."""

    input_patch_size: int
    embed_dim: int
    conv_bias: bool
    encoder_layers: int
    encoder_embed_dim: int
    encoder_ffn_embed_dim: int
    encoder_attention_heads: int
    deep_norm: bool
    conv_pos: int
    conv_pos_groups: int
    num_buckets: int
    max_distance: int

    @classmethod
    def of_checkpoint(cls, found: Mapping[str, Any], path: Path) -> Self:
        """The configuration in the file at `path`. Raises AdapterError for what is missing or not supported."""
        wanted = [field.name for field in fields(cls)]
        if missing := [name for name in (*wanted, *_FIXED) if name not in found]:
            raise AdapterError(f"{path}: its 'cfg' has no {', '.join(missing)}; an official BEATs file was wanted")
        if odd := [name for name, value in _FIXED.items() if found[name] != value]:
            name = odd[0]
            raise AdapterError(f"{path}: its 'cfg' has {name}={found[name]!r}; only {_FIXED[name]!r} is supported")
        return cls(**{name: found[name] for name in wanted})


class Beats(nn.Module):
    """Waveform → features. width: of one feature vector."""

    def __init__(self, config: BeatsConfig) -> None:
        super().__init__()
        patch, self.width = config.input_patch_size, config.encoder_embed_dim
        self.patch_embedding = nn.Conv2d(1, config.embed_dim, patch, stride=patch, bias=config.conv_bias)
        self.layer_norm = nn.LayerNorm(config.embed_dim)
        if config.embed_dim != self.width:
            self.post_extract_proj: nn.Module = nn.Linear(config.embed_dim, self.width)
        else:
            self.post_extract_proj = nn.Identity()
        self.encoder = _Encoder(config)

    def forward(self, waveform: Tensor) -> Tensor:
        """(1, patches, width) for a waveform (samples,) of one clip: 8 patches for each 16 frames that are whole."""
        weight = self.patch_embedding.weight
        patches = self.patch_embedding(beats_features(waveform).to(weight)[None, None])
        # (1, embed_dim, time, band) → time first, then the bands of one time.
        features = self.layer_norm(patches.flatten(2).transpose(1, 2))
        encoded: Tensor = self.encoder(self.post_extract_proj(features))
        return encoded


class _Encoder(nn.Module):
    def __init__(self, config: BeatsConfig) -> None:
        super().__init__()
        width, kernel = config.encoder_embed_dim, config.conv_pos
        # A Sequential of one: the checkpoint's keys say `pos_conv.0`. Its weight normalisation is folded when loading.
        self.pos_conv = nn.Sequential(
            nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=config.conv_pos_groups)
        )
        self.layer_norm = nn.LayerNorm(width)
        # The first layer holds the table of distances, which serves all of them.
        self.layers: Any = nn.ModuleList(_Layer(config, first=n == 0) for n in range(config.encoder_layers))
        self._distances = (config.num_buckets, config.max_distance)

    def forward(self, x: Tensor) -> Tensor:
        # An even kernel yields one frame too many, which falls off the end.
        positions = self.pos_conv(x.transpose(1, 2))[:, :, : x.shape[1]]
        x = self.layer_norm(x + functional.gelu(positions).transpose(1, 2))
        buckets = _distance_buckets(x.shape[1], *self._distances).to(x.device)
        bias = self.layers[0].self_attn.relative_attention_bias(buckets).permute(2, 0, 1)
        for layer in self.layers:
            x = layer(x, bias)
        return x


class _Layer(nn.Module):
    """A transformer layer with the normalisation after each residual sum, scaled as in DeepNet (arXiv 2203.00555)."""

    def __init__(self, config: BeatsConfig, *, first: bool) -> None:
        super().__init__()
        width, inner = config.encoder_embed_dim, config.encoder_ffn_embed_dim
        self.self_attn = _Attention(config, owns_bias=first)
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, inner)
        self.fc2 = nn.Linear(inner, width)
        self.final_layer_norm = nn.LayerNorm(width)
        self._residual: float = (2 * config.encoder_layers) ** 0.25 if config.deep_norm else 1.0

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        x = self.self_attn_layer_norm(x * self._residual + self.self_attn(x, bias))
        out: Tensor = self.final_layer_norm(x * self._residual + self.fc2(functional.gelu(self.fc1(x))))
        return out


class _Attention(nn.Module):
    """Self-attention with a bias by distance that each query scales for itself, as in WavLM (arXiv 2110.13900, eq. 2).

    The released code divides the queries by 32 and multiplies the scores by 32 again, to stay in range in float16.
    That changes no result, and torch's own attention keeps its scores in float32, so it is left out.
    """

    def __init__(self, config: BeatsConfig, *, owns_bias: bool) -> None:
        super().__init__()
        width, self._heads = config.encoder_embed_dim, config.encoder_attention_heads
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)
        self.grep_linear = nn.Linear(width // self._heads, 8)
        self.grep_a = nn.Parameter(torch.ones(1, self._heads, 1, 1))
        if owns_bias:
            self.relative_attention_bias = nn.Embedding(config.num_buckets, self._heads)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        query, key, value = (self._split(project(x)) for project in (self.q_proj, self.k_proj, self.v_proj))
        # Two gates of four units each, read off the query before it is scaled.
        gates = torch.sigmoid(self.grep_linear(query).reshape(*query.shape[:-1], 2, 4).sum(-1))
        update, reset = gates.chunk(2, dim=-1)
        bias = (update * (reset * self.grep_a - 1.0) + 2.0) * bias
        heard = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        out: Tensor = self.out_proj(heard.transpose(1, 2).flatten(2))
        return out

    def _split(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:2], self._heads, -1).transpose(1, 2)


def _distance_buckets(length: int, n_buckets: int, max_distance: int) -> Tensor:
    """(length, length) bucket of each distance key − query, as in T5: exact when near, logarithmic when far.

    Half of the buckets are for keys that come later. Always computed on the CPU in float32, as upstream does: a
    logarithm that differs in its last bit moves a distance into the next bucket.
    """
    place = torch.arange(length)
    distance = place[None, :] - place[:, None]
    half = n_buckets // 2
    exact = half // 2
    far = torch.log(distance.abs().float() / exact) / math.log(max_distance / exact) * (half - exact)
    # At distance 0 the logarithm is −inf; `where` takes the other side there.
    far = (exact + far.clamp(min=0).long()).clamp(max=half - 1)
    near = distance.abs() < exact
    return torch.where(near, distance.abs(), far) + (distance > 0).long() * half
