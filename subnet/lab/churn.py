"""Nodes that come and go: a daily curve in each time zone, and sessions of any length, on a virtual clock.

A node that is away comes back by an inhomogeneous Poisson process whose rate follows its own local hour; a session's
length is Weibull with a shape below 1 (many are short, some very long), the form that Nurmi, Brevik and Wolski found
for machines' availability ("Modeling machine availability in enterprise and wide-area distributed computing
environments", Euro-Par 2005). A part of the nodes never leaves. The numbers themselves are the scenario's.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from subnet.lab.placement import PlacementScenario

Steps = npt.NDArray[np.int32]

DAY: Final = 86_400
FOR_GOOD: Final = 2**30
"""A step that never comes."""
ZONES: Final = ((-5, 0.15), (1, 0.25), (7, 0.60))
"""Hours from UTC and shares of the nodes: three humps, each two hours wide; an assumption."""


class Churn:
    """Who is there: ``online`` (N,), since which step, and ``until`` which that lasts, (N,)."""

    def __init__(self, s: PlacementScenario, dice: np.random.Generator) -> None:
        self._dice, self._step, self._shape = dice, s.step, s.session_shape
        self._scale = s.session_hours * 3600 / math.gamma(1 + 1 / s.session_shape)
        self._day = DAY // s.step
        self._hazard = _cumulative(s, days=3 + math.ceil(s.hours / 24))
        hours, shares = zip(*ZONES, strict=True)
        zone = dice.choice(hours, s.nodes, p=shares) + 2.0 * dice.standard_normal(s.nodes)
        self._offset = (np.round(zone * 3600 / s.step).astype(np.int32)) % self._day
        self.online = dice.random(s.nodes) < s.session_hours / (s.session_hours + s.away_hours)
        stays = dice.random(s.nodes) < s.always_on
        self.online |= stays
        self._now = -self._day  # a day goes by before the first step, so that it finds the curve as it is
        self.since = np.full(s.nodes, self._now, dtype=np.int32)
        self.until = np.where(self.online, self._ends(s.nodes), 0).astype(np.int32)
        away = np.flatnonzero(~self.online)
        self.until[away] = self._returns(away)
        self.until[stays] = FOR_GOOD
        while self._now < 0:
            self.tick()

    def tick(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Go one step on: the nodes that came in it, and those that went."""
        changed = np.flatnonzero(self.until == self._now)
        was = self.online[changed]
        came, went = changed[~was], changed[was]
        self.online[came], self.online[went] = True, False
        self.since[changed] = self._now
        self.until[came] = self._ends(came.size)
        self.until[went] = self._returns(went)
        self._now += 1
        return came, went

    def _ends(self, count: int) -> Steps:
        """When sessions that begin now end, at least a step later."""
        lengths = self._scale * self._dice.weibull(self._shape, count) / self._step
        return (self._now + np.clip(np.ceil(lengths), 1, FOR_GOOD // 2)).astype(np.int32)

    def _returns(self, nodes: npt.NDArray[np.int64]) -> Steps:
        """When nodes that are away from now on come back: by inversion of the cumulative hazard."""
        local = self._now + self._day + self._offset[nodes]
        back = np.searchsorted(self._hazard, self._hazard[local] + self._dice.standard_exponential(nodes.size))
        steps = np.maximum(back - self._day - self._offset[nodes], self._now + 1)
        return np.where(back < self._hazard.size, steps, FOR_GOOD).astype(np.int32)


def _cumulative(s: PlacementScenario, days: int) -> npt.NDArray[np.float64]:
    """The expected returns of a node that is away, by step of its local clock, counted from the first midnight."""
    hour = np.arange(days * DAY // s.step) * s.step / 3600
    rate = 1 + s.daily * np.cos((hour - s.peak_hour) * 2 * np.pi / 24)
    return np.asarray(np.cumsum(rate) * s.step / 3600 / s.away_hours)
