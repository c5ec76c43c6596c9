"""Yuma consensus: one epoch of a subnet as a pure function, Yuma 1 and Yuma 3, as the runtime computes it.

``epoch(state, params)`` goes: stakes -> permits -> live weights -> consensus (stake-weighted
median of each column) -> incentive -> bonds -> dividends -> emission. Two variants of the
runtime: ``"head"`` (subtensor, June 2026) and ``"293"`` (July 2025). Two arithmetics behind the
same steps: float64 (:mod:`subnet.scoring.arithmetic`) and, with ``exact=True``, the runtime's
fixed point to the last bit (:mod:`subnet.scoring.fixed`). Many epochs at once, on dense arrays:
:mod:`subnet.scoring.batch`.

Source: pallets/subtensor/src/epoch/{run_epoch,math}.rs of github.com/opentensor/subtensor, at
14bc6f9 (head) and at beda29a (293), whose owner keeps its self-weight as at head.
Not covered by any vector of the runtime: the commit-reveal column mask (``oldest_commit``),
``last_step_block`` and the owner on 293; they follow the source. A mechanism beyond the
first is an epoch of its own, run by the caller with that mechanism's weights and bonds.
"""

from __future__ import annotations

import numpy as np

from subnet.scoring import stakes
from subnet.scoring.arithmetic import Arithmetic, Floating, Integers, Numbers, Variant
from subnet.scoring.bonds import Bonds, Unsorted
from subnet.scoring.dense import Ballot, Result, run
from subnet.scoring.epoch import Bools, EpochInput, EpochOutput, EpochParams, Shares, Sparse
from subnet.scoring.fixed import Fixed
from subnet.scoring.stakes import Voters

__all__ = ["EpochInput", "EpochOutput", "EpochParams", "Shares", "Sparse", "Variant", "epoch"]

_FLOATING: Arithmetic = Floating()
_FIXED: Arithmetic = Fixed()


def arithmetic(variant: Variant, *, exact: bool) -> Arithmetic:
    """The numbers of either form. Raises ValueError for an unknown variant."""
    if variant not in ("head", "293"):
        raise ValueError(f"unknown variant {variant!r}; known: head, 293")
    return _FIXED if exact else _FLOATING


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
    m, rules = arithmetic(variant, exact=exact), params or EpochParams()
    who = stakes.voters(
        state.stake,
        state.tao_stake,
        state.tao_weight,
        state.last_update,
        state.validator_permit,
        state.block,
        rules,
        owner_is_exempt=variant == "head",
    )
    weights = _live_weights(state, rules, variant, who.permitted)
    ballot = _ballot(m, state, rules, who, weights, _live_bonds(state, rules, variant))
    result = run(m, rules, variant, ballot)
    vectors = vectors_of(m, who, result)
    rao = np.asarray(state.rao_emission, dtype=np.uint64)
    return EpochOutput(
        **{name: m.to_u16(v) for name, v in vectors.items()},
        active=who.active,
        validator_permit=who.new_permits,
        pruning_scores=m.upscale(result.combined),
        server_emission=m.times(result.server, rao),
        validator_emission=m.times(result.validator, rao),
        emission=m.times(result.combined, rao),
        bonds=_stored_bonds(m, result.bonds, ballot.uids, state, variant, who),
        floats=Shares(**{name: m.to_float(v) for name, v in vectors.items()}),
    )


def vectors_of(m: Arithmetic, who: Voters, result: Result) -> dict[str, Numbers]:
    """The vectors that are stored as u16, under their fields' names."""
    return {
        "stake_weight": m.of_bits(who.stake),
        "consensus": result.consensus,
        "incentive": result.incentive,
        "dividends": result.dividends,
        "validator_trust": result.validator_trust,
        "rank": result.incentive,
        "trust": result.trust,
    }


# --- what is voted with ---


def last_tempo(block: int, last_step_block: int | None, rules: EpochParams, variant: Variant) -> int:
    """The block of the epoch before: bonds on neurons that have registered since are dropped."""
    if variant == "head" and last_step_block:
        return last_step_block + 1
    return max(block - rules.tempo, 0)


def _live_weights(state: EpochInput, rules: EpochParams, variant: Variant, permitted: Bools) -> Sparse:
    """Entries of permitted rows, off the diagonal, to neurons that were there when they were set."""
    w = state.weights.inside(state.n)
    keep = permitted[w.row] & ((w.row != w.column) | (w.row == (-1 if rules.owner_uid is None else rules.owner_uid)))
    keep &= state.last_update[w.row] > state.block_at_registration[w.column]
    if variant == "head" and state.oldest_commit is not None:
        keep &= state.oldest_commit[w.row] >= state.block_at_registration[w.column]
    return w.where(keep)


def _live_bonds(state: EpochInput, rules: EpochParams, variant: Variant) -> Sparse:
    """Stored bonds on neurons that were there in the last epoch."""
    stays = last_tempo(state.block, state.last_step_block, rules, variant) > state.block_at_registration
    b = state.bonds.inside(state.n)
    return b if stays.all() else b.where(stays[b.column])


def _ballot(
    m: Arithmetic, state: EpochInput, rules: EpochParams, who: Voters, weights: Sparse, bonds: Sparse
) -> Ballot:
    """Live weights and bonds as matrices of the rows that have any."""
    takes_part = np.zeros(state.n, dtype=bool)
    takes_part[weights.row] = takes_part[bonds.row] = True
    uids = np.flatnonzero(takes_part)
    position = np.zeros(state.n, dtype=np.int64)
    position[uids] = np.arange(uids.size)
    w, b = (Sparse.trusted(position[s.row], s.column, s.value) for s in (weights, bonds))
    zeros = unsorted = None
    if rules.yuma3 and rules.liquid_alpha:
        explicit = w.where(w.value == 0)
        zeros = explicit.mask((uids.size, state.n)) if explicit.value.size else None
        unsorted = None if w.ascends() and b.ascends() else Unsorted(w, b)
    return Ballot(
        uids=uids,
        stake=who.stake,
        active_stake=who.active_stake,
        weights=w.matrix((uids.size, state.n), m.dtype),
        bonds=b.matrix((uids.size, state.n), m.dtype),
        zeros=zeros,
        unsorted=unsorted,
    )


# --- what is stored ---


def _stored_bonds(
    m: Arithmetic, new: Bonds, uids: Integers, state: EpochInput, variant: Variant, who: Voters
) -> Sparse:
    """New rows where the new permit is given; 293 leaves rows of those who never had one as they were.

    Rows of uids that aren't there any more are nobody's to write.
    """
    held = new.held & who.new_permits[uids][:, None]
    if new.order is None:
        row = np.repeat(np.arange(uids.size), np.count_nonzero(held, axis=1))
        column = np.broadcast_to(np.arange(state.n), held.shape)[held]
        share = new.share[held]
    else:
        kept = new.order.where(held[new.order.row, new.order.column])
        row, column = kept.row, kept.column
        share = new.share[row, column]
    bonds = Sparse.trusted(uids[row], column, m.to_u16(share).astype(np.int64))
    untouched = np.ones(max(state.n, int(state.bonds.row.max(initial=-1)) + 1), dtype=bool)
    untouched[: state.n] = ~(who.new_permits | who.permitted) & (variant == "293")
    return bonds.joined(state.bonds.where(untouched[state.bonds.row])) if untouched.any() else bonds
