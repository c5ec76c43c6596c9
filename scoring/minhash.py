"""Which texts share most of their wording: Jaccard similarity of their shingles, estimated by MinHash.

A text becomes the set of its runs of ``shingle`` characters, case and spacing levelled; two texts' similarity is the
part of their runs that both have. Of each set only ``permutations`` minima are kept, so that comparing
costs the same however long the texts: the estimate's standard error is sqrt(J (1 - J) / permutations), 0.035 at
J = 0.8 and 128. Reordered, padded and lightly edited copies are found; a paraphrase is not.

Source: Broder, "On the Resemblance and Containment of Documents", 1997.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from subnet.scoring import checks
from subnet.scoring.checks import Floats
from subnet.scoring.duplicates import MOST_ANSWERS, Matches, pairs

MOST_CHARACTERS: Final = 1 << 24
"""Characters of all texts together: some seconds."""

Sketches = npt.NDArray[np.uint64]

_NOTHING: Final = np.uint64(2**64 - 1)


def similar_texts(
    texts: Sequence[str], threshold: float = 0.8, *, seed: int, shingle: int = 5, permutations: int = 128
) -> Matches:
    """Pairs of texts whose estimated Jaccard similarity is ``threshold`` (0 to 1) or more. Empty texts match nothing.

    ``seed`` is any integer from 0 up, kept to yourself: who knows it can write a copy that looks like none, or frame
    another's text. The others, and the errors, are those of :func:`sketch`.
    """
    checks.between("threshold", threshold, 0, 1)
    minima = sketch(texts, seed=seed, shingle=shingle, permutations=permutations)
    empty = minima[:, 0] == _NOTHING

    def similarity(i: int) -> Floats:
        same = (minima[i + 1 :] == minima[i]).mean(axis=1)
        return np.where(empty[i + 1 :] | empty[i], -1.0, same)

    return pairs(len(texts), similarity, threshold)


def sketch(texts: Sequence[str], *, seed: int, shingle: int = 5, permutations: int = 128) -> Sketches:
    """MinHash sketches (n, permutations) uint64, comparable where seed, shingle and permutations are the same.

    A text shorter than ``shingle`` (1 to 64 characters) is one shingle by itself; one without any character but
    spaces has all of its minima at 2**64 - 1. Raises ValueError for more than 4096 texts or
    ``MOST_CHARACTERS`` in all, and for ``permutations`` outside 1 to 1024.
    """
    if len(texts) > MOST_ANSWERS:
        raise ValueError(f"{len(texts)} texts, at most {MOST_ANSWERS} are compared at once")
    if any(not isinstance(text, str) for text in texts):
        raise ValueError("texts holds something else than str")
    if (total := sum(map(len, texts))) > MOST_CHARACTERS:
        raise ValueError(f"{total} characters in all, at most {MOST_CHARACTERS} are compared at once")
    checks.count("shingle", shingle, 1, 64)
    checks.count("permutations", permutations, 1, 1024)
    random = np.random.default_rng(checks.count("seed", seed, 0, 2**63))
    places = random.integers(0, 2**64, shingle, dtype=np.uint64) | np.uint64(1)
    factors = random.integers(0, 2**64, permutations, dtype=np.uint64) | np.uint64(1)
    shifts = random.integers(0, 2**64, permutations, dtype=np.uint64)
    out = np.full((len(texts), permutations), _NOTHING)
    for row, text in zip(out, texts, strict=True):
        runs = _runs(text, places)
        if runs.size:
            for k in range(permutations):
                row[k] = (runs * factors[k] + shifts[k]).min()
    return out


def _runs(text: str, places: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """A hash of each run of characters, once each: a sum of code points under random odd factors, well mixed."""
    level = " ".join(text.casefold().split())
    codes = np.frombuffer(level.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64) + np.uint64(1)
    if not codes.size:
        return codes
    width = min(len(places), codes.size)
    count = codes.size - width + 1
    runs = np.zeros(count, np.uint64)
    for place in range(width):
        runs += codes[place : place + count] * places[place]
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):  # the finaliser of SplitMix64
        runs = (runs ^ (runs >> np.uint64(shift))) * np.uint64(factor)
    return np.unique(runs ^ (runs >> np.uint64(31)))
