"""SmolLM2-135M behind vLLM's own server as parser and as clusterer, held to their JSON schemas."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import smol_server

sys.path.insert(0, str(Path(__file__).parent.parent / "parsing"))
sys.path.insert(0, str(Path(__file__).parent.parent / "stages"))

from answer_styles import OPEN
from answered import make_run, requests_at

from serxbench.emotions import EMOTIONS, OTHER
from serxbench.records import STATUSES
from serxbench.stages.cluster import cluster
from serxbench.stages.parse import parse, parsings


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with smol_server.running(tmp_path_factory.mktemp("smol")) as url:
        yield url


def test_a_small_llm_reads_a_hundred_answers(
    endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run = make_run(tmp_path, [text for text, _ in OPEN[:100]])
    # Room for a reply in the form asked for, and no more: a model of this size does not stop by itself.
    ask = requests_at(
        endpoint, tmp_path / "cache", concurrency=32, options={"server": "vllm", "extra": {"max_tokens": 96}}
    )
    began = time.perf_counter()
    records = parse(run, [f"openai:{smol_server.NAME}", "rules"], ask)
    took = time.perf_counter() - began
    assert [record.id for record in records] == [f"u{n:05}" for n in range(100)]
    assert {record.status for record in records} <= set(STATUSES) - {"error"}
    assert all((record.word is not None) == (record.status == "ok") for record in records)
    by_rules = {record.id: record for record in parsings(run)["rules"]}
    labels = {each.id: each.label or each.status for each in cluster(run)}
    parse(run, ["rules"])
    wanted = {each.id: each.label or each.status for each in cluster(run, "table")}
    agreed = sum(labels[id] == wanted[id] for id in wanted) / len(wanted)
    both = [id for id in wanted if labels[id] in (*EMOTIONS, OTHER) and by_rules[id].status == "ok"]
    alike = sum(labels[id] == wanted[id] for id in both)
    with capsys.disabled():
        print(f"\n100 answers in {took:.0f} s; statuses {dict(Counter(record.status for record in records))}")
        print(f"routes {dict(Counter(record.route for record in records))}")
        print(f"class as by rules: {agreed:.2f}; of those that both commit to: {alike}/{len(both)}")
        errors = Counter((record.error or "")[:60] for record in records if record.error)
        print(f"unusable: {dict(errors.most_common(5))}")


def test_a_small_llm_maps_new_words_to_classes(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = make_run(tmp_path, [f"<answer>{word}</answer>" for word in ("zorgled", "blorpy", "flumpish", "sad")])
    parse(run)
    ask = requests_at(endpoint, tmp_path / "cache", options={"server": "vllm", "extra": {"max_tokens": 32}})
    found = cluster(run, f"openai:{smol_server.NAME}", request_of=ask)
    assert all(each.label in (*EMOTIONS, OTHER) for each in found)
    assert found[3].via == "table"
    rows = (tmp_path / "word_tables" / f"openai-{smol_server.NAME}.tsv").read_text().splitlines()
    assert [row.split("\t")[0] for row in rows if not row.startswith("#")] == ["blorpy", "flumpish", "zorgled"]
    assert json.loads(run.file("derived.json").read_text())["predictions.jsonl"]["made_by"]["n_unanswered"] == 0
