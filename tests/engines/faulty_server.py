"""A real HTTP server on loopback that speaks chat completions, as well and as badly as a test wants.

What it answers is a function of the sound alone, so that every right answer is known beforehand.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import random
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

FAULTS = ("429", "429-date", "500", "503", "stall", "reset", "truncated", "html", "empty", "no-choices", "slow")

#: Faults that cost a request; a slow answer is an answer.
COSTLY = tuple(fault for fault in FAULTS if fault != "slow")

LABELS = ("Angry", "Sad", "Happy", "Neutral")


def answer_to(wav: bytes) -> str:
    """What the model of this server says to a WAV file."""
    return LABELS[hashlib.sha256(wav).digest()[0] % len(LABELS)]


@dataclass
class FaultyServer:
    """A server in a thread of its own. `with server.running() as url: …`

    share: of the requests that get a fault, drawn by a seeded generator. seconds: what an answer takes.
    reply: (body of the request, the WAV in it) → (status, body of the reply), in place of the usual.
    """

    share: float = 0.0
    faults: tuple[str, ...] = FAULTS
    seconds: float = 0.0
    stall_seconds: float = 3.0
    retry_after: str = "0.1"
    reply: Callable[[dict[str, Any], bytes | None], tuple[int, dict[str, Any]]] | None = None
    models: tuple[str, ...] = ("served-model",)
    owned_by: str = "somebody"
    seed: int = 0
    down: bool = False
    tls: ssl.SSLContext | None = None
    counts: Counter[str] = field(default_factory=Counter)
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    keep_requests: bool = False
    in_flight: int = 0
    most_in_flight: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._loop = asyncio.new_event_loop()

    @contextlib.contextmanager
    def running(self, port: int = 0) -> Iterator[str]:
        """The address of the started server."""
        ready = threading.Event()
        found: list[int] = []

        async def serve() -> None:
            self._stop = asyncio.Event()
            server = await asyncio.start_server(self._serve, "127.0.0.1", port, limit=2**26, ssl=self.tls)
            found.append(server.sockets[0].getsockname()[1])
            ready.set()
            await self._stop.wait()
            server.close()
            for task in asyncio.all_tasks():
                if task is not asyncio.current_task():
                    task.cancel()

        thread = threading.Thread(target=lambda: self._loop.run_until_complete(serve()), daemon=True)
        thread.start()
        assert ready.wait(10)
        try:
            yield f"http{'s' if self.tls else ''}://127.0.0.1:{found[0]}"
        finally:
            self._loop.call_soon_threadsafe(self._stop.set)
            thread.join(10)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while await self._serve_one(reader, writer):
                pass
        writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection stays open."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        method, path, _ = head[0].split(" ")
        self.headers.append(headers)
        if method == "GET":
            listed = [{"id": name, "owned_by": self.owned_by} for name in self.models]
            return await self._send(writer, 200, json.dumps({"data": listed}).encode())
        self.counts["requests"] += 1
        self.counts[path] += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            fault = self._random.choice(self.faults) if self._random.random() < self.share else None
            if self.down:
                fault = "reset"
            self.counts[fault or "served"] += 1
            return await self._respond(writer, body, fault)
        finally:
            self.in_flight -= 1

    async def _respond(self, writer: asyncio.StreamWriter, body: bytes, fault: str | None) -> bool:
        await asyncio.sleep(self.stall_seconds if fault == "stall" else self.seconds)
        if fault == "reset":
            writer.transport.abort()
            return False
        if fault in ("429", "429-date", "500", "503"):
            after = "Thu, 01 Jan 2026 00:00:00 GMT" if fault == "429-date" else self.retry_after
            extra = f"Retry-After: {after}\r\n" if fault != "500" else ""
            return await self._send(writer, int(fault[:3]), b'{"error": {"message": "injected"}}', extra)
        if fault == "html":
            return await self._send(writer, 200, b"<html>a proxy says hello</html>")
        if fault == "no-choices":
            return await self._send(writer, 200, b'{"id": "x", "choices": []}')
        status, answer = self._answer(json.loads(body), empty=fault == "empty")
        raw = json.dumps(answer).encode()
        if fault == "truncated":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(raw))
            writer.write(raw[: len(raw) // 2])
            await writer.drain()
            return False
        if fault == "slow":
            return await self._send(writer, status, raw, drip=True)
        return await self._send(writer, status, raw)

    def _answer(self, request: dict[str, Any], *, empty: bool) -> tuple[int, dict[str, Any]]:
        if self.keep_requests:
            self.requests.append(request)
        wav = sound_of(request)
        if self.reply is not None:
            return self.reply(request, wav)
        text = "" if empty else answer_to(wav) if wav is not None else "no sound"
        return 200, completion(text, request["model"])

    async def _send(
        self, writer: asyncio.StreamWriter, status: int, body: bytes, extra: str = "", *, drip: bool = False
    ) -> bool:
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{extra}Content-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode())
        if drip:
            for start in range(0, len(body), 40):
                writer.write(body[start : start + 40])
                await writer.drain()
                await asyncio.sleep(0.02)
        else:
            writer.write(body)
        await writer.drain()
        return True


def sound_of(request: dict[str, Any]) -> bytes | None:
    """The WAV file in a request, None if it has none."""
    content = request["messages"][-1]["content"]
    for part in content if isinstance(content, list) else []:
        if part["type"] == "input_audio":
            assert part["input_audio"]["format"] == "wav"
            return base64.b64decode(part["input_audio"]["data"])
        if part["type"] == "audio_url":
            return base64.b64decode(part["audio_url"]["url"].partition("base64,")[2])
    return None


def completion(text: str | None, model: str = "m", stop: str = "stop", **message: Any) -> dict[str, Any]:
    """The body of a reply."""
    choice = {"index": 0, "finish_reason": stop, "message": {"role": "assistant", "content": text, **message}}
    return {"id": "x", "object": "chat.completion", "model": model, "choices": [choice]}
