"""Moving averages over a series of rounds: arrays of shape (t, ...), one average a round and column.

For a validator's live scores by hotkey see :mod:`subnet.scoring.averages` (exponential) and
:mod:`subnet.scoring.windows` (sliding, time-decayed); this is the same arithmetic over a
whole history, for the lab and for looking back. As there, who was not asked in a round keeps its
average, and an asked miner's score that is NaN or infinite counts as 0.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from subnet.scoring import checks
from subnet.scoring.checks import Bools, Floats


def ema(
    scores: npt.ArrayLike, alpha: float, *, start: float | None = 0.0, asked: npt.ArrayLike | None = None
) -> Floats:
    """Exponential moving average ``alpha * score + (1 - alpha) * average`` after each round.

    ``scores`` (t, ...); ``asked`` bool of the same shape, None: all. Returns float64 (t, ...); before a
    column's first score that is ``start``, or NaN where ``start`` is None and the average begins at the first
    score. Equal to :func:`subnet.scoring.averages.update`, round by round. Raises ValueError.

    Source: Roberts, "Control Chart Tests Based on Geometric Moving Averages", Technometrics 1959.
    """
    values, there = _series(scores, asked)
    checks.between("alpha", alpha, 0, 1, open_at="low")
    if start is not None:
        checks.between("start", start, -checks.LARGEST, checks.LARGEST)
    average = np.full(values.shape[1:], np.nan if start is None else start)
    out = np.empty_like(values)
    for t, (value, now) in enumerate(zip(values, there, strict=True)):
        before = np.where(np.isnan(average), value, average)
        average = np.where(now, alpha * value + (1 - alpha) * before, average)
        out[t] = average
    return out


def ema_unbiased(scores: npt.ArrayLike, alpha: float, *, asked: npt.ArrayLike | None = None) -> Floats:
    """The exponential average from 0, divided by ``1 - (1 - alpha)**k`` after k scores: no pull towards 0.

    Shapes as :func:`ema`; NaN before a column's first score. The first score counts in full, so that
    a lucky newcomer leads at once: for trusted miners, or for looking back. Raises ValueError.

    Source: Kingma and Ba, "Adam", ICLR 2015, section 3.
    """
    values, there = _series(scores, asked)
    seen = np.cumsum(there, axis=0)
    total = ema(values, alpha, asked=there)
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = -np.expm1(seen * np.log1p(-alpha)) if alpha < 1 else np.ones(values.shape)
        return np.where(seen > 0, total / weight, np.nan)


def ema_by_time(
    scores: npt.ArrayLike, times: npt.ArrayLike, half_life: float, *, asked: npt.ArrayLike | None = None
) -> Floats:
    """The mean of all scores so far, each weighted by ``2 ** -(age / half_life)``: for rounds unevenly spaced.

    ``scores`` (t, ...); ``times`` (t,), never falling, in the unit of ``half_life`` (blocks or
    seconds). Returns float64 (t, ...); NaN before a column's first score. Raises ValueError.

    Source: Eckner, "Algorithms for Unevenly Spaced Time Series: Moving Averages and Other Rolling
    Operators", 2017 (the EMA of discrete observations).
    """
    values, there = _series(scores, asked)
    when = checks.floats("times", times, ndim=1)
    checks.between("half_life", half_life, 0, checks.LARGEST, open_at="low")
    if when.shape[0] != values.shape[0] or (np.diff(when) < 0).any():
        raise ValueError(f"times must be {values.shape[0]} numbers that never fall")
    total, weight, at = (np.zeros(values.shape[1:]) for _ in range(3))
    out = np.empty_like(values)
    for t, (value, now) in enumerate(zip(values, there, strict=True)):
        with np.errstate(over="ignore"):
            fade = np.where(weight > 0, np.exp2(-(when[t] - at) / half_life), 0.0)
        total = np.where(now, total * fade + value, total)
        weight = np.where(now, weight * fade + 1.0, weight)
        at = np.where(now, when[t], at)
        out[t] = total / np.where(weight > 0, weight, np.nan)
    return out


def sliding_mean(scores: npt.ArrayLike, length: int, *, asked: npt.ArrayLike | None = None) -> Floats:
    """The mean of each column's last ``length`` scores (fewer at the start), after each round.

    Shapes as :func:`ema`; NaN before a column's first score. Rounds in which a column was not asked
    take no place in its window. Raises ValueError.
    """
    return _sliding(scores, length, asked, lambda window: window.mean(axis=-1))


def sliding_quantile(
    scores: npt.ArrayLike, length: int, level: float = 0.5, *, asked: npt.ArrayLike | None = None
) -> Floats:
    """The ``level`` quantile of each column's last ``length`` scores; as :func:`sliding_mean`.

    Linear between order statistics: definition 7 of Hyndman and Fan, "Sample Quantiles in
    Statistical Packages", The American Statistician 1996.
    """
    checks.between("level", level, 0, 1)
    return _sliding(scores, length, asked, lambda window: np.quantile(window, level, axis=-1))


def _series(scores: npt.ArrayLike, asked: npt.ArrayLike | None) -> tuple[Floats, Bools]:
    values = checks.numbers("scores", scores)
    if values.ndim == 0:
        raise ValueError("scores is one number, expected a series of shape (t, ...)")
    there = checks.mask("asked", asked, values.shape)
    return np.where(np.isfinite(values) & there, values, 0.0), there


def _sliding(scores: npt.ArrayLike, length: int, asked: npt.ArrayLike | None, of: Callable[[Floats], Floats]) -> Floats:
    values, there = _series(scores, asked)
    checks.count("length", length, 1, 1_000_000)
    columns, heard = values.reshape(len(values), -1), there.reshape(len(values), -1)
    out = np.full(columns.shape, np.nan)
    for column in range(columns.shape[1]):
        own = columns[heard[:, column], column]
        if not own.size:
            continue
        width = min(length, own.size)
        early = [float(of(own[: k + 1])) for k in range(width - 1)]
        moving = np.concatenate([early, of(np.lib.stride_tricks.sliding_window_view(own, width))])
        place = np.cumsum(heard[:, column]) - 1
        out[:, column] = np.where(place >= 0, moving[np.maximum(place, 0)], np.nan)
    return out.reshape(values.shape)
