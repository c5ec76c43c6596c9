"""Fixed-share Hedge: weights of forecasters that follow the best of them as it changes, with a proved bound.

Hedge gives forecaster i the weight exp(-rate * its losses so far). Fixed share then hands a part, ``share``,
of all weight round evenly, so that one who was bad for long can lead soon after it becomes good. Against any
sequence of forecasters that changes m times in T steps, with losses in [0, 1],

    losses of the weights <= losses of the sequence
                             + ((m + 1) ln k + m ln 1/share + (T - m - 1) ln 1/(1 - share)) / rate + rate T / 8

(Herbster and Warmuth, Tracking the best expert, Machine Learning 32, 1998; in this form Theorem 5.2 of
Cesa-Bianchi and Lugosi, Prediction, Learning, and Games, 2006). Rate and share need not be guessed: one
instance runs each pair of a grid and weighs the pairs by Hedge in turn. A forecaster who gives nothing for a
step sleeps: it keeps its weight but for the shares, and the others move within theirs (Freund, Schapire, Singer
and Warmuth, Using and combining predictors that specialize, STOC 1997).

Data: ``predict(forecasts)`` → one number; ``learn(truth)`` → squared errors → ``observe(losses)`` → weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from subnet.scoring.checks import Floats
from subnet.scoring.forecasts import Truths, as_forecasts, as_keep, as_truth, stored, stored_weights

RATES = (0.1, 0.3, 1.0, 3.0)
SHARES = (0.003, 0.01, 0.03, 0.1)
CLIP = 8.0
"""Where no range of losses is given, a loss counts as at most so many times the usual one."""
_PAIR_RATE = 1.0
_PAIR_SHARE = 0.003
"""The pairs of the grid are weighed by fixed-share Hedge, too: which of them is best also changes."""


class FixedShareHedge:
    """Weights over ``k`` forecasters by fixed-share Hedge.

    ``rates`` (> 0) and ``shares`` (in [0, 1)) are the grid; give one of each for the plain algorithm of the
    theorem. ``loss_range`` is the largest loss possible: losses are divided by it and what is above counts as
    it, so the theorem holds in units of ``loss_range``. Without it (the default) the unit is the running mean
    of the median forecaster's loss, and a loss counts as at most :data:`CLIP` units: heavy tails can't throw a
    good forecaster out in one step, and multiplying all numbers by a constant changes no weight.

    A step costs O(k) for each pair of the grid. Raises ValueError for parameters out of range.
    """

    def __init__(
        self,
        k: int,
        *,
        rates: Sequence[float] = RATES,
        shares: Sequence[float] = SHARES,
        loss_range: float | None = None,
    ) -> None:
        if k < 1:
            raise ValueError(f"k is {k}, expected at least one forecaster")
        if not rates or not all(0 < rate < np.inf for rate in rates):
            raise ValueError(f"rates are {rates}, expected numbers above 0")
        if not shares or not all(0 <= share < 1 for share in shares):
            raise ValueError(f"shares are {shares}, expected numbers in [0, 1)")
        if loss_range is not None and not 0 < loss_range < np.inf:
            raise ValueError(f"loss_range is {loss_range}, expected a number above 0 or None")
        self._rates = np.repeat(np.asarray(rates, dtype=np.float64), len(shares))[:, None]
        self._shares = np.tile(np.asarray(shares, dtype=np.float64), len(rates))[:, None]
        self._loss_range = loss_range
        pairs = len(self._rates)
        self._weights = np.full((pairs, k), 1 / k)
        self._pairs = np.full(pairs, 1 / pairs)
        self._usual, self._counted = 0.0, 0
        self._truths = Truths()
        self._pending: Floats | None = None

    @property
    def k(self) -> int:
        """Number of forecasters."""
        return int(self._weights.shape[1])

    @property
    def weights(self) -> Floats:
        """(k,) float64, sums to 1: each forecaster's weight in the next forecast if all give one."""
        weights: Floats = self._pairs @ self._weights
        return weights

    def predict(self, forecasts: ArrayLike, /) -> float:
        """The weighted mean of ``forecasts`` (k,), in their unit; NaN, infinite or absurd means none was given.

        (Absurd: see :class:`~subnet.scoring.forecasts.Truths`.) Where nobody gives any, the last truth. Raises
        ValueError for another shape, or where there is neither a forecast nor a truth so far.
        """
        values = self._truths.sane(as_forecasts(forecasts, self.k))
        awake = np.isfinite(values)
        if awake.any():
            weights = self.weights[awake]
            weights /= weights.sum()
            combined = float(weights @ values[awake])
        else:
            combined = self._truths.instead()
        self._pending = values
        return combined

    def learn(self, truth: float, /) -> None:
        """The truth of what was predicted last; squared error is the loss.

        Raises ValueError, and changes nothing, for a truth that isn't finite or without a prediction before it.
        """
        if self._pending is None:
            raise ValueError("learn() without predict() before it")
        value = as_truth(truth)
        self.observe((self._pending - value) ** 2)
        self._truths.add(value)
        self._pending = None

    def observe(self, losses: ArrayLike, /) -> None:
        """One step on ``losses`` (k,) of any kind, at least 0; NaN for a forecaster that sleeps.

        An infinite loss counts as the largest. Raises ValueError for another shape or a loss below 0.
        """
        values = np.asarray(losses, dtype=np.float64)
        if values.shape != (self.k,):
            raise ValueError(f"losses have shape {values.shape}, expected ({self.k},)")
        if (values < 0).any():
            raise ValueError("a loss is below 0")
        awake = ~np.isnan(values)
        unit = self._unit(values[awake]) if awake.any() else 0.0
        if unit == 0:
            return
        loss = np.minimum(values[awake] / unit, CLIP if self._loss_range is None else 1.0)
        weights = self._weights[:, awake]
        mass = weights.sum(1, keepdims=True)
        losses_of_pairs = (weights @ loss) / mass[:, 0]
        kept = weights * np.exp(-self._rates * (loss - loss.min()))
        self._weights[:, awake] = kept / kept.sum(1, keepdims=True) * mass
        self._weights = (1 - self._shares) * self._weights + self._shares / self.k
        pairs = self._pairs * np.exp(-_PAIR_RATE * (losses_of_pairs - losses_of_pairs.min()))
        self._pairs = (1 - _PAIR_SHARE) * pairs / pairs.sum() + _PAIR_SHARE / len(pairs)

    def _unit(self, losses: Floats) -> float:
        """What one unit of loss is now; 0 as long as all losses were 0."""
        if self._loss_range is not None:
            return self._loss_range
        usual = float(np.median(losses))
        if self._usual > 0:
            usual = min(usual, CLIP * self._usual)
        if np.isfinite(usual):
            self._counted += 1
            self._usual += (usual - self._usual) / self._counted
        return self._usual

    def resize(self, keep: ArrayLike, new: int = 0) -> None:
        """Other forecasters from the next step on: those at the positions ``keep``, in that order, then ``new`` ones.

        Those kept keep their weights against each other; a new one begins with the weight that the share alone
        would give it, so that coming back under another name is worth nothing. A prediction without its truth yet is
        dropped. Raises ValueError for positions that don't exist or repeat, or if nobody is left.
        """
        positions = as_keep(keep, self.k, new)
        kept = self._weights[:, positions]
        total = kept.sum(1, keepdims=True)
        kept = np.divide(kept, total, out=np.full_like(kept, 1 / max(len(positions), 1)), where=total > 0)
        share = self._shares if len(positions) else np.ones_like(self._shares)
        entry = np.broadcast_to(share / (len(positions) + new), (len(kept), new))
        self._weights = np.concatenate([kept * (1 - entry.sum(1, keepdims=True)), entry], axis=1)
        self._pending = None

    def state(self) -> dict[str, Floats]:
        """All that was learned, as arrays: ``numpy.savez(path, **hedge.state())`` keeps it.

        The grid and ``loss_range`` are the constructor's and not in it.
        """
        return {
            "weights": self._weights.copy(),
            "pairs": self._pairs.copy(),
            "losses": np.array([self._usual, self._counted], dtype=np.float64),
            "truths": self._truths.state(),
            "pending": np.empty(0) if self._pending is None else self._pending.copy(),
        }

    def restore(self, state: Mapping[str, ArrayLike]) -> None:
        """Go on from the :meth:`state` of an instance with the same grid; the next steps are the same to the bit.

        Raises ValueError, and changes nothing, if an array is missing, of another shape or holds what can't be.
        """
        weights = stored_weights(state, "weights", (len(self._rates), None))
        pairs = stored_weights(state, "pairs", (len(self._rates),))
        usual, counted = stored(state, "losses", (2,))
        truths = Truths.stored(state)
        pending = stored(state, "pending", (None,), finite=False)
        if usual < 0 or not 0 <= counted < 2**53 or pending.shape not in ((0,), (weights.shape[1],)):
            raise ValueError("the state's 'losses' are below 0, or its 'pending' is of another length than its weights")
        self._weights, self._pairs, self._truths = weights, pairs, truths
        self._usual, self._counted = float(usual), int(counted)
        self._pending = as_forecasts(pending, weights.shape[1]) if pending.size else None
