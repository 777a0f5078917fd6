"""Judges on loopback, one behind chat completions and one behind Gemini's protocol, whose verdicts are known
beforehand.

A planted judge is a function of the two texts that it is shown, so that both servers decide alike, in whatever order
and however often they are asked. What it decides by is what a test plants: quality, position, length, noise and ties.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import re
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "engines"))

from faulty_server import FaultyServer, completion

_FENCED = re.compile(r"<explanation-([AB])-([0-9a-f]{16})>\n(.*?)\n</explanation-\1-\2>", re.DOTALL)
_GOOD = re.compile(r"\bmark-(\d+)\b")


def texts_in(question: str) -> tuple[str, str]:
    """The texts A and B of a question, found by its fences as its writer meant them."""
    nonce = re.search(r"carry the code ([0-9a-f]{16})", question)
    assert nonce, "the question names the code of its fences"
    found = {letter: text for letter, code, text in _FENCED.findall(question) if code == nonce[1]}
    return found["A"], found["B"]


def unit(*texts: str) -> float:
    """A number from 0 to 1 that is a function of the texts."""
    return (int(hashlib.sha256("\0".join(texts).encode()).hexdigest()[:12], 16) + 0.5) / 16**12


@dataclass(frozen=True)
class Planted:
    """A judge. Quality is the number behind `mark-` in a text, in hundredths of a logit. position, length: leans, in
    logits, to the first text and to the longer one (for tanh of a difference of 100 characters). ties: share of
    verdicts that are a tie. noise: whether verdicts are drawn, by a hash of the two texts, or follow the larger
    side."""

    position: float = 0.0
    length: float = 0.0
    ties: float = 0.0
    noise: bool = True

    def choose(self, first: str, second: str) -> str:
        quality = [sum(int(n) for n in _GOOD.findall(text)) / 100 for text in (first, second)]
        logit = quality[0] - quality[1] + self.position + self.length * math.tanh((len(first) - len(second)) / 100)
        if first == second and not self.position:
            return "tie"
        if not self.noise:
            return "A" if logit > 0 else "B" if logit < 0 else "tie"
        if unit("tie", first, second) < self.ties:
            return "tie"
        return "A" if unit("noise", first, second) < 1 / (1 + math.exp(-logit)) else "B"

    def reply(self, question: str) -> str:
        first, second = texts_in(question)
        evidence = {"evidence_a": first[:40], "evidence_b": second[:40], "confidence": 3}
        return json.dumps({**evidence, "verdict": self.choose(first, second)})


Reply = Callable[[str], str]


def chat_judge(reply: Reply, **settings: Any) -> FaultyServer:
    """A server of chat completions that answers with `reply` to the question."""

    def answer(request: dict[str, Any], wav: bytes | None) -> tuple[int, dict[str, Any]]:
        return 200, completion(reply(question_of(request)))

    return FaultyServer(reply=answer, keep_requests=True, **settings)


def question_of(request: dict[str, Any]) -> str:
    """The text that was asked, of a request of either protocol."""
    if "contents" in request:
        return "".join(part["text"] for part in request["contents"][0]["parts"] if "text" in part)
    content = request["messages"][-1]["content"]
    return content if isinstance(content, str) else "".join(part["text"] for part in content if part["type"] == "text")


@dataclass
class GeminiJudge:
    """A server that speaks as much of Gemini's protocol as google-genai asks for."""

    reply: Reply
    requests: list[dict[str, Any]] = field(default_factory=list)

    @contextlib.contextmanager
    def running(self) -> Iterator[str]:
        judge = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                assert self.path == "/v1beta/models/gemini-2.0-flash:generateContent"
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                judge.requests.append(request)
                parts = [{"text": judge.reply(question_of(request))}]
                candidate = {"content": {"role": "model", "parts": parts}, "finishReason": "STOP"}
                raw = json.dumps({"candidates": [candidate], "modelVersion": "gemini-2.0-flash-001"}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()
