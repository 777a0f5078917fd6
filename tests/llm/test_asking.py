"""Text LLMs behind a real server on loopback: each different question once, every reply kept, no budget exceeded."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "engines"))

from faulty_server import FaultyServer, completion

from serxbench.errors import AdapterError, BudgetSpent, RunError, UsageError
from serxbench.llm import Ask, Budget, Cache, Llm, Price, Told, _trouble
from serxbench.llm.openai import ChatService
from serxbench.records import Decoding
from serxbench.stages.llms import LlmRequest, open_llm

SCHEMA = {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_trouble, "_FIRST_DELAY_SECONDS", 0.02)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "SERXBENCH_HTTP_KEY"):
        monkeypatch.delenv(name, raising=False)


def echo(request: dict[str, Any], wav: bytes | None) -> tuple[int, dict[str, Any]]:
    """Says the question back, and counts ten tokens for it and five for the reply."""
    body = completion(f"said: {request['messages'][-1]['content']}")
    return 200, {**body, "usage": {"prompt_tokens": 10, "completion_tokens": 5}}


def make_llm(url: str, cache: Path, budget: Budget | None = None, **options: Any) -> Llm:
    given = {"endpoints": (url,), "model": "m", "server": "openai", **options}
    return Llm(
        name="openai:m",
        family=None,
        service=ChatService(given, ("m",)),
        decoding=Decoding(max_new_tokens=16),
        cache=Cache(cache),
        budget=budget or Budget(),
    )


def asks(n: int, n_different: int) -> list[Ask]:
    return [Ask(id=f"i{k}", text=f"question {k % n_different}", system="be brief") for k in range(n)]


def by_id(told: Iterator[Told]) -> dict[str, Told]:
    found = list(told)
    assert len({each.id for each in found}) == len(found), "each question is told once"
    return {each.id: each for each in found}


def test_each_different_question_is_asked_once_and_never_again(tmp_path: Path) -> None:
    server = FaultyServer(reply=echo, keep_requests=True)
    with server.running() as url:
        llm = make_llm(url, tmp_path / "cache")
        first = by_id(llm.ask(asks(200, 7)))
        again = by_id(make_llm(url, tmp_path / "cache").ask(asks(200, 7)))
    assert server.counts["requests"] == 7
    assert [first[f"i{k}"].text for k in range(9)] == [f"said: question {k % 7}" for k in range(9)]
    assert {id: each.text for id, each in again.items()} == {id: each.text for id, each in first.items()}
    assert all(each.cached for each in again.values())
    assert (llm.counts["asked"], llm.counts["requests"]) == (200, 7)
    assert (llm.counts["cached"], llm.counts["prompt_tokens"], llm.counts["answer_tokens"]) == (193, 70, 35)
    assert server.requests[0]["messages"][0] == {"role": "system", "content": "be brief"}


def test_another_model_or_setting_is_asked_anew(tmp_path: Path) -> None:
    server = FaultyServer(reply=echo)
    with server.running() as url:
        one = make_llm(url, tmp_path / "cache")
        other = make_llm(url, tmp_path / "cache", extra={"reasoning_effort": "low"})
        assert one.sha256 != other.sha256
        for llm in (one, other, one):
            by_id(llm.ask(asks(3, 3)))
    assert server.counts["requests"] == 6


def test_faults_end_in_the_right_reply_or_a_recorded_error(tmp_path: Path) -> None:
    server = FaultyServer(share=0.3, reply=echo, stall_seconds=1.0)
    with server.running() as url:
        told = by_id(make_llm(url, tmp_path / "cache", timeout_seconds=0.4, concurrency=16).ask(asks(150, 150)))
    assert len(told) == 150
    for id, each in told.items():
        assert each.text == f"said: question {id[1:]}" if each.stop == "end" else each.error
    assert sum(each.stop == "error" for each in told.values()) <= 3
    assert server.counts["requests"] <= 1.6 * 150


def test_an_error_is_told_to_all_and_not_kept(tmp_path: Path) -> None:
    declining = True

    def reply(request: dict[str, Any], wav: bytes | None) -> tuple[int, dict[str, Any]]:
        if declining and request["messages"][-1]["content"] == "question 0":
            return 422, {"error": {"message": "not this one"}}
        return echo(request, wav)

    with FaultyServer(reply=reply).running() as url:
        told = by_id(make_llm(url, tmp_path / "cache").ask(asks(10, 2)))
        assert {each.error for id, each in told.items() if int(id[1:]) % 2 == 0} == {"HTTP 422: not this one"}
        assert {each.text for id, each in told.items() if int(id[1:]) % 2 == 1} == {"said: question 1"}
        declining = False
        assert {each.stop for each in make_llm(url, tmp_path / "cache").ask(asks(10, 2))} == {"end"}


def test_a_server_that_knows_no_schemas_is_asked_without(tmp_path: Path) -> None:
    def reply(request: dict[str, Any], wav: bytes | None) -> tuple[int, dict[str, Any]]:
        return (400, {"error": "response_format is unknown"}) if "response_format" in request else echo(request, wav)

    server = FaultyServer(reply=reply)
    with server.running() as url:
        questions = [Ask(id=str(k), text=str(k), schema=SCHEMA) for k in range(40)]
        told = by_id(make_llm(url, tmp_path / "cache", concurrency=4).ask(questions))
    assert {each.stop for each in told.values()} == {"end"}
    # No more were refused than were on their way before the first was answered.
    assert 41 <= server.counts["requests"] <= 48


def test_the_schema_is_sent(tmp_path: Path) -> None:
    server = FaultyServer(reply=echo, keep_requests=True)
    with server.running() as url:
        by_id(make_llm(url, tmp_path / "cache").ask([Ask(id="1", text="x", schema=SCHEMA)]))
    assert server.requests[0]["response_format"]["json_schema"]["schema"] == SCHEMA


def test_the_number_of_requests_is_never_exceeded_and_the_rest_is_asked_later(tmp_path: Path) -> None:
    server = FaultyServer(reply=echo, share=0.2, faults=("500",))
    with server.running() as url:
        told: list[Told] = []
        with pytest.raises(BudgetSpent, match=r"30 of 30 requests are used.*--max-calls"):
            told.extend(make_llm(url, tmp_path / "cache", Budget(max_calls=30)).ask(asks(60, 60)))
        assert server.counts["requests"] == 30
        assert 20 <= len(told) <= 30
        assert all(each.stop == "end" for each in told)
        assert len(by_id(make_llm(url, tmp_path / "cache").ask(asks(60, 60)))) == 60
    assert server.counts["served"] == 60


def test_money_is_never_exceeded(tmp_path: Path) -> None:
    # Ten tokens of prompt and five of reply cost 10 * 1 + 5 * 2 = 20 dollars a million: 0.00002 a request.
    price = Price(text=1.0, answer=2.0)
    server = FaultyServer(reply=echo)
    with server.running() as url:
        budget = Budget(max_usd=0.0005, price=price)
        with pytest.raises(BudgetSpent, match="US dollars"):
            list(make_llm(url, tmp_path / "cache", budget).ask(asks(100, 100)))
    # 0.0005 buys 25 requests at most; what is on its way is reckoned at its most, so it may be a few less.
    assert 15 <= server.counts["requests"] <= 25
    assert budget.usd <= 0.0005
    assert budget.usd == pytest.approx(server.counts["requests"] * 0.00002)


def test_a_killed_process_repeats_no_call(tmp_path: Path) -> None:
    program = textwrap.dedent(
        """
        import sys
        sys.path[:0] = sys.argv[3:]
        from pathlib import Path
        from test_asking import asks, make_llm
        for told in make_llm(sys.argv[1], Path(sys.argv[2]), concurrency=2).ask(asks(60, 60)):
            print(told.id, told.text, flush=True)
        """
    )
    server = FaultyServer(reply=echo, seconds=0.05)
    command = [sys.executable, "-c", program]
    with server.running() as url:
        given = [url, str(tmp_path / "cache"), str(Path(__file__).parent)]
        with subprocess.Popen([*command, *given], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            printed = [process.stdout.readline() for _ in range(10)]
            process.kill()
        assert all(printed)
        time.sleep(0.2)
        before = server.counts["requests"]
        told = by_id(make_llm(url, tmp_path / "cache").ask(asks(60, 60)))
    assert {each.text for each in told.values()} == {f"said: question {k}" for k in range(60)}
    # Only what was on its way when the process was killed is asked twice.
    assert server.counts["requests"] <= 60 + 2
    assert server.counts["requests"] - before <= 50


def test_a_server_that_fails_on_everything_stops_it(tmp_path: Path) -> None:
    with (
        FaultyServer(reply=lambda request, wav: (422, {"error": "no"})).running() as url,
        pytest.raises(AdapterError, match="answered none of the first 8 questions: HTTP 422: no"),
    ):
        list(make_llm(url, tmp_path / "cache").ask(asks(50, 50)))


def test_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"where is 'openai:m' served\? .*OPENAI_BASE_URL"):
        open_llm(LlmRequest(model="openai:m", cache=tmp_path / "c"), Decoding())
    with pytest.raises(UsageError, match="its adapter is qwen2_audio"):
        open_llm(LlmRequest(model="nano", cache=tmp_path / "c"), Decoding())
    with pytest.raises(UsageError, match="no price is known for 'm'"):
        open_llm(
            LlmRequest(model="openai:m", endpoints=("http://127.0.0.1:9",), max_usd=1.0, cache=tmp_path / "c"),
            Decoding(),
        )
    server = FaultyServer(reply=echo)
    with server.running() as url:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{url}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", "sk-kept-out")
        llm = open_llm(LlmRequest(model="openai:m", cache=tmp_path / "c"), Decoding())
        assert [told.text for told in llm.ask([Ask(id="1", text="hello")])] == ["said: hello"]
        assert llm.describe()["model"] == "m"
        assert llm.third_party is None
        assert "sk-kept-out" not in json.dumps(llm.describe())
    assert server.headers[-1]["authorization"] == "Bearer sk-kept-out"


def test_a_cache_that_is_no_cache(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("something else, and long enough to be no empty database" * 20)
    with pytest.raises(RunError, match=r"is no usable cache of replies .*--llm-cache"):
        Cache(tmp_path / "cache")
