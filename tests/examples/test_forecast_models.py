"""Each model is asked for one month after another, as a miner is, and must do what it is there for."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from subnet.examples.forecast.models import (
    Arima,
    Boosting,
    Expectations,
    Model,
    Naive,
    Network,
    SeasonalNaive,
    Smoothing,
)
from subnet.examples.forecast.topic import KNOWN, series

STEPS = 6


def error(model: Model, steps: int = STEPS) -> float:
    said = np.array([model.forecast(series()[: KNOWN + step]) for step in range(steps)])
    return float(np.sqrt(np.mean((said - series()[KNOWN : KNOWN + steps]) ** 2)))


@pytest.fixture(scope="module")
def naive() -> float:
    return error(Naive())


@pytest.mark.parametrize("model", [Smoothing, Arima, Boosting])
def test_a_model_is_better_than_no_model(model: type[Model], naive: float) -> None:
    assert error(model()) < 0.75 * naive


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")
def test_so_is_the_torch_network(naive: float) -> None:
    assert error(Network()) < 0.75 * naive


def test_the_naive_ones_repeat() -> None:
    history = np.arange(70.0)
    assert Naive().forecast(history) == 69.0
    assert SeasonalNaive().forecast(history) == 58.0


def test_a_boosting_of_another_seed_is_another_model() -> None:
    history = series()[:KNOWN]
    assert Boosting(1).forecast(history) != Boosting(2).forecast(history)


@pytest.mark.parametrize("history", [np.zeros(59), np.array([1.0] * 80 + [np.nan])])
def test_too_short_or_broken_a_history_is_a_value_error(history: np.ndarray) -> None:
    for model in (Naive(), SeasonalNaive(), Smoothing(), Arima(), Boosting()):
        with pytest.raises(ValueError, match="history"):
            model.forecast(history)


def test_expected_losses_follow_the_season() -> None:
    months = np.arange(60)
    good_in_winter = -1.0 + 0.8 * np.cos(2 * np.pi * (KNOWN + months + 6) / 12)
    losses = np.column_stack([good_in_winter, -good_in_winter - 2.0])
    asked = Expectations()
    january = asked.forecast(losses[: 60 - KNOWN % 12], np.zeros(KNOWN + 60 - KNOWN % 12))
    july = asked.forecast(losses[: 54 - KNOWN % 12], np.zeros(KNOWN + 54 - KNOWN % 12))
    assert january[0] < january[1]
    assert july[0] > july[1]


def test_expected_losses_of_few_months_are_the_usual_ones_and_of_nobody_unknown() -> None:
    losses = np.array([[-1.0, np.nan], [-1.0, np.nan]])
    usual = Expectations().forecast(losses, np.zeros(100))
    assert usual[0] == pytest.approx(-1.0)
    assert np.isnan(usual[1])
    assert Expectations().forecast(np.empty((0, 3)), np.zeros(100)).shape == (3,)
