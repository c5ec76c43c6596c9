"""How evenly something is shared out: entropy, and the number of equal holders that would be as even.

For emission among miners, stake among validators, or answers among choices. Shares are any numbers
>= 0, (..., k); each row is divided by its sum. Raises ValueError for NaN, infinities, negatives and a row of zeros.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from subnet.scoring import checks
from subnet.scoring.checks import Floats


def entropy(shares: npt.ArrayLike, *, base: float = math.e) -> Floats:
    """Shannon's entropy ``-sum p log p``, from 0 (one has all) to log k: (..., k) to (...), in nats.

    With ``base`` 2 in bits.

    Source: Shannon, "A Mathematical Theory of Communication", 1948.
    """
    p = _shares(shares)
    checks.between("base", base, 1, checks.LARGEST, open_at="low")
    logs = np.log(np.where(p > 0, p, 1.0))
    return np.asarray(np.maximum(-(p * logs).sum(axis=-1), 0.0) / math.log(base))


def effective_number(shares: npt.ArrayLike, *, order: float = 1.0) -> Floats:
    """Hill's number of ``order``: (..., k) to (...), from 1 (one has all) to k (all have the same).

    Order 0 counts holders, 1 is exp(entropy), 2 is 1 / sum of squared shares (the inverse of the Herfindahl-Hirschman
    index), and infinity 1 / the largest share; the higher, the less small holders count.

    Source: Hill, "Diversity and Evenness: A Unifying Notation and Its Consequences", Ecology 1973.
    """
    p = _shares(shares)
    if order != math.inf:
        checks.between("order", order, 0, checks.LARGEST)
    if abs(order - 1) < 1e-6:  # the limit at 1; so near it the quotient below is noise
        return np.asarray(np.exp(entropy(p)))
    largest = p.max(axis=-1)
    if math.isinf(order):
        return np.asarray(1.0 / largest)
    # in units of the largest share, whose power would vanish for high orders
    with np.errstate(under="ignore"):
        parts = np.where(p > 0, (p / largest[..., None]) ** order, 0.0)
    return np.asarray(np.exp((np.log(parts.sum(axis=-1)) + order * np.log(largest)) / (1.0 - order)))


def _shares(shares: npt.ArrayLike) -> Floats:
    values = checks.not_negative("shares", shares)
    if values.ndim == 0:
        raise ValueError("shares is one number, expected the shape (..., k)")
    largest = values.max(axis=-1, keepdims=True)
    if (largest == 0).any():
        raise ValueError("shares are all 0")
    scaled = values / largest
    return np.asarray(scaled / scaled.sum(axis=-1, keepdims=True))
