"""The numbers that a Yuma epoch is computed in: one algorithm, two arithmetics behind one protocol.

:class:`Floating` is float64, fast; :class:`subnet.scoring.fixed.Fixed` is the runtime's own
I32F32 on int64 arrays, exact to the bit. The epoch asks either for what differs between them
(products, quotients, exp, rounding) and adds, compares and indexes the arrays directly.
Stakes are integers in both, since their zeros and ties decide permits and medians.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

Variant = Literal["head", "293"]
Numbers = npt.NDArray[Any]
"""float64, or int64 in units of 2**-32, as the arithmetic has it."""
Integers = npt.NDArray[np.int64]

ONE = 1 << 32
"""1.0 as I32F32 bits."""
EXP_CLAMP = 20
"""Head's clamp of an exponent (``exp_safe`` in epoch/math.rs)."""
EXP_LIMIT = 89_715_445_397
"""Largest |x| (I32F32 bits) whose exp series doesn't overflow: beyond it 293 takes exp(x) = 0."""

_BELOW_U64 = float(2**64 - 2**11)


class Arithmetic(Protocol):
    """What an epoch needs of its numbers; every quotient by zero is zero, as the runtime's ``safe_div``.

    Vectors are (..., n), matrices (..., r, n): leading axes are epochs apart from each other. An ``out`` is a
    matrix that isn't needed any more: the result may be written into it, which saves the float form most of
    its time in large subnets. It is what is returned that counts.
    """

    @property
    def one(self) -> Any:
        """1.0."""

    @property
    def dtype(self) -> npt.DTypeLike:
        """What its numbers are held in."""

    def of_bits(self, bits: Any) -> Any:
        """From I32F32 bits (int or int64 array)."""

    def to_float(self, x: Numbers) -> npt.NDArray[np.float64]:
        """As float64."""

    def ratio(self, a: Any, b: Any, out: Numbers | None = None) -> Any:
        """a / b for non-negative integers a < 2**31, b < 2**31."""

    def mul(self, a: Any, b: Any, out: Numbers | None = None) -> Numbers:
        """a * b, floored."""

    def div(self, a: Numbers, b: Numbers, out: Numbers | None = None) -> Numbers:
        """a / b for non-negative a, b, truncated."""

    def left(self, vector: Numbers, matrix: Numbers) -> Numbers:
        """sum_i vector_i * matrix_ij, each product floored: (..., r), (..., r, n) -> (..., n)."""

    def right(self, matrix: Numbers, vector: Numbers) -> Numbers:
        """sum_j matrix_ij * vector_j, each product floored: (..., r, n), (..., n) -> (..., r)."""

    def sigmoid(self, slope: Any, x: Numbers, variant: Variant, where: npt.NDArray[np.bool_]) -> Numbers:
        """1 / (1 + exp(slope * x)) at ``where``, anything elsewhere; ``slope`` and ``x`` may be negative."""

    def sort_keys(self, x: Numbers, free: int) -> Integers:
        """(..., r, n) in 0..1 as new int64 (..., n, r) below 2**62 in the order of x, whose ``free`` lowest bits are 0.

        What differs by more than 2**-32 differs in its key, for up to 17 free bits.
        """

    def to_u16(self, x: Numbers) -> npt.NDArray[np.uint16]:
        """floor(x * 65535), saturating, for x >= 0: ``fixed_proportion_to_u16``."""

    def times(self, x: Numbers, amount: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        """floor(x * amount) for x in 0..1 and amounts of RAO that broadcast to it."""

    def upscale(self, x: Numbers) -> npt.NDArray[np.uint16]:
        """(..., n) so that each largest becomes 65535, rounded half up: ``vec_max_upscale_to_u16`` for x <= 32768."""


class Floating:
    """float64: within 1 of the runtime's u16 wherever the runtime itself has that precision."""

    one = 1.0
    dtype = np.float64

    def of_bits(self, bits: Any) -> Any:
        return bits / ONE

    def to_float(self, x: Numbers) -> npt.NDArray[np.float64]:
        return np.asarray(x, dtype=np.float64)

    def ratio(self, a: Any, b: Any, out: Numbers | None = None) -> Any:
        return self.div(a, b, out)

    def mul(self, a: Any, b: Any, out: Numbers | None = None) -> Numbers:
        return np.asarray(np.multiply(a, b, out=out))

    def div(self, a: Numbers, b: Numbers, out: Numbers | None = None) -> Numbers:
        return np.asarray(np.divide(a, np.where(b == 0, np.inf, b), out=out))

    def left(self, vector: Numbers, matrix: Numbers) -> Numbers:
        return np.asarray((vector[..., None, :] @ matrix)[..., 0, :])

    def right(self, matrix: Numbers, vector: Numbers) -> Numbers:
        return np.asarray((matrix @ vector[..., :, None])[..., 0])

    def sigmoid(self, slope: Any, x: Numbers, variant: Variant, where: npt.NDArray[np.bool_]) -> Numbers:
        exponent = np.asarray(slope * x)
        limit = EXP_CLAMP if variant == "head" else EXP_LIMIT / ONE
        beyond = np.abs(exponent) > limit if variant == "293" else None
        np.clip(exponent, -limit, limit, out=exponent)
        np.exp(exponent, out=exponent)
        if beyond is not None:
            exponent[beyond] = 0.0
        exponent += 1.0
        return np.asarray(np.divide(1.0, exponent, out=exponent))

    def sort_keys(self, x: Numbers, free: int) -> Integers:
        # floats that aren't negative stand in the order of their bits
        keys = np.array(np.swapaxes(x, -1, -2), order="C").view(np.int64)
        keys &= -1 << free
        return keys

    def to_u16(self, x: Numbers) -> npt.NDArray[np.uint16]:
        scaled = np.asarray(x * 65535.0)
        return np.minimum(scaled, 65535.0, out=scaled).astype(np.uint16)

    def times(self, x: Numbers, amount: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        # 2**64 itself, to which the largest amounts round, has no u64
        return np.asarray(np.minimum(np.floor(x * amount.astype(np.float64)), _BELOW_U64), dtype=np.uint64)

    def upscale(self, x: Numbers) -> npt.NDArray[np.uint16]:
        scaled = self.div(x * 65535.0, x.max(axis=-1, initial=0.0, keepdims=True))
        return np.floor(scaled + 0.5).astype(np.uint16)
