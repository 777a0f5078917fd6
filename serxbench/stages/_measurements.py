"""Pitch, loudness, rate and pauses of clips, measured by Praat through parselmouth.

Settings (docs/rationales.md gives them in Praat's own words):

    pitch      To Pitch (autocorrelation), 10 ms steps, twice: 60 to 700 Hz, then from 0.75 times the first quartile to
               2.5 times the third of what was found (after Hirst 2011), so that the range fits the voice
    intensity  To Intensity, minimum pitch 100 Hz, 10 ms steps, mean subtracted; a frame sounds if it is at most 25 dB
               below the loudest
    syllables  for the change of rate: voiced peaks of the intensity with dips of 2 dB between them (after de Jong and
               Wempe 2009)
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serxbench.audio import SAMPLE_RATE, Clip, read_ahead
from serxbench.clip_cache import ClipCache
from serxbench.errors import AdapterError
from serxbench.progress import Progress
from serxbench.records import Utterance

#: Raised by one when a number can come out otherwise.
_VERSION = 3

_STEP = 0.01
_FLOOR, _CEILING = 60.0, 700.0
_SILENCE_BELOW_LOUDEST = 25.0
_SHORTEST_PAUSE = 0.1
#: Fewer voiced frames than this say nothing of a contour.
_FEWEST_VOICED = 10
_END_SHARE = 0.2
_DIP = 2.0
#: Three intervals in either half.
_FEWEST_SYLLABLES = 7

#: Property of a clip → its number; a property that cannot be measured is absent.
Measures = Mapping[str, float]

_VOWELS = re.compile(r"[aeiouy]+")


def measure_clips(utterances: Sequence[Utterance], progress: Progress) -> dict[str, Measures]:
    """id → measures of each utterance whose clip can be read. Raises AdapterError without parselmouth."""
    praat = _praat()
    kind = f"measures {_VERSION} praat {praat.PRAAT_VERSION}"
    paths = {u.id: u.audio for u in utterances if u.audio is not None}
    with closing(ClipCache(kind)) as cache:
        found: dict[str, dict[str, float]] = {id: known for id, path in paths.items() if (known := cache.find(path))}
        waiting = [id for id in paths if id not in found]
        if waiting:
            progress.start("measuring clips", total=len(paths), done=len(found))
        with closing(read_ahead(paths[id] for id in waiting)) as clips:
            for id, clip in zip(waiting, clips, strict=True):
                if isinstance(clip, Clip):
                    found[id] = measure(clip.waveform)
                    cache.keep(paths[id], found[id])
                progress.advance(1, 0 if isinstance(clip, Clip) else 1)
        if waiting:
            progress.finish()
    return {u.id: _with_rate(found[u.id], u.transcript) for u in utterances if u.id in found}


def measure(waveform: NDArray[np.float32]) -> dict[str, float]:
    """What can be measured without the transcript; `spoken_seconds` is the time that sounds.

    pitch: median in semitones above 1 Hz. pitch_range: semitones between the 10th and the 90th percentile.
    pitch_end: semitones of the last fifth of the voiced frames above the rest (medians). loudness: mean intensity in dB
    of the frames that sound. loudness_change: dB of their second half above the first. pauses: seconds of the longest
    silence between sounds. rate_change: octaves by which the syllables of the second half follow each other faster.
    """
    praat = _praat()
    sound = praat.Sound(np.asarray(waveform, dtype=np.float64), SAMPLE_RATE)
    of_pitch, voiced = _of_pitch(sound)
    return {**of_pitch, **_of_intensity(sound, voiced)}


def _praat() -> Any:
    try:
        import parselmouth
    except ImportError:
        raise AdapterError(
            "checking claims against the sound needs Praat: pip install 'serxbench[grounding]' (or give --text-only)"
        ) from None
    return parselmouth


def _of_pitch(sound: Any) -> tuple[dict[str, float], NDArray[np.float64]]:
    """What is measured of the pitch, and the times of the voiced frames."""
    none: NDArray[np.float64] = np.zeros(0)
    try:
        _, voiced = _voiced(sound, _FLOOR, _CEILING)
        if len(voiced) < _FEWEST_VOICED:
            return {}, none
        first, third = _quantiles(voiced, [0.25, 0.75])
        times, voiced = _voiced(sound, 0.75 * first, 2.5 * third)
    except _praat().PraatError:  # too short a clip for the floor
        return {}, none
    if len(voiced) < _FEWEST_VOICED:
        return {}, times
    semitones = 12 * np.log2(voiced)
    low, high = _quantiles(semitones, [0.1, 0.9])
    end = max(1, round(_END_SHARE * len(semitones)))
    return {
        "pitch": float(np.median(semitones)),
        "pitch_range": high - low,
        "pitch_end": float(np.median(semitones[-end:]) - np.median(semitones[:-end])),
    }, times


def _voiced(sound: Any, floor: float, ceiling: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(times, F0 in Hz) of the voiced frames."""
    pitch = sound.to_pitch(time_step=_STEP, pitch_floor=floor, pitch_ceiling=ceiling)
    values = np.asarray(pitch.selected_array["frequency"], dtype=np.float64)
    return np.asarray(pitch.xs(), dtype=np.float64)[values > 0], values[values > 0]


def _quantiles(values: NDArray[np.float64], shares: list[float]) -> list[float]:
    """Quantiles by Praat's own rule."""
    found: list[float] = np.quantile(values, shares, method="hazen").tolist()
    return found


def _of_intensity(sound: Any, voiced: NDArray[np.float64]) -> dict[str, float]:
    """What is measured of the intensity. voiced: times of voiced frames."""
    try:
        intensity = sound.to_intensity(minimum_pitch=100.0, time_step=_STEP)
        levels = np.asarray(intensity.values[0], dtype=np.float64)
    except _praat().PraatError:
        return {}
    levels = np.where(np.isfinite(levels), levels, -300.0)
    if not len(levels) or levels.max() <= 0:  # digital silence has no level
        return {}
    sounding = levels > levels.max() - _SILENCE_BELOW_LOUDEST
    places = np.flatnonzero(sounding)
    gaps = np.diff(places) - 1
    pauses = gaps[gaps * _STEP >= _SHORTEST_PAUSE] * _STEP
    found = {
        "loudness": _mean_level(levels[places]),
        "pauses": float(pauses.max(initial=0.0)),
        "spoken_seconds": float((places[-1] - places[0] + 1) * _STEP - pauses.sum()),
    }
    half = len(places) // 2
    if half >= _FEWEST_VOICED // 2:
        found["loudness_change"] = _mean_level(levels[places[half:]]) - _mean_level(levels[places[:half]])
    is_voiced = [bool(len(voiced)) and np.abs(voiced - time).min() <= _STEP for time in np.asarray(intensity.xs())]
    peaks = [peak for peak in _peaks(levels) if sounding[peak] and is_voiced[peak]]
    if len(peaks) >= _FEWEST_SYLLABLES:
        # Time goes on only while something sounds, so that a pause slows nothing down.
        times = np.cumsum(sounding)[peaks] * _STEP
        half = (len(peaks) - 1) // 2
        rates = half / (times[half] - times[0]), (len(times) - 1 - half) / (times[-1] - times[half])
        found["rate_change"] = float(np.log2(rates[1] / rates[0]))
    return found


def _peaks(levels: NDArray[np.float64]) -> list[int]:
    """The peaks of a curve that lie between dips of 2 dB or more on both sides."""
    peaks: list[int] = []
    highest, lowest, rising = 0, 0, True
    for place, level in enumerate(levels):
        if rising:
            if level > levels[highest]:
                highest = place
            elif level < levels[highest] - _DIP:
                peaks.append(highest)
                lowest, rising = place, False
        elif level < levels[lowest]:
            lowest = place
        elif level > levels[lowest] + _DIP:
            highest, rising = place, True
    return peaks


def _mean_level(decibels: NDArray[np.float64]) -> float:
    """The mean by energy, as Praat's `Get mean… energy`."""
    return float(10 * np.log10(np.mean(10 ** (decibels / 10))))


def _with_rate(measures: Mapping[str, float], transcript: str | None) -> Measures:
    """With `rate`: syllables a second while something sounds, if it is known what is said."""
    syllables = count_syllables(transcript or "")
    seconds = measures.get("spoken_seconds", 0.0)
    return {**measures, "rate": syllables / seconds} if syllables and seconds > 0 else measures


def count_syllables(text: str) -> int:
    """Syllables of English text by its groups of vowels; a silent final e is none.

    >>> count_syllables("She made the table."), count_syllables("")
    (5, 0)
    """
    return sum(map(_syllables, re.findall(r"[a-z]+", text.lower())))


def _syllables(word: str) -> int:
    groups = len(_VOWELS.findall(word))
    silent = word.endswith("e") and not word.endswith(("le", "ee", "ye", "oe")) and groups > 1
    return max(1, groups - silent)
