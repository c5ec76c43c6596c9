"""The arithmetic of a Yuma epoch on dense arrays: consensus, incentive, bonds, dividends, shares of the emission.

:func:`run` is the one body behind :func:`subnet.scoring.yuma.epoch` (a state as the chain stores it)
and :func:`subnet.scoring.batch.epochs` (many states at once). Matrices are (..., r, n): only the r
uids that have weights or bonds have rows, since on the chain few of n neurons are validators.
Leading axes are epochs apart from each other, and nothing here mixes them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from subnet.scoring.arithmetic import ONE, Arithmetic, Integers, Numbers, Variant
from subnet.scoring.bonds import Bonds, Market, Unsorted, normalise, yuma1, yuma3
from subnet.scoring.epoch import Bools, EpochParams
from subnet.scoring.fixed import normalise_bits


@dataclass(frozen=True, eq=False)
class Ballot:
    """What is voted with. ``weights`` and ``bonds`` (..., r, n) are the live ones, raw u16 in the arithmetic's dtype.

    ``uids`` (r,) are the rows' uids: of all that have weights or bonds. ``stake`` and
    ``active_stake`` (..., n) are I32F32 bits. ``zeros`` and ``unsorted`` as in :class:`~subnet.scoring.bonds.Market`.
    """

    uids: Integers
    stake: Integers
    active_stake: Integers
    weights: Numbers
    bonds: Numbers
    zeros: Bools | None = None
    unsorted: Unsorted | None = None


@dataclass(frozen=True, eq=False)
class Result:
    """An epoch's vectors (..., n) as shares, and the new bonds (..., r, n).

    ``ranks`` and ``preranks`` are sums of stake times weight, clipped and not; ``earned``
    (..., r) is what dividends are shares of. ``server``, ``validator`` and ``combined`` are shares of the emission.
    """

    consensus: Numbers
    ranks: Numbers
    preranks: Numbers
    earned: Numbers
    incentive: Numbers
    dividends: Numbers
    validator_trust: Numbers
    trust: Numbers
    server: Numbers
    validator: Numbers
    combined: Numbers
    bonds: Bonds


def run(m: Arithmetic, rules: EpochParams, variant: Variant, ballot: Ballot) -> Result:
    """The epoch's arithmetic, from live weights and bonds to shares; the ballot's matrices may be overwritten."""
    n, stake = ballot.stake.shape[-1], m.of_bits(ballot.active_stake[..., ballot.uids])
    w = m.ratio(ballot.weights, ballot.weights.sum(axis=-1, keepdims=True), out=ballot.weights)
    consensus = stake_weighted_median(m, ballot.active_stake, ballot.uids, rules.kappa, w)
    clipped = np.minimum(w, consensus[..., None, :])
    ranks, preranks = m.left(stake, clipped), m.left(stake, w)
    incentive, trusted = normalise(m, ranks), _scatter(clipped.sum(axis=-1), ballot.uids, n)
    market = Market(
        m,
        rules,
        variant,
        w,
        clipped,
        old=ballot.bonds,
        consensus=consensus,
        stake=stake,
        incentive=incentive,
        zeros=ballot.zeros,
        unsorted=ballot.unsorted,
    )
    bonds, earned = yuma3(market) if rules.yuma3 else yuma1(market)
    dividends = _scatter(normalise(m, earned), ballot.uids, n)
    server, validator, combined = _shares_of_emission(m, incentive, dividends, ballot)
    return Result(
        consensus=consensus,
        ranks=ranks,
        preranks=preranks,
        earned=earned,
        incentive=incentive,
        dividends=dividends,
        validator_trust=trusted,
        trust=m.div(ranks, preranks),
        server=server,
        validator=validator,
        combined=combined,
        bonds=bonds,
    )


def stake_weighted_median(m: Arithmetic, active_stake: Integers, uids: Integers, kappa: int, w: Numbers) -> Numbers:
    """Of each column of ``w`` (..., r, n), whose rows are ``uids`` (r,): (..., n).

    ``active_stake`` (..., n) is in I32F32 bits; who has some but no row, and a row without entries, votes
    zero. The median is the smallest weight at which the stake at and below it passes 1 - kappa. The
    runtime searches by pivots (``weighted_median``); as sums of its stakes are exact, the order
    of the search doesn't change what is found.
    """
    zero = np.zeros((*w.shape[:-2], w.shape[-1]), dtype=w.dtype)
    every = normalise_bits(active_stake)
    stake = every[..., uids]
    if not stake.any():
        return zero
    voting, total = stake > 0, every.sum(axis=-1)
    rest, minority = total - stake.sum(axis=-1), total - kappa * ONE // 65535
    # one integer of weight and row sorts several times faster than an argsort; who has no say stands last
    bits = uids.size.bit_length()
    tail = np.arange(uids.size) | np.where(voting, 0, _LAST)
    columns = m.sort_keys(w, bits)
    columns |= tail[..., None, :]
    columns.sort(axis=-1)
    columns &= (1 << bits) - 1
    below = _each(stake, columns)
    passed = np.cumsum(below, axis=-1, out=below) > (minority - rest)[..., None, None]
    heaviest = voting.sum(axis=-1)[..., None] - 1
    at = np.where(passed[..., -1], passed.argmax(axis=-1), np.maximum(heaviest, 0))
    row = np.take_along_axis(columns, at[..., None], axis=-1)
    median = np.take_along_axis(w, np.swapaxes(row, -1, -2), axis=-2)[..., 0, :]
    rest_decides = (rest > 0) & (rest > minority)
    return np.where((heaviest < 0) | rest_decides[..., None], zero, median)


_LAST = 1 << 62


def _each(stake: Integers, rows: Integers) -> Integers:
    """stake (..., r) of each of ``rows`` (..., n, r)."""
    if stake.ndim == 1:
        return np.asarray(stake[rows])
    epochs = int(np.prod(stake.shape[:-1]))
    first = np.arange(epochs).reshape(*stake.shape[:-1], 1, 1) * stake.shape[-1]
    return np.asarray(stake.ravel()[rows + first])


def _shares_of_emission(
    m: Arithmetic, incentive: Numbers, dividends: Numbers, ballot: Ballot
) -> tuple[Numbers, Numbers, Numbers]:
    """Shares (..., n) of servers, of validators, and of both; by stake where nobody earned anything."""
    combined = incentive + dividends
    total = combined.sum(axis=-1, keepdims=True)
    server, validator, both = (m.div(x, total) for x in (incentive, dividends, combined))
    unearned = total == 0
    if not unearned.any():
        return server, validator, both
    anyone_active = ballot.active_stake.any(axis=-1, keepdims=True)
    by_stake = m.of_bits(np.where(anyone_active, ballot.active_stake, ballot.stake))
    return server, np.where(unearned, by_stake, validator), np.where(unearned, by_stake, both)


def _scatter(rows: Numbers, uids: Integers, n: int) -> Numbers:
    out = np.zeros((*rows.shape[:-1], n), dtype=rows.dtype)
    out[..., uids] = rows
    return out
