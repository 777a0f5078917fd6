"""Corpora: the manifest's rows, CREMA-D's real votes, the embedded corpus, and what is refused."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from conftest import SHARED, write_rows

from serxbench.corpora import find_corpus, list_corpora, open_corpus
from serxbench.corpora.crema_d import DEVELOPMENT_ACTORS, TEST_ACTORS
from serxbench.emotions import EMOTIONS
from serxbench.errors import CorpusError, UnknownName, UsageError
from serxbench.records import Vote

CREMA_D = SHARED / "crema-d"


@pytest.mark.parametrize("name", list_corpora())
def test_every_corpus_says_what_it_is(name: str) -> None:
    info = find_corpus(name).INFO
    assert info.name == name
    assert set(info.labels) <= set(EMOTIONS)
    assert info.description
    assert info.licence
    assert info.default_split is None or info.default_split in info.splits


def test_names_are_forgiving_and_unknown_ones_named() -> None:
    assert find_corpus("CREMA_D").INFO.name == "crema-d"
    with pytest.raises(UnknownName, match="no corpus 'cremad'; did you mean 'crema-d'"):
        open_corpus("cremad")
    with pytest.raises(UnknownName, match="no split of demo 'tset'; did you mean 'test'"):
        open_corpus("demo:tset")
    with pytest.raises(UsageError, match="needs --data-root"):
        open_corpus("crema-d")
    with pytest.raises(UsageError, match="no such folder"):
        open_corpus("crema-d", Path("nowhere"))
    with pytest.raises(CorpusError, match="has no vote table"):
        open_corpus("crema-d", Path(__file__).parent)
    with pytest.raises(UsageError, match="--limit must be at least 1"):
        open_corpus("demo", limit=0)


def test_the_revision_covers_labels_and_not_places(tmp_path: Path) -> None:
    rows = [{"id": "a", "audio": "a.wav", "votes": ["Sad"]}, {"id": "b", "consensus": "X"}]
    first = open_corpus(f"manifest:{write_rows(tmp_path / 'one.jsonl', rows)}")
    (tmp_path / "else").mkdir()
    moved = open_corpus(f"manifest:{write_rows(tmp_path / 'else' / 'two.jsonl', rows)}")
    assert first.revision == moved.revision
    rows[0]["votes"] = ["Happy"]
    assert open_corpus(f"manifest:{write_rows(tmp_path / 'one.jsonl', rows)}").revision != first.revision


def test_a_manifest_in_both_formats(tmp_path: Path) -> None:
    votes = [{"annotator": "x", "primary": "sad", "secondary": ["Fear"]}, {"primary": "OTHER"}]
    jsonl = write_rows(
        tmp_path / "a.jsonl",
        [
            {"id": "1", "audio": "1.wav", "speaker": "s", "group": "g", "split": "test", "votes": votes},
            {"id": 2, "votes": {"Angry": 2, "Neutral": 1}, "consensus": "angry", "split": "train", "audio": None},
            {"id": "3", "consensus": "X", "split": "test"},
        ],
    )
    first, second, third = open_corpus(f"manifest:{jsonl}").utterances
    assert first.votes == (Vote(annotator="x", primary="Sad", secondary=("Fear",)), Vote(primary="Other"))
    assert first.audio == tmp_path / "1.wav"
    assert (second.id, second.audio, second.consensus) == ("2", None, "Angry")
    assert [vote.primary for vote in second.votes] == ["Angry", "Angry", "Neutral"]
    assert (third.votes, third.consensus) == ((), "X")
    assert [u.id for u in open_corpus(f"manifest:{jsonl}#test").utterances] == ["1", "3"]
    with pytest.raises(CorpusError, match="no utterances in split 'dev'"):
        open_corpus(f"manifest:{jsonl}#dev")

    text = 'id,audio,consensus,votes\n1,1.wav,,"{""Sad"": 3}"\n2,,X,\n'
    (tmp_path / "a.csv").write_text("\ufeff" + text, encoding="utf-8")
    one, two = open_corpus(f"manifest:{tmp_path / 'a.csv'}").utterances
    assert [vote.primary for vote in one.votes] == ["Sad"] * 3
    assert (two.audio, two.consensus, two.votes) == (None, "X", ())


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"audio": "a.wav"}, "has no id"),
        ({"id": "a", "voets": []}, "no column 'voets'; did you mean 'votes'"),
        ({"id": "a", "votes": ["angy"]}, "no emotion class 'angy'; did you mean 'Angry'"),
        ({"id": "a", "votes": {"Sad": -1}}, "whole number from 0 up; found -1"),
        ({"id": "a", "votes": {"Sad": 1.5}}, "whole number from 0 up; found 1.5"),
        ({"id": "a", "votes": 3}, "a list of votes or label counts wanted"),
        ({"id": "a", "votes": [{"secondary": ["Sad"]}]}, "each needs a 'primary' label"),
        ({"id": "a", "votes": [{"primary": "Sad", "weight": 2}]}, "no key of a vote 'weight'"),
        ({"id": "a", "consensus": "glad"}, "no emotion class 'glad'"),
    ],
)
def test_malformed_rows_are_named_with_their_line(tmp_path: Path, row: dict[str, object], message: str) -> None:
    path = write_rows(tmp_path / "a.jsonl", [{"id": "fine"}, row])
    with pytest.raises(CorpusError, match=message) as caught:
        open_corpus(f"manifest:{path}")
    assert f"{path}:2:" in str(caught.value)


def test_malformed_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": "a"}\n{"id": \n')
    with pytest.raises(CorpusError, match=r"a\.jsonl:2: not valid JSON"):
        open_corpus(f"manifest:{tmp_path / 'a.jsonl'}")
    (tmp_path / "b.jsonl").write_text('{"id": "a"}\n{"id": "a"}\n')
    with pytest.raises(CorpusError, match="the id 'a' stands twice"):
        open_corpus(f"manifest:{tmp_path / 'b.jsonl'}")
    (tmp_path / "c.jsonl").write_text("")
    with pytest.raises(CorpusError, match="has no utterances"):
        open_corpus(f"manifest:{tmp_path / 'c.jsonl'}")
    (tmp_path / "d.csv").write_bytes("id\nf\xfcr\n".encode("latin-1"))
    with pytest.raises(CorpusError, match="is not UTF-8"):
        open_corpus(f"manifest:{tmp_path / 'd.csv'}")
    with pytest.raises(UsageError, match="no such file"):
        open_corpus("manifest:nowhere.jsonl")
    with pytest.raises(UsageError, match="a path is wanted"):
        open_corpus("manifest")


@pytest.mark.skipif(not CREMA_D.is_dir(), reason="the CREMA-D development data is not here")
def test_crema_d_has_its_real_votes() -> None:
    corpus = open_corpus("crema-d", CREMA_D)
    assert len(corpus.utterances) == 350
    assert corpus.remarks[0].startswith("crema-d: 350 of the 7442 clips")
    assert corpus.labels == ("Angry", "Sad", "Happy", "Fear", "Disgust", "Neutral")
    known = {u.id: u for u in corpus.utterances}
    assert Counter(v.primary for v in known["1001_DFA_ANG_XX"].votes) == {"Angry": 6, "Disgust": 2, "Neutral": 1}
    assert known["1001_DFA_ANG_XX"].transcript == "Don't forget a jacket."
    counts = Counter(u.consensus for u in corpus.utterances)
    assert counts == {"Neutral": 61, "Sad": 60, "Happy": 60, "Angry": 50, "Fear": 50, "Disgust": 39, "X": 30}
    splits = Counter(u.split for u in corpus.utterances)
    assert splits.keys() == {"train", "development", "test"}
    assert len(open_corpus("crema-d:test", CREMA_D).utterances) == splits["test"]


def test_crema_d_labels_alone(tmp_path: Path) -> None:
    header = '"","A","D","F","H","N","S","fileName","numResponses","emoVote"\n'
    rows = [
        '"100001",0,0,0,1,10,0,"1001_IEO_NEU_XX",11,"N"\n',
        '"100002",2,0,2,0,0,0,"1048_TIE_HAP_LO",4,"A:F"\n',
        '"200001",5,0,0,0,0,0,"1001_IEO_NEU_XX",5,"A"\n',
    ]
    (tmp_path / "tabulatedVotes.csv").write_text(header + "".join(rows))
    corpus = open_corpus("crema-d", tmp_path)
    assert [(u.id, u.consensus, len(u.votes), u.split) for u in corpus.utterances] == [
        ("1001_IEO_NEU_XX", "Neutral", 11, "train"),
        ("1048_TIE_HAP_LO", "X", 4, "test"),
    ], "voice-only rows and no others; a tie is no agreement"
    assert "labels only" in corpus.remarks[0]
    (tmp_path / "tabulatedVotes.csv").write_text(header + rows[0].replace(",11,", ",12,"))
    assert "votes sum to 11, numResponses is 12" in open_corpus("crema-d", tmp_path).remarks[-1]
    (tmp_path / "tabulatedVotes.csv").write_text(header.replace('"N",', "") + rows[0])
    with pytest.raises(CorpusError, match="columns missing: N"):
        open_corpus("crema-d", tmp_path)


def test_the_crema_d_split_is_disjoint() -> None:
    assert not TEST_ACTORS & DEVELOPMENT_ACTORS
    assert (len(TEST_ACTORS), len(DEVELOPMENT_ACTORS)) == (17, 18)


def test_the_embedded_corpus_is_there() -> None:
    for split in ("train", "development", "test"):
        corpus = open_corpus(f"demo:{split}")
        assert all(u.audio is not None and u.audio.is_file() and u.split == split for u in corpus.utterances)
    assert len(open_corpus("demo").utterances) >= 200
    assert json.loads(open_corpus("demo", limit=1).utterances[0].to_json())["id"].startswith("demo_test_")
