"""Streams of forecasts and truths that tests of aggregators share."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from subnet.scoring.aggregator import Aggregator
from subnet.scoring.checks import Floats


def regimes(seed: int, steps: int) -> tuple[Floats, Floats]:
    """Truths (n,) of an AR(1) whose coefficient changes, and forecasts (n, 5): benchmarks/forecast.py says more."""
    rng = np.random.default_rng(seed)
    own = np.array([0.95, -0.6, 0.3, 1.0, 0.5])
    truths, forecasts = np.zeros(steps), np.zeros((steps, 5))
    regime, value = int(rng.integers(3)), 0.0
    for t in range(steps):
        if rng.random() < 0.01:
            regime = int(rng.integers(3))
        forecasts[t] = own * value + 0.15 * rng.standard_normal(5)
        value = own[regime] * value + (0.5, 0.8, 0.3)[regime] * rng.standard_normal()
        truths[t] = value
    return truths, forecasts


def feed(aggregator: Aggregator, truths: Floats, forecasts: Floats) -> Floats:
    """Predictions (n,), each made before its truth is shown."""
    predictions = np.zeros(len(truths))
    for t, truth in enumerate(truths):
        predictions[t] = aggregator.predict(forecasts[t])
        aggregator.learn(float(truth))
    return predictions


def rmse(errors: Floats, after: int = 0) -> float:
    return float(np.sqrt(np.mean(errors[after:] ** 2)))


def to_best(predictions: Floats, truths: Floats, forecasts: Floats, after: int = 100) -> float:
    """Root mean squared error, that of the best single forecaster being 1."""
    best = min(rmse(forecast - truths, after) for forecast in forecasts.T)
    return rmse(predictions - truths, after) / best


def close(a: Iterable[float], b: Iterable[float], tolerance: float = 1e-7) -> bool:
    a, b = np.asarray(list(a)), np.asarray(list(b))
    return bool(np.allclose(a, b, rtol=tolerance, atol=tolerance * np.abs(b).max()))
