"""What an epoch of inference synthesis reads and leaves: the state of a topic, and a bundle of values.

A topic has I inferers, F forecasters and R reputers; its N = I + F workers are numbered inferers first.
NaN stands for what is not there: a worker who sent nothing, a regret never set, a loss not reported.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, fields
from math import prod

import numpy as np
from numpy.typing import NDArray

from subnet.scoring.synthesis_weights import MAX_FORECASTERS, MAX_INFERERS, MAX_REPUTERS, Floats


@dataclass(frozen=True, slots=True)
class ValueBundle:
    """One value for everything that is synthesised: inferences, or the log10 losses of them.

    Leading axes (one for each reputer) may stand before the shapes given here.
    """

    network: Floats
    """()"""
    naive: Floats
    """(): without forecasters."""
    inferers: Floats
    """(I,)"""
    forecasters: Floats
    """(F,): forecast-implied."""
    forecasters_one_out: Floats
    """(F, I): forecast-implied, without inferer i."""
    one_out: Floats
    """(N,): the network without worker n."""
    one_in: Floats
    """(F,): the inferers and forecaster f alone."""

    def flat(self) -> Floats:
        """All values along the last axis, in the order of the fields: (..., 2 + I + F + F I + N + F)."""
        lead = np.shape(self.network)
        values = [np.asarray(getattr(self, field.name)) for field in fields(self)]
        return np.concatenate([value.reshape(*lead, prod(value.shape[len(lead) :])) for value in values], axis=-1)

    @classmethod
    def of_flat(cls, flat: Floats, inferers: int, forecasters: int) -> ValueBundle:
        """The bundle that :meth:`flat` made ``flat`` of."""
        lead = flat.shape[:-1]
        shapes = bundle_shapes(inferers, forecasters)
        ends = np.cumsum([prod(shape) for shape in shapes.values()])
        parts = np.split(flat, ends[:-1], axis=-1)
        return cls(
            **{name: part.reshape(lead + shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}
        )


def bundle_shapes(inferers: int, forecasters: int) -> dict[str, tuple[int, ...]]:
    """The shapes of a :class:`ValueBundle`'s fields, in their order."""
    return {
        "network": (),
        "naive": (),
        "inferers": (inferers,),
        "forecasters": (forecasters,),
        "forecasters_one_out": (forecasters, inferers),
        "one_out": (inferers + forecasters,),
        "one_in": (forecasters,),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What a topic remembers from one epoch to the next. Regrets are of log10 losses.

    Make one with :meth:`new`; :func:`~subnet.scoring.synthesis.learn` returns the next.
    """

    network_loss: float
    """log10; NaN before the first."""
    regrets: Floats
    """(N,): against the network's loss."""
    naive_regrets: Floats
    """(I,): against the loss of the network without forecasters."""
    one_out_regrets: Floats
    """(N, N): row n against the loss of the network without worker n."""
    one_in_regrets: Floats
    """(F, I + 1): row f against the loss of the inferers and forecaster f; the last column is f's own."""
    inclusions: NDArray[np.int64]
    """(N,): epochs in which the worker had a loss."""
    initial_regret: float
    """What a new worker begins with; exactly 0 says that all inferers are new."""
    regret_scale: float
    """v10: what all regrets are divided by; NaN where none is stored."""
    weights: Floats
    """(N,): as last used; v10 leaves the regrets of those without weight out of the scale."""
    listening: Floats
    """(R,): the reputers' listening coefficients, 0 to 1."""
    inferer_scores: Floats
    """(T, I): the last T <= 10 epochs, oldest first."""
    forecaster_scores: Floats
    """(T, F)"""
    inferer_fractions: Floats
    """(I,): moving averages of the reward fractions; NaN before the first."""
    forecaster_fractions: Floats
    """(F,)"""
    reputer_fractions: Floats
    """(R,)"""
    score_ratio: float
    """tau: the moving average of the forecasting task's score against the best inferer's."""

    @property
    def inferers(self) -> int:
        return len(self.naive_regrets)

    @property
    def forecasters(self) -> int:
        return len(self.one_in_regrets)

    @property
    def reputers(self) -> int:
        return len(self.listening)

    @property
    def all_new(self) -> bool:
        """No inferer has a past that counts: the network takes the mean, forecasters the median."""
        return self.initial_regret == 0.0

    def without(self, worker: int) -> State:
        """The state with worker n (inferers first) made new, for another in its place. IndexError if there is none."""
        inferers = self.inferers
        if not 0 <= worker < inferers + self.forecasters:
            raise IndexError(f"worker {worker} of {inferers + self.forecasters}")
        after = deepcopy(self)
        after.inclusions[worker] = 0
        for array in (after.regrets, after.weights, after.one_out_regrets, after.one_out_regrets.T):
            array[worker] = np.nan
        if worker < inferers:
            own = [after.naive_regrets, after.one_in_regrets.T, after.inferer_fractions, after.inferer_scores.T]
        else:
            worker -= inferers
            own = [after.one_in_regrets, after.forecaster_fractions, after.forecaster_scores.T]
        for array in own:
            array[worker] = np.nan
        return after

    @classmethod
    def new(cls, inferers: int, forecasters: int = 0, reputers: int = 1) -> State:
        """A topic's before its first epoch. Raises ValueError beyond 32 inferers, 6 forecasters or 6 reputers."""
        for what, count, least, most in (
            ("inferers", inferers, 1, MAX_INFERERS),
            ("forecasters", forecasters, 0, MAX_FORECASTERS),
            ("reputers", reputers, 0, MAX_REPUTERS),
        ):
            if not least <= count <= most:
                raise ValueError(f"{count} {what}, expected {least} to {most}")
        workers = inferers + forecasters
        return cls(
            network_loss=float("nan"),
            regrets=unknown(workers),
            naive_regrets=unknown(inferers),
            one_out_regrets=unknown(workers, workers),
            one_in_regrets=unknown(forecasters, inferers + 1),
            inclusions=np.zeros(workers, dtype=np.int64),
            initial_regret=0.0,
            regret_scale=float("nan"),
            weights=unknown(workers),
            listening=np.ones(reputers),
            inferer_scores=unknown(0, inferers),
            forecaster_scores=unknown(0, forecasters),
            inferer_fractions=unknown(inferers),
            forecaster_fractions=unknown(forecasters),
            reputer_fractions=unknown(reputers),
            score_ratio=0.0,
        )


def unknown(*shape: int) -> Floats:
    """An array of nothing known: NaN."""
    return np.full(shape, np.nan)
