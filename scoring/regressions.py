"""Regressions that correct forecasts by each other, learned by Kalman steps.

Regression j forecasts ``c_j + sum_i b_ji (f_i - c_j)``, where the centre c_j is forecaster j's own forecast for
j < k and the mean of all for j = k, and f_i are the forecasts and one constant, the mean of the truths so far: weights
of sum 1, negative ones included, and an intercept, as in Granger and Ramanathan, Improved methods of combining
forecasts, Journal of Forecasting 3, 1984. Nothing depends on the unit or the zero of the forecasts.

The coefficients start at 0 with variance ``1 / PRIOR`` and learn by the recursive least squares of the Kalman filter,
under a precision given for each step (0 where the step is not j's to learn from). As they learn they drift back with
the same stationary variance, so that they never stop learning, and never diverge where nothing is learned: the
time-varying parameters of Raftery, Karny and Ettler, Online prediction under model uncertainty via dynamic model
averaging, Technometrics 52, 2010, with mean reversion in place of their forgetting factor.

All k + 1 regressions are arrays of one leading axis; a step costs O(k^3) multiplications.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from subnet.scoring.checks import Bools, Floats
from subnet.scoring.forecasts import stored

PRIOR = 10.0
"""Precision of a coefficient before anything is learned: a standard deviation of 0.32."""
DRIFT = 1e-4
"""Part of what was learned that a full step of learning lets go."""
_FARTHEST = 1e4
"""Differences of forecasts beyond so many units are cut to it."""


class Regressions:
    """``coefficients`` (k + 1, k + 1), the constant's last, and ``covariance`` (k + 1, k + 1, k + 1), without unit."""

    def __init__(self, k: int) -> None:
        self.coefficients: Floats = np.zeros((k + 1, k + 1))
        self.covariance: Floats = _prior(k)
        self._differences: Floats = np.zeros((k + 1, k + 1))
        self._spread: Floats = np.zeros((k + 1, k + 1))

    def predict(self, forecasts: Floats, awake: Bools, constant: float, unit: float) -> tuple[Floats, Floats]:
        """Forecasts (k + 1,) of the regressions, and their variances (k + 1,) for not knowing the coefficients.

        ``forecasts`` (k,), of which those ``awake`` (at least one) count, ``constant`` (NaN: none yet) and ``unit``,
        the size of a usual error, are in one unit; the variances are in its square. Where forecaster j < k sleeps, row
        j means nothing.
        """
        centres = np.append(forecasts, forecasts[awake].mean())
        there = np.append(awake, np.isfinite(constant))
        columns = np.where(there, np.append(forecasts, constant), 0.0)
        differences = (columns[None, :] - centres[:, None]) / unit
        differences = np.clip(np.where(there[None, :], differences, 0.0), -_FARTHEST, _FARTHEST)
        self._differences = differences
        self._spread = (self.covariance @ differences[:, :, None])[:, :, 0]
        means = centres + unit * (self.coefficients * differences).sum(1)
        return means, unit**2 * np.maximum((differences * self._spread).sum(1), 0.0)

    def learn(self, errors: Floats, precision: Floats, weight: Floats, unit: float) -> None:
        """The step predicted last: ``errors`` (k + 1,) are truth - forecast of each regression, ``precision`` (k + 1,)
        what the step tells each in 1 / ``unit`` squared, ``weight`` (k + 1,) in [0, 1] how much of it is its own.
        """
        spread = self._spread
        gain = precision / (1 + precision * np.maximum((self._differences * spread).sum(1), 0.0))
        self.coefficients += (gain * errors / unit)[:, None] * spread
        self.covariance -= gain[:, None, None] * (spread[:, :, None] * spread[:, None, :])
        lost = DRIFT * weight
        n = self.coefficients.shape[1]
        self.coefficients *= np.sqrt(1 - lost)[:, None]
        self.covariance *= (1 - lost)[:, None, None]
        self.covariance[:, range(n), range(n)] += (lost / PRIOR)[:, None]

    def resize(self, keep: NDArray[np.intp], new: int) -> None:
        """Those at ``keep`` stay; one who leaves is taken out as if its coefficients were known to be 0."""
        old = self.coefficients.shape[1] - 1
        stay = np.append(keep, old)  # the mean's row, the constant's column
        coefficients, covariance = self.coefficients[stay], self.covariance[stay]
        for i in set(range(old)) - set(keep.tolist()):
            column = covariance[:, :, i]
            per = column / np.maximum(covariance[:, i, i], 1e-300)[:, None]
            coefficients = coefficients - per * coefficients[:, i, None]
            covariance = covariance - per[:, :, None] * column[:, None, :]
        k = len(keep) + new
        self.coefficients, self.covariance = np.zeros((k + 1, k + 1)), _prior(k)
        there = np.append(np.arange(len(keep)), k)
        self.coefficients[np.ix_(there, there)] = coefficients[:, stay]
        self.covariance[np.ix_(there, there, there)] = covariance[:, stay][:, :, stay]

    def state(self) -> dict[str, Floats]:
        """What was learned, as arrays."""
        return {"coefficients": self.coefficients.copy(), "covariance": self.covariance.copy()}

    @classmethod
    def stored(cls, state: Mapping[str, ArrayLike], k: int) -> Regressions:
        """From :meth:`state`. Raises ValueError if that was of another ``k`` or isn't finite."""
        regressions = cls(1)
        regressions.coefficients = stored(state, "coefficients", (k + 1, k + 1))
        regressions.covariance = stored(state, "covariance", (k + 1, k + 1, k + 1))
        if (np.diagonal(regressions.covariance, axis1=1, axis2=2) < 0).any():
            raise ValueError("the state's 'covariance' has variances below 0")
        return regressions


def _prior(k: int) -> Floats:
    """Independent coefficients."""
    return np.broadcast_to(np.eye(k + 1) / PRIOR, (k + 1, k + 1, k + 1)).copy()
