"""Allora's inference synthesis: one forecast out of many, better than the best of them.

Inferers send inferences, forecasters what they expect each inferer to lose, reputers, once the truth is
known, the losses. An epoch is two calls::

    synthesis = synthesise(inferences, forecasted_losses, state, params)    # before the truth
    outcome = learn(state, synthesis, reports, stakes, params)              # after it; outcome.state is the next

:class:`Synthesiser` does both for whoever holds the truth itself and needs no reputers. The formulas are
Allora's (github.com/allora-network/allora-chain, x/emissions); docs/how-to/synthesis.md shows them at work and
names what is decided where the chain leaves room.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from subnet.scoring.synthesis_inferences import Synthesis, synthesise
from subnet.scoring.synthesis_reputers import Reputation, reputers, stake_weighted
from subnet.scoring.synthesis_rewards import (
    Split,
    reputer_fractions,
    smooth,
    split,
    task_entropy,
    worker_fractions,
    worker_scores,
)
from subnet.scoring.synthesis_state import State, ValueBundle, unknown
from subnet.scoring.synthesis_weights import MAX_VALUE, Floats, Params, initial_regret, mad_scale

__all__ = ["Outcome", "Params", "State", "Synthesis", "Synthesiser", "ValueBundle", "learn", "synthesise"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What :func:`learn` returns: losses, scores and shares of one epoch, and the state after it."""

    losses: ValueBundle
    """The network's log10 losses: means of the reputers', weighted by stake."""
    reputation: Reputation
    inferer_scores: Floats
    """(I,), log10"""
    forecaster_scores: Floats
    """(F,), log10"""
    inferer_fractions: Floats
    """(I,): this epoch's shares of the inferers' reward, before averaging."""
    forecaster_fractions: Floats
    """(F,)"""
    reputer_fractions: Floats
    """(R,)"""
    entropies: tuple[float, float, float]
    """Of inferers, forecasters and reputers; NaN for a task nobody did."""
    split: Split
    state: State


def learn(
    state: State,
    synthesis: Synthesis,
    reports: ValueBundle,
    stakes: Floats,
    params: Params,
    *,
    fractions: tuple[Floats, Floats] | None = None,
) -> Outcome:
    """What an epoch's reported losses make of it.

    ``reports``: log10 losses, a leading axis of R reputers, NaN for what one left out; ``stakes``: (R,), any unit.
    ``fractions``: the inferers' and the forecasters' reward fractions where they are known from elsewhere;
    otherwise they follow from the scores that ``state`` remembers.
    """
    losses = ValueBundle.of_flat(stake_weighted(reports.flat(), stakes), state.inferers, state.forecasters)
    reputation = reputers(reports.flat(), stakes, state.listening, params)
    scores = worker_scores(losses)
    recent = tuple(
        np.vstack([old, new])[-params.max_samples_to_scale_scores :]
        for old, new in zip((state.inferer_scores, state.forecaster_scores), scores, strict=True)
    )
    inferer_u, forecaster_u = fractions or (
        worker_fractions(scores[0], recent[0], params.p_reward_inference, params),
        worker_fractions(scores[1], recent[1], params.p_reward_forecast, params),
    )
    reputer_u = reputer_fractions(stakes, reputation.scores, params)
    alpha = params.task_reward_alpha
    averages = (
        smooth(inferer_u, state.inferer_fractions, alpha),
        smooth(forecaster_u, state.forecaster_fractions, alpha),
        smooth(reputer_u, state.reputer_fractions, alpha),
    )
    entropies = _entropies(averages, (inferer_u, forecaster_u, reputer_u), params)
    shares = split(losses, scores[0], entropies, state.score_ratio, params)
    after = replace(
        _with_regrets(state, losses, synthesis.weights, params),
        network_loss=float(losses.network) if np.isfinite(losses.network) else state.network_loss,
        weights=synthesis.weights,
        listening=reputation.listening,
        inferer_scores=recent[0],
        forecaster_scores=recent[1],
        inferer_fractions=averages[0],
        forecaster_fractions=averages[1],
        reputer_fractions=averages[2],
        score_ratio=shares.score_ratio,
    )
    return Outcome(
        losses=losses,
        reputation=reputation,
        inferer_scores=scores[0],
        forecaster_scores=scores[1],
        inferer_fractions=inferer_u,
        forecaster_fractions=forecaster_u,
        reputer_fractions=reputer_u,
        entropies=entropies,
        split=shares,
        state=after,
    )


def _entropies(
    averages: tuple[Floats, Floats, Floats], present: tuple[Floats, Floats, Floats], params: Params
) -> tuple[float, float, float]:
    """Of those who were there. No forecasters have 0, nor have those of a lone inferer: there is no choice."""
    there = [np.isfinite(fractions) for fractions in present]
    inferers, forecasters, reputers_ = (
        task_entropy(average[mask], params) for average, mask in zip(averages, there, strict=True)
    )
    return inferers, forecasters if there[0].sum() > 1 and there[1].any() else 0.0, reputers_


def _with_regrets(state: State, losses: ValueBundle, weights: Floats, params: Params) -> State:
    """The state with its regrets moved by these losses, and what new workers will begin with."""
    inferers, forecasters = state.inferers, state.forecasters
    workers = np.concatenate([losses.inferers, losses.forecasters])
    without = np.tile(workers, (inferers + forecasters, 1))
    without[:inferers, inferers:] = losses.forecasters_one_out.T
    alone = np.column_stack([np.tile(losses.inferers, (forecasters, 1)), losses.forecasters])

    def moved(regrets: Floats, against: Floats) -> Floats:
        known = np.where(np.isnan(regrets), state.initial_regret, regrets)
        new = params.alpha_regret * against + (1 - params.alpha_regret) * known
        return np.where(np.isfinite(against), new, regrets)

    there = np.isfinite(workers) & np.isfinite(losses.network)
    inclusions = state.inclusions + there
    regrets = moved(state.regrets, losses.network - workers)
    experienced = there & np.isfinite(state.regrets) & (inclusions * params.alpha_regret >= 1 - 1e-9)
    begin = initial_regret(regrets[experienced], params)
    return replace(
        state,
        regrets=regrets,
        naive_regrets=moved(state.naive_regrets, losses.naive - losses.inferers),
        one_out_regrets=moved(state.one_out_regrets, losses.one_out[:, np.newaxis] - without),
        one_in_regrets=moved(state.one_in_regrets, losses.one_in[:, np.newaxis] - alone),
        inclusions=inclusions,
        initial_regret=state.initial_regret if np.isnan(begin) else begin,
        regret_scale=regret_scale(regrets, weights, params),
    )


def regret_scale(regrets: Floats, weights: Floats, params: Params) -> float:
    """v10's scale of all regrets, stored for the next epoch: 1.4826 x MAD + epsilon of those that had weight.

    Fewer than two with weight: of all. NaN under "std", where each set has its own.
    """
    if params.normalisation == "std" or not np.isfinite(regrets).any():
        return float("nan")
    weighty = np.isfinite(regrets) & (weights > params.min_weight_threshold)
    return float(mad_scale(regrets[weighty] if weighty.sum() > 1 else regrets, params.epsilon)[0])


class Synthesiser:
    """Inference synthesis for whoever sees the truth: an :class:`~subnet.scoring.aggregator.Aggregator`.

    ``inferers`` (1 to 32) and ``forecasters`` (0 to 6) fix the shapes; ValueError for others. Losses are
    log10 squared errors, no smaller than ``loss_floor``: a lucky hit to the last bit would otherwise be worth
    any number of misses. ``state`` goes on where another left off.
    """

    def __init__(
        self,
        inferers: int,
        forecasters: int = 0,
        *,
        params: Params | None = None,
        state: State | None = None,
        loss_floor: float = 1e-12,
    ) -> None:
        if not 0 < loss_floor < np.inf:
            raise ValueError(f"loss_floor is {loss_floor}, expected a positive number")
        self.params = params or Params()
        self.state = state or State.new(inferers, forecasters, reputers=1)
        if (self.state.inferers, self.state.forecasters, self.state.reputers) != (inferers, forecasters, 1):
            raise ValueError("the state is of other numbers of inferers and forecasters, or not of one reputer")
        self.loss_floor = loss_floor
        self.synthesis: Synthesis | None = None
        """What :meth:`predict` last made: weights, interval, and each combination; None once it was learnt from."""
        self.outcome: Outcome | None = None
        """What :meth:`learn` last made of it: losses, scores, shares."""

    def predict(self, inferences: ArrayLike, forecasted_losses: ArrayLike | None = None, /) -> float:
        """The network's inference. ``inferences``: (I,), NaN for who is absent; ``forecasted_losses``: (F, I) log10.

        Raises ValueError for another shape, an infinite number, or where nobody is there.
        """
        values = _array("inferences", inferences, (self.state.inferers,))
        shape = (self.state.forecasters, self.state.inferers)
        expected = (
            unknown(*shape) if forecasted_losses is None else _array("forecasted_losses", forecasted_losses, shape)
        )
        if np.isnan(values).all():
            raise ValueError("inferences has no number: there is nothing to combine")
        self.synthesis = synthesise(values, expected, self.state, self.params)
        return float(self.synthesis.inferences.network)

    @property
    def interval(self) -> Floats:
        """(5,): the 2.28, 15.87, 50, 84.13 and 97.72 percentiles of what was last predicted."""
        return self._pending().interval

    def learn(self, truth: float, /) -> None:
        """Take the truth for what was last predicted. ValueError for one that isn't finite, or with no prediction."""
        synthesis = self._pending()
        if not abs(truth) <= MAX_VALUE:
            raise ValueError(f"truth is {truth}, expected a number of at most {MAX_VALUE:g}")
        errors = synthesis.inferences.flat() - float(truth)
        losses = np.log10(np.maximum(errors**2, self.loss_floor))
        reports = ValueBundle.of_flat(losses[np.newaxis], self.state.inferers, self.state.forecasters)
        self.outcome = learn(self.state, synthesis, reports, np.ones(1), self.params)
        self.state = self.outcome.state
        self.synthesis = None

    def _pending(self) -> Synthesis:
        if self.synthesis is None:
            raise ValueError("nothing is predicted that the truth is not yet known of")
        return self.synthesis


def _array(name: str, values: ArrayLike, shape: tuple[int, ...]) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.shape != shape:
        raise ValueError(f"{name} has the shape {array.shape}, expected {shape}")
    if (np.abs(array) > MAX_VALUE).any():
        raise ValueError(f"{name} has a number beyond {MAX_VALUE:g}")
    return array
