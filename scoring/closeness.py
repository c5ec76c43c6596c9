"""How close an array is to the one expected: bit for bit, in units in the last place, in tolerance, in angle.

``expected`` is the validator's own and must be finite (for :func:`exact`, anything); ``answer`` comes
from a stranger, and a NaN or an infinity in it is simply far off. Shapes must be equal, for they are never
broadcast: an answer of one number would match a whole batch. Raises ValueError otherwise.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from subnet.scoring import checks
from subnet.scoring.checks import Bools, Floats

FAR: Final = 2**64 - 1
"""The ULP distance of a NaN or an infinity from everything."""

_WIDTHS: Final[dict[str, type[np.signedinteger[Any]]]] = {
    "float16": np.int16,
    "bfloat16": np.int16,
    "float32": np.int32,
    "float64": np.int64,
}


def exact(answer: npt.NDArray[Any], expected: npt.NDArray[Any]) -> bool:
    """Whether dtype, shape and every byte are equal: a NaN equals itself, 0.0 is not -0.0.

    For programs that must repeat to the bit, such as greedy decoding by one model on one kind of chip.
    """
    a, b = np.asarray(answer), np.asarray(expected)
    if a.dtype.hasobject or b.dtype.hasobject:
        raise ValueError("arrays of Python objects have no bytes to compare")
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def ulp_distance(answer: npt.NDArray[Any], expected: npt.NDArray[Any]) -> npt.NDArray[np.uint64]:
    """How many floating-point numbers lie from each answer to what was expected: 0 equal, 1 neighbours.

    Both of one dtype (float16, bfloat16, float32 or float64) and one shape; uint64 out. 0.0 and -0.0 are 0
    apart; a NaN or an infinity in ``answer`` is ``FAR``. bfloat16 is ml_dtypes', as :mod:`subnet.codec` decodes it.

    Source: Goldberg, "What Every Computer Scientist Should Know About Floating-Point Arithmetic", 1991; as a
    distance of ordered integers: Dawson, "Comparing floating point numbers", 2012.
    """
    a, b = _pair(answer, expected)
    if a.dtype != b.dtype or a.dtype.name not in _WIDTHS:
        raise ValueError(f"dtypes are {a.dtype} and {b.dtype}, expected one of {', '.join(_WIDTHS)} for both")
    if not np.isfinite(b).all():
        raise ValueError("expected holds NaN or an infinity")
    x, y = _ordered(a), _ordered(b)
    # as unsigned integers that wrap: from the lowest to the highest float64 is more than int64 holds
    apart = np.where(x >= y, x.view(np.uint64) - y.view(np.uint64), y.view(np.uint64) - x.view(np.uint64))
    return np.where(np.isfinite(a), apart, np.uint64(FAR))


def within_ulp(answer: npt.NDArray[Any], expected: npt.NDArray[Any], most: int = 4) -> Bools:
    """Where :func:`ulp_distance` is ``most`` or less; bool, of their shape. ``most`` from 0 to 2**63."""
    return ulp_distance(answer, expected) <= np.uint64(checks.count("most", most, 0, 1 << 63))


def within_tolerance(
    answer: npt.ArrayLike, expected: npt.ArrayLike, *, relative: float = 1e-5, absolute: float = 1e-8
) -> Bools:
    """Where ``|answer - expected| <= absolute + relative * |expected|``; bool, of their shape.

    The rule (and the defaults) of ``numpy.isclose``; NaN and infinities in ``answer`` are never within.
    """
    checks.between("relative", relative, 0, checks.LARGEST)
    checks.between("absolute", absolute, 0, checks.LARGEST)
    said = checks.numbers("answer", answer, exact=True)
    truth = checks.floats("expected", expected)
    _pair(said, truth)
    with np.errstate(invalid="ignore", over="ignore"):
        return np.asarray(np.abs(said - truth) <= absolute + relative * np.abs(truth))


def cosine(answer: npt.ArrayLike, expected: npt.ArrayLike) -> Floats:
    """Cosine of the angle between vectors (..., d): (...), from -1 to 1. A vector of zeros has none and gets 0.

    Blind to length: where the scale matters too, use a tolerance beside it. NaN and infinities in ``answer``
    get -1.

    Source: Salton, "Automatic Text Processing", 1989 (as a measure of similarity).
    """
    said = checks.numbers("answer", answer)
    truth = checks.floats("expected", expected)
    _pair(said, truth)
    if said.ndim == 0:
        raise ValueError("answer is one number, expected vectors (..., d)")
    real: Bools = np.asarray((np.abs(said) <= checks.LARGEST).all(axis=-1))
    a, b = _unit(np.where(real[..., None], said, 0.0)), _unit(truth)
    return np.asarray(np.where(real, np.clip((a * b).sum(axis=-1), -1.0, 1.0), -1.0))


def _pair(answer: npt.NDArray[Any], expected: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    a, b = np.asarray(answer), np.asarray(expected)
    if a.shape != b.shape:
        raise ValueError(f"answer has shape {a.shape}, expected {b.shape}")
    return a, b


def _ordered(x: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Integers in the order of the floats, one apart for neighbours; both zeros are 0."""
    width = _WIDTHS[x.dtype.name]
    bits = np.ascontiguousarray(x).view(width).reshape(x.shape).astype(np.int64)
    lowest = np.int64(np.iinfo(width).min)
    return np.where(bits < 0, lowest - bits, bits)


def _unit(vectors: Floats) -> Floats:
    largest = np.abs(vectors).max(axis=-1, keepdims=True)
    scaled = vectors / np.where(largest > 0, largest, 1.0)  # or the squares of tiny vectors vanish
    length = np.sqrt((scaled**2).sum(axis=-1, keepdims=True))
    return np.asarray(scaled / np.where(length > 0, length, 1.0))
