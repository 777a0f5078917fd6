"""Text that a model or a stranger wrote, handled as data: how it is put into a prompt, and what of a reply counts."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any

# Harmony, the format of gpt-oss: a server that does not take it apart leaves its marks in the text.
_FINAL = re.compile(r"<\|channel\|>\s*final\s*(?:<\|constrain\|>[^<]*)?<\|message\|>")
_CHANNEL = re.compile(r"<\|channel\|>.*?<\|message\|>", re.DOTALL)
_ENDS = re.compile(r"<\|(?:end|return|call|start)\|>.*", re.DOTALL)
# Left over where the marks were taken for special tokens and dropped, their names kept.
_BARE_FINAL = re.compile(r"\A(?:analysis|commentary).*?assistant\s*final(?=\W|[A-Z])", re.DOTALL)

_THINKING = r"think|thinking|thought|reasoning"
_THOUGHT = re.compile(rf"<({_THINKING})>.*?</\1>", re.DOTALL | re.IGNORECASE)
_OPENED = re.compile(rf"<(?:{_THINKING})>", re.IGNORECASE)
_CLOSED = re.compile(rf"</(?:{_THINKING})>", re.IGNORECASE)

#: Deeper than any answer; a reply of ten thousand brackets must not exhaust the interpreter's stack.
_MOST_NESTED = 64


def nonce_of(*texts: str) -> str:
    """Sixteen hex digits that none of the texts contains; a function of them, so the same request has the same bytes.

    >>> nonce_of("a", "b") == nonce_of("a", "b"), nonce_of("a", "b") == nonce_of("ab")
    (True, False)
    """
    digest = hashlib.sha256()
    for text in texts:
        raw = text.encode("utf-8", "surrogatepass")
        digest.update(f"{len(raw)}:".encode() + raw)
    nonce = digest.hexdigest()[:16]
    while any(nonce in text for text in texts):
        nonce = hashlib.sha256(nonce.encode()).hexdigest()[:16]
    return nonce


def fence(text: str, nonce: str, name: str) -> str:
    """`text` between lines that only the asker can have written, since they carry the nonce.

    >>> print(fence("hello", "00ff", "answer"))
    <answer-00ff>
    hello
    </answer-00ff>

    Raises ValueError if the text holds the nonce, which one made by nonce_of from it never is.
    """
    if nonce in text:
        raise ValueError("the nonce of a fence stands in the text itself; make it with nonce_of from all the texts")
    return f"<{name}-{nonce}>\n{text}\n</{name}-{nonce}>"


def without_thoughts(text: str) -> str:
    """A reply without what its writer thought on the way. Thoughts that never end leave nothing.

    >>> without_thoughts("<think>Happy? No.</think> Sad"), without_thoughts("<think>Happy? It sou")
    ('Sad', '')
    >>> without_thoughts("<|channel|>analysis<|message|>Happy?<|end|><|start|>assistant<|channel|>final<|message|>Sad")
    'Sad'
    """
    if "<|channel|>" in text:
        finals = list(_FINAL.finditer(text))
        # What comes before the first mark was said to nobody; without a final channel nothing was said at all.
        text = _ENDS.sub("", text[finals[-1].end() :]) if finals else ""
    text = _BARE_FINAL.sub("", text, count=1)
    text = _THOUGHT.sub("", text)
    # A template may have opened the thoughts, so that the reply only closes them.
    closed = list(_CLOSED.finditer(text))
    if closed:
        text = text[closed[-1].end() :]
    opened = _OPENED.search(text)
    return (text[: opened.start()] if opened else text).strip()


def last_json_object(text: str) -> dict[str, Any] | None:
    """The last whole JSON object that stands in the text and in no other object; None if there is none.

    >>> last_json_object('{"a": 1} and then ```json\\n{"a": {"b": 2}}\\n``` done')
    {'a': {'b': 2}}
    >>> last_json_object('{"a": 1') is None
    True
    """
    found = None
    for found in _objects(text):  # noqa: B007 - the last one counts
        pass
    return found


def _objects(text: str) -> Iterator[dict[str, Any]]:
    decoder = json.JSONDecoder(parse_constant=_refuse)
    place = text.find("{")
    while place >= 0:
        end = place + 1
        if not _too_deep(text, place):
            try:
                value, end = decoder.raw_decode(text, place)
            except (ValueError, RecursionError):
                end = place + 1
            else:
                yield value
        place = text.find("{", end)


def _too_deep(text: str, place: int) -> bool:
    opening = re.match(r"[\[{\s]*", text[place : place + 8 * _MOST_NESTED])
    return opening is not None and sum(c in "[{" for c in opening[0]) > _MOST_NESTED


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")
