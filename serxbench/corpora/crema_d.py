"""CREMA-D (Cao et al. 2014): six acted emotions, crowd votes for voice only, which is what an audio model hears.

Reads `tabulatedVotes.csv` (or `.gz`, at the root or under `processedResults/`): the authors' own filter is applied
there, and the votes are counts without rater identities. Clips are found by the stem of their name in `AudioWAV/`
as distributed, or in `audio/` (FLAC copies). Only clips that are there are listed; how many are not is a remark.
Without any audio folder all clips are listed for scoring answers made elsewhere.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from serxbench.corpora import CorpusInfo, CorpusRequest, Listing
from serxbench.emotions import NO_AGREEMENT
from serxbench.errors import CorpusError
from serxbench.records import Utterance, Vote

INFO = CorpusInfo(
    name="crema-d",
    description="7,442 acted clips of 91 actors, voice-only crowd votes (4 to 12 a clip), six emotions.",
    licence="ODbL-1.0 (database), DbCL-1.0 (contents)",
    labels=("Angry", "Sad", "Happy", "Fear", "Disgust", "Neutral"),
    splits=("all", "train", "development", "test"),
    default_split="all",
    needs_root=True,
    upload_allowed=True,
)

CODES = {"A": "Angry", "D": "Disgust", "F": "Fear", "H": "Happy", "N": "Neutral", "S": "Sad"}

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

_VOICE_ONLY = 1
_AUDIO_FOLDERS = ("AudioWAV", "audio", "AudioMP3")
_AUDIO_SUFFIXES = {".wav", ".flac", ".mp3", ".ogg", ".opus"}


def read(request: CorpusRequest) -> Listing:
    """The clips of one split in the order of the vote table."""
    assert request.root is not None
    clips = _find_clips(request.root)
    utterances, n_absent = [], 0
    for utterance in _read_votes(_find_table(request.root)):
        if request.split not in ("all", utterance.split):
            continue
        if clips and utterance.id not in clips:
            n_absent += 1
            continue
        utterances.append(replace(utterance, audio=clips.get(utterance.id)))
    remarks = []
    if n_absent:
        total = len(utterances) + n_absent
        remarks.append(f"crema-d: {len(utterances)} of the {total} clips in the vote table are in {request.root}")
    if not clips:
        remarks.append(f"crema-d: no audio in {request.root} (looked for {', '.join(_AUDIO_FOLDERS)}); labels only")
    return Listing(utterances=utterances, remarks=tuple(remarks))


def _find_clips(root: Path) -> dict[str, Path]:
    for name in _AUDIO_FOLDERS:
        folder = root / name
        if folder.is_dir():
            return {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in _AUDIO_SUFFIXES}
    return {}


def _find_table(root: Path) -> Path:
    names = [f"{folder}tabulatedVotes.csv{ending}" for folder in ("processedResults/", "") for ending in ("", ".gz")]
    for name in names:
        if (root / name).is_file():
            return root / name
    raise CorpusError(f"{root}: has no vote table; wanted one of {', '.join(names)} as the corpus distributes it")


def _read_votes(path: Path) -> Iterator[Utterance]:
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    rows = csv.DictReader(io.StringIO(raw.decode("utf-8-sig"), newline=""))
    wanted = {"", "fileName", "numResponses", "emoVote", *CODES}
    if missing := wanted - set(rows.fieldnames or ()):
        raise CorpusError(f"{path}: columns missing: {', '.join(sorted(missing))}; is it CREMA-D's tabulatedVotes.csv?")
    for row in rows:
        try:
            if int(row[""]) // 100_000 == _VOICE_ONLY:
                yield _utterance(row)
        except (ValueError, KeyError, IndexError) as error:
            raise CorpusError(f"{path}:{rows.line_num}: malformed row ({error}): {row}") from error


def _utterance(row: dict[str, str]) -> Utterance:
    counts = {label: int(row[code]) for code, label in CODES.items()}
    if sum(counts.values()) != int(row["numResponses"]):
        raise ValueError(f"votes sum to {sum(counts.values())}, numResponses is {row['numResponses']}")
    name = row["fileName"]
    actor, sentence = name.split("_")[:2]
    split = "test" if int(actor) in TEST_ACTORS else "development" if int(actor) in DEVELOPMENT_ACTORS else "train"
    return Utterance(
        id=name,
        transcript=SENTENCES[sentence],
        speaker=actor,
        split=split,
        votes=tuple(Vote(primary=label) for label, count in counts.items() for _ in range(count)),
        consensus=CODES[row["emoVote"]] if ":" not in row["emoVote"] else NO_AGREEMENT,
    )
