"""One vector a clip from a model that is not trained: pooled hidden states of an SSL encoder, or openSMILE's eGeMAPS.

    ssl       the hidden states of one layer, or their mean over all layers; then mean and standard deviation over the
              frames of the clip, side by side (2 × hidden size)
    egemaps   the 88 functionals of eGeMAPSv02 (Eyben et al., IEEE Transactions on Affective Computing 7, 2016)

Clips are computed one by one, so no clip's features depend on its neighbours or on the batch size.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from serxbench.adapters._generative import MIN_SECONDS, load_pretrained, unloadable
from serxbench.adapters._waveforms import hush_masks, shortest_clip
from serxbench.audio import SAMPLE_RATE
from serxbench.errors import AdapterError

if TYPE_CHECKING:
    from numpy.typing import NDArray

EGEMAPS = "egemaps"
SSL = "ssl"


@dataclass(frozen=True, kw_only=True)
class FeatureSettings:
    """What is computed. layer: `mean` over all hidden states, `last`, or a number (0 is what enters the first layer).

    max_seconds: of a clip no more is heard.
    """

    kind: str
    layer: str = "mean"
    max_seconds: float = 30.0


class Features(Protocol):
    """Waveform → vector."""

    #: The shortest clip that has features.
    min_samples: int

    def compute(self, waveform: NDArray[np.float32]) -> NDArray[np.float64]:
        """(features,) of mono samples at 16 kHz. Raises ValueError where one is not a finite number."""
        ...


def load_features(settings: FeatureSettings, folder: Path | None, device: str, dtype: str) -> Features:
    """What computes the features. folder: of the encoder, for `ssl`. Raises AdapterError."""
    if settings.kind == EGEMAPS:
        return Egemaps()
    if settings.kind != SSL or folder is None:
        raise AdapterError(
            f"features are '{EGEMAPS}', or '{SSL}' with the folder of an encoder; found '{settings.kind}'"
        )
    return SslFeatures(settings.layer, folder, device, dtype)


class SslFeatures:
    """Pooled hidden states of an encoder that hears samples, normalised as its own feature extractor says."""

    def __init__(self, layer: str, folder: Path, device: str, dtype: str) -> None:
        model, self._extractor = _load_encoder(folder, dtype)
        n_layers = model.config.num_hidden_layers
        if layer not in ("mean", "last") and not (layer.isdecimal() and int(layer) <= n_layers):
            raise AdapterError(f"layer must be 'mean', 'last' or a number from 0 to {n_layers}; found '{layer}'")
        self._layer = layer
        self._model = model.to(device)
        self.min_samples = shortest_clip(model.config)

    def compute(self, waveform: NDArray[np.float32]) -> NDArray[np.float64]:
        """(2 × hidden size,): the mean over the frames, then the deviation."""
        import torch

        model = self._model
        inputs = self._extractor(waveform, sampling_rate=SAMPLE_RATE, return_tensors="pt")
        with torch.inference_mode():
            found = model(inputs["input_values"].to(model.device, model.dtype), output_hidden_states=True)
        frames = self._choose(found).double().cpu().numpy()
        return _finite(np.concatenate([frames.mean(axis=0), frames.std(axis=0)]))

    def _choose(self, found: Any) -> Any:
        import torch

        if self._layer == "last":
            return found.last_hidden_state[0]
        if self._layer == "mean":
            return torch.stack([state[0].float() for state in found.hidden_states]).mean(dim=0)
        return found.hidden_states[int(self._layer)][0]


class Egemaps:
    """openSMILE's eGeMAPSv02 functionals; `pip install opensmile` is needed."""

    min_samples = int(MIN_SECONDS * SAMPLE_RATE)

    def __init__(self) -> None:
        try:
            opensmile = importlib.import_module("opensmile")
        except ImportError as error:
            raise AdapterError(
                "eGeMAPS needs openSMILE (free for research, not for products): pip install 'serxbench[egemaps]'"
            ) from error
        self._smile = opensmile.Smile(
            feature_set=opensmile.FeatureSet.eGeMAPSv02, feature_level=opensmile.FeatureLevel.Functionals
        )

    def compute(self, waveform: NDArray[np.float32]) -> NDArray[np.float64]:
        """(88,)"""
        return _finite(self._smile.process_signal(waveform, SAMPLE_RATE).to_numpy(dtype=np.float64)[0])


def _finite(features: NDArray[np.float64]) -> NDArray[np.float64]:
    if not np.isfinite(features).all():
        raise ValueError(f"{int((~np.isfinite(features)).sum())} of {len(features)} features are not finite numbers")
    return features


def _load_encoder(folder: Path, dtype: str) -> tuple[Any, Any]:
    import torch
    from transformers import AutoConfig, AutoFeatureExtractor, AutoModel

    hush_masks()
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        extractor = AutoFeatureExtractor.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:
        raise unloadable(folder, "an audio encoder", error) from error
    if not hasattr(config, "conv_kernel") or extractor.sampling_rate != SAMPLE_RATE:
        raise AdapterError(
            f"{folder}: is a {config.model_type}; an encoder that hears samples at {SAMPLE_RATE} Hz was wanted "
            "(wav2vec 2.0, HuBERT, WavLM, data2vec, …)"
        )
    # The mask token of pretraining is in no fine-tuned checkpoint, and inference has no use for it.
    config.mask_time_prob = config.mask_feature_prob = 0.0
    model = load_pretrained(
        folder,
        "an audio encoder",
        lambda: AutoModel.from_pretrained(
            folder, config=config, dtype=getattr(torch, dtype), output_loading_info=True, trust_remote_code=False
        ),
    )
    return model, extractor
