"""Proper scoring rules: penalties that a forecaster makes smallest, on average, by saying what it believes.

Arrays broadcast; float64 out; lower is better, 0 is perfect. A penalty is no score: put it through
:func:`skill` (or ``exp(-penalty)``) before it enters a moving score, where higher is better. Raises
ValueError for NaN, infinities, numbers beyond 1e150 and shapes that don't go together.

Source, where none is named: Gneiting and Raftery, "Strictly Proper Scoring Rules, Prediction, and
Estimation", JASA 2007.
"""

from __future__ import annotations

import math
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from subnet.scoring import checks
from subnet.scoring.checks import Floats

_SUMS_TO_ONE: Final = 1e-6


def log_score(probabilities: npt.ArrayLike, outcome: npt.ArrayLike, *, floor: float = 0.0) -> Floats:
    """``-ln`` of the probability given to what happened, in nats.

    ``probabilities`` (..., k), each row summing to 1; ``outcome`` (...), integers 0 to k-1. What was
    said to be impossible costs infinity, unless ``floor`` (0 to 1) is the least a probability counts for.

    Source: Good, "Rational Decisions", JRSS B 1952.
    """
    checks.between("floor", floor, 0, 1)
    said = _of_outcome(*_categories(probabilities, outcome))
    with np.errstate(divide="ignore"):
        return np.asarray(-np.log(np.maximum(said, floor)) + 0.0)  # not -0.0


def brier(probabilities: npt.ArrayLike, outcome: npt.ArrayLike) -> Floats:
    """Sum over the k categories of (probability - 1 if it happened else 0) squared: 0 to 2.

    ``probabilities`` (..., k), each row summing to 1; ``outcome`` (...), integers 0 to k-1.

    Source: Brier, "Verification of Forecasts Expressed in Terms of Probability", Monthly Weather Review 1950.
    """
    said, happened = _categories(probabilities, outcome)
    return np.asarray((said**2).sum(axis=-1) - 2 * _of_outcome(said, happened) + 1.0).clip(0.0)


def brier_binary(probability: npt.ArrayLike, happened: npt.ArrayLike) -> Floats:
    """(probability - happened) squared, 0 to 1: half of what :func:`brier` says of two categories.

    ``happened`` is bool, or 0 and 1.
    """
    said = checks.floats("probability", probability)
    truth = checks.floats("happened", happened)
    checks.alike(probability=said, happened=truth)
    if not ((said >= 0) & (said <= 1)).all():
        raise ValueError("probability holds a number outside 0 to 1")
    if not np.isin(truth, (0.0, 1.0)).all():
        raise ValueError("happened holds something else than 0 and 1")
    return np.asarray((said - truth) ** 2)


def crps_ensemble(
    members: npt.ArrayLike, observed: npt.ArrayLike, *, estimator: Literal["empirical", "fair"] = "empirical"
) -> Floats:
    """Continuous ranked probability score of an ensemble, ``E|X - y| - E|X - X'| / 2``, in the unit of the data.

    ``members`` (..., m), in any order; ``observed`` (...). ``"empirical"`` takes the ensemble for the whole
    distribution; ``"fair"`` takes it for a sample of it (pairs of different members only: m (m - 1) of
    them, m >= 2), so that ensembles of different sizes compare; it is also known as the PWM estimator,
    and may be below 0. One member: the absolute error. O(m log m).

    Source: Matheson and Winkler 1976; Ferro, "Fair scores for ensemble forecasts", QJRMS 2014; Zamo and
    Naveau, Mathematical Geosciences 2018 (that the fair and the PWM forms are one).
    """
    if estimator not in ("empirical", "fair"):
        raise ValueError(f"estimator is {estimator!r}, expected 'empirical' or 'fair'")
    x = np.sort(_with_axis("members", checks.floats("members", members)), axis=-1)
    y = checks.floats("observed", observed)
    checks.alike(members=x[..., 0], observed=y)
    m = x.shape[-1]
    if estimator == "fair" and m < 2:
        raise ValueError("the fair estimator needs 2 members or more")
    error = np.abs(x - y[..., None]).mean(axis=-1)
    # sum over pairs |x_i - x_j| of sorted members; centred, or large members would cancel to noise
    centred = x - x[..., :1]
    spread = (centred * (2.0 * np.arange(1, m + 1) - m - 1)).sum(axis=-1)
    return np.asarray(error - spread / (m * m if estimator == "empirical" else m * (m - 1)))


def crps_gaussian(mean: npt.ArrayLike, deviation: npt.ArrayLike, observed: npt.ArrayLike) -> Floats:
    """CRPS of a normal forecast: ``s (z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi))`` with ``z = (y - mean) / s``.

    In the unit of the data; ``deviation`` s >= 0 (0: the absolute error).

    Source: Gneiting, Raftery, Westveld and Goldman, Monthly Weather Review 2005, equation 5.
    """
    from scipy.special import ndtr

    mu, s, y = (
        checks.floats("mean", mean),
        checks.not_negative("deviation", deviation),
        checks.floats("observed", observed),
    )
    checks.alike(mean=mu, deviation=s, observed=y)
    error = y - mu
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        z = np.where(error == 0, 0.0, error / s)
        density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return np.asarray(error * (2 * ndtr(z) - 1) + s * (2 * density - 1 / math.sqrt(math.pi)))


def pinball(quantile: npt.ArrayLike, observed: npt.ArrayLike, level: npt.ArrayLike) -> Floats:
    """Quantile loss: ``level * (y - q)`` if y is above the forecast quantile q, else ``(1 - level) * (q - y)``.

    In the unit of the data; ``level`` strictly between 0 and 1. At 1/2 it is half the absolute error.

    Source: Koenker and Bassett, "Regression Quantiles", Econometrica 1978.
    """
    q, y, t = checks.floats("quantile", quantile), checks.floats("observed", observed), _inside("level", level)
    checks.alike(quantile=q, observed=y, level=t)
    return np.asarray(np.where(y >= q, t * (y - q), (1 - t) * (q - y)))


def interval_score(low: npt.ArrayLike, high: npt.ArrayLike, observed: npt.ArrayLike, coverage: npt.ArrayLike) -> Floats:
    """Width of a central prediction interval, plus 2 / (1 - coverage) times what it missed by.

    In the unit of the data; ``low <= high``; ``coverage`` strictly between 0 and 1 (0.9: 5% left out on each side).

    Source: Winkler, "A Decision-Theoretic Approach to Interval Estimation", JASA 1972.
    """
    lower, upper = checks.floats("low", low), checks.floats("high", high)
    y, c = checks.floats("observed", observed), _inside("coverage", coverage)
    checks.alike(low=lower, high=upper, observed=y, coverage=c)
    if (lower > upper).any():
        raise ValueError("low is above high")
    missed = np.maximum(lower - y, 0.0) + np.maximum(y - upper, 0.0)
    return np.asarray(upper - lower + 2.0 / (1.0 - c) * missed)


def skill(penalty: npt.ArrayLike, reference: npt.ArrayLike) -> Floats:
    """``1 - penalty / reference``, no lower than 0: the part of a reference forecast's penalty that is saved.

    For mean penalties over the same outcomes; 1 is perfect, 0 is no better than the reference (climatology,
    the last value, the peers' median). An infinite penalty has no skill; a reference of 0 leaves none to gain, so that
    everything scores 0. As a score in (0, 1] it pays only who beats the reference; the clip costs propriety below it.

    Source: Murphy, "Skill Scores Based on the Mean Square Error", Monthly Weather Review 1988.
    """
    cost = checks.numbers("penalty", penalty)
    base = checks.not_negative("reference", reference)
    checks.alike(penalty=cost, reference=base)
    if np.isnan(cost).any():
        raise ValueError("penalty holds NaN")
    bears = np.isfinite(cost) & (base > 0)
    with np.errstate(over="ignore"):
        saved = 1.0 - np.where(bears, cost, 1.0) / np.where(bears, base, 1.0)
    return np.asarray(np.where(bears, np.clip(saved, 0.0, 1.0), 0.0))


def _with_axis(name: str, array: Floats) -> Floats:
    if array.ndim == 0:
        raise ValueError(f"{name} is one number, expected the shape (..., k)")
    return array


def _categories(probabilities: npt.ArrayLike, outcome: npt.ArrayLike) -> tuple[Floats, checks.Integers]:
    said = _with_axis("probabilities", checks.floats("probabilities", probabilities))
    happened = checks.indices("outcome", outcome, said.shape[-1])
    if happened.shape != said.shape[:-1]:
        raise ValueError(f"outcome has shape {happened.shape}, expected {said.shape[:-1]}")
    if not ((said >= 0) & (said <= 1)).all() or (np.abs(said.sum(axis=-1) - 1) > _SUMS_TO_ONE).any():
        raise ValueError("probabilities must be from 0 to 1 and sum to 1")
    return said, happened


def _of_outcome(said: Floats, happened: checks.Integers) -> Floats:
    return np.asarray(np.take_along_axis(said, happened[..., None], axis=-1)[..., 0])


def _inside(name: str, values: npt.ArrayLike) -> Floats:
    array = checks.floats(name, values)
    if not ((array > 0) & (array < 1)).all():
        raise ValueError(f"{name} holds a number that is not strictly between 0 and 1")
    return array
