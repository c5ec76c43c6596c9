"""Factors from 0 to 1 for how fast an answer came, to multiply a score of how good it was.

Times are seconds (or any one unit), as the dendrite's ``elapsed`` gives them; they hold the network's share
too, which a miner far away can't help: hence the grace. Arrays in, float64 of the same shape out; an
infinite time is no answer, and earns 0. Raises ValueError for NaN and negative times.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from subnet.scoring import checks
from subnet.scoring.checks import Floats


def by_deadline(elapsed: npt.ArrayLike, *, grace: float, deadline: float) -> Floats:
    """1 up to ``grace``, from there in a straight line to 0 at ``deadline``; 0 <= grace < deadline.

    The digits example scores with it.
    """
    seconds = _times("elapsed", elapsed)
    checks.between("deadline", deadline, 0, checks.LARGEST, open_at="low")
    checks.between("grace", grace, 0, deadline, open_at="high")
    with np.errstate(over="ignore"):
        return np.asarray(np.clip((deadline - seconds) / np.float64(deadline - grace), 0.0, 1.0))


def by_half_life(elapsed: npt.ArrayLike, half_life: float, *, grace: float = 0.0) -> Floats:
    """``2 ** -((elapsed - grace) / half_life)``, and 1 up to ``grace``: never 0, so that late is better than never."""
    seconds = _times("elapsed", elapsed)
    checks.between("half_life", half_life, 0, checks.LARGEST, open_at="low")
    checks.between("grace", grace, 0, checks.LARGEST)
    with np.errstate(over="ignore"):
        return np.asarray(np.exp2(-np.maximum(seconds - grace, 0.0) / half_life))


def relative(elapsed: npt.ArrayLike, reference: float) -> Floats:
    """``reference / elapsed``, at most 1: half for twice the reference's time (a machine's, or the peers' median).

    Source: the SPEC CPU benchmarks' ratio, since SPEC89.
    """
    seconds = _times("elapsed", elapsed)
    checks.between("reference", reference, 0, checks.LARGEST, open_at="low")
    return np.asarray(reference / np.maximum(seconds, reference))


def throughput(units: npt.ArrayLike, elapsed: npt.ArrayLike, *, target: float) -> Floats:
    """Units a second (tokens, pictures, bytes) as a part of ``target``, at most 1; shapes broadcast.

    No units are worth 0, whatever the time; some in no time at all count as the target.
    """
    done = checks.not_negative("units", units)
    seconds = _times("elapsed", elapsed)
    checks.alike(units=done, elapsed=seconds)
    checks.between("target", target, 0, checks.LARGEST, open_at="low")
    with np.errstate(over="ignore"):
        needed = np.minimum(done / target, 1e300)  # seconds at the target's rate
    return np.asarray(np.where(done > 0, needed / np.maximum(np.maximum(seconds, needed), 1e-300), 0.0))


def geometric_mean(factors: npt.ArrayLike, *, axis: int = -1) -> Floats:
    """The mean of ratios that doesn't depend on which machine they are ratios to; one 0 makes it 0.

    ``factors`` >= 0; works along ``axis``.

    Source: Fleming and Wallace, "How not to lie with statistics: the correct way to summarize benchmark
    results", Communications of the ACM 1986.
    """
    values = checks.not_negative("factors", factors)
    if not -values.ndim <= axis < values.ndim:
        raise ValueError(f"factors has shape {values.shape}, so there is no axis {axis}")
    with np.errstate(divide="ignore"):
        return np.asarray(np.exp(np.log(values).mean(axis=axis)))


def _times(name: str, values: npt.ArrayLike) -> Floats:
    seconds = checks.numbers(name, values)
    if np.isnan(seconds).any() or (seconds < 0).any():
        raise ValueError(f"{name} holds NaN or a time below 0")
    return seconds
