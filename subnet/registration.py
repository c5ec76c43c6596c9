"""Whether a running neuron still has its uid: told in log and health as soon as a metagraph lacks it.

Log event: ``deregistered`` (block, remedy).
"""

from __future__ import annotations

import logging

from subnet.health import Health
from subnet.service import register_remedy
from subnet.types import Hotkey, Metagraph, Netuid

log = logging.getLogger(__name__)


class Registration:
    """Looks at each metagraph (:meth:`subnet.service.Follower.listen`) for one hotkey."""

    def __init__(self, netuid: Netuid, hotkey: Hotkey, health: Health) -> None:
        self._hotkey, self._health, self._there = hotkey, health, True
        self._remedy = register_remedy(netuid, hotkey)

    def look(self, snapshot: Metagraph) -> None:
        """Tell of a hotkey that has no uid any more, once; and health that it has one again."""
        there = snapshot.uid_of(self._hotkey) is not None
        if there:
            self._health.well("registration")
        elif self._there:
            log.error("deregistered", extra={"block": snapshot.block, "remedy": self._remedy})
            self._health.trouble("registration", "this hotkey has no uid any more", self._remedy)
        self._there = there
