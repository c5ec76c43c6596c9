"""How far the fast form of a Yuma epoch can be from the exact one, and how far it is.

The runtime cuts every product and quotient to 32 bits after the point; float64 doesn't, to speak of. So
each step is off by a few times 2**-32, and a quotient multiplies that by one over what it divides by:
a rank sum that the consensus left small, or the stake behind a thin column. :func:`bounds`
follows this through the steps with the epoch's own sums, element by element; :func:`compare` runs both
forms and puts the largest difference of each array beside its bound.

Not bounded, since a step of the runtime jumps there: variant 293 with liquid alpha and a steepness beyond
4,177 (its exp returns 0 on overflow), and liquid alpha with a bonds penalty that is neither 0 nor 65535
(the interpolation may cut a weight to nothing, whose bond is then dropped).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from subnet.scoring.arithmetic import ONE, Variant
from subnet.scoring.dense import Ballot, Result
from subnet.scoring.epoch import EpochInput, EpochOutput, EpochParams, Floats
from subnet.scoring.yuma import arithmetic, epoch, steps

BIT = 1 / ONE
LARGEST_STEEPNESS = 4177
"""Hundredths; half of it is the largest exponent that the runtime's exp takes (``EXP_LIMIT``)."""
U16_NAMES = (
    "stake_weight",
    "consensus",
    "incentive",
    "dividends",
    "validator_trust",
    "trust",
    "pruning_scores",
)
RAO_NAMES = ("server_emission", "validator_emission", "emission")


@dataclass(frozen=True)
class Difference:
    """The largest difference of an array: ``fast`` and ``exact`` at ``uid`` (a bond's column), and what bounds it.

    In units of u16, or RAO. ``bound`` is None where there is none.
    """

    name: str
    unit: str
    largest: int
    bound: int | None
    uid: int | None
    fast: int
    exact: int


def compare(state: EpochInput, params: EpochParams | None = None, variant: Variant = "head") -> list[Difference]:
    """Both forms of an epoch, array by array. Raises ValueError for an unknown variant."""
    rules = params or EpochParams()
    fast, exact = (epoch(state, rules, variant, exact=form) for form in (False, True))
    limits = bounds(state, rules, variant)
    pairs = {name: (_whole(getattr(fast, name)), _whole(getattr(exact, name))) for name in (*U16_NAMES, *RAO_NAMES)}
    pairs["bonds"] = _bonds(state, fast), _bonds(state, exact)
    return [_difference(name, *pair, limits[name]) for name, pair in pairs.items()]


def _whole(values: Any) -> Any:
    return values.astype(object)  # differences of u64 fit no numpy integer


def _bonds(state: EpochInput, out: EpochOutput) -> Any:
    return out.bonds.dense(state.n).astype(np.int64)


def _difference(name: str, fast: Any, exact: Any, limit: Floats) -> Difference:
    unit = "RAO" if name in RAO_NAMES else "u16"
    if not fast.size:
        return Difference(name, unit, 0, 0, None, 0, 0)
    off = abs(fast - exact)
    at = np.unravel_index(int(np.argmax(off.astype(np.float64))), off.shape)
    bound = limit[at[-1]]
    known = None if np.isnan(bound) else int(bound)
    return Difference(name, unit, int(off[at]), known, int(at[-1]), int(fast[at]), int(exact[at]))


def bounds(state: EpochInput, params: EpochParams | None = None, variant: Variant = "head") -> dict[str, Floats]:
    """What the two forms' integers differ by at most: (n,) by field of the output, for ``bonds`` by column; NaN: none.

    Units of u16, or RAO. Raises ValueError for an unknown variant.
    """
    rules = params or EpochParams()
    _, ballot, result = steps(arithmetic(variant, exact=True), state, rules, variant)
    shares = _share_bounds(ballot, result, rules, variant)
    out = {name: np.floor(np.minimum(1.0, share) * 65535) + 1 for name, share in shares.items() if name in U16_NAMES}
    out["bonds"] = np.floor(np.minimum(1.0, shares["bonds"]) * 65535) + 1
    for name in RAO_NAMES:
        out[name] = np.floor(np.minimum(1.0, shares[name]) * state.rao_emission * (1 + 2**-50)) + 1
    return out | {"stake_weight": np.zeros(state.n)}


def _share_bounds(ballot: Ballot, result: Result, rules: EpochParams, variant: Variant) -> dict[str, Floats]:
    """Bounds of the shares (n,) before they are cut to integers."""
    n, rows = ballot.stake.size, max(1, ballot.uids.size)
    paid = result.consensus > 0  # in both forms: a weight or a consensus is 0 in either or in neither
    count = int(paid.sum())
    rank: Floats = (rows + 2) * BIT * paid.astype(np.float64)  # floors of r products, and weights off by a bit or two
    all_ranks, incentive = rank.sum(), result.incentive / ONE
    room = np.full(n, result.ranks.sum() / ONE - all_ranks)
    incentive_off = np.minimum(1.0, _ratio(rank + incentive * all_ranks, room) + BIT * paid)
    bond_off, share_off = _bond_bounds(ballot, result, rules, variant)
    most = np.minimum(1.0, result.bonds.sums[-1] / ONE + share_off)  # of a column, that anyone holds
    held = (share_off * np.minimum(1.0, incentive + incentive_off) + most * incentive_off).sum() + count * BIT
    dividends_off = np.full(n, _dividends_bound(result, rules, float(held), rows) if count else 0.0)
    sums = 2 * n * BIT  # of incentive and dividends, which are 1 less what was cut
    # either may come to nothing in one form only, which doubles the other's share of the emission
    steady = incentive_off.max(initial=0) < 1 and bool(dividends_off.max(initial=0) < 1)
    both = incentive_off + dividends_off + sums
    largest = np.full(n, result.combined.max(initial=0) / ONE)
    return {
        "consensus": np.full(n, 2 * BIT),
        "validator_trust": np.full(n, 2 * n * BIT),
        "trust": _ratio(2 * rank, result.preranks / ONE - rank) + BIT * paid,
        "incentive": incentive_off,
        "dividends": dividends_off,
        "bonds": bond_off,
        "server_emission": incentive_off + sums if steady else np.ones(n),
        "validator_emission": dividends_off + (sums if steady else 1.0),
        "emission": both,
        "pruning_scores": _ratio(both + both.max(initial=0), largest - both.max(initial=0)),
    }


def _bond_bounds(ballot: Ballot, result: Result, rules: EpochParams, variant: Variant) -> tuple[Floats, Floats]:
    """Bounds (n,) of a column's bonds as stored, and of its shares, which pay dividends."""
    rows, sums = max(1, ballot.uids.size), [x / ONE for x in result.bonds.sums]
    whole = rules.bonds_penalty in (0, 65535)
    bought = (2 if whole else 5) * BIT
    named = (ballot.weights > 0).any(axis=0) & ((result.consensus > 0) | (rules.bonds_penalty < 65535))
    alive = named | (ballot.bonds > 0).any(axis=0)
    if rules.yuma3:
        liquid = rules.liquid_alpha and bool(result.consensus.any())
        off: Floats = alive.astype(np.float64) * _pair_bound(rules, variant, bought, liquid=liquid)
        return off, _quotient(off, sums[0], rows)
    support, total, largest = sums
    delta = _quotient((bought + BIT) * named.astype(np.float64), support, rows)
    moved = 1 - rules.bonds_moving_average / 10**6
    share = _quotient((moved * delta + 3 * BIT) * alive.astype(np.float64), total, rows)
    return _ratio(2 * share, largest - share) + BIT * alive, share


def _pair_bound(rules: EpochParams, variant: Variant, bought: float, *, liquid: bool) -> float:
    """Of a bond that is averaged by itself (Yuma 3)."""
    if not liquid:
        return bought + 3 * BIT
    steepness = abs(rules.alpha_sigmoid_steepness)
    if rules.bonds_penalty not in (0, 65535) or (variant == "293" and steepness > LARGEST_STEEPNESS):
        return float("nan")
    # a sigmoid is a quarter as steep as its argument; 40 bits are more than the floors of its series
    alpha = abs(rules.alpha_high - rules.alpha_low) / 65535 * (steepness / 400 * (bought + 3 * BIT) + 40 * BIT)
    return 2 * bought + alpha + 8 * BIT


def _dividends_bound(result: Result, rules: EpochParams, held: float, rows: int) -> float:
    one, together = (held + BIT, held + rows * BIT) if rules.yuma3 else (held, rows * held)
    return float(_ratio(np.array(one + together), np.array(result.earned.sum() / ONE - together)) + BIT)


def _quotient(off: Floats, total: Floats, count: int) -> Floats:
    """Of x / total, where each of ``count`` x that make the total is off by ``off``."""
    return np.where(off > 0, np.minimum(1.0, _ratio((count + 1) * off, total - count * off) + BIT), off)


def _ratio(a: Floats, b: Floats) -> Floats:
    """a / b; 0 where a is 0, without end where b isn't above 0; NaN stays."""
    safe = np.where(b > 0, b, 1.0)
    return np.where(np.isnan(a), a, np.where(a == 0, 0.0, np.where(b > 0, a / safe, np.inf)))
