"""Speaker-grouped cross-validation of a logistic regression, and the final fit, with scikit-learn.

Nothing of a fold's test speakers is seen before it is scored: the scaler, the regression and the choice of C are all
made on its training speakers, C by a cross-validation of its own over those.
"""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from serxbench.errors import CorpusError, UsageError
from serxbench.metrics import FORMULAS, Selection, classification, floors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

#: What C is chosen from; smaller is more regularised. Features are standardised, so one grid serves all of them.
GRID = (0.0001, 0.001, 0.01, 0.1, 1.0)

_MAX_ITERATIONS = 2000


@dataclass(frozen=True, kw_only=True)
class Examples:
    """features: (n, d). labels: (n,) class indices below n_classes. speakers: (n,) numbers."""

    features: NDArray[np.float64]
    labels: NDArray[np.intp]
    speakers: NDArray[np.intp]
    n_classes: int

    def take(self, rows: NDArray[np.intp]) -> Examples:
        """The examples in `rows`."""
        return Examples(
            features=self.features[rows],
            labels=self.labels[rows],
            speakers=self.speakers[rows],
            n_classes=self.n_classes,
        )

    @property
    def n_speakers(self) -> int:
        """Different speakers."""
        return len(np.unique(self.speakers))


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """c: None lets a cross-validation choose it from GRID. balanced: each class weighs the same, whatever its size."""

    n_folds: int = 5
    c: float | None = None
    balanced: bool = True


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A standardisation and a regression. present: the class index of each row of weights."""

    present: NDArray[np.intp]
    weights: NDArray[np.float64]
    intercepts: NDArray[np.float64]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    c: float
    converged: bool

    def predict(self, features: NDArray[np.float64]) -> NDArray[np.intp]:
        """(n,) class indices."""
        logits = (features - self.mean) / self.scale @ self.weights.T + self.intercepts
        return np.asarray(self.present[logits.argmax(axis=1)])


def import_scikit_learn() -> Any:
    """scikit-learn's modules that are used here. Raises UsageError with the line that installs it."""
    try:
        import sklearn.linear_model
        import sklearn.model_selection
    except ImportError as error:
        raise UsageError("fitting a probe needs scikit-learn: pip install 'serxbench[probe]'") from error
    return sklearn


def cross_validate(examples: Examples, settings: FitSettings) -> dict[str, Any]:
    """Scores of every fold, and over all items, each predicted by a model that never heard its speaker.

    Raises CorpusError if there are too few speakers or classes.
    """
    least = 2 if settings.c is not None else 3
    if examples.n_speakers < least or len(np.unique(examples.labels)) < 2:
        raise CorpusError(
            f"{examples.n_speakers} speakers and {len(np.unique(examples.labels))} classes have labelled clips; "
            f"speaker-grouped folds need at least {least} and 2"
        )
    predicted = np.zeros(len(examples.labels), dtype=np.intp)
    folds = []
    for train, test in _folds(examples, settings.n_folds):
        fitted = fit(examples.take(train), settings)
        predicted[test] = fitted.predict(examples.features[test])
        found = _scores(examples.labels[test], predicted[test], examples.n_classes)
        folds.append({"n": len(test), "n_speakers": len(np.unique(examples.speakers[test])), "c": fitted.c, **found})
    guesses = asdict(floors(Selection.of(examples.labels, examples.n_classes), "mv", FORMULAS["macro_f1"]))
    return {
        **_scores(examples.labels, predicted, examples.n_classes),
        "floors": {name: guesses[name] for name in ("uniform", "prior", "majority")},
        "folds": folds,
    }


def fit(examples: Examples, settings: FitSettings) -> Fitted:
    """The probe of all `examples`; C is chosen among them. Raises CorpusError if they are of one class only."""
    c = settings.c if settings.c is not None else choose_c(examples, settings)
    present = np.unique(examples.labels)
    if len(present) < 2:
        raise CorpusError("the speakers of a training fold have one class only; give fewer --folds, or more data")
    mean, scale = examples.features.mean(axis=0), examples.features.std(axis=0)
    # A feature that never changes says nothing, and must not be divided by zero (or by the noise of a sum).
    scale = np.where(scale > 1e-12 * np.maximum(np.abs(mean), 1), scale, 1.0)
    model = import_scikit_learn().linear_model.LogisticRegression(
        C=c, class_weight="balanced" if settings.balanced else None, max_iter=_MAX_ITERATIONS
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # whether it converged is said in the report
        model.fit((examples.features - mean) / scale, examples.labels)
    weights, intercepts = np.asarray(model.coef_), np.asarray(model.intercept_)
    if len(present) == 2:  # scikit-learn keeps one row, the log-odds of the second class
        weights, intercepts = np.vstack([0 * weights, weights]), np.array([0.0, float(intercepts[0])])
    converged = bool((model.n_iter_ < _MAX_ITERATIONS).all())
    return Fitted(
        present=present, weights=weights, intercepts=intercepts, mean=mean, scale=scale, c=c, converged=converged
    )


def choose_c(examples: Examples, settings: FitSettings) -> float:
    """The C of GRID with the best macro-F1 over speaker-grouped folds of `examples`; the smallest of equals."""
    if examples.n_speakers < 2:
        raise CorpusError("C cannot be chosen across speakers where there is one only; give --c, or fewer --folds")
    found = []
    for c in GRID:
        fixed = FitSettings(n_folds=settings.n_folds, c=c, balanced=settings.balanced)
        predicted = np.zeros(len(examples.labels), dtype=np.intp)
        for train, test in _folds(examples, settings.n_folds):
            predicted[test] = fit(examples.take(train), fixed).predict(examples.features[test])
        found.append(_scores(examples.labels, predicted, examples.n_classes)["macro_f1"])
    return GRID[int(np.argmax(found))]


def _folds(examples: Examples, n_folds: int) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    splitter = import_scikit_learn().model_selection.GroupKFold(n_splits=min(n_folds, examples.n_speakers))
    yield from splitter.split(examples.features, examples.labels, examples.speakers)


def _scores(labels: NDArray[np.intp], predicted: NDArray[np.intp], n_classes: int) -> dict[str, float]:
    found = classification(labels, predicted, n_classes)
    return {"macro_f1": found.macro_f1, "uar": found.uar, "accuracy": found.accuracy}
