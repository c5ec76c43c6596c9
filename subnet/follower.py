"""The last metagraph snapshot of a subnet, kept fresh in the background, so that nobody who serves or scores waits
for the chain.

A chain may be reset to an earlier block, as local ones are: who waits by :func:`next_block` hears of it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from subnet.errors import ChainError, ChainTimeout, NotRegistered
from subnet.health import Health
from subnet.service import register_remedy
from subnet.types import Hotkey, Metagraph, Netuid, Neuron

if TYPE_CHECKING:
    from subnet.service import ChainClient
    from subnet.telemetry import Metrics

log = logging.getLogger(__name__)

STALL_PER_BLOCK = 24.0
"""Seconds that one block may take before the chain counts as stalled (two of the real chain's)."""
SHORTEST_STALL = 60.0
"""Seconds without the awaited block before the chain counts as stalled, at the least."""
RESET_CHECK = 12.0
"""Seconds between two looks at whether the chain was reset to an earlier block, as local ones may be."""
_BREATH = 0.2  # seconds: a node whose state lags behind its head is not asked in a tight circle


class Follower:
    """The last metagraph snapshot of a subnet, and who wants to hear of a new one.

    ``metrics``, where given, carries the snapshot's block, and whether the chain answers; ``health`` hears, as
    ``metagraph``, of one that can't be read.
    """

    def __init__(
        self,
        chain: ChainClient,
        netuid: Netuid,
        hotkey: Hotkey,
        *,
        every: int,
        metrics: Metrics | None = None,
        health: Health | None = None,
    ) -> None:
        self._chain, self._netuid, self._hotkey, self._every = chain, netuid, hotkey, max(1, every)
        self._metrics, self._health = metrics, health or Health()
        self._listeners: list[Callable[[Metagraph], None]] = []
        self._snapshot: Metagraph | None = None

    @property
    def snapshot(self) -> Metagraph:
        """The newest metagraph that was read; RuntimeError before :meth:`refresh`."""
        if self._snapshot is None:
            raise RuntimeError("the metagraph has not been read yet")
        return self._snapshot

    def listen(self, listener: Callable[[Metagraph], None]) -> None:
        """Call ``listener`` with each new snapshot, on the loop."""
        self._listeners.append(listener)

    async def refresh(self) -> Metagraph:
        """Read the metagraph now. Raises ChainError; the old snapshot stays then."""
        try:
            snapshot = await self._chain.metagraph(self._netuid)
        except ChainError as error:
            self._unread(error)
            raise
        self._snapshot = snapshot
        self._health.well("metagraph")
        self._gauge("subnet_chain_reachable", 1)
        self._gauge("subnet_metagraph_block", snapshot.block)
        if self._metrics is not None:
            self._metrics.show_neuron(snapshot.neuron(self._hotkey))
        log.debug("metagraph", extra={"block": snapshot.block, "neurons": len(snapshot)})
        for listener in self._listeners:
            listener(snapshot)
        return snapshot

    async def registered(self) -> Neuron:
        """Our own neuron, as the chain has it now. Raises NotRegistered with the command that mends it."""
        snapshot = await self.refresh()
        neuron = snapshot.neuron(self._hotkey)
        if neuron is None:
            raise NotRegistered(
                f"{self._hotkey} has no uid on netuid {self._netuid}",
                remedy=register_remedy(self._netuid, self._hotkey),
            )
        return neuron

    async def follow(self) -> float:
        """One pass of the background loop: wait for the blocks to come, then read."""
        seen, stall = self.snapshot.block, max(SHORTEST_STALL, STALL_PER_BLOCK * self._every)
        try:
            await next_block(self._chain, seen + self._every, seen=seen, timeout=stall)
        except ChainError as error:
            self._unread(error)
            raise
        await self.refresh()
        return _BREATH

    def _unread(self, error: ChainError) -> None:
        self._gauge("subnet_chain_reachable", 0)
        self._health.trouble("metagraph", error.message, error.remedy)

    def _gauge(self, name: str, value: float) -> None:
        if self._metrics is not None:
            self._metrics.gauge(name, value)


async def next_block(chain: ChainClient, block: int, *, seen: int, timeout: float) -> None:
    """Wait until the head is at ``block``, or below ``seen``: the chain was reset to an earlier block then.

    Raises ChainTimeout after ``timeout`` seconds, and what else :meth:`ChainClient.wait_for_block` raises.
    """
    left = timeout
    while True:
        step = min(left, RESET_CHECK)
        try:
            await chain.wait_for_block(block, timeout=step)
            return
        except ChainTimeout:
            left -= step
            if await chain.block_number() < seen:
                return
            if left <= 0:
                raise
