"""A number of places, and a bounded queue before them that serves the highest priority first."""

from __future__ import annotations

import asyncio
import heapq
from itertools import count
from typing import NamedTuple

from subnet.errors import Busy


class _Waiting(NamedTuple):
    rank: float
    """The lower, the sooner: the negative priority."""
    order: int
    turn: asyncio.Future[None]


class Slots:
    """At most ``places`` hold one at a time and ``queue`` wait; for one event loop.

    Of those who wait the highest priority goes first, of equals whoever came first. Where the queue is
    full, a newcomer takes the place of the lowest priority in it, if that is lower than its own.
    """

    def __init__(self, places: int, queue: int) -> None:
        self._free, self._queue = places, queue
        self._heap: list[_Waiting] = []
        self._order = count()
        self.waiting = 0
        """How many wait right now."""

    def take_now(self) -> bool:
        """Take a place if one is free."""
        if self._free > 0:
            self._free -= 1
            return True
        return False

    async def take(self, priority: float = 0.0) -> None:
        """Wait for a place. Raises Busy where the queue is full of priorities as high, then or while waiting."""
        if self.take_now():
            return
        if self.waiting >= self._queue:
            self._displace(priority)
        mine = _Waiting(-priority, next(self._order), asyncio.get_running_loop().create_future())
        heapq.heappush(self._heap, mine)
        self.waiting += 1
        try:
            await mine.turn
        except BaseException:
            if mine.turn.done() and not mine.turn.cancelled() and mine.turn.exception() is None:
                self.release()  # the place was ours already
            raise
        finally:
            self.waiting -= 1

    def release(self) -> None:
        """Give a place back, to whoever is next."""
        while self._heap:
            following = heapq.heappop(self._heap)
            if not following.turn.done():
                following.turn.set_result(None)
                return
        self._free += 1

    def _displace(self, priority: float) -> None:
        """Refuse the lowest in the queue, or the newcomer."""
        self._heap = [one for one in self._heap if not one.turn.done()]  # those who left
        heapq.heapify(self._heap)
        busy = Busy(f"{self.waiting} requests are waiting already", retry_after=1.0)
        last = max(self._heap, default=None)
        if last is None or last.rank <= -priority:
            raise busy
        last.turn.set_exception(busy)
