"""The sequential test: published lines, Wald's formulas, exact recursion and simulation side by side."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subnet.scoring.sequential import Sprt, Tally

# NIST/SEMATECH e-Handbook of Statistical Methods, sequential sampling plans: p1 0.01, p2 0.10, alpha 0.05, beta 0.10
NIST = Sprt(honest=0.01, cheat=0.10, alpha=0.05, beta=0.10)


def test_the_lines_are_the_handbooks() -> None:
    assert NIST.lines() == pytest.approx((0.939, 1.205, 0.0397), abs=5.1e-4)
    # the handbook's table: no acceptance before item 24, rejection from 2 defectives on
    assert NIST.observe(Tally(), asked=23).verdict == "open"
    assert NIST.observe(Tally(), asked=24).verdict == "honest"
    assert NIST.observe(Tally(), asked=1, failed=1).verdict == "open"
    assert NIST.observe(Tally(), asked=2, failed=2).verdict == "cheat"


def test_walds_formulas_by_hand() -> None:
    low, high = math.log(0.10 / 0.95), math.log(0.90 / 0.05)
    assert NIST.bounds() == pytest.approx((low, high))
    assert NIST.acquittal(0.01) == pytest.approx(0.95)
    assert NIST.acquittal(0.10) == pytest.approx(0.10)
    passed, failed = math.log(0.90 / 0.99), math.log(10)
    assert NIST.expected_queries(0.01) == pytest.approx((0.95 * low + 0.05 * high) / (0.01 * failed + 0.99 * passed))
    assert NIST.expected_queries(0.10) == pytest.approx((0.10 * low + 0.90 * high) / (0.10 * failed + 0.90 * passed))
    slope = NIST.lines()[2]
    assert NIST.acquittal(slope) == pytest.approx(high / (high - low))
    assert NIST.expected_queries(slope) == pytest.approx(-low * high / (slope * failed**2 + (1 - slope) * passed**2))
    assert NIST.expected_queries(0.0) == pytest.approx(low / passed)
    assert NIST.expected_queries(1.0) == pytest.approx(high / failed)
    assert (NIST.acquittal(0.0), NIST.acquittal(1.0)) == (1, 0)


@pytest.mark.parametrize("rate", [0.02, 0.11, 0.3])
def test_simulation_agrees_with_the_exact_recursion_and_both_with_wald(rate: float) -> None:
    test = Sprt(honest=0.02, cheat=0.3, alpha=0.01, beta=0.02)
    runs, longest = 4000, 400
    fails = np.random.default_rng(5).random((runs, longest)) < rate
    n = np.arange(1, longest + 1)
    passed, failed = math.log(0.7 / 0.98), math.log(0.3 / 0.02)
    count = np.cumsum(fails, axis=1)
    ratio = count * failed + (n - count) * passed
    low, high = test.bounds()
    done = (ratio <= low) | (ratio >= high)
    assert done.any(axis=1).all()
    at = done.argmax(axis=1)
    convicted = ratio[np.arange(runs), at] >= high
    exact = test.exact(rate)
    error = 4 / math.sqrt(runs)  # four standard errors
    assert exact.cheat == pytest.approx(convicted.mean(), abs=error * math.sqrt(exact.cheat * exact.honest) + 1e-9)
    assert exact.asked == pytest.approx((at + 1).mean(), abs=error * (at + 1).std())
    assert exact.cheat + exact.honest == pytest.approx(1)
    # past the bounds by up to a step: more queries than Wald's, and by less than one failed check's worth
    steps = failed / abs(rate * failed + (1 - rate) * passed)
    assert test.expected_queries(rate) - 1e-9 <= exact.asked <= test.expected_queries(rate) + steps


designs = st.builds(
    lambda honest, gap, alpha, beta: Sprt(
        honest=honest, cheat=honest + gap * (0.95 - honest), alpha=alpha, beta=beta, most=None
    ),
    st.floats(0.01, 0.5),
    st.floats(0.4, 1.0),
    st.floats(0.001, 0.2),
    st.floats(0.001, 0.2),
)


@settings(max_examples=15)
@given(designs)
def test_errors_keep_within_walds_bounds(test: Sprt) -> None:
    assert test.exact(test.honest).cheat <= test.alpha / (1 - test.beta) + 1e-9
    assert test.exact(test.cheat).honest <= test.beta / (1 - test.alpha) + 1e-9


@settings(max_examples=40)
@given(designs, st.floats(0, 1), st.floats(0, 1))
def test_who_fails_more_is_acquitted_less(test: Sprt, one: float, other: float) -> None:
    fewer, more = sorted([one, other])
    assert 0 <= test.acquittal(more) <= test.acquittal(fewer) + 1e-9 <= 1 + 2e-9
    assert test.expected_queries(one) > 0


def test_an_end_acquits_and_costs_only_beta() -> None:
    endless = Sprt(honest=0.02, cheat=0.2)
    ended = msgspec.structs.replace(endless, most=20)
    assert ended.observe(Tally(asked=19, failed=2)).verdict == "honest"
    assert endless.observe(Tally(asked=19, failed=2)).verdict == "open"
    assert ended.exact(0.02).cheat <= endless.exact(0.02).cheat
    assert ended.exact(0.2).honest > endless.exact(0.2).honest
    assert ended.exact(0.2).open == 0
    assert ended.exact(0.2).asked <= 20
    assert endless.exact(0.1, most=5).open > 0.5


def test_a_verdict_stands_and_a_tally_survives_json() -> None:
    tally = NIST.observe(Tally(), asked=2, failed=2)
    later = NIST.observe(tally, asked=500)
    assert later == Tally(502, 2, "cheat")
    assert msgspec.json.decode(msgspec.json.encode(later), type=Tally) == later
    assert msgspec.json.decode(msgspec.json.encode(NIST), type=Sprt) == NIST
    for bad in (b'{"asked": 1, "failed": 2}', b'{"asked": -1}', b'{"verdict": "guilty"}', b'{"asked": 1.5}'):
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(bad, type=Tally)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=20))
def test_the_counts_add_up(rounds: list[tuple[int, int]]) -> None:
    tally = Tally()
    for asked, failed in rounds:
        tally = NIST.observe(tally, asked=asked, failed=min(asked, failed))
    assert tally.asked == sum(asked for asked, _ in rounds)
    assert tally.failed == sum(min(pair) for pair in rounds)


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: Sprt(honest=0.0, cheat=0.5), "honest is 0.0"),
        (lambda: Sprt(honest=0.5, cheat=0.5), "cheat is 0.5, expected 0.5 < cheat < 1"),
        (lambda: Sprt(honest=0.1, cheat=1.0), "cheat is 1.0"),
        (lambda: Sprt(honest=0.1, cheat=0.5, alpha=0.5), "alpha is 0.5"),
        (lambda: Sprt(honest=0.1, cheat=0.5, beta=math.nan), "beta is nan"),
        (lambda: Sprt(honest=0.1, cheat=0.5, most=0), "most is 0"),
        (lambda: NIST.observe(Tally(), asked=1, failed=2), "failed is 2, expected an integer from 0 to 1"),
        (lambda: NIST.observe(Tally(), asked=-1), "asked is -1"),
        (lambda: Tally(asked=1, failed=2), "a tally of 2 failed of 1"),
        (lambda: NIST.acquittal(1.5), "rate is 1.5"),
        (lambda: NIST.exact(0.1, most=200_000), "most is 200000"),
    ],
)
def test_bad_input_is_named(call, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        call()
