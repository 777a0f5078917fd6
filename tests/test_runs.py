"""Run folders: atomic files, the journal, the lock, staleness and refusal."""

from __future__ import annotations

import json
import multiprocessing
from dataclasses import replace
from pathlib import Path

import pytest

from serxbench.errors import ManifestMismatch, MissingStage, RunError, RunLocked
from serxbench.records import Parsed, Response
from serxbench.runs import PARSED, RESPONSES, Journal, Run, RunManifest, differences, lock_folder

MANIFEST = RunManifest(
    serxbench="0",
    model={"name": "m"},
    mode="open",
    cot=False,
    corpus={"name": "c", "labels": ["Sad"]},
    engine={"batch_size": 8},
    options=(("A", "Sad"),),
)

RESPONSE = Response(id="a", text="sad", stop="end")


def test_the_same_run_is_found_again(tmp_path: Path) -> None:
    Run.start(tmp_path / "run", MANIFEST)
    assert differences(Run.start(tmp_path / "run", MANIFEST).manifest, MANIFEST) == []


def test_another_run_is_refused_with_what_differs(tmp_path: Path) -> None:
    Run.start(tmp_path / "run", MANIFEST)
    other = replace(MANIFEST, engine={"batch_size": 16}, cot=True)
    with pytest.raises(ManifestMismatch, match=r"cot: false → true; engine\.batch_size: 8 → 16"):
        Run.start(tmp_path / "run", other)


def test_other_audio_under_the_same_run_is_said_to_be_that(tmp_path: Path) -> None:
    Run.start(tmp_path / "run", replace(MANIFEST, engine={"batch_plan": "a"}))
    with pytest.raises(ManifestMismatch, match=r"batch_plan: .* \(other clips are readable than then"):
        Run.start(tmp_path / "run", replace(MANIFEST, engine={"batch_plan": "b"}))


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(RunError, match="not empty and not a run folder"):
        Run.start(tmp_path, MANIFEST)
    with pytest.raises(RunError, match=r"it has no manifest\.json"):
        Run.open(tmp_path)
    with pytest.raises(RunError, match="no such run folder"):
        Run.open(tmp_path / "nowhere")


def test_manifests_of_other_schemas_are_refused(tmp_path: Path) -> None:
    run = Run.start(tmp_path / "run", replace(MANIFEST, schema=999))
    with pytest.raises(RunError, match="has schema 999"):
        Run.open(run.path)
    (run.path / "manifest.json").write_text('{"schema": 1')
    with pytest.raises(RunError, match="not a run manifest"):
        Run.open(run.path)


def test_the_journal_loses_only_a_torn_tail(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    assert journal.read() == {}
    journal.append(1, [RESPONSE])
    journal.append(2, [replace(RESPONSE, id="b"), replace(RESPONSE, id="c")])
    whole = journal.path.read_bytes()
    first = whole.index(b"\n") + 1
    for length in range(first, len(whole)):
        journal.path.write_bytes(whole[:length])
        assert list(journal.read()) == [1]
        assert journal.path.stat().st_size == first, "what was torn is cut off, so that appending stays safe"
    journal.append(2, [RESPONSE])
    assert sorted(journal.read()) == [1, 2]


def test_damage_inside_the_journal_is_named(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.path.write_text('{"batch": 1, "resp\n{"batch": 2, "responses": []}\n')
    with pytest.raises(RunError, match=r"journal\.jsonl:1: damaged"):
        journal.read()


def _hold(folder: Path, ready: multiprocessing.Queue[bool], done: multiprocessing.Queue[bool]) -> None:
    with lock_folder(folder):
        ready.put(True)
        done.get()


def test_two_writers_are_kept_apart(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready, done = context.Queue(), context.Queue()
    other = context.Process(target=_hold, args=(tmp_path, ready, done))
    other.start()
    try:
        ready.get(timeout=60)
        with pytest.raises(RunLocked, match="another process is writing"), lock_folder(tmp_path):
            pass
    finally:
        done.put(True)
        other.join()
    with lock_folder(tmp_path):
        pass


def test_a_derived_file_knows_what_it_was_made_from(tmp_path: Path) -> None:
    run = Run.start(tmp_path / "run", MANIFEST)
    with pytest.raises(MissingStage, match=r"has no responses\.jsonl yet"):
        run.read_records(RESPONSES, Response)
    run.write_records(RESPONSES, [RESPONSE])
    assert not run.is_fresh(PARSED, [RESPONSES], {"parser": "p"})
    run.write_records(PARSED, [Parsed(id="a", status="ok", word="sad", parser="p")])
    run.remember_sources(PARSED, [RESPONSES], {"parser": "p"})
    assert run.is_fresh(PARSED, [RESPONSES], {"parser": "p"})
    assert not run.is_fresh(PARSED, [RESPONSES], {"parser": "q"}), "another parser"
    assert run.made_by(PARSED) == {"parser": "p"}
    run.write_records(RESPONSES, [replace(RESPONSE, text="happy")])
    assert not run.is_fresh(PARSED, [RESPONSES], {"parser": "p"}), "other responses"
    with pytest.raises(MissingStage, match=r"responses\.jsonl changed since parsed\.jsonl was made"):
        run.made_by(PARSED)
    run.write_records(RESPONSES, [RESPONSE])
    assert run.is_fresh(PARSED, [RESPONSES], {"parser": "p"})
    run.write_records(PARSED, [Parsed(id="a", status="ok", word="edited", parser="p")])
    assert not run.is_fresh(PARSED, [RESPONSES], {"parser": "p"}), "edited by hand"


def test_records_survive_the_file(tmp_path: Path) -> None:
    run = Run.start(tmp_path / "run", MANIFEST)
    responses = [RESPONSE, Response(id="ü", stop="error", error='a "quoted"\nreason', audio_seconds=1.5)]
    run.write_records(RESPONSES, responses)
    assert run.read_records(RESPONSES, Response) == responses
    assert "null" not in run.file(RESPONSES).read_text(), "what does not apply is left out"
    run.file(RESPONSES).write_text('{"id": "a", "stop": "end"}\n{"id": "b", "colour": 1}\n')
    with pytest.raises(RunError, match=r"responses\.jsonl:2: is not a Response record"):
        run.read_records(RESPONSES, Response)


def test_nothing_of_this_machine_is_in_the_manifest(tmp_path: Path) -> None:
    run = Run.start(tmp_path / "run", MANIFEST)
    run.remember_corpus("manifest:/somewhere/x.jsonl", tmp_path)
    assert run.recall_corpus() == ("manifest:/somewhere/x.jsonl", tmp_path)
    assert str(tmp_path) not in json.dumps(json.loads(run.file("manifest.json").read_text()))
