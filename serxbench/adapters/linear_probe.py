"""A linear probe as `serxbench probe` fits it: frozen features, standardised, and one logistic regression over classes.

A folder of one holds config.json (features, classes, what it was fitted on), model.safetensors (numbers only: nothing
in it can run) and a card. The encoder is the card's `base`; a probe of eGeMAPS has none. Fitting a probe takes
scikit-learn, using one does not.

Settings of a card: those of serxbench.adapters._classifier.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from serxbench.adapters import Loading
from serxbench.adapters import _classifier as classifier
from serxbench.adapters._frozen_features import SSL, Features, FeatureSettings, load_features
from serxbench.adapters._generative import check_prompt_style, unloadable
from serxbench.errors import AdapterError
from serxbench.hashing import hash_folder

if TYPE_CHECKING:
    from numpy.typing import NDArray

MODEL_TYPE = "serxbench-linear-probe"
MODEL_TYPES = (MODEL_TYPE,)
PROMPT_STYLES = ("chat",)
PARSER = "identity"

CONFIG = "config.json"
WEIGHTS = "model.safetensors"

#: Of config.json; raised by one when a change makes older probes unreadable.
_SCHEMA = 1

_ARRAYS = ("weights", "intercepts", "mean", "scale")


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A fitted probe. weights: (classes, features); the others (features,) or, for intercepts, (classes,).

    encoder: fingerprint of the encoder, None for eGeMAPS. fitted_on: what the folder says about its training.
    """

    classes: tuple[str, ...]
    weights: NDArray[np.float64]
    intercepts: NDArray[np.float64]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    features: FeatureSettings
    encoder: str | None
    fitted_on: dict[str, Any]

    def logits(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """(…, classes) of (…, features): weights · (x − mean) / scale + intercepts."""
        return np.asarray((features - self.mean) / self.scale @ self.weights.T + self.intercepts)

    def save(self, folder: Path) -> None:
        """Writes config.json and model.safetensors."""
        from safetensors.numpy import save

        arrays = {name: np.ascontiguousarray(getattr(self, name)) for name in _ARRAYS}
        (folder / WEIGHTS).write_bytes(save(arrays))
        said = {
            "model_type": MODEL_TYPE,
            "schema": _SCHEMA,
            "classes": list(self.classes),
            "features": asdict(self.features),
            "encoder": self.encoder,
            "fitted_on": self.fitted_on,
        }
        (folder / CONFIG).write_text(json.dumps(said, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_probe(folder: Path) -> Probe:
    """The probe in `folder`. Raises AdapterError."""
    from safetensors.numpy import load_file

    try:
        said = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        arrays = load_file(folder / WEIGHTS)
        schema, features = said["schema"], FeatureSettings(**said["features"])
        known: dict[str, Any] = {
            "classes": tuple(said["classes"]),
            **{key: said[key] for key in ("encoder", "fitted_on")},
        }
    except Exception as error:  # damaged JSON and tensor files raise unrelated types
        raise unloadable(folder, "a linear probe", error) from error
    if schema != _SCHEMA:
        raise AdapterError(f"{folder}: is a probe of schema {schema}; this serxbench reads {_SCHEMA}")
    if absent := [name for name in _ARRAYS if name not in arrays]:
        raise AdapterError(f"{folder}: {len(absent)} weights are not in the checkpoint (the first: {absent[0]})")
    known |= {name: arrays[name] for name in _ARRAYS}
    probe = Probe(features=features, **known)
    n_classes, n_features = probe.weights.shape if probe.weights.ndim == 2 else (0, 0)
    shapes = [probe.intercepts.shape, probe.mean.shape, probe.scale.shape]
    if n_classes != len(probe.classes) or shapes != [(n_classes,), (n_features,), (n_features,)]:
        raise AdapterError(f"{folder}: {WEIGHTS} does not fit the {len(probe.classes)} classes of its {CONFIG}")
    return probe


def load(loading: Loading) -> LinearProbe:
    """The adapter for the probe in `loading.folder`, on the encoder `loading.base`. Raises AdapterError."""
    folder, settings = loading.folder, loading.settings
    check_prompt_style("linear_probe", loading.prompt_style, PROMPT_STYLES)
    classifier.check_settings("linear_probe", settings, classifier.SETTINGS)
    probe = read_probe(folder)
    encoder = loading.base.loading.folder if loading.base else None
    if probe.features.kind == SSL:
        if encoder is None:
            cards = ", ".join(str(path) for path in sorted(folder.glob("*.md"))) or "its card"
            raise AdapterError(
                f"{folder}: the probe needs its encoder, which its card names; give --model one of: {cards}"
            )
        if hash_folder(encoder) != probe.encoder:
            raise AdapterError(
                f"{encoder}: is not the encoder that {folder} was fitted on (other weights or configuration)"
            )
    features = load_features(probe.features, encoder, loading.device, loading.dtype)
    return LinearProbe(probe, features, classifier.read_policy(probe.classes, settings))


class LinearProbe(classifier.Classifier):
    """A loaded probe; see serxbench.adapters.Adapter."""

    def __init__(self, probe: Probe, features: Features, policy: classifier.LabelPolicy) -> None:
        super().__init__(policy, features.min_samples, probe.features.max_seconds)
        self._probe = probe
        self._features = features

    def logits(self, waveforms: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
        """(clips, classes); a clip's row does not depend on the other clips."""
        # Row by row: the last digits of a matrix product depend on the number of its rows.
        return np.stack([self._probe.logits(self._features.compute(waveform)) for waveform in waveforms])
