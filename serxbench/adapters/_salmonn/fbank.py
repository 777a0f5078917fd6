"""Kaldi's log mel filterbank, as BEATs was trained on it: 128 bands, 25 ms frames every 10 ms, Povey window, no dither.

Written after Kaldi's feat/feature-window.cc and feat/mel-computations.cc (`snip_edges`, `remove_dc_offset`,
`preemphasis_coefficient=0.97`, `low_freq=20`, `high_freq=0`, that is the Nyquist frequency).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from serxbench.audio import SAMPLE_RATE

MEL_BANDS = 128

_FRAME = SAMPLE_RATE * 25 // 1000
_STEP = SAMPLE_RATE * 10 // 1000
_FFT = 512
_LOWEST_HERTZ = 20.0
_PREEMPHASIS = 0.97

#: Kaldi reads 16-bit samples as whole numbers.
_FULL_SCALE = 2.0**15

#: Mean and deviation over AudioSet with which BEATs normalises; twice the deviation is its own choice.
_MEAN, _DEVIATION = 15.41663, 6.55582


def beats_features(waveform: Tensor) -> Tensor:
    """What BEATs takes: (frames, 128) float32, from a waveform in [-1, 1] at 16 kHz of at least 25 ms.

    Computed in float64 on the waveform's device, as upstream does (it reads audio as float64): the logarithm of a band
    that holds hardly any energy would otherwise carry rounding of the large ones beside it.
    """
    frames = (waveform.double() * _FULL_SCALE).unfold(-1, _FRAME, _STEP)
    frames = frames - frames.mean(-1, keepdim=True)
    # The first sample of a frame has no predecessor and is its own.
    before = torch.cat([frames[:, :1], frames[:, :-1]], dim=1)
    frames = (frames - _PREEMPHASIS * before) * _povey_window().to(frames)
    power = torch.fft.rfft(frames, n=_FFT).abs().square()
    energy = power @ _mel_bank().to(power)
    log_energy: Tensor = energy.clamp(min=float(np.finfo(np.float32).eps)).log()
    return ((log_energy - _MEAN) / (2 * _DEVIATION)).float()


def _povey_window() -> Tensor:
    # A Hann window to the power 0.85: Kaldi's default, named after its author.
    hann = 0.5 - 0.5 * np.cos(2 * math.pi * np.arange(_FRAME) / (_FRAME - 1))
    return torch.from_numpy(hann**0.85)


def _mel_bank() -> Tensor:
    """(257, 128): triangles that are straight on the mel scale, not on the hertz scale."""
    edges = np.linspace(_mel(_LOWEST_HERTZ), _mel(SAMPLE_RATE / 2), MEL_BANDS + 2)
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    bins = _mel(np.arange(_FFT // 2 + 1) * SAMPLE_RATE / _FFT)[:, None]
    rising, falling = (bins - left) / (centre - left), (right - bins) / (right - centre)
    bank = np.maximum(0.0, np.minimum(rising, falling))
    bank[-1] = 0.0  # Kaldi leaves the Nyquist bin out
    return torch.from_numpy(bank)


def _mel(hertz: np.ndarray | float) -> np.ndarray:
    return np.asarray(1127.0 * np.log(1.0 + np.asarray(hertz) / 700.0))
