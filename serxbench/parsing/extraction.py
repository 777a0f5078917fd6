"""Parsers that ask an LLM: what it is asked about an answer, and what of its reply is believed. Nothing is sent here.

The LLM quotes the stretch of the answer that decides and names the emotion. Its word counts only if the quotation
stands in the answer, and the answer itself names the emotion there, in its own voice and undenied. A reply that fails
is asked for once more, with what was wrong; then the answer is `off_format`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, Protocol

from serxbench.clustering.table import WordTable, load_table, normalized
from serxbench.parsing.quotations import Evidence, find_quotation
from serxbench.parsing.rules import RulesParser
from serxbench.parsing.tags import said
from serxbench.records import Parsed, Response, Status
from serxbench.untrusted import fence, last_json_object, nonce_of, without_thoughts

#: What the LLM may say of an answer → its status.
VERDICTS: dict[str, Status] = {"committed": "ok", "refused": "refused", "uncommitted": "off_format"}

#: The form of a reply. The quotation comes first: what is decided is decided on it.
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "quotation": {"type": ["string", "null"]},
        "word": {"type": ["string", "null"]},
        "verdict": {"type": "string", "enum": list(VERDICTS)},
    },
    "required": ["quotation", "word", "verdict"],
    "additionalProperties": False,
}

#: Characters of an answer that are sent: of a longer one the beginning and the end, where answers commit themselves.
LONGEST = 8_000

_LONGEST_WORD = 60
_LONGEST_REPLY = 2_000

Options = Sequence[tuple[str, str]] | None


class Template(Protocol):
    """A prompt with places for values."""

    @property
    def sha256(self) -> str: ...

    def fill(self, **values: str) -> str: ...


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked about one answer. repair: it is asked for the second time."""

    response: Response
    options: Options
    text: str
    repair: bool = False


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What came back: the text, whether a limit cut it, whether the provider held it back, or why there is none."""

    text: str | None
    cut: bool = False
    withheld: bool = False
    error: str | None = None


class Extractor:
    """The questions and the reading of one LLM parser.

    name: as records call the parser. residue: only answers in which the rules find no commitment are asked about.
    sha256: covers the prompts, this code and the rules; not the LLM.
    """

    def __init__(self, name: str, question: Template, repair: Template, *, residue: bool = False) -> None:
        self.name, self.residue = name, residue
        self._question, self._repair = question, repair
        self._rules, self._table = RulesParser(), load_table()
        self._evidence = Evidence(self._table)
        code = [resources.files("serxbench.parsing").joinpath(each).read_bytes() for each in _MODULES]
        parts = [self._rules.sha256.encode(), question.sha256.encode(), repair.sha256.encode(), *code]
        self.sha256 = hashlib.sha256(b"\0".join([*parts, b"residue" if residue else b"all"])).hexdigest()

    def first(self, response: Response, options: Options) -> Question | Parsed:
        """The question about an answer, or the record of one that needs none."""
        by_rules = self._rules.parse(response, options)
        body = said(response.text or "")
        if by_rules.status in ("empty", "error") or response.stop == "filtered" or (self.residue and by_rules.word):
            route = by_rules.route and f"rules/{by_rules.route}"
            return self._record(by_rules, by_rules.status, route, word=by_rules.word, span=by_rules.span)
        if not body:
            # Nothing but thoughts: the token limit came before the answer, or the model gave none.
            return self._record(by_rules, by_rules.status, "rules/no-answer")
        return Question(response=response, options=options, text=self._ask(body, options))

    def read(self, question: Question, reply: Reply) -> Question | Parsed:
        """The record that a reply makes, or the question that asks for a better one."""
        by_rules = self._rules.parse(question.response, question.options)
        if reply.error is not None and not reply.withheld:
            return self._record(by_rules, "error", "llm/unanswered", error=f"the parser got no reply: {reply.error}")
        if reply.withheld:
            error = f"the parser's provider held the reply back: {reply.error or 'no reason given'}"
            return self._record(by_rules, "off_format", "llm/withheld", error=error)
        found = self._judged(question, reply, by_rules)
        if isinstance(found, Parsed):
            return found
        if question.repair:
            error = f"the parser's reply is unusable: {found}"
            return self._record(by_rules, "off_format", "llm/unusable", error=error)
        return self._again(question, reply, found)

    def _ask(self, body: str, options: Options) -> str:
        if len(body) > LONGEST:
            body = f"{body[: LONGEST // 2]}\n[…]\n{body[-LONGEST // 2 :]}"
        offered = "\n".join(f"{letter}. {text}" for letter, text in options or ()) or "(none)"
        nonce = nonce_of(body, offered)
        answer, listed = fence(body, nonce, "answer"), fence(offered, nonce, "options")
        return self._question.fill(nonce=nonce, answer=answer, options=listed)

    def _again(self, question: Question, reply: Reply, problem: str) -> Question:
        text = without_thoughts(reply.text or "")[:_LONGEST_REPLY] or "(nothing)"
        nonce = nonce_of(question.text, text)
        asked = self._repair.fill(question=question.text, reply=fence(text, nonce, "reply"), problem=problem)
        return Question(response=question.response, options=question.options, text=asked, repair=True)

    def _judged(self, question: Question, reply: Reply, by_rules: Parsed) -> Parsed | str:
        """The record of a usable reply, or what is wrong with it."""
        row = last_json_object(without_thoughts(reply.text or ""))
        if row is None:
            return "it was cut off by the token limit" if reply.cut else "it holds no JSON object"
        problem = _malformed(row)
        if problem:
            return problem
        body, verdict = said(question.response.text or ""), row["verdict"]
        quotation = find_quotation(body, row["quotation"] or "")
        if verdict == "uncommitted":
            cut = question.response.stop == "length"
            return self._record(
                by_rules, "truncated" if cut else "off_format", f"llm/{self._agreement(None, by_rules)}"
            )
        if quotation is None:
            return "the quotation does not stand in the answer; copy it exactly"
        span = body[quotation.start : quotation.end]
        if verdict == "refused":
            return self._record(by_rules, "refused", f"llm/{self._agreement(None, by_rules)}", span=span)
        word = self._named(row["word"] or "", question.options)
        problem = self._evidence.missing(body, quotation, word, question.options)
        if problem:
            return problem
        return self._record(by_rules, "ok", f"llm/{self._agreement(word, by_rules)}", word=word, span=span)

    def _named(self, word: str, options: Options) -> str:
        """The word, or what the letter stands for if it is one of an option."""
        letters = {letter.casefold(): text.lower() for letter, text in options or ()}
        bare = normalized(word)
        return (
            letters.get(bare) or letters.get(bare[:1] if bare[1:2] in (".", ")", ":") else "") or word.strip().lower()
        )

    def _agreement(self, word: str | None, by_rules: Parsed) -> str:
        """How the reading stands to that of the rules: `agrees`, `differs`, or `alone` where they find nothing."""
        if by_rules.word is None:
            return "agrees" if word is None else "alone"
        return "agrees" if word is not None and _same(self._table, word, by_rules.word) else "differs"

    def _record(
        self,
        by_rules: Parsed,
        status: Status,
        route: str | None,
        *,
        word: str | None = None,
        span: str | None = None,
        error: str | None = None,
    ) -> Parsed:
        return Parsed(
            id=by_rules.id,
            status=status,
            word=word,
            transcript=by_rules.transcript,
            rationale=by_rules.rationale,
            parser=self.name,
            route=route,
            span=span,
            error=error or by_rules.error,
        )


_MODULES = ("extraction.py", "quotations.py")


def _malformed(row: dict[str, Any]) -> str | None:
    if row.get("verdict") not in VERDICTS:
        return f"`verdict` must be one of {', '.join(VERDICTS)}"
    for key in ("quotation", "word"):
        if not isinstance(row.get(key), str | None):
            return f"`{key}` must be a text or null"
    if row["verdict"] == "committed" and not (row.get("word") or "").strip():
        return "a committed answer has a `word`"
    if len(row.get("word") or "") > _LONGEST_WORD:
        return f"`word` must be one emotion word, and not {len(row['word'])} characters"
    row.setdefault("quotation", None)
    row.setdefault("word", None)
    return None


def _same(table: WordTable, word: str, other: str) -> bool:
    label = table.lookup(word)
    return normalized(word) == normalized(other) or (label is not None and label == table.lookup(other))
