"""Who copied whom: among like answers, those committed later than another, and whether that can be chance.

Under commit-reveal nobody sees an answer before its block, so an answer that is like one that was open by then was, in
all likelihood, taken from it. Pairs come from :mod:`subnet.scoring.duplicates` or
:mod:`subnet.scoring.minhash`; commit blocks from the chain, or times from the validator's own clock (never
from the miner).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from subnet.scoring import checks
from subnet.scoring.duplicates import Matches


class LateCopy(NamedTuple):
    """Answer ``copier`` is like ``original``, which was there ``late`` blocks (or seconds) before it."""

    copier: int
    original: int
    late: float
    similarity: float


def late_copies(matches: Matches, committed: npt.ArrayLike, *, margin: float = 1.0) -> list[LateCopy]:
    """For each answer that is like an earlier one, the earliest such; at most one entry an answer, by index.

    ``committed`` (n,) is each answer's block or time; only one that is ``margin`` or more later (> 0) counts as late:
    of those committed in the same block neither could see the other. The earliest is named even if a later
    one is more alike, so that copies of copies lead to their source. Raises ValueError.
    """
    when = checks.floats("committed", committed, ndim=1, least=0)
    if when.size != matches.answers:
        raise ValueError(f"committed has {when.size} numbers, there are {matches.answers} answers")
    checks.between("margin", margin, 0, checks.LARGEST, open_at="low")
    swap = when[matches.second] < when[matches.first]
    copier = np.where(swap, matches.first, matches.second)
    original = np.where(swap, matches.second, matches.first)
    late = when[copier] - when[original]
    keep = late >= margin
    copier, original, late, similarity = copier[keep], original[keep], late[keep], matches.similarity[keep]
    order = np.lexsort((original, -similarity, when[original], copier))
    _, best = np.unique(copier[order], return_index=True)
    return [
        LateCopy(int(copier[i]), int(original[i]), float(late[i]), float(similarity[i])) for i in order[best].tolist()
    ]


def coincidence(matched: int, cases: int, chance: float) -> float:
    """The chance of ``matched`` or more matches in ``cases``, if each matches with probability ``chance`` by itself.

    Cases are rounds, or questions on which the original was wrong (agreement on truth is no evidence). With many
    pairs of miners small chances turn up: divide your limit by the number of pairs (Bonferroni).
    To decide with few rounds take :class:`subnet.scoring.sequential.Sprt`. Raises ValueError.

    Source: the binomial tail; as a test for copied answers: Frary, Tideman and Watts, "Indices of Cheating on
    Multiple-Choice Tests", Journal of Educational Statistics 1977.
    """
    from scipy.special import betainc

    n = checks.count("cases", cases, 0, 1 << 53)
    k = checks.count("matched", matched, 0, n)
    p = checks.between("chance", chance, 0, 1)
    return 1.0 if k == 0 else float(betainc(k, n - k + 1, p))
