"""Scores as pure functions: arrays in, frozen dataclasses out; no file, no network.

    references      votes → plurality, strict majority, union, under a named policy    References, Selection
    classification  macro-F1, UAR, accuracy, weighted F1, per class, confusion matrix
    all_labels      every reading of "correct iff an annotator said so"                contributions
    totals          scores as functions of sums over items, for `serxbench.statistics`
    floors          what guessing scores on the same items
    ceiling         what one more annotator scores, and a model on the same references
    agreement       Krippendorff's alpha
    soft            distributions against distributions

>>> votes = [[3, 1, 0], [0, 4, 0], [1, 2, 1]]
>>> selection = references(VoteTable(labels=("Angry", "Sad"), votes=votes)).select()
>>> classification(selection.labels, [0, 1, 2], selection.n_classes).macro_f1
0.8333333333333333
>>> all_labels(selection, [1, 1, 2]).value
0.4
"""

from serxbench.metrics.agreement import alpha_by_class, alpha_contributions, krippendorff_alpha
from serxbench.metrics.all_labels import (
    DEFAULT_VARIANT,
    VARIANTS,
    LabelScore,
    all_labels,
    contributions,
    variant_table,
)
from serxbench.metrics.ceiling import (
    AnnotatorScores,
    Ceiling,
    draw_panel,
    human_ceiling,
    human_contributions,
    matched_contributions,
    per_annotator,
)
from serxbench.metrics.classification import (
    Classification,
    ClassScore,
    classification,
    confusion_matrix,
    macro_f1,
)
from serxbench.metrics.floors import Floors, chance_corrected, floors, guess
from serxbench.metrics.references import (
    ConsensusCheck,
    ReferencePolicy,
    References,
    VoteTable,
    check_consensus,
    references,
    vote_table,
)
from serxbench.metrics.selection import Selection
from serxbench.metrics.soft import SoftScores, soft_labels
from serxbench.metrics.totals import FORMULAS, Contributions, Formula, mean_contributions

__all__ = [
    "DEFAULT_VARIANT",
    "FORMULAS",
    "VARIANTS",
    "AnnotatorScores",
    "Ceiling",
    "ClassScore",
    "Classification",
    "ConsensusCheck",
    "Contributions",
    "Floors",
    "Formula",
    "LabelScore",
    "ReferencePolicy",
    "References",
    "Selection",
    "SoftScores",
    "VoteTable",
    "all_labels",
    "alpha_by_class",
    "alpha_contributions",
    "chance_corrected",
    "check_consensus",
    "classification",
    "confusion_matrix",
    "contributions",
    "draw_panel",
    "floors",
    "guess",
    "human_ceiling",
    "human_contributions",
    "krippendorff_alpha",
    "macro_f1",
    "matched_contributions",
    "mean_contributions",
    "per_annotator",
    "references",
    "soft_labels",
    "variant_table",
    "vote_table",
]
