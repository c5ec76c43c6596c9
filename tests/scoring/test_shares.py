"""Scores to shares: numbers by hand, and what must hold of any rule that pays."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import softmax
from scipy.stats import rankdata

from subnet.scoring import shares

some = hnp.arrays(np.float64, st.integers(1, 12), elements=st.just(0.0) | st.floats(1e-3, 1e3))
wild = hnp.arrays(np.float64, st.integers(1, 12), elements=st.floats(0, 1e150))
RULES = [
    shares.by_sum,
    shares.by_rank,
    shares.by_power,
    lambda s: shares.by_power(s, 0.5),
    lambda s: shares.by_top_k(s, 3),
]


def test_by_hand() -> None:
    assert shares.by_sum([1, 3]).tolist() == [0.25, 0.75]
    assert shares.by_rank([10, 0, 5, 5]).tolist() == [0.5, 0.0, 0.25, 0.25]  # ranks 3, -, 1.5, 1.5 of 6
    assert shares.by_power([1, 2], 2).tolist() == [0.2, 0.8]
    assert shares.by_power([1, 2], 1000).tolist() == pytest.approx([0, 1])
    assert shares.by_top_k([4, 1, 2], 2) == pytest.approx([2 / 3, 0, 1 / 3])
    assert shares.by_top_k([4, 2, 2], 2) == pytest.approx([2 / 3, 1 / 6, 1 / 6])
    assert shares.by_top_k([1, 3], 5).tolist() == [0.25, 0.75]
    assert shares.scorable([[math.nan, -1.0], [math.inf, 2.0]]).tolist() == [[0, 0], [0, 2]]


def test_softmax_is_the_textbooks() -> None:
    assert shares.by_softmax([1, 2, 3]) == pytest.approx([0.09003057, 0.24472847, 0.66524096], abs=1e-8)
    assert shares.by_softmax([0.0, 1.0], 0.5) == pytest.approx(softmax([0.0, 2.0]))


@pytest.mark.parametrize("temperature", [1e-300, 1.0, 1e150])
def test_softmax_never_overflows(temperature: float) -> None:
    out = shares.by_softmax([-1e150, 0.0, 1e150, 1e150], temperature)
    assert out.sum() == pytest.approx(1)
    if temperature < 2:
        assert out.tolist() == [0, 0, 0.5, 0.5]


def test_clip_cuts_to_quantiles() -> None:
    # quartiles of 0..4 and 100 by definition 7: 1.25 and 3.75
    assert shares.clip_quantiles([0, 1, 2, 3, 4, 100], 0.25, 0.75).tolist() == [1.25, 1.25, 2, 3, 3.75, 3.75]
    assert shares.clip_quantiles([-5.0]).tolist() == [-5.0]


@pytest.mark.parametrize("rule", RULES)
def test_nobody_is_paid_for_nothing(rule) -> None:
    assert rule([0.0, 0.0]).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=30)
@given(scores=wild)
def test_shares_sum_to_one_and_zero_earns_zero(rule, scores: np.ndarray) -> None:
    out = rule(scores)
    assert ((out >= 0) & (out <= 1)).all()
    assert (out[scores == 0] == 0).all()
    assert out.sum() == pytest.approx(1 if scores.any() else 0)


@pytest.mark.parametrize("rule", [*RULES, shares.by_softmax])
@settings(max_examples=30)
@given(scores=some, random=st.randoms(use_true_random=False))
def test_only_scores_count_and_never_against_their_order(rule, scores: np.ndarray, random) -> None:
    out = rule(scores)
    order = list(range(len(scores)))
    random.shuffle(order)
    assert rule(scores[order]) == pytest.approx(out[order], abs=1e-12)
    assert (np.diff(out[np.argsort(scores)]) >= -1e-12).all()


@settings(max_examples=30)
@given(some)
def test_ranks_of_equals_are_midranks(scores: np.ndarray) -> None:
    positive = scores[scores > 0]
    if positive.size:
        ranks = rankdata(positive)
        assert shares.by_rank(scores)[scores > 0] == pytest.approx(ranks / ranks.sum())


@pytest.mark.parametrize("rule", [*RULES, shares.by_softmax, shares.clip_quantiles])
@pytest.mark.parametrize("bad", [[], [[1.0]], [math.nan], [math.inf], [1e200], ["x"], [None], [1j], 3.0])
def test_bad_scores_are_an_error(rule, bad) -> None:
    with pytest.raises(ValueError, match="scores "):
        rule(bad)


@pytest.mark.parametrize("rule", RULES)
def test_a_score_below_zero_is_an_error(rule) -> None:
    with pytest.raises(ValueError, match="scores holds a number below 0"):
        rule([1.0, -0.1])


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: shares.by_softmax([1.0], 0), "temperature is 0"),
        (lambda: shares.by_power([1.0], -1), "exponent is -1"),
        (lambda: shares.by_top_k([1.0], 0), "k is 0"),
        (lambda: shares.by_top_k([1.0], 1.5), "k is 1.5"),  # type: ignore[arg-type]
        (lambda: shares.clip_quantiles([1.0], 0.9, 0.1), "high is 0.1, expected 0.9 <= high"),
    ],
)
def test_bad_parameters_are_named(call, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        call()
