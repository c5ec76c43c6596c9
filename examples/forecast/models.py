"""What the miners forecast with: real models of a monthly series, each asked for the month after its history.

A model is made once and asked step by step. It fits its parameters when it is first asked and again every ``REFIT``
months; between, it only carries its state forward, so that an answer takes milliseconds. ``history`` is (n,) °C or
whatever the series is in, oldest first, its first value a January.
"""

from __future__ import annotations

import warnings
from typing import Any, Final, Protocol

import numpy as np

from subnet.examples.forecast.topic import SEASON, Floats
from subnet.scoring.synthesis_weights import weighted_mean

REFIT: Final = 24
SHORTEST: Final = 60
"""Months of history that every model can work with."""


class Model(Protocol):
    """Forecasts one month ahead."""

    def forecast(self, history: Floats) -> float:
        """The value after ``history``, at least ``SHORTEST`` months. Raises ValueError for less."""


class Naive:
    """Next month is as this one."""

    def forecast(self, history: Floats) -> float:
        return float(_enough(history)[-1])


class SeasonalNaive:
    """Next month is as it was a year ago."""

    def forecast(self, history: Floats) -> float:
        return float(_enough(history)[-SEASON])


class _Refitted:
    """Keeps the parameters of a fit until ``REFIT`` months have passed, or the history turns out to be another."""

    parameters: Any = None
    _fitted: int = 0

    def _due(self, history: Floats) -> bool:
        n = len(_enough(history))
        due = self.parameters is None or not 0 <= n - self._fitted < REFIT
        if due:
            self._fitted = n
        return due


class Smoothing(_Refitted):
    """Holt and Winters' exponential smoothing: a level and twelve months that add to it (statsmodels)."""

    years = 15

    def forecast(self, history: Floats) -> float:
        with _one_thread():
            return self._forecast(history)

    def _forecast(self, history: Floats) -> float:
        from statsmodels.tsa.holtwinters import ExponentialSmoothing

        recent = _enough(history)[-self.years * SEASON :]
        if self._due(history):
            free = ExponentialSmoothing(
                recent, seasonal="add", seasonal_periods=SEASON, initialization_method="estimated"
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # an optimiser that stops early has parameters all the same
                found = free.fit().params
            self.parameters = {name: found[name] for name in ("smoothing_level", "smoothing_seasonal")}
        fixed = ExponentialSmoothing(recent, seasonal="add", seasonal_periods=SEASON, initialization_method="heuristic")
        return float(fixed.fit(**self.parameters, optimized=False).forecast(1)[0])


class Arima(_Refitted):
    """ARMA(2, 1) around a yearly wave of two harmonics, by maximum likelihood (statsmodels)."""

    years = 12

    def forecast(self, history: Floats) -> float:
        with _one_thread():
            return self._forecast(history)

    def _forecast(self, history: Floats) -> float:
        from statsmodels.tsa.arima.model import ARIMA

        recent = _enough(history)[-self.years * SEASON :]
        months = np.arange(len(history) - len(recent), len(history) + 1)
        waves = _waves(months, harmonics=2)
        model = ARIMA(recent, exog=waves[:-1], order=(2, 0, 1))
        if self._due(history):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # as above
                self.parameters = model.fit(cov_type="none", method_kwargs={"maxiter": 30}).params
        return float(model.filter(self.parameters).forecast(1, exog=waves[-1:])[0])


class Boosting(_Refitted):
    """Gradient boosting of the month's change on lags and season (scikit-learn). ``seed`` chooses its subsamples."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def forecast(self, history: Floats) -> float:
        if self._due(history):
            from sklearn.ensemble import GradientBoostingRegressor

            at = np.arange(SEASON + 2, len(history))
            free = GradientBoostingRegressor(
                n_estimators=120, max_depth=3, learning_rate=0.05, subsample=0.7, random_state=self.seed
            )
            self.parameters = free.fit(_lags(history, at), history[at] - history[at - 1])
        change = self.parameters.predict(_lags(history, np.array([len(history)])))
        return float(history[-1] + change[0])


class Network(_Refitted):
    """A small torch network on the last thirteen months and the season. ``seed`` chooses where it begins."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def forecast(self, history: Floats) -> float:
        import torch

        mean, spread = float(_enough(history).mean()), float(history.std()) or 1.0
        scaled = (history - mean) / spread
        if self._due(history):
            self.parameters = self._trained(scaled)
        with torch.inference_mode():
            change = self.parameters(_inputs(scaled, np.array([len(history)])))
        return float(mean + spread * (scaled[-1] + change.item()))

    def _trained(self, scaled: Floats) -> Any:
        import torch

        torch.set_num_threads(1)  # the other miners want the other cores
        torch.manual_seed(self.seed)
        at = np.arange(SEASON + 1, len(scaled))
        inputs, change = _inputs(scaled, at), torch.tensor(scaled[at] - scaled[at - 1], dtype=torch.float32)
        network = torch.nn.Sequential(torch.nn.Linear(SEASON + 3, 24), torch.nn.Tanh(), torch.nn.Linear(24, 1))
        optimiser = torch.optim.Adam(network.parameters(), lr=0.01, weight_decay=1e-3)
        for _ in range(300):
            optimiser.zero_grad()
            torch.nn.functional.mse_loss(network(inputs)[:, 0], change).backward()
            optimiser.step()
        return network


class Expectations:
    """Forecasts what each inferer will lose: a ridge regression of its log10 losses on season and past losses.

    Some models lose in one season what they win in another.
    """

    least = 12
    ridge = 5.0

    def forecast(self, losses: Floats, history: Floats) -> Floats:
        """(w,) log10 losses expected in the month after ``history``, NaN for who was never there.

        ``losses`` (m, w): of the last m months, oldest first, NaN where an inferer was not there.
        """
        months, workers = losses.shape
        usual = (
            weighted_mean(losses.T, np.asarray(0.9 ** np.arange(months)[::-1])) if months else np.full(workers, np.nan)
        )
        if months < self.least:
            return usual
        return np.array([self._one(losses[:, worker], usual[worker], len(history)) for worker in range(workers)])

    def _one(self, losses: Floats, usual: float, now: int) -> float:
        months = len(losses)
        filled = np.where(np.isfinite(losses), losses, usual)
        at = np.arange(1, months + 1)
        before = np.cumsum(filled) / at  # the mean up to each month
        waves = _waves(now - months + at, harmonics=1)
        table = np.column_stack([waves, filled - before, before - usual])
        asked, known = table[-1], np.isfinite(losses[1:])
        x, y = table[:-1][known], losses[1:][known] - usual
        if len(y) < self.least - 1:
            return usual
        slopes = np.linalg.solve(x.T @ x + self.ridge * np.eye(x.shape[1]), x.T @ y)
        return float(usual + asked @ slopes)


def _one_thread() -> Any:
    """For matrices as small as these more threads of BLAS only wait for each other: eight times the CPU."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(limits=1)


def _enough(history: Floats) -> Floats:
    if len(history) < SHORTEST or not np.isfinite(history).all():
        raise ValueError(f"a history of {len(history)} months, expected {SHORTEST} numbers at least")
    return history


def _waves(months: Any, harmonics: int) -> Floats:
    """(n, 2 x harmonics): sine and cosine of the year, of the half year and so on."""
    angle = 2 * np.pi * np.asarray(months)[:, np.newaxis] * np.arange(1, harmonics + 1) / SEASON
    return np.concatenate([np.sin(angle), np.cos(angle)], axis=1)


def _lags(history: Floats, at: Any) -> Floats:
    """(n, 9): what was known before each month of ``at``."""
    last, before, year = history[at - 1], history[at - 2], history[at - SEASON - 1]
    steps = [last, before, history[at - 3], history[at - SEASON], year, last - before, last - year]
    return np.column_stack([*steps, _waves(at, harmonics=1)])


def _inputs(scaled: Floats, at: Any) -> Any:
    import torch

    lags = scaled[np.asarray(at)[:, np.newaxis] - np.arange(SEASON + 1, 0, -1)]
    return torch.tensor(np.column_stack([lags, _waves(at, harmonics=1)]), dtype=torch.float32)
