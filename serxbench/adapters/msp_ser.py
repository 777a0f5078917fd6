"""The baseline of MSP-Podcast and the Odyssey 2024 challenge: an SSL encoder, attentive statistics pooling, an MLP.

A native implementation for WavLM, wav2vec 2.0 and HuBERT encoders: the authors' hub code needs transformers 4 and is
never run. serxbench.adapters._msp_checkpoint says which files there may be. What has to be right here, because getting
it wrong gives scores that look normal:

- samples are normalised by the mean and deviation of the training set, not clip by clip,
- only the first 12 s are heard; the record of a longer clip says `truncated`,
- which output is which class is read from `id2label`,
- every weight of the checkpoint finds its place, and every weight of the model comes from the checkpoint.

The recipe pools over one frame more than a clip has, which in a padded batch is a frame of padding; the authors
evaluate clip by clip, where there is none. Here the frames are counted as the convolutions yield them, so a clip's
answer is that of their evaluation whatever the batch. Encoders that normalise over time (wav2vec2-base, hubert-base,
wavlm-base) are computed clip by clip; with `one_by_one: true` all are, and the batch moves not even the last digit.

Settings of a card, besides those of serxbench.adapters._classifier:

    backbone: microsoft/wavlm-large    whose configuration the encoder has, if the checkpoint does not say (or a path)
    backbone_revision: …               the commit of that hub repository
    id2label: {0: Angry, …}            needed by the three-file format
    mean, std                          instead of train_norm_stat.pkl
    max_seconds: 12
    files: best | final                where a folder holds both
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from serxbench.adapters import Loading
from serxbench.adapters import _classifier as classifier
from serxbench.adapters import _msp_checkpoint as msp
from serxbench.adapters._generative import check_prompt_style
from serxbench.adapters._quiet import hush_transformers
from serxbench.adapters._waveforms import (
    count_frames,
    hush_masks,
    in_batches,
    may_share_a_batch,
    pad_waveforms,
    shortest_clip,
)
from serxbench.errors import AdapterError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MODEL_TYPES = ("ser",)
PROMPT_STYLES = ("chat",)
PARSER = "identity"

#: Of the recipe: keeps silence from being divided by nothing, and the spread of a constant from being zero.
_STD_FLOOR = 1e-6
_VARIANCE_FLOOR = 1e-5

#: Weights by which training masks time; inference has no use for them, and not every checkpoint has them.
_TRAINING_ONLY = "masked_spec_embed"

#: The two names of a weight under weight normalisation: of older files, and of present torch.
_RENAMED = {".weight_g": ".parametrizations.weight.original0", ".weight_v": ".parametrizations.weight.original1"}


def load(loading: Loading) -> MspSer:
    """The adapter for the checkpoint in `loading.folder`. Raises AdapterError."""
    hush_transformers()
    hush_masks()
    check_prompt_style("msp_ser", loading.prompt_style, PROMPT_STYLES)
    if loading.folder == Path():
        raise AdapterError(
            "msp_ser: the card names no checkpoint. Put final_ssl.pt, final_pool.pt, final_ser.pt and "
            "train_norm_stat.pkl of your training (or of a zip from https://lab-msp.com/MODELS/Odyssey_Baselines/) "
            "into a folder, copy the card to a folder of your own with that path behind `repository`, and give --model "
            "the copy"
        )
    settings = loading.settings
    classifier.check_settings("msp_ser", settings, (*classifier.SETTINGS, *msp.SETTINGS))
    alone = classifier.read_flag(settings, "one_by_one", False)
    checkpoint = msp.read_checkpoint(loading.folder, settings)
    policy = classifier.read_policy(checkpoint.labels, settings)
    network = build_network(checkpoint, loading.folder, loading.device, loading.dtype)
    return MspSer(network, checkpoint, policy, alone)


class MspSer(classifier.Classifier):
    """A loaded baseline; see serxbench.adapters.Adapter."""

    def __init__(
        self, network: Network, checkpoint: msp.MspCheckpoint, policy: classifier.LabelPolicy, alone: bool
    ) -> None:
        config = checkpoint.backbone
        super().__init__(policy, shortest_clip(config), checkpoint.max_seconds)
        self._network = network
        self._mean, self._std = checkpoint.mean, checkpoint.std
        self._together = may_share_a_batch(config) and not alone

    def logits(self, waveforms: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
        """(clips, labels); a clip's row does not depend on the other clips."""
        normalised = [(each - self._mean) / (self._std + _STD_FLOOR) for each in waveforms]
        return np.concatenate([self._network.logits(some) for some in in_batches(normalised, self._together)])


@dataclass(frozen=True, kw_only=True)
class Network:
    """The three parts on their device. pool, head: name → tensor, as in the checkpoint."""

    encoder: Any
    pool: Mapping[str, Any]
    head: Mapping[str, Any]

    def logits(self, waveforms: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
        """(clips, labels) of normalised clips that share a padded batch."""
        import torch

        encoder = self.encoder
        values, mask = pad_waveforms(waveforms)
        with torch.inference_mode():
            frames = encoder(
                values.to(encoder.device, encoder.dtype), attention_mask=mask.to(encoder.device)
            ).last_hidden_state
            numbers = [count_frames(encoder.config, len(waveform)) for waveform in waveforms]
            pooled = [pool(own[:number], self.pool) for own, number in zip(frames, numbers, strict=True)]
            found = classify(torch.stack(pooled), self.head)
        return np.asarray(found.float().cpu(), dtype=np.float64)


def pool(frames: Any, weights: Mapping[str, Any]) -> Any:
    """Attentive statistics (Okabe et al., arXiv 1803.10963) of one clip: (frames, H) → (2 H,), mean then deviation.

    a = softmax over the frames of v · tanh(W x + b);  μ = Σ a x;  σ = √max(Σ a x² − μ², 10⁻⁵)
    """
    import torch
    from torch.nn.functional import linear

    energies = (
        torch.tanh(linear(frames, weights["sap_linear.weight"], weights["sap_linear.bias"])) @ weights["attention"]
    )
    shares = torch.softmax(energies, dim=0)
    mean = (shares * frames).sum(dim=0)
    variance = (shares * frames**2).sum(dim=0) - mean**2
    return torch.cat([mean, variance.clamp(min=_VARIANCE_FLOOR).sqrt()])


def classify(pooled: Any, weights: Mapping[str, Any]) -> Any:
    """(clips, 2 H) → (clips, labels): linear, layer norm and ReLU as often as there are weights, then linear."""
    from torch.nn.functional import layer_norm, linear, relu

    for n in range(_count_layers(weights)):
        hidden = linear(pooled, weights[f"fc.{n}.0.weight"], weights[f"fc.{n}.0.bias"])
        scale, shift = weights[f"fc.{n}.1.weight"], weights[f"fc.{n}.1.bias"]
        pooled = relu(layer_norm(hidden, scale.shape, scale, shift))
    return linear(pooled, weights["out.0.weight"], weights["out.0.bias"])


def build_network(checkpoint: msp.MspCheckpoint, folder: Path, device: str, dtype: str) -> Network:
    """The three parts with all weights of the checkpoint in place. Raises AdapterError for one too many or too few."""
    import torch
    from transformers import AutoModel

    config, weights = checkpoint.backbone, checkpoint.weights
    config.mask_time_prob = config.mask_feature_prob = 0.0
    width = config.hidden_size
    encoder = AutoModel.from_config(config)
    found = {_present_name(key): value for key, value in weights["ssl"].items() if key != _TRAINING_ONLY}
    _check(found, {key: tuple(value.shape) for key, value in encoder.state_dict().items()}, folder, "encoder")
    encoder.load_state_dict(found)
    _check(weights["pool"], _pool_shapes(width), folder, "pooling")
    _check(weights["ser"], _head_shapes(weights["ser"], width, len(checkpoint.labels)), folder, "classifier")
    format = getattr(torch, dtype)
    moved = [{key: value.to(device, format) for key, value in weights[part].items()} for part in ("pool", "ser")]
    return Network(encoder=encoder.eval().to(device, format), pool=moved[0], head=moved[1])


def _present_name(key: str) -> str:
    for old, new in _RENAMED.items():
        key = key.removesuffix(old) + new if key.endswith(old) else key
    return key


def _pool_shapes(width: int) -> dict[str, tuple[int, ...]]:
    return {"sap_linear.weight": (width, width), "sap_linear.bias": (width,), "attention": (width, 1)}


def _head_shapes(weights: Mapping[str, Any], width: int, n_labels: int) -> dict[str, tuple[int, ...]]:
    """Of a head with as many layers as the checkpoint has, as wide as its first says."""
    first = weights.get("fc.0.0.bias")
    inner = len(first) if first is not None and first.dim() == 1 else width
    shapes: dict[str, tuple[int, ...]] = {"out.0.weight": (n_labels, inner), "out.0.bias": (n_labels,)}
    for n in range(max(_count_layers(weights), 1)):
        shapes |= {f"fc.{n}.0.weight": (inner, inner if n else 2 * width)}
        shapes |= {f"fc.{n}.{name}": (inner,) for name in ("0.bias", "1.weight", "1.bias")}
    return shapes


def _count_layers(weights: Mapping[str, Any]) -> int:
    return sum(key.startswith("fc.") and key.endswith(".0.weight") for key in weights)


def _check(found: Mapping[str, Any], wanted: Mapping[str, tuple[int, ...]], folder: Path, part: str) -> None:
    """Raises AdapterError unless `found` has exactly the `wanted` weights, of these shapes."""
    absent, strange = [key for key in wanted if key not in found], [key for key in found if key not in wanted]
    if absent:
        raise AdapterError(
            f"{folder}: {len(absent)} weights are not in the checkpoint (the first: {absent[0]} of the {part})"
        )
    if strange:
        raise AdapterError(f"{folder}: {len(strange)} weights have no place in the {part} (the first: {strange[0]})")
    for key, shape in wanted.items():
        if tuple(found[key].shape) != shape:
            raise AdapterError(
                f"{folder}: '{key}' of the {part} has the shape {tuple(found[key].shape)} and not {shape}"
            )
