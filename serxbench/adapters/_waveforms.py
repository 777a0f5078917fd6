"""What every wav2vec-like encoder has in common: how samples become frames, and who may share a batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Encoders whose attention, positions and pooling were checked to ignore padding under an attention mask.
_MASKED = ("wav2vec2", "hubert", "wavlm", "unispeech-sat")


def count_frames(config: Any, samples: int) -> int:
    """The frames that the convolutions of an encoder yield for a clip: 49 for 16,000 samples of the usual front end.

    The recipe of the MSP-Podcast baseline counts (samples − 1) // 320 + 1, one too many.
    """
    for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
        samples = (samples - kernel) // stride + 1
    return samples


def shortest_clip(config: Any) -> int:
    """The fewest samples that yield a frame (400 of the usual front end)."""
    samples = 1
    for kernel, stride in reversed(list(zip(config.conv_kernel, config.conv_stride, strict=True))):
        samples = (samples - 1) * stride + kernel
    return samples


def may_share_a_batch(config: Any) -> bool:
    """Whether a clip's features stay the same in a padded batch with an attention mask.

    Where the front end normalises over time (`feat_extract_norm: group`), padding changes every frame of a clip, and no
    mask helps. What is not known to be safe is computed clip by clip.
    """
    normalises_frames = getattr(config, "feat_extract_norm", None) == "layer"
    return normalises_frames and config.model_type in _MASKED and not getattr(config, "add_adapter", False)


def pad_waveforms(waveforms: Sequence[NDArray[np.float32]]) -> tuple[Any, Any]:
    """Tensors of shape (clips, longest): the samples with zeros behind them, and 1 where there is a sample."""
    import torch

    longest = max(len(waveform) for waveform in waveforms)
    values = np.zeros((len(waveforms), longest), dtype=np.float32)
    mask = np.zeros(values.shape, dtype=np.int64)
    for row, waveform in enumerate(waveforms):
        values[row, : len(waveform)] = waveform
        mask[row, : len(waveform)] = 1
    return torch.from_numpy(values), torch.from_numpy(mask)


def in_batches(waveforms: Sequence[NDArray[np.float32]], together: bool) -> Iterable[Sequence[NDArray[np.float32]]]:
    """All clips at once, or one by one."""
    return [waveforms] if together else [[waveform] for waveform in waveforms]


def hush_masks() -> None:
    """Keeps torch's advice about the two kinds of mask that transformers gives WavLM off stderr."""
    import warnings

    warnings.filterwarnings("ignore", message="Support for mismatched key_padding_mask", category=UserWarning)
