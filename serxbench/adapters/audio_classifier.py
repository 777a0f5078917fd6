"""Fine-tuned audio classifiers of transformers, as save_pretrained writes them: pooled features and a linear layer.

What has to be right here, because getting it wrong gives scores that look normal:

- whether a clip is normalised, and whether a mask goes with it, differs by checkpoint: its feature extractor decides,
- an encoder whose front end normalises over time answers differently in a padded batch, mask or not; such a one is
  computed clip by clip, and so is any other that is not known to be safe,
- which output is which class is read from `id2label`: no two published models have the same order.

Settings of a card, besides those of serxbench.adapters._classifier:

    max_seconds: 30    of a clip no more is heard; without it all that the harness reads (Whisper: its window)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from serxbench.adapters import Loading
from serxbench.adapters import _classifier as classifier
from serxbench.adapters._generative import MIN_SECONDS, check_prompt_style, load_pretrained, unloadable
from serxbench.adapters._waveforms import hush_masks, in_batches, may_share_a_batch, shortest_clip
from serxbench.audio import MAX_SECONDS_READ, SAMPLE_RATE
from serxbench.errors import AdapterError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MODEL_TYPES = (
    *("wav2vec2", "hubert", "wavlm", "unispeech", "unispeech-sat", "data2vec-audio", "wav2vec2-conformer"),
    "whisper",
)
PROMPT_STYLES = ("chat",)
PARSER = "identity"


def load(loading: Loading) -> AudioClassifier:
    """The adapter for the checkpoint in `loading.folder`. Raises AdapterError."""
    import torch
    from transformers import AutoFeatureExtractor, AutoModelForAudioClassification

    hush_masks()
    folder, settings = loading.folder, loading.settings
    check_prompt_style("audio_classifier", loading.prompt_style, PROMPT_STYLES)
    classifier.check_settings("audio_classifier", settings, (*classifier.SETTINGS, "max_seconds"))
    model = load_pretrained(
        folder,
        "an audio classifier",
        lambda: AutoModelForAudioClassification.from_pretrained(
            folder, dtype=getattr(torch, loading.dtype), output_loading_info=True, trust_remote_code=False
        ),
    )
    try:
        extractor = AutoFeatureExtractor.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:
        raise unloadable(folder, "an audio classifier", error) from error
    if extractor.sampling_rate != SAMPLE_RATE:
        raise AdapterError(f"{folder}: hears audio at {extractor.sampling_rate} Hz; only {SAMPLE_RATE} is supported")
    labels = classifier.read_id2label(model.config.id2label, f"{folder / 'config.json'}")
    policy = classifier.read_policy(labels, settings)
    return AudioClassifier(model.to(loading.device), extractor, policy, settings)


class AudioClassifier(classifier.Classifier):
    """A loaded audio classifier; see serxbench.adapters.Adapter."""

    def __init__(self, model: Any, extractor: Any, policy: classifier.LabelPolicy, settings: Mapping[str, Any]) -> None:
        config = model.config
        hears_samples = hasattr(config, "conv_kernel")
        window = MAX_SECONDS_READ if hears_samples else extractor.n_samples / SAMPLE_RATE
        least = shortest_clip(config) if hears_samples else int(MIN_SECONDS * SAMPLE_RATE)
        super().__init__(policy, least, min(window, _max_seconds(settings)))
        self._model = model
        self._extractor = extractor
        # A window of fixed length is filled up the same way whoever shares the batch.
        masked = may_share_a_batch(config) and extractor.return_attention_mask
        alone = classifier.read_flag(settings, "one_by_one", False)
        self._together = (masked or not hears_samples) and not alone

    def logits(self, waveforms: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
        """(clips, labels); a clip's row does not depend on the other clips."""
        return np.concatenate([self._logits(some) for some in in_batches(waveforms, self._together)])

    def _logits(self, waveforms: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
        import torch

        model = self._model
        padding = {} if self._extractor.model_input_names[0] == "input_features" else {"padding": True}
        inputs = self._extractor(list(waveforms), sampling_rate=SAMPLE_RATE, return_tensors="pt", **padding)
        placed = {
            name: value.to(model.device, model.dtype) if value.is_floating_point() else value.to(model.device)
            for name, value in inputs.items()
        }
        with torch.inference_mode():
            found = model(**placed).logits
        return np.asarray(found.float().cpu(), dtype=np.float64)


def _max_seconds(settings: Mapping[str, Any]) -> float:
    value = settings.get("max_seconds", MAX_SECONDS_READ)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        raise AdapterError(f"settings.max_seconds must be a number of seconds above 0; found {value!r}")
    return float(value)
