"""I32F32 on numpy against Python's integers, over the ranges that each function promises."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from subnet.scoring.arithmetic import EXP_CLAMP, EXP_LIMIT, ONE, Arithmetic, Floating
from subnet.scoring.fixed import Fixed, divide, exp, multiply, normalise_bits, ratio, reciprocal

I64_MAX = 2**63 - 1
numbers = st.integers(-(2**63), I64_MAX)
exponents = st.integers(-EXP_LIMIT, EXP_LIMIT)


def bits(*values: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return np.array(values, dtype=np.int64)


def series(x: int) -> int | None:
    """The runtime's exp for |x|, on unbounded integers; None where an I32F32 overflows."""
    term, result = x, x + ONE
    for i in range(2, 32):
        term = term * x >> 32
        if term > I64_MAX:
            return None
        term //= i
        result += term
        if result > I64_MAX:
            return None
    return result


@given(numbers, numbers)
@example(ONE, ONE)
@example(-1, 1)
def test_multiply_floors(a: int, b: int) -> None:
    want = a * b >> 32
    if -(2**63) <= want <= I64_MAX:
        assert multiply(bits(a), bits(b)).tolist() == [want]


@given(st.integers(0, 2**48), st.integers(0, 2**47 - 1))
@example(ONE, ONE)
@example(0, 0)
def test_divide_truncates_and_nothing_is_divided_by_zero(a: int, b: int) -> None:
    want = (a << 32) // b if b else 0
    if want <= I64_MAX:
        assert divide(bits(a), bits(b)).tolist() == [want]


@given(st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1))
def test_ratio_truncates(a: int, b: int) -> None:
    assert ratio(bits(a), bits(b)).tolist() == [(a << 32) // b if b else 0]


@given(st.integers(4, I64_MAX))
@example(ONE)
@example(2 * ONE)
@example(2**62)
def test_reciprocal_truncates(x: int) -> None:
    assert reciprocal(bits(x)).tolist() == [2**64 // x]


@given(st.lists(st.integers(0, ONE), max_size=20))
def test_normalised_sum_is_one_less_what_truncation_took(values: list[int]) -> None:
    total = normalise_bits(bits(*values)).sum()
    assert total == 0 if not any(values) else ONE - len(values) <= total <= ONE


@given(exponents)
@example(0)
@example(ONE)
@example(-ONE)
@example(EXP_LIMIT)
def test_exp_is_the_runtimes_series(x: int) -> None:
    powered = series(abs(x))
    assert powered is not None
    want = {0: ONE, ONE: 22_802_600 << 9}.get(x, 2**64 // powered if x < 0 else powered)
    assert exp(bits(x)).tolist() == [want]


def test_the_limit_of_exp_is_where_the_series_overflows() -> None:
    assert series(EXP_LIMIT) is not None
    assert series(EXP_LIMIT + 1) is None
    assert EXP_LIMIT > EXP_CLAMP * ONE


@pytest.mark.parametrize("m", [Fixed(), Floating()], ids=["fixed", "float"])
def test_variants_differ_only_where_exp_overflows(m: Arithmetic) -> None:
    slope, x = m.of_bits(-ONE), m.of_bits(bits(*(v * ONE for v in (-25, -20, 0, 20, 25))))
    everywhere = np.ones(x.shape, dtype=np.bool_)
    head = m.to_float(m.sigmoid(slope, x, "head", everywhere))
    old = m.to_float(m.sigmoid(slope, x, "293", everywhere))
    least = 1 / (1 + math.exp(20))
    assert head == pytest.approx([least, least, 0.5, 1, 1], abs=1e-8)
    # exp(25) overflows to 0 on 293, which makes its sigmoid 1
    assert old == pytest.approx([1, least, 0.5, 1, 1], abs=1e-8)


def test_u16_and_rao_floor_and_upscale_rounds_half_up() -> None:
    m = Fixed()
    assert m.to_u16(bits(0, ONE // 2, ONE - 1, ONE, 3 * ONE)).tolist() == [0, 32767, 65534, 65535, 65535]
    most = np.asarray(2**64 - 1, dtype=np.uint64)
    assert m.times(bits(0, ONE // 3, ONE), most).tolist() == [0, 2**64 // ONE * (ONE // 3) - 1, 2**64 - 1]
    assert m.upscale(bits(0, 1, 131070)).tolist() == [0, 1, 65535]
    assert m.upscale(bits(0, 0)).tolist() == [0, 0]
