"""Whether a neuron is ready and well, and if not, what would mend it: what ``/health`` and ``/ready`` answer.

A neuron's parts say what keeps them from their work (``trouble``) and when it has passed (``well``), each
under a name of its own; the page of metrics serves the sum of it. Written on the event loop and read by
the page's threads.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from typing import Any, Final

IN_A_ROW: Final = 3
"""Failures in a row that are a trouble; what fails once or twice is tried again, and that is all."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """What keeps a part of a neuron from its work; ``since`` is in unix seconds."""

    name: str
    reason: str
    remedy: str
    since: float
    unready: bool = False
    """Whether it leaves the neuron nothing to do, so that ``/ready`` says no as well."""


class Health:
    """Starts as not ready; ill while there is any trouble."""

    def __init__(self) -> None:
        self.ready = False
        """Whether it is at work: from the end of loading until it drains."""
        self._troubles: dict[str, Trouble] = {}

    @property
    def troubles(self) -> list[Trouble]:
        """The oldest first."""
        return sorted(self._troubles.copy().values(), key=lambda trouble: trouble.since)

    def trouble(self, name: str, reason: str, remedy: str, *, unready: bool = False) -> None:
        """Something is wrong with the part ``name``; its last reason stands, the first one's time."""
        old = self._troubles.get(name)
        self._troubles[name] = Trouble(name, reason, remedy, old.since if old else time.time(), unready)

    def well(self, name: str) -> None:
        """Nothing is wrong with it, any more or at all."""
        self._troubles.pop(name, None)

    def answer(self, path: str) -> tuple[int, bytes] | None:
        """HTTP status and JSON for ``/health`` (503 while there is trouble) and ``/ready`` (503 until ready)."""
        troubles = self.troubles
        ready = self.ready and not any(trouble.unready for trouble in troubles)
        if path == "/ready":
            good = ready
        elif path == "/health":
            good = not troubles
        else:
            return None
        told: dict[str, Any] = {"ok": good, "ready": ready, "troubles": [asdict(one) for one in troubles]}
        return (200 if good else 503), json.dumps(told).encode() + b"\n"


class Streak:
    """Failures in a row of the part ``name``: a trouble from the third on, until it goes well once."""

    def __init__(self, health: Health, name: str) -> None:
        self._health, self._name, self._length = health, name, 0

    def failed(self, reason: str, remedy: str) -> None:
        """It failed, once more."""
        self._length += 1
        if self._length >= IN_A_ROW:
            self._health.trouble(self._name, f"{self._length} in a row failed: {reason}", remedy)

    def passed(self) -> None:
        """It went well."""
        self._length = 0
        self._health.well(self._name)
