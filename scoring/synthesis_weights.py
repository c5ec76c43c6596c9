"""From regrets to weights: the potential, its slope, and how regrets are brought to one scale.

Regrets are differences of log10 losses: a worker's is positive where it did better than the network.
Source: Allora (github.com/allora-network/allora-chain, x/emissions, October 2024 and v10); the
decision page 014 says where this differs. In all arrays NaN stands for a worker that is not there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MAX_VALUE = 1e100
"""What is taken for a number: squares of it, and sums of those, stay in a float."""
MAX_INFERERS, MAX_FORECASTERS, MAX_REPUTERS = 32, 6, 6
PERCENTILES = (2.28, 15.87, 50.0, 84.13, 97.72)
"""One and two standard deviations of a normal distribution, and its middle."""
MAD_TO_STD = 1.4826
CAP, ANCHOR, ZERO = 6.75, -8.25, -17.25
"""Where normalised regrets are capped, where the best is lifted to, below which a weight is 0: c + x / p."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """A topic's and the module's parameters, under the chain's names and with its v10 defaults.

    ``normalisation``: ``"std"`` divides each set of regrets by its own standard deviation (ddof 1) plus
    epsilon, as in October 2024; ``"mad"`` divides all by 1.4826 x MAD plus epsilon of the network's regrets,
    stored once an epoch, as in v10. ``p_reward_inference`` and ``p_reward_reputer`` stood swapped in the
    October 2024 defaults; the golden epochs hold with 3 and 1.
    """

    p_norm: float = 3.0
    c_norm: float = 0.75
    alpha_regret: float = 0.1
    epsilon: float = 0.01
    normalisation: Literal["std", "mad"] = "std"
    min_weight_threshold: float = 1e-6
    initial_regret_quantile: float = 0.25
    beta_entropy: float = 0.25
    learning_rate: float = 0.05
    gradient_descent_max_iters: int = 10
    max_gradient_threshold: float = 0.001
    min_stake_fraction: float = 0.5
    epsilon_reputer: float = 0.01
    epsilon_safe_div: float = 1e-7
    task_reward_alpha: float = 0.1
    max_samples_to_scale_scores: int = 10
    p_reward_inference: float = 3.0
    p_reward_forecast: float = 3.0
    p_reward_reputer: float = 1.0
    c_reward: float = 0.75
    entropy_single_participant: float = 0.173286795139986

    def __post_init__(self) -> None:
        if self.normalisation not in ("std", "mad"):
            raise ValueError(f"normalisation is {self.normalisation!r}, expected 'std' or 'mad'")
        for name in ("p_norm", "epsilon", "epsilon_reputer", "epsilon_safe_div"):
            if not 0 < getattr(self, name) < np.inf:
                raise ValueError(f"{name} is {getattr(self, name)}, expected a positive number")
        for name in ("alpha_regret", "task_reward_alpha"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected 0 < {name} <= 1")


def potential(x: Any, p: float = 3.0, c: float = 0.75) -> Floats:
    """phi(x) = ln(1 + e^(p (x - c))), elementwise and without overflow."""
    with np.errstate(invalid="ignore"):  # NaN passes through
        return np.asarray(np.logaddexp(0.0, p * (np.asarray(x, dtype=np.float64) - c)))


def slope(x: Any, p: float = 3.0, c: float = 0.75) -> Floats:
    """phi'(x) = p / (e^(p (c - x)) + 1), elementwise and without overflow."""
    with np.errstate(invalid="ignore"):
        return np.asarray(p * np.exp(-np.logaddexp(0.0, p * (c - np.asarray(x, dtype=np.float64)))))


def std_scale(regrets: Floats, epsilon: float) -> Floats:
    """Sample standard deviation (ddof 1) plus epsilon along the last axis, shape (..., 1); NaN is left out.

    One regret, or none, has no spread: epsilon alone.
    """
    there = np.isfinite(regrets)
    count = there.sum(axis=-1, keepdims=True)
    mean = np.where(there, regrets, 0.0).sum(axis=-1, keepdims=True) / np.maximum(count, 1)
    squares = np.where(there, regrets - mean, 0.0) ** 2
    return np.asarray(np.sqrt(squares.sum(axis=-1, keepdims=True) / np.maximum(count - 1, 1)) + epsilon)


def mad_scale(regrets: Floats, epsilon: float) -> Floats:
    """1.4826 x median absolute deviation plus epsilon along the last axis, shape (..., 1); NaN is left out."""
    mad = nanmedian(np.abs(regrets - nanmedian(regrets)[..., np.newaxis]))[..., np.newaxis]
    return np.asarray(MAD_TO_STD * np.nan_to_num(mad) + epsilon)


def nanmedian(values: Floats) -> Floats:
    """The median along the last axis without NaN; NaN, and no warning, where nothing is there."""
    ordered = np.sort(values, axis=-1)  # NaN last
    count = np.isfinite(values).sum(axis=-1, keepdims=True)
    if not ordered.shape[-1]:
        return np.full(values.shape[:-1], np.nan)
    low = np.take_along_axis(ordered, np.maximum(count - 1, 0) // 2, axis=-1)
    high = np.take_along_axis(ordered, np.minimum(count // 2, np.maximum(count - 1, 0)), axis=-1)
    return np.asarray((low + high)[..., 0] / 2)


def weights(regrets: Floats, params: Params, scale: float = np.nan) -> Floats:
    """What each regret weighs: phi'(R / scale), 0 for NaN; sets lie along the last axis, shape kept.

    ``scale`` is the topic's stored one (v10); NaN takes each set's own. The best of a set always weighs more
    than 0.
    """
    p, c = params.p_norm, params.c_norm
    if np.isnan(scale):
        own = std_scale if params.normalisation == "std" else mad_scale
        x = regrets / own(regrets, params.epsilon)
    else:
        x = regrets / scale
    there = np.isfinite(x)
    best = np.where(there, x, -np.inf).max(axis=-1, keepdims=True, initial=-np.inf)
    anchor = c + ANCHOR / p
    lift = np.where(np.isfinite(best) & (best < anchor), anchor - best, 0.0)
    x = np.minimum(np.where(there, x, -np.inf), c + CAP / p) + lift
    return np.where(x >= c + ZERO / p, slope(x, p, c), 0.0)


def weighted_mean(values: Floats, weight: Floats) -> Floats:
    """Sum of weight x value over the sum of weights along the last axis; NaN where nobody has both."""
    heard = np.isfinite(values) & (weight > 0)
    weight = np.where(heard, weight, 0.0)
    total = weight.sum(axis=-1, keepdims=True)
    shares = weight / np.where(total > 0, total, 1.0)  # first the shares: a value alone comes through untouched
    mean = (shares * np.where(heard, values, 0.0)).sum(axis=-1)
    return np.where(total[..., 0] > 0, mean, np.nan)


def weighted_percentiles(values: Floats, weight: Floats, percentiles: tuple[float, ...] = PERCENTILES) -> Floats:
    """Percentiles (0 to 100) of weighted values, shape (len(percentiles),): the value in the middle of its weight,
    straight lines between. NaN where nobody has weight.
    """
    heard = np.isfinite(values) & (weight >= 0)
    order = np.lexsort((weight[heard], values[heard]))  # ties by weight: nobody's number decides
    sorted_values, sorted_weight = values[heard][order], weight[heard][order]
    total = np.cumsum(sorted_weight)
    if not len(total) or total[-1] <= 0:
        return np.full(len(percentiles), np.nan)
    middles = (total - sorted_weight / 2) / total[-1]
    return np.asarray(np.interp(np.asarray(percentiles) / 100, middles, sorted_values))


def initial_regret(regrets: Floats, params: Params) -> float:
    """The regret a new worker begins with: low enough that it hardly weighs before it has shown something.

    ``regrets``: those of experienced workers. Q(R) + (c - 8.25 / p)(spread + epsilon); NaN where there are none.
    """
    known = regrets[np.isfinite(regrets)]
    if not len(known):
        return float("nan")
    own = std_scale if params.normalisation == "std" else mad_scale
    offset = params.c_norm + ANCHOR / params.p_norm
    quantile = np.quantile(known, params.initial_regret_quantile)
    return float(quantile + offset * own(known, params.epsilon)[0])
