"""IEMOCAP: every rater's labels out of files written from the format, under each option."""

from __future__ import annotations

from pathlib import Path

import pytest
from iemocap_files import (
    IMPRO,
    kinds,
    listing_of,
    turn,
    votes_of,
    write_clip,
    write_labels,
    write_sessions,
    write_transcript,
)

from serxbench.corpora import open_corpus
from serxbench.corpora.iemocap import INFO
from serxbench.emotions import EMOTIONS, NO_AGREEMENT
from serxbench.errors import CorpusError, UnknownName
from serxbench.metrics import human_ceiling, krippendorff_alpha, references, vote_table

SCRIPT = turn("Ses01F_script01_1_M003", "EXC", "C-E2:|Excited;|()", "C-E3:|Excited;|()", "C-E4:|Happiness;|()")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_labels(tmp_path, "Ses01M_impro01", *IMPRO, line_end="\r\n")
    write_labels(tmp_path, "Ses01F_script01_1", SCRIPT)
    return tmp_path


def test_each_label_of_each_outside_rater_is_a_vote(root: Path) -> None:
    listing = listing_of(root)
    script, first, second = listing.utterances
    assert [script.id, first.id, second.id] == [
        "Ses01F_script01_1_M003",
        "Ses01M_impro01_F000",
        "Ses01M_impro01_M000",
    ], "dialogues by name, turns in the order of the file"
    assert votes_of(first) == [("E2", "Neutral"), ("E3", "Neutral"), ("E3", "Sad"), ("E4", "Neutral")]
    assert votes_of(second) == [("E1", "Happy"), ("E2", "Other"), ("E3", "Surprise"), ("E4", "Fear")]
    assert votes_of(script) == [("E2", "Happy"), ("E3", "Happy"), ("E4", "Happy")]
    assert [u.consensus for u in listing.utterances] == ["Happy", "Neutral", NO_AGREEMENT]
    assert [(u.speaker, u.group, u.split) for u in listing.utterances] == [
        ("Ses01M", "Ses01F_script01_1", "session1"),
        ("Ses01F", "Ses01M_impro01", "session1"),
        ("Ses01M", "Ses01M_impro01", "session1"),
    ], "who speaks, whoever wore the markers"
    assert not listing.faults


def test_own_words_are_kept_where_the_class_says_less(root: Path) -> None:
    script, first, second = listing_of(root).utterances
    assert [vote.primary_text for vote in first.votes] == [None] * 4
    assert [vote.primary_text for vote in second.votes] == ["happiness; excited", "frustration; other", None, None]
    assert [vote.primary_text for vote in script.votes] == ["excited", "excited", None]


@pytest.mark.parametrize(
    ("labels", "expected", "consensus"),
    [
        ("standard", ["Happy", "Other", "Surprise", "Fear"], "Happy"),
        ("frustration-angry", ["Happy", "Angry", "Other", "Surprise", "Fear"], "Happy"),
        ("excited-other", ["Happy", "Other", "Other", "Surprise", "Fear"], "Other"),
    ],
)
def test_label_maps(root: Path, labels: str, expected: list[str], consensus: str) -> None:
    listing = listing_of(root, labels=labels)
    script, _, second = listing.utterances
    assert [vote.primary for vote in second.votes] == expected
    assert script.consensus == consensus
    assert (listing.labels, listing.n_left_out) == (None, 0)


def test_four_classes_leave_out_by_the_released_label(tmp_path: Path) -> None:
    codes = ["neu", "ang", "sad", "hap", "exc", "fru", "sur", "fea", "dis", "oth", "xxx", "nix"]
    rater = "C-E1:|Surprise; Anger;|()"
    turns = [turn(f"Ses02F_impro01_F{n:03}", code, rater) for n, code in enumerate(codes)]
    write_labels(tmp_path, "Ses02F_impro01", *turns)
    listing = listing_of(tmp_path, labels="four-class")
    assert listing.labels == ("Angry", "Sad", "Happy", "Neutral")
    assert [u.consensus for u in listing.utterances] == ["Neutral", "Angry", "Sad", "Happy", "Happy"]
    assert {tuple(votes_of(u)) for u in listing.utterances} == {(("E1", "Other"), ("E1", "Angry"))}
    assert listing.n_left_out == 7
    assert len(listing_of(tmp_path).utterances) == 12
    corpus = open_corpus("iemocap,labels=four-class", tmp_path)
    assert corpus.options == {"labels": "four-class"}
    assert corpus.labels == ("Angry", "Sad", "Happy", "Neutral")
    assert "iemocap: 7 utterances are left out by the options given" in corpus.remarks


def test_self_evaluations_are_an_option(root: Path) -> None:
    listing = listing_of(root, raters="all")
    _, first, second = listing.utterances
    assert votes_of(first)[-1] == ("Ses01-F1", "Happy")
    assert votes_of(second)[-2:] == [("Ses01-M1", "Disgust"), ("Ses01-M1", "Angry")]
    assert "iemocap: the actors' self-evaluations are among the votes" in listing.remarks


def test_self_evaluations_have_no_part_in_the_agreement(tmp_path: Path) -> None:
    lines = ("C-E1:|Sadness;|()", "C-E2:|Neutral;|()", "C-F1:|Sadness;|()")
    alone = turn("Ses01F_impro01_F001", "neu", "C-F1:|Anger;|()")
    write_labels(tmp_path, "Ses01F_impro01", turn("Ses01F_impro01_F000", "xxx", *lines), alone)
    agreement = listing_of(tmp_path, raters="all").agreement
    assert agreement is not None
    assert (agreement.n_agree, agreement.differing) == (1, ())


def test_without_votes_the_released_label_is_the_reference(root: Path) -> None:
    listing = listing_of(root, raters="none")
    assert [u.votes for u in listing.utterances] == [()] * 3
    assert [u.consensus for u in listing.utterances] == ["Happy", "Neutral", NO_AGREEMENT]
    assert not listing.faults
    assert any("scores are against the released labels" in remark for remark in listing.remarks)


@pytest.mark.parametrize("code", ["neu", "fru", "exc", "ang", "sad", "hap", "sur", "fea", "dis", "oth"])
def test_a_code_is_the_class_of_its_name(tmp_path: Path, code: str) -> None:
    names = {"neu": "Neutral", "fru": "Frustration", "exc": "Excited", "ang": "Anger", "sad": "Sadness"}
    names |= {"hap": "Happiness", "sur": "Surprise", "fea": "Fear", "dis": "Disgust", "oth": "Other"}
    write_labels(tmp_path, "Ses03F_impro01", turn("Ses03F_impro01_F000", code, f"C-E1:|{names[code]};|()"))
    for policy in ("standard", "frustration-angry", "excited-other"):
        (utterance,) = listing_of(tmp_path, labels=policy).utterances
        assert utterance.consensus == utterance.votes[0].primary
        assert utterance.consensus in (*INFO.labels, "Other")
    assert listing_of(tmp_path).agreement is not None
    assert listing_of(tmp_path).agreement.n_agree == 1


def test_the_agreement_is_of_own_labels(tmp_path: Path) -> None:
    ratings = [
        ("xxx", "Happiness;", "Excited;", "Sadness;"),  # mapped, Happy would have two of three
        ("exc", "Excited;", "Excited; Happiness;", "Sadness;"),
        ("hap", "Excited;", "Excited;", "Happiness;"),  # mapped, this would agree
        ("neu", "Neutral;", "Neutral; Sadness;", "Sadness;"),  # two labels each: a tie
        ("nix", "Anger;", "Anger;", "Anger;"),  # nothing was released
        ("sad", "Gloom;", "Gloom;", "Gloom;"),  # nothing was voted
    ]
    turns = [
        turn(f"Ses01F_impro01_F00{n}", code, *(f"C-E{k}:|{labels}|()" for k, labels in enumerate(said, 1)))
        for n, (code, *said) in enumerate(ratings)
    ]
    write_labels(tmp_path, "Ses01F_impro01", *turns)
    for policy in ("standard", "excited-other"):
        agreement = listing_of(tmp_path, labels=policy).agreement
        assert agreement is not None
        assert agreement.n_agree == 2
        assert agreement.differing == ("Ses01F_impro01_F002", "Ses01F_impro01_F003")


def test_folds_leave_one_session_out(tmp_path: Path) -> None:
    write_sessions(tmp_path, dict.fromkeys(range(1, 6), "neu"))
    everything = [u.id for u in listing_of(tmp_path).utterances]
    assert len(everything) == 5
    tests = []
    for n in range(1, 6):
        test, train = (listing_of(tmp_path, f"fold{n}-{part}").utterances for part in ("test", "train"))
        assert [u.speaker for u in test] == [f"Ses0{n}F"]
        assert {u.split for u in test} == {"test"}
        assert {u.split for u in train} == {"train"}
        assert sorted(u.id for u in (*test, *train)) == everything, "disjoint, and nothing is in neither"
        session = listing_of(tmp_path, f"session{n}").utterances
        assert [(u.id, u.split) for u in session] == [(test[0].id, f"session{n}")]
        tests += [u.id for u in test]
    assert tests == everything
    assert {u.split for u in open_corpus("iemocap:Fold3_Train", tmp_path).utterances} == {"train"}
    with pytest.raises(UnknownName, match="fold6"):
        open_corpus("iemocap:fold6-test", tmp_path)


@pytest.mark.parametrize("place", [".", "IEMOCAP_full_release", "iemocap_FULL_release"])
def test_the_root_may_be_the_release_or_above_it(tmp_path: Path, place: str) -> None:
    write_sessions(tmp_path / place, {4: "ang"})
    assert [u.id for u in listing_of(tmp_path).utterances] == ["Ses04F_impro01_F000"]
    assert [u.id for u in listing_of(tmp_path / place).utterances] == ["Ses04F_impro01_F000"]


def test_missing_sessions_are_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"no label file of iemocap here; wanted dialog/EmoEvaluation/\*\.txt in Ses"):
        listing_of(tmp_path)
    write_sessions(tmp_path, {1: "neu", 3: "sad"})
    (tmp_path / "Session2" / "dialog" / "EmoEvaluation" / "Categorical").mkdir(parents=True)
    remark = "iemocap: no label files of Session2, Session4, Session5; the others are read"
    assert remark in listing_of(tmp_path).remarks
    assert remark not in listing_of(tmp_path, "session3").remarks
    with pytest.raises(CorpusError, match="in Session2, with or without"):
        listing_of(tmp_path, "fold2-test")


def test_other_files_beside_the_labels_are_not_read(root: Path) -> None:
    evaluation = root / "Session1" / "dialog" / "EmoEvaluation"
    (evaluation / "._Ses01M_impro01.txt").write_bytes(b"\x00\x05\x16\x07 Mac OS X")
    (evaluation / "notes.doc").write_text("not labels")
    for folder in ("Categorical", "Attribute", "Self-evaluation"):
        (evaluation / folder).mkdir()
        (evaluation / folder / "Ses01M_impro01_e1.txt").write_text("Ses01M_impro01_F000 :Anger; ()\n")
    listing = listing_of(root)
    assert len(listing.utterances) == 3
    assert not listing.faults


def test_transcripts(root: Path) -> None:
    write_transcript(
        root,
        "Ses01M_impro01",
        "Ses01M_impro01_F000 [000.5000-002.2500]: Well: it's [LAUGHTER] late.\r\n"
        "M: mm-hm\r\n"
        "SES01 noise\r\n"
        "Ses01M_impro01_FXX0 [003.0000-003.2000]: mm\r\n"
        "Ses01M_impro01_M000 [004.0000-005.0000]:\r\n",
    )
    listing = listing_of(root)
    assert [u.transcript for u in listing.utterances] == [None, "Well: it's [LAUGHTER] late.", None]
    assert "iemocap: 2 of the 3 utterances have no transcript" in listing.remarks
    assert not listing.faults, "a turn that was not rated is no utterance, and no fault"


def test_clips(root: Path) -> None:
    clip = write_clip(root, "Ses01M_impro01_F000")
    write_clip(root, "Ses01M_impro01_F099")
    write_clip(root, "Ses01F_script01_1_M003")
    (clip.parent / "._Ses01M_impro01_M000.wav").touch()
    listing = listing_of(root)
    assert [u.audio and u.audio.name for u in listing.utterances] == ["Ses01F_script01_1_M003.wav", clip.name, None]
    assert [(fault.kind, fault.where) for fault in listing.faults] == [
        ("missing_audio", "Ses01M_impro01_M000"),
        ("unlisted_audio", "Ses01M_impro01_F099.wav"),
    ]
    write_clip(root, "Ses01M_impro01_M000")
    without = listing_of(root, labels="four-class")
    assert without.n_left_out == 1
    assert kinds(without) == {"unlisted_audio": 1}, "the clip of an utterance that is left out is not unlisted"
    assert "labels only" not in " ".join(open_corpus("iemocap", root).remarks)


def test_scores_take_several_votes_of_one_rater(root: Path) -> None:
    utterances = listing_of(root).utterances
    table = vote_table(utterances, INFO.labels)
    assert table.votes.sum(axis=1).tolist() == [3, 4, 4], "votes, not raters"
    found = references(table)
    assert found.has_plurality.tolist() == [True, True, False]
    assert found.strict is not None
    assert found.strict.tolist() == [True, True, False]
    assert human_ceiling(table.votes).n_votes == 11
    assert krippendorff_alpha(table.votes) < 1


def test_the_info_keeps_the_licence() -> None:
    assert not INFO.upload_allowed
    assert INFO.individual_votes
    assert INFO.labels == tuple(label for label in EMOTIONS if label != "Contempt")
    assert [option.default for option in INFO.options] == ["standard", "outside"]
