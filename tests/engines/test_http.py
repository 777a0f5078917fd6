"""The backend http against a real server on loopback, well-behaved and not."""

from __future__ import annotations

import json
import shutil
import signal
import ssl
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Serxbench, read_rows

sys.path.insert(0, str(Path(__file__).parent))

from faulty_server import FAULTS, FaultyServer, answer_to, completion
from served import CLOSED, ask, iterate, make_corpus, wav_of

from serxbench.audio import SAMPLE_RATE
from serxbench.engines import Batch, http
from serxbench.errors import AdapterError, UnknownName, UsageError
from serxbench.llm import _endpoints, _trouble
from serxbench.llm._flow import flow
from serxbench.records import Utterance

Corpus = Callable[[int], list[Utterance]]

KEY = "sk-this-key-must-be-nowhere-4711"


@pytest.fixture
def corpus(write_clip: Callable[..., Path]) -> Corpus:
    return lambda n: make_corpus(write_clip, n)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_trouble, "_FIRST_DELAY_SECONDS", 0.02)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("SERXBENCH_HTTP_KEY", raising=False)


def n_asked(notes: list[Any]) -> int:
    return int(next(note["requests"] for note in notes if note["event"] == "requests"))


def test_every_item_gets_its_right_answer_from_a_server_that_fails_on_thirty_percent(corpus: Corpus) -> None:
    utterances = corpus(300)
    server = FaultyServer(share=0.3, stall_seconds=2.0)
    with server.running() as url:
        options = {"endpoints": (url,), "concurrency": 16, "timeout_seconds": 0.6}
        responses, notes = ask(http, options, utterances)
    assert {fault for fault in FAULTS if not server.counts[fault]} == set(), "every fault was met"
    assert len({response.id for response in responses}) == len(responses) == 300
    by_id = {utterance.id: utterance for utterance in utterances}
    wrong = [r for r in responses if r.stop != "error" and r.text != answer_to(wav_of(by_id[r.id]))]
    assert wrong == []
    assert sum(r.stop == "error" for r in responses) <= 3
    assert all(r.error for r in responses if r.stop == "error")
    assert n_asked(notes) <= 1.5 * 300


def test_as_many_requests_are_in_flight_as_were_asked_for(corpus: Corpus) -> None:
    server = FaultyServer(seconds=0.2)
    with server.running() as url:
        n = sum(1 for _ in iterate(http, {"endpoints": (url,), "concurrency": 32}, corpus(320), []))
    assert n == 320
    # How close the rate is to the ideal one is measured by benchmarks/servers.py, on a quiet machine.
    assert server.most_in_flight == 32


def test_no_more_is_read_than_there_is_room_for() -> None:
    pulled = 0

    def source() -> Iterator[int]:
        nonlocal pulled
        for n in range(500):
            pulled += 1
            yield n

    opened = _opened()
    most = 0
    taken = []
    for result in flow(source(), opened, 4):
        taken.append(result)
        most = max(most, pulled - len(taken))
        if len(taken) < 20:
            time.sleep(0.01)
    assert sorted(taken) == list(range(500))
    # Four ready and one on the way, four in work, four finished.
    assert most <= 4 + 1 + 4 + 4
    with pytest.raises(ValueError, match="seven"):
        list(flow(iter(range(100)), _opened(bad=7), 4))
    begun = flow(iter(range(10**9)), opened, 4)
    next(begun)
    begun.close()


def _opened(bad: int | None = None) -> Any:
    import asyncio
    import contextlib

    @contextlib.asynccontextmanager
    async def opened() -> Any:
        async def work(n: int) -> int:
            await asyncio.sleep(0)
            if n == bad:
                raise ValueError("seven")
            return n

        yield work

    return opened


def test_two_endpoints_share_and_one_that_dies_is_left_out(corpus: Corpus) -> None:
    utterances = corpus(200)
    first, second = FaultyServer(seconds=0.01), FaultyServer(seconds=0.01)
    with first.running() as one, second.running() as two:
        options = {"endpoints": (one, two), "concurrency": 4}
        responses, _ = ask(http, options, utterances)
        assert {r.stop for r in responses} == {"end"}
        shares = sorted(server.counts["requests"] for server in (first, second))
        assert shares[0] > 0.3 * sum(shares)
        second.down = True
        responses, notes = ask(http, options, utterances)
    assert {r.stop for r in responses} == {"end"}
    aside = [note["warning"] for note in notes if note["event"] == "endpoint_set_aside"]
    assert aside
    assert all("endpoint 2" in warning and "127.0.0.1" not in warning for warning in aside)
    assert second.counts["reset"] < 40


def test_a_server_that_is_gone_stops_the_run_and_keeps_the_items(corpus: Corpus) -> None:
    utterances = corpus(60)
    server = FaultyServer(seconds=0.01)
    answered = 0
    with server.running() as url:
        batches = iterate(http, {"endpoints": (url,), "concurrency": 2, "patience_seconds": 2}, utterances, [])
        for _ in range(10):
            next(batches)
            answered += 1
        server.down = True
        rest: list[Batch] = []
        with pytest.raises(AdapterError, match=r"no answer for \d s .*the connection broke.*repeat the same command"):
            rest.extend(batches)
    assert answered + len(rest) < 60
    # What had begun to come back before it died.
    assert {response.stop for batch in rest for response in batch.responses} <= {"end"}, "none is recorded as failed"


def test_no_server_at_all(corpus: Corpus) -> None:
    with pytest.raises(AdapterError, match=r"no server answers; http://127\.0\.0\.1:9: no connection"):
        ask(http, {"endpoints": ("http://127.0.0.1:9",)}, corpus(2))


def test_hopeless_replies_stop_the_run_at_once(corpus: Corpus) -> None:
    for status, code, words in (
        (401, None, "HTTP 401: no"),
        (403, None, "HTTP 403"),
        (404, None, "is the path right, and the model's name"),
        (429, "insufficient_quota", "HTTP 429"),
        (307, None, "not followed"),
    ):
        server = FaultyServer(reply=lambda *_, s=status, c=code: (s, {"error": {"message": "no", "code": c}}))
        with server.running() as url, pytest.raises(AdapterError, match=words):
            ask(http, {"endpoints": (url,), "concurrency": 2}, corpus(20))
        assert server.counts["requests"] <= 2


def test_a_request_that_is_refused_is_that_items_error(corpus: Corpus) -> None:
    utterances = corpus(40)
    refused = wav_of(utterances[7])

    def reply(request: dict[str, Any], wav: bytes | None) -> tuple[int, dict[str, Any]]:
        if wav == refused:
            return 422, {"detail": "too\nlong"}
        return 200, completion("Sad")

    server = FaultyServer(reply=reply)
    with server.running() as url:
        responses, notes = ask(http, {"endpoints": (url,)}, utterances)
    assert {r.id: r.error for r in responses if r.stop == "error"} == {"u00007": "HTTP 422: too"}
    assert n_asked(notes) == 40, "it is not asked again"


def test_a_run_in_which_nothing_is_answered_stops_and_keeps_nothing(corpus: Corpus) -> None:
    server = FaultyServer(reply=lambda *_: (400, {"error": {"message": "no audio here"}}))
    taken: list[Batch] = []
    with server.running() as url, pytest.raises(AdapterError, match=r"none of the first 8 questions.*no audio here"):
        taken.extend(iterate(http, {"endpoints": (url,)}, corpus(40), []))
    assert taken == []


@pytest.mark.parametrize(
    ("body", "text", "stop", "error"),
    [
        (completion("Sad"), "Sad", "end", None),
        (completion("Sa", stop="length"), "Sa", "length", None),
        (completion(None, stop="content_filter"), None, "filtered", "filtered by the provider"),
        (completion(None, refusal="I cannot."), "I cannot.", "filtered", "refused by the provider"),
        (completion("", reasoning_content="hm"), "", "end", None),
        (completion("", stop="length", reasoning_content="hm"), "", "length", None),
        (completion([{"type": "text", "text": "Ha"}, {"type": "text", "text": "ppy"}]), "Happy", "end", None),  # type: ignore[arg-type]
        (completion(None, audio={"transcript": "Angry"}), "Angry", "end", None),
        (completion("Sad", reasoning_content="Angry?"), "Sad", "end", None),
    ],
)
def test_what_a_reply_means(
    corpus: Corpus, body: dict[str, Any], text: str | None, stop: str, error: str | None
) -> None:
    with FaultyServer(reply=lambda *_: (200, body)).running() as url:
        (response,), _ = ask(http, {"endpoints": (url,)}, corpus(1))
    assert (response.text, response.stop, response.error) == (text, stop, error)


def test_what_is_sent(corpus: Corpus) -> None:
    utterances = corpus(1)
    server = FaultyServer(keep_requests=True, owned_by="vllm")
    with server.running() as url:
        ask(http, {"endpoints": (url + "/v1/",)}, utterances)
        plain = server.requests[-1]
        (audio, text) = plain["messages"][0]["content"]
        assert (audio["type"], text) == ("input_audio", {"type": "text", "text": "What emotion?"})
        sent = {name: plain[name] for name in plain if name != "messages"}
        assert sent == {
            "model": "served-model",
            "temperature": 0.0,
            "top_p": 1.0,
            "seed": 0,
            "max_tokens": 16,
            "top_k": 0,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            "min_tokens": 1,
        }
        changed = {
            "audio_part": "audio_url",
            "part_order": "text_first",
            "token_limit": "max_completion_tokens",
            "modalities": ["text"],
            "omit": ["seed", "top_p"],
            "extra": {"user": "x"},
            "server": "openai",
            "model": "mine",
        }
        ask(http, {"endpoints": (url,), **changed}, utterances)
        other = server.requests[-1]
        assert [part["type"] for part in other["messages"][0]["content"]] == ["text", "audio_url"]
        assert {name: other[name] for name in other if name != "messages"} == {
            "model": "mine",
            "temperature": 0.0,
            "max_completion_tokens": 16,
            "modalities": ["text"],
            "user": "x",
        }
    assert server.counts["/v1/chat/completions"] == server.counts["requests"]


def test_which_model(corpus: Corpus) -> None:
    with FaultyServer(models=("a", "owner/name")).running() as url:
        assert http.start(_starting(url)).describe()["model"] == "owner/name", "the card's repository"
    with (
        FaultyServer(models=("a", "b")).running() as url,
        pytest.raises(UsageError, match=r"serves a, b; .*model=NAME"),
    ):
        http.start(_starting(url)).describe()
    with FaultyServer(owned_by="vllm").running() as url:
        described = http.start(_starting(url)).describe()
    assert (described["server"], described["model"]) == ("vllm", "served-model")
    assert "127.0.0.1" not in json.dumps(described)


def _starting(url: str, **options: Any) -> Any:
    from served import starting

    return starting({"endpoints": (url,), **options})


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({}, UsageError, "needs --endpoint"),
        ({"endpoints": ("https://me:hush@host/v1",)}, UsageError, r"https://host is given with a user or password"),
        ({"endpoints": ("https://host/v1?key=hush",)}, UsageError, "behind its path"),
        ({"endpoints": ("ftp://host",)}, UsageError, "must be a URL"),
        ({"endpoints": ("http://host:99999999",)}, UsageError, "must be a URL"),
        ({"endpoints": ("http://a", "http://a/v1")}, UsageError, "given twice"),
        ({"endpoints": ("http://a",), "concurrency": 0}, UsageError, "whole number above 0"),
        ({"endpoints": ("http://a",), "audio_parts": "x"}, UnknownName, "did you mean 'audio_part'"),
        ({"endpoints": ("http://a",), "audio_part": "mp3"}, UsageError, "none of input_audio, audio_url"),
        ({"endpoints": ("http://a",), "key_variable": "NOT_SET_KEY"}, UsageError, "NOT_SET_KEY, which should hold"),
        ({"endpoints": ("https://api.openai.com/v1",)}, UsageError, "OPENAI_API_KEY, which should hold the key"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], error: type[Exception], words: str) -> None:
    from served import starting

    with pytest.raises(error, match=words) as raised:
        http.start(starting(options))
    assert "hush" not in str(raised.value)


def test_whose_machine_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    strangers = ("https://api.openai.com", "http://172.32.0.1", "http://0.0.0.0:1", "http://[::ffff:8.8.8.8]")
    own = ("http://localhost:1", "http://[::1]:1", "http://10.1.2.3", "http://172.16.0.9", "http://[::ffff:127.0.0.1]")
    for url in strangers:
        assert http.third_party({"endpoints": ("http://localhost", url)}) is not None, url
    for url in (*own, "http://localhost.:1"):
        assert http.third_party({"endpoints": (url,)}) is None, url
    assert _endpoints.is_private("localhost.example.org") is False
    monkeypatch.setenv("SERXBENCH_HTTP_KEY", KEY)
    with pytest.raises(UsageError, match="unencrypted"):
        http.start(_starting("http://example.org"))


def test_a_key_goes_only_to_endpoints_that_the_user_named(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERXBENCH_HTTP_KEY", KEY)
    server = FaultyServer()
    with server.running() as url:
        ask(http, {"endpoints": (url,)}, corpus(1))
        assert {headers.get("authorization") for headers in server.headers} == {f"Bearer {KEY}"}
        server.headers.clear()
        ask(http, {"endpoint": url}, corpus(1))
        assert {headers.get("authorization") for headers in server.headers} == {None}, "a card's own endpoint"


def test_control_runs(corpus: Corpus) -> None:
    utterances = corpus(3)
    server = FaultyServer(keep_requests=True)
    with server.running() as url:
        responses, notes = ask(http, {"endpoints": (url,)}, utterances, silent=True)
        silence = [answer_to(_silent(wav_of(utterance))) for utterance in utterances]
        assert [r.text for r in sorted(responses, key=lambda r: r.id)] == silence
        words = {"u00000": "hello", "u00002": "bye"}
        responses, notes = ask(http, {"endpoints": (url,)}, utterances, transcripts=words)
    by_id = {r.id: r for r in responses}
    assert (by_id["u00000"].text, by_id["u00000"].audio_sha256) == ("no sound", None)
    assert (by_id["u00001"].stop, "no transcript" in str(by_id["u00001"].error)) == ("error", True)
    assert '"bye"' in server.requests[-1]["messages"][0]["content"]
    assert not [note for note in notes if note["event"].startswith("heard")]


def _silent(wav: bytes) -> bytes:
    return wav[:44] + bytes(len(wav) - 44)


def test_long_short_and_broken_clips(write_clip: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "bad.wav").write_bytes(b"not audio")
    utterances = [
        Utterance(id="long", audio=write_clip("long.wav", seconds=2.0)),
        Utterance(id="short", audio=write_clip("short.wav", seconds=0.05)),
        Utterance(id="bad", audio=tmp_path / "bad.wav"),
        Utterance(id="none"),
    ]
    server = FaultyServer(keep_requests=True)
    with server.running() as url:
        responses, _ = ask(http, {"endpoints": (url,), "max_audio_seconds": 1.5}, utterances)
    by_id = {r.id: r for r in responses}
    assert (by_id["long"].truncated, by_id["long"].note) == (True, "cut from 2.0 s to 1.5 s")
    assert "too short" in str(by_id["short"].error)
    assert "cannot be decoded" in str(by_id["bad"].error)
    assert by_id["none"].stop == "error"
    from faulty_server import sound_of

    assert {len(sound_of(request) or b"") for request in server.requests} == {44 + 2 * round(1.5 * SAMPLE_RATE)}


def logprobs_reply(tokens: dict[str, float]) -> tuple[int, dict[str, Any]]:
    body = completion(next(iter(tokens)), stop="length")
    top = [{"token": token, "logprob": float(np.log(share))} for token, share in tokens.items()]
    body["choices"][0]["logprobs"] = {"content": [{"token": "x", "logprob": -1.0, "top_logprobs": top}]}
    return 200, body


def test_a_deaf_server_is_stopped_where_it_shows_numbers(corpus: Corpus) -> None:
    def deaf(request: dict[str, Any], wav: bytes | None) -> tuple[int, dict[str, Any]]:
        return logprobs_reply({"A": 0.6, "B": 0.4}) if request.get("logprobs") else (200, completion("A"))

    def hears(request: dict[str, Any], wav: bytes | None) -> tuple[int, dict[str, Any]]:
        share = 0.5 + zlib.crc32(wav or b"") / 2**34
        return logprobs_reply({"A": share, "B": 1 - share}) if request.get("logprobs") else (200, completion("A"))

    options = {"server": "vllm", "model": "m"}
    with FaultyServer(reply=deaf).running() as url, pytest.raises(AdapterError, match="does not hear"):
        ask(http, {"endpoints": (url,), **options}, corpus(5))
    with FaultyServer(reply=hears).running() as url:
        _, notes = ask(http, {"endpoints": (url,), **options}, corpus(5))
    assert next(note for note in notes if note["event"] == "heard")["n_clips"] == 3


def test_a_deaf_server_without_numbers_is_warned_of(corpus: Corpus) -> None:
    with FaultyServer(reply=lambda *_: (200, completion("Neutral"))).running() as url:
        responses, notes = ask(http, {"endpoints": (url,), "server": "vllm", "model": "m"}, corpus(5))
    assert len(responses) == 5
    warning = next(note for note in notes if note["event"] == "heard_unproven")["warning"]
    assert "not proven" in warning
    refuses = FaultyServer(reply=lambda r, w: (400, {"error": "no"}) if "logprobs" in r else (200, completion("x")))
    with refuses.running() as url:
        responses, notes = ask(http, {"endpoints": (url,), "server": "vllm", "model": "m"}, corpus(5))
    assert {note["event"] for note in notes} >= {"heard_unproven"}


def test_probabilities_of_the_options(corpus: Corpus) -> None:
    utterances = corpus(3)
    by_wav = {
        wav_of(utterances[0]): {"A": 0.3, " A": 0.3, "B": 0.15, "The": 0.25},
        wav_of(utterances[1]): {"B": 0.6, "The": 0.3, "C": 0.05},
        wav_of(utterances[2]): {"The": 0.9, "I": 0.1},
    }

    def reply(request: dict[str, Any], wav: bytes | None) -> tuple[int, dict[str, Any]]:
        assert (request["max_tokens"], request["top_logprobs"]) == (1, 20)
        return logprobs_reply(by_wav.get(wav or b"", {"A": 0.5}))

    options = {"server": "vllm", "model": "m", "decode": "loglik"}
    with FaultyServer(reply=reply).running() as url:
        responses, _ = ask(http, {"endpoints": (url,), **options}, utterances, prompt=CLOSED)
    first, second, third = sorted(responses, key=lambda r: r.id)
    assert first.text == "Angry"
    assert first.probabilities == pytest.approx({"Angry": 0.8, "Sad": 0.2})
    # The letter A is not listed and could have up to 0.05.
    assert (second.text, second.probabilities) == ("Sad", None)
    assert "1 letters are not listed" in str(second.note)
    assert (third.stop, third.text) == ("error", None)


def test_the_key_is_nowhere(serxbench: Serxbench, small_corpus: Path, tmp_path: Path) -> None:
    def reply(request: dict[str, Any], wav: bytes | None) -> tuple[int, dict[str, Any]]:
        if answer_to(wav or b"") == "Sad":
            return 400, {"error": {"message": f"Incorrect API key provided: {KEY}"}}
        return 200, completion(f"Happy {KEY}")

    ask_it = ("run", "--model", "nano", "--mode", "closed", "--data", f"manifest:{small_corpus}", "--out", "a")
    with FaultyServer(reply=reply).running() as url:
        done = serxbench(*ask_it, "--backend", "http", "--endpoint", url, SERXBENCH_HTTP_KEY=KEY)
    assert done.returncode in (0, 3), done.stderr
    assert KEY not in done.stderr + done.stdout
    assert {row["stop"] for row in read_rows(tmp_path / "a" / "responses.jsonl")} == {"end", "error"}
    for path in (tmp_path / "a").iterdir():
        assert KEY not in path.read_text(), path.name
        assert url not in path.read_text(), path.name
    server = FaultyServer(reply=lambda *_: (401, {"error": {"message": f"bad key {KEY}"}}))
    with server.running() as url:
        done = serxbench(*ask_it[:-1], "b", "--backend", "http", "--endpoint", url, SERXBENCH_HTTP_KEY=KEY)
    assert (done.returncode, KEY in done.stderr) == (1, False)
    assert f"{url}: HTTP 401: bad key [key]" in done.stderr


def test_a_killed_run_goes_on_where_it_stopped(serxbench: Serxbench, tmp_path: Path) -> None:
    server = FaultyServer(seconds=0.05)
    command = ("respond", "--model", "nano", "--mode", "open", "--limit", "150", "--backend", "http", "--out", "a")
    with server.running() as url:
        arguments = [*command, "--concurrency", "4", "--endpoint", url, "--backend-option", "server=openai", "-q"]
        process = subprocess.Popen([sys.executable, "-m", "serxbench", *arguments], cwd=tmp_path)
        while server.counts["requests"] < 60:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        before = server.counts["requests"]
        done = serxbench(*arguments)
    assert done.returncode == 0, done.stderr
    assert server.counts["requests"] - before < 150 - 40 + 12
    rows = read_rows(tmp_path / "a" / "responses.jsonl")
    assert len({row["id"] for row in rows}) == len(rows) == 150


def test_what_a_settings_file_names_gets_no_key(serxbench: Serxbench, tmp_path: Path) -> None:
    server = FaultyServer()
    with server.running() as url:
        (tmp_path / "serxbench.toml").write_text(f'endpoint = ["{url}"]\n')
        ask_it = ("respond", "--model", "nano", "--mode", "open", "--limit", "20", "-q", "--out")
        # The environment's proxy is not for this machine.
        settings = {"SERXBENCH_HTTP_KEY": KEY, "HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": ""}
        done = serxbench(*ask_it, "a", "--backend", "http", **settings)
        assert done.returncode == 0, done.stderr
        assert {headers.get("authorization") for headers in server.headers} == {None}
        done = serxbench(*ask_it, "b", "--backend", "http", "--endpoint", url, **settings)
        assert done.returncode == 0, done.stderr
        assert server.headers[-1].get("authorization") == f"Bearer {KEY}"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificate with openssl")
def test_certificates_are_checked(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate]
    names = ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*make, *names], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with FaultyServer(tls=context).running() as url:
        assert url.startswith("https://")
        for options in ({}, {"server": "openai", "model": "m"}):
            with pytest.raises(AdapterError, match=r"certificate is not trusted here.*SSL_CERT_FILE"):
                ask(http, {"endpoints": (url,), **options}, corpus(2))
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        responses, _ = ask(http, {"endpoints": (url,)}, corpus(2))
    assert {r.stop for r in responses} == {"end"}


def test_uploading_needs_the_right_to(serxbench: Serxbench, small_corpus: Path, tmp_path: Path) -> None:
    ask_it = ("run", "--model", "nano", "--mode", "open", "--data", f"manifest:{small_corpus}", "--backend", "http")
    done = serxbench(*ask_it, "--endpoint", "https://models.example.org/v1")
    assert done.returncode == 2
    assert "hosted at https://models.example.org, somebody else's machine" in done.stderr
    card = tmp_path / "mine.md"
    card.write_text(
        "---\nname: mine\nadapter: hosted\nrepository: none\nlicence: x\n"
        "settings: {backend: http, endpoint: 'https://models.example.org', key_variable: HOME}\n---\n"
    )
    done = serxbench("run", "--model", card, "--mode", "open", "--data", "demo")
    assert "no card says which key is sent" in done.stderr
    done = serxbench("run", "--model", "nano", "--mode", "open", "--endpoint", "http://127.0.0.1:1")
    assert "--endpoint is of no use to the backend transformers" in done.stderr
    done = serxbench("run", "--model", "nano", "--mode", "open", "--backend", "htpp")
    assert (done.returncode, "did you mean 'http'" in done.stderr) == (2, True)


def test_utterances_keep_their_ids_when_clips_are_the_same(corpus: Corpus) -> None:
    (one,) = corpus(1)
    with FaultyServer().running() as url:
        responses, _ = ask(http, {"endpoints": (url,)}, [replace(one, id=f"v{n}") for n in range(9)])
    assert sorted(r.id for r in responses) == [f"v{n}" for n in range(9)]
