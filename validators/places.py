"""How many users' exchanges with one miner are under way at a time: the rounds ask it through the same dendrite.

Without a bound of its own, a user who holds streams open takes all the places that the dendrite has for a miner,
and the rounds' requests to it time out unsent: a rival could score it to nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final
from weakref import WeakValueDictionary

from subnet.types import Hotkey, Neuron

MOST_EACH: Final = 12
"""Exchanges with one miner at a time, those that are followed too. The rounds have the rest of a dendrite's 16."""


class Places:
    """A place with each miner for so many at a time; who comes later waits."""

    def __init__(self) -> None:
        self._each: WeakValueDictionary[Hotkey, asyncio.Semaphore] = WeakValueDictionary()
        self._waiting: set[asyncio.Task[Any] | None] = set()

    def are_taken(self, peer: Neuron) -> bool:
        """Whether one more would have to wait."""
        place = self._each.get(peer.hotkey)
        return place is not None and place.locked()

    @asynccontextmanager
    async def one(self, peer: Neuron) -> AsyncGenerator[None, None]:
        """A place with ``peer``, as soon as one is free."""
        place = self._each.setdefault(peer.hotkey, asyncio.Semaphore(MOST_EACH))
        task = asyncio.current_task()
        self._waiting.add(task)
        try:
            await place.acquire()
        finally:
            self._waiting.discard(task)
        try:
            yield
        finally:
            place.release()

    def is_waiting(self, task: asyncio.Task[Any]) -> bool:
        """Whether a task waits for a place: the miner has not been asked yet."""
        return task in self._waiting
