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
``last_step_block`` and the owner on 293; they follow the source, and are compared with it, compiled
(``benchmarks/_runtime.py``). A mechanism beyond the
first is an epoch of its own, run by the caller with that mechanism's weights and bonds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from subnet.scoring import live, stakes
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

    ``exact`` gives the chain's own integers, at two to four times the time. The float form's mostly are
    off by 1 of u16 and a few RAO at most; how far they can be is
    :func:`subnet.scoring.difference.bounds`. Raises ValueError for an unknown variant.
    """
    m, rules = arithmetic(variant, exact=exact), params or EpochParams()
    who, ballot, result = steps(m, state, rules, variant)
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


def steps(m: Arithmetic, state: EpochInput, rules: EpochParams, variant: Variant) -> tuple[Voters, Ballot, Result]:
    """The epoch up to where its shares are cut to integers."""
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
    ballot = _ballot(m, state, rules, variant, who)
    return who, ballot, run(m, rules, variant, ballot)


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


def _ballot(m: Arithmetic, state: EpochInput, rules: EpochParams, variant: Variant, who: Voters) -> Ballot:
    """Live weights and bonds as matrices of the rows that may have any."""
    w, b = state.weights.inside(state.n), state.bonds.inside(state.n)
    in_w, in_b = w.counts(state.n), b.counts(state.n)
    uids = np.flatnonzero(((in_w > 0) & who.permitted) | (in_b > 0))
    dates = live.Dates(
        last_update=state.last_update,
        registered=state.block_at_registration,
        last_tempo=live.last_tempo(state.block, state.last_step_block, rules, variant),
        oldest_commit=state.oldest_commit if variant == "head" else None,
    )
    shape = (uids.size, state.n)
    # where each uid's row begins in the matrix; rows that have no part all go to a last one, which is cut off
    first = np.full(state.n, uids.size * state.n)
    first[uids] = np.arange(uids.size) * state.n
    at_w, at_b = np.repeat(first, in_w) + w.column, np.repeat(first, in_b) + b.column

    def matrix(at: Integers, value: Any, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        flat = np.zeros((uids.size + 1) * state.n, dtype=dtype)
        flat[at] = value
        return flat[: uids.size * state.n].reshape(shape)

    def alive(at: Integers, value: Any, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        return live.weights(matrix(at, value, dtype), uids, rules, who.permitted, dates)

    zeros = unsorted = None
    if rules.yuma3 and rules.liquid_alpha:
        explicit = w.value == 0
        zeros = alive(at_w[explicit], True, np.bool_) if explicit.any() else None
        if not (w.ascends() and b.ascends()):
            kept = live.bonds(matrix(at_b, True, np.bool_), dates)
            unsorted = Unsorted(_placed(w, at_w, alive(at_w, True, np.bool_)), _placed(b, at_b, kept))
    return Ballot(
        uids=uids,
        stake=who.stake,
        active_stake=who.active_stake,
        weights=alive(at_w, w.value, m.dtype),
        bonds=live.bonds(matrix(at_b, b.value, m.dtype), dates),
        zeros=zeros,
        unsorted=unsorted,
    )


def _placed(entries: Sparse, at: Integers, kept: Bools) -> Sparse:
    """Entries whose cell is ``kept`` (r, n), with positions for rows; ``at`` are their cells, counted through."""
    rows, n = kept.shape
    inside = at < rows * n
    inside[inside] = kept.ravel()[at[inside]]
    return Sparse.trusted(at[inside] // n, entries.column[inside], entries.value[inside])


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
