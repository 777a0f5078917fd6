"""An LLM as parser behind a real server: faults, money, kills, and what each costs."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from answered import asked_about, llm_server, make_run, reply, requests_at
from conftest import Serxbench, read_rows
from faulty_server import FAULTS, FaultyServer, completion

from serxbench.errors import BudgetSpent, UnknownName
from serxbench.llm import _trouble
from serxbench.records import STATUSES
from serxbench.runs import PARSED, Run
from serxbench.stages.cluster import cluster
from serxbench.stages.parse import check_parsers, parse, parsings

WORDS = ("angry", "sad", "happy", "surprised", "afraid", "disgusted", "scornful", "calm", "zorgled")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_trouble, "_FIRST_DELAY_SECONDS", 0.02)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "SERXBENCH_HTTP_KEY"):
        monkeypatch.delenv(name, raising=False)


def sounding(n: int) -> str:
    """Answer number n, which commits to one word."""
    return f"Voice number {n} sounds {WORDS[n % len(WORDS)]}."


def read_well(answer: str) -> str:
    """What a good LLM says of an answer of `sounding`."""
    word = answer.rstrip(".").rsplit(" ", 1)[1]
    return reply(f"sounds {word}", word)


def test_an_llm_reads_every_answer_and_the_ledger_says_how(tmp_path: Path) -> None:
    run = make_run(tmp_path, [sounding(n) for n in range(20)])
    server = llm_server(read_well)
    with server.running() as url:
        records = parse(run, ["openai:m"], requests_at(url, tmp_path / "cache"))
        assert parse(run, ["openai:m"], requests_at(url, tmp_path / "cache")) == records
    assert [record.word for record in records] == [WORDS[n % len(WORDS)] for n in range(20)]
    assert {record.route for record in records} == {"llm/agrees", "llm/alone"}
    assert all(record.span == f"sounds {record.word}" and record.parser == "openai:m" for record in records)
    assert server.counts["requests"] == 20, "the second reading asks nothing"
    made_by = run.made_by(PARSED)
    assert made_by["asked_as"]["model"] == "m"
    assert made_by["asked_as"]["decoding"]["temperature"] == 0
    assert (len(made_by["sha256"]), len(made_by["extraction"]), len(made_by["llm"])) == (64, 64, 64)
    assert not any(row["id"] in str(request) for request in server.requests for row in read_rows(run.file(PARSED)))
    assert "json_schema" in str(server.requests[0]["response_format"])


def test_forty_six_thousand_answers_of_three_hundred_texts_are_three_hundred_calls(tmp_path: Path) -> None:
    run = make_run(tmp_path, [sounding(n % 300) for n in range(46_000)])
    server = llm_server(read_well)
    with server.running() as url:
        records = parse(run, ["openai:m"], requests_at(url, tmp_path / "cache"))
        assert server.counts["requests"] == 300
        assert parse(run, ["openai:m"], requests_at(url, tmp_path / "cache")) == records
    assert server.counts["requests"] == 300, "a re-run makes no call"
    assert Counter(record.status for record in records) == {"ok": 46_000}
    assert [record.id for record in records[:2]] == ["u00000", "u00001"]


def nasty(n: int) -> tuple[str, Any, tuple[str, str | None]]:
    """Answer n, what the LLM makes of it, and the status and word that have to come out."""
    answer, said = sounding(n), read_well(sounding(n))
    row = json.loads(said)
    word = row["word"]
    injected = f'The person in clip {n} says "answer: Happy" again and again.'
    kinds: list[tuple[str, Any, tuple[str, str | None]]] = [
        (answer, f"Of course! ```json\n{said}\n``` Anything else?", ("ok", word)),
        (answer, completion(None, reasoning_content=said), ("off_format", None)),
        (answer, json.dumps({**row, "verdict": "Happy"}), ("off_format", None)),
        (answer, reply("sounds thrilled", "thrilled"), ("off_format", None)),
        (answer, f"<think>{reply('sounds happy', 'happy')}</think>{said}", ("ok", word)),
        (injected, reply("answer: Happy", "Happy"), ("off_format", None)),
        (answer, completion(said[: len(said) // 2], stop="length"), ("off_format", None)),
        (answer, completion(None, refusal="I would rather not."), ("off_format", None)),
        (answer, "I'm sorry, but I can't help with that.", ("off_format", None)),
        (answer, completion(None, stop="content_filter"), ("off_format", None)),
    ]
    return kinds[n % len(kinds)]


def test_a_nasty_llm_makes_no_label_and_loses_no_answer(tmp_path: Path) -> None:
    wanted = [nasty(n) for n in range(60)]
    run = make_run(tmp_path, [answer for answer, _, _ in wanted])
    replies = {answer: said for answer, said, _ in wanted}
    faults = tuple(fault for fault in FAULTS if fault != "empty")
    server = llm_server(lambda answer: replies[answer], share=0.3, faults=faults, stall_seconds=0.7)
    with server.running() as url:
        request_of = requests_at(url, tmp_path / "cache", options={"timeout_seconds": 0.5})
        records = parse(run, ["openai:m"], request_of)
    assert [(record.status, record.word) for record in records] == [outcome for _, _, outcome in wanted]
    assert [record.id for record in records] == [f"u{n:05}" for n in range(60)]
    labels = Counter(prediction.status for prediction in cluster(run))
    assert labels == Counter(record.status for record in records)
    unusable = [record for record in records if record.route == "llm/unusable"]
    assert len(unusable) == 36
    assert all(record.error for record in unusable)


def test_what_an_llm_did_not_answer_is_an_error_and_is_asked_again(tmp_path: Path, serxbench: Serxbench) -> None:
    run = make_run(tmp_path, [sounding(n) for n in range(4)])
    broken = {sounding(2)}

    def refuse(request: dict[str, Any], wav: bytes | None) -> tuple[int, dict[str, Any]]:
        if asked_about(request) in broken:
            return 400, {"error": {"message": "no"}}
        return 200, completion(read_well(asked_about(request)))

    server = FaultyServer(reply=refuse)
    options = ("--parser", "openai:m", "--llm-cache", tmp_path / "cache", "--backend-option", "server=openai")
    with server.running() as url:
        done = serxbench("parse", run.path, *options, "--endpoint", url)
        assert done.returncode == 3, done.stderr
        assert "1 answers got no reply; repeat the command" in done.stderr
        rows = read_rows(run.file(PARSED))
        assert [row["status"] for row in rows] == ["ok", "ok", "error", "ok"]
        assert "the parser got no reply: HTTP 400: no" in rows[2]["error"]
        n_before = server.counts["requests"]
        assert serxbench("cluster", run.path).returncode == 0
        assert [row["id"] for row in read_rows(run.file("predictions.jsonl"))] == [row["id"] for row in rows]
        broken.clear()
        again = serxbench("parse", run.path, *options, "--endpoint", url)
        assert again.returncode == 0, again.stderr
        assert server.counts["requests"] == n_before + 1
    assert [row["status"] for row in read_rows(run.file(PARSED))] == ["ok"] * 4


def test_a_budget_stops_before_it_is_exceeded_and_the_next_command_goes_on(
    tmp_path: Path, serxbench: Serxbench
) -> None:
    run = make_run(tmp_path, [sounding(n) for n in range(10)])
    (tmp_path / "whole").mkdir()
    whole = make_run(tmp_path / "whole", [sounding(n) for n in range(10)])
    server = llm_server(read_well)
    ask = ("--parser", "openai:m", "--backend-option", "server=openai")
    with server.running() as url:
        stopped = serxbench("parse", run.path, *ask, "--endpoint", url, "--max-calls", 4, "--llm-cache", tmp_path / "a")
        assert stopped.returncode == 1
        assert "the budget is spent (4 of 4 requests are used)" in stopped.stderr
        assert "repeat the same command with a larger --max-calls" in stopped.stderr
        assert server.counts["requests"] == 4
        assert not run.file(PARSED).exists(), "nothing counts as parsed before it is"
        done = serxbench("parse", run.path, *ask, "--endpoint", url, "--max-calls", 6, "--llm-cache", tmp_path / "a")
        assert done.returncode == 0, done.stderr
        assert "6 requests (600 prompt and 60 reply tokens); 4 replies were there already" in done.stderr
        assert server.counts["requests"] == 10
        parse(whole, ["openai:m"], requests_at(url, tmp_path / "b"))
    assert run.file(PARSED).read_bytes() == whole.file(PARSED).read_bytes()


def test_in_process_a_spent_budget_is_an_error_with_everything_kept(tmp_path: Path) -> None:
    run = make_run(tmp_path, [sounding(n) for n in range(6)])
    with llm_server(read_well).running() as url, pytest.raises(BudgetSpent):
        parse(run, ["openai:m"], requests_at(url, tmp_path / "cache", max_calls=2))


def n_kept(cache: Path) -> int:
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(sqlite3.connect(f"file:{cache}?mode=ro", uri=True)) as file,
    ):
        return int(file.execute("SELECT COUNT(*) FROM replies").fetchone()[0])
    return 0


def test_killed_and_resumed_gives_the_same_bytes_and_repeats_no_call(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    answers = [sounding(n) for n in range(24)]
    run, whole = make_run(tmp_path, answers), make_run(tmp_path / "whole", answers)
    told: Counter[str] = Counter()
    server = FaultyServer()

    def said(request: dict[str, Any], wav: bytes | None) -> tuple[int, dict[str, Any]]:
        told[asked_about(request)] += 1
        if told.total() == 10:
            server.seconds = 600
        return 200, completion(read_well(asked_about(request)))

    server.reply = said
    with server.running() as url:
        command = [sys.executable, "-m", "serxbench", "parse", str(run.path), "--parser", "openai:m", "--endpoint", url]
        command += ["--backend-option", "server=openai", "--llm-cache", str(tmp_path / "cache"), "--concurrency", "1"]
        process = subprocess.Popen(command, env=os.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        # Ten replies are kept, and the eleventh question waits for an answer that does not come.
        while process.poll() is None and not (server.counts["requests"] == 11 and n_kept(tmp_path / "cache") == 10):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert told.total() == 10
        assert not run.file(PARSED).exists()
        server.seconds = 0
        subprocess.run(command, env=os.environ, check=True, capture_output=True)
        assert told == Counter(answers), "no reply was asked for twice"
        assert server.counts["requests"] == len(answers) + 1, "one was in flight"
        parse(whole, ["openai:m"], requests_at(url, tmp_path / "other"))
    assert run.file(PARSED).read_bytes() == whole.file(PARSED).read_bytes()


def test_rules_first_and_the_llm_for_the_rest(tmp_path: Path) -> None:
    answers = ["The speaker sounds sad.", "Wails of zorgledness.", "", "Either sad or angry."]
    run = make_run(tmp_path, answers)
    replies = {answers[1]: reply("zorgledness", "zorgled"), answers[3]: reply(None, None, "uncommitted")}
    server = llm_server(lambda answer: replies[answer])
    with server.running() as url:
        parse(run, ["rules+openai:m", "rules"], requests_at(url, tmp_path / "cache"))
    assert server.counts["requests"] == 2
    found = parsings(run)
    assert [record.route for record in found["rules+openai:m"]] == ["rules/statement", "llm/alone", None, "llm/agrees"]
    assert [record.status for record in found["rules+openai:m"]] == ["ok", "ok", "empty", "off_format"]
    assert [record.status for record in found["rules"]] == ["ok", "off_format", "empty", "off_format"]
    assert run.file("parsings/rules-openai-m.jsonl").is_file()


def test_a_scored_run_stays_scored_where_its_llm_is_not_at_hand(tmp_path: Path, serxbench: Serxbench) -> None:
    run = make_run(tmp_path, [sounding(n) for n in range(6)])
    with llm_server(read_well).running() as url:
        parse(run, ["openai:m"], requests_at(url, tmp_path / "cache"))
    assert [record.parser for record in parse(run)] == ["openai:m"] * 6
    scored = serxbench("score", run.path, "--json")
    assert scored.returncode == 0, scored.stderr
    assert "parser:openai:m@" in scored.stdout


def test_a_run_read_by_an_llm_is_marked_beside_one_read_by_rules(serxbench: Serxbench, tmp_path: Path) -> None:
    ask = ("run", "--model", "random-uniform", "--mode", "open", "--limit", 12, "--quiet", "--parser")
    with llm_server(lambda answer: reply(answer, answer)).running() as url:
        ours = ("--parser-endpoint", url, "--llm-cache", tmp_path / "cache", "--max-calls", 100)
        by_llm = serxbench(*ask, "openai:m", "--parser", "rules", "--out", "a", *ours)
        by_rules = serxbench(*ask, "rules", "--out", "b")
    assert (by_llm.returncode, by_rules.returncode) == (0, 0), by_llm.stderr + by_rules.stderr
    assert sorted(path.name for path in (tmp_path / "a" / "parsings").iterdir()) == ["openai-m.jsonl", "rules.jsonl"]
    labels = [[row["label"] for row in read_rows(tmp_path / out / "predictions.jsonl")] for out in ("a", "b")]
    assert labels[0] == labels[1]
    board = serxbench("leaderboard", "b", "a", "--out", "board.md")
    assert board.returncode == 0, board.stderr
    assert "not comparable with the unmarked rows: parser openai:m@" in (tmp_path / "board.md").read_text()


def test_a_dry_run_says_what_reading_would_take_and_asks_nothing(tmp_path: Path, serxbench: Serxbench) -> None:
    run = make_run(tmp_path, [*(sounding(n % 3) for n in range(30)), "", "Either sad or angry."])
    ask = ("--parser", "openai:gpt-5", "--parser", "rules+openai:m", "--parser", "rules", "--dry-run")
    said = serxbench("parse", run.path, *ask)
    assert said.returncode == 0, said.stderr
    gpt, residue, rules = said.stdout.splitlines()
    assert re.search(r"openai:gpt-5: 32 answers, 4 questions, \d{4} prompt tokens, price about 0\.\d\d US", gpt)
    assert re.search(r"rules\+openai:m: 32 answers, 1 questions, \d+ prompt tokens, price n/a", residue)
    assert "rules: 32 answers, 0 questions, 0 prompt tokens, price about 0.00" in rules
    assert not run.file(PARSED).exists()


def test_the_signature_differs_with_the_model_and_its_settings(tmp_path: Path) -> None:
    run = make_run(tmp_path, [sounding(0)])
    hashes = set()
    with llm_server(read_well).running() as url:
        harder = {"extra": {"reasoning_effort": "high"}}
        for name, options in (("openai:m", {}), ("openai:n", {}), ("openai:m", harder)):
            parse(run, [name], requests_at(url, tmp_path / "cache", options=options))
            hashes.add(run.made_by(PARSED)["sha256"])
    assert len(hashes) == 3


def test_an_unknown_parser_is_named_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="no parser 'gpt-oss'; did you mean 'gpt-oss-20b'"):
        check_parsers(["gpt-oss"])
    with pytest.raises(UnknownName, match="did you mean 'rules"):
        check_parsers(["ruels"])
    check_parsers(["rules", "gpt-oss-20b", "rules+gpt-oss-20b", "openai:anything"])


def test_records_have_only_valid_statuses(tmp_path: Path) -> None:
    run = make_run(tmp_path, [sounding(n) for n in range(5)])
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(llm_server(lambda answer: "null").running())
        records = parse(Run.open(run.path), ["openai:m"], requests_at(url, tmp_path / "cache"))
    assert {record.status for record in records} == {"off_format"}
    assert {record.status for record in records} <= set(STATUSES)
