"""Proper scoring rules: numbers by hand, scoringrules beside, and that honesty is the best forecast."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scoringrules
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from subnet.scoring import proper

reals = st.floats(-1e3, 1e3)
ensembles = hnp.arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(2, 9)), elements=reals)


def test_by_hand() -> None:
    assert proper.log_score([0.5, 0.25, 0.25], 1) == pytest.approx(math.log(4))
    assert proper.brier([0.5, 0.25, 0.25], 1) == pytest.approx(0.25 + 0.5625 + 0.0625)
    assert proper.brier_binary(0.7, True) == pytest.approx(0.09)
    assert proper.crps_ensemble([1.0, 3.0], 2.0) == pytest.approx(1 - 4 / 8)
    assert proper.crps_ensemble([1.0, 3.0], 2.0, estimator="fair") == pytest.approx(1 - 4 / 4)
    assert proper.crps_ensemble([1.0], 3.5) == 2.5
    assert proper.crps_gaussian(0, 1, 0) == pytest.approx((math.sqrt(2) - 1) / math.sqrt(math.pi))
    assert proper.pinball(10, 12, 0.9) == pytest.approx(1.8)
    assert proper.pinball(10, 8, 0.9) == pytest.approx(0.2)
    assert proper.interval_score(0, 10, 12, 0.8) == pytest.approx(10 + 2 / 0.2 * 2)
    assert proper.interval_score(0, 10, 5, 0.8) == 10
    assert proper.skill([1.0, 2.0, 8.0, math.inf], 4.0).tolist() == [0.75, 0.5, 0.0, 0.0]
    assert proper.skill(0.0, 0.0) == 0


def test_what_was_called_impossible_costs_infinity_or_the_floor() -> None:
    assert proper.log_score([1.0, 0.0], 1) == math.inf
    assert proper.log_score([1.0, 0.0], 1, floor=1e-3) == pytest.approx(math.log(1000))
    assert math.copysign(1, proper.log_score([1.0, 0.0], 0)) == 1


@settings(max_examples=30)
@given(ensembles, st.data())
def test_crps_of_ensembles_is_scoringrules(members: np.ndarray, data) -> None:
    observed = data.draw(hnp.arrays(np.float64, members.shape[0], elements=reals))
    for ours, theirs in (("empirical", "nrg"), ("fair", "fair"), ("fair", "pwm")):
        expected = scoringrules.crps_ensemble(observed, members, estimator=theirs)
        assert proper.crps_ensemble(members, observed, estimator=ours) == pytest.approx(expected, abs=1e-9)


@settings(max_examples=30)
@given(reals, st.floats(1e-3, 1e3), reals, reals, st.floats(0.01, 0.99))
def test_the_others_are_scoringrules(mean: float, width: float, observed: float, low: float, level: float) -> None:
    close = {"rel": 1e-9, "abs": 1e-9}
    assert proper.crps_gaussian(mean, width, observed) == pytest.approx(
        float(scoringrules.crps_normal(observed, mean, width)), **close
    )
    assert proper.pinball(mean, observed, level) == pytest.approx(
        float(scoringrules.quantile_score(observed, mean, level)), **close
    )
    theirs = scoringrules.interval_score(observed, low, low + width, 1 - level)
    assert proper.interval_score(low, low + width, observed, level) == pytest.approx(float(theirs), **close)


@settings(max_examples=30)
@given(st.floats(0, 1), st.booleans())
def test_brier_and_log_are_scoringrules(probability: float, happened: bool) -> None:
    assert proper.brier_binary(probability, happened) == pytest.approx(
        float(scoringrules.brier_score(float(happened), probability)), abs=1e-12
    )
    both = [1 - probability, probability]
    assert proper.brier(both, int(happened)) == pytest.approx(2 * proper.brier_binary(probability, happened), abs=1e-12)
    if 1e-3 < both[happened] < 1:
        theirs = float(scoringrules.log_score(float(happened), probability))
        assert proper.log_score(both, int(happened)) == pytest.approx(theirs, abs=1e-9)


@settings(max_examples=30)
@given(hnp.arrays(np.float64, 3, elements=st.floats(0.01, 1)), hnp.arrays(np.float64, 3, elements=st.floats(0.01, 1)))
def test_no_forecast_beats_ones_belief(belief: np.ndarray, said: np.ndarray) -> None:
    belief, said = belief / belief.sum(), said / said.sum()
    outcomes = np.arange(3)
    for rule in (proper.log_score, proper.brier):
        honest = belief @ rule(np.tile(belief, (3, 1)), outcomes)
        other = belief @ rule(np.tile(said, (3, 1)), outcomes)
        assert honest <= other + 1e-12


def test_the_gaussian_form_is_the_limit_of_large_ensembles() -> None:
    members = np.random.default_rng(0).normal(1.0, 2.0, 200_000)
    assert proper.crps_ensemble(members, 2.5) == pytest.approx(float(proper.crps_gaussian(1.0, 2.0, 2.5)), abs=0.01)


def test_extremes_stay_finite() -> None:
    for y in (0.0, 1.0, -1e150):
        assert np.isfinite(proper.crps_gaussian(0.0, 5e-324, y))
        assert proper.crps_gaussian(0.0, 0.0, y) == abs(y)
    assert np.isfinite(proper.crps_ensemble([-1e150, 1e150], 0.0))
    assert proper.crps_ensemble(np.full(3, 1e9) + [0, 1e-3, 2e-3], 1e9) == pytest.approx(
        float(proper.crps_ensemble([0, 1e-3, 2e-3], 0.0)), rel=1e-3
    )


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: proper.log_score([0.5, 0.6], 0), "sum to 1"),
        (lambda: proper.log_score([1.5, -0.5], 0), "from 0 to 1"),
        (lambda: proper.log_score(0.5, 0), "probabilities is one number"),
        (lambda: proper.log_score([0.5, 0.5], 2), "outcome holds a number outside 0 to 1"),
        (lambda: proper.log_score([0.5, 0.5], -1), "outcome holds"),
        (lambda: proper.log_score([0.5, 0.5], 0.0), "expected integers"),
        (lambda: proper.log_score([0.5, 0.5], [0]), "outcome has shape"),
        (lambda: proper.brier([math.nan, 1.0], 0), "probabilities holds NaN"),
        (lambda: proper.brier_binary(1.1, 1), "outside 0 to 1"),
        (lambda: proper.brier_binary(0.1, 2), "something else than 0 and 1"),
        (lambda: proper.crps_ensemble([], 1.0), "members holds 0"),
        (lambda: proper.crps_ensemble(1.0, 1.0), "members is one number"),
        (lambda: proper.crps_ensemble([1.0], 1.0, estimator="fair"), "needs 2 members"),
        (lambda: proper.crps_ensemble([1.0], 1.0, estimator="x"), "estimator is 'x'"),  # type: ignore[arg-type]
        (lambda: proper.crps_ensemble([[1.0, 2.0]] * 3, [1.0, 2.0]), "don't go together"),
        (lambda: proper.crps_ensemble([1e151], 1.0), "members holds"),
        (lambda: proper.crps_gaussian(0, -1, 0), "deviation holds a number below 0"),
        (lambda: proper.pinball(0, 0, 1), "level holds"),
        (lambda: proper.interval_score(1, 0, 0, 0.5), "low is above high"),
        (lambda: proper.skill(math.nan, 1.0), "penalty holds NaN"),
        (lambda: proper.skill(1.0, -1.0), "reference holds a number below 0"),
    ],
)
def test_bad_input_is_named(call, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        call()
