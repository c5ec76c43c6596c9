"""Factors for speed, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subnet.scoring import speed


def test_by_hand() -> None:
    assert speed.by_deadline([0, 1, 2, 3, 9, math.inf], grace=1, deadline=3).tolist() == [1, 1, 0.5, 0, 0, 0]
    assert speed.by_half_life([0, 1, 3, 5, math.inf], 2, grace=1).tolist() == [1, 1, 0.5, 0.25, 0]
    assert speed.relative([0, 5, 10, 40, math.inf], 10).tolist() == [1, 1, 1, 0.25, 0]
    assert speed.throughput([100, 100, 0, 7], [2, 0.5, 0, 0], target=100).tolist() == [0.5, 1, 0, 1]
    assert speed.throughput(1, math.inf, target=1) == 0
    assert speed.geometric_mean([0.25, 1.0]) == pytest.approx(0.5)
    assert speed.geometric_mean([[1, 0], [1, 4]], axis=0) == pytest.approx([1, 0])


def test_the_geometric_mean_does_not_depend_on_the_reference() -> None:
    # Fleming and Wallace's point: arithmetic means of ratios to A and to B rank the machines both ways
    a, b = np.array([1.0, 100.0]), np.array([10.0, 10.0])
    assert (b / a).mean() > 1
    assert (a / b).mean() > 1
    assert speed.geometric_mean(b / a) == pytest.approx(1 / speed.geometric_mean(a / b))


@settings(max_examples=30)
@given(st.floats(0, 1e9), st.floats(0, 1e9), st.floats(1e-3, 1e3))
def test_slower_is_never_better(one: float, other: float, scale: float) -> None:
    fast, slow = sorted([one, other])
    for factor in (
        lambda t: speed.by_deadline(t, grace=scale / 2, deadline=scale),
        lambda t: speed.by_half_life(t, scale),
        lambda t: speed.relative(t, scale),
        lambda t: speed.throughput(5.0, t, target=scale),
    ):
        assert 0 <= factor(slow) <= factor(fast) <= 1


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: speed.by_deadline(-1, grace=0, deadline=1), "a time below 0"),
        (lambda: speed.by_deadline(math.nan, grace=0, deadline=1), "elapsed holds NaN"),
        (lambda: speed.by_deadline(1, grace=1, deadline=1), "grace is 1, expected 0 <= grace < 1"),
        (lambda: speed.by_deadline([], grace=0, deadline=1), "elapsed holds 0"),
        (lambda: speed.by_half_life(1, 0), "half_life is 0"),
        (lambda: speed.relative(1, math.inf), "reference is inf"),
        (lambda: speed.throughput(-1, 1, target=1), "units holds a number below 0"),
        (lambda: speed.throughput([1, 2], [1, 2, 3], target=1), "don't go together"),
        (lambda: speed.geometric_mean([-1.0]), "factors holds"),
        (lambda: speed.geometric_mean([1.0], axis=3), "no axis 3"),
    ],
)
def test_bad_input_is_named(call, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        call()
