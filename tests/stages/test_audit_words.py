"""The clusterer against people: which words are drawn, and what two maps make of the scores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from audited_runs import fill, read_sheet
from conftest import Serxbench, write_rows

from serxbench.corpora import open_corpus
from serxbench.errors import MissingStage, RunError
from serxbench.runs import Run
from serxbench.stages.audit_sample import SampleRequest
from serxbench.stages.audit_score import score_sample
from serxbench.stages.audit_words import draw_words
from serxbench.stages.cluster import cluster
from serxbench.stages.evaluation import Settings
from serxbench.stages.import_answers import import_answers
from serxbench.stages.parse import parse
from serxbench.statistics import Inference

FAST = Settings(how=Inference(n_resamples=200))

#: 20 angry, 10 frustrated, and three words that come once each.
ANSWERS = ["Angry."] * 10 + ["ANGRY"] * 10 + ["frustrated"] * 10 + ["weary", "glum", "jolly"]
LABELS = {"angry": "Angry", "frustrated": "Angry", "weary": "Other", "glum": "Sad", "jolly": "Happy"}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    rows = [{"id": f"u{n}", "votes": ["Angry", "Angry", "Sad"]} for n in range(len(ANSWERS))]
    corpus = open_corpus(f"manifest:{write_rows(tmp_path / 'corpus.jsonl', rows)}", None)
    file = write_rows(tmp_path / "answers.jsonl", [{"id": f"u{n}", "response": a} for n, a in enumerate(ANSWERS)])
    made = import_answers(file, "theirs", ("open", False), corpus, tmp_path / "run")
    parse(made)
    cluster(made)
    return made


def test_frequent_words_are_all_drawn_and_weigh_as_their_answers(run: Run, tmp_path: Path) -> None:
    """People take `frustrated` for Sad: 4 of 5 words, 23 of 33 answers are mapped as people do."""
    folder = tmp_path / "words"
    key = draw_words([run], folder, SampleRequest())
    assert key["words"] == {"n": 5, "n_frequent": 2, "n_answers": 33}
    assert {row["answer"]: row["n"] for row in json.loads((folder / "key.json").read_text())["items"]} == {
        "angry": 20,
        "frustrated": 10,
        "weary": 1,
        "glum": 1,
        "jolly": 1,
    }
    people = LABELS | {"frustrated": "Sad"}
    sheets = [
        fill(folder / "sheets" / f"coder{n}.csv", folder / f"{n}.csv", lambda row: people[row["answer"]])
        for n in (1, 2)
    ]
    found = score_sample(folder, sheets, settings=FAST)
    (system,) = found["systems"]
    assert system["by_word"]["value"] == pytest.approx(4 / 5)
    assert system["by_answer"]["value"] == pytest.approx(23 / 33)
    assert system["by_answer"]["low"] < 23 / 33 < system["by_answer"]["high"]
    assert system["wrong"] == [{"word": "frustrated", "n": 10, "mapped": "Angry", "people": "Sad"}]
    row = next(row for row in found["scores"] if row["variant"] == "mv" and row["subset"] == "all")
    # all references are Angry: 30 of 33 right as mapped, 20 with the people's map; F1 of Angry alone is not 0
    assert row["values"]["as mapped"] == pytest.approx(2 * 30 / 63 / 8)
    assert row["values"]["1"] == row["values"]["people"] == pytest.approx(2 * 20 / 53 / 8)


def test_only_a_hundred_rare_words_are_drawn_and_stand_for_all(tmp_path: Path) -> None:
    words = [f"word{n}" for n in range(150)]
    rows = [{"id": word, "votes": ["Sad"]} for word in words]
    corpus = open_corpus(f"manifest:{write_rows(tmp_path / 'corpus.jsonl', rows)}", None)
    file = write_rows(tmp_path / "answers.jsonl", [{"id": word, "response": word} for word in words])
    run = import_answers(file, "theirs", ("open", False), corpus, tmp_path / "run")
    parse(run, ["identity"])
    cluster(run)
    key = draw_words([run], tmp_path / "words", SampleRequest())
    assert key["items"] == 100
    assert key["rare"] == {"n": 150, "n_answers": 150}


def test_the_verbs_and_disagreement_about_words(run: Run, tmp_path: Path, serxbench: Serxbench) -> None:
    drawn = serxbench("audit", "sample", run.path, "--words", "--out", "words")
    assert drawn.returncode == 0, drawn.stderr
    assert "5 different words to code" in drawn.stderr
    folder = tmp_path / "words"
    assert "off_format" not in (folder / "sheets" / "instructions.txt").read_text()
    one = fill(folder / "sheets" / "coder1.csv", folder / "1.csv", lambda row: LABELS[row["answer"]])
    two = fill(
        folder / "sheets" / "coder2.csv", folder / "2.csv", lambda row: (LABELS | {"weary": "Sad"})[row["answer"]]
    )
    score_sample(folder, [one, two], settings=FAST)
    (row,) = read_sheet(folder / "disagreements.csv")
    assert (row["answer"], row["given"]) == ("weary", "Other, Sad")
    third = fill(folder / "disagreements.csv", folder / "3.csv", lambda row: "Other")
    told = serxbench("audit", "score", folder, one, two, "--adjudicated", third)
    assert told.returncode == 0, told.stderr
    assert "| s1 theirs | table | 100.00" in told.stdout
    fill(folder / "sheets" / "coder2.csv", two, lambda row: "refused")
    with pytest.raises(RunError, match="has label 'refused'"):
        score_sample(folder, [one, two], settings=FAST)


def test_words_that_are_not_mapped_yet(tmp_path: Path, run: Run) -> None:
    run.file("predictions.jsonl").unlink()
    with pytest.raises(MissingStage, match="serxbench cluster"):
        draw_words([run], tmp_path / "words", SampleRequest())
