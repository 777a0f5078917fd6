"""What one rule makes of an answer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A decision of one rule, taken on the stretch `span` of the answer.

    word: the emotion word; None where the rule saw that the answer commits to nothing (contradiction, ambiguous).
    """

    word: str | None
    route: str
    span: str

    def inside(self, outer: str) -> Finding:
        """The same decision, taken inside a structure (`tag`, `json`) that the route then names first.

        >>> Finding(word="sad", route="statement", span="sad").inside("tag").route
        'tag/statement'
        """
        return Finding(word=self.word, route=f"{outer}/{self.route}", span=self.span)
