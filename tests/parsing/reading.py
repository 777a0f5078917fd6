"""How the tests of the parser read an answer: through the rules and the word table, to a class or a status."""

from __future__ import annotations

from serxbench.clustering import get_clusterer
from serxbench.emotions import EMOTIONS, options_of
from serxbench.parsing import get_parser
from serxbench.records import Response

#: The options of the closed prompt over the eight classes.
OPTIONS = options_of(EMOTIONS)


def outcome(text: str, options: tuple[tuple[str, str], ...] | None) -> str:
    """The class of an answer, or the status where it commits to none."""
    parsed = get_parser("rules").parse(Response(id="1", text=text, stop="end"), options)
    prediction = get_clusterer("table").cluster(parsed)
    return prediction.label or prediction.status
