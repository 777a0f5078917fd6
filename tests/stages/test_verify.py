"""--verify-batch: the same utterances whatever the order, and every answer that turns is named."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Serxbench, read_rows, write_rows

from serxbench.catalog import load_prompt, resolve_card
from serxbench.corpora import open_corpus
from serxbench.engines import Batch, list_backends
from serxbench.errors import UsageError
from serxbench.progress import Silent
from serxbench.records import Decoding, Response, Utterance
from serxbench.runs import RESPONSES, Run, RunManifest
from serxbench.stages import verify as stage
from serxbench.stages.backends import RespondRequest


def test_a_run_that_does_not_depend_on_its_batches(tmp_path: Path, serxbench: Serxbench) -> None:
    asked = ["--model", "nano", "--mode", "closed", "--limit", 12, "--out", tmp_path / "run", "--verify-batch", 4]
    done = serxbench("run", *asked)
    assert done.returncode in (0, 3), done.stderr
    assert "asked again one at a time: 4 utterances; 0 answers differ, 0 of them in the class" in done.stderr
    found = json.loads((tmp_path / "run" / "verify.json").read_text())
    assert (found["n"], found["batch_size"], found["flips"]) == (4, 8, [])
    rows = read_rows(tmp_path / "run" / "responses.jsonl")
    turned = min(rows, key=lambda row: hashlib.sha256(row["id"].encode()).hexdigest())
    was, turned["text"] = turned["text"], "(A)" if turned["text"] != "(A)" else "(B)"
    write_rows(tmp_path / "run" / "responses.jsonl", rows)
    again = serxbench("respond", *asked)
    assert again.returncode == 0, "an answer that turns is no failure"
    assert f"  {turned['id']}: {turned['text']!r}, alone {was!r}" in again.stderr
    found = json.loads((tmp_path / "run" / "verify.json").read_text())
    (flip,) = found["flips"]
    assert (flip["id"], flip["text"], flip["text_alone"]) == (turned["id"], turned["text"], was)
    assert (found["n_text_flips"], found["n_label_flips"]) == (1, 1)


@pytest.fixture
def request_of(small_corpus: Path) -> RespondRequest:
    corpus = open_corpus(f"manifest:{small_corpus}", None, None)
    return RespondRequest(
        card=resolve_card("nano"),
        mode="closed",
        cot=False,
        prompt=load_prompt("closed", corpus.labels),
        corpus=corpus,
        decoding=Decoding(),
        batch_size=4,
    )


Asked = list[tuple[RespondRequest, list[str]]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """What was asked again, by a model that answers with the option A whatever it hears."""
    requests: Asked = []

    def ask_again(request: RespondRequest, utterances: Sequence[Utterance], log: Path) -> Iterator[Batch]:
        requests.append((request, [u.id for u in utterances]))
        responses = [Response(id=u.id, text="(A)", stop="end") for u in utterances]
        yield Batch(number=1, responses=responses, seconds_waiting=0.0, seconds_generating=0.0)

    monkeypatch.setattr(stage, "ask_again", ask_again)
    return requests


def finished(folder: Path, responses: Sequence[Response]) -> Run:
    options = [("A", "Angry"), ("B", "Sad")]
    manifest = RunManifest(
        serxbench="0", model={"name": "m"}, mode="closed", cot=False, corpus={}, engine={}, options=options
    )
    run = Run.start(folder, manifest)
    run.write_records(RESPONSES, responses)
    return run


def test_which_are_asked_depends_on_neither_order_nor_chance(
    request_of: RespondRequest, asked: Asked, tmp_path: Path
) -> None:
    utterances = list(request_of.corpus.utterances)
    for seed in range(3):
        random.Random(seed).shuffle(utterances)
        shuffled = replace(request_of, corpus=replace(request_of.corpus, utterances=tuple(utterances)))
        run = finished(tmp_path / str(seed), [Response(id=u.id, text="(A)", stop="end") for u in utterances])
        assert stage.verify(run, shuffled, 5, Silent()).n == 5
    assert len({tuple(sorted(ids)) for _, ids in asked}) == 1
    assert {request.batch_size for request, _ in asked} == {1}
    more = stage.verify(run, shuffled, 7, Silent())
    assert more.n == 7
    assert set(asked[-1][1]) > set(asked[0][1]), "a larger N asks the same ones and more"


def test_texts_and_classes_are_counted_apart(request_of: RespondRequest, asked: Asked, tmp_path: Path) -> None:
    texts = ["(A)", "A", "(B)", None]
    responses = [
        Response(id=u.id, text=text, stop="end") if text else Response(id=u.id, stop="error", error="no sound")
        for u, text in zip(request_of.corpus.utterances, texts * 3, strict=True)
    ]
    found = stage.verify(finished(tmp_path / "run", responses), request_of, 99, Silent())
    assert (found.n, found.n_text_flips, found.n_label_flips) == (9, 6, 3)
    assert {(flip.text, flip.label, flip.label_alone) for flip in found.flips} == {
        ("A", "Angry", "Angry"),
        ("(B)", "Sad", "Angry"),
    }


def test_what_could_not_tell_anything_is_refused(request_of: RespondRequest) -> None:
    with pytest.raises(UsageError, match="at least 1"):
        stage.check(request_of, 0)
    with pytest.raises(UsageError, match="greedy"):
        stage.check(replace(request_of, decoding=Decoding(temperature=0.7)), 3)


def test_every_backend_can_be_asked_one_at_a_time() -> None:
    assert sorted(stage.ALONE) == list_backends()
