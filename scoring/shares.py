"""From scores to shares that sum to 1: in proportion, by softmax, by rank, or most of it to the best.

Arrays (n,) in, float64 (n,) out; all but :func:`by_softmax` give nothing for a score of 0, and zeros if
nobody scored (an even split would pay those who did nothing). The last step to the u16 weights
of ``set_weights`` is :func:`subnet.scoring.weights.normalise`, with the chain's own
:func:`subnet.scoring.weights.max_upscale_u16`. Raises ValueError for NaN, infinities and, except in the softmax
and the clip, scores below 0; :func:`scorable` clears those away first.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from subnet.scoring import checks
from subnet.scoring.checks import Floats


def scorable(scores: npt.ArrayLike, instead: float = 0.0) -> Floats:
    """``scores`` with ``instead`` wherever one is NaN, infinite, below 0 or beyond 1e150; any shape."""
    values = checks.numbers("scores", scores, least=0)
    with np.errstate(invalid="ignore"):
        return np.where((values >= 0) & (values <= checks.LARGEST), values, instead)


def by_sum(scores: npt.ArrayLike) -> Floats:
    """Each score's part of the sum."""
    return _parts(checks.not_negative("scores", scores, ndim=1))


def by_softmax(scores: npt.ArrayLike, temperature: float = 1.0) -> Floats:
    """``exp(score / temperature)`` in proportion; never overflows.

    ``temperature`` > 0 is in the unit of the scores: towards 0 the best takes all (equals share), towards
    infinity all get the same. It pays everybody something, a score of 0 too. Scores may be negative.

    Source: Boltzmann's distribution; "softmax" and its use: Bridle, NIPS 1989.
    """
    values = checks.floats("scores", scores, ndim=1)
    checks.between("temperature", temperature, 0, checks.LARGEST, open_at="low")
    with np.errstate(over="ignore"):  # what is infinitely far below the best gets exp(-inf) = 0
        return _parts(np.exp((values - values.max()) / temperature))


def by_rank(scores: npt.ArrayLike) -> Floats:
    """In proportion to the rank among the scores above 0: the lowest has 1, equals the mean of their ranks.

    Distances between scores no longer count, so that one outlier can't take the round.

    Source of the ranks of equals (midranks): Wilcoxon, Biometrics Bulletin 1945.
    """
    values = checks.not_negative("scores", scores, ndim=1)
    _, place, sizes = np.unique(values, return_inverse=True, return_counts=True)
    midranks = np.cumsum(sizes) - (sizes - 1) / 2 - np.count_nonzero(values == 0)
    return _parts(np.where(values > 0, midranks[place], 0.0))


def by_power(scores: npt.ArrayLike, exponent: float = 2.0) -> Floats:
    """``score ** exponent`` in proportion: above 1 the winner takes most, towards infinity the winner takes all.

    With scores s and exponent p the best of two earns ``(s1 / s2) ** p`` times the other. ``exponent`` > 0.

    Source: Tullock's contest success function, "Efficient Rent Seeking", 1980.
    """
    values = checks.not_negative("scores", scores, ndim=1)
    checks.between("exponent", exponent, 0, checks.LARGEST, open_at="low")
    largest = values.max()
    with np.errstate(under="ignore"):
        return _parts((values / largest) ** exponent) if largest > 0 else np.zeros_like(values)


def by_top_k(scores: npt.ArrayLike, k: int) -> Floats:
    """Only the ``k`` best are paid, in proportion to their scores.

    Those equal at the cut share the places that are left: each counts for places / equals of its score, so that
    neither the order of uids nor a swarm of equal copies decides who is in. ``k`` from 1 up.
    """
    values = checks.not_negative("scores", scores, ndim=1)
    checks.count("k", k, 1, 1 << 31)
    if k >= values.size:
        return _parts(values)
    cut = np.partition(values, -k)[-k]
    above, equal = values > cut, values == cut
    part = (k - np.count_nonzero(above)) / np.count_nonzero(equal)
    return _parts(np.where(above, values, np.where(equal, values * part, 0.0)))


def clip_quantiles(scores: npt.ArrayLike, low: float = 0.05, high: float = 0.95) -> Floats:
    """Scores cut to the range between their ``low`` and ``high`` quantiles; any sign; (n,) to (n,).

    Quantiles are linear between order statistics (Hyndman and Fan 1996, definition 7). Bounds what one
    outlier does to whatever comes after: winsorising, Tukey, "The Future of Data Analysis", 1962.
    """
    values = checks.floats("scores", scores, ndim=1)
    checks.between("low", low, 0, 1)
    checks.between("high", high, low, 1)
    bottom, top = np.quantile(values, [low, high])
    return np.asarray(np.clip(values, bottom, top))


def _parts(values: Floats) -> Floats:
    largest = values.max()
    if largest == 0:
        return np.zeros_like(values)
    scaled: Floats = values / largest  # the sum of subnormal scores has no precision, that of huge ones none to spare
    return np.asarray(scaled / scaled.sum())
