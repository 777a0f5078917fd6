"""CREMA-D (Cao et al. 2014): six acted emotions, crowd votes for the voice alone, which is what an audio model hears.

Votes come from `finishedResponses.csv` (one row a rater and clip, with rater identities) where it is there, after the
authors' own filter: answers whose first click took over 10 s, listed in `finishedEmoResponses.csv`, are left out.
Otherwise from `processedResults/tabulatedVotes.csv`, the same votes as counts without identities. Both may be `.gz` and
may lie at the root.

The released consensus is the vote columns of `processedResults/summaryTable.csv`, or the table's own `emoVote`.
The option `presentation` takes the votes of raters who saw the face, or heard and saw. Clips are found by the stem of
their name in `AudioWAV/` as distributed, in `audio/` (FLAC copies) or in `AudioMP3/`; `1040_ITH_SAD_X`, as some copies
have it, is `1040_ITH_SAD_XX`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from serxbench.corpora import CorpusInfo, CorpusOption, CorpusRequest, Fault, Listing
from serxbench.corpora._files import attach_clips, find_path, index_clips, read_csv
from serxbench.corpora._label_maps import load_label_maps
from serxbench.emotions import NO_AGREEMENT
from serxbench.errors import CorpusError
from serxbench.records import Utterance, Vote

_FOLDS = tuple(f"fold{n}-{part}" for n in range(1, 6) for part in ("train", "development", "test"))

INFO = CorpusInfo(
    name="crema-d",
    description="7,442 acted clips of 91 actors, voice-only crowd votes (4 to 12 a clip), six emotions.",
    licence="ODbL-1.0 (database), DbCL-1.0 (contents)",
    labels=("Angry", "Sad", "Happy", "Fear", "Disgust", "Neutral"),
    splits=("all", "train", "development", "test", *_FOLDS),
    default_split="all",
    options=(
        CorpusOption(
            name="presentation",
            choices={
                "voice": "votes of raters who heard the clip only",
                "face": "votes of raters who saw the face only",
                "audio-visual": "votes of raters who heard and saw the clip",
            },
        ),
        CorpusOption(
            name="votes",
            choices={
                "auto": "finishedResponses.csv if it is there, else tabulatedVotes.csv",
                "tabulated": "tabulatedVotes.csv: counts without rater identities",
                "responses": "finishedResponses.csv with the authors' filter: first click within 10 s",
                "all-responses": "finishedResponses.csv without the filter",
            },
        ),
    ),
    needs_root=True,
    consensus_is_plurality=True,
    upload_allowed=True,
)

SENTENCES = {
    "IEO": "It's eleven o'clock.",
    "TIE": "That is exactly what happened.",
    "IOM": "I'm on my way to the meeting.",
    "IWW": "I wonder what this is about.",
    "TAI": "The airplane is almost full.",
    "MTI": "Maybe tomorrow it will be cold.",
    "IWL": "I would like a new alarm clock.",
    "ITH": "I think I have a doctor's appointment.",
    "DFA": "Don't forget a jacket.",
    "ITS": "I think I've seen this before.",
    "TSI": "The surface is slick.",
    "WSI": "We'll stop in a couple of minutes.",
}

#: The speaker-independent split of audEERING's published copy; the corpus itself has none. All others are train.
TEST_ACTORS = frozenset((1048, 1069, 1071, 1074, *range(1076, 1080), *range(1082, 1085), *range(1086, 1092)))
DEVELOPMENT_ACTORS = frozenset((1049, *range(1053, 1056), 1058, 1059, *range(1061, 1069), 1070, 1075, 1080, 1085))

#: EMO-SUPERB's five speaker-independent folds: actors of test and of development; the rest are train.
FOLD_ACTORS = {
    1: (range(1001, 1019), range(1019, 1037)),
    2: (range(1019, 1037), range(1037, 1055)),
    3: (range(1037, 1055), range(1055, 1073)),
    4: (range(1055, 1073), range(1073, 1092)),
    5: (range(1073, 1092), range(1001, 1019)),
}

_QUERY_TYPES = {"voice": 1, "face": 2, "audio-visual": 3}
_SUMMARY_COLUMNS = {"voice": "VoiceVote", "face": "FaceVote", "audio-visual": "MultiModalVote"}
_AUDIO_FOLDERS = ("AudioWAV", "audio", "AudioMP3")
_CODES = ("A", "D", "F", "H", "N", "S")
_NAME = re.compile(r"(10[0-9]{2})_([A-Z]{3})_(ANG|DIS|FEA|HAP|NEU|SAD)_(LO|MD|HI|XX)")
_ALIASES = {"1040_ITH_SAD_X": "1040_ITH_SAD_XX"}

Votes = dict[str, tuple[Vote, ...]]


def read(request: CorpusRequest) -> Listing:
    """The clips of one split, in the order of the vote table or, with single responses, of their names."""
    assert request.root is not None
    root, presentation = request.root, request.options["presentation"]
    votes, consensus, faults = _read_votes(root, presentation, request.options["votes"])
    utterances = []
    for name in votes:
        part = _part(int(name[:4]), request.split)
        if part is not None:
            utterances.append(
                Utterance(
                    id=name,
                    transcript=SENTENCES[name[5:8]],
                    speaker=name[:4],
                    split=part,
                    votes=votes[name],
                    consensus=consensus.get(name),
                )
            )
    clips, twice = _find_clips(root)
    attached, unfit = attach_clips(utterances, clips, frozenset(votes))
    return Listing(utterances=attached, faults=(*faults, *twice, *unfit))


def _part(actor: int, split: str | None) -> str | None:
    """The part of a split that an actor is in, None if the split asked for does not have this actor."""
    fold, _, wanted = (split or "").rpartition("-")
    fold_actors = FOLD_ACTORS[int(fold.removeprefix("fold"))] if fold else (TEST_ACTORS, DEVELOPMENT_ACTORS)
    test, development = fold_actors
    part = "test" if actor in test else "development" if actor in development else "train"
    return part if wanted in ("all", part) else None


def _find_clips(root: Path) -> tuple[dict[str, Path], list[Fault]]:
    for name in _AUDIO_FOLDERS:
        folder = find_path(root, name)
        if folder is not None and folder.is_dir():
            clips, faults = index_clips(folder)
            return {_ALIASES.get(stem, stem): path for stem, path in clips.items()}, faults
    return {}, []


def _find_table(root: Path, name: str, folder: str = "") -> Path | None:
    return find_path(root, *(f"{place}{name}{ending}" for place in (folder, "") for ending in ("", ".gz")))


def _read_votes(root: Path, presentation: str, source: str) -> tuple[Votes, Mapping[str, str], list[Fault]]:
    responses = _find_table(root, "finishedResponses.csv")
    table = _find_table(root, "tabulatedVotes.csv", "processedResults/")
    if source == "auto":
        source = "responses" if responses and _find_table(root, "finishedEmoResponses.csv") else "tabulated"
    if source == "tabulated":
        if table is None:
            wanted = "processedResults/tabulatedVotes.csv"
            raise CorpusError(f"{root}: has no vote table; wanted {wanted} or finishedResponses.csv, as distributed")
        votes, consensus, faults = _read_table(table, _QUERY_TYPES[presentation])
    else:
        if responses is None:
            raise CorpusError(f"{root}: has no finishedResponses.csv; without it, take votes=tabulated")
        slow = _slow_answers(root) if source == "responses" else frozenset()
        votes, faults = _read_responses(responses, _QUERY_TYPES[presentation], slow)
        consensus = {}
    summary = _find_table(root, "summaryTable.csv", "processedResults/")
    return votes, _read_summary(summary, presentation) if summary else consensus, faults


def _read_table(path: Path, query_type: int) -> tuple[Votes, dict[str, str], list[Fault]]:
    """Votes and consensus of tabulatedVotes.csv; its first, unnamed column is 100000 * query type + clip number."""
    votes: Votes = {}
    consensus, faults = {}, []
    classes = load_label_maps("crema_d")["standard"].classes
    for line, row in read_csv(path, ("", "fileName", "numResponses", "emoVote", *_CODES)):
        where = f"{path.name}:{line}"
        try:
            if int(row[""]) // 100_000 != query_type:
                continue
            counts = {classes[code.lower()]: int(row[code]) for code in _CODES}
            if min(counts.values()) < 0:
                raise ValueError("a count below 0")
            name, n_responses, vote = row["fileName"], int(row["numResponses"]), row["emoVote"]
        except (KeyError, ValueError) as error:
            faults.append(Fault(kind="malformed_row", where=where, what=f"the row cannot be read ({error}); left out"))
            continue
        if fault := _name_fault(name, votes, where):
            faults.append(fault)
            continue
        if sum(counts.values()) != n_responses:
            what = f"{name}: its votes sum to {sum(counts.values())}, numResponses is {n_responses}; the votes are used"
            faults.append(Fault(kind="vote_count", where=where, what=what))
        votes[name] = tuple(Vote(primary=label) for label, count in counts.items() for _ in range(count))
        consensus[name] = _consensus(vote, where, faults)
    return votes, {name: label for name, label in consensus.items() if label}, faults


def _name_fault(name: str, seen: Iterable[str], where: str) -> Fault | None:
    match = _NAME.fullmatch(name)
    if match is None or match[2] not in SENTENCES:
        return Fault(kind="malformed_name", where=where, what=f"{name!r} is not a clip name of CREMA-D; left out")
    if name in seen:
        return Fault(kind="duplicate_row", where=where, what=f"{name} stands twice; the first row is used")
    return None


def _consensus(vote: str, where: str, faults: list[Fault]) -> str | None:
    """A vote column: a letter, or several joined by `:` for a tie."""
    letters = vote.strip().upper().split(":")
    if not set(letters) <= set(_CODES):
        what = f"the vote {vote!r} is none of {', '.join(_CODES)}; no consensus is taken from it"
        faults.append(Fault(kind="unknown_label", where=where, what=what))
        return None
    return load_label_maps("crema_d")["standard"].classes[letters[0].lower()] if len(letters) == 1 else NO_AGREEMENT


def _read_summary(path: Path, presentation: str) -> dict[str, str]:
    column = _SUMMARY_COLUMNS[presentation]
    found = {row["FileName"]: _consensus(row[column], "", []) for _, row in read_csv(path, ("FileName", column))}
    return {name: label for name, label in found.items() if label}


def _slow_answers(root: Path) -> frozenset[int]:
    """The keys of the answers that the authors leave out: over 10 s to the first click."""
    path = _find_table(root, "finishedEmoResponses.csv")
    if path is None:
        raise CorpusError(
            f"{root}: has no finishedEmoResponses.csv, which says what the authors' filter drops; take "
            "votes=all-responses to go without the filter, or votes=tabulated"
        )
    wanted = ("sessionNums", "queryType", "questNum", "ttr")
    return frozenset(_key(row) for _, row in read_csv(path, wanted) if _number(row["ttr"]) > 10_000)


def _key(row: Mapping[str, str]) -> int:
    return int(row["sessionNums"]) * 1000 + int(row["queryType"]) * 100 + int(row["questNum"])


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _read_responses(path: Path, query_type: int, slow: frozenset[int]) -> tuple[Votes, list[Fault]]:
    collected: dict[str, list[Vote]] = {}
    faults = []
    classes = load_label_maps("crema_d")["standard"].classes
    wanted = ("localid", "queryType", "questNum", "clipName", "sessionNums", "respEmo")
    for line, row in read_csv(path, wanted):
        where = f"{path.name}:{line}"
        try:
            if int(row["queryType"]) != query_type or _key(row) in slow:
                continue
            name, answer, rater = row["clipName"], row["respEmo"].strip().lower(), row["localid"]
        except (KeyError, ValueError) as error:
            faults.append(Fault(kind="malformed_row", where=where, what=f"the row cannot be read ({error}); left out"))
            continue
        if fault := _name_fault(name, (), where):
            faults.append(fault)
        elif answer not in classes:
            what = f"{name}: the answer {row['respEmo']!r} is none of {', '.join(_CODES)}; the vote is left out"
            faults.append(Fault(kind="unknown_label", where=where, what=what))
        else:
            collected.setdefault(name, []).append(Vote(annotator=rater, primary=classes[answer]))
    return {name: tuple(collected[name]) for name in sorted(collected)}, faults
