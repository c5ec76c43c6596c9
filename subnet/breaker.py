"""Circuit breakers: a peer that failed to answer several times in a row is left alone for a while.

A peer that hangs costs a validator a socket and a deadline at every query. After ``failures`` in a row that
were no answer (a connection refused or broken, a time-out), asking it fails at once for ``pause`` seconds,
twice as long each further time, at most ``longest``; then one query is let through, and its outcome
decides. An answer of any kind, a refusal too, closes the circuit.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

MAX_PEERS: Final = 16_384
"""Peers that are remembered; the one untouched for longest goes first."""


@dataclass(slots=True)
class _Circuit:
    failures: int = 0
    trips: int = 0
    until: float = 0.0
    trying: bool = False


class Breakers:
    """One circuit a key (a peer's hotkey and address). ``pause`` and ``longest`` are seconds, as is ``clock``."""

    def __init__(
        self,
        failures: int = 5,
        pause: float = 10.0,
        longest: float = 60.0,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if failures < 1 or not 0 < pause <= longest:
            raise ValueError(f"breakers of {failures} failures, {pause} to {longest} s can't work")
        self._failures, self._pause, self._longest, self._clock = failures, pause, longest, clock
        self._circuits: OrderedDict[str, _Circuit] = OrderedDict()

    def wait(self, key: str) -> float:
        """0.0 if the peer may be asked; else the seconds until it may. Whoever gets 0.0 reports the outcome."""
        circuit = self._circuits.get(key)
        if circuit is None or circuit.failures < self._failures:
            return 0.0
        left = circuit.until - self._clock()
        if left > 0 or circuit.trying:
            return max(left, 0.001)
        circuit.trying = True  # half open: one may look
        return 0.0

    def answered(self, key: str) -> None:
        """The peer gave an answer, good or bad."""
        self._circuits.pop(key, None)

    def failed(self, key: str) -> None:
        """The peer gave none."""
        circuit = self._circuits.setdefault(key, _Circuit())
        self._circuits.move_to_end(key)
        circuit.failures += 1
        # queries that were under way when the circuit opened say nothing new
        if circuit.failures == self._failures or circuit.trying:
            circuit.until = self._clock() + min(self._pause * 2**circuit.trips, self._longest)
            circuit.trips += 1
        circuit.trying = False
        if len(self._circuits) > MAX_PEERS:
            self._circuits.popitem(last=False)

    def unknown(self, key: str) -> None:
        """Nothing was learnt: the query was cancelled, or never sent."""
        circuit = self._circuits.get(key)
        if circuit is not None:
            circuit.trying = False
