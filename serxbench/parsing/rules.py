"""Parser `rules`: from the text of an answer to its emotion word, by rules alone.

The answer is taken apart at its tags. Where it has an answer tag or a box, that part decides; then JSON; then the rest.
Each part goes through the same rules: option letter or text, the whole part as one word, emotion stated in prose.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from importlib import resources

from serxbench.clustering.table import WordTable, load_table, normalized
from serxbench.parsing.findings import Finding
from serxbench.parsing.json_answers import json_answer, without_json
from serxbench.parsing.options import option_rules
from serxbench.parsing.refusals import declines, refuses
from serxbench.parsing.statements import stated_emotion
from serxbench.parsing.tags import Sections, sections_of
from serxbench.parsing.vocabulary import Vocabulary, committed_word, word_set
from serxbench.records import Parsed, Response, Status

#: What stands in an answer slot without being an emotion.
_NO_ANSWER = word_set(
    """none null unknown unclear undetermined indeterminate unspecified ambiguous mixed complex varied various uncertain
    undefined unidentifiable n/a na nan positive negative neither other emotion emotional yes no true false expressed
    not the a an present evident conveyed difficult hard impossible clear"""
) - {"other"}
#: Modules of this package that the rules do not use.
_OF_OTHERS = ("__init__.py", "identity.py", "extraction.py", "quotations.py")
_UNLISTED_STATED = re.compile(
    r"\b(?:emotion|feeling|emotional state|mood)(?: \w+){0,8}? (?:is|appears to be|seems to be)(?: an?"
    r"| one of)? ([a-z]+)\s*[.!]?\s*$"
    r"|^\s*(?:the )?(?:\w+ )?(?:emotion|answer|label)\s*[:=]\s*([a-z]+)\s*[.!]?\s*$",
    re.IGNORECASE,
)


class RulesParser:
    """The deterministic parser. `sha256` covers its source code, the word table and the table's code."""

    name = "rules"

    def __init__(self, table: WordTable | None = None) -> None:
        self._table = table or load_table()
        self._vocabulary = Vocabulary(self._table)
        self.sha256 = _sha256(self._table)

    def parse(self, response: Response, options: Sequence[tuple[str, str]] | None = None) -> Parsed:
        """What one answer commits to: exactly one record, with the id of the response.

        options: the lettered options of the prompt; without them a letter commits to nothing.

        >>> parser = RulesParser()
        >>> parsed = parser.parse(Response(id="1", text="She is not angry but rather sad.", stop="end"), None)
        >>> parsed.status, parsed.word, parsed.route
        ('ok', 'sad', 'statement')
        """
        if response.stop == "filtered":
            return Parsed(id=response.id, status="refused", parser=self.name, route="filtered")
        if response.stop == "error" or response.text is None:
            error = response.error or "the response has no text"
            return Parsed(id=response.id, status="error", parser=self.name, error=error)
        if not response.text.strip():
            return Parsed(id=response.id, status="empty", parser=self.name)
        sections = sections_of(response.text, self._is_emotion)
        finding = self._finding(sections, tuple(options or ()))
        if finding and finding.route == "mention" and _declines_first(sections):
            finding = None
        committed = finding is not None and finding.word is not None
        status, route = ("ok", None) if committed else _uncommitted(sections, finding, cut=response.stop == "length")
        return Parsed(
            id=response.id,
            status=status,
            word=finding.word if finding else None,
            transcript=sections.transcript,
            rationale=sections.rationale,
            parser=self.name,
            route=route or (finding.route if finding else None),
            span=finding.span if finding else None,
        )

    def _finding(self, sections: Sections, options: tuple[tuple[str, str], ...]) -> Finding | None:
        for answer in reversed(sections.answers):
            finding = self._in_slot(answer, options, "tag")
            if finding:
                return finding
        if sections.answers:
            return None
        value = json_answer(sections.body, self._is_emotion)
        if value is not None:
            return self._in_slot(value, options, "json")
        return self._in_text(without_json(sections.body) if "```" in sections.body else sections.body, options)

    def _in_slot(self, text: str, options: tuple[tuple[str, str], ...], slot: str) -> Finding | None:
        """A finding in a place made for the answer, where one word that nobody listed still is the answer."""
        value = json_answer(text, self._is_emotion)
        text = text if value is None else value
        finding = self._in_text(text, options)
        if finding is None and re.fullmatch(r"\W*[^\W\d_]{3,20}(?:[ -][^\W\d_]{3,20})?\W*", text):
            word = normalized(text)
            if not set(word.split()) & _NO_ANSWER and not refuses(text):
                finding = Finding(word=word, route="unlisted", span=text)
        return finding.inside(slot) if finding else None

    def _in_text(self, text: str, options: tuple[tuple[str, str], ...]) -> Finding | None:
        if options:
            rules = option_rules(options)
            text = rules.without_list(text)
            finding = rules.find(text, self._table.lookup)
            if finding:
                return finding
        word = committed_word(self._table, text)
        if word is not None:
            return None if word in _NO_ANSWER else Finding(word=word, route="word", span=text.strip())
        return stated_emotion(text, self._vocabulary) or self._unlisted(text, options)

    def _unlisted(self, text: str, options: tuple[tuple[str, str], ...]) -> Finding | None:
        match = _UNLISTED_STATED.search(text.replace("*", ""))
        word = (match[1] or match[2]).lower() if match else None
        if word is None or word in _NO_ANSWER or (word == "other" and not options) or refuses(text):
            return None
        return Finding(word=word, route="unlisted", span=match[0].strip() if match else word)

    def _is_emotion(self, text: str) -> bool:
        word = committed_word(self._table, text)
        return word is not None and word not in _NO_ANSWER


def _uncommitted(sections: Sections, finding: Finding | None, *, cut: bool) -> tuple[Status, str | None]:
    """Status of an answer without a word, and the route if that is not the finding's. cut: by the token limit."""
    undecided = finding is not None and finding.route.endswith(("ambiguous", "contradiction"))
    if not undecided and any(refuses(part) for part in (sections.body, *sections.answers)):
        return "refused", "refusal"
    return ("truncated" if cut else "off_format"), None


def _declines_first(sections: Sections) -> bool:
    """True if the first sentence declines: what follows then is talk about emotions in general."""
    first = re.split(r"(?<=[.!?\n])\s", sections.body.strip(), maxsplit=1)[0]
    return (
        not sections.answers
        and declines(first)
        and not re.search(r"\b(?:but|however|likely|seems?|sounds?|guess)\b", sections.body.lower())
    )


def _sha256(table: WordTable) -> str:
    digest = hashlib.sha256(table.sha256.encode())
    modules = [entry for entry in resources.files("serxbench.parsing").iterdir() if entry.name.endswith(".py")]
    modules = [entry for entry in modules if entry.name not in _OF_OTHERS]
    modules.append(resources.files("serxbench.clustering").joinpath("table.py"))
    for module in sorted(modules, key=lambda entry: entry.name):
        digest.update(module.name.encode() + b"\0" + module.read_bytes() + b"\0")
    return digest.hexdigest()
