"""--dry-run: everything from headers and tables, nothing loaded, asked or written."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Serxbench, write_rows

from serxbench.adapters import list_adapters
from serxbench.catalog import load_prompt, read_card, resolve_card
from serxbench.corpora import open_corpus
from serxbench.errors import UsageError
from serxbench.records import Decoding
from serxbench.stages.backends import RespondRequest
from serxbench.stages.dry_run import Price, Tokens, costs, forecast, price_of

WriteClip = Callable[..., Path]


@pytest.fixture
def request_of(tmp_path: Path, write_clip: WriteClip) -> RespondRequest:
    """Five clips, together of 10 s, and one that is not there."""
    seconds = (0.5, 1.5, 2.0, 2.5, 3.5)
    rows = [
        {"id": f"u{n}", "audio": write_clip(f"u{n}.wav", each).name, "votes": ["Sad"]} for n, each in enumerate(seconds)
    ]
    rows.append({"id": "gone", "audio": "gone.wav", "votes": ["Sad"]})
    corpus = open_corpus(f"manifest:{write_rows(tmp_path / 'corpus.jsonl', rows)}", None, None)
    return RespondRequest(
        card=resolve_card("q2a"),
        mode="closed",
        cot=False,
        prompt=load_prompt("closed", corpus.labels),
        corpus=corpus,
        decoding=Decoding(max_new_tokens=100),
        batch_size=2,
    )


def hosted(request: RespondRequest, tmp_path: Path, model: str) -> RespondRequest:
    """The same asked of a paid server."""
    card = tmp_path / "paid.md"
    lines = ["name: paid", "adapter: hosted", "repository: none", "licence: theirs", "hosted: true"]
    settings = ["settings:", "  backend: http", "  endpoint: https://api.example.com/v1", f"  model: {model}"]
    card.write_text("\n".join(["---", *lines, *settings, "---", ""]))
    return replace(request, card=read_card(card), backend="http", may_upload=True)


def test_items_hours_tokens_and_batches(request_of: RespondRequest, tmp_path: Path) -> None:
    found = forecast(request_of, tmp_path / "run")
    prompt = math.ceil(len(request_of.prompt.text) / 4)
    assert (found.n, found.n_unreadable, found.n_done) == (6, 1, 0)
    assert found.audio_hours == round(10 / 3600, 4)
    assert found.tokens == Tokens(prompt=5 * prompt, audio=250, answers=500)
    assert (found.batches, found.batch_size, found.workers, found.ray) == (3, 2, 1, None)
    assert (found.calls, found.price, found.seconds) == (None, None, None)
    assert not (tmp_path / "run").exists()


def test_a_family_that_pads_pays_for_whole_windows(request_of: RespondRequest, tmp_path: Path) -> None:
    voxtral = replace(request_of, card=resolve_card("voxtral-mini"))
    assert forecast(voxtral, tmp_path).tokens.audio == 5 * 375
    unknown = replace(request_of, card=resolve_card("whisper-llm"))
    assert forecast(unknown, tmp_path).tokens.audio is None


def test_workers_are_planned(request_of: RespondRequest, tmp_path: Path) -> None:
    found = forecast(replace(request_of, ray="auto", workers=8, gpus_per_worker=0.5), tmp_path)
    assert (found.workers, found.ray, found.gpus_per_worker) == (8, "auto", 0.5)
    with pytest.raises(UsageError, match="go with --ray"):
        forecast(replace(request_of, workers=8), tmp_path)


def test_what_a_paid_model_costs_at_most(request_of: RespondRequest, tmp_path: Path) -> None:
    for name in ("gpt-audio", "gpt-audio-2025-08-28"):
        found = forecast(hosted(request_of, tmp_path, name), tmp_path)
        assert (found.calls, found.batches, found.tokens.audio) == (5, None, 100)
        dollars = (found.tokens.prompt * 2.5 + 100 * 32 + 500 * 10) / 1e6
        assert found.price is not None
        assert found.price.dollars == round(dollars, 4)
        assert found.price.source == "https://developers.openai.com/api/docs/models/gpt-audio"


@pytest.mark.parametrize("name", ["gpt-audio-mini", "gpt-audi", "somebody's own"])
def test_a_price_that_is_not_in_the_table_is_unknown(request_of: RespondRequest, tmp_path: Path, name: str) -> None:
    found = forecast(hosted(request_of, tmp_path, name), tmp_path)
    assert (found.calls, found.price, found.tokens.audio) == (5, Price(), None)


def test_ones_own_server_costs_nothing(request_of: RespondRequest, tmp_path: Path) -> None:
    options = {"endpoints": ("http://127.0.0.1:1",)}
    found = forecast(replace(request_of, backend="http", backend_options=options), tmp_path)
    assert (found.calls, found.price, found.tokens.audio) == (5, None, 250)


def test_what_is_there_already_is_left_out(request_of: RespondRequest, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    rows = [{"batch": 1, "responses": [{"id": "u0", "stop": "end"}, {"id": "u1", "stop": "end"}]}]
    write_rows(run / "journal.jsonl", rows)
    torn = (run / "journal.jsonl").read_bytes() + b'{"batch": 2, "resp'
    (run / "journal.jsonl").write_bytes(torn)
    write_rows(run / "timings.jsonl", [{"event": "batch", "n": 2, "seconds_waiting": 1.0, "seconds_generating": 3.0}])
    found = forecast(request_of, run)
    assert (found.n_done, found.batches, found.tokens.answers, found.seconds) == (2, 2, 300, 6.0)
    assert forecast(replace(request_of, ray="auto", workers=3), run).seconds == 2.0
    assert (run / "journal.jsonl").read_bytes() == torn


def test_the_tables_are_dated_and_name_families_that_exist() -> None:
    assert costs()["families"].keys() <= set(list_adapters())
    for entry in costs()["hosted"].values():
        assert entry["price"].keys() == {"text", "audio", "answer"}
        assert isinstance(entry["date"], datetime.date)
        assert entry["source"].startswith("https://")
        assert entry["tokens_source"].startswith("https://")
    for entry in costs()["texts"].values():
        assert entry["price"].keys() == {"text", "answer"}
        assert isinstance(entry["date"], datetime.date)
        assert entry["source"].startswith("https://")
    assert price_of("gpt-5-2025-08-07") == {"text": 1.25, "answer": 10.0}


def test_the_command_loads_nothing_and_writes_nothing(
    request_of: RespondRequest, tmp_path: Path, serxbench: Serxbench
) -> None:
    asked = ["--model", "q2a", "--mode", "closed", "--data", f"manifest:{tmp_path / 'corpus.jsonl'}", "--dry-run"]
    said = serxbench("run", *asked)
    assert said.returncode == 0, said.stderr
    assert "items    6 of manifest" in said.stdout
    assert "3 of at most 2" not in said.stdout
    assert "batches  1 of at most 8" in said.stdout
    assert "time     n/a" in said.stdout
    as_json = json.loads(serxbench("respond", *asked, "--json").stdout)
    assert (as_json["n"], as_json["tokens"]["audio"], as_json["price"]) == (6, 250, None)
    assert not (tmp_path / "runs").exists()
