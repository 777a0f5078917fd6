"""Runs of answers made elsewhere, and an LLM behind a real server that reads them as a test wants."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from conftest import write_rows

sys.path.insert(0, str(Path(__file__).parent.parent / "engines"))

from faulty_server import FaultyServer, completion

from serxbench.corpora import open_corpus
from serxbench.runs import Run
from serxbench.stages.import_answers import import_answers
from serxbench.stages.llms import LlmRequest

_ANSWER = re.compile(r"<answer-([0-9a-f]{16})>\n(.*?)\n</answer-\1>", re.DOTALL)
_WORD = re.compile(r"<word-([0-9a-f]{16})>\n(.*?)\n</word-\1>", re.DOTALL)


def make_run(folder: Path, answers: Sequence[str], mode: str = "open") -> Run:
    """A run in `folder/run` of one answer an utterance."""
    utterances = [{"id": f"u{n:05}", "votes": ["Sad", "Happy"]} for n in range(len(answers))]
    corpus = open_corpus(f"manifest:{write_rows(folder / 'corpus.jsonl', utterances)}", None, None)
    rows = [{"id": f"u{n:05}", "response": text} for n, text in enumerate(answers)]
    file = write_rows(folder / "answers.jsonl", rows)
    return import_answers(file, "theirs", (mode, False), corpus, folder / "run")  # type: ignore[arg-type]


def asked_about(request: Mapping[str, Any]) -> str:
    """The answer, or the word, that a request is about."""
    content = request["messages"][-1]["content"]
    found = _ANSWER.search(content) or _WORD.search(content)
    assert found
    return found[2]


def reply(quotation: str | None, word: str | None, verdict: str = "committed") -> str:
    return json.dumps({"quotation": quotation, "word": word, "verdict": verdict})


def llm_server(read: Callable[[str], str | dict[str, Any]], **settings: Any) -> FaultyServer:
    """A server whose LLM says `read(answer)` to a question about an answer; a dict is the body of the reply."""

    def said(request: dict[str, Any], wav: bytes | None) -> tuple[int, dict[str, Any]]:
        text = read(asked_about(request))
        body = text if isinstance(text, dict) else completion(text)
        return 200, {**body, "usage": {"prompt_tokens": 100, "completion_tokens": 10}}

    return FaultyServer(reply=said, keep_requests=True, **settings)


def requests_at(url: str, cache: Path, **settings: Any) -> Callable[[str], LlmRequest]:
    """How an LLM at `url` is asked: its name → the request."""
    options = {"server": "openai", **settings.pop("options", {})}
    return lambda model: LlmRequest(model=model, endpoints=(url,), options=options, cache=cache, **settings)
