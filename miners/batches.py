"""Items that came one by one, joined into calls of many: what ``@batched`` and the backends' models run on."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from subnet.threads import Threads

T = TypeVar("T")
R = TypeVar("R")
OfMany = Callable[[list[T]], Sequence[R | Exception] | Awaitable[Sequence[R | Exception]]]


@dataclass(eq=False, slots=True)
class _Waiting(Generic[T, R]):
    """An item that has no outcome yet."""

    item: T
    since: float
    outcome: asyncio.Future[R]


class Batches(Generic[T, R]):
    """What waits for one function of many, and the task that works it off.

    ``function`` takes a list of at most ``max_size`` items and gives a reply or an exception for each, in their
    order. The first item waits ``max_wait`` seconds for others while nothing runs. One call runs at a time, an
    ``async def`` on the loop, a plain function in a thread of its own until :meth:`stop`.
    """

    def __init__(self, function: OfMany[T, R], max_size: int, max_wait: float) -> None:
        self._function, self._max_size, self._max_wait = function, max_size, max_wait
        self._name = getattr(function, "__qualname__", type(function).__name__)
        self._threads = Threads(1, f"batch-{self._name.rpartition('.')[2]}")
        self._waiting: list[_Waiting[T, R]] = []
        self._full = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        if not inspect.iscoroutinefunction(function):
            self._threads.start()

    def __len__(self) -> int:
        """How many wait for their call."""
        return len(self._waiting)

    def stop(self) -> None:
        """End the thread when it becomes free."""
        self._threads.stop()

    async def ask(self, item: T) -> R:
        """The item's own reply; raises its own exception, or the call's. Whoever leaves early leaves the batch."""
        loop = asyncio.get_running_loop()
        mine: _Waiting[T, R] = _Waiting(item, loop.time(), loop.create_future())
        self._waiting.append(mine)
        if len(self._waiting) >= self._max_size:
            self._full.set()
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._work())
        try:
            return await mine.outcome
        finally:  # gone before its turn: nobody computes what nobody waits for
            if mine in self._waiting:
                self._waiting.remove(mine)

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            left = self._waiting[0].since + self._max_wait - loop.time()
            if left > 0 and len(self._waiting) < self._max_size:
                self._full.clear()
                try:
                    async with asyncio.timeout(left):
                        await self._full.wait()
                except TimeoutError:
                    continue  # look again at who is first: the one who waited longest may have left
            batch, self._waiting = self._waiting[: self._max_size], self._waiting[self._max_size :]
            if batch:
                _hand_out(batch, await self._call([one.item for one in batch]))

    async def _call(self, items: list[T]) -> Sequence[R | Exception]:
        """One outcome for each; an exception that the function raises is everybody's."""
        try:
            outcomes: Any
            if inspect.iscoroutinefunction(self._function):
                outcomes = await self._function(items)
            else:
                outcomes = await self._threads.submit(self._function, items)
            if not isinstance(outcomes, Sequence) or len(outcomes) != len(items):
                many = len(outcomes) if isinstance(outcomes, Sequence) else type(outcomes).__name__
                raise TypeError(f"{self._name} gave {many} replies to {len(items)} requests")
        except (Exception, SystemExit, asyncio.CancelledError) as error:  # user code; it must not take us along
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                raise
            told = error if isinstance(error, Exception) else RuntimeError(f"the handler ended with {error!r}")
            return [told] * len(items)
        return outcomes


def _hand_out(batch: list[_Waiting[T, R]], outcomes: Sequence[R | Exception]) -> None:
    for one, outcome in zip(batch, outcomes, strict=True):
        if one.outcome.done():
            continue
        if isinstance(outcome, Exception):
            one.outcome.set_exception(outcome)
        else:
            one.outcome.set_result(outcome)
