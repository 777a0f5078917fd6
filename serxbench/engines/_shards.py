"""Who computes which batches: handed out as workers ask, given back when a worker is lost, copied from stragglers."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Sequence


class Shards:
    """The batches of a run that are not finished, and where they are.

    A shard is a few batches that go to one worker together. Shards shrink as the work runs out, so that all workers end
    at about the same time. small: set it to False where each shard costs much to begin; each worker then gets its
    share of the work at once. Workers are named by any number.
    """

    small = True

    def __init__(self, waiting: Sequence[int], n_workers: int, largest: int) -> None:
        self._queue = deque(waiting)
        self._missing = set(waiting)
        self._n_workers = n_workers
        self._share = math.ceil(len(waiting) / n_workers)
        self._largest = largest
        self._held: dict[int, list[int]] = {}
        self._copied: set[int] = set()
        self._n_lost: Counter[int] = Counter()

    @property
    def finished(self) -> bool:
        """Whether every batch has arrived."""
        return not self._missing

    def take(self, worker: int) -> tuple[int, ...]:
        """The next shard, which the worker then holds; empty if all are handed out."""
        n = max(1, min(self._largest, len(self._queue) // (2 * self._n_workers))) if self.small else self._share
        shard = [self._queue.popleft() for _ in range(min(n, len(self._queue)))]
        if shard:
            self._held[worker] = shard
        return tuple(shard)

    def copy(self, worker: int, slow: Sequence[int]) -> tuple[int, ...]:
        """What one of the slow workers has not delivered, from its end, for an idle one; empty if there is nothing.

        Both compute it, the results are the same, and whichever comes first counts. A batch is copied once.
        """
        for other in slow:
            shard = [number for number in reversed(self.missing(other)) if number not in self._copied]
            if shard:
                self._held[worker] = shard
                self._copied.update(shard)
                return tuple(shard)
        return ()

    def arrived(self, worker: int, number: int) -> bool:
        """Notes that the worker has delivered a batch; False if it was there already."""
        self._held[worker] = [held for held in self._held.get(worker, ()) if held != number]
        new = number in self._missing
        self._missing.discard(number)
        return new

    def missing(self, worker: int) -> tuple[int, ...]:
        """What the worker holds and nobody has delivered, in the order in which it computes."""
        return tuple(number for number in self._held.get(worker, ()) if number in self._missing)

    def give_back(self, worker: int) -> tuple[int, ...]:
        """What the worker has not delivered of its shard; it is first in the queue now, if nobody else holds it."""
        missing = self.missing(worker)
        self._held.pop(worker, None)
        elsewhere = {number for shard in self._held.values() for number in shard}
        self._queue.extendleft(number for number in reversed(missing) if number not in elsewhere)
        self._copied.difference_update(missing)
        return missing

    def lost(self, worker: int) -> tuple[int, int] | None:
        """give_back for a worker that is gone: the batch it was at, and how many workers were lost at that one."""
        missing = self.give_back(worker)
        if not missing:
            return None
        self._n_lost[missing[0]] += 1
        return missing[0], self._n_lost[missing[0]]
