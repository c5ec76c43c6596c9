"""From a validator's scores to the u16 weights of ``set_weights``, by the chain's own rules.

``normalise(scores)`` drops what can't be a weight, caps shares where the subnet limits them and
upscales to u16, so that what the chain stores is what was sent. ``max_upscale_u16`` and
``within_limit`` are the chain's own steps, for the local chain as well. Pure functions.

Source: vec_u16_max_upscale_to_u16 and check_vec_max_limited in pallets/subtensor/src/epoch/math.rs,
check_length in subnets/weights.rs, github.com/opentensor/subtensor.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from subnet.types import U16_MAX, Uid

_ONE = 1 << 32
_HALF = 1 << 31
_TRUNCATES_ABOVE = 32768


def max_upscale_u16(values: Sequence[int]) -> list[int]:
    """u16 values scaled so that the largest is 65535, as the chain does before it stores weights.

    In I32F32, rounded half up; above a maximum of 32768 the ratio 65535/maximum is truncated
    first ([40000, 20000] becomes [65535, 32767]). Zeros stay zeros. Raises ValueError for
    a value outside u16.
    """
    if any(not 0 <= v <= U16_MAX for v in values):
        raise ValueError("a weight is outside u16")
    largest = max(values, default=0)
    if largest == 0:
        return [0] * len(values)
    if largest > _TRUNCATES_ABOVE:
        ratio = U16_MAX * _ONE // largest
        return [(v * ratio + _HALF) // _ONE for v in values]
    return [(v * U16_MAX * _ONE // largest + _HALF) // _ONE for v in values]


def within_limit(values: Sequence[int], max_weight_limit: int) -> bool:
    """Whether the chain accepts the largest share of these u16 values; 65535 switches the check off.

    ``max_weight_limit`` is a share as u16. The chain also lets a single self-weight through.
    """
    total = sum(values)
    if max_weight_limit == U16_MAX or total == 0:
        return True
    return max(values) * _ONE // total <= max_weight_limit * _ONE // U16_MAX


def normalise(
    scores: Mapping[Uid, float],
    *,
    own_uid: Uid | None = None,
    min_allowed_weights: int = 0,
    max_weight_limit: int = U16_MAX,
) -> tuple[list[Uid], list[int]]:
    """Scores as what ``set_weights`` takes: uids ascending, and u16 weights with a maximum of 65535.

    Scores count in proportion; NaN, infinities, negatives and zeros get nothing, nor does
    ``own_uid`` (the chain ignores a self-weight). If nobody scored, both lists are empty and no
    weights should be set: an even split would pay those who did nothing. Shares above
    ``max_weight_limit`` (u16 share; 65535 = off) are cut and what is cut shared out in proportion.
    Uids without a score fill up to ``min_allowed_weights`` entries with weight 0.

    Raises ValueError if ``scores`` has too few uids for ``min_allowed_weights``, or too few
    with a score to keep within ``max_weight_limit``.
    """
    others = sorted(uid for uid in scores if uid != own_uid)
    good = {uid: float(scores[uid]) for uid in others if math.isfinite(scores[uid]) and scores[uid] > 0}
    if not good:
        return [], []
    if len(others) < min_allowed_weights:
        raise ValueError(f"{len(others)} uids are scored, the subnet wants {min_allowed_weights} weights")
    weights = dict(zip(good, _limited(list(good.values()), max_weight_limit), strict=True))
    weights = {uid: weight for uid, weight in weights.items() if weight}
    for uid in others:
        if len(weights) >= min_allowed_weights:
            break
        weights.setdefault(uid, 0)
    uids = sorted(weights)
    return uids, [weights[uid] for uid in uids]


def _limited(scores: list[float], max_weight_limit: int) -> list[int]:
    """Positive scores as u16 with a maximum of 65535 that pass :func:`within_limit`."""
    values = _upscaled(scores)
    # rounding to u16 can lift a capped share above the limit again: then aim a little lower
    for margin in range(8):
        if within_limit(values, max_weight_limit):
            return values
        cap = (max_weight_limit - margin) / U16_MAX
        if cap * len(scores) <= 1:
            break
        values = _upscaled(_capped(scores, cap))
    values = [U16_MAX] * len(scores)
    if not within_limit(values, max_weight_limit):
        raise ValueError(f"{len(scores)} uids can't share the weights with at most {max_weight_limit}/65535 for each")
    return values


def _upscaled(scores: list[float]) -> list[int]:
    largest = max(scores)
    return [math.floor(score / largest * U16_MAX + 0.5) for score in scores]


def _capped(scores: list[float], cap: float) -> list[float]:
    """Shares of the sum, none above ``cap``; what is cut goes to the others in proportion."""
    largest = max(scores)
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    shares = [0.0] * len(scores)
    left, rest = 1.0, math.fsum(score / largest for score in scores)
    for position, i in enumerate(order):
        score = scores[i] / largest
        if rest > 0 and score / rest * left <= cap:
            for j in order[position:]:
                shares[j] = scores[j] / largest / rest * left
            break
        shares[i] = cap
        left, rest = left - cap, rest - score
    return shares
