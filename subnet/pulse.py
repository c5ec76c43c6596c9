"""Whether the chain's head moves, and whether it is still that chain; what is wrong is told, and told to be over.

A loop of its own beside those that wait for blocks: it hears of a stall while they still wait, and however often
they begin anew. Where every endpoint has become another chain for so long, there is nothing to wait for: the neuron
ends, and whoever starts it again joins that chain with a ledger of its own. Not so one that was given a genesis hash:
it wants that chain alone, and waits for it.

Log events: ``chain_stalled`` (seconds, remedy) once a stall, ``chain_moves`` (seconds: how long it lasted, about),
``wrong_network`` (code, error, remedy), ``network_back`` (seconds).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from subnet.errors import SubnetError, WrongNetwork

if TYPE_CHECKING:
    from subnet.health import Health
    from subnet.service import ChainClient
    from subnet.telemetry import Metrics

log = logging.getLogger(__name__)

EVERY: Final = 1.0
"""Seconds between two looks; what they see is as fresh as the client's own look at the head, every ten seconds."""
REMEDY: Final = "Is it the chain, or this node? Name further nodes: --endpoint wss://one,wss://two. Scoring goes on."
LEAVES: Final = (
    "What was scored and signed belongs to the chain that is gone. A local chain that began anew: register on it; this "
    "process ends by itself in {seconds:.0f} s and joins it when it is started again. Else correct --endpoint."
)
WAITS: Final = "Correct --endpoint or --genesis-hash; this process waits for the chain of its --genesis-hash."


class Pulse:
    """Tells log, health (as ``chain head``) and metrics of a chain without a new block for ``stall`` seconds.

    A chain that is another one is told as ``network``, and after ``patience`` seconds handed to ``give_up``.
    """

    def __init__(
        self,
        chain: ChainClient,
        *,
        stall: float,
        patience: float,
        health: Health,
        give_up: Callable[[SubnetError], None],
        metrics: Metrics | None = None,
    ) -> None:
        self._chain, self._stall, self._health, self._metrics = chain, stall, health, metrics
        self._patience, self._give_up = patience, give_up
        self._stood = 0.0  # seconds, while it is stalled
        self._strange: float | None = None  # time.monotonic() since which it is another chain

    async def look(self) -> float:
        """One pass of the loop."""
        self._look_at_network()
        self._look_at_head()
        return EVERY

    def _look_at_network(self) -> None:
        error, now = self._chain.wrong_network, time.monotonic()
        if error is None:
            if self._strange is not None:
                self._health.well("network")
                log.info("network_back", extra={"seconds": round(now - self._strange, 1)})
                self._strange = None
            return
        if self._strange is None:
            self._strange = now
            remedy = WAITS if self._chain.is_pinned else LEAVES.format(seconds=self._patience)
            self._health.trouble("network", error.message, remedy, unready=True)
            told = {"code": error.code, "error": error.message, "remedy": remedy}
            log.error("wrong_network", extra=told)
        if not self._chain.is_pinned and now - self._strange >= self._patience:
            remedy = "Start it again to join that chain (register there first), or correct --endpoint."
            self._give_up(WrongNetwork(f"the chain is another one now: {error.message}", remedy=remedy))

    def _look_at_head(self) -> None:
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
