"""Words that no table lists: which of them an LLM is asked about, what of its reply counts, and the table it fills."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from serxbench.clustering import LLM_SOURCE
from serxbench.clustering.table import WordTable, core_of
from serxbench.emotions import EMOTIONS, OTHER
from serxbench.records import Parsed
from serxbench.untrusted import last_json_object, without_thoughts

#: The source of a word on which the LLM gave no usable reply: it stays Other until a person decides.
UNDECIDED_SOURCE = "llm-undecided"

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"class": {"type": "string", "enum": [*EMOTIONS, OTHER]}},
    "required": ["class"],
    "additionalProperties": False,
}

#: Longer ones are no words but answers that were taken for one; they are Other without asking.
LONGEST_WORD = 60

_HEADER = """\
# version: {version}
# Emotion word -> class for words that the shipped word table lacks; the columns are word, label, source, as there.
# An LLM wrote the rows with source `llm`. Change a class where it is wrong, and the source to a code of your own
# (`reviewed`) where you have looked: serxbench reads this file and asks about no word in it again.
# `llm-undecided`: the LLM gave no usable reply; the word counts as Other.
"""


def unseen_words(parsed: Iterable[Parsed], table: WordTable) -> list[str]:
    """The words of committed answers that the table does not list, each once, as a table spells them, sorted."""
    words = {record.word for record in parsed if record.status == "ok" and record.word}
    cores = {core_of(word) for word in words if table.lookup(word) is None}
    return sorted(core for core in cores if 0 < len(core) <= LONGEST_WORD and any(map(str.isalpha, core)))


def read_class(text: str | None) -> str | None:
    """The class that a reply names, None if it names none.

    >>> read_class('I think {"class": "Sad"}'), read_class('{"class": "Gloomy"}'), read_class(None)
    ('Sad', None, None)
    """
    row = last_json_object(without_thoughts(text or "")) or {}
    known = {label.casefold(): label for label in (*EMOTIONS, OTHER)}
    named = row.get("class")
    return known.get(named.strip().casefold()) if isinstance(named, str) else None


def table_text(known: WordTable | None, header: str | None, found: Mapping[str, str | None]) -> str:
    """The text of the table file `known` with the words that were found, None for an unusable reply.

    header: the comment lines of the present file, which stay.
    """
    rows = {} if known is None else {word: (known.labels[word], known.sources[word]) for word in known.labels}
    for word, label in found.items():
        rows[word] = (label or OTHER, LLM_SOURCE if label else UNDECIDED_SOURCE)
    lines = [f"{word}\t{label}\t{source}\n" for word, (label, source) in sorted(rows.items())]
    return (header or _HEADER.format(version=1)) + "".join(lines)
