"""Moving averages of scores by hotkey: mapping in, mapping out, nothing remembered in between.

A validator holds ``averages`` (in its store), and after each round puts the round's scores in
with :func:`update`. Keys are hotkeys and not uids: a uid changes hands, and its new owner must not
inherit what the old one earned. :func:`retain` drops hotkeys that left the subnet.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

from subnet.types import Hotkey


def update(
    averages: Mapping[Hotkey, float],
    scores: Mapping[Hotkey, float],
    *,
    alpha: float = 0.1,
    start: float | None = 0.0,
) -> dict[Hotkey, float]:
    """One step of the exponential moving average: ``alpha * score + (1 - alpha) * average`` a hotkey.

    A hotkey that isn't in ``scores`` was not asked and keeps its average. A score that is NaN
    or infinite counts as 0: it must not enter, and were it passed over, a miner could freeze a good
    average by answers that can't be scored. An average that isn't finite is taken as absent.

    A new hotkey starts at ``start``: from 0.0, the default, it earns its average as slowly as
    anybody, so that neither a lucky first round nor a fresh registration is worth anything
    (a hotkey of no past stands below any that has worked). ``start=None`` begins at the first
    score; fit for trusted miners or long rounds only.

    ``alpha`` in (0, 1] is the weight of the new; it takes log(2) / -log(1 - alpha) rounds to
    forget half. Raises ValueError for another ``alpha`` or a ``start`` that isn't finite.
    """
    if not 0 < alpha <= 1:
        raise ValueError(f"alpha is {alpha}, expected 0 < alpha <= 1")
    if start is not None and not math.isfinite(start):
        raise ValueError(f"start is {start}, expected a finite number or None")
    new = {hotkey: float(value) for hotkey, value in averages.items() if math.isfinite(value)}
    for hotkey, value in scores.items():
        score = float(value) if math.isfinite(value) else 0.0
        before = new.get(hotkey, score if start is None else start)
        new[hotkey] = alpha * score + (1 - alpha) * before
    return new


def retain(averages: Mapping[Hotkey, float], hotkeys: Collection[Hotkey]) -> dict[Hotkey, float]:
    """Only the averages of these hotkeys: those on the subnet now."""
    present = frozenset(hotkeys)
    return {hotkey: value for hotkey, value in averages.items() if hotkey in present}
