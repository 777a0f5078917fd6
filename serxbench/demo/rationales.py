"""Template rationales for training `nano`: one to three sentences from an item's acoustics and words."""

from __future__ import annotations

from collections.abc import Mapping

from serxbench.demo.sentences import COLOURED_SENTENCES

_COLOURED_TEXTS = frozenset(sentence.text for sentence in COLOURED_SENTENCES if sentence.colour != "Neutral")


def rationale_of(transcript: str, acoustics: Mapping[str, float]) -> str:
    """How the item sounds and whether its words weigh anything; it never names an emotion.

    >>> calm = dict(rate=1.0, pitch=0, range=90, loudness=-24, tremor=0, breath=0, tilt=0, pause=0.05, final=-1,
    ...             rough=0, drawl=1.0)
    >>> rationale_of("The train is at the station.", calm)
    'The voice is moderate and steady, with a middle pitch. The words are plain.'
    """
    words = "The words weigh much." if transcript in _COLOURED_TEXTS else "The words are plain."
    marks = _marks(acoustics)
    sentences = [f"The voice is {_loudness(acoustics)} and {_speed(acoustics)}, with {_pitch(acoustics)}."]
    if marks:
        sentences.append(f"One hears {' and '.join(marks[:2])}.")
    return " ".join([*sentences, words])


def _loudness(acoustics: Mapping[str, float]) -> str:
    level = acoustics["loudness"]
    return "soft" if level < -27 else "loud" if level > -20.5 else "moderate"


def _speed(acoustics: Mapping[str, float]) -> str:
    return "slow" if acoustics["rate"] < 0.88 else "fast" if acoustics["rate"] > 1.1 else "steady"


def _pitch(acoustics: Mapping[str, float]) -> str:
    height = "low" if acoustics["pitch"] < -7 else "high" if acoustics["pitch"] > 10 else "middle"
    moves = " that hardly moves" if acoustics["range"] < 55 else " that moves a lot" if acoustics["range"] > 135 else ""
    return f"a {height} pitch{moves}"


def _marks(acoustics: Mapping[str, float]) -> list[str]:
    """The qualities that stand out, the more telling ones first."""
    found = {
        "a tremor": acoustics["tremor"] > 0.5,
        "a rough voice": acoustics["rough"] > 0.4,
        "a steep rise at the end": acoustics["final"] > 4.5,
        "a drawn out end": acoustics["drawl"] < 0.76,
        "a long pause": acoustics["pause"] > 0.2,
        "much breath": acoustics["breath"] > 0.28,
        "a falling end": acoustics["final"] < -4,
    }
    return [mark for mark, stands_out in found.items() if stands_out]
