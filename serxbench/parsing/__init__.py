"""From the text of an answer to the emotion word that it commits to.

A parser maps every `Response` to one `Parsed` with the same id and never raises on an answer. `rules` reads what speech
language models write; `identity` takes labels as they are. Parsers are pure: no network, no model, and no file but the
package's own word table.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from serxbench.errors import UnknownName
from serxbench.parsing.identity import IdentityParser
from serxbench.parsing.rules import RulesParser
from serxbench.records import Parsed, Response

__all__ = ["PARSERS", "Parser", "get_parser"]


class Parser(Protocol):
    """A map from answers to emotion words. `sha256` changes whenever its behaviour could."""

    @property
    def name(self) -> str: ...

    @property
    def sha256(self) -> str: ...

    def parse(self, response: Response, options: Sequence[tuple[str, str]] | None) -> Parsed: ...


#: Name → how the parser of that name is made.
PARSERS: Mapping[str, Callable[[], Parser]] = {"rules": RulesParser, "identity": IdentityParser}


@functools.cache
def get_parser(name: str) -> Parser:
    """The parser called `name`. Raises UnknownName.

    >>> get_parser("rules").parse(Response(id="7", text="(B)", stop="end"), (("A", "Angry"), ("B", "Sad"))).word
    'sad'
    """
    if name not in PARSERS:
        raise UnknownName("parser", name, PARSERS, "serxbench parse --help")
    return PARSERS[name]()
