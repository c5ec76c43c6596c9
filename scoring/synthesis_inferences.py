"""Inferences out of inferences: the network's, and what it would have been without each worker.

Each is a mean of the workers' inferences, weighted by the regrets stored for that very combination.
Source: Allora, x/emissions/keeper/inference_synthesis (see :mod:`~subnet.scoring.synthesis_weights`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from subnet.scoring.synthesis_state import State, ValueBundle
from subnet.scoring.synthesis_weights import Floats, Params, nanmedian, weighted_mean, weighted_percentiles, weights


@dataclass(frozen=True, slots=True)
class Synthesis:
    """What :func:`synthesise` returns."""

    inferences: ValueBundle
    """The network's inference and all that it is compared with; the inferers' own as given."""
    forecasted_regrets: Floats
    """(F, I): the network's last loss less what was forecast for each inferer."""
    weights: Floats
    """(N,): what each worker weighs in the network's inference, summing to 1."""
    interval: Floats
    """(5,): the weighted 2.28, 15.87, 50, 84.13 and 97.72 percentiles of the workers' inferences."""


def synthesise(inferences: Floats, forecasted_losses: Floats, state: State, params: Params) -> Synthesis:
    """One epoch's inferences, combined by what ``state`` remembers.

    ``inferences``: (I,), at least one of them there. ``forecasted_losses``: (F, I), log10: what forecaster f
    expects inferer i to lose this epoch. NaN for what was not sent.
    """
    forecasted_regrets = state.network_loss - forecasted_losses
    median = state.all_new or np.isnan(state.network_loss)
    implied = _implied(inferences, forecasted_losses, forecasted_regrets, median, state, params)
    without = _without_each(inferences)
    implied_one_out = _implied(without, forecasted_losses, forecasted_regrets, median, state, params).T
    combined = _Combined(state, params)
    weight, network = combined(np.concatenate([inferences, implied]), state.regrets)
    _, naive = combined(inferences, state.naive_regrets)
    _, one_out = combined(_one_out_values(inferences, implied, implied_one_out), state.one_out_regrets)
    _, one_in = combined(_one_in_values(inferences, implied), state.one_in_regrets)
    bundle = ValueBundle(
        network=network,
        naive=naive,
        inferers=inferences,
        forecasters=implied,
        forecasters_one_out=implied_one_out,
        one_out=_absent_to_nan(one_out, inferences, implied),
        one_in=np.where(np.isnan(implied), np.nan, one_in),
    )
    interval = weighted_percentiles(np.concatenate([inferences, implied]), weight)
    return Synthesis(bundle, forecasted_regrets, weight / weight.sum(), interval)


@dataclass(frozen=True, slots=True)
class _Combined:
    """The weighted mean of workers' inferences, sets of them along the last axis, inferers first."""

    state: State
    params: Params

    def __call__(self, values: Floats, regrets: Floats) -> tuple[Floats, Floats]:
        there = np.isfinite(values)
        if self.state.all_new:
            inferers = np.arange(values.shape[-1]) < self.state.inferers
            weight = np.where(there & inferers, 1.0, 0.0)
        else:
            known = np.where(np.isnan(regrets), self.state.initial_regret, regrets)
            weight = weights(np.where(there, known, np.nan), self.params, self.state.regret_scale)
        return weight, weighted_mean(values, weight)


def _implied(inferences: Floats, losses: Floats, regrets: Floats, median: bool, state: State, params: Params) -> Floats:
    """Forecast-implied inferences, (..., F) of (..., I): the inferers' weighted by the regrets forecast for them."""
    inferences = inferences[..., np.newaxis, :]
    heard = np.isfinite(inferences) & np.isfinite(losses)
    values = np.where(heard, inferences, np.nan)
    if median:
        return nanmedian(values)
    return weighted_mean(values, weights(np.where(heard, regrets, np.nan), params, state.regret_scale))


def _without_each(inferences: Floats) -> Floats:
    """(I, I): row i is the inferences without inferer i's."""
    rows = np.tile(inferences, (len(inferences), 1))
    np.fill_diagonal(rows, np.nan)
    return rows


def _one_out_values(inferences: Floats, implied: Floats, implied_one_out: Floats) -> Floats:
    """(N, N): row n is all inferences without worker n's; an inferer is missed by the forecasters, too."""
    inferers = len(inferences)
    rows = np.tile(np.concatenate([inferences, implied]), (inferers + len(implied), 1))
    rows[:inferers, inferers:] = implied_one_out.T
    np.fill_diagonal(rows, np.nan)
    return rows


def _one_in_values(inferences: Floats, implied: Floats) -> Floats:
    """(F, I + 1): the inferences, and forecaster f's."""
    return np.column_stack([np.tile(inferences, (len(implied), 1)), implied])


def _absent_to_nan(one_out: Floats, inferences: Floats, implied: Floats) -> Floats:
    """The network without a worker who is not in it is no comparison."""
    return np.where(np.isnan(np.concatenate([inferences, implied])), np.nan, one_out)
