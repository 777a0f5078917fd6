"""The class of the listed words that a word is most like, by the vectors of a sentence encoder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np

from serxbench.clustering.table import WHOLE_ANSWER_SOURCES, WordTable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Encode = Callable[[Sequence[str]], NDArray[np.float32]]

#: Words are encoded in this phrase, which tells "blue" the feeling from blue the colour.
PHRASE = "feeling {}"

#: A class is as near as its so many nearest words on average: one alone may be a neighbour by spelling.
N_NEAREST = 3

#: Less like any class than this, and the word is Other. Words that are no emotions stay below it (`docs/parsing.md`).
LEAST_LIKENESS = 0.70


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """The listed words as prototypes of their classes. vectors: shape (words, dimensions), of length 1."""

    words: tuple[str, ...]
    labels: tuple[str, ...]
    vectors: NDArray[np.float32]
    encode: Encode

    @classmethod
    def of(cls, table: WordTable, encode: Encode) -> Neighbours:
        """Of the table's English words; corpus codes, and phrases that are answers only as a whole, are left out."""
        words = tuple(
            word
            for word, source in table.sources.items()
            if source not in WHOLE_ANSWER_SOURCES and not source.startswith("lang-")
        )
        labels = tuple(table.labels[word] for word in words)
        return cls(words=words, labels=labels, vectors=encode([PHRASE.format(w) for w in words]), encode=encode)

    def classify(self, words: Sequence[str]) -> dict[str, tuple[str, float]]:
        """Word → its nearest class, and how like it is (the cosine, averaged); the caller decides what is too far."""
        if not words:
            return {}
        likeness = self.encode([PHRASE.format(word) for word in words]) @ self.vectors.T
        found = nearest_classes(likeness, self.labels)
        return dict(zip(words, found, strict=True))

    def sha256(self) -> str:
        """The hash of the prototypes and of this code; the encoder's weights are its own affair."""
        digest = hashlib.sha256(resources.files(__package__).joinpath("nearest.py").read_bytes())
        for word, label in zip(self.words, self.labels, strict=True):
            digest.update(f"{word}\t{label}\n".encode())
        return digest.hexdigest()


def nearest_classes(likeness: NDArray[np.float32], labels: Sequence[str]) -> list[tuple[str, float]]:
    """The nearest class of each row, and how near it is; of equally near ones the first in the alphabet.

    likeness: shape (words, prototypes). labels: of the prototypes.

    >>> rows = np.array([[0.9, 0.1, 0.8]], dtype=np.float32)
    >>> [(label, round(near, 2)) for label, near in nearest_classes(rows, ["Sad", "Happy", "Sad"])]
    [('Sad', 0.85)]
    """
    names = sorted(set(labels))
    columns = [np.flatnonzero(np.array(labels) == name) for name in names]
    scores = np.stack([_mean_of_best(likeness[:, own]) for own in columns], axis=1)
    best = scores.argmax(axis=1)
    return [(names[index], float(row[index])) for index, row in zip(best, scores, strict=True)]


def _mean_of_best(likeness: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(np.sort(likeness, axis=1)[:, -N_NEAREST:].mean(axis=1))
