"""What the scoring kit accepts as numbers: one set of checks, one kind of error, before any arithmetic.

Scores and answers come from strangers. A NaN that gets through would count as 0 in a moving
average, which for a penalty is the best there is; a number near the largest float would do the same by an
overflow. So what is not finite, or beyond ``LARGEST``, is a ValueError that names the argument.
"""

from __future__ import annotations

import importlib
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from subnet.errors import MissingExtra

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]

LARGEST: Final = 1e150
"""The largest magnitude: its square, and the sum of a billion such squares, are still finite."""

_SHOWN: Final = 40
_EXACT: Final = 2**53


def floats(name: str, values: npt.ArrayLike, *, ndim: int | None = None, least: int = 1) -> Floats:
    """``values`` as a float64 array of at least ``least`` numbers, all of them finite and within ``LARGEST``.

    Raises ValueError for what is no array of real numbers, has not ``ndim`` dimensions, or too few numbers.
    """
    array = numbers(name, values, ndim=ndim, least=least)
    if not (np.abs(array) <= LARGEST).all():
        raise ValueError(f"{name} holds NaN, an infinity or a number beyond {LARGEST:g}")
    return array


def numbers(
    name: str, values: npt.ArrayLike, *, ndim: int | None = None, least: int = 1, exact: bool = False
) -> Floats:
    """As :func:`floats`, but NaN and infinities pass. With ``exact`` integers that float64 would round are refused."""
    array = _array(name, values)
    if exact and array.dtype.kind in "iu" and array.size and max(int(array.max()), -int(array.min())) > _EXACT:
        raise ValueError(f"{name} holds an integer beyond 2**53, which would be compared rounded")
    if array.dtype.kind not in "biuf" and array.dtype.name not in {"bfloat16"}:
        raise ValueError(f"{name} is of dtype {array.dtype}, expected real numbers")
    if ndim is not None and array.ndim != ndim:
        raise ValueError(f"{name} has shape {array.shape}, expected {ndim} dimension(s)")
    if array.size < least:
        raise ValueError(f"{name} holds {array.size} number(s), expected {least} or more")
    with np.errstate(over="ignore"):  # a long double beyond float64 turns infinite, as it should
        return array.astype(np.float64)


def not_negative(name: str, values: npt.ArrayLike, *, ndim: int | None = None, least: int = 1) -> Floats:
    """As :func:`floats`, and none below 0."""
    array = floats(name, values, ndim=ndim, least=least)
    if (array < 0).any():
        raise ValueError(f"{name} holds a number below 0")
    return array


def mask(name: str, values: npt.ArrayLike | None, shape: tuple[int, ...]) -> Bools:
    """``values`` as booleans of this shape; None is all true."""
    if values is None:
        return np.ones(shape, dtype=np.bool_)
    array = _array(name, values)
    if array.dtype != np.bool_ or array.shape != shape:
        raise ValueError(f"{name} is {array.dtype} of shape {array.shape}, expected bool of shape {shape}")
    return array


def indices(name: str, values: npt.ArrayLike, below: int) -> Integers:
    """``values`` as int64, each from 0 to ``below - 1``."""
    array = _array(name, values)
    if array.dtype.kind not in "iu":
        raise ValueError(f"{name} is of dtype {array.dtype}, expected integers")
    if array.size and (int(array.min()) < 0 or int(array.max()) >= below):
        raise ValueError(f"{name} holds a number outside 0 to {below - 1}")
    return array.astype(np.int64)


def alike(**arrays: npt.NDArray[Any]) -> tuple[int, ...]:
    """The shape that the arrays have when they are broadcast. Raises ValueError if they can't be."""
    try:
        return np.broadcast_shapes(*(array.shape for array in arrays.values()))
    except ValueError:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise ValueError(f"shapes don't go together: {shapes}") from None


def between(name: str, value: float, low: float, high: float, *, open_at: str = "") -> float:
    """``value`` if it is a number from ``low`` to ``high``; ``open_at`` names the ends ("low", "high") not allowed."""
    inside = low <= value <= high  # False for NaN
    if not inside or ("low" in open_at and value == low) or ("high" in open_at and value == high):
        left, right = "<" if "low" in open_at else "<=", "<" if "high" in open_at else "<="
        raise ValueError(f"{name} is {str(value)[:_SHOWN]}, expected {low:g} {left} {name} {right} {high:g}")
    return float(value)


def count(name: str, value: int, least: int, most: int) -> int:
    """``value`` if it is an integer from ``least`` to ``most``."""
    given: object = value
    if isinstance(given, bool) or not isinstance(given, int | np.integer) or not least <= given <= most:
        raise ValueError(f"{name} is {str(value)[:_SHOWN]}, expected an integer from {least} to {most}")
    return int(value)


def optional(module: str, package: str) -> Any:
    """A module of the extra ``scoring``, imported now. Raises MissingExtra that names what to install."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtra(
            f"this score needs {package}, which is not installed ({error.name} is missing)",
            remedy="Install the extra: pip install 'subnetkit[scoring]'.",
        ) from error


def _array(name: str, values: npt.ArrayLike) -> npt.NDArray[Any]:
    try:
        return np.asarray(values)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name} is no array: {error}") from None
