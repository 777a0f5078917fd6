"""Continuous flow: so many items in work at once, the next one admitted the moment one is finished.

An event loop of its own, in a thread of its own, does the waiting; whoever iterates may take its time over each result.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import AbstractAsyncContextManager
from queue import SimpleQueue
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Opens what the work needs (connections), inside the event loop, and gives the work for one item.
Opened = Callable[[], AbstractAsyncContextManager[Callable[[Item], Awaitable[Result]]]]


class _End:
    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def flow(source: Iterator[Item], opened: Opened[Item, Result], n_in_flight: int) -> Generator[Result, None, None]:
    """The result for each item of `source`, as they are finished; `n_in_flight` items are in work at once.

    Items are taken from the source in another thread. At most as many are ready, and as many results wait to be
    fetched, as may be in work: memory does not grow with the source. What the work raises ends the flow and is raised
    here. Closing the generator cancels what is in work.
    """
    finished: SimpleQueue[Result | _End] = SimpleQueue()
    running = _Running(source, opened, n_in_flight, finished)
    thread = threading.Thread(target=running.run, name="flow", daemon=True)
    thread.start()
    try:
        while not isinstance(result := finished.get(), _End):
            running.make_room()
            yield result
        if result.error is not None:
            raise result.error
    finally:
        running.cancel()
        thread.join()


class _Running(Generic[Item, Result]):
    """The flow's thread. Only `make_room` and `cancel` are called from outside it."""

    def __init__(
        self,
        source: Iterator[Item],
        opened: Opened[Item, Result],
        n_in_flight: int,
        finished: SimpleQueue[Result | _End],
    ) -> None:
        self._source, self._opened, self._n_in_flight = source, opened, n_in_flight
        self._finished = finished
        self._room = asyncio.Semaphore(2 * n_in_flight)
        self._loop = asyncio.new_event_loop()
        self._main: asyncio.Task[None] | None = None
        self._cancelled = False

    def run(self) -> None:
        error: BaseException | None = None
        try:
            # The runner waits for the thread that reads the source, so that nobody uses the source after the flow.
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._work_all())
        except BaseException as raised:  # noqa: BLE001 - it is raised again where the results are fetched
            error = _first(raised)
        self._finished.put(_End(error))

    def make_room(self) -> None:
        self._call(self._room.release)

    def cancel(self) -> None:
        def cancel() -> None:
            self._cancelled = True
            if self._main is not None:
                self._main.cancel()

        self._call(cancel)

    def _call(self, function: Callable[[], object]) -> None:
        try:
            self._loop.call_soon_threadsafe(function)
        except RuntimeError:
            if not self._loop.is_closed():
                raise

    async def _work_all(self) -> None:
        self._main = asyncio.current_task()
        if self._cancelled:
            return
        ready: asyncio.Queue[tuple[Item] | None] = asyncio.Queue(maxsize=self._n_in_flight)
        async with self._opened() as work, asyncio.TaskGroup() as group:
            group.create_task(self._fill(ready))
            for _ in range(self._n_in_flight):
                group.create_task(self._work(ready, work))

    async def _fill(self, ready: asyncio.Queue[tuple[Item] | None]) -> None:
        """Prepares items while others are in work: they tend to finish, and to be wanted, at the same time."""
        while (pulled := await self._loop.run_in_executor(None, self._pull)) is not None:
            await ready.put(pulled)
        for _ in range(self._n_in_flight):
            await ready.put(None)

    async def _work(self, ready: asyncio.Queue[tuple[Item] | None], work: Callable[[Item], Awaitable[Result]]) -> None:
        while True:
            await self._room.acquire()
            pulled = await ready.get()
            if pulled is None:
                return
            self._finished.put(await work(pulled[0]))

    def _pull(self) -> tuple[Item] | None:
        """The next item, in a tuple of one; None if there is no more."""
        for item in self._source:
            return (item,)
        return None


def _first(raised: BaseException) -> BaseException:
    """The first single error of what a task group raised."""
    while isinstance(raised, BaseExceptionGroup):
        raised = raised.exceptions[0]
    return raised
