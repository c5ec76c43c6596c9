"""An epoch of inference synthesis as JSON: what ``subnet synthesis`` reads and prints.

A case is ``{"previous": {...}, "current": {...}}``: two epochs, each a flat object of columns under the names
of the Allora chain's test data (``inference_0``, ``reputer_2_loss_network_inference`` ...). The state comes
from the previous epoch's columns, the inputs from the current one's. Nothing here reads files; numbers of
inferers, forecasters and reputers are bounded before arrays are made.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from itertools import islice, product
from typing import Annotated

import msgspec
import numpy as np

from subnet.scoring.synthesis import Outcome, Synthesis, learn, regret_scale, synthesise
from subnet.scoring.synthesis_state import State, ValueBundle, bundle_shapes, unknown
from subnet.scoring.synthesis_weights import (
    MAX_FORECASTERS,
    MAX_INFERERS,
    MAX_REPUTERS,
    MAX_VALUE,
    Floats,
    Params,
    initial_regret,
)

Column = float | None
Epoch = dict[str, Column]

MAX_HISTORY = 8
"""With the previous and the current epoch, the ten whose scores count."""

INFERENCES = {
    "network": "network_inference",
    "naive": "network_naive_inference",
    "forecasters": "forecast_implied_inference_{}",
    "forecasters_one_out": "forecast_implied_inference_{}_oneout_{}",
    "one_out": "network_inference_oneout_{}",
    "one_in": "network_naive_inference_onein_{}",
}
"""Columns of the synthesised inferences, by the field of :class:`~subnet.scoring.synthesis.ValueBundle`."""
LOSSES = {
    "network": "network_loss",
    "naive": "network_naive_loss",
    "inferers": "inference_loss_{}",
    "forecasters": "forecast_implied_inference_loss_{}",
    "forecasters_one_out": "forecast_implied_inference_loss_{}_oneout_{}",
    "one_out": "network_loss_oneout_{}",
    "one_in": "network_naive_loss_onein_{}",
}
REPORTS = {
    "network": "reputer_{}_loss_network_inference",
    "naive": "reputer_{}_loss_naive_network_inference",
    "inferers": "reputer_{}_loss_inference_{}",
    "forecasters": "reputer_{}_loss_forecast_implied_inference_{}",
    "forecasters_one_out": "reputer_{}_loss_forecast_implied_inference_{}_oneout_{}",
    "one_out": "reputer_{}_loss_network_inference_oneout_{}",
    "one_in": "reputer_{}_loss_naive_network_inference_onein_{}",
}
ROLES = ("inferer", "forecaster", "reputer")


class Case(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """``previous`` null: the topic's first epoch. ``history``: the epochs before the previous, oldest first, of
    which only the columns ``inferer_score_{}`` and ``forecaster_score_{}`` are read.
    """

    previous: Epoch | None
    current: Epoch
    history: Annotated[list[Epoch], msgspec.Meta(max_length=MAX_HISTORY)] | None = None


class Fractions(Enum):
    """Where the workers' reward fractions come from: they hang on the scores of ten epochs."""

    GIVEN = "in the current epoch's columns"
    FOLLOW = "from the scores of the history, or of a topic's first epoch"
    UNKNOWN = "from nowhere: what hangs on them is not computed"


@dataclass(frozen=True, slots=True)
class Result:
    """What :func:`run` computes. ``outcome`` is None where the current epoch has no reports."""

    synthesis: Synthesis
    outcome: Outcome | None
    topic_rewards: float
    """NaN where the case does not say."""
    fractions: Fractions


def read_case(data: bytes) -> Case:
    """A case's JSON, checked for shape and numbers. ValueError says what is wrong and where."""
    try:
        case = msgspec.json.decode(data, type=Case)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(str(error)) from None
    named = [("previous", case.previous or {}), ("current", case.current)]
    named += [(f"history[{number}]", epoch) for number, epoch in enumerate(case.history or [])]
    for name, epoch in named:
        bad = next((column for column, value in epoch.items() if value is not None and abs(value) > MAX_VALUE), None)
        if bad is not None:
            raise ValueError(f"`$.{name}.{bad[:60]}` is beyond {MAX_VALUE:g}")
    return case


def run(case: Case, params: Params) -> Result:
    """One epoch. ValueError names the columns that are missing, or the numbers that don't fit."""
    topic = _Topic.of(case.current)
    current, state = _Columns("current", case.current), _state(case, topic, params)
    inferences = current.array("inference_{}", topic.inferers)
    if np.isnan(inferences).all():
        raise ValueError("`$.current` has no inference: every inference_{} is null")
    expected = current.array("forecasted_loss_{}_for_{}", topic.forecasters, topic.inferers)
    synthesis = synthesise(inferences, expected, state, params)
    source = _fractions_source(case)
    outcome = None
    if topic.reputers:
        stakes = current.array("reputer_stake_{}", topic.reputers)
        if (stakes < 0).any():
            raise ValueError("`$.current` has a negative reputer_stake")
        fractions = _fractions(current, topic, source)
        outcome = learn(state, synthesis, _reports(current, topic), stakes, params, fractions=fractions)
    rewards = case.current.get("topic_rewards")
    return Result(synthesis, outcome, float("nan") if rewards is None else rewards, source)


def columns(result: Result) -> dict[str, Column]:
    """Every column computed for the current epoch; null for a worker or reputer who is absent."""
    found: dict[str, Column] = {}
    for template, values in _families(result):
        numbers = np.asarray(values, dtype=np.float64)
        for index in np.ndindex(numbers.shape):
            value = float(numbers[index])
            found[template.format(*index)] = value if math.isfinite(value) else None
    return found


def _families(result: Result) -> Iterator[tuple[str, Floats | float]]:
    yield "forecasted_regret_{}_inferer_{}", result.synthesis.forecasted_regrets
    for field, template in INFERENCES.items():
        yield template, getattr(result.synthesis.inferences, field)
    yield "network_inference_errorbar_{}", result.synthesis.interval
    if (out := result.outcome) is None:
        return
    for field, template in LOSSES.items():
        yield template, getattr(out.losses, field)
    yield from _regrets(out.state)
    yield "inferer_score_{}", out.inferer_scores
    yield "forecaster_score_{}", out.forecaster_scores
    yield "reputer_listening_coefficient_{}", out.state.listening
    yield "reputer_adjusted_stake_{}", out.reputation.adjusted_stakes
    yield "reputer_score_{}", out.reputation.scores
    yield "reputer_reward_fraction_{}", out.reputer_fractions
    yield "reputer_reward_fraction_smooth_{}", out.state.reputer_fractions
    yield "reputers_entropy", out.entropies[2]
    yield "forecaster_task_score", out.split.task_score
    yield "forecaster_score_ratio", out.split.score_ratio
    yield "forecasters_utility", out.split.utility
    if result.fractions is not Fractions.UNKNOWN:
        yield from _rewards(result, out)


def _rewards(result: Result, out: Outcome) -> Iterator[tuple[str, Floats | float]]:
    """What hangs on the workers' reward fractions."""
    if result.fractions is Fractions.FOLLOW:
        yield "inferer_reward_fraction_{}", out.inferer_fractions
        yield "forecaster_reward_fraction_{}", out.forecaster_fractions
    yield "inferer_reward_fraction_smooth_{}", out.state.inferer_fractions
    yield "forecaster_reward_fraction_smooth_{}", out.state.forecaster_fractions
    yield "inferers_entropy", out.entropies[0]
    yield "forecasters_entropy", out.entropies[1]
    fractions = (out.inferer_fractions, out.forecaster_fractions, out.reputer_fractions)
    shares = (out.split.inferers, out.split.forecasters, out.split.reputers)
    for role, share, fraction in zip(ROLES, shares, fractions, strict=True):
        yield f"{role}s_reward_fraction", share
        if math.isfinite(result.topic_rewards):
            yield f"{role}_reward_{{}}", result.topic_rewards * share * fraction


def _regrets(state: State) -> Iterator[tuple[str, Floats]]:
    """A state's regrets; the columns name the worker before whom it is without."""
    yield "inference_regret_worker_{}", state.regrets
    yield "naive_inference_regret_worker_{}", state.naive_regrets
    yield "inference_regret_worker_{}_oneout_{}", state.one_out_regrets.T
    yield "inference_regret_worker_{}_onein_{}", state.one_in_regrets.T


@dataclass(frozen=True, slots=True)
class _Topic:
    inferers: int
    forecasters: int
    reputers: int

    @classmethod
    def of(cls, epoch: Mapping[str, Column]) -> _Topic:
        """How many take part, by the columns of the current epoch. ValueError beyond the limits."""
        counts = []
        for what, pattern, least, most in (
            ("inferers", r"inference_(\d+)", 1, MAX_INFERERS),
            ("forecasters", r"forecasted_loss_(\d+)_for_\d+", 0, MAX_FORECASTERS),
            ("reputers", r"reputer_stake_(\d+)", 0, MAX_REPUTERS),
        ):
            counts.append(_count(epoch, pattern))
            if not least <= counts[-1] <= most:
                raise ValueError(f"`$.current` has {counts[-1]} {what}, expected {least} to {most}")
        return cls(*counts)


def _count(epoch: Mapping[str, Column], pattern: str) -> int:
    """One more than the highest number in columns like this; gaps are found when the columns are read."""
    numbers = [int(match[1][:9]) for name in epoch if (match := re.fullmatch(pattern, name, re.ASCII))]
    return max(numbers, default=-1) + 1


@dataclass(frozen=True, slots=True)
class _Columns:
    """One epoch's columns, read as arrays."""

    name: str
    epoch: Mapping[str, Column]

    def array(self, template: str, *shape: int) -> Floats:
        """A family of columns. ValueError names those that aren't there; null is NaN."""
        names = [template.format(*index) for index in product(*map(range, shape))]
        missing = [name for name in names if name not in self.epoch]
        if missing:
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            raise ValueError(f"`$.{self.name}` has no {', '.join(islice(missing, 3))}{more}; null says who is absent")
        values = [self.epoch[name] for name in names]
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64).reshape(shape)

    def value(self, column: str) -> float:
        return float(self.array(column)[()])


def _state(case: Case, topic: _Topic, params: Params) -> State:
    """The state after the previous epoch, by its columns."""
    inferers, forecasters = topic.inferers, topic.forecasters
    workers = inferers + forecasters
    state = State.new(inferers, forecasters, topic.reputers)
    if case.previous is None:
        return state
    before = _Columns("previous", case.previous)
    _same(case.previous, "inferers", r"naive_inference_regret_worker_(\d+)", inferers)
    _same(case.previous, "workers", r"inference_regret_worker_(\d+)", workers)
    state = replace(
        state,
        network_loss=before.value("network_loss"),
        regrets=before.array("inference_regret_worker_{}", workers),
        naive_regrets=before.array("naive_inference_regret_worker_{}", inferers),
        one_out_regrets=before.array("inference_regret_worker_{}_oneout_{}", workers, workers).T,
        one_in_regrets=before.array("inference_regret_worker_{}_onein_{}", inferers + 1, forecasters).T,
    )
    if np.isfinite(state.regrets).any():  # who has a regret is taken for experienced: the columns don't count epochs
        state = replace(
            state,
            inclusions=np.where(np.isfinite(state.regrets), math.ceil(1 / params.alpha_regret), 0),
            initial_regret=initial_regret(state.regrets, params),
            regret_scale=regret_scale(state.regrets, state.weights, params),
        )
    if not topic.reputers:
        return state
    state = _with_rewards(state, before, topic)
    return state if case.history is None else _with_scores(state, case, topic)


def _same(epoch: Mapping[str, Column], what: str, pattern: str, expected: int) -> None:
    """Workers are known by their number: those of the previous epoch must be numbered in the current one, too."""
    if (count := _count(epoch, pattern)) > expected:
        raise ValueError(
            f"`$.previous` has {count} {what} and `$.current` {expected}; null in `$.current` says who is absent"
        )


def _with_rewards(state: State, before: _Columns, topic: _Topic) -> State:
    """What the reports are met with: whom to listen to, and the averages of earlier rewards."""
    listening = before.array("reputer_listening_coefficient_{}", topic.reputers)
    if (listening < 0).any() or (listening > 1).any():
        raise ValueError("`$.previous` has a reputer_listening_coefficient beyond 0 to 1")
    return replace(
        state,
        listening=np.where(np.isnan(listening), 1.0, listening),
        inferer_fractions=before.array("inferer_reward_fraction_smooth_{}", topic.inferers),
        forecaster_fractions=before.array("forecaster_reward_fraction_smooth_{}", topic.forecasters),
        reputer_fractions=before.array("reputer_reward_fraction_smooth_{}", topic.reputers),
        score_ratio=before.value("forecaster_score_ratio"),
    )


def _with_scores(state: State, case: Case, topic: _Topic) -> State:
    """The scores of earlier epochs, where the case brings them."""
    epochs = [*(case.history or []), case.previous or {}]
    epochs_read = [_Columns(f"history[{number}]", epoch) for number, epoch in enumerate(epochs[:-1])]
    epochs_read.append(_Columns("previous", epochs[-1]))
    return replace(
        state,
        inferer_scores=np.stack([epoch.array("inferer_score_{}", topic.inferers) for epoch in epochs_read]),
        forecaster_scores=np.stack([epoch.array("forecaster_score_{}", topic.forecasters) for epoch in epochs_read]),
    )


def _reports(current: _Columns, topic: _Topic) -> ValueBundle:
    shapes = bundle_shapes(topic.inferers, topic.forecasters)
    return ValueBundle(
        **{field: current.array(template, topic.reputers, *shapes[field]) for field, template in REPORTS.items()}
    )


def _fractions_source(case: Case) -> Fractions:
    if "inferer_reward_fraction_0" in case.current:
        return Fractions.GIVEN
    return Fractions.FOLLOW if case.previous is None or case.history is not None else Fractions.UNKNOWN


def _fractions(current: _Columns, topic: _Topic, source: Fractions) -> tuple[Floats, Floats] | None:
    """The workers' reward fractions; None where they follow from scores."""
    if source is Fractions.GIVEN:
        return (
            current.array("inferer_reward_fraction_{}", topic.inferers),
            current.array("forecaster_reward_fraction_{}", topic.forecasters),
        )
    return None if source is Fractions.FOLLOW else (unknown(topic.inferers), unknown(topic.forecasters))
