"""The emotion classes and the label sets that corpora use."""

from __future__ import annotations

#: The eight classes of the protocol (arXiv 2509.24187), in the order of its closed prompt.
EMOTIONS = ("Angry", "Sad", "Happy", "Surprise", "Fear", "Disgust", "Contempt", "Neutral")

#: The ninth answer class: every emotion outside the target set. It never enters a macro average.
OTHER = "Other"

#: A consensus that says: the annotators did not agree (no single most frequent label). MSP-Podcast writes it so.
NO_AGREEMENT = "X"


def options_of(labels: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """The lettered options of the closed prompt for a corpus with these classes: its labels, then Other.

    >>> options_of(("Angry", "Sad"))
    (('A', 'Angry'), ('B', 'Sad'), ('C', 'Other'))
    """
    return tuple((chr(ord("A") + position), label) for position, label in enumerate((*labels, OTHER)))
