"""Miners that a user no longer waits for, followed until they have answered or their time is over.

They are judged by how that ends. Room for them is bounded: a user who makes miners slow can't use up the connections
that rounds need.

Log event: ``follow_failed`` (uid, exception).
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Final

from subnet.race import cancel
from subnet.results import Failure, Ok
from subnet.types import Hotkey, Neuron

log = logging.getLogger(__name__)

MOST: Final = 256
"""Exchanges that are followed at a time."""
MOST_EACH: Final = 4
"""Those with one miner: less than it may be asked at a time, and enough to judge it by."""
MOST_BYTES: Final = 64 * 1024 * 1024
"""What their requests may take together, encoded."""


class Stragglers:
    """Follows exchanges in the background, on the loop that it is used on."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._each: Counter[Hotkey] = Counter()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._tasks)

    def has_room(self, peer: Neuron, size: int) -> bool:
        """Whether one more exchange with ``peer``, whose request has ``size`` bytes, can be followed."""
        return len(self._tasks) < MOST and self._each[peer.hotkey] < MOST_EACH and self._bytes + size <= MOST_BYTES

    def follow(
        self,
        peer: Neuron,
        rest: Awaitable[Ok[Any] | Failure],
        size: int,
        heard: Callable[[Ok[Any] | Failure], None],
    ) -> None:
        """Wait for the ``rest`` of an exchange, which ends by itself, and tell ``heard`` how it did."""
        self._each[peer.hotkey] += 1
        self._bytes += size
        task = asyncio.create_task(_end(peer, rest, heard), name="organic_straggler")
        self._tasks.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            self._each -= Counter({peer.hotkey: 1})  # drops what has come to nothing
            self._bytes -= size

        task.add_done_callback(ended)

    async def close(self) -> None:
        """Let go of all."""
        await cancel(self._tasks)


async def _end(peer: Neuron, rest: Awaitable[Ok[Any] | Failure], heard: Callable[[Ok[Any] | Failure], None]) -> None:
    try:
        result = await rest
    except Exception:  # what a peer does is a Failure; this is code of a user's, or a mistake of ours
        log.exception("follow_failed", extra={"uid": peer.uid})
        return
    heard(result)
