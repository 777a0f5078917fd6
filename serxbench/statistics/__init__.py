"""Intervals and tests for every score that is a function of totals, at a cost that does not grow with the corpus.

    units        what is resampled: speakers where ids exist          Unit, ITEMS, default_unit
    intervals    bootstrap, jackknife, delta method                   interval, Inference
    paired       two systems on the same items                        paired_test
    families     Holm against one baseline, Benjamini-Hochberg        against_baseline, all_pairs, holm
    two_raters   κ, AC1 and confusion of two raters                   compare_raters
    proportions  Wilson's interval of a share                         wilson
    planning     the smallest difference that a corpus can show       plan, detectable
    cautions     what a reader must know, as data                     Caution
    blocks       the engine

>>> from serxbench.metrics import Selection, contributions
>>> selection = Selection.of([0, 0, 1, 1] * 50, 2)
>>> good, poor = (contributions(selection, answers * 50, "mv") for answers in ([0, 0, 1, 1], [0, 1, 1, 2]))
>>> speakers = Unit.of("speaker", [f"speaker {item // 4}" for item in range(200)])
>>> found = interval(poor, unit=speakers, how=Inference(n_resamples=1000))
>>> round(found.value, 3), found.n_clusters, found.cautions
(0.583, 50, ())
>>> paired_test(good, poor, unit=speakers, how=Inference(n_resamples=999)).p
0.001
"""

from serxbench.statistics.cautions import Caution
from serxbench.statistics.families import Comparison, against_baseline, all_pairs, benjamini_hochberg, holm
from serxbench.statistics.intervals import Interval, interval
from serxbench.statistics.limits import Inference
from serxbench.statistics.paired import PairedTest, paired_test
from serxbench.statistics.planning import Design, Detectable, detectable, plan
from serxbench.statistics.proportions import wilson
from serxbench.statistics.two_raters import Coefficient, TwoRaters, compare_raters
from serxbench.statistics.units import ITEMS, Unit, default_unit

__all__ = [
    "ITEMS",
    "Caution",
    "Coefficient",
    "Comparison",
    "Design",
    "Detectable",
    "Inference",
    "Interval",
    "PairedTest",
    "TwoRaters",
    "Unit",
    "against_baseline",
    "all_pairs",
    "benjamini_hochberg",
    "compare_raters",
    "default_unit",
    "detectable",
    "holm",
    "interval",
    "paired_test",
    "plan",
    "wilson",
]
