"""Sound as a server gets it."""

from __future__ import annotations

import io
import wave
from typing import Any

import numpy as np

from serxbench.audio import SAMPLE_RATE


def encode_wav(waveform: np.ndarray[Any, np.dtype[np.float32]]) -> bytes:
    """A WAV file of 16-bit samples, mono at 16 kHz; without loss for what came from such a file."""
    # 32768, as libsndfile divides by it when it reads: 16-bit samples come out as they went in.
    samples = np.clip(np.rint(waveform * np.float32(32768)), -32768, 32767).astype("<i2")
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(SAMPLE_RATE)
        writer.writeframes(samples.tobytes())
    return file.getvalue()
