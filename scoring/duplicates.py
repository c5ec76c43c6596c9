"""Which answers are the same, or nearly: by hash, by numbers within tolerance, by direction.

Equal answers are no proof of copying: two good miners agree where there is one truth. They become evidence where
the answer leaves freedom (text, floats, a long list of guesses), where peers are alike in their mistakes, or where one
came later (:mod:`subnet.scoring.copies`). For texts see :mod:`subnet.scoring.minhash`.

Comparing n answers takes n * (n - 1) / 2 comparisons, so n and the work as a whole are bounded first:
``MOST_ANSWERS`` and, a function each, a number that ValueError names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from subnet.scoring import checks
from subnet.scoring.checks import Bools, Floats, Integers

MOST_ANSWERS: Final = 4096
"""As many as a subnet may have neurons, and then some; all alike they make 8 million pairs."""
MOST_NUMBERS: Final = 1_000_000_000
"""Comparisons of two numbers that :func:`agreeing` makes: some seconds."""
MOST_PRODUCTS: Final = 20_000_000_000
"""Multiplications that :func:`aligned` makes: some seconds."""


@dataclass(frozen=True, slots=True)
class Matches:
    """Pairs of like answers, of ``answers`` in all: ``first`` < ``second`` (m,) int64, ``similarity`` (m,) float64."""

    answers: int
    first: Integers
    second: Integers
    similarity: Floats

    def __len__(self) -> int:
        return int(self.first.size)

    def groups(self) -> list[list[int]]:
        """Answers that hang together by a chain of pairs, two or more each: indices ascending, by their first."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        shape = (self.answers, self.answers)
        graph = coo_array((np.ones(len(self), dtype=np.int8), (self.first, self.second)), shape=shape)
        _, label = connected_components(graph, directed=False)
        return _groups(label.tolist())


def identical(answers: Sequence[bytes | str | npt.NDArray[Any]]) -> list[list[int]]:
    """Groups, two or more each, of answers equal to the bit (arrays: in dtype and shape too); O(total size).

    Indices ascending, groups by their first. Raises ValueError for more than ``MOST_ANSWERS``.
    """
    _bounded(len(answers))
    return _groups([_digest(answer) for answer in answers])


def agreeing(
    answers: npt.ArrayLike, threshold: float = 1.0, *, relative: float = 0.0, absolute: float = 0.0
) -> Matches:
    """Pairs that agree in a part of ``threshold`` (0 to 1) or more of their numbers; ``answers`` (n, d).

    Two numbers agree if ``|a - b| <= absolute + relative * max(|a|, |b|)``; labels and class indices do as well.
    A NaN or an infinity agrees with nothing. Raises ValueError for n * (n - 1) / 2 * d above
    ``MOST_NUMBERS``: then compare a random part of the columns, the same for all.
    """
    values = _answers(answers)
    checks.between("threshold", threshold, 0, 1)
    checks.between("relative", relative, 0, 1)
    checks.between("absolute", absolute, 0, checks.LARGEST)
    n, d = values.shape
    if n * (n - 1) // 2 * d > MOST_NUMBERS:
        raise ValueError(f"{n} answers of {d} numbers are more than {MOST_NUMBERS} comparisons: take fewer columns")
    sizes = np.abs(values)

    def similarity(i: int) -> Floats:
        with np.errstate(invalid="ignore", over="ignore"):
            apart = np.abs(values[i + 1 :] - values[i])
            allowed = absolute + relative * np.maximum(sizes[i + 1 :], sizes[i])
            return np.asarray(((apart <= allowed) & (apart < np.inf)).mean(axis=1))

    return pairs(n, similarity, threshold)


def aligned(answers: npt.ArrayLike, threshold: float = 0.999) -> Matches:
    """Pairs of vectors whose cosine is ``threshold`` or more: embeddings, logits, gradients; (n, d).

    Vectors of zeros, and those that hold NaN, infinities or numbers beyond 1e150, match nothing. Raises
    ValueError for n * n * d above ``MOST_PRODUCTS``.
    """
    values = _answers(answers)
    checks.between("threshold", threshold, -1, 1)
    n, d = values.shape
    if n * n * d > MOST_PRODUCTS:
        raise ValueError(f"{n} answers of {d} numbers are more than {MOST_PRODUCTS} products: take fewer columns")
    sizes = np.abs(values)
    largest = sizes.max(axis=1, keepdims=True)
    usable: Bools = np.asarray((sizes <= checks.LARGEST).all(axis=1) & (largest[:, 0] > 0))
    scaled = np.where(usable[:, None], values, 0.0) / np.where(usable[:, None], largest, 1.0)
    lengths = np.sqrt((scaled**2).sum(axis=1, keepdims=True))
    unit = scaled / np.where(lengths > 0, lengths, 1.0)

    def similarity(i: int) -> Floats:
        cosines = np.minimum(unit[i + 1 :] @ unit[i], 1.0)
        return np.where(usable[i + 1 :] & usable[i], cosines, -np.inf)

    # the cosine of a vector with itself may come to 1 - 1e-16
    return pairs(n, similarity, threshold - 1e-12)


def pairs(n: int, similarity: Any, threshold: float) -> Matches:
    """The :class:`Matches` of n answers, from ``similarity(i)``: that of i with each of i + 1 to n - 1."""
    first, second, found = [], [], []
    for i in range(n - 1):
        row = similarity(i)
        at = np.flatnonzero(row >= threshold)
        first.append(np.full(at.size, i))
        second.append(at + i + 1)
        found.append(row[at])
    if not first:
        return Matches(n, np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    return Matches(n, *(np.concatenate(parts) for parts in (first, second, found)))


def _answers(answers: npt.ArrayLike) -> Floats:
    values = checks.numbers("answers", answers, ndim=2, exact=True)
    _bounded(len(values))
    return values


def _bounded(n: int) -> None:
    if n > MOST_ANSWERS:
        raise ValueError(f"{n} answers, at most {MOST_ANSWERS} are compared at once")


def _digest(answer: bytes | str | npt.NDArray[Any]) -> bytes:
    if isinstance(answer, np.ndarray):
        if answer.dtype.hasobject:
            raise ValueError("an array of Python objects has no bytes to compare")
        kind, data = f"{answer.dtype.name}{answer.dtype.byteorder}{answer.shape}", answer.tobytes()
    elif isinstance(answer, str):
        kind, data = "text", answer.encode("utf-8", "surrogatepass")
    elif isinstance(answer, bytes | bytearray | memoryview):
        kind, data = "bytes", bytes(answer)
    else:
        raise ValueError(f"an answer is {type(answer).__name__}, expected bytes, str or an array")
    return hashlib.blake2b(
        data, digest_size=16, person=hashlib.blake2b(kind.encode(), digest_size=16).digest()
    ).digest()


def _groups(labels: Sequence[Any]) -> list[list[int]]:
    members: dict[Any, list[int]] = {}
    for i, label in enumerate(labels):
        members.setdefault(label, []).append(i)
    return [group for group in members.values() if len(group) > 1]
