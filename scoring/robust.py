"""Centres and spreads that a few wild values don't move: what many validators or rounds say, minus the liars.

Each takes an array and works along ``axis`` (default: the last), giving float64 without it. Raises ValueError for
NaN, infinities and empty input. The breakdown point is the share of values that may be
anything before the result may be: median and MAD 1/2, Huber's location 1/2 with the MAD as its scale,
the trimmed mean its ``cut``; the mean 0.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from subnet.scoring import checks
from subnet.scoring.checks import Bools, Floats

MAD_SCALE: Final = 1.482602218505602
"""1 / Phi^-1(3/4): makes the MAD of normal data an estimate of its standard deviation."""

_STEPS: Final = 200


def median(values: npt.ArrayLike, *, axis: int = -1) -> Floats:
    """The middle value; of an even number, the mean of the two in the middle."""
    return np.asarray(np.median(_line(values, axis), axis=-1))


def mad(values: npt.ArrayLike, *, scale: float = MAD_SCALE, axis: int = -1) -> Floats:
    """``scale`` times the median absolute deviation from the median.

    Source: Hampel, "The Influence Curve and its Role in Robust Estimation", JASA 1974.
    """
    data = _line(values, axis)
    centre = np.median(data, axis=-1, keepdims=True)
    return np.asarray(scale * np.median(np.abs(data - centre), axis=-1))


def trimmed_mean(values: npt.ArrayLike, cut: float = 0.1, *, axis: int = -1) -> Floats:
    """The mean without the ``floor(cut * n)`` lowest and as many highest; 0 <= ``cut`` < 1/2.

    Source: Tukey and McLaughlin, Sankhya A 1963.
    """
    data = np.sort(_line(values, axis), axis=-1)
    checks.between("cut", cut, 0, 0.5, open_at="high")
    n = data.shape[-1]
    out = int(cut * n)
    return np.asarray(data[..., out : n - out].mean(axis=-1))


def huber(values: npt.ArrayLike, k: float = 1.345, *, tolerance: float = 1e-9, axis: int = -1) -> Floats:
    """Huber's M-estimate of location, scale held at the MAD: values beyond ``k`` scales count as if at ``k``.

    ``k`` = 1.345 has 95% of the mean's efficiency on normal data. Iterates from the median until a step
    is under ``tolerance`` scales. Where the MAD is 0 (half the values or more are equal) it is the median.

    Source: Huber, "Robust Estimation of a Location Parameter", Annals of Mathematical Statistics 1964.
    """
    data = _line(values, axis)
    checks.between("k", k, 0, checks.LARGEST, open_at="low")
    checks.between("tolerance", tolerance, 0, 1, open_at="low")
    centre = np.median(data, axis=-1, keepdims=True)
    scale = MAD_SCALE * np.median(np.abs(data - centre), axis=-1, keepdims=True)
    reach = k * scale
    for _ in range(_STEPS):
        step = np.clip(data, centre - reach, centre + reach).mean(axis=-1, keepdims=True) - centre
        centre = centre + np.where(scale > 0, step, 0.0)
        if (np.abs(step) <= tolerance * scale).all():
            break
    return np.asarray(centre[..., 0])


def outliers(values: npt.ArrayLike, threshold: float = 3.5, *, axis: int = -1) -> Bools:
    """Which values lie more than ``threshold`` MADs (scaled by 1.4826) from the median; shape of ``values``.

    Where the MAD is 0 every value other than the median is one.

    Source: Iglewicz and Hoaglin, "How to Detect and Handle Outliers", 1993 (the modified z-score: their 0.6745 is
    1 / 1.4826).
    """
    data = _line(values, axis)
    checks.between("threshold", threshold, 0, checks.LARGEST)
    distance = np.abs(data - np.median(data, axis=-1, keepdims=True))
    spread = MAD_SCALE * np.median(distance, axis=-1, keepdims=True)
    return np.moveaxis(distance > threshold * spread, -1, axis)


def _line(values: npt.ArrayLike, axis: int) -> Floats:
    data = checks.floats("values", values)
    if not -data.ndim <= axis < data.ndim:
        raise ValueError(f"values has shape {data.shape}, so there is no axis {axis}")
    return np.moveaxis(data, axis, -1)
