"""Who votes in an epoch: stakes as shares, permits, and the active stake. In I32F32 bits for both arithmetics.

Their zeros and ties decide permits and medians, so that even the fast form needs them exact.
Vectors are (..., n): leading axes are epochs apart from each other.

Source: github.com/opentensor/subtensor, pallets/subtensor/src/staking/stake_utils.rs
(``get_stake_weights_for_network``) and epoch/{run_epoch,math}.rs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from subnet.scoring.arithmetic import Integers
from subnet.scoring.epoch import Bools, EpochParams
from subnet.scoring.fixed import normalise_bits

U64_MAX = 2**64 - 1
_FRACTION = 32
"""Bits of RAO below one: TaoWeight is a fraction of 32 bits, so that TAO times it has no more."""


@dataclass(frozen=True, eq=False)
class Voters:
    """Stake shares as I32F32 bits, and masks; all (..., n)."""

    stake: Integers
    active_stake: Integers
    active: Bools
    permitted: Bools
    new_permits: Bools


def total_stake(alpha: int, tao: int, tao_weight: int) -> int:
    """What a neuron votes with, in 2**-32 RAO: alpha + tao * TaoWeight / (2**64 - 1).

    ``alpha`` and ``tao`` (root stake) are RAO, both with what parents lend and without what is lent to
    children; ``tao_weight`` is the storage item, a u64. The weight is truncated to 32 bits first.
    """
    return (alpha << _FRACTION) + tao * ((tao_weight << _FRACTION) // U64_MAX)


def voters(
    stake: Integers,
    tao_stake: Integers | None,
    tao_weight: int,
    last_update: Integers,
    permits: Bools,
    block: int,
    rules: EpochParams,
    *,
    owner_is_exempt: bool,
) -> Voters:
    """Shares, permits and active stake of an epoch at ``block``; stakes are RAO, vectors (..., n)."""
    n = stake.shape[-1]
    owner = rules.owner_uid if owner_is_exempt and (rules.owner_uid or 0) < n else None
    exempt = np.zeros(n, dtype=bool)
    if owner is not None:
        exempt[owner] = True
    whole: npt.NDArray[Any] = stake
    threshold = rules.stake_threshold
    if tao_stake is not None and tao_weight:
        pairs = zip(stake.ravel().tolist(), tao_stake.ravel().tolist(), strict=True)
        whole = np.array([total_stake(a, t, tao_weight) for a, t in pairs], dtype=object).reshape(stake.shape)
        threshold <<= _FRACTION
    shares = shares_of(np.where(exempt | (whole >= threshold), whole, 0))
    permitted = permits | exempt
    active = last_update >= block - rules.activity_cutoff
    active_stake = normalise_bits(np.where(active & permitted, shares, 0))
    new_permits = _top_k(shares, rules.max_allowed_validators) | exempt
    return Voters(shares, active_stake, active, permitted, new_permits)


def shares_of(stake: npt.NDArray[Any]) -> Integers:
    """(..., n) over their sums, as I32F32 bits, truncated: of int64, or of Python integers of any size."""
    n = stake.shape[-1]
    if stake.dtype == object or (stake.size and int(stake.max()) > (2**63 - 1) // n):
        return _shares_of_any(stake)
    total = stake.sum(axis=-1, keepdims=True).astype(np.uint64)
    divisor = np.where(total == 0, np.uint64(1), total)
    quotient, rest = np.divmod(stake.astype(np.uint64), divisor)
    # long division, in digits of as many bits as a remainder leaves free
    step, left = 64 - int(divisor.max(initial=1)).bit_length(), 32
    while left:
        bits = np.uint64(min(step, left))
        digits, rest = np.divmod(rest << bits, divisor)
        quotient = (quotient << bits) + digits
        left -= int(bits)
    return np.asarray(quotient, dtype=np.int64)


def _shares_of_any(stake: npt.NDArray[Any]) -> Integers:
    rows = []
    for row in stake.reshape(-1, stake.shape[-1]).tolist():
        total = sum(row)
        rows.append([(s << 32) // total if total else 0 for s in row])
    return np.array(rows, dtype=np.int64).reshape(stake.shape)


def _top_k(stake: Integers, k: int) -> Bools:
    """Non-zero and among the k largest; of equals the lower uid loses (``is_topk_nonzero``)."""
    top: Bools = np.not_equal(stake, 0)
    n = stake.shape[-1]
    if k < n:
        np.put_along_axis(top, np.argsort(stake, axis=-1, kind="stable")[..., : n - k], False, axis=-1)
    return top
