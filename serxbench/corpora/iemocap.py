"""IEMOCAP (Busso et al. 2008): dialogues of ten actors, improvised and scripted, rated by three or more people.

Only the label files `Session*/dialog/EmoEvaluation/<dialog>.txt` are needed; `dialog/transcriptions` and
`sentences/wav` are used where they are there. `--data-root` is `IEMOCAP_full_release`, its parent, or any folder with
`Session1` to `Session5` in it.

Votes: a rater may give an utterance several labels. Each class that a rater named is one vote of that rater, as
EMO-SUPERB counts, so an utterance can have more votes than raters, and shares and majorities are of votes. Two names
that the label map brings to one class (happiness and excited) are one vote of that rater. Votes are those of the
outside raters (`C-E1` …), known as `E1` … in all sessions; an actor's evaluation of his own turns is told apart by its
session (`Ses01-F1`), because the same code in another session is another actor.

Consensus: the released code, through the same label map; `xxx` is no agreement. The agreement of votes and consensus
is checked in the corpus's own ten labels, because merging two of them makes pluralities that nobody released. It is
not expected to be complete: a published recount of all labels decides 7,497 utterances, the release decides 7,532.

All sessions together are the default split: the corpus has none of its own, and a model that was not trained on it can
be asked about all of it. Many papers test on session5 alone; foldN leaves session N out for the test.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from serxbench.corpora import Agreement, CorpusInfo, CorpusOption, CorpusRequest, Fault, Listing
from serxbench.corpora._files import attach_clips, find_path, index_clips
from serxbench.corpora._iemocap_files import CODES, Turn, read_transcripts, read_turns
from serxbench.corpora._label_maps import LabelMap, label_choices, load_label_maps
from serxbench.corpora._listing import compare_pluralities
from serxbench.errors import CorpusError
from serxbench.records import Utterance, Vote

_SESSIONS = range(1, 6)

INFO = CorpusInfo(
    name="iemocap",
    description="10,039 turns of 10 actors in dialogue, at least three raters each, nine emotions and other.",
    licence="USC EULA: research only, no redistribution",
    labels=("Angry", "Sad", "Happy", "Surprise", "Fear", "Disgust", "Neutral"),
    splits=(
        "all",
        *(f"session{n}" for n in _SESSIONS),
        *(f"fold{n}-{part}" for n in _SESSIONS for part in ("train", "test")),
    ),
    default_split="all",
    options=(
        CorpusOption(name="labels", choices=label_choices("iemocap")),
        CorpusOption(
            name="raters",
            choices={
                "outside": "votes of the outside raters only",
                "all": "votes of the outside raters and the actors' self-evaluations",
                "none": "no votes: scores are against the released label, as published four-class figures are",
            },
        ),
    ),
    needs_root=True,
    upload_allowed=False,
)

#: What a class is called by raters; anything else that is mapped to it says more than the class.
_PLAIN_NAMES = {
    "Angry": "anger",
    "Sad": "sadness",
    "Happy": "happiness",
    "Surprise": "surprise",
    "Fear": "fear",
    "Disgust": "disgust",
    "Neutral": "neutral",
    "Other": "other",
}


def read(request: CorpusRequest) -> Listing:
    """The turns of one split: sessions and dialogues in the order of their names, turns in that of their file."""
    assert request.root is not None
    label_map, raters = load_label_maps("iemocap")[request.options["labels"]], request.options["raters"]
    parts = _parts(request.split)
    sessions = _find_sessions(request.root, parts)
    files = [(n, path) for n, folder in sessions.items() for path in _label_files(folder)]
    turns, faults = _read_turns(files, self_evaluations=raters == "all")
    texts = _read_transcripts(files)
    utterances = [
        Utterance(
            id=turn.id,
            transcript=texts.get(turn.id),
            speaker=turn.speaker,
            group=turn.dialogue,
            split=parts[turn.session],
            votes=() if raters == "none" else _votes(turn, label_map),
            consensus=label_map.classes.get(turn.released or "", turn.released),
        )
        for turn in turns.values()
        if not _left_out(turn, label_map)
    ]
    faults += _vote_faults(turns, utterances) if raters != "none" else []
    clips, twice = _find_clips(sessions.values())
    attached, unfit = attach_clips(utterances, clips, frozenset(turns))
    return Listing(
        utterances=attached,
        remarks=_remarks(attached, [n for n in parts if n not in sessions], raters),
        faults=(*faults, *twice, *unfit),
        labels=label_map.labels,
        agreement=_compare(turns[utterance.id] for utterance in utterances),
        n_left_out=len(turns) - len(utterances),
    )


def _parts(split: str | None) -> dict[int, str]:
    """The sessions that a split is made of → what it calls them: `session3`, or `train` and `test` of a fold."""
    name, _, part = (split or "all").partition("-")
    if part:
        held_out = int(name.removeprefix("fold"))
        return {n: part for n in _SESSIONS if (n == held_out) == (part == "test")}
    return {n: f"session{n}" for n in _SESSIONS if name in ("all", f"session{n}")}


def _find_sessions(root: Path, wanted: Iterable[int]) -> dict[int, Path]:
    """The folders of those sessions that have label files. Raises CorpusError if none has."""
    base = find_path(root, "IEMOCAP_full_release") or root
    found = {n: find_path(base, f"Session{n}") for n in wanted}
    sessions = {n: folder for n, folder in found.items() if folder is not None and _label_files(folder)}
    if not sessions:
        names = ", ".join(f"Session{n}" for n in found)
        raise CorpusError(
            f"{root}: no label file of iemocap here; wanted dialog/EmoEvaluation/*.txt in {names}, with or without "
            "the folder IEMOCAP_full_release above them"
        )
    return sessions


def _label_files(session: Path) -> list[Path]:
    """The label files themselves; the folders beside them hold the same ratings once more, one file a rater."""
    folder = find_path(session, "dialog/EmoEvaluation")
    if folder is None or not folder.is_dir():
        return []
    return sorted(path for path in folder.glob("[!.]*") if path.suffix.lower() == ".txt" and path.is_file())


def _read_turns(files: Iterable[tuple[int, Path]], *, self_evaluations: bool) -> tuple[dict[str, Turn], list[Fault]]:
    turns: dict[str, Turn] = {}
    faults: list[Fault] = []
    for session, path in files:
        found, unread = read_turns(path, session, self_evaluations=self_evaluations)
        faults += unread
        for turn in found:
            if turn.id in turns:
                what = f"{turn.id} stands twice; the turn at {turns[turn.id].where} is used"
                faults.append(Fault(kind="duplicate_row", where=turn.where, what=what))
                continue
            turns[turn.id] = turn
            if turn.released is None:
                what = f"{turn.id}: its released label {turn.code!r} is none of {', '.join(CODES)}; it has no consensus"
                faults.append(Fault(kind="unknown_label", where=turn.where, what=what))
    return turns, faults


def _read_transcripts(files: Iterable[tuple[int, Path]]) -> dict[str, str]:
    paths = (find_path(path.parents[1], f"transcriptions/{path.name}") for _, path in files)
    return {id: text for path in paths if path for id, text in read_transcripts(path).items()}


def _left_out(turn: Turn, label_map: LabelMap) -> bool:
    """Whether a map that leaves labels out does so with this turn; no agreement and unknown labels go with them."""
    return bool(label_map.dropped) and turn.released not in label_map.classes.keys() - label_map.dropped


def _votes(turn: Turn, label_map: LabelMap) -> tuple[Vote, ...]:
    votes = []
    for rater, names in turn.ratings.items():
        said: dict[str, list[str]] = {}
        for name in names:
            said.setdefault(label_map.classes[name], []).append(name)
        annotator = rater if rater.startswith("E") else f"Ses0{turn.session}-{rater}"
        for label, own in said.items():
            text = None if own == [_PLAIN_NAMES[label]] else "; ".join(own)
            votes.append(Vote(annotator=annotator, primary=label, primary_text=text))
    return tuple(votes)


def _vote_faults(turns: Mapping[str, Turn], utterances: Iterable[Utterance]) -> list[Fault]:
    return [
        Fault(kind="no_votes", where=turns[utterance.id].where, what=f"{utterance.id}: no rater's label could be read")
        for utterance in utterances
        if not utterance.votes
    ]


def _compare(turns: Iterable[Turn]) -> Agreement | None:
    """Pluralities of the outside raters' own labels against the released ones; None without such labels."""
    pairs = []
    for turn in turns:
        labels = [name for rater, names in turn.ratings.items() if rater.startswith("E") for name in names]
        if labels and turn.released is not None:
            pairs.append((turn.id, labels, turn.released))
    return compare_pluralities(pairs) if pairs else None


def _find_clips(sessions: Iterable[Path]) -> tuple[dict[str, Path], list[Fault]]:
    clips: dict[str, Path] = {}
    faults: list[Fault] = []
    for session in sessions:
        found, twice = index_clips(find_path(session, "sentences/wav"), deep=True)
        clips |= found
        faults += twice
    return clips, faults


def _remarks(utterances: Sequence[Utterance], missing: Sequence[int], raters: str) -> tuple[str, ...]:
    remarks = []
    if missing:
        remarks.append(f"iemocap: no label files of {', '.join(f'Session{n}' for n in missing)}; the others are read")
    if raters == "all":
        remarks.append("iemocap: the actors' self-evaluations are among the votes")
    if raters == "none":
        remarks.append("iemocap: the votes are left aside; scores are against the released labels")
    if n_silent := sum(utterance.transcript is None for utterance in utterances):
        remarks.append(f"iemocap: {n_silent} of the {len(utterances)} utterances have no transcript")
    return tuple(remarks)
