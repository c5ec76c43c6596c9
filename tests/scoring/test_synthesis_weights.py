"""Regrets to weights: the numbers published with the chain's parameters, hand-checked ones, and laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subnet.scoring.synthesis_weights import (
    Floats,
    Params,
    initial_regret,
    mad_scale,
    nanmedian,
    potential,
    slope,
    std_scale,
    weighted_mean,
    weighted_percentiles,
    weights,
)

REGRETS = st.lists(st.floats(-1e3, 1e3) | st.just(math.nan), min_size=1, max_size=38).map(np.array)


def test_the_potential_and_its_slope_by_hand() -> None:
    assert potential(0.75) == pytest.approx(math.log(2))
    assert slope(0.75) == pytest.approx(1.5)
    assert potential(1e6) == pytest.approx(3 * (1e6 - 0.75))  # no overflow
    assert slope(np.array([-1e6, 1e6])) == pytest.approx([0.0, 3.0])


@pytest.mark.parametrize(
    ("regrets", "epsilon", "scale"),
    [([0.1, 0.2, 0.3], 0.5, 0.64826), ([0.0, 0.0, 0.0, 100.0], 0.01, 0.01)],
)
def test_the_mad_scale_of_v10(regrets: list[float], epsilon: float, scale: float) -> None:
    """The chain's own test vectors."""
    assert mad_scale(np.array(regrets), epsilon) == pytest.approx([scale], abs=1e-12)


def test_the_std_scale_is_of_a_sample() -> None:
    assert std_scale(np.array([1.0, 2.0, 3.0, np.nan]), 0.01) == pytest.approx([1.01])
    assert std_scale(np.array([5.0]), 0.01) == pytest.approx([0.01])


def test_medians_pass_over_what_is_absent() -> None:
    rows = np.array([[3.0, np.nan, 1.0], [1.0, 2.0, 9.0], [np.nan] * 3])
    assert nanmedian(rows) == pytest.approx([2.0, 2.0, np.nan], nan_ok=True)


def test_a_worker_far_behind_weighs_nothing_and_one_far_ahead_no_more_than_the_cap() -> None:
    params = Params()
    scale = 1.0
    weight = weights(np.array([0.75 - 17.25 / 3 - 1e-9, 0.75 - 17.25 / 3 + 1e-9, 100.0]), params, scale)
    assert weight[0] == 0
    assert weight[1] == pytest.approx(3 / (math.exp(17.25) + 1), rel=1e-6)
    assert weight[2] == pytest.approx(3 / (math.exp(-6.75) + 1))


def test_where_all_are_far_behind_the_best_is_lifted() -> None:
    weight = weights(np.array([-100.0, -101.0]), Params(), 1.0)
    assert weight[0] == pytest.approx(3 / (math.exp(8.25) + 1))
    assert weight[1] == pytest.approx(3 / (math.exp(11.25) + 1))


def test_equal_regrets_weigh_the_same() -> None:
    for regret in (-3.0, 0.0, 3.0):
        weight = weights(np.full(4, regret), Params())
        assert weight == pytest.approx(np.full(4, weight[0]))
        assert weight[0] > 0


@settings(max_examples=30)
@given(REGRETS, st.sampled_from(["std", "mad"]))
def test_weights_are_not_negative_and_the_best_has_some(regrets: Floats, normalisation: str) -> None:
    weight = weights(regrets, Params(normalisation=normalisation))  # type: ignore[arg-type]
    assert (weight >= 0).all()
    assert (weight[np.isnan(regrets)] == 0).all()
    if np.isfinite(regrets).any():
        assert weight[np.nanargmax(regrets)] > 0
        assert weight[np.nanargmax(regrets)] == weight.max()


@settings(max_examples=30)
@given(REGRETS)
def test_weights_do_not_hang_on_the_order(regrets: Floats) -> None:
    order = np.random.default_rng(0).permutation(len(regrets))
    assert weights(regrets[order], Params()) == pytest.approx(weights(regrets, Params())[order], rel=1e-9, abs=1e-12)


def test_a_mean_hears_only_who_has_value_and_weight() -> None:
    values = np.array([[1.0, np.nan, 3.0], [5.0, 6.0, 7.0], [np.nan] * 3])
    weight = np.array([[1.0, 9.0, 3.0], [0.0, 0.0, 0.0], [1.0] * 3])
    assert weighted_mean(values, weight) == pytest.approx([2.5, np.nan, np.nan], nan_ok=True)


def test_percentiles_by_hand() -> None:
    values, weight = np.array([30.0, 10.0, 20.0]), np.array([1.0, 2.0, 1.0])  # middles at 1/4, 5/8, 7/8
    found = weighted_percentiles(values, weight, (0.0, 25.0, 43.75, 62.5, 75.0, 100.0))
    assert found == pytest.approx([10, 10, 15, 20, 25, 30])
    assert np.isnan(weighted_percentiles(values, np.zeros(3))).all()
    assert weighted_percentiles(np.array([7.0, np.nan]), np.ones(2)) == pytest.approx([7.0] * 5)


def test_equal_values_stand_by_their_weights() -> None:
    values, weight = np.array([1.0, 1.0, 2.0]), np.array([1.0, 3.0, 1.0])
    found = weighted_percentiles(values, weight)
    assert weighted_percentiles(values[[1, 0, 2]], weight[[1, 0, 2]]).tolist() == found.tolist()


def test_a_new_worker_begins_low() -> None:
    regrets = np.array([0.0, 1.0, 2.0, np.nan])
    assert initial_regret(regrets, Params()) == pytest.approx(0.5 + (0.75 - 8.25 / 3) * (1.0 + 0.01))
    assert initial_regret(regrets, Params(normalisation="mad")) == pytest.approx(0.5 - 2 * (1.4826 + 0.01))
    assert math.isnan(initial_regret(np.array([]), Params()))
