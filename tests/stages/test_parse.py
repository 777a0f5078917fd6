"""Readings of one run by several parsers, side by side."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Serxbench, read_rows, write_rows

from serxbench.errors import UsageError
from serxbench.runs import Run
from serxbench.stages.parse import parse, parsings

ANSWERS = ["Sad.", "The speaker is not angry but rather happy.", "", "I cannot hear the audio."]


@pytest.fixture
def run(tmp_path: Path, serxbench: Serxbench) -> Run:
    """A run of four answers in the open form."""
    utterances = [{"id": f"u{n}", "votes": ["Sad", "Happy"]} for n in range(len(ANSWERS))]
    data = f"manifest:{write_rows(tmp_path / 'corpus.jsonl', utterances)}"
    rows = [{"id": f"u{n}", "response": text} for n, text in enumerate(ANSWERS)]
    file = write_rows(tmp_path / "answers.jsonl", rows)
    made = serxbench("import", file, "--model", "theirs", "--mode", "open", "--data", data, "--out", "run")
    assert made.returncode == 0, made.stderr
    return Run.open(tmp_path / "run")


def test_one_parser_leaves_one_file(run: Run) -> None:
    read = parse(run)
    assert [each.status for each in read] == ["ok", "ok", "empty", "refused"]
    assert not run.file("parsings").exists()
    assert parsings(run) == {"rules": read}


def test_several_parsers_lie_side_by_side_and_the_first_is_scored(run: Run, serxbench: Serxbench) -> None:
    done = serxbench("parse", run.path, "--parser", "identity", "--parser", "rules")
    assert done.returncode == 0, done.stderr
    words = [row.get("word") for row in read_rows(run.file("parsed.jsonl"))]
    assert words == ["Sad.", "The speaker is not angry but rather happy.", None, "I cannot hear the audio."]
    assert run.file("parsings/identity.jsonl").read_bytes() == run.file("parsed.jsonl").read_bytes()
    found = parsings(run)
    assert list(found) == ["identity", "rules"]
    assert [each.word for each in found["rules"]] == ["sad", "happy", None, None]
    derived = json.loads(run.file("derived.json").read_text())
    assert derived["parsings/rules.jsonl"]["made_by"]["parser"] == "rules"
    assert list(derived["parsings/rules.jsonl"]["made_from"]) == ["responses.jsonl"]


def test_another_parser_alone_leaves_the_stored_readings(run: Run) -> None:
    parse(run, ["rules", "identity"])
    parse(run, ["identity"])
    assert list(parsings(run)) == ["identity", "rules"]
    assert parse(run)[0].parser == "identity", "without a name, the parser of the present file"


def test_readings_of_other_responses_do_not_count(run: Run) -> None:
    parse(run, ["rules", "identity"])
    responses = run.file("responses.jsonl")
    responses.write_text(responses.read_text().replace("Sad.", "Glad."))
    assert parsings(run) == {}


def test_two_parsers_that_would_share_a_file_are_refused(run: Run) -> None:
    with pytest.raises(UsageError, match="rules, rules would share a file"):
        parse(run, ["rules", "rules"])
