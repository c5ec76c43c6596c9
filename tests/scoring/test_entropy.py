"""Entropy and effective numbers, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from subnet.scoring.entropy import effective_number, entropy

shares = hnp.arrays(np.float64, st.integers(1, 8), elements=st.just(0.0) | st.floats(1e-9, 1e9)).filter(np.any)


def test_by_hand() -> None:
    assert entropy([2, 1, 1], base=2) == pytest.approx(1.5)
    assert entropy([[1, 1], [1, 0]]) == pytest.approx([math.log(2), 0])
    assert effective_number([2, 1, 1]) == pytest.approx(2**1.5)
    assert effective_number([2, 1, 1], order=2) == pytest.approx(1 / (0.25 + 2 * 0.0625))
    assert effective_number([2, 1, 1, 0], order=0) == pytest.approx(3)
    assert effective_number([2, 1, 1], order=math.inf) == pytest.approx(2)
    assert effective_number([2, 1, 1], order=1e5) == pytest.approx(2, rel=1e-4)


@settings(max_examples=30)
@given(shares, st.sampled_from([0.0, 0.5, 1.0, 1.0 + 1e-5, 2.0, 7.0, math.inf]))
def test_from_one_to_all_holders(values: np.ndarray, order: float) -> None:
    number = float(effective_number(values, order=order))
    assert 1 - 1e-9 <= number <= np.count_nonzero(values) * (1 + 1e-9)
    assert effective_number(np.concatenate([values, values]), order=order) == pytest.approx(2 * number, rel=1e-6)


@settings(max_examples=30)
@given(shares)
def test_higher_orders_count_fewer_and_there_is_no_step_at_one(values: np.ndarray) -> None:
    numbers = [float(effective_number(values, order=q)) for q in (0, 0.999, 1, 1.001, 2, math.inf)]
    assert (np.diff(numbers) <= 1e-9 * numbers[0]).all()
    assert numbers[1] == pytest.approx(numbers[3], rel=0.02)


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: entropy([]), "shares holds 0"),
        (lambda: entropy(1.0), "shares is one number"),
        (lambda: entropy([[1.0], [0.0]]), "shares are all 0"),
        (lambda: entropy([-1.0]), "below 0"),
        (lambda: entropy([math.nan]), "holds NaN"),
        (lambda: entropy([1.0], base=1), "base is 1"),
        (lambda: effective_number([1.0], order=-1), "order is -1"),
        (lambda: effective_number([1.0], order=math.nan), "order is nan"),
    ],
)
def test_bad_input_is_named(call, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        call()
