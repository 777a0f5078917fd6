"""What is resampled: whole speakers (or groups) where their ids are known, single items otherwise.

Clips of one speaker are alike, so that 46,000 clips of 465 speakers say less about a system than 46,000 speakers would:
resampling items then rejects a true null hypothesis 15 to 28 % of the time (simulation: `benchmarks/validity.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from serxbench.errors import MetricError
from serxbench.metrics.arrays import Integers


@dataclass(frozen=True, kw_only=True)
class Unit:
    """The unit of resampling. clusters: (n,) cluster number of each item, None if every item is its own unit.

    Cluster numbers can be any whole numbers; they are kept as 0 … G − 1.
    """

    name: str
    clusters: Integers | None = None

    def __post_init__(self) -> None:
        if self.clusters is not None:
            _, dense = np.unique(self.clusters, return_inverse=True)
            object.__setattr__(self, "clusters", dense.reshape(-1).astype(np.intp))

    @classmethod
    def of(cls, name: str, ids: Sequence[str | None]) -> Unit:
        """Whole clusters by id, `name` being what an id stands for (`speaker`, `group`).

        Raises MetricError if an item has no id: it can neither be left out nor be made a cluster of its own silently.

        >>> Unit.of("speaker", ["b", "a", "b"]).clusters.tolist()
        [1, 0, 1]
        """
        missing = [row for row, value in enumerate(ids) if value is None]
        if missing:
            raise MetricError(
                f"{len(missing)} of {len(ids)} items have no {name} id (the first is item {missing[0]}); "
                f"give every item one, or resample items"
            )
        _, clusters = np.unique(np.asarray([str(value) for value in ids]), return_inverse=True)
        return cls(name=name, clusters=clusters)

    def take(self, items: Integers) -> Unit:
        """The unit of a selection of the items (`selection.items`)."""
        if self.clusters is None:
            return self
        return Unit(name=self.name, clusters=self.clusters[items])

    @property
    def n_clusters(self) -> int | None:
        """Number of clusters, None for items."""
        return None if self.clusters is None else int(self.clusters.max(initial=-1)) + 1


#: Every item is its own unit.
ITEMS = Unit(name="item")


def default_unit(speakers: Sequence[str | None], groups: Sequence[str | None] = ()) -> Unit:
    """Speakers if every item has a speaker id and there are two speakers or more; else groups likewise; else items.

    >>> default_unit(["a", "a", "b"]).name, default_unit([None, None], ["x", "y"]).name, default_unit([None]).name
    ('speaker', 'group', 'item')
    """
    for name, ids in (("speaker", speakers), ("group", groups)):
        if ids and all(value is not None for value in ids) and len(set(ids)) > 1:
            return Unit.of(name, ids)
    return ITEMS
