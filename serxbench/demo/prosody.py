"""How it is said: the prosody profile of each emotion, and one item's own rendering of it.

The profiles are the corpus's invention, loosely after Banse and Scherer (1996); nothing here is measured on people.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields

import numpy as np

from serxbench.emotions import EMOTIONS


@dataclass(frozen=True, kw_only=True)
class Prosody:
    """The knobs of one rendering; each but `pitch` and `range` means the same for all voices.

    rate: factor on 165 words a minute. pitch: steps of espeak-ng's `-p` above the voice's own.
    range: percent of the voice's own pitch range, 0 to 200.
    loudness: dB below full scale of the spoken part. tremor, breath, rough: 0 to 1. tilt: dB an octave.
    pause: seconds between the phrases. final: semitones that the end of the last phrase glides by.
    drawl: factor on the rate of the second phrase.
    """

    rate: float
    pitch: float
    range: float
    loudness: float
    tremor: float
    breath: float
    tilt: float
    pause: float
    final: float
    rough: float
    drawl: float


KNOBS = tuple(field.name for field in fields(Prosody))

_TABLE = """
emotion   rate pitch range loudness tremor breath tilt pause final rough drawl
Angry     1.18   6   140    -17      0.00   0.00   2.5  0.03 -3.0  0.60  0.95
Sad       0.76 -10    24    -30      0.10   0.35  -3.5  0.26 -2.0  0.00  0.92
Happy     1.12  15   176    -20      0.00   0.05   1.0  0.03  2.0  0.00  1.00
Surprise  0.96  20   198    -20      0.00   0.15   0.5  0.14  7.0  0.00  0.90
Fear      1.26  14    60    -26      0.80   0.30  -0.5  0.06  1.0  0.00  1.10
Disgust   0.82 -12    80    -22      0.00   0.00   0.5  0.12 -5.0  0.65  0.85
Contempt  0.94  -4    40    -24      0.00   0.00   1.5  0.30 -2.5  0.05  0.66
Neutral   1.00   0    90    -24      0.00   0.00   0.0  0.04 -1.0  0.00  1.00
"""

#: One just clearly heard step of each knob. rate and drawl are compared on a log scale.
STEPS = Prosody(
    rate=0.16, pitch=9, range=44, loudness=3.2, tremor=0.3, breath=0.2,
    tilt=1.6, pause=0.11, final=2.6, rough=0.28, drawl=0.16,
)  # fmt: skip

_LIMITS = {
    "rate": (0.6, 1.5), "pitch": (-30.0, 40.0), "range": (0.0, 200.0), "loudness": (-36.0, -14.0),
    "tremor": (0.0, 1.0), "breath": (0.0, 1.0), "tilt": (-6.0, 5.0), "pause": (0.0, 0.5), "final": (-8.0, 10.0),
    "rough": (0.0, 1.0), "drawl": (0.5, 1.25),
}  # fmt: skip
_LOG_KNOBS = frozenset({"rate", "drawl"})


def _read_profiles() -> dict[str, Prosody]:
    header, *rows = (line.split() for line in _TABLE.strip().splitlines())
    return {row[0]: Prosody(**dict(zip(header[1:], map(float, row[1:]), strict=True))) for row in rows}


#: Emotion → the centre of its renderings.
PROFILES = _read_profiles()
assert tuple(PROFILES) == EMOTIONS


def to_steps(prosody: Prosody) -> np.ndarray:
    """The knobs in heard steps, shape (11,): equal distances are about equally audible."""
    values, steps = asdict(prosody), asdict(STEPS)
    return np.array([_warp(knob, values[knob]) / steps[knob] for knob in KNOBS])


def render_prosody(
    intended: str, random: np.random.RandomState, *, jitter: float, blend: tuple[str, float] | None
) -> Prosody:
    """One item's knobs: the profile of `intended`, moved towards another, then jittered.

    jitter: standard deviation of every knob in heard steps. blend: (emotion, weight 0 to 1) to move towards.
    """
    centre = to_steps(PROFILES[intended])
    if blend is not None:
        centre = (1 - blend[1]) * centre + blend[1] * to_steps(PROFILES[blend[0]])
    return _from_steps(centre + jitter * random.standard_normal(len(KNOBS)))


def _from_steps(position: np.ndarray) -> Prosody:
    values = {}
    for knob, step, heard in zip(KNOBS, asdict(STEPS).values(), position, strict=True):
        raw = float(heard) * step
        low, high = _LIMITS[knob]
        values[knob] = round(min(max(math.exp(raw) if knob in _LOG_KNOBS else raw, low), high), 3)
    return Prosody(**values)


def _warp(knob: str, value: float) -> float:
    return math.log(value) if knob in _LOG_KNOBS else value
