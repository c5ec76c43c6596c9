"""Yuma consensus: one epoch of a subnet as a pure function, Yuma 1 and Yuma 3, as the runtime computes it.

``epoch(state, params)`` goes: stakes -> permits -> live weights -> consensus (stake-weighted
median of each column) -> incentive -> bonds -> dividends -> emission. Two variants of the
runtime: ``"head"`` (subtensor, June 2026) and ``"293"`` (July 2025). Two arithmetics behind the
same steps: float64 (:mod:`subnet.scoring.arithmetic`) and, with ``exact=True``, the runtime's
fixed point to the last bit (:mod:`subnet.scoring.fixed`).

Matrices are held as (r, n): only the r rows that have weights or bonds take part, since on the
chain few of n neurons are validators.

Source: pallets/subtensor/src/epoch/{run_epoch,math}.rs of github.com/opentensor/subtensor, at
14bc6f9 (head) and at beda29a (293), whose owner keeps its self-weight as at head.
Not covered by any vector of the runtime: the commit-reveal column mask (``oldest_commit``),
``last_step_block`` and the owner on 293; they follow the source. A mechanism beyond the
first is an epoch of its own, run by the caller with that mechanism's weights and bonds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from subnet.scoring.arithmetic import ONE, Arithmetic, Floating, Integers, Numbers, Variant
from subnet.scoring.bonds import Bonds, Market, dense, normalise, yuma1, yuma3
from subnet.scoring.epoch import Bools, EpochInput, EpochOutput, EpochParams, Shares, Sparse
from subnet.scoring.fixed import Fixed, normalise_bits

__all__ = ["EpochInput", "EpochOutput", "EpochParams", "Shares", "Sparse", "Variant", "epoch"]

_FLOATING: Arithmetic = Floating()
_FIXED: Arithmetic = Fixed()


def epoch(
    state: EpochInput,
    params: EpochParams | None = None,
    variant: Variant = "head",
    *,
    exact: bool = False,
) -> EpochOutput:
    """Run one epoch; pure, thread-safe. ``params`` default to the runtime's defaults.

    The float form's u16 differ from the chain's by at most 1 on every vector, its RAO by a few
    (``tests/scoring/test_yuma.py`` states the bounds); ``exact`` gives the chain's own integers,
    at about three times the time. Raises ValueError for an unknown variant.
    """
    if variant not in ("head", "293"):
        raise ValueError(f"unknown variant {variant!r}; known: head, 293")
    rules = params or EpochParams()
    m = _FIXED if exact else _FLOATING
    voters = _voters(state, rules, variant)
    weights = _live_weights(state, rules, variant, voters.permitted)
    bonds = _live_bonds(state, rules, variant)
    takes_part = voters.active_stake > 0
    takes_part[weights.row] = takes_part[bonds.row] = True
    uids = np.flatnonzero(takes_part)
    active_stake = m.of_bits(voters.active_stake)

    raw = dense(weights, uids, state.n)
    w = m.ratio(raw, raw.sum(axis=1, keepdims=True))
    consensus = _consensus(m, voters.active_stake[uids], rules.kappa, w)
    clipped = np.minimum(w, consensus)
    row_stake = active_stake[uids]
    ranks = m.left(row_stake, clipped)
    incentive = normalise(m, ranks)

    market = Market(m, rules, variant, uids, weights, bonds, w, clipped, consensus, row_stake, incentive)
    new_bonds, row_dividends = yuma3(market) if rules.yuma3 else yuma1(market)
    dividends = _scatter(row_dividends, uids, state.n)

    server, validator, combined = _emission(m, incentive, dividends, m.of_bits(voters.stake), active_stake)
    vectors = {
        "stake_weight": m.of_bits(voters.stake),
        "consensus": consensus,
        "incentive": incentive,
        "dividends": dividends,
        "validator_trust": _scatter(clipped.sum(axis=1), uids, state.n),
        "rank": incentive,
        "trust": m.div(ranks, m.left(row_stake, w)),
    }
    return EpochOutput(
        **{name: m.to_u16(v) for name, v in vectors.items()},
        active=voters.active,
        validator_permit=voters.new_permits,
        pruning_scores=m.upscale(combined),
        server_emission=m.times(server, state.rao_emission),
        validator_emission=m.times(validator, state.rao_emission),
        emission=m.times(combined, state.rao_emission),
        bonds=_stored_bonds(m, new_bonds, uids, state, variant, voters),
        floats=Shares(**{name: m.to_float(v) for name, v in vectors.items()}),
    )


# --- who votes, and with what ---


@dataclass(frozen=True)
class _Voters:
    """Stakes as I32F32 bits, and masks; all (n,)."""

    stake: Integers
    active_stake: Integers
    active: Bools
    permitted: Bools
    new_permits: Bools


def _voters(state: EpochInput, rules: EpochParams, variant: Variant) -> _Voters:
    owner = rules.owner_uid if variant == "head" and (rules.owner_uid or 0) < state.n else None
    enough = state.stake >= rules.stake_threshold
    permitted = state.validator_permit.copy()
    if owner is not None:
        enough[owner] = permitted[owner] = True
    stakes = np.where(enough, state.stake, 0).tolist()
    total = sum(stakes)
    # Python's integers: a stake shifted by 32 bits doesn't fit in 64
    stake = np.array([(s << 32) // total if total else 0 for s in stakes], dtype=np.int64)
    new_permits = _top_k(stake, rules.max_allowed_validators)
    if owner is not None:
        new_permits[owner] = True
    active = state.last_update >= state.block - rules.activity_cutoff
    active_stake = normalise_bits(np.where(active & permitted, stake, 0))
    return _Voters(stake, active_stake, active, permitted, new_permits)


def _top_k(stake: Integers, k: int) -> Bools:
    """Non-zero and among the k largest; of equals the lower uid loses (``is_topk_nonzero``)."""
    top: Bools = np.not_equal(stake, 0)
    if stake.size >= k:
        top[np.argsort(stake, kind="stable")[: stake.size - k]] = False
    return top


def _live_weights(state: EpochInput, rules: EpochParams, variant: Variant, permitted: Bools) -> Sparse:
    """Entries of permitted rows, off the diagonal, to neurons that were there when they were set."""
    w = state.weights.where((state.weights.row < state.n) & (state.weights.column < state.n))
    registered = state.block_at_registration[w.column]
    owners = (w.row == rules.owner_uid) if rules.owner_uid is not None else np.zeros(w.row.size, dtype=bool)
    keep = permitted[w.row] & ((w.row != w.column) | owners) & (state.last_update[w.row] > registered)
    if variant == "head" and state.oldest_commit is not None:
        keep &= state.oldest_commit[w.row] >= registered
    return w.where(keep)


def _live_bonds(state: EpochInput, rules: EpochParams, variant: Variant) -> Sparse:
    """Stored bonds on neurons that were there in the last epoch."""
    b = state.bonds.where((state.bonds.row < state.n) & (state.bonds.column < state.n))
    if variant == "head" and state.last_step_block:
        last_tempo = state.last_step_block + 1
    else:
        last_tempo = max(state.block - rules.tempo, 0)
    return b.where(last_tempo > state.block_at_registration[b.column])


# --- consensus ---


def _consensus(m: Arithmetic, active_stake: Integers, kappa: int, w: Numbers) -> Numbers:
    """Stake-weighted median of each column of ``w`` (r, n) over the rows with active stake (r,): (n,).

    It is the smallest weight at which the stake at and below it passes 1 - kappa. The runtime
    searches by pivots (``weighted_median``); as sums of its stakes are exact, the order of the
    search doesn't change what is found. A row without entries votes zero.
    """
    voting = active_stake > 0
    if not voting.any():
        return np.zeros(w.shape[1], dtype=w.dtype)
    stake = normalise_bits(active_stake[voting])
    minority = int(stake.sum()) - kappa * ONE // 65535
    columns = np.ascontiguousarray(w[voting].T)
    # one integer of weight and row sorts several times faster than an argsort
    row_bits = int(stake.size).bit_length()
    keys = np.sort((m.to_bits(columns) << row_bits) | np.arange(stake.size), axis=1)
    rows = keys & ((1 << row_bits) - 1)
    passed = np.cumsum(stake[rows], axis=1) > minority
    at = np.where(passed[:, -1], passed.argmax(axis=1), stake.size - 1)
    every = np.arange(columns.shape[0])
    return np.asarray(columns[every, rows[every, at]])


# --- what is paid and stored ---


def _emission(
    m: Arithmetic, incentive: Numbers, dividends: Numbers, stake: Numbers, active_stake: Numbers
) -> tuple[Numbers, Numbers, Numbers]:
    """Shares (n,) of servers, of validators, and of both; by stake if nobody earned anything."""
    combined = incentive + dividends
    total = combined.sum()
    if total == 0:
        by_stake = active_stake if active_stake.any() else stake
        return incentive, by_stake, by_stake
    return m.div(incentive, total), m.div(dividends, total), m.div(combined, total)


def _scatter(rows: Numbers, uids: Integers, n: int) -> Numbers:
    out = np.zeros(n, dtype=rows.dtype)
    out[uids] = rows
    return out


def _stored_bonds(
    m: Arithmetic, new: Bonds, uids: Integers, state: EpochInput, variant: Variant, voters: _Voters
) -> Sparse:
    """New rows where the new permit is given; 293 leaves rows of those who never had one as they were."""
    row = uids[new.row]
    permitted = voters.new_permits[row]
    stored = m.to_u16(new.share[permitted]).astype(np.int64)
    bonds = Sparse.trusted(row[permitted], new.column[permitted], stored)
    if variant == "head":
        return bonds
    untouched = np.ones(max(state.n, int(state.bonds.row.max(initial=-1)) + 1), dtype=bool)
    untouched[: state.n] = ~(voters.new_permits | voters.permitted)
    return bonds.joined(state.bonds.where(untouched[state.bonds.row]))
