"""Dynamic model averaging: one forecast from many, and how sure it is. The default synthesiser.

A hidden Markov model says who is right in this step, and how nearly. Its state is one of

- *components*: each forecaster; the mean and the median of all; each forecaster, and the mean, corrected by the
  others (:mod:`subnet.scoring.regressions`; forecaster j's is trained on the steps that j is thought to rule);
- times *scales*: the size of the error, on a geometric grid that moves with the data.

Given the state, the truth is Student-t around the component's forecast. Bayes' rule moves the probabilities, and the
forecast is their mean. From step to step the state stays; with probability ``switch`` it is drawn anew, mostly
from where it has been before (a regime that comes back need not be learned again), and with ``rescale`` its scale is.

Sources: dynamic model averaging, Raftery, Karny and Ettler, Technometrics 52, 2010; fixed share as a hidden Markov
model over experts, Koolen and de Rooij, Combining expert advice efficiently, COLT 2008; return to past states, Bousquet
and Warmuth, Tracking a small set of experts by mixing past posteriors, JMLR 3, 2002; sleeping forecasters, Freund,
Schapire, Singer and Warmuth, Using and combining predictors that specialize, STOC 1997.

Data: ``predict(forecasts)`` → one number (``interval`` beside it); then ``learn(truth)`` → new probabilities.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from subnet.scoring.checks import Bools, Floats
from subnet.scoring.forecasts import Truths, as_forecasts, as_keep, as_truth, stored, stored_weights
from subnet.scoring.mixtures import t_mixture_quantiles
from subnet.scoring.regressions import Regressions

MAX_REGRESSIONS = 64
"""With more forecasters than this the corrections, whose cost grows as k^3, are left out."""
DEGREES = 16.0
"""Degrees of freedom of the error: tails that let an outlier pass without a change of mind."""
SCALES = 24
RATIO = 1.5
"""Each scale is 1.5 times the one below; 24 of them span a factor of 11,000."""
_GRID: Floats = np.array([RATIO**level for level in range(SCALES)])
MEMORY = 0.9
"""Part of a switch that goes where the state has been before; the rest goes anywhere."""
_NEGLIGIBLE = 1e-3
"""States that hold less than this together are left out of an interval."""
_FINEST = 1e-12
"""The smallest scale, over the largest error of a step: below are rounding errors."""
_LEAST = 1e-100
"""The smallest of all, in any unit: its square must not vanish."""


@dataclass
class _Step:
    """A step whose truth isn't known yet. Arrays of one entry a component, but for ``pending``."""

    pending: Floats
    """(k,) forecasts, NaN where none was given."""
    awake: Bools
    means: Floats
    variances: Floats
    """Beside the scale's: of not knowing the coefficients."""
    prior: Floats
    """(components, SCALES) probability of each state."""
    unit: float
    """In which the regressions count this step."""

    def chosen(self) -> Floats:
        """(awake components, SCALES): the probabilities, given that one who sleeps isn't chosen."""
        chosen: Floats = self.prior[self.awake]
        chosen /= chosen.sum()
        return chosen


class DynamicModelAveraging:
    """The forecast of a network of ``k`` forecasters.

    ``switch`` in (0, 1) is the probability a step that another state rules, ``rescale`` in [0, 1 - switch) that only
    the scale changes. Both may be off by several times at little cost. Raises ValueError for values outside.

    Multiplying all numbers by a constant, or adding one to all, does the same to the forecast, and the order of the
    forecasters doesn't matter. Memory and the work of a step are O(k^3) up to :data:`MAX_REGRESSIONS` forecasters
    and O(k) above.
    """

    def __init__(self, k: int, *, switch: float = 0.02, rescale: float = 0.01) -> None:
        if k < 1:
            raise ValueError(f"k is {k}, expected at least one forecaster")
        if not 0 < switch < 1 or not 0 <= rescale < 1 - switch:
            raise ValueError(f"switch is {switch}, rescale {rescale}: expected probabilities of less than 1 together")
        self._switch, self._rescale = switch, rescale
        self._k = k
        self._regressions = Regressions(k) if _corrects(k) else None
        rows = _components(k)
        self._posterior: Floats = np.full((rows, SCALES), 1 / (rows * SCALES))
        self._past: Floats = self._posterior.copy()
        self._finest = 0.0  # the grid's lowest scale; 0 before the first error
        self._truths = Truths()
        self._step: _Step | None = None

    @property
    def k(self) -> int:
        """Number of forecasters."""
        return self._k

    @property
    def weights(self) -> Floats:
        """(k,) float64: the probability that each forecaster, as it is or corrected, is right in the next step.

        What the sum lacks to 1 is the mean's and the median's.
        """
        mass = self._prior().sum(1)
        weights: Floats = mass[: self._k].copy()
        if self._regressions is not None:
            weights += mass[self._k + 2 : -1]
        return weights

    def predict(self, forecasts: ArrayLike, /) -> float:
        """The expected truth given ``forecasts`` (k,), in their unit; NaN, infinite or absurd means none was given.

        (Absurd: see :class:`~subnet.scoring.forecasts.Truths`.) The mean over the components is winsorised by
        ``switch`` at each end, so that what only a switch could bring moves nothing far. Where nobody forecasts, the
        last truth. Raises ValueError for another shape, or where there is neither a forecast nor a truth so far.
        """
        step = self._look(self._truths.sane(as_forecasts(forecasts, self._k)))
        if step.awake.any():
            combined = _winsorised_mean(step.means[step.awake], step.chosen().sum(1), self._switch)
        else:
            combined = self._truths.instead()
        self._step = step
        return combined

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """The central interval that holds the truth of the step predicted last with probability ``level``.

        In the forecasts' unit; infinite before the first error and where nobody forecasts. Raises ValueError for a
        level outside (0, 1) or without a prediction.
        """
        if not 0 < level < 1:
            raise ValueError(f"level is {level}, expected 0 < level < 1")
        low, high = self.quantiles([(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)

    def quantiles(self, levels: ArrayLike) -> Floats:
        """Quantiles (n,) at ``levels`` (n,), each in (0, 1), of the truth predicted last; else as interval()."""
        at = np.asarray(levels, dtype=np.float64)
        if at.ndim != 1 or not ((at > 0) & (at < 1)).all():
            raise ValueError("levels must be a list of numbers between 0 and 1")
        if self._step is None:
            raise ValueError("no prediction waits for its truth: call predict() first")
        step = self._step
        if not step.awake.any() or self._finest == 0:
            return np.where(at < 0.5, -np.inf, np.inf)
        chosen = step.chosen()
        scales = np.sqrt(self._scales() ** 2 + step.variances[step.awake, None])
        centres = np.broadcast_to(step.means[step.awake, None], scales.shape)
        counts = chosen > _NEGLIGIBLE / chosen.size
        return t_mixture_quantiles(at, chosen[counts] / chosen[counts].sum(), centres[counts], scales[counts], DEGREES)

    def learn(self, truth: float, /) -> None:
        """The truth of what was predicted last.

        Raises ValueError, and changes nothing, for a truth that isn't finite or without a prediction before it.
        """
        if self._step is None:
            raise ValueError("learn() without predict() before it")
        value = as_truth(truth)
        step, self._step = self._step, None
        if step.awake.any():
            if self._finest == 0:
                errors = np.abs(value - step.means[: self._k][step.awake[: self._k]])
                first = float(np.median(errors)) / RATIO ** (SCALES // 2)
                self._finest = first if first > _LEAST else 0.0
            if self._finest > 0:
                self._bayes(value, step)
                self._move_grid(value, step)
        self._truths.add(value)

    def resize(self, keep: ArrayLike, new: int = 0) -> None:
        """Other forecasters from the next step on: those at the positions ``keep``, in that order, then ``new`` ones.

        A new one begins with what a switch would give it, so that coming back under another name is worth nothing.
        A prediction without its truth yet is dropped. Raises ValueError for positions that don't exist or repeat, or
        if nobody is left.
        """
        kept = as_keep(keep, self._k, new)
        old, self._k = self._k, len(kept) + new
        rows = np.concatenate([kept, np.full(new, -1), [old, old + 1]])
        if _corrects(self._k):
            before = np.append(kept, old) + old + 2 if _corrects(old) else np.full(len(kept) + 1, -1)
            rows = np.concatenate([rows, before[:-1], np.full(new, -1), before[-1:]])
        if not _corrects(self._k):
            self._regressions = None
        elif self._regressions is None:
            self._regressions = Regressions(self._k)
        else:
            self._regressions.resize(kept, new)
        self._posterior, self._past = (_rows(array, rows) for array in (self._posterior, self._past))
        self._step = None

    def state(self) -> dict[str, Floats]:
        """All that was learned, as arrays: ``numpy.savez(path, **model.state())`` keeps it.

        ``switch`` and ``rescale`` are the constructor's and not in it.
        """
        return {
            "posterior": self._posterior.copy(),
            "past": self._past.copy(),
            "k": np.array([self._k], dtype=np.float64),
            "finest": np.array([self._finest]),
            "truths": self._truths.state(),
            "pending": np.empty(0) if self._step is None else self._step.pending.copy(),
            **(self._regressions.state() if self._regressions is not None else {}),
        }

    def restore(self, state: Mapping[str, ArrayLike]) -> None:
        """Go on from the :meth:`state` of another instance; the next steps are the same to the bit.

        Raises ValueError, and changes nothing, if an array is missing, of another shape or holds what can't be.
        """
        size = float(stored(state, "k", (1,))[0])
        if size != int(size) or not 1 <= size <= 2**31:
            raise ValueError(f"the state's 'k' is {size:g}, expected a number of forecasters")
        k = int(size)
        flat = {name: np.ravel(np.asarray(state[name])) for name in ("posterior", "past") if name in state}
        shape = (_components(k), SCALES)
        for name in ("posterior", "past"):
            stored(state, name, shape)
            stored_weights(flat, name, (None,))
        finest = float(stored(state, "finest", (1,))[0])
        truths = Truths.stored(state)
        pending = stored(state, "pending", (None,), finite=False)
        if finest < 0 or pending.shape not in ((0,), (k,)):
            raise ValueError("the state's 'finest' is below 0, or its 'pending' is of another length than 'k'")
        regressions = Regressions.stored(state, k) if _corrects(k) else None
        self._k, self._finest, self._truths, self._regressions = k, finest, truths, regressions
        self._posterior, self._past = stored(state, "posterior", shape), stored(state, "past", shape)
        self._step = self._look(as_forecasts(pending, k)) if pending.size else None

    # One step.

    def _look(self, pending: Floats) -> _Step:
        """What each component makes of the forecasts."""
        awake = np.isfinite(pending)
        some = awake.any()
        values = np.where(awake, pending, 0.0)
        pooled = [pending[awake].mean(), np.median(pending[awake])] if some else [0.0, 0.0]
        there = np.concatenate([awake, [some, some]])
        means = np.concatenate([values, pooled])
        variances: Floats = np.zeros(self._k + 2, dtype=np.float64)
        unit = self._finest * RATIO ** (SCALES // 2)
        if unit == 0:  # before the first error
            unit = float(np.ptp(pending[awake])) if some else 0.0
            unit = unit if unit > _LEAST else 1.0
        if self._regressions is not None:
            corrected = spread = np.zeros(self._k + 1)
            if some:
                corrected, spread = self._regressions.predict(values, awake, self._truths.mean, unit)
            there, means = np.concatenate([there, awake, [some]]), np.concatenate([means, corrected])
            variances = np.concatenate([variances, spread])
        return _Step(pending, there, means, variances, self._prior(), unit)

    def _prior(self) -> Floats:
        """(components, SCALES): the probability of each state in the next step."""
        target = MEMORY * self._past + (1 - MEMORY) / self._past.size
        rescaled = target * (self._posterior.sum(1) / target.sum(1))[:, None]
        stays = 1 - self._switch - self._rescale
        prior: Floats = stays * self._posterior + self._switch * target + self._rescale * rescaled
        return prior

    def _scales(self) -> Floats:
        """(SCALES,) in the forecasts' unit; zeros before the first error."""
        return self._finest * _GRID

    def _bayes(self, truth: float, step: _Step) -> None:
        """Probabilities and regressions after the truth. Who sleeps keeps its probability."""
        errors = truth - step.means
        squares = self._scales() ** 2 + step.variances[:, None]
        ratios = np.minimum(errors[:, None] ** 2 / squares, 1e200)
        logs = -(DEGREES + 1) / 2 * np.log1p(ratios / DEGREES) - 0.5 * np.log(squares)
        prior, awake = step.prior, step.awake
        likely = prior[awake] * np.exp(logs[awake] - logs[awake].max())
        posterior = prior.copy()
        posterior[awake] = likely * (prior[awake].sum() / likely.sum())
        posterior /= posterior.sum()
        self._posterior = posterior
        past = self._past + (posterior - self._past) / min(self._truths.seen + 20, 1000)
        self._past = past / past.sum()
        if self._regressions is not None:
            self._train(errors, np.where(awake[:, None], self._posterior, 0.0), step.unit)

    def _train(self, errors: Floats, rule: Floats, unit: float) -> None:
        """Each correction learns as far as its forecaster is thought to rule; the mean's learns from every step."""
        assert self._regressions is not None  # noqa: S101
        k = self._k
        rule = np.concatenate([rule[:k] + rule[k + 2 : -1], rule[-1:]])
        ruled = rule.sum(1)
        # the mean square under the posterior, not the mean precision: one chance hit at a tiny scale would weigh more
        # than all steps after it
        squares = (rule @ (self._scales() / unit) ** 2) / np.maximum(ruled, 1e-300)
        ratios = np.minimum(np.abs(errors[k + 2 :] / unit), 1e100) ** 2 / np.maximum(squares, 1e-300)
        weight = np.append(ruled[:-1], 1.0)
        precision = weight * (DEGREES + 1) / (DEGREES + ratios) / np.maximum(squares, 1e-300)
        self._regressions.learn(errors[k + 2 :], np.where(ruled > 0, precision, 0.0), weight, unit)

    def _move_grid(self, truth: float, step: _Step) -> None:
        """Where probability gathers at an end of the grid, move it: up to where the least error is, down by one.

        Down only by one because a hit to the last digit says little of the next error.
        """
        mass, scales = self._posterior.sum(0), self._scales()
        errors = np.abs(truth - step.means[step.awake])
        if mass[-2:].sum() > 0.5:
            least = max(float(errors.min()), _LEAST)
            by = min(max(math.ceil(math.log(least / scales[-1], RATIO)), 1), SCALES // 2)
        elif mass[:2].sum() > 0.5 and scales[0] > max(_LEAST, _FINEST * float(errors.max())):
            by = -1
        else:
            return
        self._posterior, self._past = _moved(self._posterior, by), _moved(self._past, by)
        self._finest *= RATIO**by


def _corrects(k: int) -> bool:
    """Whether there are regressions among ``k`` forecasters."""
    return k <= MAX_REGRESSIONS


def _components(k: int) -> int:
    """Forecasters, mean, median; then, where there are regressions, one for each forecaster and the mean's."""
    return 2 * k + 3 if _corrects(k) else k + 2


def _winsorised_mean(values: Floats, weights: Floats, tail: float) -> float:
    """The weighted mean, values in the outer ``tail`` of the weight on each side counting as where it begins."""
    order = np.argsort(values, kind="stable")
    low, high = np.searchsorted(np.cumsum(weights[order]), [tail, 1 - tail])
    ordered = values[order]
    return float(weights @ np.clip(values, ordered[low], ordered[min(int(high), len(values) - 1)]))


def _moved(probability: Floats, by: int) -> Floats:
    """(n, SCALES) on a grid ``by`` scales higher, or lower if below 0: what falls off goes to its neighbour."""
    moved = np.zeros_like(probability)
    for level in range(SCALES):
        moved[:, min(max(level - by, 0), SCALES - 1)] += probability[:, level]
    return moved


def _rows(probability: Floats, rows: NDArray[np.intp]) -> Floats:
    """Those rows of (n, SCALES), -1 standing for an empty one, with the sum made 1; even where nothing is left."""
    taken = np.where(rows[:, None] >= 0, probability[rows], 0.0)
    total = taken.sum()
    return taken / total if total > 0 else np.full(taken.shape, 1 / taken.size)
