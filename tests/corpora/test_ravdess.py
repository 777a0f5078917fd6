"""RAVDESS: names are labels. Trees as people have them, names that are none, and the splits after others."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serxbench.corpora import CorpusRequest, Listing, find_corpus, open_corpus
from serxbench.corpora.ravdess import ACTORS, EMOTION_CODES, FOLD_TEST_ACTORS, NAMES, STATEMENTS, name_fault, read
from serxbench.emotions import EMOTIONS
from serxbench.errors import CorpusError, UnknownName

INFO = find_corpus("ravdess").INFO


def plant(root: Path, names: Iterable[str], below: str = "", suffix: str = ".wav") -> Path:
    """Empty files in `Actor_NN/`; nothing here reads audio."""
    for name in names:
        path = root / below / f"Actor_{name[-2:]}" / f"{name}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def listing(root: Path, split: str = "all", labels: str = "calm-neutral") -> Listing:
    found = read(CorpusRequest(split=split, root=root, options={"labels": labels}))
    assert isinstance(found, Listing)
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plant(tmp_path_factory.mktemp("ravdess"), NAMES)


def test_what_it_says_of_itself() -> None:
    assert INFO.labels == tuple(label for label in EMOTIONS if label != "Contempt")
    assert (INFO.licence, INFO.upload_allowed) == ("CC-BY-NC-SA-4.0", True)
    assert (INFO.needs_root, INFO.individual_votes, INFO.default_split) == (True, False, "all")
    assert "acted" in INFO.description


def test_one_name_is_read_by_hand(tmp_path: Path) -> None:
    plant(tmp_path, ["03-01-06-01-02-01-12"])
    (first,) = open_corpus("ravdess", tmp_path).utterances
    assert (first.id, first.speaker, first.split) == ("03-01-06-01-02-01-12", "12", "train")
    assert (first.consensus, first.votes) == ("Fear", ())
    assert first.transcript == "Dogs are sitting by the door"
    assert first.audio == tmp_path / "Actor_12" / "03-01-06-01-02-01-12.wav"


def test_the_whole_set_has_the_published_counts(whole: Path) -> None:
    corpus = open_corpus("ravdess", whole)
    assert (len(corpus.utterances), corpus.remarks, corpus.n_faults) == (1440, (), 0)
    assert Counter(u.consensus for u in corpus.utterances) == {
        "Neutral": 96 + 192,
        **dict.fromkeys(("Happy", "Sad", "Angry", "Fear", "Disgust", "Surprise"), 192),
    }
    assert set(Counter(u.speaker for u in corpus.utterances).values()) == {60}
    assert Counter(u.split for u in corpus.utterances) == {"train": 960, "development": 240, "test": 240}
    assert Counter(u.transcript for u in corpus.utterances) == dict.fromkeys(STATEMENTS.values(), 720)
    assert [u.speaker for u in corpus.utterances] == sorted(u.speaker for u in corpus.utterances if u.speaker)
    assert corpus.labels == INFO.labels
    assert corpus.scorable


def test_calm_may_be_dropped(whole: Path) -> None:
    corpus = open_corpus("ravdess:all,labels=calm-dropped", whole)
    assert len(corpus.utterances) == 1440 - 192
    assert Counter(u.consensus for u in corpus.utterances)["Neutral"] == 96
    assert corpus.options == {"labels": "calm-dropped"}
    assert corpus.remarks == ("ravdess: 192 utterances are left out by the options given",)
    assert listing(whole, labels="calm-dropped").n_left_out == 192
    with pytest.raises(UnknownName, match="no value of the option labels of ravdess 'calm'"):
        open_corpus("ravdess,labels=calm", whole)


def test_the_splits_are_those_of_their_authors(whole: Path) -> None:
    def actors(split: str) -> set[int]:
        return {int(u.speaker or "") for u in open_corpus(f"ravdess:{split}", whole).utterances}

    assert actors("train") == {*range(1, 16), 18}
    assert actors("dev") == {16, 17, 19, 20}
    assert actors("test") == {21, 22, 23, 24}
    assert actors("fold5-test") == {2, 15, 16, 18}
    for n in FOLD_TEST_ACTORS:
        test = open_corpus(f"ravdess:fold{n}-test", whole).utterances
        assert (len(test), {u.split for u in test}) == (240, {"test"})
        assert actors(f"fold{n}-train") == {int(actor) for actor in ACTORS} - actors(f"fold{n}-test")
    assert sorted(actor for fold in FOLD_TEST_ACTORS.values() for actor in fold) == list(ACTORS)


def test_a_tree_that_is_there_twice_is_counted_by_name(tmp_path: Path) -> None:
    names = [name for name in NAMES if name.endswith(("-01", "-02"))]
    once = open_corpus("ravdess", plant(tmp_path / "once", names))
    twice = plant(tmp_path / "twice", names)
    plant(twice, names, below="audio_speech_actors_01-24", suffix=".WAV")
    corpus = open_corpus("ravdess", twice)
    assert (corpus.revision, len(corpus.utterances), corpus.n_faults) == (once.revision, 120, 0)
    assert "ravdess: 120 files are further copies of a name; the first of each name is used" in corpus.remarks
    assert all(u.audio is not None and u.audio.parent.parent == twice for u in corpus.utterances)
    nested = open_corpus("ravdess", plant(tmp_path / "nested", names, below="a/b/c", suffix=".WAV"))
    assert nested.revision == once.revision


def test_missing_clips_are_named_and_missing_actors_counted(tmp_path: Path) -> None:
    present = [name for name in NAMES if not name.endswith(("-03", "-24"))]
    root = plant(tmp_path, present[:100] + present[102:])
    found = listing(root)
    assert [(f.kind, f.where) for f in found.faults] == [("missing_audio", name) for name in present[100:102]]
    assert [u.id for u in found.utterances] == present
    assert found.remarks == (
        "ravdess: no clips of 2 of the split's 24 actors (03, 24): at most 1320 of its 1440 utterances",
    )
    corpus = open_corpus("ravdess", root)
    assert (len(corpus.utterances), corpus.n_absent) == (1318, 2)
    assert [u.id for u in open_corpus("ravdess", root, limit=3).utterances] == list(NAMES[:3])
    assert "of 1 of the split's 4 actors (24)" in listing(root, "test").remarks[0]
    assert listing(root, "test").faults == [], "the missing clips are of actor 02, who is in train"


def test_songs_and_videos_are_passed_over(tmp_path: Path) -> None:
    root = plant(tmp_path, [NAMES[0], "03-02-01-01-01-01-01", "03-02-05-02-01-01-01"])
    plant(root, ["01-01-05-01-01-01-01", "02-02-05-01-01-01-01"], suffix=".mp4")
    (root / "Actor_01" / f"._{NAMES[0]}.wav").touch()
    (root / "Actor_01" / "notes.txt").touch()
    found = listing(root)
    assert [u.id for u in found.utterances if u.audio] == [NAMES[0]]
    assert found.remarks[-1] == "ravdess: 4 song or video files are passed over; only speech audio is used"
    assert {f.kind for f in found.faults} == {"missing_audio"}


@pytest.mark.parametrize(
    ("stem", "kind", "message"),
    [
        ("03-01-09-01-01-01-01", "unknown_label", "emotion 09 is none of 01 to 08"),
        ("03-01-00-01-01-01-01", "unknown_label", "emotion 00 is none of 01 to 08"),
        ("03-01-01-02-01-01-01", "malformed_name", "neutral (emotion 01) is never strong"),
        ("03-01-05-03-01-01-01", "malformed_name", "intensity 03 is none of 01 to 02"),
        ("03-01-05-01-03-01-01", "malformed_name", "statement 03 is none of 01 to 02"),
        ("03-01-05-01-01-00-01", "malformed_name", "repetition 00 is none of 01 to 02"),
        ("03-01-05-01-01-01-25", "malformed_name", "actor 25 is none of 01 to 24"),
        ("04-01-05-01-01-01-01", "malformed_name", "modality 04 is none of 01 to 03"),
        ("03-03-05-01-01-01-01", "malformed_name", "channel 03 is none of 01 to 02"),
        ("03-01-05-01-01-01", "malformed_name", "not seven two-digit numbers"),
        ("03-01-05-01-01-01-01-01", "malformed_name", "not seven two-digit numbers"),
        ("03-01-05-01-01-01-1", "malformed_name", "not seven two-digit numbers"),
        ("03-01-05-01-01-01-٠١", "malformed_name", "not seven two-digit numbers"),
        ("03-01-05-01-01-01-01 (1)", "malformed_name", "not seven two-digit numbers"),
        ("take 3", "malformed_name", "not seven two-digit numbers"),
    ],
)
def test_names_that_are_none_are_faults(tmp_path: Path, stem: str, kind: str, message: str) -> None:
    fault = name_fault(Path("Actor_01") / f"{stem}.wav")
    assert fault is not None
    assert (fault.kind, fault.where) == (kind, f"Actor_01/{stem}.wav")
    assert message in fault.what
    (plant(tmp_path, [NAMES[0]]) / f"{stem}.wav").touch()
    corpus = open_corpus("ravdess", tmp_path)
    assert [u.id for u in corpus.utterances] == [NAMES[0]]
    assert f"/{stem}.wav: " in " ".join(corpus.remarks)


def test_nothing_to_read_says_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("name,emotion\n")
    with pytest.raises(
        CorpusError, match=r"no speech clip of RAVDESS here; wanted .*Actor_01/03-01-05-02-01-01-01.wav"
    ):
        open_corpus("ravdess", tmp_path)
    plant(tmp_path, ["03-02-05-01-01-01-01", "what-is-this"])
    with pytest.raises(CorpusError, match="Found 1 song or video files of RAVDESS and 1 audio files with other names"):
        open_corpus("ravdess", tmp_path)
    plant(tmp_path, ["03-01-05-01-01-01-07"])
    with pytest.raises(CorpusError, match="no speech clip of an actor of ravdess:test is here, only of actors 07"):
        open_corpus("ravdess:test", tmp_path)


@settings(deadline=None, max_examples=25)
@given(names=st.sets(st.sampled_from(NAMES), min_size=1, max_size=12), depth=st.integers(0, 3))
def test_any_valid_names_are_read_back(names: set[str], depth: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = plant(Path(folder), names, below="/".join("abc"[:depth]))
        found = listing(root)
        assert [u.id for u in found.utterances if u.audio] == sorted(names, key=NAMES.index)
        for utterance in found.utterances:
            _, _, emotion, _, statement, _, actor = utterance.id.split("-")
            assert (utterance.speaker, utterance.transcript) == (actor, STATEMENTS[statement])
            assert EMOTION_CODES[emotion][:3] in {"cal", (utterance.consensus or "").lower()[:3]}
        assert len(found.utterances) == 60 * len({name[-2:] for name in names})
        assert len(found.faults) == len(found.utterances) - len(names)


JUNK = st.text(st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=40)
ALMOST = st.lists(st.integers(0, 99).map("{:02}".format), min_size=5, max_size=9).map("-".join)


@settings(deadline=None, max_examples=40)
@given(stems=st.lists(JUNK | ALMOST, max_size=8), suffix=st.sampled_from([".wav", ".WAV", ".mp4", ".txt", ""]))
def test_no_name_is_ever_an_exception(stems: list[str], suffix: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = plant(Path(folder), [NAMES[70]])
        for stem in stems:
            if stem not in (".", ".."):
                (root / f"{stem}{suffix}").touch()
        found = listing(root)
        assert NAMES[70] in {u.id for u in found.utterances if u.audio}
        assert all(str(fault) for fault in found.faults)
