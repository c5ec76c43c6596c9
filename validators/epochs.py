"""Which epochs ran without our weights, and why: counted by reason, and told with the remedy that is true of it.

:class:`Tally` counts what became of weights in one mechanism. :class:`Epochs` hears of each try of an epoch, and of
what kept it back; once the epoch is over, the last of these is why the chain lacks the weights.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from subnet.errors import ChainTimeout, ChainUnreachable, SubnetError
from subnet.health import Health

if TYPE_CHECKING:
    from subnet.telemetry import Metrics

log = logging.getLogger(__name__)

PASSING: Final = ("no-permit", "no-scores", "rate-limited")
"""Reasons that end by themselves, as a rule."""
_AWAY: Final = "The chain was out of reach while they were due, or this process halted; name further endpoints."
_BUG: Final = "weigh(), or what it calls, raised it: the log has its traceback at loop_failed."


class Tally:
    """How often weights had each outcome, and epochs ran without them for each reason, in one mechanism."""

    def __init__(self, mechanism: int, metrics: Metrics | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self._mechanism, self._metrics = str(mechanism), metrics

    def count(self, outcome: str) -> None:
        """One more outcome of weights."""
        self.counts[outcome] += 1
        if self._metrics is not None:
            self._metrics.count("subnet_weights_set_total", outcome=outcome, mechanism=self._mechanism)

    def without(self, reason: str, *, missed: bool = True) -> None:
        """One more epoch without weights; ``missed`` unless that is as it should be."""
        if missed:
            self.count("missed")
        if self._metrics is not None:
            self._metrics.count("subnet_epochs_without_weights_total", reason=reason, mechanism=self._mechanism)


@dataclass(frozen=True, slots=True)
class Why:
    """What kept weights from the chain: ``reason`` is one of a few words, as a metric's label must be."""

    reason: str
    remedy: str
    error: str = ""

    @classmethod
    def of(cls, error: BaseException) -> Why:
        """What an exception that ended a pass says."""
        if isinstance(error, ChainUnreachable | ChainTimeout):
            return cls("chain", _AWAY, error.message)
        if isinstance(error, SubnetError):
            return cls(error.code, error.remedy, error.message)
        return cls("error", _BUG, f"{type(error).__name__}: {error}")


class Epochs:
    """The epochs of one mechanism, as a validator's weights meet them; ``name`` is the part that health knows."""

    def __init__(self, name: str, tally: Tally, health: Health) -> None:
        self._name, self._tally, self._health = name, tally, health
        self.done: int | None = None
        """The epoch whose weights, or the commit to them, the chain holds."""
        self._awaited: int | None = None  # the epoch that was the next one in the last pass
        self._whole = False  # whether that one was watched from its beginning
        self._why: Why | None = None
        self._told = ""  # the reason of the trouble that health has from here

    def trouble(self, reason: str, error: str, remedy: str) -> None:
        """Tell health of what keeps the weights back, until they arrive or :meth:`mended` hears that it is over."""
        self._told = reason
        self._health.trouble(self._name, error, remedy)

    def mended(self, reason: str) -> None:
        """What ``reason`` names is over: its trouble ends, though no weights have arrived yet."""
        if self._told == reason:
            self._told = ""
            self._health.well(self._name)

    def kept_back(self, why: Why) -> None:
        """Something kept the coming epoch's weights back; the last such thing is why they are missed, if they are."""
        self._why = why

    def arrived(self, epoch: int) -> None:
        """The chain has this epoch's weights, or the commit to them."""
        self.done, self._told = epoch, ""
        self._health.well(self._name)

    def forget(self) -> None:
        """The chain went back: what was there is gone, and what comes begins anew."""
        self.done = self._awaited = self._why = None
        self._whole = False

    def is_new(self, epoch: int) -> bool:
        """Whether ``epoch`` lies behind the one that was the next in the last pass."""
        return self._awaited is not None and self._awaited < epoch

    def turn(self, epoch: int, head: int) -> bool:
        """``epoch`` is the next one now. Whether it is another than before because that one ran; tells if that one
        ran without our weights."""
        awaited, self._awaited = self._awaited, epoch
        if awaited is None or awaited >= epoch or head < awaited:  # not over; or an owner moved it
            return False
        whole, self._whole = self._whole, True
        why, self._why = self._why or Why("chain", _AWAY), None
        if self.done != awaited:
            self._ran_without(awaited, why, whole)
        return True

    def _ran_without(self, epoch: int, why: Why, whole: bool) -> None:
        fine = why.reason == "rate-limited" or (why.reason in PASSING and not whole)
        self._tally.without(why.reason, missed=not fine)
        if fine:
            return
        told = f"{why.reason}: {why.error}" if why.error else why.reason
        self.trouble(why.reason, f"the epoch of block {epoch} ran without our weights: {told}", why.remedy)
        log.error("weights_missed", extra={"epoch": epoch, "reason": why.reason, "remedy": why.remedy})
