"""Dynamic model averaging: steps beside a slow double, what it reaches, and what must not matter or break it."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from subnet.scoring.checks import Floats
from subnet.scoring.dynamic_averaging import DEGREES, MAX_REGRESSIONS, MEMORY, RATIO, SCALES, DynamicModelAveraging
from subnet.scoring.hedge import FixedShareHedge
from tests.scoring.streams import close, feed, regimes, rmse, to_best


def test_the_first_two_steps_beside_a_double_in_plain_loops() -> None:
    # Before the first truth the corrections' coefficients are 0: they forecast what their centres do, less surely.
    model, forecasts, truth, switch, rescale = DynamicModelAveraging(2), np.array([1.0, 3.0]), 1.5, 0.02, 0.01
    first = model.predict(forecasts)
    assert first == pytest.approx(2.0)  # by symmetry
    model.learn(truth)
    means = [1.0, 3.0, 2.0, 2.0, 1.0, 3.0, 2.0]  # forecasters, mean, median, corrected, the mean's correction
    # Prior variance 0.1 for the coefficient of the other: 2 away, or for both 1 away. No constant yet.
    variances = [0.0, 0.0, 0.0, 0.0, 0.1 * 4, 0.1 * 4, 0.1 * 2]
    finest = np.median([0.5, 1.5]) / RATIO ** (SCALES // 2)
    likelihood = np.zeros((7, SCALES))
    for c in range(7):
        for level in range(SCALES):
            spread = math.sqrt((finest * RATIO**level) ** 2 + variances[c])
            likelihood[c, level] = stats.t(DEGREES).pdf((truth - means[c]) / spread) / spread
    posterior = likelihood / likelihood.sum()
    uniform = 1 / posterior.size
    past = uniform + (posterior - uniform) / 20
    target = MEMORY * past + (1 - MEMORY) * uniform
    prior = (1 - switch - rescale) * posterior + switch * target
    for c in range(7):
        prior[c] += rescale * posterior[c].sum() * target[c] / target[c].sum()
    assert model.weights == pytest.approx([prior[0].sum() + prior[4].sum(), prior[1].sum() + prior[5].sum()])
    assert model.weights[0] > model.weights[1]


def test_it_is_well_under_the_best_single_and_never_behind_hedge() -> None:
    # Two of the series of benchmarks/forecast.py, where the mean of twenty is 0.68
    ratios = []
    for seed in (1, 12):
        truths, forecasts = regimes(seed, 1500)
        ratios.append(to_best(feed(DynamicModelAveraging(5), truths, forecasts), truths, forecasts))
        assert ratios[-1] < 1.02 * to_best(feed(FixedShareHedge(5), truths, forecasts), truths, forecasts)
    assert max(ratios) < 0.95
    assert np.mean(ratios) < 0.7


def test_errors_that_cancel_are_cancelled() -> None:
    # No forecaster is any good, but the first is wrong by what the second says: best is f0 - 0.5 (f1 - f0) ...
    rng = np.random.default_rng(4)
    truths, common = np.cumsum(rng.normal(size=400)), 5 * rng.normal(size=400)
    forecasts = np.stack([truths + common, truths + 3 * common], axis=1) + 0.1 * rng.normal(size=(400, 2))
    assert to_best(feed(DynamicModelAveraging(2), truths, forecasts), truths, forecasts) < 0.1


def test_independent_errors_are_averaged_away() -> None:
    rng = np.random.default_rng(5)
    truths = np.cumsum(rng.normal(size=400))
    forecasts = truths[:, None] + rng.normal(size=(400, 9))
    errors = feed(DynamicModelAveraging(9), truths, forecasts) - truths
    assert rmse(errors, 100) < 1.15 * rmse(forecasts.mean(1) - truths, 100)


def test_the_interval_holds_as_often_as_it_says() -> None:
    truths, forecasts = regimes(8, 500)
    model, held = DynamicModelAveraging(5), np.zeros(2)
    with pytest.raises(ValueError, match="predict"):
        model.interval()
    for t, truth in enumerate(truths):
        middle = model.predict(forecasts[t])
        if t == 0:
            assert model.interval() == (-math.inf, math.inf)
        elif t >= 100 and t % 8 == 0:
            low, lower, upper, high = model.quantiles([0.025, 0.25, 0.75, 0.975])
            assert low < lower < upper < high
            assert low < middle < high
            held += [lower <= truth <= upper, low <= truth <= high]
        model.learn(float(truth))
    assert 17 <= held[0] <= 33  # of 50
    assert 44 <= held[1] <= 50
    model.predict(forecasts[0])
    for level in (0.0, 1.0, math.nan):
        with pytest.raises(ValueError, match="level"):
            model.interval(level)
    assert model.interval(0.95) == pytest.approx(model.quantiles([0.025, 0.975]))


@given(
    arrays(np.float64, (10, 3), elements=st.floats(-100, 100)),
    st.sampled_from([1e-9, 0.125, 3.0, 1e12]),
    st.sampled_from([0.0, -50.0, 1e3]),
    st.permutations(range(3)),
)
@settings(max_examples=25)
def test_unit_zero_and_order_do_not_matter(forecasts: Floats, factor: float, zero: float, order: list[int]) -> None:
    forecasts = np.round(forecasts, 3)
    truths = np.round(forecasts[:, 0] / 2 + forecasts[:, 1] ** 2 / 50, 3) + 1
    expected = feed(DynamicModelAveraging(3), truths, forecasts)
    other = feed(DynamicModelAveraging(3), (truths + zero) * factor, (forecasts[:, order] + zero) * factor)
    assert close(other / factor - zero, expected, 1e-5)


def vandal(forecasts: Floats, what: str) -> Floats:
    n = len(forecasts)
    rng = np.random.default_rng(1)
    return {
        "huge now and then": np.where(rng.random(n) < 0.1, 1e6, forecasts[:, 0]),
        "beyond float64": np.where(rng.random(n) < 0.5, 1e300, -math.inf),
        "noise": 20 * rng.standard_normal(n),
        "a constant": np.full(n, 3.0),
        "nothing": np.full(n, math.nan),
        "a copy": forecasts[:, 3],
    }[what]


@pytest.mark.parametrize("what", ["huge now and then", "beyond float64", "noise", "a constant", "nothing", "a copy"])
def test_one_more_forecaster_who_is_no_use_costs_little(what: str) -> None:
    truths, forecasts = regimes(6, 250)
    alone = rmse(feed(DynamicModelAveraging(5), truths, forecasts) - truths, 50)
    more = np.column_stack([forecasts, vandal(forecasts, what)])
    assert rmse(feed(DynamicModelAveraging(6), truths, more) - truths, 50) < 1.02 * alone


def test_missing_forecasts() -> None:
    truths, forecasts = regimes(6, 600)
    forecasts = np.where(np.random.default_rng(0).random(forecasts.shape) < 0.2, math.nan, forecasts)
    predictions = feed(DynamicModelAveraging(5), truths, forecasts)
    assert np.isfinite(predictions).all()
    assert rmse(predictions - truths, 100) < rmse(np.nan_to_num(np.nanmean(forecasts, axis=1)) - truths, 100)


def test_a_sleeper_keeps_its_probability_but_for_the_switches() -> None:
    model = DynamicModelAveraging(2, switch=1e-9, rescale=0.0)
    for t in range(30):
        model.predict([t, t + 5.0])
        model.learn(t + 0.1)
    before = model.weights
    for t in range(30, 40):
        assert model.predict([math.nan, t + 5.0]) == pytest.approx(t + 5.0, abs=6)
        model.learn(t + 0.1)
    assert model.weights[0] == pytest.approx(before[0], abs=1e-6)
    assert model.predict([math.nan, math.nan]) == pytest.approx(39.1)  # the last truth
    assert model.interval() == (-math.inf, math.inf)
    model.learn(40.0)


def kept(state: dict[str, Floats]) -> Any:
    file = io.BytesIO()
    np.savez(file, **state)  # type: ignore[arg-type]
    file.seek(0)
    return np.load(file, allow_pickle=False)


def test_killed_and_restored_is_as_if_never_killed() -> None:
    truths, forecasts = regimes(1, 100)
    forecasts[::9, 2] = math.nan
    expected = feed(DynamicModelAveraging(5), truths, forecasts)
    model = DynamicModelAveraging(5)
    for t in range(100):
        assert model.predict(forecasts[t]) == expected[t]
        if t % 7 == 0:  # between a prediction and its truth, too
            state = model.state()
            model = DynamicModelAveraging(3)
            model.restore(kept(state))
        model.learn(float(truths[t]))
        if t % 5 == 0:
            state = model.state()
            model = DynamicModelAveraging(MAX_REGRESSIONS + 1)
            model.restore(kept(state))


def test_who_leaves_takes_nothing_along_and_who_comes_must_earn_it() -> None:
    truths, forecasts = regimes(2, 500)
    model = DynamicModelAveraging(5)
    feed(model, truths[:300], forecasts[:300])
    before = model.weights
    model.resize([4, 1, 0], new=1)
    after = model.weights
    assert model.k == 4
    assert after[3] < 0.01
    assert after[:3] / after.sum() == pytest.approx(before[[4, 1, 0]] / before[[4, 1, 0]].sum(), abs=0.02)
    perfect = np.column_stack([forecasts[300:, [4, 1, 0]], truths[300:]])
    errors = feed(model, truths[300:], perfect) - truths[300:]
    assert rmse(errors, 20) < 0.05
    assert model.weights[3] > 0.9
    model.resize([], new=1)
    assert model.predict([7.0]) == pytest.approx(7.0, abs=3)


def test_across_the_number_where_the_corrections_end() -> None:
    model, rng = DynamicModelAveraging(MAX_REGRESSIONS), np.random.default_rng(0)
    for new in (0, 1, 0):
        model.resize(range(MAX_REGRESSIONS), new=new)
        for truth in rng.normal(size=3):
            prediction = model.predict(truth + rng.normal(size=model.k))
            low, high = model.interval()
            assert low <= prediction <= high
            model.learn(float(truth))
        assert model.weights.sum() <= 1


@pytest.mark.parametrize(
    ("truths", "forecasts"),
    [
        (np.zeros(60), np.zeros((60, 2))),  # never an error
        (np.arange(60.0), np.stack([np.arange(60.0), np.zeros(60)], axis=1)),  # one is always exact
        (np.full(60, 5.0), np.full((60, 2), 5.0 + 1e-13)),
        (1e100 * (-1.0) ** np.arange(60), np.full((60, 2), [1e100, -1e100])),
        (1e-120 * (-1.0) ** np.arange(60), np.full((60, 2), [1e-120, -1e-120])),
        (2.0 ** np.arange(60), 2.0 ** np.arange(60)[:, None] * [0.5, 1.1]),
        (np.array([0.0] * 20 + [1e90] + [0.0] * 39), np.random.default_rng(0).normal(size=(60, 2))),
    ],
)
def test_extreme_streams_stay_finite(truths: Floats, forecasts: Floats) -> None:
    model = DynamicModelAveraging(2)
    predictions = feed(model, truths, forecasts)
    assert np.isfinite(predictions).all()
    assert np.isfinite(model.weights).all()
    low, high = forecasts[-1].min(), forecasts[-1].max()
    assert low - 10 * (high - low) - 1 <= predictions[-1] <= high + 10 * (high - low) + 1


def test_first_forecasts_that_differ_by_next_to_nothing_are_no_unit() -> None:
    model = DynamicModelAveraging(3)
    for truth in (25.0, 24.0, 23.0):
        assert math.isfinite(model.predict([0.0, 5e-324, -5e-324]))
        model.learn(truth)
    assert np.isfinite(model.weights).all()


def test_after_an_outlier_it_is_soon_itself_again() -> None:
    truths, forecasts = regimes(3, 300)
    hurt = truths.copy()
    hurt[200] += 1e6
    plain, shaken = (feed(DynamicModelAveraging(5), series, forecasts) for series in (truths, hurt))
    assert rmse(shaken - truths, 220) < 1.1 * rmse(plain - truths, 220)


def test_bad_input_is_refused_and_changes_nothing() -> None:
    for arguments in (
        {"k": 0},
        {"k": 2, "switch": 0.0},
        {"k": 2, "switch": 0.5, "rescale": 0.5},
        {"k": 2, "rescale": -1},
    ):
        with pytest.raises(ValueError, match="expected"):
            DynamicModelAveraging(**arguments)  # type: ignore[arg-type]
    model = DynamicModelAveraging(2)
    with pytest.raises(ValueError, match="before it"):
        model.learn(1.0)
    with pytest.raises(ValueError, match="no forecast"):
        model.predict([math.nan, math.inf])
    for forecasts in ([1.0], [[1.0, 2.0]], ["a", "b"], 3.0):
        with pytest.raises(ValueError, match="forecasts"):
            model.predict(forecasts)  # type: ignore[arg-type]
    model.predict([1.0, 2.0])
    before = model.state()
    for truth in (math.nan, math.inf, 1e200):
        with pytest.raises(ValueError, match="truth"):
            model.learn(truth)
    with pytest.raises(ValueError, match="keep"):
        model.resize([2])
    for name, array in model.state().items():
        np.testing.assert_array_equal(array, before[name])
    model.learn(1.2)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("k", np.array([2.5])),
        ("k", np.array([1e15])),
        ("k", np.array([3.0])),
        ("posterior", np.zeros((7, SCALES))),
        ("past", np.full((7, SCALES), np.nan)),
        ("posterior", np.ones(4)),
        ("finest", np.array([-1.0])),
        ("truths", np.zeros(5)),
        ("pending", np.zeros(9)),
        ("covariance", np.zeros((2, 2))),
        ("coefficients", None),
    ],
)
def test_a_state_that_can_not_be_is_refused(name: str, value: Floats | None) -> None:
    model = DynamicModelAveraging(2)
    feed(model, np.arange(5.0), np.ones((5, 2)))
    state = model.state()
    if value is None:
        del state[name]
    else:
        state[name] = value
    other = DynamicModelAveraging(2)
    with pytest.raises(ValueError, match="state"):
        other.restore(state)
    assert other.predict([1.0, 3.0]) == pytest.approx(2.0)
