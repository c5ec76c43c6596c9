"""Whether the chain's head moves: a chain that stands still, or is out of reach, is told of and told to be over.

A loop of its own beside those that wait for blocks: it hears of a stall while they still wait, and however often
they begin anew. Log events: ``chain_stalled`` (seconds, remedy) once a stall, ``chain_moves`` (seconds: how long it
lasted, about).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from subnet.health import Health
    from subnet.service import ChainClient
    from subnet.telemetry import Metrics

log = logging.getLogger(__name__)

EVERY: Final = 1.0
"""Seconds between two looks; what they see is as fresh as the client's own look at the head, every ten seconds."""
REMEDY: Final = "Is it the chain, or this node? Name further nodes: --endpoint wss://one,wss://two. Scoring goes on."


class Pulse:
    """Tells log, health (as ``chain head``) and metrics of a chain without a new block for ``stall`` seconds."""

    def __init__(self, chain: ChainClient, *, stall: float, health: Health, metrics: Metrics | None = None) -> None:
        self._chain, self._stall, self._health, self._metrics = chain, stall, health, metrics
        self._stood = 0.0  # seconds, while it is stalled

    async def look(self) -> float:
        """One pass of the loop."""
        seconds = self._chain.stale_for
        if self._metrics is not None:
            self._metrics.gauge("subnet_chain_stale_seconds", seconds)
        if seconds >= self._stall:
            self._health.trouble("chain head", f"no new block for {seconds:.0f} s", REMEDY)
            if not self._stood:
                log.error("chain_stalled", extra={"seconds": round(seconds, 1), "remedy": REMEDY})
            self._stood = seconds
        elif self._stood:
            self._health.well("chain head")
            log.info("chain_moves", extra={"seconds": round(self._stood, 1)})
            self._stood = 0.0
        return EVERY
