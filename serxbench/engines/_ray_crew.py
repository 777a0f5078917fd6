"""The driver's side of `--ray`: workers are hired, given shards, listened to, and replaced when they are lost."""

from __future__ import annotations

import contextlib
import os
import re
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

from serxbench.engines import Asked, Batch, Starting
from serxbench.engines._ray_worker import Failed, Ready, Worker
from serxbench.engines._shards import Shards
from serxbench.errors import AdapterError

if TYPE_CHECKING:
    from serxbench.engines._ray import Workers

#: A shard is at most so many utterances. It bounds nothing but how unevenly the work can be spread: a batch is
#: delivered as soon as it is finished.
_UTTERANCES_A_SHARD = 512

#: How many workers may be lost in a run for each that was asked for, and how many at one and the same batch.
_LOST_PER_WORKER = 3
_LOST_AT_A_BATCH = 3

#: How long to wait for the first place on the cluster; machines may still be starting.
_PLACEMENT_SECONDS = 1800.0

#: A worker that has not delivered for so many times the longest wait that was ever rewarded, and at least so many
#: seconds, is slow: what it holds goes to an idle one too.
_SLOW_FACTOR = 3.0
_SLOW_SECONDS = 10.0

#: So many clips on which the model raised, with not one answer before, mean that it is broken; as in one process.
_BROKEN_AFTER = 8

_POLL_SECONDS = 1.0

_REASON_CHARACTERS = 400

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(eq=False)
class _Member:
    """One worker. stage: placing, loading, idle or working. pending: what it answers next. since: of its last answer.

    first: the batch that it computes only to show that the model answers; None for an ordinary shard.
    """

    number: int
    actor: Any
    pending: Any
    stage: str = "placing"
    place: str = "before it had a machine"
    since: float = field(default_factory=time.monotonic)
    first: int | None = None
    n_delivered: int = 0


class Crew:
    """All workers of a run. expected: what each of their engines must say of itself."""

    def __init__(self, ray: ModuleType, workers: Workers, asked: Asked, expected: Mapping[str, Any]) -> None:
        self._ray, self._workers, self._asked, self._expected = ray, workers, asked, expected
        self._members: list[_Member] = []
        self._n_hired = self._n_lost = self._n_raised = 0
        self._slowest = 0.0
        self._heard = False
        # Sent to every machine once, whatever the number of workers there.
        self._shared = ray.put(replace(asked, note=_ignore))
        self._answered: int | None = None
        self._doubt: str | None = None
        self._doubted: set[int] = set()
        self._held_back: list[Batch] = []
        self._began = time.monotonic()
        waiting = [number for number in asked.plan.batches if number not in asked.done]
        largest = max((len(members) for members in asked.plan.batches.values()), default=1)
        self._shards = Shards(waiting, workers.n, max(1, _UTTERANCES_A_SHARD // largest))

    def work(self, backend: str, starting: Starting) -> Iterator[Batch]:
        """The batches as they arrive. Raises AdapterError."""
        ray = self._ray
        hire = self._hiring(backend, starting)
        while not self._shards.finished:
            self._members += [hire() for _ in range(self._workers.n - len(self._members))]
            self._hand_out()
            self._check()
            pending = [member.pending for member in self._members if member.stage != "idle"]
            ray.wait(pending, num_returns=1, timeout=_POLL_SECONDS)
            # All that have answered, so that none has to wait because another is always ready first.
            ready, _ = ray.wait(pending, num_returns=len(pending), timeout=0)
            for member in [one for one in self._members if any(one.pending is answer for answer in ready)]:
                yield from self._listen(member)
        yield from self._held_back

    def dismiss(self) -> None:
        """Ends all workers."""
        for member in self._members:
            with contextlib.suppress(Exception):
                self._ray.kill(member.actor)

    def _hiring(self, backend: str, starting: Starting) -> Callable[[], _Member]:
        workers = self._workers
        actor = self._ray.remote(Worker).options(
            num_cpus=1, num_gpus=workers.gpus, max_restarts=0, max_task_retries=0, scheduling_strategy="SPREAD"
        )
        # Elsewhere Ray gives each worker as many threads as CPUs: one, unless OMP_NUM_THREADS is set there.
        threads = max(1, _n_threads() // workers.n) if workers.local and not workers.gpus else None

        def hire() -> _Member:
            self._n_hired += 1
            replica = actor.remote(backend, starting, os.getcwd(), threads)
            return _Member(number=self._n_hired, actor=replica, pending=replica.place.remote())

        return hire

    def _hand_out(self) -> None:
        """A shard for everyone who is idle."""
        if self._doubt is not None and self._answered is None:
            return  # before anything else it has to be seen whether the model answers at all
        for member in self._members:
            if member.stage != "idle":
                continue
            shard = self._shards.take(member.number) or self._shards.copy(member.number, self._slow())
            if shard:
                member.first = self._answered if self._doubted.intersection(shard) else None
                compute = member.actor.compute.options(num_returns="streaming")
                member.pending = compute.remote(shard, member.first)
                member.stage, member.since, member.n_delivered = "working", time.monotonic(), 0

    def _slow(self) -> list[int]:
        """Workers that are overdue, the longest first."""
        longest = max(_SLOW_SECONDS, _SLOW_FACTOR * self._slowest)
        late = [m for m in self._members if m.stage == "working" and time.monotonic() - m.since > longest]
        return [member.number for member in sorted(late, key=lambda member: member.since)]

    def _check(self) -> None:
        """Raises AdapterError if the model answers nowhere, or there is no place for any worker."""
        working = [member for member in self._members if member.stage == "working"]
        if self._doubt is not None and self._answered is None and not any(not m.n_delivered for m in working):
            raise AdapterError(self._doubt)
        nowhere = all(member.stage == "placing" for member in self._members)
        if nowhere and not self._n_lost and time.monotonic() - self._began > _PLACEMENT_SECONDS:
            there = ", ".join(f"{n:g} {kind}" for kind, n in sorted(self._ray.cluster_resources().items()))
            raise AdapterError(
                f"--ray {self._workers.address}: no worker found a place within {_PLACEMENT_SECONDS / 60:.0f} minutes; "
                f"each needs 1 CPU and {self._workers.gpus:g} GPU, and the cluster has {there}"
            )

    def _listen(self, member: _Member) -> Iterator[Batch]:
        """What one worker has to say. Raises AdapterError."""
        errors = self._ray.exceptions
        try:
            answer = next(member.pending) if member.stage == "working" else member.pending
            said = self._ray.get(answer)
        except StopIteration:
            self._shards.give_back(member.number)
            member.stage = "idle"
            return
        except errors.RayTaskError as error:
            what = getattr(error, "cause", error)
            first = (str(what).strip() or "no message").splitlines()[0]
            raise AdapterError(f"a worker failed ({member.place}): {type(what).__name__}: {first}") from error
        except errors.RayError as error:
            self._replace(member, error)
            return
        yield from self._TAKES[member.stage](self, member, said)

    def _placed(self, member: _Member, place: tuple[str, int]) -> Iterator[Batch]:
        member.place = f"process {place[1]} on {place[0]}"
        self._asked.note({"event": "worker", "worker": member.number, "machine": place[0], "process": place[1]})
        member.pending, member.stage = member.actor.prepare.remote(self._shared), "loading"
        yield from ()

    def _loaded(self, member: _Member, ready: Ready | Failed) -> Iterator[Batch]:
        if isinstance(ready, Failed):
            raise AdapterError(ready.message)
        if dict(ready.description) != dict(self._expected):
            differing = [key for key, value in self._expected.items() if ready.description.get(key) != value]
            raise AdapterError(
                f"{member.place} would compute with another engine than the manifest says: "
                + "; ".join(f"{key}: {ready.description.get(key)}, wanted {self._expected[key]}" for key in differing)
            )
        self._shards.small = self._shards.small and ready.keeps
        for event in ready.events:
            # All hear the same clips.
            if event.get("event") != "heard" or not self._heard:
                self._asked.note({**event, "worker": member.number})
            self._heard = self._heard or event.get("event") == "heard"
        member.stage = "idle"
        yield from ()

    def _delivered(self, member: _Member, item: Batch | Failed | Mapping[str, Any]) -> Iterator[Batch]:
        if isinstance(item, Failed):
            self._fail(member, item.message)
        elif isinstance(item, Batch):
            self._slowest = max(self._slowest, time.monotonic() - member.since)
            member.since, member.n_delivered = time.monotonic(), member.n_delivered + 1
            if self._shards.arrived(member.number, item.number):
                yield from self._judge(item)
        else:
            self._asked.note({**item, "worker": member.number})

    _TAKES: Mapping[str, Callable[[Crew, _Member, Any], Iterator[Batch]]] = {
        "placing": _placed,
        "loading": _loaded,
        "working": _delivered,
    }

    def _judge(self, batch: Batch) -> Iterator[Batch]:
        """The batch, and those before it that were held back until the model had answered once."""
        if self._answered is None and any(response.stop != "error" for response in batch.responses):
            self._answered = batch.number
            yield from self._held_back
            self._held_back = []
        if self._answered is not None or not batch.raised:
            yield batch
            return
        self._held_back.append(batch)
        self._n_raised += len(batch.raised)
        if self._n_raised >= _BROKEN_AFTER:
            self._doubt = self._doubt or (
                f"the model failed on each of its first {self._n_raised} clips; the run was stopped: {batch.raised[-1]}"
            )

    def _fail(self, member: _Member, message: str) -> None:
        """An engine gave up: for good if it did so after a batch that is answered, else it may have been the clips."""
        if member.first is not None:
            raise AdapterError(message)
        self._doubted.update(self._shards.give_back(member.number))
        self._doubt = self._doubt or message

    def _replace(self, member: _Member, error: Exception) -> None:
        """Another worker in place of one that is gone. Raises AdapterError if too many are."""
        lines = [line.strip() for line in _COLOUR.sub("", str(error)).splitlines() if line.strip(" ^\t")]
        if member.stage == "placing" and "creation task" in lines[0]:
            raise AdapterError(
                f"a worker could not begin ({lines[-1]}); the same serxbench must be installed on every machine"
            )
        reason = textwrap.shorten(" ".join(lines), _REASON_CHARACTERS)
        self._members.remove(member)
        self._n_lost += 1
        with contextlib.suppress(Exception):
            self._ray.kill(member.actor)
        lost_at = self._shards.lost(member.number)
        self._asked.note({"event": "worker lost", "worker": member.number, "reason": reason})
        if lost_at is not None and lost_at[1] >= _LOST_AT_A_BATCH:
            ids = ", ".join(self._asked.utterances[n].id for n in self._asked.plan.batches[lost_at[0]])
            raise AdapterError(f"{lost_at[1]} workers in a row ended at the same batch, of {ids}; the last: {reason}")
        if self._n_lost > _LOST_PER_WORKER * self._workers.n:
            raise AdapterError(f"{self._n_lost} workers were lost, the last {member.place}, {member.stage}: {reason}")


def _ignore(event: Mapping[str, Any]) -> None:
    """Stands for a note that cannot be sent to another machine."""


def _n_threads() -> int:
    import torch

    return torch.get_num_threads()
