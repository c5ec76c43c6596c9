"""The synthesiser as a stream: predict, learn, and what it makes of odd input."""

from __future__ import annotations

import numpy as np
import pytest

from subnet.scoring.aggregator import Aggregator
from subnet.scoring.synthesis import Params, State, Synthesiser


def run(aggregator: Aggregator, steps: int, seed: int = 0) -> tuple[float, float]:
    """Mean squared error of the aggregator and of the best of four forecasters, the first 30 steps left out."""
    rng = np.random.default_rng(seed)
    errors = []
    for _ in range(steps):
        truth = rng.normal()
        forecasts = truth + rng.normal(0, [0.3, 0.3, 1.0, 5.0])
        combined = aggregator.predict(forecasts)
        aggregator.learn(truth)
        errors.append([(combined - truth) ** 2, *(forecasts - truth) ** 2])
    mean = np.mean(errors[30:], axis=0)
    return float(mean[0]), float(mean[1:].min())


def test_it_beats_the_best_forecaster_and_forgets_the_worst() -> None:
    synthesiser = Synthesiser(4)
    combined, best = run(synthesiser, 300)
    assert combined < best
    synthesiser.predict([0.0, 0.0, 0.0, 1.0])
    assert synthesiser.synthesis is not None
    assert synthesiser.synthesis.weights[3] == synthesiser.synthesis.weights.min()


def test_all_new_is_the_mean() -> None:
    assert Synthesiser(4).predict([1.0, 2.0, 3.0, np.nan]) == 2.0


def test_one_inferer_is_handed_through() -> None:
    synthesiser = Synthesiser(1)
    for truth in range(30):
        assert synthesiser.predict([truth + 0.5]) == truth + 0.5
        synthesiser.learn(truth)


def test_a_step_has_its_order() -> None:
    synthesiser = Synthesiser(2)
    with pytest.raises(ValueError, match="nothing is predicted"):
        synthesiser.learn(1.0)
    synthesiser.predict([1.0, 2.0])
    synthesiser.learn(1.5)
    with pytest.raises(ValueError, match="nothing is predicted"):
        synthesiser.learn(1.5)


@pytest.mark.parametrize("forecasts", [[1.0], [1.0, np.inf], [np.nan, np.nan], [[1.0, 2.0]]])
def test_what_cannot_be_combined_is_told(forecasts: object) -> None:
    with pytest.raises(ValueError, match=r"inferences has"):
        Synthesiser(2).predict(forecasts)  # type: ignore[arg-type]


@pytest.mark.parametrize("truth", [np.nan, np.inf])
def test_a_truth_is_finite(truth: float) -> None:
    synthesiser = Synthesiser(2)
    synthesiser.predict([1.0, 2.0])
    with pytest.raises(ValueError, match="truth"):
        synthesiser.learn(truth)


@pytest.mark.parametrize(("inferers", "forecasters"), [(0, 0), (33, 0), (5, 7), (5, -1)])
def test_limits_come_before_work(inferers: int, forecasters: int) -> None:
    with pytest.raises(ValueError, match="expected"):
        Synthesiser(inferers, forecasters)


def test_a_state_of_other_numbers_is_refused() -> None:
    with pytest.raises(ValueError, match="state"):
        Synthesiser(3, state=State.new(2))


@pytest.mark.parametrize("wrong", [{"normalisation": "max"}, {"p_norm": 0.0}, {"alpha_regret": 0.0}, {"epsilon": -1.0}])
def test_parameters_are_checked(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Params(**wrong)  # type: ignore[arg-type]
