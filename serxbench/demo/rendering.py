"""Sentence, voice and prosody → samples: espeak-ng, then what it has no knob for, in numpy.

All arithmetic is in float64 and rounded once to 16 bits, so that the last digit of a platform's sine does not matter.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from serxbench.audio import SAMPLE_RATE
from serxbench.demo.programs import ESPEAK_SAMPLE_RATE, speak
from serxbench.demo.prosody import Prosody
from serxbench.demo.sentences import Sentence
from serxbench.demo.voices import Voice

_WORDS_PER_MINUTE = 165
_EDGE_SECONDS = 0.05
_OVERSAMPLING = 4

Samples = NDArray[np.float64]


def render_utterance(
    sentence: Sentence, voice: Voice, prosody: Prosody, random: np.random.RandomState
) -> NDArray[np.int16]:
    """One clip at 16 kHz, mono, 16 bits: deterministic in its arguments."""
    spoken = _phrases(sentence, voice, prosody)
    samples = _glide(spoken, voice, prosody, random)
    samples = _shake(samples, prosody, random)
    samples = _tilt(_breathe(samples, prosody, random), prosody.tilt)
    return _level(samples, prosody.loudness)


def _phrases(sentence: Sentence, voice: Voice, prosody: Prosody) -> Samples:
    """Both phrases at espeak-ng's rate with the pause between them.

    The vocal-tract factor is a change of playing speed, so the pace asked of espeak-ng is divided by it.
    """
    parts = []
    for phrase, factor in zip(sentence.phrases, (1.0, prosody.drawl), strict=True):
        part = speak(
            phrase,
            voice=f"{voice.accent}+{voice.variant}",
            words_per_minute=round(_WORDS_PER_MINUTE * prosody.rate * factor / voice.tract),
            pitch=round(min(max(voice.pitch + prosody.pitch, 0), 99)),
            pitch_range=round(prosody.range),
        )
        parts.append(_trim(part))
    pause = np.zeros(int(prosody.pause * ESPEAK_SAMPLE_RATE * voice.tract))
    return np.concatenate([parts[0], pause, parts[1]])


def _trim(samples: Samples) -> Samples:
    loud = np.flatnonzero(np.abs(samples) > 0.01 * np.abs(samples).max(initial=1e-9))
    return samples[loud[0] : loud[-1] + 1] if len(loud) else samples


def _glide(samples: Samples, voice: Voice, prosody: Prosody, random: np.random.RandomState) -> Samples:
    """Resampled to 16 kHz along a speed that bends the pitch: vocal tract, final rise or fall, tremor."""
    seconds = len(samples) / ESPEAK_SAMPLE_RATE
    time = np.arange(0, seconds, 1 / SAMPLE_RATE)
    ramp = np.clip((time - 0.55 * seconds) / (0.35 * seconds), 0, 1)
    rate_hertz, phase = random.uniform(6.0, 8.0), random.uniform(0, 2 * np.pi)
    wobble = 1 + 0.05 * prosody.tremor * np.sin(2 * np.pi * rate_hertz * time + phase)
    speed = voice.tract * 2 ** (prosody.final * ramp / 12) * wobble
    position = np.concatenate([[0.0], np.cumsum(speed)[:-1]]) / SAMPLE_RATE
    position = position[position < seconds]
    if position[-1] + 2 / SAMPLE_RATE < seconds:  # slowed: the speed of the last instant goes on to the end
        rest = np.arange(position[-1] + speed[-1] / SAMPLE_RATE, seconds, speed[-1] / SAMPLE_RATE)
        position = np.concatenate([position, rest])
    spectrum = np.fft.rfft(samples)
    frequencies = np.fft.rfftfreq(len(samples), 1 / ESPEAK_SAMPLE_RATE)
    spectrum[frequencies > 0.48 * SAMPLE_RATE / max(1.0, float(speed.max()))] = 0
    fine = np.fft.irfft(spectrum, _OVERSAMPLING * len(samples)) * _OVERSAMPLING
    played = np.interp(position * ESPEAK_SAMPLE_RATE * _OVERSAMPLING, np.arange(len(fine)), fine)
    return np.asarray(played, dtype=np.float64)


def _shake(samples: Samples, prosody: Prosody, random: np.random.RandomState) -> Samples:
    """Amplitude tremor (6 to 8 Hz) and roughness (40 to 60 Hz with an unsteady phase, and overdrive)."""
    time = np.arange(len(samples)) / SAMPLE_RATE
    tremor = 1 - 0.7 * prosody.tremor * (0.5 + 0.5 * np.sin(2 * np.pi * random.uniform(6.0, 8.0) * time))
    unsteady = np.cumsum(random.standard_normal(len(samples))) * 0.02
    creak = 1 - 0.75 * prosody.rough * (0.5 + 0.5 * np.sin(2 * np.pi * random.uniform(40, 60) * time + unsteady))
    shaken = samples / max(np.abs(samples).max(), 1e-9) * tremor * creak
    drive = 1 + 3 * prosody.rough
    return np.asarray(np.tanh(drive * shaken) / np.tanh(drive), dtype=np.float64)


def _breathe(samples: Samples, prosody: Prosody, random: np.random.RandomState) -> Samples:
    """Noise above 800 Hz that follows the envelope of the voice."""
    noise = _filter(random.standard_normal(len(samples)), lambda hertz: np.clip(hertz / 1600 - 0.5, 0, 1))
    window = np.hanning(int(0.03 * SAMPLE_RATE))
    envelope = np.convolve(np.abs(samples), window / window.sum(), mode="same")
    return np.asarray(samples + 0.8 * prosody.breath * envelope * noise, dtype=np.float64)


def _tilt(samples: Samples, decibels_an_octave: float) -> Samples:
    return _filter(
        samples, lambda hertz: (np.clip(hertz, 150, 6000) / 600) ** (decibels_an_octave / (20 * np.log10(2)))
    )


def _filter(samples: Samples, gain_of: Callable[[Samples], Samples]) -> Samples:
    gain = gain_of(np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE).astype(np.float64))
    return np.fft.irfft(np.fft.rfft(samples) * gain, len(samples))


def _level(samples: Samples, decibels: float) -> NDArray[np.int16]:
    """The spoken part at `decibels` below full scale (peaks clipped softly), silence at both ends."""
    loud = np.abs(samples) > 0.05 * np.abs(samples).max()
    scaled = samples / np.sqrt(np.mean(samples[loud] ** 2)) * 10 ** (decibels / 20)
    bent = np.sign(scaled) * (0.7 + 0.29 * np.tanh((np.abs(scaled) - 0.7) / 0.29))
    limited = np.where(np.abs(scaled) > 0.7, bent, scaled)
    edge = np.zeros(int(_EDGE_SECONDS * SAMPLE_RATE))
    whole: NDArray[np.int16] = np.round(np.concatenate([edge, limited, edge]) * 32_767).astype(np.int16)
    return whole
