"""Corpora and systems that are drawn for the tests of statistics."""

import numpy as np
from sklearn.metrics import f1_score

from serxbench.metrics import Selection, contributions
from serxbench.statistics import Unit

PRIOR = np.array([0.4, 0.2, 0.15, 0.1, 0.08, 0.07])


def corpus(rng, n_items, *, n_classes=6, prior=PRIOR):
    """Labels, unions and two correlated systems' answers with Other and failures."""
    labels = rng.choice(n_classes, n_items, p=prior[:n_classes] / prior[:n_classes].sum())
    union = rng.random((n_items, n_classes)) < 0.2
    union[np.arange(n_items), labels] = True
    answers = []
    for recall in (0.5, 0.45):
        other = rng.integers(0, n_classes + 1, n_items)
        answers.append(np.where(rng.random(n_items) < recall, labels, other))
    return Selection.of(labels, n_classes, union=union), answers


def pair(rng, n_items, variant="mv", **more):
    """Contributions of two systems on one corpus."""
    selection, answers = corpus(rng, n_items, **more)
    return tuple(contributions(selection, answer, variant) for answer in answers)


def speakers(rng, n_items, n_speakers):
    """Speakers of unequal sizes."""
    sizes = rng.lognormal(0, 0.5, n_speakers)
    return Unit(name="speaker", clusters=rng.choice(n_speakers, n_items, p=sizes / sizes.sum()))


def sklearn_macro_f1(labels, answers, n_classes):
    """The rival's number."""
    return f1_score(labels, answers, labels=range(n_classes), average="macro", zero_division=0)
