"""What comes into an online aggregation of forecasts, checked: forecasts, truths, positions, stored state.

Forecasts come from strangers and must stop nothing: what can't be used counts as missing. :class:`Truths` remembers how
far the truths have ranged, and so tells which forecasts are absurd.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from subnet.scoring.checks import Floats, numbers

LARGEST = 1e100
"""A forecast beyond counts as missing and a truth beyond is refused: their squares must stay finite."""
EARLY = 10
"""Truths to be seen before a forecast can be called absurd."""
ABSURD = 5.0
"""A forecast farther from all truths so far than so many times their range counts as missing."""


@dataclass
class Truths:
    """How many truths were seen, between which bounds, the last, and their mean: in the forecasts' unit.

    A truth farther than :data:`ABSURD` ranges from those before counts as just so far for the bounds and the mean: one
    slip of whoever reports it must not blind them for ever.
    """

    seen: int = 0
    low: float = np.inf
    high: float = -np.inf
    last: float = np.nan
    mean: float = np.nan

    def add(self, truth: float) -> None:
        """One truth more."""
        low, high = self._sane()
        value = min(max(truth, low), high)
        self.seen += 1
        self.low, self.high, self.last = min(self.low, value), max(self.high, value), truth
        self.mean = value if self.seen == 1 else self.mean + (value - self.mean) / self.seen

    def sane(self, forecasts: Floats) -> Floats:
        """``forecasts`` (k,), the absurd ones made NaN: farther than :data:`ABSURD` ranges from every truth so far.

        Where that would be most of them it may well be the world that has changed, and all are left.
        """
        low, high = self._sane()
        near = (forecasts >= low) & (forecasts <= high)
        if 2 * near.sum() < np.isfinite(forecasts).sum():
            return forecasts
        return np.where(near, forecasts, np.nan)

    def _sane(self) -> tuple[float, float]:
        """The bounds of what isn't absurd."""
        if self.seen < EARLY or not self.high > self.low:
            return -np.inf, np.inf
        reach = ABSURD * (self.high - self.low)
        return self.low - reach, self.high + reach

    def state(self) -> Floats:
        """The fields as an array of float64."""
        return np.array([self.seen, self.low, self.high, self.last, self.mean], dtype=np.float64)

    def instead(self) -> float:
        """What to predict where nobody forecasts: the last truth. Raises ValueError before the first."""
        if not self.seen:
            raise ValueError("there is no forecast to combine, and no truth was seen yet that could stand for one")
        return self.last

    @classmethod
    def stored(cls, state: Mapping[str, ArrayLike]) -> Truths:
        """From ``state["truths"]``, as :meth:`state` gave it. Raises ValueError if it is something else."""
        seen, low, high, last, mean = stored(state, "truths", (5,), finite=False)
        fresh = seen == 0 and low == np.inf and high == -np.inf and np.isnan(last) and np.isnan(mean)
        bounded = -LARGEST <= low <= mean <= high <= LARGEST and abs(last) <= LARGEST
        if not fresh and not (1 <= seen < 2**53 and bounded):
            raise ValueError("the state's 'truths' are no count, bounds, last truth and mean")
        return cls(int(seen), float(low), float(high), float(last), float(mean))


def as_forecasts(forecasts: ArrayLike, k: int) -> Floats:
    """Forecasts (k,) as a new float64 array, NaN where missing: not finite or beyond :data:`LARGEST`.

    Raises ValueError for another shape.
    """
    values = numbers("forecasts", forecasts, ndim=1, least=0)
    if values.shape != (k,):
        raise ValueError(f"forecasts have shape {values.shape}, expected ({k},); NaN stands for a missing one")
    values[~(np.abs(values) <= LARGEST)] = np.nan
    return values


def as_truth(truth: float) -> float:
    """The truth as a float. Raises ValueError if it isn't finite or is beyond :data:`LARGEST`."""
    value = float(truth)
    if not abs(value) <= LARGEST:
        raise ValueError(f"truth is {value}, expected a finite number of at most {LARGEST:g}")
    return value


def as_keep(keep: ArrayLike, k: int, new: int) -> NDArray[np.intp]:
    """Positions (n,) of those who stay. Raises ValueError if one doesn't exist or repeats, or if nobody is left."""
    positions = np.asarray(keep)
    if positions.size == 0:
        positions = np.empty(0, dtype=np.intp)
    if positions.ndim != 1 or not np.issubdtype(positions.dtype, np.integer):
        raise ValueError("keep must be a list of positions")
    if ((positions < 0) | (positions >= k)).any() or len(np.unique(positions)) != len(positions):
        raise ValueError(f"keep names positions outside 0..{k - 1}, or one twice")
    if new < 0 or len(positions) + new < 1:
        raise ValueError(f"{len(positions)} kept and {new} new: expected at least one forecaster")
    return positions.astype(np.intp)


def stored(state: Mapping[str, ArrayLike], name: str, shape: tuple[int | None, ...], *, finite: bool = True) -> Floats:
    """A copy of the array ``name`` of a stored state; None in ``shape`` is any length.

    Raises ValueError if it is missing, not numeric, of another shape, or (``finite``) has NaN or infinities.
    """
    if name not in state:
        raise ValueError(f"the state has no {name!r}")
    array = np.asarray(state[name])
    if array.dtype.kind not in "fiu":
        raise ValueError(f"the state's {name!r} has dtype {array.dtype}, expected float64")
    if array.ndim != len(shape) or any(want not in (None, have) for want, have in zip(shape, array.shape, strict=True)):
        raise ValueError(f"the state's {name!r} has shape {array.shape}, expected {shape}")
    if finite and not np.isfinite(array).all():
        raise ValueError(f"the state's {name!r} has values that aren't finite")
    return array.astype(np.float64)


def stored_weights(state: Mapping[str, ArrayLike], name: str, shape: tuple[int | None, ...]) -> Floats:
    """As :func:`stored`, for an array whose last axis holds weights: none below 0, each row of sum 1."""
    weights = stored(state, name, shape)
    if (weights < 0).any() or not np.allclose(weights.sum(-1), 1):
        raise ValueError(f"the state's {name!r} has weights below 0 or of another sum than 1")
    return weights
