"""Rationales for the corpus `demo`, from the known acoustics: python -m serxbench.demo.rationales --out FILE

No teacher model runs here. A rationale is two or three sentences: how loud, how fast and how high the voice is, what
stands out in it, and which words it says. Every claim follows from the knobs that the clip was rendered with, by the
thresholds below, so that a check against the sound has something true to find. None looks at the label or names an
emotion. The sentence plan is drawn by the hash of the item's id.

One JSON line for each utterance of the training split whose consensus is one of the eight classes, in corpus order:
id, emotion, transcript, rationale.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from serxbench.demo.generate import DATA
from serxbench.demo.sentences import COLOURED_SENTENCES, NEUTRAL_SENTENCES
from serxbench.emotions import EMOTIONS
from serxbench.runs import write_atomically

_SENTENCES = {sentence.text: sentence for sentence in (*NEUTRAL_SENTENCES, *COLOURED_SENTENCES)}

#: Knob → the values below and above which it is said to be low or high. Between them it is said to be neither.
THRESHOLDS: Mapping[str, tuple[float, float]] = {
    "loudness": (-27.0, -20.5),
    "rate": (0.88, 1.1),
    "pitch": (-7.0, 10.0),
    "range": (55.0, 135.0),
}

_PLANS = (
    "The voice is {loudness} and the pace {rate}, with a {pitch} pitch{range}.",
    "It is a {loudness} voice at a {rate} pace, and its {pitch} pitch{moves}.",
    "The pace is {rate}, the voice {loudness}, the pitch {pitch}{and_moves}.",
)
_MARKED = ("One hears {marks}.", "There is {marks}.", "What stands out is {marks}.")
_PLAIN_WORDS = ('The words "{words}" are plain.', 'It says "{words}" without weight.', '"{words}" is plain wording.')
_WEIGHTY_WORDS = ('The words "{words}" weigh much.', 'It says "{words}" with weight.', '"{words}" is strong wording.')

_NAMES = {
    "loudness": ("soft", "moderate", "loud"),
    "rate": ("slow", "steady", "fast"),
    "pitch": ("low", "middle", "high"),
    "range": (" that hardly moves", "", " that moves a lot"),
    "moves": (" hardly moves", " moves a little", " moves a lot"),
    "and_moves": (" and almost level", "", " and full of movement"),
}


def rationale_of(transcript: str, acoustics: Mapping[str, float], key: str = "") -> str:
    """How the item sounds and what it says; it never names an emotion. key: what draws the sentence plan.

    >>> calm = dict(rate=1.0, pitch=0, range=90, loudness=-24, tremor=0, breath=0, tilt=0, pause=0.05, final=-1,
    ...             rough=0, drawl=1.0)
    >>> rationale_of("The train is at the station.", calm, "u2")
    'The voice is moderate and the pace steady, with a middle pitch. "is at the station" is plain wording.'
    """
    draw = hashlib.sha256(key.encode()).digest()
    levels = {knob: _level(acoustics[knob], THRESHOLDS[knob]) for knob in THRESHOLDS}
    levels |= {"moves": levels["range"], "and_moves": levels["range"]}
    said = {name: names[levels[name]] for name, names in _NAMES.items()}
    sentences = [_PLANS[draw[0] % len(_PLANS)].format(**said)]
    if marks := _marks(acoustics):
        sentences.append(_MARKED[draw[1] % len(_MARKED)].format(marks=" and ".join(marks[:2])))
    sentences.append(_wording(transcript, draw[2]))
    return " ".join(sentences)


def _level(value: float, bounds: tuple[float, float]) -> int:
    return 0 if value < bounds[0] else 2 if value > bounds[1] else 1


def _wording(transcript: str, draw: int) -> str:
    """The sentence about the words: it quotes the second phrase, where the sentence has its weight."""
    sentence = _SENTENCES.get(transcript)
    words = (sentence.phrases[1] if sentence else transcript).rstrip(".?!")
    plans = _WEIGHTY_WORDS if sentence and sentence.colour not in (None, "Neutral") else _PLAIN_WORDS
    return plans[draw % len(plans)].format(words=words)


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


def make_rows(data: Path = DATA) -> list[dict[str, Any]]:
    """The lines of the file; see the module's docstring."""
    lines = (data / "utterances.jsonl").read_text(encoding="utf-8").splitlines()
    known = (row for row in map(json.loads, lines) if row["split"] == "train" and row["consensus"] in EMOTIONS)
    return [
        {
            "id": row["id"],
            "emotion": row["consensus"],
            "transcript": row["transcript"],
            "rationale": rationale_of(row["transcript"], row["acoustics"], row["id"]),
        }
        for row in known
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m serxbench.demo.rationales", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--out", type=Path, required=True, help="the JSONL file to write")
    parser.add_argument("--data", type=Path, default=DATA, help="the folder of the corpus")
    options = parser.parse_args(arguments)
    rows = make_rows(options.data)
    write_atomically(options.out, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    print(f"{len(rows)} rationales in {options.out}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
