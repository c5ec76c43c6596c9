"""Other memories than the moving average, by hotkey: the last so many scores, or a mean that fades with time.

As in :mod:`subnet.scoring.averages`: mapping in, mapping out; a hotkey that isn't in ``scores``
was not asked and keeps what it has; a score that is NaN or infinite counts as 0; a newcomer starts
low unless told otherwise. Both memories are plain tuples of numbers, so that a validator can store them as JSON.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from subnet.scoring import checks
from subnet.types import Hotkey


def push(
    windows: Mapping[Hotkey, Sequence[float]], scores: Mapping[Hotkey, float], length: int
) -> dict[Hotkey, tuple[float, ...]]:
    """Each asked hotkey's new score at the end of its window, of which the last ``length`` are kept.

    Raises ValueError for a ``length`` outside 1 to 1,000,000.
    """
    checks.count("length", length, 1, 1_000_000)
    new = {hotkey: tuple(window)[-length:] for hotkey, window in windows.items()}
    for hotkey, score in scores.items():
        new[hotkey] = (*new.get(hotkey, ()), _scorable(score))[-length:]
    return new


def means(windows: Mapping[Hotkey, Sequence[float]], *, least: int = 1) -> dict[Hotkey, float]:
    """Each window's mean. One of fewer than ``least`` scores is filled up with zeros: newcomers earn their mean.

    A hotkey with an empty window is left out. Raises ValueError for a window that holds NaN or infinities.
    """
    return {hotkey: statistics.fmean(window) for hotkey, window in _filled(windows, least).items()}


def quantiles(windows: Mapping[Hotkey, Sequence[float]], level: float = 0.5, *, least: int = 1) -> dict[Hotkey, float]:
    """Each window's quantile at ``level`` in [0, 1] (0.5: the median); otherwise as :func:`means`.

    Linear between order statistics: definition 7 of Hyndman and Fan, The American Statistician 1996.
    """
    checks.between("level", level, 0, 1)
    return {hotkey: float(np.quantile(window, level)) for hotkey, window in _filled(windows, least).items()}


class Decayed(NamedTuple):
    """A fading sum of scores, the sum of their fading weights, and when both were last brought up to date."""

    total: float
    weight: float
    at: float


def observe(
    memory: Mapping[Hotkey, Decayed], scores: Mapping[Hotkey, float], *, now: float, half_life: float
) -> dict[Hotkey, Decayed]:
    """Put a round's scores in, each of weight 1 that halves with every ``half_life``.

    ``now`` and ``half_life`` are in one unit, blocks or seconds. Only asked hotkeys fade: who was not asked
    keeps its mean. A ``now`` before a hotkey's last round (a clock put back) counts as that round's time.
    Raises ValueError for a ``half_life`` that isn't positive or a ``now`` that isn't finite.

    Source: Eckner, "Algorithms for Unevenly Spaced Time Series", 2017.
    """
    checks.between("half_life", half_life, 0, checks.LARGEST, open_at="low")
    checks.between("now", now, -checks.LARGEST, checks.LARGEST)
    new = dict(memory)
    for hotkey, score in scores.items():
        total, weight, at = memory.get(hotkey, Decayed(0.0, 0.0, now))
        at = max(now, at)
        fade = math.exp2(-(at - memory[hotkey].at) / half_life) if hotkey in memory else 1.0
        new[hotkey] = Decayed(total * fade + _scorable(score), weight * fade + 1.0, at)
    return new


def decayed_means(
    memory: Mapping[Hotkey, Decayed], *, prior: float = 0.0, prior_weight: float = 1.0
) -> dict[Hotkey, float]:
    """``(total + prior * prior_weight) / (weight + prior_weight)`` a hotkey: the mean, with a pull to ``prior``.

    ``prior_weight`` is how many scores the prior counts for; with 0 the mean is unbiased and a newcomer's
    first score is its mean. Raises ValueError for a prior that isn't finite or a negative weight.
    """
    checks.between("prior", prior, -checks.LARGEST, checks.LARGEST)
    checks.between("prior_weight", prior_weight, 0, checks.LARGEST)
    return {
        hotkey: (held.total + prior * prior_weight) / (held.weight + prior_weight)
        for hotkey, held in memory.items()
        if held.weight + prior_weight > 0
    }


def _scorable(score: float) -> float:
    return float(score) if math.isfinite(score) else 0.0


def _filled(windows: Mapping[Hotkey, Sequence[float]], least: int) -> dict[Hotkey, list[float]]:
    checks.count("least", least, 1, 1_000_000)
    filled = {hotkey: [*window, *[0.0] * (least - len(window))] for hotkey, window in windows.items() if window}
    for hotkey, window in filled.items():
        if not all(map(math.isfinite, window)):
            raise ValueError(f"the window of {hotkey} holds NaN or an infinity")
    return filled
