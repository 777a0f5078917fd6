"""The backend gemini: google-genai against a server on loopback that speaks the REST protocol."""

from __future__ import annotations

import base64
import contextlib
import importlib.util
import json
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from conftest import Serxbench, read_rows

sys.path.insert(0, str(Path(__file__).parent))

from faulty_server import answer_to
from served import ask, make_corpus, starting, wav_of

from serxbench.engines import gemini
from serxbench.errors import AdapterError, UsageError
from serxbench.llm import _trouble
from serxbench.llm import gemini as gemini_service
from serxbench.records import Utterance

if importlib.util.find_spec("google") is None or importlib.util.find_spec("google.genai") is None:
    pytest.skip("google-genai is not installed: pip install 'serxbench[gemini]'", allow_module_level=True)

Reply = tuple[int, dict[str, str], dict[str, Any]]

KEY = "AIza-this-key-must-be-nowhere"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_trouble, "_FIRST_DELAY_SECONDS", 0.02)
    monkeypatch.setattr(gemini_service, "_UPLOAD_POLL_SECONDS", 0.01)
    for name in ("GEMINI_API_KEY", "GOOGLE_API_KEY", "SERXBENCH_HTTP_KEY"):
        monkeypatch.delenv(name, raising=False)


def said(text: str | None, reason: str = "STOP", **more: Any) -> Reply:
    parts = [] if text is None else [{"text": text}]
    candidate = {"content": {"role": "model", "parts": parts}, "finishReason": reason}
    return 200, {}, {"candidates": [candidate], "modelVersion": "gemini-2.5-flash-001", **more}


def failed(status: int, message: str = "no", details: Any = ()) -> Reply:
    return status, {}, {"error": {"code": status, "message": message, "status": "X", "details": list(details)}}


@dataclass
class GeminiServer:
    """Answers by the sound; `reply` (number of the request, its body, the WAV) may answer in its place."""

    reply: Callable[[int, dict[str, Any], bytes], Reply | None] = lambda n, request, wav: None
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: set[str | None] = field(default_factory=set)
    files: dict[str, bytes] = field(default_factory=dict)
    n_uploaded: int = 0

    @contextlib.contextmanager
    def running(self) -> Iterator[str]:
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield self.url
        finally:
            server.shutdown()
            server.server_close()

    def generate(self, request: dict[str, Any]) -> Reply:
        self.requests.append(request)
        wav = self.sound_of(request)
        return self.reply(len(self.requests), request, wav) or said(answer_to(wav) if wav else "no sound")

    def sound_of(self, request: dict[str, Any]) -> bytes:
        for part in request["contents"][0]["parts"]:
            # The package writes names in either style and the alphabet for URLs, and the service reads them.
            if (inline := part.get("inlineData")) is not None:
                assert (inline.get("mimeType") or inline["mime_type"]) == "audio/wav"
                return base64.urlsafe_b64decode(inline["data"])
            if (there := part.get("fileData")) is not None:
                return self.files[(there.get("fileUri") or there["file_uri"]).rpartition("/")[2]]
        return b""

    def upload(self, body: bytes) -> dict[str, Any]:
        self.n_uploaded += 1
        name = f"f{self.n_uploaded}"
        self.files[name] = body
        return self.file(name, "PROCESSING")

    def file(self, name: str, state: str) -> dict[str, Any]:
        return {"name": f"files/{name}", "uri": f"{self.url}/v1beta/files/{name}", "state": state}


def _handler(server: GeminiServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            server.keys.add(self.headers.get("x-goog-api-key"))
            if self.path.startswith("/upload/"):
                self._send(200, {"X-Goog-Upload-URL": f"{server.url}/chunk"}, {})
            elif self.path == "/chunk":
                self._send(200, {"X-Goog-Upload-Status": "final"}, {"file": server.upload(body)})
            else:
                assert self.path == "/v1beta/models/gemini-2.5-flash:generateContent"
                self._send(*server.generate(json.loads(body)))

        def do_GET(self) -> None:
            self._send(200, {}, server.file(self.path.rpartition("/")[2], "ACTIVE"))

        def do_DELETE(self) -> None:
            server.files.pop(self.path.rpartition("/")[2])
            self._send(200, {}, {})

        def _send(self, status: int, headers: dict[str, str], body: dict[str, Any]) -> None:
            raw = json.dumps(body).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", "Content-Length": str(len(raw)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler


OPTIONS = {"model": "gemini-2.5-flash", "concurrency": 4}

Corpus = Callable[[int], list[Utterance]]


@pytest.fixture
def corpus(write_clip: Callable[..., Path]) -> Corpus:
    return lambda n: make_corpus(write_clip, n)


def test_right_answers_and_what_is_sent(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERXBENCH_HTTP_KEY", KEY)
    utterances = corpus(12)
    server = GeminiServer()
    with server.running() as url:
        responses, notes = ask(gemini, {**OPTIONS, "endpoints": (url,), "thinking_budget": 0}, utterances)
    assert {r.id: r.text for r in responses} == {u.id: answer_to(wav_of(u)) for u in utterances}
    assert server.keys == {KEY}
    assert {"event": "served", "by": "gemini-2.5-flash-001"} in notes
    request = server.requests[-1]
    assert [sorted(part) for part in request["contents"][0]["parts"]] == [["inlineData"], ["text"]]
    assert {setting["threshold"] for setting in request["safetySettings"]} == {"BLOCK_NONE"}
    sent = request["generationConfig"]
    assert (sent["temperature"], sent["topP"], sent["maxOutputTokens"], sent["seed"]) == (0, 1, 16, 0)
    assert list(sent["thinkingConfig"].values()) == [0]


def test_faults_are_asked_again(corpus: Corpus) -> None:
    faults = {2: failed(503), 4: failed(429, details=[{"@type": "RetryInfo", "retryDelay": "0.1s"}]), 6: failed(500)}
    faults |= {8: said(None), 9: (200, {}, {"candidates": "?"}), 11: (200, {}, {})}
    utterances = corpus(12)
    server = GeminiServer(reply=lambda n, request, wav: faults.get(n - 9))
    with server.running() as url:
        responses, notes = ask(gemini, {**OPTIONS, "endpoints": (url,)}, utterances)
    assert {r.id: r.text for r in responses} == {u.id: answer_to(wav_of(u)) for u in utterances}
    counts = next(note for note in notes if note["event"] == "requests")
    assert (counts["requests"], counts["busy"], counts["failed"] + counts["empty"]) == (18, 1, 5)


@pytest.mark.parametrize(
    ("reply", "text", "stop", "error"),
    [
        ((200, {}, {"promptFeedback": {"blockReason": "SAFETY"}}), None, "filtered", "blocked by the provider: SAFETY"),
        (said(None, "RECITATION"), None, "filtered", "blocked by the provider: RECITATION"),
        (said("Ang", "PROHIBITED_CONTENT"), "Ang", "filtered", "blocked by the provider: PROHIBITED_CONTENT"),
        (said("Ang", "MAX_TOKENS"), "Ang", "length", None),
        (said(None, "MAX_TOKENS"), "", "length", None),
        (said(None), "", "end", None),
        (failed(400, "too long"), None, "error", "HTTP 400: too long"),
    ],
)
def test_what_a_reply_means(corpus: Corpus, reply: Reply, text: str | None, stop: str, error: str | None) -> None:
    server = GeminiServer(reply=lambda n, request, wav: reply)
    with server.running() as url:
        (response,), _ = ask(gemini, {**OPTIONS, "endpoints": (url,)}, corpus(1))
    assert (response.text, response.stop, response.error) == (text, stop, error)
    if stop == "filtered":
        assert len(server.requests) == 4, "a blocked answer is not asked for again: one proof of three, one question"


def test_long_clips_go_by_the_files_api(corpus: Corpus) -> None:
    utterances = corpus(3)
    server = GeminiServer()
    with server.running() as url:
        responses, _ = ask(gemini, {**OPTIONS, "endpoints": (url,), "inline_mib": 0.01}, utterances)
    assert {r.id: r.text for r in responses} == {u.id: answer_to(wav_of(u)) for u in utterances}
    assert server.n_uploaded == 12, "nine for the proof of hearing"
    assert server.files == {}, "none stays at the provider"


def test_hopeless_errors_stop_the_run(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERXBENCH_HTTP_KEY", KEY)
    for reply, words in (
        (failed(400, f"API key not valid: {KEY}", [{"reason": "API_KEY_INVALID"}]), r"not valid: \[key\]; is the key"),
        (failed(403), "HTTP 403: no"),
        (failed(404), "the model's name"),
        (failed(429, "quota", [{"violations": [{"quotaId": "GenerateRequestsPerDay"}]}]), "quota of a day"),
    ):
        server = GeminiServer(reply=lambda n, request, wav, reply=reply: reply)
        with server.running() as url, pytest.raises(AdapterError, match=words):
            ask(gemini, {**OPTIONS, "endpoints": (url,)}, corpus(9))


def test_options_that_make_no_sense(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="GEMINI_API_KEY or GOOGLE_API_KEY"):
        gemini.start(starting(OPTIONS))
    with pytest.raises(UsageError, match="say which model"):
        gemini.start(starting({}))
    with pytest.raises(UsageError, match="thinking_budget"):
        gemini.start(starting({**OPTIONS, "thinking_budget": -1}))
    assert gemini.third_party(OPTIONS) == "https://generativelanguage.googleapis.com"
    assert gemini.third_party({**OPTIONS, "endpoints": ("http://127.0.0.1:1",)}) is None


def test_from_the_command_line(serxbench: Serxbench, small_corpus: Path, tmp_path: Path) -> None:
    ask_it = ("run", "--model", "gemini-2.5-flash", "--mode", "closed", "-q", "--out", "a", "--data")
    refused = serxbench(*ask_it, f"manifest:{small_corpus}", GEMINI_API_KEY=KEY)
    assert (refused.returncode, "https://generativelanguage.googleapis.com" in refused.stderr) == (2, True)
    blocked = GeminiServer(reply=lambda n, request, wav: said(None, "SAFETY") if n % 5 == 0 else None)
    with blocked.running() as url:
        done = serxbench(
            *ask_it, f"manifest:{small_corpus}", "--endpoint", url, "--i-have-the-right-to-upload", GEMINI_API_KEY=KEY,
            SERXBENCH_HTTP_KEY=KEY,
        )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert KEY not in done.stderr
    rows = read_rows(tmp_path / "a" / "responses.jsonl")
    assert {row["stop"] for row in rows} == {"end", "filtered"}
    for path in (tmp_path / "a").iterdir():
        assert KEY not in path.read_text()
        assert url not in path.read_text()
    statuses = {row["id"]: row["status"] for row in read_rows(tmp_path / "a" / "predictions.jsonl")}
    assert all(statuses[row["id"]] == "refused" for row in rows if row["stop"] == "filtered")
