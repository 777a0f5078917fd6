"""Answers and labels made elsewhere become a run like any other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Serxbench, read_rows, write_rows

ROWS = [
    {"id": "a", "votes": ["Sad", "Sad", "Happy"]},
    {"id": "b", "votes": ["Angry", "Angry", "Angry"]},
    {"id": "c", "votes": ["Neutral", "Sad", "Neutral"]},
    {"id": "d", "consensus": "X"},
]


@pytest.fixture
def corpus(tmp_path: Path) -> str:
    return f"manifest:{write_rows(tmp_path / 'corpus.jsonl', ROWS)}"


def importing(file: Path, corpus: str, mode: str = "closed") -> list[object]:
    return ["import", file, "--model", "theirs", "--mode", mode, "--data", corpus, "--out", "run"]


def test_free_answers_are_parsed(tmp_path: Path, corpus: str, serxbench: Serxbench) -> None:
    answers = [
        {"id": "c", "response": "The speaker sounds angry."},
        {"id": "a", "response": "B"},
        {"id": "b", "response": "I'm sorry, I cannot determine the emotion."},
        {"id": "d", "response": "Happy"},
    ]
    file = write_rows(tmp_path / "answers.jsonl", answers)
    imported = serxbench(*importing(file, corpus))
    assert imported.returncode == 0, imported.stderr
    scored = serxbench("score", "run", "--json")
    assert scored.returncode == 0, scored.stderr
    (scores,) = json.loads(scored.stdout)
    predictions = read_rows(tmp_path / "run" / "predictions.jsonl")
    assert [(row["id"], row["status"], row.get("label")) for row in predictions] == [
        ("a", "ok", "Sad"),
        ("b", "refused", None),
        ("c", "ok", "Angry"),
        ("d", "ok", "Happy"),
    ]
    by_name = {(row["metric"], row["reference"], row["subset"]): row for row in scores["scores"]}
    accuracy = by_name["accuracy", "mv", "all"]
    assert (accuracy["value"], accuracy["n"]) == (pytest.approx(1 / 3), 3)
    assert accuracy["coverage"] == pytest.approx(2 / 3)
    assert accuracy["value_answered_only"] == pytest.approx(1 / 2)
    assert accuracy["excluded"] == {"no_votes": 1}
    # Sad: hit. Angry: refused, and answered once for c. Neutral: missed. F1 = 1, 0, 0 over eight classes.
    assert by_name["macro_f1", "mv", "all"]["value"] == pytest.approx(1 / 8)
    assert scores["answers"]["coverage"] == pytest.approx(3 / 4)


def test_labels_are_taken_as_they_stand(tmp_path: Path, corpus: str, serxbench: Serxbench) -> None:
    (tmp_path / "labels.csv").write_text("id,label\na,Sad\nb,ang\nc,confused\nd,happiness\n")
    assert serxbench(*importing(tmp_path / "labels.csv", corpus)).returncode == 0
    assert serxbench("score", "run").returncode == 0
    predictions = read_rows(tmp_path / "run" / "predictions.jsonl")
    assert [row["label"] for row in predictions] == ["Sad", "Angry", "Other", "Happy"]
    assert (
        json.loads((tmp_path / "run" / "derived.json").read_text())["parsed.jsonl"]["made_by"]["parser"] == "identity"
    )


def test_what_the_file_lacks_is_marked(tmp_path: Path, corpus: str, serxbench: Serxbench) -> None:
    file = write_rows(tmp_path / "answers.jsonl", [{"id": "a", "response": "sad"}, {"id": "b", "response": None}])
    imported = serxbench(*importing(file, corpus, "open"))
    assert imported.returncode == 3
    assert "4 utterances, 3 of them without an answer" in imported.stderr
    responses = {row["id"]: row for row in read_rows(tmp_path / "run" / "responses.jsonl")}
    assert responses["b"]["error"] == "answers.jsonl gives null as the answer"
    assert responses["c"]["error"] == "answers.jsonl has no answer for it"
    assert "text" not in responses["c"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"id": "z", "response": "sad"}], "1 of 1 ids are not in"),
        ([{"id": "a", "response": "sad"}, {"id": "a", "response": "sad"}], ":2: the id 'a' stands twice"),
        ([{"id": "a", "response": "sad", "label": "Sad"}], "'id' and one of 'response' and 'label' wanted"),
        ([{"id": "a", "respones": "sad"}], "no column 'respones'; did you mean 'response'"),
        ([{"id": "a", "response": "sad"}, {"id": "b", "label": "Sad"}], ":2: has 'label' where earlier rows"),
        ([{"id": "a", "response": 3}], "'response' must be text or null; found 3"),
        ([{"response": "sad"}], "'id' and one of"),
        ([], "has no rows"),
    ],
)
def test_malformed_files_are_refused(
    rows: list[dict[str, object]], message: str, tmp_path: Path, corpus: str, serxbench: Serxbench
) -> None:
    finished = serxbench(*importing(write_rows(tmp_path / "answers.jsonl", rows), corpus))
    assert (finished.returncode, message in finished.stderr) == (1, True), finished.stderr
    assert not (tmp_path / "run").exists()


def test_scores_of_another_revision_are_refused(tmp_path: Path, corpus: str, serxbench: Serxbench) -> None:
    file = write_rows(tmp_path / "answers.jsonl", [{"id": row["id"], "response": "sad"} for row in ROWS])
    assert serxbench(*importing(file, corpus)).returncode == 0
    write_rows(tmp_path / "corpus.jsonl", [*ROWS[:3], {"id": "d", "consensus": "Sad"}])
    finished = serxbench("score", "run")
    assert finished.returncode == 1
    assert "this is not the corpus that the run was asked about (revision:" in finished.stderr


def test_a_corpus_of_ties_has_no_score_and_says_why(tmp_path: Path, serxbench: Serxbench) -> None:
    corpus = f"manifest:{write_rows(tmp_path / 'corpus.jsonl', [{'id': 'a', 'votes': ['Sad', 'Happy']}])}"
    file = write_rows(tmp_path / "answers.jsonl", [{"id": "a", "response": "sad"}])
    assert serxbench(*importing(file, corpus)).returncode == 0
    scored = serxbench("score", "run")
    assert scored.returncode == 0, scored.stderr
    assert "left out of MV: all items" in scored.stdout
    (scores,) = json.loads(serxbench("score", "run", "--json").stdout)
    assert all(row["value"] is None and "no item is left to score" in row["reason"] for row in scores["scores"])
    assert "| n/a |" in serxbench("leaderboard", "run").stdout


def test_one_item_has_a_score_and_no_interval(tmp_path: Path, serxbench: Serxbench) -> None:
    corpus = f"manifest:{write_rows(tmp_path / 'corpus.jsonl', [{'id': 'a', 'votes': ['Sad', 'Sad']}])}"
    file = write_rows(tmp_path / "answers.jsonl", [{"id": "a", "response": "sad"}])
    assert serxbench(*importing(file, corpus)).returncode == 0
    (scores,) = json.loads(serxbench("score", "run", "--json").stdout)
    row = scores["scores"][0]
    assert (row["value"], row["low"], row["high"]) == (pytest.approx(1 / 8), None, None)
    assert "two or more" in row["interval_reason"]
    assert serxbench("score", "run").returncode == 0


def test_words_of_an_answer_cannot_steer_the_terminal(tmp_path: Path, corpus: str, serxbench: Serxbench) -> None:
    rows = [{"id": row["id"], "label": "\x1b[2Jzorp\x07"} for row in ROWS]
    assert serxbench(*importing(write_rows(tmp_path / "labels.jsonl", rows), corpus)).returncode == 0
    serxbench("parse", "run")
    said = serxbench("cluster", "run").stderr
    assert "zorp" in said
    assert "\x1b" not in said
    assert "\x07" not in said


def test_annotator_aware_scores_are_not_available_without_votes(tmp_path: Path, serxbench: Serxbench) -> None:
    rows = [{"id": "a", "consensus": "Sad"}, {"id": "b", "consensus": "Happy"}]
    corpus = f"manifest:{write_rows(tmp_path / 'corpus.jsonl', rows)}"
    file = write_rows(tmp_path / "answers.jsonl", [{"id": "a", "response": "sad"}, {"id": "b", "response": "sad"}])
    assert serxbench(*importing(file, corpus)).returncode == 0
    (scores,) = json.loads(serxbench("score", "run", "--json").stdout)
    for row in scores["scores"]:
        if row["reference"] == "all" or row["subset"] == "strict":
            assert row["value"] is None
            assert "need the votes of single annotators" in row["reason"]
    board = serxbench("leaderboard", "run")
    assert "| n/a |" in board.stdout
