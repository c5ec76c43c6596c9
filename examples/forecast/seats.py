"""Who counts as one: workers whose answers are the same share one seat, so that a copy adds nothing to their pay.

Whoever pays by the head pays a copier for being there: a model and its exact copy together get half as much again as
the model alone, and 13 to 30% more under Allora's reward fractions (benchmarks/copyist.py). Here copies are merged
before anything is combined: synthesis, regrets and scores see one worker, whose pay they share.
"""

from __future__ import annotations

from itertools import combinations
from typing import Final

import numpy as np
import numpy.typing as npt

from subnet.scoring.duplicates import Matches
from subnet.scoring.synthesis_weights import Floats

Seats = npt.NDArray[np.intp]

ALIKE: Final = 0.9
"""Two workers are one if so many of their answers are within the tolerance..."""
ENOUGH: Final = 6
"""...out of at least so many steps that both answered; or if all of them, however few, are equal to the bit."""


def seats(answers: Floats, tolerance: float) -> Seats:
    """(n,): for each worker the first of those it shares a seat with, itself where it sits alone.

    ``answers`` (steps, d, n): d numbers a step and worker, NaN where there is none. ``tolerance``: in their unit.
    """
    workers = answers.shape[2]
    seat = np.arange(workers)
    there = np.flatnonzero(np.isfinite(answers).any(axis=(0, 1)))
    pairs = [(a, b) for a, b in combinations(there, 2) if _alike(answers[:, :, a], answers[:, :, b], tolerance)]
    if pairs:
        first, second = np.array(pairs).T
        for group in Matches(workers, first, second, np.ones(len(pairs))).groups():
            seat[group] = group[0]
    return seat


def _alike(one: Floats, other: Floats, tolerance: float) -> bool:
    apart = np.abs(one - other)
    both = np.isfinite(apart)
    steps = both.any(axis=1)
    if not steps.any():
        return False
    alike = np.asarray((~both | (apart <= tolerance)).all(axis=1))
    return bool((apart[both] == 0).all() or (steps.sum() >= ENOUGH and alike[steps].mean() >= ALIKE))


def merged(values: Floats, seat: Seats) -> Floats:
    """(n,): each seat's answer where its first worker sits, of the first that gave one; NaN elsewhere."""
    out = np.full(len(values), np.nan)
    for worker in np.flatnonzero(np.isfinite(values)):
        if np.isnan(out[seat[worker]]):
            out[seat[worker]] = values[worker]
    return out


def shared(pay: Floats, values: Floats, seat: Seats) -> Floats:
    """(n,): each seat's ``pay`` (n,) in equal parts to those on it that gave a value; 0 to the others."""
    there = np.isfinite(values)
    sitting = np.bincount(seat[there], minlength=len(values))
    return np.where(there, np.nan_to_num(pay)[seat] / np.maximum(sitting[seat], 1), 0.0)
