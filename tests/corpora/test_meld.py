"""MELD: the released label of every utterance, from invented tables and from the real ones where they are."""

from __future__ import annotations

import csv
import io
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from conftest import SHARED
from hypothesis import given, settings
from hypothesis import strategies as st

from serxbench.corpora import CorpusRequest, Listing, open_corpus
from serxbench.corpora.meld import INFO, read
from serxbench.emotions import EMOTIONS
from serxbench.errors import CorpusError

MELD = SHARED / "meld"

COLUMNS = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime"

#: Invented, with what the real tables have: gaps in the numbers, commas, quotation marks of both kinds.
ROWS = (
    '1,"Well, who’s there?",Ross,surprise,neutral,0,0,4,7,"00:01:02,500","00:01:04,000"',
    "2,It’s “me”.,Waitress,joy,positive,0,1,4,7,0,1",
    '5,"She said ""no"" – again…",Ross and Joey,anger,negative,2,0,11,12,0,1',
    "6, Fine. ,Phoebe , Neutral,neutral,2,4,11,12,0,1",
)


def write_table(folder: Path, name: str, rows: Sequence[str], columns: str = COLUMNS, encoding: str = "utf-8") -> Path:
    path = folder / f"{name}_sent_emo.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(f"{row}\r\n" for row in (columns, *rows)).encode(encoding))
    return path


def listing_of(root: Path, split: str = "all") -> Listing:
    return read(CorpusRequest(split=split, root=root))


def touch(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
def test_the_rows(tmp_path: Path, encoding: str) -> None:
    write_table(tmp_path, "test", ROWS, encoding=encoding)
    listing = listing_of(tmp_path, "test")
    assert [(u.id, u.consensus, u.speaker, u.transcript) for u in listing.utterances] == [
        ("test_dia0_utt0", "Surprise", "Ross", "Well, who's there?"),
        ("test_dia0_utt1", "Happy", "Waitress s04e07", 'It\'s "me".'),
        ("test_dia2_utt0", "Angry", "Ross and Joey s11e12", 'She said "no" – again…'),
        ("test_dia2_utt4", "Neutral", "Phoebe", "Fine."),
    ]
    assert [u.group for u in listing.utterances] == ["test_dia0", "test_dia0", "test_dia2", "test_dia2"]
    assert {u.split for u in listing.utterances} == {"test"}
    assert all(not u.votes for u in listing.utterances)
    assert not listing.faults
    assert not listing.remarks


def test_the_splits_keep_their_numbers_apart(tmp_path: Path) -> None:
    write_table(tmp_path / "train", "train", ROWS[:2])
    write_table(tmp_path, "dev", ROWS[:1])
    write_table(tmp_path / "data" / "MELD", "test", ROWS[:1])
    every = [(u.id, u.split) for u in listing_of(tmp_path).utterances]
    assert every == [
        ("train_dia0_utt0", "train"),
        ("train_dia0_utt1", "train"),
        ("dev_dia0_utt0", "development"),
        ("test_dia0_utt0", "test"),
    ]
    for split in ("train", "development", "test"):
        found = [(u.id, u.split) for u in listing_of(tmp_path, split).utterances]
        assert found == [each for each in every if each[1] == split]
    assert open_corpus("meld", tmp_path).split == "test"
    assert open_corpus("meld:dev", tmp_path).utterances[0].id == "dev_dia0_utt0"


def test_label_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"no label file of meld here; wanted one of train_sent_emo\.csv, train/"):
        listing_of(tmp_path)
    write_table(tmp_path, "dev", ROWS)
    assert listing_of(tmp_path).remarks == ("meld: no label file of train, test; the others are read",)
    assert listing_of(tmp_path, "development").remarks == ()
    with pytest.raises(CorpusError, match=r"wanted one of test_sent_emo\.csv"):
        listing_of(tmp_path, "test")
    write_table(tmp_path, "test", (), columns="Utterance,Speaker,Emotion,Utterance_ID")
    with pytest.raises(CorpusError, match="columns missing: Dialogue_ID"):
        listing_of(tmp_path, "test")


@pytest.mark.parametrize(
    ("row", "kind", "kept"),
    [
        ("9,Hm.,Ross,glee,positive,3,0,4,7,0,1", "unknown_label", ("test_dia3_utt0", None)),
        ("9,Hm.,Ross,,positive,3,0,4,7,0,1", "unknown_label", ("test_dia3_utt0", None)),
        ("9,Hm.,Ross,joy,positive,0,1,4,7,0,1", "duplicate_row", None),
        ("9,Hm.,Ross,joy,positive,three,0,4,7,0,1", "malformed_row", None),
        ("9,Hm.,Ross,joy,positive,-3,0,4,7,0,1", "malformed_row", None),
        ("9,Hm.,Ross,joy", "malformed_row", None),
    ],
)
def test_a_faulty_row_costs_only_itself(tmp_path: Path, row: str, kind: str, kept: tuple[str, None] | None) -> None:
    write_table(tmp_path, "test", (*ROWS[:2], row, ROWS[3]))
    listing = listing_of(tmp_path, "test")
    expected = [("test_dia0_utt0", "Surprise"), ("test_dia0_utt1", "Happy"), kept, ("test_dia2_utt4", "Neutral")]
    assert [(u.id, u.consensus) for u in listing.utterances] == [each for each in expected if each]
    assert [(fault.kind, fault.where) for fault in listing.faults] == [(kind, "test_sent_emo.csv:4")]


def test_speakers_without_an_episode_or_a_name(tmp_path: Path) -> None:
    columns = "Utterance,Speaker,Emotion,Dialogue_ID,Utterance_ID,Season,Episode"
    write_table(tmp_path, "test", ("A.,Man,joy,1,0,,", "B.,,joy,1,1,1,1", "C.,Monica,joy,1,2,,"), columns)
    assert [u.speaker for u in listing_of(tmp_path, "test").utterances] == ["Man test_dia1", None, "Monica"]


def test_the_dyadic_variant_names_clips_by_their_old_numbers(tmp_path: Path) -> None:
    columns = "Utterance,Speaker,Emotion,Dialogue_ID,Utterance_ID,Old_Dialogue_ID,Old_Utterance_ID,Season,Episode"
    rows = ("A.,Ross,joy,0,0,7,3,1,1", "B.,Joey,anger,0,1,7,4,1,1", "A.,Ross,joy,1,0,7,3,1,1")
    write_table(tmp_path, "test", rows, columns)
    listing = listing_of(tmp_path, "test")
    assert [(u.id, u.group) for u in listing.utterances] == [
        ("test_dia7_utt3", "test_dia7"),
        ("test_dia7_utt4", "test_dia7"),
    ]
    assert not listing.faults


@pytest.mark.parametrize(
    "clip",
    [
        "test/output_repeated_splits_test/dia0_utt0.mp4",
        "output_repeated_splits_test/dia0_utt0.wav",
        "test/dia0_utt0.flac",
        "TEST/Output_Repeated_Splits_Test/dia0_utt0.mp4",
        "audio/test/dia0_utt0.wav",
        "audio/test_dia0_utt0.wav",
        "wav/test_dia0_utt0.flac",
        "test/output_repeated_splits_test/test_dia0_utt0.wav",
    ],
)
def test_where_clips_may_lie(tmp_path: Path, clip: str) -> None:
    write_table(tmp_path, "test", ROWS[:1])
    touch(tmp_path, clip)
    listing = listing_of(tmp_path, "test")
    assert [u.audio for u in listing.utterances] == [tmp_path / clip]
    assert not listing.faults


def test_clips_of_every_split(tmp_path: Path) -> None:
    for name in ("train", "dev", "test"):
        write_table(tmp_path / name, name, ROWS[:2])
    touch(tmp_path, "train/train_splits/dia0_utt0.mp4", "dev/dev_splits_complete/dia0_utt0.mp4")
    touch(tmp_path, "train/train_splits/dia0_utt1.mp4", "dev/dev_splits_complete/dia0_utt1.mp4")
    test = "test/output_repeated_splits_test"
    touch(tmp_path, f"{test}/dia0_utt0.mp4", f"{test}/dia0_utt9.mp4", f"{test}/readme.txt")
    touch(tmp_path, f"{test}/._dia0_utt1.mp4", f"{test}/final_videos_testdia0_utt1.mp4")
    listing = listing_of(tmp_path)
    assert {u.id: u.audio and str(u.audio.relative_to(tmp_path)) for u in listing.utterances} == {
        "train_dia0_utt0": "train/train_splits/dia0_utt0.mp4",
        "train_dia0_utt1": "train/train_splits/dia0_utt1.mp4",
        "dev_dia0_utt0": "dev/dev_splits_complete/dia0_utt0.mp4",
        "dev_dia0_utt1": "dev/dev_splits_complete/dia0_utt1.mp4",
        "test_dia0_utt0": f"{test}/dia0_utt0.mp4",
        "test_dia0_utt1": None,
    }
    assert [(fault.kind, fault.where) for fault in listing.faults] == [
        ("missing_audio", "test_dia0_utt1"),
        ("unlisted_audio", "dia0_utt9.mp4"),
    ]
    assert not listing_of(tmp_path, "development").faults, "clips of other splits are not unlisted"


def test_a_flat_folder_of_all_splits(tmp_path: Path) -> None:
    for name in ("train", "test"):
        write_table(tmp_path, name, ROWS[:1])
    touch(tmp_path, "wav/train_dia0_utt0.wav", "wav/dev_dia0_utt0.wav", "wav/test_dia0_utt0.wav", "wav/dia0_utt0.wav")
    listing = listing_of(tmp_path, "test")
    assert [u.audio for u in listing.utterances] == [tmp_path / "wav/test_dia0_utt0.wav"]
    assert [fault.where for fault in listing.faults] == ["dia0_utt0.wav"], "a name that could be of any split"
    assert [fault.where for fault in listing_of(tmp_path).faults] == ["dia0_utt0.wav"], "dev has no label file"


def test_sound_goes_before_the_video_that_it_was_made_from(tmp_path: Path) -> None:
    write_table(tmp_path, "test", ROWS[:2])
    videos = "test/output_repeated_splits_test"
    touch(tmp_path, f"{videos}/dia0_utt0.mp4", f"{videos}/dia0_utt0.wav", f"{videos}/dia0_utt1.mp4")
    touch(tmp_path, "audio/test_dia0_utt1.flac")
    listing = listing_of(tmp_path, "test")
    assert [u.audio and u.audio.name for u in listing.utterances] == ["dia0_utt0.wav", "test_dia0_utt1.flac"]
    assert not listing.faults


def test_the_info_says_what_is_not_released() -> None:
    assert not INFO.individual_votes
    assert not INFO.upload_allowed
    assert INFO.labels == tuple(label for label in EMOTIONS if label != "Contempt")


#: The classes in the order of the counts below.
CLASSES = ("Neutral", "Happy", "Surprise", "Angry", "Sad", "Disgust", "Fear")


@pytest.mark.skipif(not MELD.is_dir(), reason="the MELD development data is not here")
@pytest.mark.parametrize(
    ("split", "counts", "n_dialogues"),
    [
        ("train", (4710, 1743, 1205, 1109, 683, 271, 268), 1038),
        ("development", (470, 163, 150, 153, 111, 22, 40), 114),
        ("test", (1256, 402, 281, 345, 208, 68, 50), 280),
        ("all", (6436, 2308, 1636, 1607, 1002, 361, 358), 1432),
    ],
)
def test_the_real_tables_have_the_published_counts(split: str, counts: tuple[int, ...], n_dialogues: int) -> None:
    corpus = open_corpus(f"meld:{split}", MELD)
    assert Counter(u.consensus for u in corpus.utterances) == dict(zip(CLASSES, counts, strict=True))
    assert len({u.group for u in corpus.utterances}) == n_dialogues
    assert corpus.n_faults == 0
    assert all(u.speaker and u.transcript for u in corpus.utterances)
    assert not {letter for u in corpus.utterances for letter in u.transcript or ""} & set("‘’“”\x91\x92\x93\x94")
    assert corpus.remarks == ("meld: no audio found; labels only",)


WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp", "Zs")), min_size=1, max_size=9)
EMOTION_NAMES = {"joy": "Happy", "anger": "Angry", "sadness": "Sad"} | {
    name: name.title() for name in ("surprise", "fear", "disgust", "neutral")
}
KEYS = st.tuples(st.integers(0, 30), st.integers(0, 30))


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(KEYS, st.tuples(st.lists(WORDS, min_size=1, max_size=4), st.sampled_from(sorted(EMOTION_NAMES)))),
)
def test_what_is_written_is_read_back(table: dict[tuple[int, int], tuple[list[str], str]]) -> None:
    lines = io.StringIO()
    writer = csv.writer(lines)
    for (dialogue, number), (words, emotion) in table.items():
        writer.writerow([1, " ".join(words), "Rachel", emotion, "neutral", dialogue, number, 1, 2, "0", "1"])
    with tempfile.TemporaryDirectory() as folder:
        write_table(Path(folder), "test", lines.getvalue().split("\r\n")[:-1])
        listing = listing_of(Path(folder), "test")
    plain = str.maketrans("‘’“”", "''\"\"")
    assert [(u.id, u.transcript, u.consensus) for u in listing.utterances] == [
        (f"test_dia{dialogue}_utt{number}", " ".join(words).translate(plain), EMOTION_NAMES[emotion])
        for (dialogue, number), (words, emotion) in table.items()
    ]
    assert not listing.faults
