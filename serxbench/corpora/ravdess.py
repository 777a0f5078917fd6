"""RAVDESS, speech (Livingstone & Russo 2018, Zenodo 1188976): 24 actors, two sentences, eight acted emotions.

Labels are what an actor was told to express, not what listeners heard: the consensus is the acted emotion, and there
are no votes, for the release has no answers of single raters. Annotator-aware scores are therefore n/a, and a score
here says how often a model recovers an intention.

There is no label file either. A name such as `03-01-05-02-01-01-12.wav` is the label: modality (03 audio), channel (01
speech), emotion, intensity, statement, repetition, actor. Files are found by name at any depth, so that `Actor_01/` …
`Actor_24/` may lie nested; where a tree is there twice, as in the GitHub copy, the second copy is counted and not used.
Song and video files of the same release are passed over. The full set of 1,440 names is known, so missing ones are
named; actors of whom nothing is there are taken for left out on purpose.

Five files are stereo (03-01-02-01-01-02-01, 03-01-08-01-02-02-01, 03-01-02-01-02-02-05, 03-01-03-01-02-01-20,
03-01-06-01-01-02-20), and 03-01-03-01-02-01-07 and 03-01-03-01-02-02-07 hold the same bytes. Both are so in the
release, and nothing is done about them here.

The licence lets anyone share the corpus for non-commercial use, with attribution and under the same terms; that is why
its audio may go to a third party. A commercial use of what comes back is the user's to judge.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import product
from pathlib import Path

from serxbench.corpora import CorpusInfo, CorpusOption, CorpusRequest, Fault, Listing
from serxbench.corpora._files import index_clips
from serxbench.corpora._label_maps import LabelMap, label_choices, load_label_maps
from serxbench.errors import CorpusError
from serxbench.records import Utterance

INFO = CorpusInfo(
    name="ravdess",
    description=(
        "1,440 spoken clips of 24 actors, two sentences. Labels are the acted emotions, not perceived ones. May be "
        "shared with attribution, for non-commercial use."
    ),
    licence="CC-BY-NC-SA-4.0",
    labels=("Angry", "Sad", "Happy", "Surprise", "Fear", "Disgust", "Neutral"),
    splits=(
        "all",
        "train",
        "development",
        "test",
        *(f"fold{n}-{part}" for n in range(1, 7) for part in ("train", "test")),
    ),
    default_split="all",
    options=(CorpusOption(name="labels", choices=label_choices("ravdess")),),
    individual_votes=False,
    needs_root=True,
    upload_allowed=True,
)

EMOTION_CODES = {
    "01": "neutral",
    "02": "calm",
    "03": "happy",
    "04": "sad",
    "05": "angry",
    "06": "fearful",
    "07": "disgust",
    "08": "surprised",
}
STATEMENTS = {"01": "Kids are talking by the door", "02": "Dogs are sitting by the door"}
ACTORS = tuple(f"{number:02}" for number in range(1, 25))

#: nkululeko's speaker-independent split; the corpus itself has none. All other actors are train.
DEVELOPMENT_ACTORS = frozenset(("16", "17", "19", "20"))
TEST_ACTORS = frozenset(("21", "22", "23", "24"))

#: EmoBox's six folds: the actors of each test set; the others are train.
FOLD_TEST_ACTORS = {
    1: frozenset(("01", "11", "20", "21")),
    2: frozenset(("04", "10", "12", "14")),
    3: frozenset(("08", "09", "19", "23")),
    4: frozenset(("03", "05", "07", "24")),
    5: frozenset(("02", "15", "16", "18")),
    6: frozenset(("06", "13", "17", "22")),
}

#: The names of all utterances, actor by actor, as the folders have them. Nothing neutral is strong.
NAMES = tuple(
    f"03-01-{emotion}-{intensity}-{statement}-{repetition}-{actor}"
    for actor, emotion, intensity, statement, repetition in product(
        ACTORS, EMOTION_CODES, ("01", "02"), STATEMENTS, ("01", "02")
    )
    if (emotion, intensity) != ("01", "02")
)

_KNOWN_NAMES = frozenset(NAMES)
_SHAPE = re.compile(r"[0-9]{2}(?:-[0-9]{2}){6}")
_SONG_OR_VIDEO = re.compile(r"(?:0[12]-0[12]|03-02)(?:-[0-9]{2}){5}")
_FIELDS = {
    "modality": ("01", "02", "03"),
    "channel": ("01", "02"),
    "emotion": tuple(EMOTION_CODES),
    "intensity": ("01", "02"),
    "statement": tuple(STATEMENTS),
    "repetition": ("01", "02"),
    "actor": ACTORS,
}


def read(request: CorpusRequest) -> Listing:
    """The utterances of one split, actor by actor. Raises CorpusError if no clip of the split's actors is there.

    A clip that is missing while its actor has others is an utterance without audio, and a Fault.
    """
    assert request.root is not None
    clips, copies = index_clips(request.root, deep=True)
    spoken = {stem: path for stem, path in clips.items() if stem in _KNOWN_NAMES}
    n_other_media = sum(_SONG_OR_VIDEO.fullmatch(stem) is not None for stem in clips)
    faults = [fault for path in clips.values() if (fault := name_fault(path))]
    wanted = [actor for actor in ACTORS if _part(actor, request.split)]
    present = {stem[-2:] for stem in spoken}.intersection(wanted)
    if not present:
        raise CorpusError(_nothing_found(request, spoken, n_other_media, len(faults)))
    utterances, n_left_out = _list_utterances(request, spoken, present)
    faults += [
        Fault(kind="missing_audio", where=utterance.id, what="its clip is not there, while others of its actor are")
        for utterance in utterances
        if utterance.audio is None
    ]
    remarks = _remarks([actor for actor in wanted if actor not in present], len(wanted), len(copies), n_other_media)
    return Listing(utterances=utterances, remarks=remarks, faults=faults, n_left_out=n_left_out)


def _list_utterances(
    request: CorpusRequest, spoken: Mapping[str, Path], present: set[str]
) -> tuple[list[Utterance], int]:
    policy = load_label_maps("ravdess")[request.options["labels"]]
    utterances = []
    n_left_out = 0
    for name in NAMES:
        if name[-2:] not in present:
            continue
        if EMOTION_CODES[name[6:8]] in policy.dropped:
            n_left_out += name in spoken
        else:
            utterances.append(_utterance(name, spoken.get(name), request.split, policy))
    return utterances, n_left_out


def _utterance(name: str, path: Path | None, split: str | None, policy: LabelMap) -> Utterance:
    actor = name[-2:]
    return Utterance(
        id=name,
        audio=path,
        transcript=STATEMENTS[name[12:14]],
        speaker=actor,
        split=_part(actor, split),
        consensus=policy.classes[EMOTION_CODES[name[6:8]]],
    )


def _part(actor: str, split: str | None) -> str | None:
    """The part of a split that an actor is in, None if the split asked for does not have this actor."""
    fold, _, wanted = (split or "").rpartition("-")
    if fold:
        part = "test" if actor in FOLD_TEST_ACTORS[int(fold.removeprefix("fold"))] else "train"
    else:
        part = "test" if actor in TEST_ACTORS else "development" if actor in DEVELOPMENT_ACTORS else "train"
    return part if wanted in ("all", part) else None


def name_fault(path: Path) -> Fault | None:
    """What is wrong with the name of an audio file; None for an utterance, and for a song or video of the release.

    >>> print(name_fault(Path("Actor_25/03-01-05-01-01-01-25.wav")))
    Actor_25/03-01-05-01-01-01-25.wav: actor 25 is none of 01 to 24; the clip is not used
    """
    if path.stem in _KNOWN_NAMES or _SONG_OR_VIDEO.fullmatch(path.stem):
        return None
    kind, problem = "malformed_name", "neutral (emotion 01) is never strong (intensity 02)"
    if not _SHAPE.fullmatch(path.stem):
        problem = "the name is not seven two-digit numbers joined by '-', as 03-01-05-02-01-01-12 is"
    else:
        for (field, known), code in zip(_FIELDS.items(), path.stem.split("-"), strict=True):
            if code not in known:
                kind = "unknown_label" if field == "emotion" else kind
                problem = f"{field} {code} is none of {known[0]} to {known[-1]}"
                break
    return Fault(kind=kind, where=f"{path.parent.name}/{path.name}", what=f"{problem}; the clip is not used")


def _nothing_found(request: CorpusRequest, spoken: Mapping[str, Path], n_other_media: int, n_faults: int) -> str:
    root = request.root
    if spoken:
        there = ", ".join(sorted({stem[-2:] for stem in spoken}))
        return f"{root}: no speech clip of an actor of ravdess:{request.split} is here, only of actors {there}"
    return (
        f"{root}: no speech clip of RAVDESS here; wanted audio files whose names are their labels, such as "
        "Actor_01/03-01-05-02-01-01-01.wav (03 audio only, 01 speech), at any depth. "
        f"Found {n_other_media} song or video files of RAVDESS and {n_faults} audio files with other names"
    )


def _remarks(absent: list[str], n_wanted: int, n_copies: int, n_other_media: int) -> tuple[str, ...]:
    remarks = []
    if absent:
        n_clips = 60 * (n_wanted - len(absent))
        remarks.append(
            f"ravdess: no clips of {len(absent)} of the split's {n_wanted} actors ({', '.join(absent)}): at most "
            f"{n_clips} of its {60 * n_wanted} utterances"
        )
    if n_copies:
        remarks.append(f"ravdess: {n_copies} files are further copies of a name; the first of each name is used")
    if n_other_media:
        remarks.append(f"ravdess: {n_other_media} song or video files are passed over; only speech audio is used")
    return tuple(remarks)
