"""What client and worker say to each other: one JSON object a line, `type` says which message it is.

Standard library only, and no syntax newer than Python 3.9: the worker's side runs in environments that are not ours.
"""

from __future__ import annotations

import json
from typing import Any

#: Raised by one when a message changes its meaning. A client refuses a worker of another version, and the reverse.
VERSION = 1

Message = dict[str, Any]

#: From the client: message → the fields that it must have.
REQUESTS = {
    "load": ("protocol", "number", "adapter", "loading", "trust_remote_code", "scratch"),
    "generate": ("number", "clips", "prompt", "decoding"),
    "hear": ("number", "clips", "prompt"),
    "stop": (),
}

#: From the worker.
REPLIES = {
    "hello": ("protocol", "worker", "python"),
    "ready": ("number", "max_seconds", "min_seconds", "versions"),
    "answers": ("number", "answers"),
    "numbers": ("number", "file", "shape"),
    "failed": ("number", "kind", "error", "message", "fatal"),
}

#: `failed.kind`: what the client raises. adapter: AdapterError, which ends the run. model: it failed on this batch.
KINDS = ("adapter", "model")


class ProtocolError(Exception):
    """A line that is no message."""


def encode(message: Message) -> bytes:
    """The message as one line of ASCII, newline included. Raises ValueError for numbers that are not finite."""
    return json.dumps(message, allow_nan=False).encode("ascii") + b"\n"


def decode(line: bytes) -> Message:
    """The message of a line. Raises ProtocolError for what is not JSON, not known, or lacks a field.

    >>> decode(b'{"type": "stop"}')
    {'type': 'stop'}
    """
    try:
        message = json.loads(line)
    except ValueError as error:
        raise ProtocolError(f"not a JSON line: {line[:120]!r}") from error
    kind = str(message.get("type")) if isinstance(message, dict) else "none"
    fields = {**REQUESTS, **REPLIES}.get(kind)
    if fields is None:
        raise ProtocolError(f"no message of type {kind!r}: {line[:120]!r}")
    missing = [field for field in fields if field not in message]
    if missing:
        raise ProtocolError(f"the message '{kind}' lacks {', '.join(missing)}")
    result: Message = message
    return result
