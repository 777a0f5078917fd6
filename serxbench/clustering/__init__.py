"""From the word of an answer to its class.

A clusterer maps every `Parsed` to one `Prediction` with the same id. The one that ships, `table`, looks the word up in
`emotion_words.tsv`; a word that is not listed becomes `Other`, and the prediction says so (`via="unlisted"`). All
others look there first, then in a table that an LLM and people fill (`asking`), or for listed words that are like it
(`nearest`).
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping
from importlib import resources
from typing import Protocol

from serxbench.clustering.table import WordTable, load_table
from serxbench.emotions import OTHER
from serxbench.errors import UnknownName
from serxbench.records import Parsed, Prediction

__all__ = ["CLUSTERERS", "Clusterer", "TableClusterer", "WordTable", "get_clusterer", "load_table"]


#: The source of the rows that an LLM wrote; a person who has read one may write another code in its place.
LLM_SOURCE = "llm"


class Clusterer(Protocol):
    """A map from emotion words to classes. `sha256` changes whenever the map does."""

    @property
    def name(self) -> str: ...

    @property
    def sha256(self) -> str: ...

    def cluster(self, parsed: Parsed) -> Prediction: ...


class TableClusterer:
    """The clusterer that looks words up in a `WordTable`; its hash covers the table and the code of the lookup."""

    def __init__(self, table: WordTable, name: str = "table") -> None:
        self.table, self.name = table, name
        lookup_code = resources.files(__package__).joinpath("table.py").read_bytes()
        self.sha256 = hashlib.sha256(lookup_code + table.sha256.encode()).hexdigest()

    def cluster(self, parsed: Parsed) -> Prediction:
        """The prediction of one parsed answer: its status, and a label if that is `ok`.

        >>> get_clusterer("table").cluster(Parsed(id="1", status="ok", word="joyful", parser="rules")).label
        'Happy'
        """
        if parsed.status != "ok" or parsed.word is None:
            if parsed.status == "ok":
                raise ValueError(f"parsed answer {parsed.id}: status ok without a word")
            return Prediction(id=parsed.id, status=parsed.status, word=parsed.word)
        key = self.table.key_of(parsed.word)
        label = None if key is None else self.table.labels[key]
        via = "unlisted" if key is None else "llm" if self.table.sources[key] == LLM_SOURCE else "table"
        return Prediction(
            id=parsed.id,
            status="ok",
            label=label or OTHER,
            word=parsed.word,
            via=via,
            probabilities=parsed.probabilities,
        )


#: Name → how the clusterer of that name is made.
CLUSTERERS: Mapping[str, Callable[[], Clusterer]] = {"table": lambda: TableClusterer(load_table())}


@functools.cache
def get_clusterer(name: str) -> Clusterer:
    """The clusterer called `name`. Raises UnknownName."""
    if name not in CLUSTERERS:
        raise UnknownName("clusterer", name, CLUSTERERS, "serxbench cluster --help")
    return CLUSTERERS[name]()
