"""Parser `identity`: the text is the label, as classifiers and imported label files give it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib import resources

from serxbench.records import Parsed, Response


class IdentityParser:
    """The parser that takes the stripped text as the word."""

    name = "identity"

    def __init__(self) -> None:
        source = resources.files("serxbench.parsing").joinpath("identity.py").read_bytes()
        self.sha256 = hashlib.sha256(source).hexdigest()

    def parse(self, response: Response, options: Sequence[tuple[str, str]] | None = None) -> Parsed:
        """The text itself as the word; options are ignored.

        >>> IdentityParser().parse(Response(id="1", text=" Angry\\n", stop="end")).word
        'Angry'
        """
        if response.stop == "filtered":
            return Parsed(id=response.id, status="refused", parser=self.name, route="filtered")
        if response.stop == "error" or response.text is None:
            error = response.error or "the response has no text"
            return Parsed(id=response.id, status="error", parser=self.name, error=error)
        word = response.text.strip()
        if not word:
            return Parsed(id=response.id, status="empty", parser=self.name)
        return Parsed(
            id=response.id,
            status="ok",
            word=word,
            parser=self.name,
            route="identity",
            span=word,
            probabilities=response.probabilities,
        )
