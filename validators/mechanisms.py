"""Whether a validator sets weights in as many mechanisms as its subnet has: each shares in the emission.

Log event: ``mechanisms_differ`` (chain, ours, remedy), once for each number that the chain tells.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from subnet.types import Netuid

if TYPE_CHECKING:
    from subnet.service import ChainClient

log = logging.getLogger(__name__)

EVERY: Final = 600.0
"""Seconds between two looks: an owner may change it."""


class MechanismCount:
    """Compares the chain's count with ``ours``."""

    def __init__(self, chain: ChainClient, netuid: Netuid, ours: int) -> None:
        self._chain, self._netuid, self._ours = chain, netuid, ours
        self._known = ours

    async def look(self) -> float:
        """One pass of the loop."""
        count = await self._chain.mechanism_count(self._netuid)
        if count not in (self._known, self._ours):
            remedy = f"Run with -o mechanisms={count}; weigh_mechanism says what differs between them."
            log.warning("mechanisms_differ", extra={"chain": count, "ours": self._ours, "remedy": remedy})
        self._known = count
        return EVERY
