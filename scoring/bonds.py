"""Bonds and dividends of a Yuma epoch: what validators bought into miners, and what it pays them.

A :class:`Market` (this epoch's weights, the old bonds, stakes, incentive) goes into
:func:`yuma1` or :func:`yuma3`; out come the new bonds and what each row earns, of which its dividends are
its share.
Matrices are (..., r, n): rows are the r uids that take part, columns all n, leading axes epochs
apart from each other. In either arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from subnet.scoring.arithmetic import ONE, Arithmetic, Numbers, Variant
from subnet.scoring.epoch import Bools, EpochParams, Sparse, in_order


@dataclass(frozen=True, eq=False)
class Unsorted:
    """Live weights and bonds as stored, if a row's uids don't ascend; rows are positions in (r, n).

    The runtime looks an entry up by merging its row with 0..n-1, and so takes one that stands after a
    higher uid for 0: in liquid alpha's alpha, not in the average.
    """

    weights: Sparse
    bonds: Sparse


@dataclass(frozen=True, eq=False)
class Market:
    """What bonds are computed from.

    ``w`` are the row-normalised weights, ``clipped`` the same cut to ``consensus`` (..., n),
    ``old`` the live bonds, raw u16; all (..., r, n), and all may be overwritten. ``stake`` (..., r) is
    active stake, ``incentive`` (..., n). ``zeros`` are the weights that are there and zero, which liquid
    alpha lets decay; None: none.
    """

    m: Arithmetic
    rules: EpochParams
    variant: Variant
    w: Numbers
    clipped: Numbers
    old: Numbers
    consensus: Numbers
    stake: Numbers
    incentive: Numbers
    zeros: Bools | None = None
    unsorted: Unsorted | None = None

    @property
    def alpha(self) -> Numbers:
        """The share of the new in the plain moving average: 1 - BondsMovingAverage / 10**6."""
        return np.asarray(self.m.of_bits(ONE - self.rules.bonds_moving_average * ONE // 1_000_000))

    def bought(self) -> Numbers:
        """Weights for bonds (..., r, n): W + penalty * (clipped - W)."""
        if self.rules.bonds_penalty == 0:
            return self.w
        if self.rules.bonds_penalty == 65535:
            return self.clipped
        penalty = self.m.ratio(self.rules.bonds_penalty, 65535)
        return np.asarray(self.w + self.m.mul(penalty, self.clipped - self.w))


@dataclass(frozen=True, eq=False)
class Bonds:
    """New bonds (..., r, n) as shares, to be cut to u16, and which of them are stored, zeros too.

    ``order``: entries, rows as positions, in whose order the rows are stored; None: by uid. ``sums``
    (..., n): what columns were divided by on the way, on which the precision of the quotients depends, and
    at last the largest share of each.
    """

    share: Numbers
    held: Bools
    order: Sparse | None = None
    sums: tuple[Numbers, ...] = ()


def normalise(m: Arithmetic, x: Numbers) -> Numbers:
    """(..., n) over its sum; zeros stay zeros."""
    return m.div(x, x.sum(axis=-1, keepdims=True))


def yuma1(market: Market) -> tuple[Bonds, Numbers]:
    """Bonds as shares of a column, averaged as such; each row (..., r) earns what they hold of the incentive."""
    m, old = market.m, market.old
    old_shares = m.ratio(old, old.sum(axis=-2, keepdims=True), out=old)
    bought = market.bought()
    delta = m.mul(bought, market.stake[..., None], out=bought)
    support = delta.sum(axis=-2, keepdims=True)
    ema = _average(market, market.alpha, m.div(delta, support, out=delta), old_shares)
    held, total = ema > 0, ema.sum(axis=-2, keepdims=True)
    ema = m.div(ema, total, out=ema)
    earned, largest = m.right(ema, market.incentive), ema.max(axis=-2, initial=0, keepdims=True)
    sums = tuple(x[..., 0, :] for x in (support, total, largest))
    return Bonds(m.div(ema, largest, out=ema), held, sums=sums), earned


def yuma3(market: Market) -> tuple[Bonds, Numbers]:
    """Each pair's bond averaged by itself; each row (..., r) earns stake times its share of the incentive."""
    m = market.m
    new = _pairwise_ema(market, market.bought(), m.ratio(market.old, 65535, out=market.old))
    total = new.share.sum(axis=-2, keepdims=True)
    shares = m.div(new.share, total)
    held, largest = m.right(shares, market.incentive), shares.max(axis=-2, initial=0)
    return replace(new, sums=(total[..., 0, :], largest)), m.mul(held, market.stake)


def _average(market: Market, alpha: Numbers, new: Numbers, old: Numbers) -> Numbers:
    """alpha * new + (1 - alpha) * old, which are both overwritten in the float form."""
    m = market.m
    ema = m.mul(alpha, new, out=new)
    ema += m.mul(m.one - alpha, old, out=old)
    return ema


def _pairwise_ema(market: Market, bought: Numbers, old: Numbers) -> Bonds:
    """Liquid alpha acts, if it is on, in the epochs in which anyone has consensus."""
    acts = (market.consensus != 0).any(axis=-1) & market.rules.liquid_alpha
    if acts.all():
        return _liquid_ema(market, bought, old)
    if not acts.any():
        ema = _average(market, market.alpha, bought, old)
        return Bonds(ema, ema > 0)
    at, liquid = acts[..., None, None], _liquid_ema(market, bought.copy(), old.copy())
    ema = _average(market, market.alpha, bought, old)
    return Bonds(np.where(at, liquid.share, ema), np.where(at, liquid.held, ema > 0))


def _liquid_ema(market: Market, bought: Numbers, old: Numbers) -> Bonds:
    """An alpha for each pair that this epoch's row names; a pair that it doesn't name is dropped."""
    m, named = market.m, bought > 0
    # the clip drops what has no consensus, but an explicit zero stays and decays
    if market.zeros is not None and market.rules.bonds_penalty in (0, 65535):
        named |= market.zeros
    seen_new, seen_old = bought, old
    if market.unsorted is not None:
        seen_new, seen_old = _seen(market, market.unsorted, named, bought, old)
    alpha = _liquid_alpha(market, seen_new, seen_old, named)
    share = _average(market, alpha, bought, old)
    np.minimum(share, m.one, out=share)
    share *= named
    if market.unsorted is None or market.rules.bonds_penalty not in (0, 65535):
        return Bonds(share, share > 0)  # between them, the interpolation has sorted the rows
    return Bonds(share, share > 0, market.unsorted.weights)


def _seen(market: Market, stored: Unsorted, named: Bools, new: Numbers, old: Numbers) -> tuple[Numbers, Numbers]:
    """Weights for bonds and old bonds (r, n) as liquid alpha finds them in unsorted rows."""
    b, w = stored.bonds, stored.weights
    old = np.where(b.where(in_order(b.row, b.column)).mask(old.shape), old, 0)
    if market.rules.bonds_penalty not in (0, 65535):
        return new, old
    w = w.where(named[w.row, w.column])
    return np.where(w.where(in_order(w.row, w.column)).mask(new.shape), new, 0), old


def _liquid_alpha(market: Market, weight: Numbers, bond: Numbers, named: Bools) -> Numbers:
    """alpha = low + (high - low) * sigmoid of how far a weight moves, where ``named``: ``alpha_sigmoid``."""
    m, rules = market.m, market.rules
    low, high = m.ratio(rules.alpha_low, 65535), m.ratio(rules.alpha_high, 65535)
    steepness = rules.alpha_sigmoid_steepness
    hundredths = abs(steepness) * ONE // 100
    slope = m.of_bits(-hundredths if steepness > 0 else hundredths)
    consensus = market.consensus[..., None, :]
    distance = np.where(weight >= bond, weight - consensus, bond - weight)
    np.clip(distance, 0, m.one, out=distance)
    distance -= m.of_bits(ONE // 2)
    sigmoid = m.sigmoid(slope, distance, market.variant, named)
    alpha = m.mul(sigmoid, high - low, out=sigmoid)
    alpha += low
    return np.asarray(np.maximum(np.minimum(alpha, high, out=alpha), low, out=alpha))
