"""MELD (Poria et al. 2019): utterances of the TV series Friends with one released emotion each.

Three people labelled every utterance, but only the label they agreed on is released: there are no votes, and
annotator-aware scores are n/a. `train_sent_emo.csv`, `dev_sent_emo.csv` and `test_sent_emo.csv` lie at the root, in
`train/` and so on, or in `data/MELD/`. In the dyadic variant, `Old_Dialogue_ID` and `Old_Utterance_ID` name the clip;
an utterance that it repeats in several dialogues is listed once.

Numbers restart in every split, so an id names the split: `train_dia0_utt3`, `dev_dia0_utt3`, `test_dia0_utt3`. The
group is the dialogue. The six leads are the same speaker everywhere; any other name ("Waitress", "Man") is taken for
one person within an episode only, and the episode is in the speaker's id.

Transcripts have plain quotation marks: the release mixes plain and typographic ones, and copies of it differ.

Clips: `dia0_utt3` in `train/train_splits`, `dev/dev_splits_complete` and `test/output_repeated_splits_test`, with or
without the first folder, or in a folder that has the split's name; or `train_dia0_utt3` in any of these, in `audio` or
in `wav`. A sound file goes before the video it was made from. In the release, the clips of `train_dia125_utt3` and
`dev_dia110_utt7` are broken or missing, and `final_videos_test*` belong to no utterance.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from serxbench.corpora import CorpusInfo, CorpusRequest, Fault, Listing
from serxbench.corpora._files import AUDIO_SUFFIXES, attach_clips, find_path, need_path, read_csv
from serxbench.corpora._label_maps import load_label_maps
from serxbench.records import Utterance

INFO = CorpusInfo(
    name="meld",
    description="13,708 utterances of a TV series in 1,432 dialogues, one released label each, seven emotions.",
    licence="GPL-3.0 (labels); the video is a copyrighted TV series, research only",
    labels=("Angry", "Sad", "Happy", "Surprise", "Fear", "Disgust", "Neutral"),
    splits=("all", "train", "development", "test"),
    default_split="test",
    individual_votes=False,
    needs_root=True,
    upload_allowed=False,
)

#: Split → what files and folders call it.
_NAMES = {"train": "train", "development": "dev", "test": "test"}
_CLIP_FOLDERS = {"train": "train_splits", "dev": "dev_splits_complete", "test": "output_repeated_splits_test"}
_MIXED_FOLDERS = ("audio", "wav")
_PICTURES = frozenset((".mp4", ".mkv", ".webm", ".avi"))

_LEADS = frozenset(("Chandler", "Joey", "Monica", "Phoebe", "Rachel", "Ross"))
_PLAIN_QUOTES = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"'})


def read(request: CorpusRequest) -> Listing:
    """The utterances of one split in the order of its label file; `all` has train, development and test in turn."""
    assert request.root is not None
    root = request.root
    names = [name for split, name in _NAMES.items() if request.split in ("all", split)]
    tables = {name: _find_table(root, name) for name in names}
    missing = [name for name, path in tables.items() if path is None]
    if len(missing) == len(names):
        need_path(root, INFO.name, *(candidate for name in names for candidate in _candidates(name)))
    utterances: list[Utterance] = []
    faults: list[Fault] = []
    for split, name in _NAMES.items():
        if path := tables.get(name):
            rows, unread = _read_table(path, name, split)
            utterances += rows
            faults += unread
    attached, unfit = attach_clips(utterances, _find_clips(root, [name for name in names if name not in missing]))
    remarks = (f"meld: no label file of {', '.join(missing)}; the others are read",) if missing else ()
    return Listing(utterances=attached, faults=(*faults, *unfit), remarks=remarks)


def _candidates(name: str) -> tuple[str, ...]:
    return tuple(f"{folder}{name}_sent_emo.csv" for folder in ("", f"{name}/", "data/MELD/"))


def _find_table(root: Path, name: str) -> Path | None:
    return find_path(root, *_candidates(name))


def _read_table(path: Path, name: str, split: str) -> tuple[list[Utterance], list[Fault]]:
    """The utterances of one label file. One whose emotion is unknown is kept without a consensus: asked, not scored."""
    utterances: dict[str, Utterance] = {}
    faults = []
    classes = load_label_maps("meld")["standard"].classes
    # A copy that is not UTF-8 has the quotation marks of cp1252. Not latin-1 after it: that fits anything.
    for line, row in read_csv(path, ("Utterance", "Speaker", "Emotion", "Dialogue_ID", "Utterance_ID"), "cp1252"):
        where = f"{path.name}:{line}"
        try:
            utterance = _utterance(row, name, split, classes)
        except (KeyError, ValueError) as error:
            faults.append(Fault(kind="malformed_row", where=where, what=f"the row cannot be read ({error}); left out"))
            continue
        if utterance.id in utterances:
            if "Old_Dialogue_ID" not in row:
                what = f"{utterance.id} stands twice; the first row is used"
                faults.append(Fault(kind="duplicate_row", where=where, what=what))
            continue
        utterances[utterance.id] = utterance
        if utterance.consensus is None:
            known = ", ".join(classes)
            what = f"{utterance.id}: the emotion {row['Emotion']!r} is none of {known}; it has no consensus"
            faults.append(Fault(kind="unknown_label", where=where, what=what))
    return list(utterances.values()), faults


def _utterance(row: Mapping[str, str], name: str, split: str, classes: Mapping[str, str]) -> Utterance:
    """The utterance of one row. Raises KeyError or ValueError if the row has too few fields or no numbers."""
    dialogue, number = _clip_numbers(row)
    group = f"{name}_dia{dialogue}"
    return Utterance(
        id=f"{group}_utt{number}",
        transcript=row["Utterance"].translate(_PLAIN_QUOTES).strip() or None,
        speaker=_speaker(row["Speaker"], row, group),
        group=group,
        split=split,
        consensus=classes.get(row["Emotion"].strip().lower()),
    )


def _clip_numbers(row: Mapping[str, str]) -> tuple[int, int]:
    """The numbers of dialogue and utterance in the name of the clip. Raises ValueError or KeyError."""
    old = "Old_" if "Old_Dialogue_ID" in row else ""
    dialogue, number = int(row[f"{old}Dialogue_ID"]), int(row[f"{old}Utterance_ID"])
    if min(dialogue, number) < 0:
        raise ValueError(f"dialogue {dialogue}, utterance {number}")
    return dialogue, number


def _speaker(name: str, row: Mapping[str, str], group: str) -> str | None:
    """A lead's name; any other with season and episode (`Waitress s04e07`), or else with the dialogue."""
    name = name.translate(_PLAIN_QUOTES).strip()
    if not name or name in _LEADS:
        return name or None
    try:
        return f"{name} s{int(row['Season']):02}e{int(row['Episode']):02}"
    except (KeyError, ValueError):
        return f"{name} {group}"


def _find_clips(root: Path, names: Collection[str]) -> dict[str, Path]:
    """Utterance id → clip, for the splits `names`. A file that no utterance could own is there by its own stem."""
    found = [clip for name in names for clip in _own_clips(root, name)] + list(_mixed_clips(root, names))
    clips: dict[str, Path] = {}
    for id, path in sorted(found, key=lambda clip: clip[1].suffix.lower() in _PICTURES):
        clips.setdefault(id, path)
    return clips


def _own_clips(root: Path, name: str) -> Iterator[tuple[str, Path]]:
    """The clips in the folders of one split. Their names may lack the split, which the folder says."""
    release = _CLIP_FOLDERS[name]
    places = (f"{name}/{release}", release, name, *(f"{mixed}/{name}" for mixed in _MIXED_FOLDERS))
    for path in (path for place in places for path in _sounds(find_path(root, place))):
        if not path.stem.startswith("final_videos_test"):
            yield f"{name}_{path.stem}" if re.fullmatch(r"dia\d+_utt\d+", path.stem) else path.stem, path


def _mixed_clips(root: Path, names: Collection[str]) -> Iterator[tuple[str, Path]]:
    """The clips in folders of several splits, less those of splits that were not asked for."""
    others = set(_NAMES.values()) - set(names)
    for path in (path for mixed in _MIXED_FOLDERS for path in _sounds(find_path(root, mixed))):
        if path.stem.partition("_")[0] not in others:
            yield path.stem, path


def _sounds(folder: Path | None) -> list[Path]:
    if folder is None or not folder.is_dir():
        return []
    return sorted(path for path in folder.glob("[!.]*") if path.suffix.lower() in AUDIO_SUFFIXES)
