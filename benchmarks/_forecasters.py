"""Real forecasters on real series, strictly one step ahead: each row is made of the values before it alone.

Series (statsmodels carries them): yearly sunspots 1700-2008, monthly CO2 at Mauna Loa (means of its weeks),
quarterly unemployment in the USA 1959-2009. Models are fitted again every ``REFIT`` steps on all values so far and
carried forward between.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SERIES = {"sunspots": 11, "co2": 12, "unemployment": 4}
"""Name and season, in steps."""
WARMUP = 40
"""Values before the first forecast."""
REFIT = 48


def series(name: str) -> Floats:
    """The values, oldest first."""
    import statsmodels.api as sm

    if name == "sunspots":
        return np.asarray(sm.datasets.sunspots.load_pandas().data["SUNACTIVITY"], dtype=np.float64)
    if name == "co2":
        monthly = sm.datasets.co2.load_pandas().data["co2"].resample("MS").mean().dropna()
        return np.asarray(monthly, dtype=np.float64)
    return np.asarray(sm.datasets.macrodata.load_pandas().data["unemp"], dtype=np.float64)


def naive(values: Floats, season: int) -> Floats:
    return _each(values, lambda past: past[-1])


def seasonal_naive(values: Floats, season: int) -> Floats:
    return _each(values, lambda past: past[-season])


def drift(values: Floats, season: int) -> Floats:
    return _each(values, lambda past: past[-1] + (past[-1] - past[0]) / (len(past) - 1))


def window_mean(values: Floats, season: int) -> Floats:
    return _each(values, lambda past: past[-season:].mean())


def autoregression(values: Floats, season: int) -> Floats:
    """AR of one season's lags by least squares."""
    from statsmodels.tsa.ar_model import AutoReg

    def forecaster(past: Floats) -> Callable[[Floats], float]:
        constant, *lags = AutoReg(past, lags=season).fit().params
        return lambda now: float(constant + np.dot(lags, now[-1 : -season - 1 : -1]))

    return _refitted(values, forecaster)


def arima(values: Floats, season: int) -> Floats:
    from statsmodels.tsa.arima.model import ARIMA

    return _state_space(values, lambda past: ARIMA(past, order=(2, 1, 1)).fit())


def exponential_smoothing(values: Floats, season: int) -> Floats:
    """Holt's damped trend."""
    from statsmodels.tsa.statespace.exponential_smoothing import ExponentialSmoothing

    return _state_space(values, lambda past: ExponentialSmoothing(past, trend=True, damped_trend=True).fit(disp=0))


def seasonal_smoothing(values: Floats, season: int) -> Floats:
    from statsmodels.tsa.statespace.exponential_smoothing import ExponentialSmoothing

    return _state_space(
        values, lambda past: ExponentialSmoothing(past, trend=True, seasonal=season).fit(disp=0, maxiter=30)
    )


def gradient_boosting(values: Floats, season: int) -> Floats:
    """Boosted trees on the last changes, which forecast the next change."""
    from sklearn.ensemble import GradientBoostingRegressor

    def forecaster(past: Floats) -> Callable[[Floats], float]:
        changes = np.diff(past)
        rows = np.lib.stride_tricks.sliding_window_view(changes, season)[:-1]
        model = GradientBoostingRegressor(n_estimators=60, max_depth=3, random_state=0)
        model.fit(rows, changes[season:])
        return lambda now: float(now[-1] + model.predict(np.diff(now)[None, -season:])[0])

    return _refitted(values, forecaster)


FORECASTERS = (
    naive,
    seasonal_naive,
    drift,
    window_mean,
    autoregression,
    arima,
    exponential_smoothing,
    seasonal_smoothing,
    gradient_boosting,
)


def forecasts(name: str) -> tuple[Floats, Floats]:
    """Truths (n,) and forecasts (n, len(FORECASTERS)) of a series, from step ``WARMUP`` on."""
    values, season = series(name), SERIES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a fit that hasn't quite converged is a forecaster, too
        made = [forecaster(values, season) for forecaster in FORECASTERS]
    return values[WARMUP:], np.stack(made, axis=1)


def _each(values: Floats, rule: Callable[[Floats], float]) -> Floats:
    return np.array([rule(values[:t]) for t in range(WARMUP, len(values))])


def _refitted(values: Floats, fit: Callable[[Floats], Callable[[Floats], float]]) -> Floats:
    rule, made = fit(values[:WARMUP]), []
    for t in range(WARMUP, len(values)):
        if t > WARMUP and (t - WARMUP) % REFIT == 0:
            rule = fit(values[:t])
        made.append(rule(values[:t]))
    return np.array(made)


def _state_space(values: Floats, fit: Callable[[Floats], Any]) -> Floats:
    """A model of statsmodels, its parameters fitted now and then and its state moved on by each value."""
    result = fit(values[:WARMUP])
    made = [float(result.forecast(1)[0])]
    for t in range(WARMUP + 1, len(values)):
        due = (t - WARMUP) % REFIT == 0
        result = fit(values[:t]) if due else result.append(values[t - 1 : t], refit=False)
        made.append(float(result.forecast(1)[0]))
    return np.array(made)
