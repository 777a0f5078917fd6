"""What a reader must know before trusting an interval, as data: printed by whoever prints the number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from serxbench.metrics.totals import Contributions
from serxbench.statistics.units import Unit

#: Below this many reference items in a class, or clusters, coverage was seen to fall short of the nominal level.
MIN_SUPPORT = 50
MIN_CLUSTERS = 40
#: A cluster with a larger share of the items decides an interval by itself.
MAX_SHARE = 0.1

Kind = Literal["small_class", "few_clusters", "dominant_cluster", "items_resampled"]


@dataclass(frozen=True, kw_only=True)
class Caution:
    """One reason for care. kind: for programs. text: for readers."""

    kind: Kind
    text: str


def cautions(system: Contributions, unit: Unit) -> tuple[Caution, ...]:
    """The cautions that apply to any interval or test of `system` with this unit."""
    found = []
    small = [(name, int(n)) for name, n in zip(system.names, system.support, strict=True) if n < MIN_SUPPORT]
    if small:
        listed = ", ".join(f"{name} {n}" for name, n in small)
        text = f"interval approximate: fewer than {MIN_SUPPORT} reference items in {listed}"
        found.append(Caution(kind="small_class", text=text))
    if unit.clusters is None:
        text = "items resampled, not speakers: too short an interval, too small a p, if speakers differ"
        return (*found, Caution(kind="items_resampled", text=text))
    sizes = np.bincount(unit.clusters)
    n_clusters, share = int((sizes > 0).sum()), float(sizes.max() / sizes.sum())
    if n_clusters < MIN_CLUSTERS:
        text = f"{n_clusters} {unit.name}s only (fewer than {MIN_CLUSTERS}): the interval may be too short"
        found.append(Caution(kind="few_clusters", text=text))
    if share > MAX_SHARE:
        text = f"one {unit.name} has {share:.0%} of the items"
        found.append(Caution(kind="dominant_cluster", text=text))
    return tuple(found)
