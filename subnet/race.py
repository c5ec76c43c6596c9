"""A race of peers for one reply: the next is asked as well when one is slow, or has failed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

from subnet.results import Failure, Ok
from subnet.synapse import Message
from subnet.types import Neuron

R = TypeVar("R", bound=Message)


class Race(Generic[R]):
    """One race. ``ask`` asks one peer; what it raises ends the race.

    The peers are asked in their order: the next one ``hedge`` seconds after the last was, without a reply from anybody
    (None: never), and at once after a failure of which ``again`` says that another may be asked the same. After
    any other nobody is asked any more.
    """

    def __init__(
        self,
        ask: Callable[[Neuron], Awaitable[Ok[R] | Failure]],
        peers: Sequence[Neuron],
        *,
        hedge: float | None,
        again: Callable[[Failure], bool] = lambda _: True,
    ) -> None:
        self.others: list[Ok[R] | Failure] = []
        """What those gave who have finished, beside the result of :meth:`run`."""
        self.running: dict[asyncio.Task[Ok[R] | Failure], tuple[Neuron, float]] = {}
        """Who has not finished yet, and since when, by the loop's clock, it has been asked."""
        self._ask, self._hedge, self._again = ask, hedge, again
        self._waiting = deque(peers)

    async def run(self, until: float | None = None) -> Ok[R] | Failure | None:
        """The first Ok; if all fail who may be asked, the last Failure; None if neither came by ``until``, a moment of
        the loop's clock. Who is still :attr:`running` then is the caller's; cancelled, it cancels them."""
        try:
            return await self._run(until)
        except BaseException:
            await cancel(self.running)
            raise

    async def _run(self, until: float | None) -> Ok[R] | Failure | None:
        loop = asyncio.get_running_loop()
        last: Failure | None = None
        ask = True
        while True:
            if ask and self._waiting:
                peer = self._waiting.popleft()
                self.running[asyncio.ensure_future(self._ask(peer))] = peer, loop.time()
            if not self.running:
                return last
            bounds = [] if until is None else [until - loop.time()]
            if self._waiting and self._hedge is not None:
                bounds.append(self._hedge)
            patience = max(0.0, min(bounds)) if bounds else None
            done, _ = await asyncio.wait(self.running, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            if not done and until is not None and loop.time() >= until:
                self.others += [] if last is None else [last]
                return None
            results = [task.result() for task in self.running if task in done]
            self.running = {task: asked for task, asked in self.running.items() if task not in done}
            winner = next((result for result in results if isinstance(result, Ok)), None)
            if last is not None and results:
                self.others.append(last)
            if winner is not None:
                self.others += [result for result in results if result is not winner]
                return winner
            failures = [result for result in results if isinstance(result, Failure)]
            self.others += failures[:-1]
            last = failures[-1] if failures else last
            ask = all(map(self._again, failures))
            if not ask:
                self._waiting.clear()


async def cancel(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel them, and wait until they have ended; what they raise is theirs."""
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
