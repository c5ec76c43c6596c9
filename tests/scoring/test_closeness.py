"""Closeness of arrays: distances that can be counted by hand, and that strangers' NaNs are simply far."""

from __future__ import annotations

import math

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from subnet.scoring.closeness import FAR, cosine, exact, ulp_distance, within_tolerance, within_ulp

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
# significand bits after the leading one: from 1 to 2 there are so many powers of two of numbers
DTYPES = [(np.dtype("float16"), 10), (BFLOAT16, 7), (np.dtype("float32"), 23), (np.dtype("float64"), 52)]


@pytest.mark.parametrize(("dtype", "bits"), DTYPES, ids=str)
def test_ulps_by_hand(dtype: np.dtype, bits: int) -> None:
    info = ml_dtypes.finfo(dtype)
    tiny = info.smallest_subnormal
    left = np.array([1, 1, 0.0, tiny, 1, info.max], dtype)
    right = np.array([1, 2, -0.0, -tiny, 1 + float(info.eps), info.min], dtype)
    finite = 2 * (int(np.array(info.max, dtype).view(f"u{dtype.itemsize}")))
    assert ulp_distance(left, right).tolist() == [0, 2**bits, 0, 2, 1, finite]
    assert ulp_distance(right, left).tolist() == ulp_distance(left, right).tolist()
    strange = np.array([math.nan, math.inf, -math.inf], dtype)
    assert ulp_distance(strange, np.ones(3, dtype)).tolist() == [FAR] * 3
    assert not within_ulp(strange, np.ones(3, dtype), 1 << 62).any()


@settings(max_examples=30)
@given(hnp.arrays(np.float64, 5, elements=st.floats(-1e300, 1e300)))
def test_a_neighbour_is_one_away(values: np.ndarray) -> None:
    assert (ulp_distance(np.nextafter(values, np.inf), values) == 1).all()
    assert (ulp_distance(np.nextafter(values, -np.inf), values) == 1).all()
    assert within_ulp(np.nextafter(values, np.inf), values, 1).all()
    assert not within_ulp(np.nextafter(values, np.inf), values, 0).any()


def test_views_that_are_not_contiguous_do_as_well() -> None:
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert not ulp_distance(values.T, values.T).any()
    assert ulp_distance(np.float32(1), np.float32(1)).shape == ()


def test_exact_is_to_the_bit() -> None:
    nan = np.array([math.nan], np.float32)
    assert exact(nan, nan.copy())
    assert not exact(np.array([0.0]), np.array([-0.0]))
    assert not exact(np.array([1], np.int32), np.array([1], np.int64))
    assert not exact(np.array([1]), np.array([[1]]))


@settings(max_examples=30)
@given(hnp.arrays(np.float64, 4, elements=st.floats()), hnp.arrays(np.float64, 4, elements=st.floats(-1e9, 1e9)))
def test_tolerance_is_numpys_on_finite_answers(answer: np.ndarray, expected: np.ndarray) -> None:
    with np.errstate(all="ignore"):
        theirs = np.isclose(answer, expected) & np.isfinite(answer)
    assert within_tolerance(answer, expected).tolist() == theirs.tolist()


def test_cosine_by_hand() -> None:
    assert cosine([[3.0, 4.0], [0.0, 0.0], [1.0, 0.0]], [[4.0, 3.0], [1.0, 1.0], [-2.0, 0.0]]) == pytest.approx(
        [0.96, 0, -1]
    )
    assert cosine([1e-200, 0.0], [1e140, 1e140]) == pytest.approx(math.sqrt(0.5))
    assert cosine([[math.nan, 1.0], [math.inf, 0.0]], [[1.0, 1.0], [1.0, 0.0]]).tolist() == [-1, -1]


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: ulp_distance(np.ones(3), np.ones(1)), r"answer has shape \(3,\), expected \(1,\)"),
        (lambda: ulp_distance(np.ones(1), np.ones(1, np.float32)), "dtypes are"),
        (lambda: ulp_distance(np.ones(1, int), np.ones(1, int)), "dtypes are"),
        (lambda: ulp_distance(np.ones(1), np.array([np.nan])), "expected holds NaN"),
        (lambda: within_ulp(np.ones(1), np.ones(1), -1), "most is -1"),
        (lambda: within_tolerance([1.0], [1.0, 1.0]), "answer has shape"),
        (lambda: within_tolerance([1.0], [math.inf]), "expected holds NaN"),
        (lambda: within_tolerance([1.0], [1.0], relative=-1), "relative is -1"),
        (lambda: cosine(1.0, 1.0), "expected vectors"),
        (lambda: cosine([], []), "answer holds 0"),
        (lambda: exact(np.array([None]), np.array([None])), "Python objects"),
    ],
)
def test_bad_input_is_named(call, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        call()
