"""The runtime's I32F32 on numpy int64 arrays, bit for bit: the exact arithmetic of a Yuma epoch.

A number x is held as the integer floor(x * 2**32), as ``substrate_fixed::types::I32F32`` holds
it. Products are floored, quotients truncated, a quotient by zero is zero (``safe_div``).
Every function says the range in which its int64 intermediates can't overflow; the
shares and sums of an epoch lie well inside.

Source: github.com/opentensor/subtensor, pallets/subtensor/src/epoch/math.rs and
primitives/safe-math; exp as in substrate-fixed 0.5.9 (``transcendental::exp``).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from subnet.scoring.arithmetic import EXP_CLAMP, EXP_LIMIT, ONE, Integers, Numbers, Variant

_LOW = ONE - 1
_HALF_BITS = 16
# exp(1) is a constant of I9F23 in substrate-fixed
_E = 22_802_600 << 9
_EXP_TERMS = 32
_LARGEST = 2**63 - 1


def multiply(a: Any, b: Any) -> Integers:
    """floor(a * b) for I32F32 of any sign, as long as the product fits I32F32."""
    a, b = np.asarray(a, dtype=np.int64), np.asarray(b, dtype=np.int64)
    a_high, b_high = a >> 32, b >> 32
    a_low, b_low = a & _LOW, b & _LOW
    # the product of two low halves needs all 64 bits
    low = ((a_low.astype(np.uint64) * b_low.astype(np.uint64)) >> np.uint64(32)).astype(np.int64)
    return np.asarray(((a_high * b_high) << 32) + a_high * b_low + a_low * b_high + low)


def divide(a: Any, b: Any) -> Integers:
    """a / b truncated, 0 where b is 0: for 0 <= a and 0 <= b < 2**47 (that is 32768.0)."""
    a, b = np.asarray(a, dtype=np.int64), np.asarray(b, dtype=np.int64)
    divisor = np.where(b == 0, 1, b)
    quotient, rest = np.divmod(a, divisor)
    for _ in range(2):
        digits, rest = np.divmod(rest << _HALF_BITS, divisor)
        quotient = (quotient << _HALF_BITS) + digits
    return np.asarray(np.where(b == 0, 0, quotient))


def ratio(a: Any, b: Any) -> Integers:
    """a / b of plain integers 0 <= a, b < 2**31 as I32F32, 0 where b is 0."""
    a, b = np.asarray(a, dtype=np.int64), np.asarray(b, dtype=np.int64)
    return np.asarray(np.where(b == 0, 0, (a << 32) // np.where(b == 0, 1, b)))


def reciprocal(x: Integers) -> Integers:
    """1 / x truncated for x >= 2**-30."""
    divisor = x.astype(np.uint64)
    quotient, rest = np.divmod(np.uint64(2**64 - 1), divisor)
    # 2**64 itself doesn't fit: it is a whole multiple exactly where the rest is divisor - 1
    return np.asarray((quotient + (rest == divisor - np.uint64(1))).astype(np.int64))


def normalise_bits(x: Integers) -> Integers:
    """(..., n) over its sum, truncated; zeros if the sum is 0. I32F32, not negative, sum below 32768."""
    return divide(x, x.sum(axis=-1, keepdims=True))


def exp(x: Integers) -> Integers:
    """e**x of I32F32 by the runtime's series, for |x| <= ``EXP_LIMIT``."""
    size = np.abs(x)
    whole, part = size >> 32, (size & _LOW).astype(np.uint64)
    term, result = size, size + ONE
    for i in range(2, _EXP_TERMS):
        # multiply(term, size), for what is not negative
        low = term & _LOW
        parts = (low.astype(np.uint64) * part) >> np.uint64(32)
        term = ((term >> 32) * size + low * whole + parts.astype(np.int64)) // i
        result = result + term
    result = np.where(x < 0, reciprocal(result), result)
    return np.asarray(np.select([x == 0, x == ONE], [ONE, _E], result))


class Fixed:
    """The runtime's arithmetic; see :class:`subnet.scoring.arithmetic.Arithmetic`."""

    one = ONE
    dtype = np.int64

    def of_bits(self, bits: Any) -> Any:
        return bits

    def to_float(self, x: Numbers) -> npt.NDArray[np.float64]:
        return np.asarray(x / ONE)

    def ratio(self, a: Any, b: Any, out: Numbers | None = None) -> Any:
        return ratio(a, b)

    def mul(self, a: Any, b: Any, out: Numbers | None = None) -> Numbers:
        return multiply(a, b)

    def div(self, a: Numbers, b: Numbers, out: Numbers | None = None) -> Numbers:
        return divide(a, b)

    def left(self, vector: Numbers, matrix: Numbers) -> Numbers:
        return np.asarray(multiply(vector[..., :, None], matrix).sum(axis=-2))

    def right(self, matrix: Numbers, vector: Numbers) -> Numbers:
        return np.asarray(multiply(matrix, vector[..., None, :]).sum(axis=-1))

    def sigmoid(self, slope: Any, x: Numbers, variant: Variant, where: npt.NDArray[np.bool_]) -> Numbers:
        out = np.zeros(x.shape, dtype=np.int64)
        # the series is long: only where it is asked for
        exponent = multiply(slope, x[where])
        if variant == "head":
            powers = exp(np.clip(exponent, -EXP_CLAMP * ONE, EXP_CLAMP * ONE))
        else:
            inside = np.abs(exponent) <= EXP_LIMIT
            powers = np.where(inside, exp(np.where(inside, exponent, 0)), 0)
        # 1 + exp saturates where it would pass the largest I32F32
        out[where] = reciprocal(ONE + np.minimum(powers, _LARGEST - ONE))
        return out

    def sort_keys(self, x: Numbers, free: int) -> Integers:
        keys = np.array(np.swapaxes(x, -1, -2), order="C")
        keys <<= free
        return keys

    def to_u16(self, x: Numbers) -> npt.NDArray[np.uint16]:
        return np.asarray(np.clip((x * 65535) >> 32, 0, 65535), dtype=np.uint16)

    def times(self, x: Numbers, amount: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        bits, half = x.astype(np.uint64), np.uint64(32)
        # neither product passes 2**64, as bits <= 2**32; the upper one is a whole number of RAO
        return np.asarray(bits * (amount >> half) + ((bits * (amount & np.uint64(_LOW))) >> half))

    def upscale(self, x: Numbers) -> npt.NDArray[np.uint16]:
        largest = x.max(axis=-1, initial=0, keepdims=True)
        return np.asarray((divide(x * 65535, largest) + (ONE >> 1)) >> 32, dtype=np.uint16)
