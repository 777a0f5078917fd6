"""Who votes: a pool of simulated annotators and the confusion model that their votes are drawn from.

An annotator hears the item's realised prosody x (in heard steps) against the prototype p_e of each emotion e:

    distance(e)  = |x - p_e|² / (2 · SPREAD)
    score(e)     = -distance(e) + LEXICAL · [the words suggest e] + bias(annotator, e)
    score(Other) = OTHER_SCORE - (1 - OTHER_PULL) · min distance + bias(annotator, Other)
    P(vote) = softmax(score / temperature(annotator))

The further a rendering is from every prototype, the more the score of Other gains on the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from serxbench.demo.prosody import PROFILES, Prosody, to_steps
from serxbench.emotions import EMOTIONS, NO_AGREEMENT, OTHER
from serxbench.records import Vote

N_ANNOTATORS = 40
SPREAD = 1.65
LEXICAL = 1.4
OTHER_SCORE = -2.4
OTHER_PULL = 0.35
SECONDARY_SHARE = 0.45

CLASSES = (*EMOTIONS, OTHER)
_OTHER_WORDS = ("bored", "confused", "tired", "curious", "excited", "worried", "determined", "amused")
_PROTOTYPES = np.stack([to_steps(PROFILES[emotion]) for emotion in EMOTIONS])


@dataclass(frozen=True, kw_only=True)
class Annotator:
    """One simulated annotator. bias: shape (9,), added to the scores of the classes, Other last."""

    name: str
    temperature: float
    bias: tuple[float, ...]
    secondary_share: float


def make_annotators(random: np.random.RandomState) -> tuple[Annotator, ...]:
    """The pool: temperatures 0.7 to 1.5, biases of standard deviation 0.35."""
    return tuple(
        Annotator(
            name=f"annotator_{number:02d}",
            temperature=float(random.uniform(0.7, 1.5)),
            bias=tuple(float(b) for b in 0.35 * random.standard_normal(len(CLASSES))),
            secondary_share=float(random.uniform(0.2, 1.8)) * SECONDARY_SHARE,
        )
        for number in range(1, N_ANNOTATORS + 1)
    )


def vote_probabilities(annotator: Annotator, prosody: Prosody, colour: str | None) -> np.ndarray:
    """P(primary) over the eight classes and Other, shape (9,). colour: the emotion that the words suggest."""
    distances = ((to_steps(prosody) - _PROTOTYPES) ** 2).sum(axis=1) / (2 * SPREAD)
    suggested = np.array([LEXICAL * (emotion == colour) for emotion in EMOTIONS])
    other = OTHER_SCORE - (1 - OTHER_PULL) * distances.min()
    scores = (np.append(suggested - distances, other) + np.array(annotator.bias)) / annotator.temperature
    weights = np.exp(scores - scores.max())
    return np.asarray(weights / weights.sum())


def draw_votes(
    annotators: tuple[Annotator, ...], prosody: Prosody, colour: str | None, random: np.random.RandomState
) -> tuple[Vote, ...]:
    """The votes of 5 to 10 annotators, in the order of their names."""
    chosen = random.choice(len(annotators), size=random.randint(5, 11), replace=False)
    return tuple(_draw_vote(annotators[index], prosody, colour, random) for index in sorted(chosen))


def consensus_of(votes: tuple[Vote, ...]) -> str:
    """The one most frequent primary label, with Other as a class; `X` if two share the first place."""
    counts: dict[str, int] = {}
    for vote in votes:
        counts[vote.primary] = counts.get(vote.primary, 0) + 1
    leaders = [label for label, count in counts.items() if count == max(counts.values())]
    return leaders[0] if len(leaders) == 1 else NO_AGREEMENT


def _draw_vote(annotator: Annotator, prosody: Prosody, colour: str | None, random: np.random.RandomState) -> Vote:
    probabilities = vote_probabilities(annotator, prosody, colour)
    primary = int(random.choice(len(CLASSES), p=probabilities))
    heard_too = random.uniform(size=len(CLASSES)) < annotator.secondary_share * np.sqrt(probabilities)
    secondary = tuple(label for label, heard in zip(EMOTIONS, heard_too, strict=False) if heard)
    word = _OTHER_WORDS[random.randint(len(_OTHER_WORDS))]
    return Vote(
        primary=CLASSES[primary],
        annotator=annotator.name,
        secondary=tuple(label for label in secondary if label != CLASSES[primary]),
        primary_text=f"{OTHER}-{word}" if CLASSES[primary] == OTHER else None,
    )
