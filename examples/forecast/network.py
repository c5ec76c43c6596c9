"""What one validator knows of the topic: it combines forecasts, and says what each was worth once the truth is known.

Two things are made of the same answers. What is *published* is the default synthesiser's forecast with its interval
(:mod:`subnet.scoring.dynamic_averaging`). What is *paid* follows Allora's inference synthesis
(:mod:`subnet.scoring.synthesis`): what a worker weighed in the network's inference is its part of its task's
reward, and the two tasks share by the entropies and by chi, which is 0.1 as long as forecasts of losses do not help.

    forecast(answers) ─► Forecast     report(answers, truth) ─► Losses     learn(answers, truth, reports) ─► Learned
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Final

import numpy as np

from subnet.examples.forecast.protocol import Losses, Opened
from subnet.examples.forecast.reports import packed, unpacked
from subnet.examples.forecast.roster import Roster
from subnet.examples.forecast.seats import Seats, merged, seats, shared
from subnet.scoring.dynamic_averaging import DynamicModelAveraging
from subnet.scoring.synthesis import Outcome, Params, State, Synthesis, learn, synthesise
from subnet.scoring.synthesis_state import ValueBundle, bundle_shapes, unknown
from subnet.scoring.synthesis_weights import MAX_FORECASTERS, MAX_INFERERS, MAX_REPUTERS, Floats
from subnet.types import Hotkey

PRECISION: Final = 0.2
"""An error of so many units and none at all are nearly the same loss: log10(error^2 + PRECISION^2)."""
TOLERANCE: Final = 0.05
"""Forecasts within so many units of each other are alike."""
LIKE_LOSSES: Final = 0.05
"""Forecasted log10 losses within this are alike."""
LOOK_BACK: Final = 12
"""Steps over which answers are compared."""
MEMORY: Final = 48
"""Steps of losses that forecasters are told."""
_NUMBERS: Final = sum(prod(shape) for shape in bundle_shapes(MAX_INFERERS, MAX_FORECASTERS).values())
LEVELS: Final = (0.025, 0.16, 0.5, 0.84, 0.975)


@dataclass(frozen=True, slots=True)
class Forecast:
    """The network's forecast of one step, in the series' unit."""

    value: float
    interval: tuple[float, ...] | None
    """The quantiles of ``LEVELS``; None before there was an error to learn from."""
    synthesis: float
    """Allora's network inference, and below the same without forecasters."""
    naive: float
    weights: dict[Hotkey, float]
    """What each worker weighs in the synthesis."""


@dataclass(frozen=True, slots=True)
class Learned:
    """What a truth made of a step.

    ``scores`` are the workers' parts of the reward and sum to 1. There are none as long as all inferers are new, for
    ten steps: the synthesis takes their plain mean then, and pay by weight would be pay by the head.
    """

    scores: dict[Hotkey, float]
    outcome: Outcome
    reputers: dict[Hotkey, float]
    """Listening coefficients, 0 to 1."""
    seats: list[list[Hotkey]]
    """Who sat together."""


@dataclass(frozen=True, slots=True)
class _Answers:
    """One step's answers in our places: (I,) inferences, (F, I) forecasted losses; who sits where."""

    inferences: Floats
    forecasts: Floats
    inferer_seats: Seats
    forecaster_seats: Seats
    seated: Floats
    """(I,): one inference a seat."""
    seated_forecasts: Floats


class Network:
    """``unit``: a usual change of the series from step to step. ``merge`` False pays by the head, to see why not to."""

    def __init__(self, unit: float, *, params: Params | None = None, merge: bool = True) -> None:
        if not 0 < unit < np.inf:
            raise ValueError(f"unit is {unit}, expected a positive number")
        self.unit, self.params, self.merge = unit, params or Params(), merge
        self.state = State.new(MAX_INFERERS, MAX_FORECASTERS, MAX_REPUTERS)
        self.inferers, self.forecasters = Roster(MAX_INFERERS), Roster(MAX_FORECASTERS)
        self.reputers = Roster(MAX_REPUTERS)
        self.model: DynamicModelAveraging | None = None
        self.order: list[int] = []
        """The workers that ``model`` combines, by number, in its order."""
        self.inferences: deque[Floats] = deque(maxlen=LOOK_BACK)
        self.forecasts: deque[Floats] = deque(maxlen=LOOK_BACK)
        self.losses: deque[Floats] = deque(maxlen=MEMORY)
        self.step = -1
        """The last step that was learned from, and what it gave each worker."""
        self.scores: dict[Hotkey, float] = {}

    def past_losses(self) -> tuple[list[Hotkey], Floats]:
        """The inferers, and what they lost, (m, w) log10, oldest first."""
        places = self.inferers.taken()
        table = np.array(self.losses)[:, places] if self.losses else np.empty((0, len(places)))
        return [name for name in self.inferers.names if name is not None], table

    def forecast(self, step: int, opened: Mapping[Hotkey, Opened]) -> Forecast | None:
        """What the network expects of ``step``; None where nobody gave an inference."""
        answers = self._placed(step, opened)
        if answers is None:
            return None
        synthesis = self._synthesised(answers)
        value, model = self._predicted(synthesis)
        quantiles = model.quantiles(LEVELS)
        interval = tuple(map(float, quantiles)) if np.isfinite(quantiles).all() else None
        names = [*self.inferers.names, *self.forecasters.names]
        weights = {name: float(w) for name, w in zip(names, synthesis.weights, strict=True) if name is not None}
        bundle = synthesis.inferences
        return Forecast(value, interval, float(bundle.network), float(bundle.naive), weights)

    def report(self, step: int, opened: Mapping[Hotkey, Opened], truth: float) -> Losses | None:
        """Our losses, for other validators; None where nobody gave an inference."""
        answers = self._placed(step, opened)
        if answers is None:
            return None
        return packed(self._losses(self._synthesised(answers), truth), self.inferers.names, self.forecasters.names)

    def learn(
        self,
        step: int,
        opened: Mapping[Hotkey, Opened],
        truth: float,
        reports: Mapping[Hotkey, tuple[float, Losses]],
    ) -> Learned | None:
        """Take the truth in. ``reports``: by validator its stake (any unit) and its losses, ours among them.

        None, and nothing changes, where nobody gave an inference or no report makes sense.
        """
        answers = self._placed(step, opened)
        if answers is None:
            return None
        synthesis = self._synthesised(answers)
        stakes, table = self._reported(step, reports)
        table[:, ~np.isfinite(synthesis.inferences.flat())] = (
            np.nan
        )  # of who gave us nothing, others' word is not enough
        if not np.isfinite(table).any():
            return None
        bundles = ValueBundle.of_flat(table, MAX_INFERERS, MAX_FORECASTERS)
        before = self.state
        outcome = learn(before, synthesis, bundles, stakes, self.params)
        self._predicted(synthesis)[1].learn(truth)
        self.state, self.step = outcome.state, step
        self.inferences.append(answers.inferences)
        self.forecasts.append(answers.forecasts)
        self.losses.append(self._spread_to_seats(outcome.losses.inferers, answers))
        self.scores = {} if before.all_new else self._paid(answers, synthesis, outcome)
        listened = {name: float(self.state.listening[at]) for name, at in self.reputers.places.items()}
        return Learned(self.scores, outcome, listened, self._together(answers))

    # One step.

    def _placed(self, step: int, opened: Mapping[Hotkey, Opened]) -> _Answers | None:
        """The answers in their workers' places; who is new gets one, or the place of who was away for longest."""
        values = {hotkey: one.value for hotkey, one in opened.items() if one.value is not None}
        losses = {hotkey: one.losses for hotkey, one in opened.items() if one.losses}
        if not values:
            return None
        self._vacate(self.inferers.seat(values, step), 0)
        self._vacate(self.forecasters.seat(losses, step), MAX_INFERERS)
        inferences, forecasts = unknown(MAX_INFERERS), unknown(MAX_FORECASTERS, MAX_INFERERS)
        for hotkey, value in values.items():
            if (place := self.inferers.places.get(hotkey)) is not None:
                inferences[place] = value
        for hotkey, expected in losses.items():
            if (place := self.forecasters.places.get(hotkey)) is not None:
                for name, loss in expected.items():
                    if (worker := self.inferers.places.get(Hotkey(name))) is not None:
                        forecasts[place, worker] = loss
        seat = self._seats([*self.inferences, inferences], TOLERANCE * self.unit)
        other = self._seats([one.T for one in (*self.forecasts, forecasts)], LIKE_LOSSES)
        seated = np.array([merged(row, other) for row in forecasts.T]).T
        seated[:, seat != np.arange(len(seat))] = np.nan
        return _Answers(inferences, forecasts, seat, other, merged(inferences, seat), seated)

    def _seats(self, answers: list[Floats], tolerance: float) -> Seats:
        stacked = np.array(answers[-LOOK_BACK:])
        stacked = stacked[:, np.newaxis] if stacked.ndim == 2 else stacked
        return seats(stacked, tolerance) if self.merge else np.arange(stacked.shape[-1])

    def _vacate(self, places: list[int], first: int) -> None:
        """Forget whoever had these places before; ``first`` is the number of the worker in place 0."""
        for place in places:
            worker = first + place
            self.state = self.state.without(worker)
            of_inferers = [*self.inferences, *self.losses, *(table.T for table in self.forecasts)]
            for table in list(self.forecasts) if first else of_inferers:
                table[place] = np.nan
            if self.model is not None and worker in self.order:
                self.model.resize([at for at, other in enumerate(self.order) if other != worker], 1)
                self.order.remove(worker)
                self.order.append(worker)

    def _synthesised(self, answers: _Answers) -> Synthesis:
        return synthesise(answers.seated, answers.seated_forecasts, self.state, self.params)

    def _predicted(self, synthesis: Synthesis) -> tuple[float, DynamicModelAveraging]:
        """The default synthesiser's forecast, of inferences and forecast-implied inferences; and what made it."""
        values = np.concatenate([synthesis.inferences.inferers, synthesis.inferences.forecasters])
        new = [int(worker) for worker in np.flatnonzero(np.isfinite(values)) if worker not in self.order]
        if self.model is None:
            self.model = DynamicModelAveraging(len(new))
        elif new:
            self.model.resize(np.arange(len(self.order)), len(new))
        self.order += new
        return self.model.predict(values[self.order]), self.model

    def _losses(self, synthesis: Synthesis, truth: float) -> ValueBundle:
        errors = synthesis.inferences.flat() - truth
        losses = np.log10(errors**2 + (PRECISION * self.unit) ** 2)
        return ValueBundle.of_flat(losses, MAX_INFERERS, MAX_FORECASTERS)

    def _reported(self, step: int, reports: Mapping[Hotkey, tuple[float, Losses]]) -> tuple[Floats, Floats]:
        """(R,) stakes and (R, D) losses, NaN for who said nothing; those with the most stake have the places."""
        first = sorted(reports, key=lambda hotkey: -reports[hotkey][0])[:MAX_REPUTERS]
        for place in self.reputers.seat(first, step):
            self.state.listening[place] = 1.0
            self.state.reputer_fractions[place] = np.nan
        stakes = np.zeros(MAX_REPUTERS)
        table = unknown(MAX_REPUTERS, _NUMBERS)
        for hotkey in first:
            stake, report = reports[hotkey]
            losses = unpacked(report, self.inferers.names, self.forecasters.names)
            at = self.reputers.places.get(hotkey)
            if at is not None and losses is not None:
                stakes[at], table[at] = stake, losses
        return stakes, table

    def _spread_to_seats(self, losses: Floats, answers: _Answers) -> Floats:
        return np.where(np.isfinite(answers.inferences), losses[answers.inferer_seats], np.nan)

    def _paid(self, answers: _Answers, synthesis: Synthesis, outcome: Outcome) -> dict[Hotkey, float]:
        """Each worker's part of the two tasks' reward: what its seat weighed, shared by those who sit there."""
        split = outcome.split
        scores: dict[Hotkey, float] = {}
        both = split.inferers + split.forecasters
        if both <= 0:  # the reports left nothing to share by: nobody is judged
            return {}
        there = np.isfinite(answers.forecasts).any(axis=1)
        weights, forecasting = synthesis.weights, np.where(there, 1.0, np.nan)
        tasks = (
            (self.inferers, split.inferers, weights[:MAX_INFERERS], answers.inferences, answers.inferer_seats),
            (self.forecasters, split.forecasters, weights[MAX_INFERERS:], forecasting, answers.forecaster_seats),
        )
        for roster, part, weight, values, seat in tasks:
            pay = part / both * shared(_parts(weight, values, seat), values, seat)
            for hotkey, place in roster.places.items():
                if np.isfinite(values[place]):
                    scores[hotkey] = scores.get(hotkey, 0.0) + float(pay[place])
        return scores

    def _together(self, answers: _Answers) -> list[list[Hotkey]]:
        groups: list[list[Hotkey]] = []
        for roster, seat in ((self.inferers, answers.inferer_seats), (self.forecasters, answers.forecaster_seats)):
            for first in np.flatnonzero(np.bincount(seat) > 1):
                members = [name for name, at in zip(roster.names, seat, strict=True) if at == first and name]
                if len(members) > 1:
                    groups.append(members)
        return groups


def _parts(weights: Floats, values: Floats, seat: Seats) -> Floats:
    """Each seat's part of its task: by weight; alike where nobody has any yet."""
    taken = np.isfinite(merged(values, seat))
    weights = np.where(taken, weights, 0.0)
    if not weights.sum() > 0:
        weights = taken.astype(np.float64)
    return np.asarray(weights / max(weights.sum(), 1e-300))
