"""Intervals against published tables, and against how often they hold the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from subnet.scoring.intervals import Interval, bootstrap, clopper_pearson, fisher_z, wilson


@pytest.mark.parametrize(
    ("successes", "cases", "score", "exact"),
    # Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 1998, table I
    [
        (81, 263, (0.2553, 0.3662), (0.2527, 0.3676)),
        (15, 148, (0.0624, 0.1605), (0.0578, 0.1617)),
        (0, 20, (0.0000, 0.1611), (0.0000, 0.1684)),
        (1, 29, (0.0061, 0.1718), (0.0009, 0.1776)),
    ],
)
def test_proportions_are_newcombes(
    successes: int, cases: int, score: tuple[float, float], exact: tuple[float, float]
) -> None:
    assert wilson(successes, cases)[1:] == pytest.approx(score, abs=5.1e-5)
    assert clopper_pearson(successes, cases)[1:] == pytest.approx(exact, abs=5.1e-5)


@settings(max_examples=30)
@given(st.integers(1, 300), st.data(), st.floats(0.5, 0.999))
def test_proportions_are_scipys(cases: int, data, confidence: float) -> None:
    successes = data.draw(st.integers(0, cases))
    result = stats.binomtest(successes, cases)
    for ours, method in ((wilson, "wilson"), (clopper_pearson, "exact")):
        theirs = result.proportion_ci(confidence, method=method)
        found = ours(successes, cases, confidence=confidence)
        assert found[1:] == pytest.approx((theirs.low, theirs.high), abs=1e-9)
        assert 0 <= found.low <= found.estimate <= found.high <= 1


def test_fisher_by_hand_and_by_scipy() -> None:
    # artanh 0.5 = 0.549306, 1.959964 / sqrt(28 - 3) = 0.391993
    assert fisher_z(0.5, 28) == pytest.approx((0.5, math.tanh(0.157313), math.tanh(0.941299)), abs=1e-6)
    assert fisher_z(1.0, 10) == (1, 1, 1)
    x, y = np.random.default_rng(1).normal(size=(2, 30))
    result = stats.pearsonr(x, x + y)
    theirs = result.confidence_interval(0.9)
    assert fisher_z(float(result.statistic), 30, confidence=0.9)[1:] == pytest.approx((theirs.low, theirs.high))


def test_bootstrap_is_efron_and_tibshiranis() -> None:
    # "An Introduction to the Bootstrap", 1993, chapter 14: variance of the spatial data, 90%, 2,000 resamples
    spatial = [48, 36, 20, 29, 42, 42, 20, 42, 22, 41, 45, 14, 6, 0, 33, 28, 34, 4, 32, 24, 47, 41, 24, 26, 30, 41]
    found = bootstrap(spatial, np.var, confidence=0.9, resamples=10_000)
    assert found == pytest.approx((171.5, 115.8, 259.6), abs=5)
    found = bootstrap(spatial, np.var, confidence=0.9, resamples=10_000, method="percentile")
    assert found == pytest.approx((171.5, 100.8, 233.9), abs=5)


def test_bootstrap_is_repeatable_and_deals_with_degenerate_data() -> None:
    values = np.random.default_rng(2).exponential(size=40)
    assert bootstrap(values, seed=7) == bootstrap(values, seed=7) != bootstrap(values, seed=8)
    assert bootstrap([3.0, 3.0, 3.0]) == Interval(3.0, 3.0, 3.0)
    assert bootstrap([1.0] * 30 + [2.0], np.median) == Interval(1.0, 1.0, 1.0)
    low_to_high = bootstrap([0.0, 1.0], resamples=100)
    assert low_to_high.low <= low_to_high.estimate <= low_to_high.high


def test_apart() -> None:
    assert wilson(90, 100).apart(wilson(50, 100))
    assert not wilson(9, 10).apart(wilson(5, 10))


def test_exact_covers_at_least_and_wilson_about_what_it_says() -> None:
    n = 40
    for truth in (0.03, 0.2, 0.5, 0.9):
        chances = stats.binom.pmf(np.arange(n + 1), n, truth)
        held = {
            of: sum(p for k, p in enumerate(chances) if of(k, n).low <= truth <= of(k, n).high)
            for of in (wilson, clopper_pearson)
        }
        assert held[clopper_pearson] >= 0.95
        assert held[wilson] == pytest.approx(0.95, abs=0.05)


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: wilson(3, 2), "successes is 3, expected an integer from 0 to 2"),
        (lambda: wilson(0, 0), "cases is 0"),
        (lambda: wilson(1, 2, confidence=1.0), "confidence is 1.0"),
        (lambda: clopper_pearson(-1, 2), "successes is -1"),
        (lambda: fisher_z(0.5, 3), "pairs is 3"),
        (lambda: fisher_z(1.1, 30), "correlation is 1.1"),
        (lambda: bootstrap([1.0]), "expected 2 or more"),
        (lambda: bootstrap([1.0, math.nan]), "values holds NaN"),
        (lambda: bootstrap([1.0, 2.0], method="t"), "method is 't'"),  # type: ignore[arg-type]
        (lambda: bootstrap([1.0, 2.0], resamples=10), "resamples is 10"),
        (lambda: bootstrap(np.arange(10_001.0)), "take 'percentile'"),
        (lambda: bootstrap([1.0, 2.0], lambda x, axis: np.full(x.shape[:-1], np.nan)), "gives NaN"),
    ],
)
def test_bad_input_is_named(call, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        call()
