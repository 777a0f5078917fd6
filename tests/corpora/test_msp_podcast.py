"""MSP-Podcast from invented releases: formats, spellings, splits, Test3, label files alone, and what is missing."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
from msp_podcast_files import (
    CONSENSUS,
    HIDDEN,
    PARTITIONS,
    RELEASE,
    VOTES,
    WRITERS,
    A,
    B,
    C,
    faults_of,
    opened,
    votes_of,
    write_1_12,
    write_files,
)

from serxbench.corpora import find_corpus, open_corpus
from serxbench.emotions import EMOTIONS
from serxbench.errors import CorpusError, UnknownName
from serxbench.records import Utterance


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A release as 1.12 lays it out."""
    write_files(
        tmp_path,
        {
            "Partitions.txt": PARTITIONS,
            "Labels/labels_consensus.csv": CONSENSUS,
            f"Transcripts/{A}.txt": "so this is\n invented \n",
            f"Transcripts/{B}.txt": "caf\xe9 \x93again\x94".encode("latin-1"),
            f"Transcripts/{C}.txt": "\ufeffzw\xf6lf",
            **{f"Audios/{id}.wav": b"RIFF" for id in (A, B, C, HIDDEN)},
        },
    )
    write_1_12(tmp_path / "Labels/labels_detailed.csv", RELEASE)
    return tmp_path


def test_what_it_says_of_itself() -> None:
    info = find_corpus("MSP_Podcast").INFO
    assert info.labels == EMOTIONS
    assert info.splits == ("all", "train", "development", "test1", "test2", "test3")
    assert info.default_split == "test1"
    assert info.needs_root
    assert info.individual_votes
    assert not info.upload_allowed
    assert "no redistribution" in info.licence


def test_a_whole_release(release: Path) -> None:
    corpus = opened(release)
    assert corpus.utterances == (
        Utterance(id=A, audio=release / "Audios" / f"{A}.wav", transcript="so this is invented", speaker="127",
                  group="MSP-PODCAST_0001", split="test1", votes=VOTES[A], consensus="Neutral"),
        Utterance(id=B, audio=release / "Audios" / f"{B}.wav", transcript="caf\xe9 \u201cagain\u201d", speaker=None,
                  group="MSP-PODCAST_1655", split="train", votes=VOTES[B], consensus="X"),
        Utterance(id=C, audio=release / "Audios" / f"{C}.wav", transcript="zw\xf6lf", speaker="12",
                  group="MSP-PODCAST_0002", split="development", votes=VOTES[C], consensus="Happy"),
        Utterance(id=HIDDEN, audio=release / "Audios" / f"{HIDDEN}.wav", split="test3"),
    )  # fmt: skip
    assert (corpus.remarks, corpus.n_faults) == ((), 0)
    assert corpus.scorable


@pytest.mark.parametrize(
    ("split", "id"),
    [("", A), ("Test_1", A), ("TEST1", A), ("Train", B), ("Validation", C), ("dev", C), ("test3", HIDDEN)],
)
def test_one_split_and_nothing_said_of_the_others(release: Path, split: str, id: str) -> None:
    corpus = opened(release, split)
    assert [utterance.id for utterance in corpus.utterances] == [id]
    assert (corpus.utterances[0].votes, corpus.remarks) == (VOTES.get(id, ()), ()), "others' clips are no faults"


def test_test3_can_be_run_and_not_scored(release: Path) -> None:
    corpus = opened(release, "test3")
    assert corpus.utterances[0].audio is not None
    assert not corpus.scorable
    for path in (release / "Labels").iterdir():
        path.unlink()
    assert [u.id for u in opened(release, "test3").utterances] == [HIDDEN], "Partitions.txt is enough for it"
    with pytest.raises(CorpusError, match="no label file of msp-podcast here; wanted labels_consensus"):
        opened(release, "test1")


@pytest.mark.parametrize("format", WRITERS)
def test_votes_in_every_format(tmp_path: Path, format: str) -> None:
    (tmp_path / "partition.txt").write_text(PARTITIONS)
    WRITERS[format](tmp_path / "labels_detailed.csv", RELEASE)
    if format != "labels.txt":
        (tmp_path / "Labels_Consensus.CSV").write_text(CONSENSUS)
    corpus = opened(tmp_path)
    assert votes_of(corpus) == {**VOTES, HIDDEN: ()}
    assert corpus.n_faults == 0
    ending = {"json": "json", "labels.txt": "txt"}.get(format)
    assert any("votes read from labels" in remark for remark in corpus.remarks) == bool(ending)
    assert sum("labels_consensus.csv is not here; consensus read" in r for r in corpus.remarks) == (ending == "txt")


def test_the_csv_goes_before_its_twins(release: Path) -> None:
    twin = {file: said[:1] for file, said in RELEASE.items()}
    WRITERS["json"](release / "Labels/labels_detailed.json", twin)
    WRITERS["labels.txt"](release / "Labels/labels.txt", twin)
    write_files(release, {"Labels/labels_consensus.json": "{}"})
    assert votes_of(opened(release)) == {**VOTES, HIDDEN: ()}


@pytest.mark.parametrize("labels", ["Labels", "labels", "label", "LABEL", "."])
@pytest.mark.parametrize("consensus", ["labels_consensus", "labels_concensus", "Labels_Concensus"])
def test_folders_and_files_in_every_spelling(release: Path, labels: str, consensus: str) -> None:
    (release / "Labels").rename(release / "was")
    (release / labels).mkdir(exist_ok=True)
    (release / "was/labels_consensus.csv").rename(release / labels / f"{consensus}.csv")
    (release / "was/labels_detailed.csv").rename(release / labels / "LABELS_detailed.csv")
    (release / "Audios").rename(release / "audio")
    (release / "Transcripts").rename(release / "transcripts")
    (release / "Partitions.txt").rename(release / "Partition.txt")
    corpus = opened(release)
    assert [(u.consensus, u.audio is not None, u.split) for u in corpus.utterances] == [
        ("Neutral", True, "test1"),
        ("X", True, "train"),
        ("Happy", True, "development"),
        (None, True, "test3"),
    ]
    assert (votes_of(corpus), corpus.remarks) == ({**VOTES, HIDDEN: ()}, ())


def test_names_that_are_there_twice_or_are_no_folder(release: Path) -> None:
    write_files(release, {"Labels/LABELS_CONSENSUS.csv": "", "labels_consensus.csv": "", "Transcript": "", "Audio": ""})
    assert (opened(release).remarks, opened(release).n_faults) == ((), 0)
    for folder in ("Transcripts", "Audios"):
        (release / folder).rename(release / f"no {folder}")
    assert [remark.partition(";")[0] for remark in opened(release).remarks] == [
        "msp-podcast: no Transcripts folder",
        "msp-podcast: no audio found",
    ]


def test_the_order_is_that_of_the_consensus_file(release: Path) -> None:
    revision = opened(release).revision
    (release / "Partitions.txt").write_text("\n".join(reversed(PARTITIONS.splitlines())))
    assert [utterance.id for utterance in opened(release).utterances] == [A, B, C, HIDDEN]
    assert opened(release).revision == revision


def test_audio_beside_the_label_files(release: Path) -> None:
    for path in (release / "Audios").iterdir():
        path.rename(release / path.name)
    (release / "Audios").rmdir()
    assert all(utterance.audio == release / f"{utterance.id}.wav" for utterance in opened(release).utterances)


def test_the_label_folder_alone(release: Path) -> None:
    corpus = opened(release / "Labels")
    assert [(u.id, u.split, u.audio, u.transcript, u.consensus) for u in corpus.utterances] == [
        (A, "test1", None, None, "Neutral"),
        (B, "train", None, None, "X"),
        (C, "development", None, None, "Happy"),
    ]
    assert votes_of(corpus) == VOTES
    assert corpus.remarks == (
        "msp-podcast: no Transcripts folder; with transcripts, the corpus has another revision",
        "msp-podcast: no audio found; labels only",
    )
    with pytest.raises(CorpusError, match=r"no utterance of the split 'test3' here; .* Test3 only from the first"):
        opened(release / "Labels", "test3")


def test_detailed_labels_alone(release: Path) -> None:
    (release / "Labels/labels_consensus.csv").unlink()
    corpus = opened(release / "Labels")
    assert [(u.id, u.votes, u.consensus, u.split) for u in corpus.utterances] == [
        (id, votes, None, None) for id, votes in VOTES.items()
    ]
    assert "labels_consensus.csv is not here; the corpus is read without consensus" in corpus.remarks[0]
    with pytest.raises(CorpusError, match="neither is here"):
        opened(release / "Labels", "test1")
    assert [u.id for u in opened(release, "test1").utterances] == [A], "Partitions.txt says the split"


def test_consensus_alone(release: Path) -> None:
    (release / "Labels/labels_detailed.csv").unlink()
    corpus = opened(release)
    assert [(u.votes, u.consensus) for u in corpus.utterances[:2]] == [((), "Neutral"), ((), "X")]
    assert "labels_detailed.csv is not here; the corpus is read without votes" in corpus.remarks[0]
    assert corpus.n_faults == 0
    with pytest.raises(CorpusError, match="no label file of msp-podcast here"):
        opened(release / "Audios")


@pytest.mark.parametrize(
    ("name", "header", "missing"),
    [
        ("labels_consensus.csv", "FileName,Emo", "EmoClass"),
        ("labels_consensus.csv", "", "an empty file"),
        ("labels_detailed.csv", "FileName,WorkerID,EmoClass", "EmoClass_Major"),
        ("labels_detailed.csv", "File,EmoDetail", "FileName"),
    ],
)
def test_missing_columns_are_named(release: Path, name: str, header: str, missing: str) -> None:
    write_files(release, {f"Labels/{name}": f"{header}\na,b,c\n" if header else ""})
    with pytest.raises(CorpusError, match=missing):
        opened(release)


def test_splits_that_do_not_fit(release: Path) -> None:
    odd = f"Train; {A}.wav\ntest9; {B}.wav\nno semicolon\nTest2; {HIDDEN}.wav\nTest2; {A}.wav\n"
    write_files(release, {"Partitions.txt": odd, "Labels/labels_consensus.csv": CONSENSUS.replace("Validation", "NA")})
    assert faults_of(release) == [
        ("malformed_row", "Partitions.txt:3"),
        ("duplicate_row", "Partitions.txt:5"),
        ("split_differs", A),
        ("unknown_split", B),
        ("no_consensus", HIDDEN),
        ("no_votes", HIDDEN),
    ]
    splits = {utterance.id: utterance.split for utterance in opened(release).utterances}
    assert splits == {A: "train", B: "train", C: None, HIDDEN: "test2"}


def test_votes_and_consensus_that_lack_each_other(release: Path) -> None:
    write_1_12(release / "Labels/labels_detailed.csv", {f: said for f, said in RELEASE.items() if f != f"{B}.wav"})
    assert faults_of(release) == [("no_votes", B)]
    assert faults_of(release, "test1") == []


def test_clips_and_transcripts_that_are_missing(release: Path) -> None:
    (release / f"Audios/{A}.wav").rename(release / "Audios/MSP-PODCAST_9999_0001.wav")
    (release / f"Transcripts/{B}.txt").unlink()
    (release / f"Transcripts/{C}.txt").write_text(" \n")
    assert faults_of(release) == [("missing_audio", A), ("unlisted_audio", "MSP-PODCAST_9999_0001.wav")]
    corpus = opened(release)
    assert corpus.remarks[0] == "msp-podcast: 2 of 4 utterances have no transcript"
    assert corpus.n_absent == 1
    assert [(u.id, u.transcript) for u in corpus.utterances] == [(B, None), (C, None), (HIDDEN, None)]


def test_groups_of_names_that_are_not_the_corpus_s(tmp_path: Path) -> None:
    write_files(tmp_path, {"labels_consensus.csv": "FileName,EmoClass\none,S\nMSP-PODCAST_12.wav,S\n"})
    assert [(u.id, u.group) for u in opened(tmp_path).utterances] == [("one", None), ("MSP-PODCAST_12", None)]


def test_an_unknown_label_option_is_named(release: Path) -> None:
    assert len(open_corpus("msp-podcast:all,labels=standard", release).utterances) == 4
    with pytest.raises(UnknownName, match="labels of msp-podcast"):
        open_corpus("msp-podcast:all,labels=odd", release)


def test_the_garbage_collector_is_left_as_it_was(release: Path) -> None:
    opened(release)
    assert gc.isenabled()
    gc.disable()
    try:
        opened(release)
        assert not gc.isenabled()
    finally:
        gc.enable()
    (release / "Labels/labels_detailed.csv").write_text("")
    with pytest.raises(CorpusError):
        opened(release)
    assert gc.isenabled()
