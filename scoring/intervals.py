"""How sure a score is: confidence intervals on accuracies, correlations and whatever else a validator computes.

Each returns an :class:`Interval` that holds the truth in ``confidence`` of all cases, 0.95 unless told. Two miners
whose intervals lie apart do differ; where they overlap more questions are needed. Raises
ValueError for input that bears no interval.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from subnet.scoring import checks
from subnet.scoring.checks import Floats

MOST_CASES: Final = 1 << 53
MOST_RESAMPLED: Final = 100_000_000
"""Numbers that one bootstrap draws, values times resamples."""


class Interval(NamedTuple):
    """``low <= estimate <= high``, in the score's own unit."""

    estimate: float
    low: float
    high: float

    def apart(self, other: Interval) -> bool:
        """Whether the two intervals share no point."""
        return self.high < other.low or other.high < self.low


def wilson(successes: int, cases: int, *, confidence: float = 0.95) -> Interval:
    """Wilson's score interval on a proportion: near ``confidence`` on average, never outside 0 to 1.

    ``successes`` of ``cases`` >= 1, such as right answers. The estimate is their quotient.

    Source: Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 1927.
    """
    p, n = _proportion(successes, cases)
    z2 = _z(confidence) ** 2
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (p * (1 - p) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    # at the ends the formula is exact on paper only
    return Interval(p, 0.0 if successes == 0 else middle - half, 1.0 if successes == cases else middle + half)


def clopper_pearson(successes: int, cases: int, *, confidence: float = 0.95) -> Interval:
    """The exact interval on a proportion: at least ``confidence`` for every truth, and so wider than Wilson's.

    Source: Clopper and Pearson, "The Use of Confidence or Fiducial Limits Illustrated in the Case of the
    Binomial", Biometrika 1934.
    """
    from scipy.special import betaincinv

    p, n = _proportion(successes, cases)
    tail = _tail(confidence)
    low = 0.0 if successes == 0 else float(betaincinv(successes, n - successes + 1, tail))
    high = 1.0 if successes == n else float(betaincinv(successes + 1, n - successes, 1 - tail))
    return Interval(p, low, high)


def fisher_z(correlation: float, pairs: int, *, confidence: float = 0.95) -> Interval:
    """Interval on Pearson's correlation of ``pairs`` >= 4 pairs of values, by ``tanh(artanh r ± z / sqrt(n - 3))``.

    For values that are jointly normal, or nearly. A correlation of 1 or -1 has no width.

    Source: Fisher, "On the 'Probable Error' of a Coefficient of Correlation Deduced from a Small Sample", Metron 1921.
    """
    r = checks.between("correlation", correlation, -1, 1)
    half = _z(confidence) / math.sqrt(checks.count("pairs", pairs, 4, MOST_CASES) - 3)
    if abs(r) == 1:
        return Interval(r, r, r)
    return Interval(r, math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half))


def bootstrap(
    values: npt.ArrayLike,
    statistic: Callable[..., Any] = np.mean,
    *,
    confidence: float = 0.95,
    method: Literal["percentile", "bca"] = "bca",
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Interval on any ``statistic(values, axis=-1)`` of (n,) values, n >= 2, by drawing them again with replacement.

    ``"percentile"`` takes the quantiles of what was drawn; ``"bca"`` corrects them for bias and skewness, and is
    the better one from ten values or so. ``seed`` makes it repeatable; ``resamples`` of 100 and more, with n
    times it at most ``MOST_RESAMPLED``, as must be n times n for BCa. Where BCa is undefined (leaving one value out
    changes nothing, as with some medians) the percentiles stand in. An interval is widened to hold its estimate.

    Source: Efron, Annals of Statistics 1979; Efron, "Better Bootstrap Confidence Intervals", JASA 1987. By scipy.
    """
    from scipy import stats

    data = checks.floats("values", values, ndim=1, least=2)
    tail = _tail(confidence)
    if method not in ("percentile", "bca"):
        raise ValueError(f"method is {method!r}, expected 'percentile' or 'bca'")
    checks.count("resamples", resamples, 100, MOST_RESAMPLED // data.size)
    if method == "bca" and data.size**2 > MOST_RESAMPLED:
        raise ValueError(f"BCa of {data.size} values leaves each out in turn: take 'percentile', or fewer values")
    estimate = float(statistic(data, axis=-1))
    if (data == data[0]).all():
        return Interval(estimate, estimate, estimate)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # degenerate data, which is dealt with below
        result = stats.bootstrap(
            (data,),
            statistic,
            axis=-1,
            confidence_level=confidence,
            method="BCa" if method == "bca" else method,
            n_resamples=resamples,
            rng=np.random.default_rng(seed),
            batch=max(1, 4_000_000 // data.size),  # 32 MB of float64 at a time
            vectorized=True,
        )
    drawn: Floats = np.asarray(result.bootstrap_distribution)
    if not np.isfinite(drawn).all() or not math.isfinite(estimate):
        raise ValueError("the statistic gives NaN or an infinity, of the values or of a resample")
    low, high = map(float, result.confidence_interval)
    if not (
        math.isfinite(low) and math.isfinite(high)
    ):  # leaving one out changes nothing, or all draws lie to one side
        low, high = map(float, np.quantile(drawn, [tail, 1 - tail]))
    return Interval(estimate, min(low, estimate), max(high, estimate))


def _proportion(successes: int, cases: int) -> tuple[float, int]:
    n = checks.count("cases", cases, 1, MOST_CASES)
    return checks.count("successes", successes, 0, n) / n, n


def _tail(confidence: float) -> float:
    return (1 - checks.between("confidence", confidence, 0, 1, open_at="low high")) / 2


def _z(confidence: float) -> float:
    from scipy.special import ndtri

    return float(-ndtri(_tail(confidence)))
