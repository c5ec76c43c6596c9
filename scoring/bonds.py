"""Bonds and dividends of a Yuma epoch: what validators bought into miners, and what it pays them.

A :class:`Market` (this epoch's weights, the old bonds, stakes, incentive) goes into
:func:`yuma1` or :func:`yuma3`; out come the bonds as they will be stored and each row's dividends.
Rows are the r uids that take part, columns all n. In either arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from subnet.scoring.arithmetic import ONE, Arithmetic, Integers, Numbers, Variant
from subnet.scoring.epoch import Bools, EpochParams, Sparse, in_order


@dataclass(frozen=True, eq=False)
class Market:
    """What bonds are computed from. ``weights`` and ``bonds`` hold live entries only, raw u16.

    ``w`` (r, n) are the row-normalised weights, ``clipped`` (r, n) the same cut to ``consensus``
    (n,); ``stake`` (r,) is active stake, ``incentive`` (n,).
    """

    m: Arithmetic
    rules: EpochParams
    variant: Variant
    uids: Integers
    weights: Sparse
    bonds: Sparse
    w: Numbers
    clipped: Numbers
    consensus: Numbers
    stake: Numbers
    incentive: Numbers

    @property
    def alpha(self) -> Numbers:
        """The share of the new in the plain moving average: 1 - BondsMovingAverage / 10**6."""
        return np.asarray(self.m.of_bits(ONE - self.rules.bonds_moving_average * ONE // 1_000_000))

    def bought(self) -> Numbers:
        """Weights for bonds (r, n): W + penalty * (clipped - W)."""
        if self.rules.bonds_penalty == 0:
            return self.w
        if self.rules.bonds_penalty == 65535:
            return self.clipped
        penalty = self.m.ratio(self.rules.bonds_penalty, 65535)
        return np.asarray(self.w + self.m.mul(penalty, self.clipped - self.w))

    def held(self, bonds: Sparse) -> Integers:
        """Bonds as a matrix (r, n), raw u16."""
        return dense(bonds, self.uids, self.incentive.size)


@dataclass(frozen=True, eq=False)
class Bonds:
    """New bonds, entry by entry as they will be stored, and as a matrix (r, n).

    ``row`` are positions in ``uids``; ``share`` is to be cut to u16.
    """

    row: Integers
    column: Integers
    share: Numbers
    matrix: Numbers


def dense(entries: Sparse, uids: Integers, n: int) -> Integers:
    """Entries as a matrix (r, n) of raw u16; row i belongs to uids[i]."""
    out = np.zeros(uids.size * n, dtype=np.int64)
    out[_positions(uids, n)[entries.row] * n + entries.column] = entries.value
    return out.reshape(uids.size, n)


def _positions(uids: Integers, n: int) -> Integers:
    """Where each of n uids stands in ``uids``; arbitrary for those that don't."""
    at = np.zeros(n, dtype=np.int64)
    at[uids] = np.arange(uids.size)
    return at


def normalise(m: Arithmetic, x: Numbers) -> Numbers:
    """x over its sum; zeros stay zeros."""
    return m.div(x, x.sum())


def yuma1(market: Market) -> tuple[Bonds, Numbers]:
    """Bonds as shares of a column, averaged as such; dividends (r,) are what they hold of the incentive."""
    m, old = market.m, market.held(market.bonds)
    old_shares = m.ratio(old, old.sum(axis=0))
    delta = m.mul(market.bought(), market.stake[:, None])
    delta = m.div(delta, delta.sum(axis=0))
    ema = m.mul(market.alpha, delta) + m.mul(m.one - market.alpha, old_shares)
    held = ema > 0
    ema = m.div(ema, ema.sum(axis=0))
    dividends = normalise(m, m.right(ema, market.incentive))
    return _entries(held, m.div(ema, ema.max(axis=0, initial=0))), dividends


def yuma3(market: Market) -> tuple[Bonds, Numbers]:
    """Each pair's bond averaged by itself; dividends (r,) are stake times the share of the incentive."""
    m = market.m
    liquid = market.rules.liquid_alpha and bool((market.consensus != 0).any())
    new = _liquid_ema(market) if liquid else _plain_ema(market)
    held = m.right(m.div(new.matrix, new.matrix.sum(axis=0)), market.incentive)
    return new, normalise(m, m.mul(held, market.stake))


def _plain_ema(market: Market) -> Bonds:
    m = market.m
    old = m.ratio(market.held(market.bonds), 65535)
    ema = m.mul(market.alpha, market.bought()) + m.mul(m.one - market.alpha, old)
    return _entries(ema > 0, ema)


def _entries(held: Bools, shares: Numbers) -> Bonds:
    """What is held of a matrix (r, n), row by row; several times faster than nonzero."""
    row = np.repeat(np.arange(held.shape[0]), np.count_nonzero(held, axis=1))
    column = np.broadcast_to(np.arange(held.shape[1]), held.shape)[held]
    return Bonds(row, column, shares[held], shares)


def _liquid_ema(market: Market) -> Bonds:
    """An alpha for each pair that this epoch's row names; a pair that it doesn't name is dropped."""
    m, bought = market.m, market.bought()
    row, column = _named(market, bought)
    new, old = bought[row, column], m.ratio(market.held(market.bonds)[row, column], 65535)
    # the runtime looks entries up by merging the row with 0..n-1, and so takes one that stands
    # after a higher uid for 0: in the alpha, not in the average
    seen_new = np.where(in_order(row, column), new, 0)
    seen_bonds = market.bonds.where(in_order(market.bonds.row, market.bonds.column))
    seen_old = old
    if seen_bonds is not market.bonds:
        seen_old = m.ratio(market.held(seen_bonds)[row, column], 65535)
    alpha = _liquid_alpha(market, seen_new, seen_old, market.consensus[column])
    ema = np.minimum(m.mul(m.one - alpha, old) + m.mul(alpha, new), m.one)
    kept = ema > 0
    matrix = np.zeros_like(bought)
    matrix[row, column] = ema
    return Bonds(row[kept], column[kept], ema[kept], matrix)


def _named(market: Market, bought: Numbers) -> tuple[Integers, Integers]:
    """The entries of the weights for bonds, in the order in which the runtime keeps (and stores) them."""
    penalty = market.rules.bonds_penalty
    if penalty not in (0, 65535):
        row, column = np.nonzero(bought > 0)
        return row, column
    row = _positions(market.uids, market.incentive.size)[market.weights.row]
    column = market.weights.column
    if penalty == 65535:
        # the clip drops what has no consensus, but an explicit zero stays and decays
        named = (bought[row, column] > 0) | (market.weights.value == 0)
        row, column = row[named], column[named]
    return row, column


def _liquid_alpha(market: Market, weight: Numbers, bond: Numbers, consensus: Numbers) -> Numbers:
    """alpha = low + (high - low) * sigmoid of how far a weight moves: ``alpha_sigmoid``."""
    m, rules = market.m, market.rules
    low, high = m.ratio(rules.alpha_low, 65535), m.ratio(rules.alpha_high, 65535)
    steepness = rules.alpha_sigmoid_steepness
    hundredths = abs(steepness) * ONE // 100
    slope = m.of_bits(-hundredths if steepness > 0 else hundredths)
    distance = np.clip(np.where(weight >= bond, weight - consensus, bond - weight), 0, m.one)
    sigmoid = m.sigmoid(slope, distance - m.of_bits(ONE // 2), market.variant)
    return np.asarray(np.maximum(np.minimum(low + m.mul(sigmoid, high - low), high), low))
