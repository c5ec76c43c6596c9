"""Quantiles of a mixture of Student-t distributions: the interval of a forecast that is itself a mixture."""

from __future__ import annotations

import numpy as np
from scipy.special import stdtr, stdtrit

from subnet.scoring.checks import Floats

_HALVINGS = 32
"""To a 4,000,000,000th of the distance between the components' quantiles."""


def t_mixture_quantiles(levels: Floats, weights: Floats, centres: Floats, scales: Floats, degrees: float) -> Floats:
    """Quantiles (n,) at ``levels`` (n,), each in (0, 1), of the mixture of t distributions of ``degrees`` of freedom.

    ``weights`` (m,) sum to 1; ``centres`` (m,) and ``scales`` (m,), above 0, are in the unit of the result. A quantile
    of the mixture lies between the least and the greatest of its components'; bisection finds it there.
    """
    each = centres + scales * stdtrit(degrees, levels)[:, None]
    low, high = each.min(1), each.max(1)
    for _ in range(_HALVINGS):
        middle = low + (high - low) / 2
        below = stdtr(degrees, (middle[:, None] - centres) / scales) @ weights < levels
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    found: Floats = low + (high - low) / 2
    return found
