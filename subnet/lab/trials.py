"""What is measured: an attack beside the same subnet in which its seats and stake are honest, under the same dice.

:func:`measure` is one trial for one seed; everything statistical is made of many of its :class:`Outcome`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from subnet.lab.record import Run
from subnet.lab.scenario import Playable
from subnet.lab.tasks import Floats

WINDOW = 10
"""Epochs over which income is averaged to say whether an attack is found out."""
FOUND_OUT = 0.5
"""An attack is found out when it earns less than this part of what honesty would, and stays there."""


POINTS = 400


@dataclass(frozen=True)
class Trial:
    """Attack ``index`` of a scenario, under one seed."""

    scenario: Playable
    index: int
    seed: int


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one trial found. ``gain`` and ``harm`` are relative: 0.1 is 10%.

    ``gain`` is the attack's income over its honest counterpart's, less 1; ``harm`` what the honest neurons lost by it.
    ``detection`` is in epochs from the attack's beginning, infinite if it is never found out. ``vtrust`` is the honest
    validators', ``own_vtrust`` the attack's (NaN without validators). ``paid`` and ``honest`` are the attack's
    and its counterpart's income by epoch; ``honest_series`` the honest miners' part of the pay for work.
    ``failed_rounds`` is the share of the honest validators' rounds that ended in an error.
    """

    honest_share: float
    gain: float
    harm: float
    detection: float
    vtrust: float
    own_vtrust: float
    paid: Floats
    honest: Floats
    honest_series: Floats
    failed_rounds: float = 0.0


def measure(trial: Trial, progress: Callable[[], object] | None = None) -> Outcome:
    """Run the attack and its honest counterpart, and compare."""
    s, group = trial.scenario, trial.index + 1
    attacked = s.play(trial.seed, progress)
    honest = s.but_honest(trial.index).play(trial.seed, progress)
    paid, would = attacked.income[:, group], honest.income[:, group]
    return Outcome(
        honest_share=attacked.honest_share,
        gain=relative(float(paid.sum()), float(would.sum())),
        harm=-relative(float(attacked.income[:, 0].sum()), float(honest.income[:, 0].sum())),
        detection=found_out(paid, would, s.attacks[trial.index].begins),
        vtrust=_vtrust(attacked, 0, s.reveal),
        own_vtrust=_vtrust(attacked, group, s.reveal) if s.attacks[trial.index].validators else math.nan,
        paid=binned(paid),
        honest=binned(would),
        honest_series=binned(_share(attacked)),
        failed_rounds=attacked.failed_rounds,
    )


def binned(series: Floats) -> Floats:
    """At most :data:`POINTS` means of neighbours: what is kept of a series for a picture."""
    if series.size <= POINTS:
        return series
    starts = np.linspace(0, series.size, POINTS, endpoint=False).astype(np.int64)
    return np.asarray(np.add.reduceat(series, starts) / np.diff(np.append(starts, series.size)))


def relative(paid: float, honest: float) -> float:
    """``paid`` over ``honest``, less 1; infinite if only the attack is paid, 0 if neither."""
    if honest > 0:
        return paid / honest - 1
    return math.inf if paid > 0 else 0.0


def found_out(paid: Floats, honest: Floats, begins: int) -> float:
    """Epochs from ``begins`` until the attack earns less than half of its honest counterpart's income for good.

    Both are averaged over the last :data:`WINDOW` epochs. Infinite if the last epoch still pays it.
    """
    kernel = np.ones(min(WINDOW, paid.size))
    last = slice(0, paid.size)
    mine, theirs = np.convolve(paid, kernel)[last], np.convolve(honest, kernel)[last]
    pays = np.flatnonzero((mine >= FOUND_OUT * theirs)[begins:])
    if pays.size and begins + pays[-1] == paid.size - 1:
        return math.inf
    return float(pays[-1] + 1) if pays.size else 0.0


def _vtrust(run: Run, group: int, reveal: int) -> float:
    live = run.vtrust[reveal:, group]  # before the first reveal nobody has any
    return float(live.mean()) if live.size else 0.0


def _share(run: Run) -> Floats:
    total = run.server.sum(axis=1)
    return np.where(total > 0, run.server[:, 0] / np.where(total > 0, total, 1.0), 1.0)
