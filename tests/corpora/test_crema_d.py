"""CREMA-D: single responses with the authors' filter, presentations, folds, aliases."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from serxbench.corpora import open_corpus
from serxbench.corpora.crema_d import FOLD_ACTORS
from serxbench.errors import CorpusError, UnknownName, UsageError
from serxbench.records import Vote

HEADER = (
    '"","localid","pos","ans","ttr","queryType","numTries","clipNum","questNum","subType","clipName","sessionNums",'
    '"respEmo","respLevel","dispEmo","dispVal","dispLevel"\n'
)


def response(n: int, rater: int, clip: str, answer: str, query_type: int = 1, quest: int | None = None) -> str:
    """A row of finishedResponses.csv; every session is the rater's."""
    quest = n if quest is None else quest
    return f'"{n}",{rater},1,"{answer}_50",900,{query_type},1,1,{quest},4,"{clip}",{rater},"{answer}","NA","N",50,"X"\n'


def write(root: Path, rows: list[str], slow: str = "") -> Path:
    (root / "finishedResponses.csv").write_text(HEADER + "".join(rows))
    (root / "finishedEmoResponses.csv").write_text('"","sessionNums","queryType","questNum","ttr"\n' + slow)
    return root


ROWS = [
    response(1, 7, "1002_IEO_ANG_HI", "A"),
    response(2, 8, "1002_IEO_ANG_HI", "A"),
    response(3, 9, "1002_IEO_ANG_HI", "D"),
    response(4, 7, "1001_DFA_SAD_XX", "S"),
    response(5, 7, "1002_IEO_ANG_HI", "F", query_type=2),
    response(6, 8, "1002_IEO_ANG_HI", "H", query_type=3),
]


def test_single_responses_have_their_raters(tmp_path: Path) -> None:
    corpus = open_corpus("crema-d", write(tmp_path, ROWS))
    assert [(u.id, u.votes) for u in corpus.utterances] == [
        ("1001_DFA_SAD_XX", (Vote(annotator="7", primary="Sad"),)),
        (
            "1002_IEO_ANG_HI",
            (
                Vote(annotator="7", primary="Angry"),
                Vote(annotator="8", primary="Angry"),
                Vote(annotator="9", primary="Disgust"),
            ),
        ),
    ]
    faces = open_corpus("crema-d,presentation=face", tmp_path)
    assert [vote.primary for vote in faces.utterances[0].votes] == ["Fear"]
    assert faces.describe()["options"] == {"presentation": "face"}
    assert faces.revision != corpus.revision
    assert "options" not in corpus.describe()
    both = open_corpus("crema-d:train,presentation=audio-visual", tmp_path)
    assert [vote.primary for vote in both.utterances[0].votes] == ["Happy"]


def test_answers_over_ten_seconds_are_left_out_by_their_session_and_question(tmp_path: Path) -> None:
    # Rater 9's third question took 10.001 s; the same question number of rater 8 took exactly 10 s.
    slow = '"1",9,1,3,10001\n"2",8,1,2,10000\n"3",7,2,1,99999\n'
    write(tmp_path, ROWS, slow)
    filtered = {u.id: u for u in open_corpus("crema-d", tmp_path).utterances}
    assert Counter(vote.annotator for vote in filtered["1002_IEO_ANG_HI"].votes) == {"7": 1, "8": 1}
    whole = {u.id: u for u in open_corpus("crema-d,votes=all-responses", tmp_path).utterances}
    assert len(whole["1002_IEO_ANG_HI"].votes) == 3
    (tmp_path / "finishedEmoResponses.csv").unlink()
    with pytest.raises(CorpusError, match=r"has no finishedEmoResponses\.csv.*votes=all-responses"):
        open_corpus("crema-d,votes=responses", tmp_path)
    with pytest.raises(CorpusError, match="has no vote table"):
        open_corpus("crema-d", tmp_path)


def test_a_row_that_cannot_be_read_costs_only_itself(tmp_path: Path) -> None:
    rows = [
        *ROWS,
        response(7, 7, "1001_DFA_SAD_XX", "Q"),
        response(8, 8, "1001_QQQ_SAD_XX", "S"),
        ROWS[0].replace(",1,1,1,1,4,", ",voice,1,1,1,4,"),
    ]
    corpus = open_corpus("crema-d", write(tmp_path, rows))
    assert (corpus.n_faults, len(corpus.utterances)) == (3, 2)
    assert "the answer 'Q' is none of A, D, F, H, N, S; the vote is left out" in corpus.remarks[-1]
    assert len(corpus.utterances[0].votes) == 1


def test_the_released_consensus_comes_from_the_summary(tmp_path: Path) -> None:
    write(tmp_path, ROWS)
    (tmp_path / "processedResults").mkdir()
    (tmp_path / "processedResults" / "summaryTable.csv").write_text(
        '"","FileName","VoiceVote","VoiceLevel","FaceVote","FaceLevel","MultiModalVote","MultiModalLevel"\n'
        '"1","1002_IEO_ANG_HI","A","70","F:S","60","H","50"\n'
    )
    by_id = {u.id: u.consensus for u in open_corpus("crema-d", tmp_path).utterances}
    assert by_id == {"1001_DFA_SAD_XX": None, "1002_IEO_ANG_HI": "Angry"}
    assert open_corpus("crema-d,presentation=face", tmp_path).utterances[0].consensus == "X"


def test_a_copy_with_a_shortened_name_is_found(tmp_path: Path) -> None:
    write(tmp_path, [response(1, 1, "1040_ITH_SAD_XX", "S"), response(2, 1, "1040_ITH_NEU_XX", "N")])
    (tmp_path / "AudioWAV").mkdir()
    for name in ("1040_ITH_SAD_X", "1040_ITH_NEU_XX"):
        soundfile.write(tmp_path / "AudioWAV" / f"{name}.wav", np.full(1600, 0.1), 16_000)
    audio = {u.id: u.audio.name for u in open_corpus("crema-d", tmp_path).utterances if u.audio}
    assert audio == {"1040_ITH_SAD_XX": "1040_ITH_SAD_X.wav", "1040_ITH_NEU_XX": "1040_ITH_NEU_XX.wav"}


def test_folds_keep_speakers_apart_and_cover_all(tmp_path: Path) -> None:
    actors = range(1001, 1092)
    write(tmp_path, [response(n, 1, f"{actor}_DFA_SAD_XX", "S") for n, actor in enumerate(actors)])
    tested: list[str] = []
    for fold in FOLD_ACTORS:
        parts = {
            part: {u.speaker for u in open_corpus(f"crema-d:fold{fold}-{part}", tmp_path).utterances}
            for part in ("train", "development", "test")
        }
        assert sum(map(len, parts.values())) == 91
        assert set.union(*parts.values()) == {str(actor) for actor in actors}
        tested += sorted(str(speaker) for speaker in parts["test"])
    assert sorted(tested) == [str(actor) for actor in actors]
    # S2, S5, S1, S4 and S3 of the published folds.
    assert [len(test) for test, _ in FOLD_ACTORS.values()] == [18, 18, 18, 18, 19]


def test_what_is_no_option_is_said(tmp_path: Path) -> None:
    write(tmp_path, ROWS)
    with pytest.raises(UnknownName, match="no option of crema-d 'presentatoin'; did you mean 'presentation'"):
        open_corpus("crema-d,presentatoin=face", tmp_path)
    with pytest.raises(UnknownName, match="no value of the option presentation of crema-d 'faces'"):
        open_corpus("crema-d,presentation=faces", tmp_path)
    with pytest.raises(UsageError, match="OPTION=VALUE is wanted"):
        open_corpus("crema-d:all,face", tmp_path)
