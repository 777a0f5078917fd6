"""MSP-Podcast (Lotfian and Busso 2019): podcast speech, crowd votes of named annotators. Releases 1.6 to 2.0.

Votes come from `labels_detailed.csv` or, without it, from its `.json` or `labels.txt`; the consensus (EmoClass, the
plurality with all Other texts taken together) from `labels_consensus.csv`, its `.json` or `labels.txt`. They may lie in
`Labels/` or in the root itself, alone or with the audio. Activation, valence and dominance are not kept.

The split is that of `Partitions.txt`, else the consensus file's Split_Set. Test3 is named by `Partitions.txt` only; its
labels are hidden, so it can be run and not scored. An utterance whose split is not known is in `all` only.
"""

from __future__ import annotations

import functools
import gc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain

from serxbench.corpora import CorpusInfo, CorpusOption, CorpusRequest, Fault, Listing
from serxbench.corpora._files import attach_clips, index_clips
from serxbench.corpora._label_maps import LabelMap, label_choices, load_label_maps
from serxbench.corpora._msp_files import (
    MISSING,
    SPLITS,
    Layout,
    Released,
    find_layout,
    group_of,
    read_consensus,
    read_partitions,
    read_transcripts,
    split_of,
)
from serxbench.corpora._msp_votes import find_primary, read_votes
from serxbench.emotions import NO_AGREEMENT
from serxbench.errors import CorpusError
from serxbench.records import Utterance

INFO = CorpusInfo(
    name="msp-podcast",
    description="Podcast speech (release 1.12: 207,136 turns) with 5 or more votes a turn, eight emotions and Other.",
    licence="UT Dallas academic or commercial licence, one per institution; no redistribution of audio, labels or text",
    splits=("all", *SPLITS),
    default_split="test1",
    options=(CorpusOption(name="labels", choices=label_choices("msp_podcast")),),
    consensus_is_plurality=True,
    needs_root=True,
    upload_allowed=False,
)

_CODES = {
    "a": "Angry",
    "s": "Sad",
    "h": "Happy",
    "u": "Surprise",
    "f": "Fear",
    "d": "Disgust",
    "c": "Contempt",
    "n": "Neutral",
    "o": "Other",
    "x": NO_AGREEMENT,
    "no agreement": NO_AGREEMENT,
}


@contextmanager
def _collector_off() -> Iterator[None]:
    """Next to nothing built meanwhile is garbage; walking a million votes again and again is a third of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@_collector_off()
def read(request: CorpusRequest) -> Listing:
    """The utterances of one split in the order of the consensus file, then those that only Partitions.txt names."""
    assert request.root is not None
    layout = find_layout(request.root)
    if not layout.consensus and not layout.votes and not (layout.partitions and request.split == "test3"):
        wanted = "labels_consensus.csv, labels_detailed.csv or labels.txt, in Labels/ or beside each other"
        raise CorpusError(f"{request.root}: no label file of msp-podcast here; wanted {wanted}")
    labels = load_label_maps("msp_podcast")[request.options["labels"]]
    partitions, faults = read_partitions(layout.partitions) if layout.partitions else ({}, [])
    released, odd = read_consensus(layout.consensus) if layout.consensus else ({}, [])
    splits, misplaced = _place(partitions, released)
    listed = {id: request.split in ("all", split) for id, split in splits.items()}
    if request.split != "all" and not any(listed.values()):
        raise CorpusError(_no_split(request, layout))
    votes, invalid = read_votes(layout.votes, listed or None, labels) if layout.votes else ({}, [])
    ids = [id for id, wanted in listed.items() if wanted] or list(votes)
    consensus, unknown = _read_classes(ids, released, labels, splits)
    transcripts = read_transcripts(layout.transcripts, ids) if layout.transcripts else {}
    utterances = [
        Utterance(
            id=id,
            transcript=transcripts.get(id),
            speaker=released[id].speaker if id in released else None,
            group=group_of(id),
            split=splits.get(id),
            votes=votes.get(id, ()),
            consensus=consensus.get(id),
        )
        for id in ids
    ]
    clips, twice = index_clips(layout.audio or request.root)
    attached, unfit = attach_clips(utterances, clips, frozenset(splits))
    return Listing(
        utterances=attached,
        remarks=tuple(_remarks(layout, utterances, splits)),
        faults=(*faults, *odd, *misplaced, *invalid, *unknown, *_gaps(layout, utterances, released), *twice, *unfit),
    )


def _place(
    partitions: Mapping[str, str], released: Mapping[str, Released]
) -> tuple[dict[str, str | None], list[Fault]]:
    """id → split (None where no file says it) of every file that is named. `Partitions.txt` goes before Split_Set."""
    splits: dict[str, str | None] = {}
    faults = []
    find_split = functools.cache(split_of)
    for id in chain(released, (id for id in partitions if id not in released)):
        words = partitions.get(id, ""), released[id].split if id in released else ""
        first, second = (find_split(word) for word in words)
        splits[id] = first or second
        if first and second and first != second:
            what = f"Partitions.txt says {words[0]}, Split_Set {words[1]}; Partitions.txt holds"
            faults.append(Fault(kind="split_differs", where=id, what=what))
        for word, split in zip(words, (first, second), strict=True):
            if split is None and word.lower() not in MISSING:
                what = f"the split {word!r} is none of {', '.join(SPLITS)}; it is passed over"
                faults.append(Fault(kind="unknown_split", where=id, what=what))
    return splits, faults


def _no_split(request: CorpusRequest, layout: Layout) -> str:
    there = [path.name for path in (layout.partitions, layout.consensus) if path] or ["neither is here"]
    return (
        f"{request.root}: msp-podcast has no utterance of the split '{request.split}' here; splits are read from "
        f"Partitions.txt and from Split_Set of the consensus file ({', '.join(there)}), and Test3 only from the first. "
        "--data msp-podcast:all takes what has none"
    )


def _read_classes(
    ids: Iterable[str], released: Mapping[str, Released], labels: LabelMap, splits: Mapping[str, str | None]
) -> tuple[dict[str, str], list[Fault]]:
    """id → the released consensus as a class or X. Test3's is hidden, so there none is no fault."""
    classes = {}
    faults = []
    find_label = functools.cache(lambda code: _CODES.get(code.lower()) or find_primary(labels, code)[0])
    for id in ids:
        if id not in released:
            continue
        code = released[id].code
        if label := find_label(code):
            classes[id] = label
        elif splits[id] != "test3" or code.lower() not in MISSING:
            what = f"{id}: the EmoClass {code!r} is none of the corpus's; it has no consensus"
            faults.append(Fault(kind="unknown_label", where=released[id].where, what=what))
    return classes, faults


def _gaps(layout: Layout, utterances: Iterable[Utterance], released: Mapping[str, Released]) -> Iterator[Fault]:
    """A fault for each utterance that one of the label files does not have. Test3 is in none of them by design."""
    for utterance in utterances:
        if utterance.split == "test3" and utterance.consensus is None:
            continue
        if released and utterance.id not in released:
            what = "Partitions.txt names it, the consensus file does not; it has no consensus"
            yield Fault(kind="no_consensus", where=utterance.id, what=what)
        if layout.votes and not utterance.votes:
            yield Fault(kind="no_votes", where=utterance.id, what=f"it has no votes in {layout.votes.name}")


def _remarks(layout: Layout, utterances: Sequence[Utterance], splits: Mapping[str, str | None]) -> Iterator[str]:
    """What a user should know of the files that were read, and of those that are not there."""
    parts = (("consensus", layout.consensus, "labels_consensus.csv"), ("votes", layout.votes, "labels_detailed.csv"))
    for part, path, usual in parts:
        if path is None:
            yield f"{INFO.name}: {usual} is not here; the corpus is read without {part}"
        elif path.suffix.lower() != ".csv":
            yield f"{INFO.name}: {usual} is not here; {part} read from {path.name}"
    if layout.transcripts is None:
        yield f"{INFO.name}: no Transcripts folder; with transcripts, the corpus has another revision"
    elif n_without := sum(u.transcript is None and u.split != "test3" for u in utterances):
        yield f"{INFO.name}: {n_without} of {len(utterances)} utterances have no transcript"
    if n_unplaced := sum(split is None for split in splits.values()):
        yield f"{INFO.name}: {n_unplaced} utterances have no split; only {INFO.name}:all has them"
