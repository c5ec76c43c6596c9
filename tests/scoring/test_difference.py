"""The fast form's difference from the exact one: never beyond its bound, and the bound is worth something."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subnet.scoring.arithmetic import EXP_LIMIT, ONE
from subnet.scoring.difference import LARGEST_STEEPNESS, RAO_NAMES, U16_NAMES, bounds, compare
from subnet.scoring.yuma import EpochInput, EpochParams, Sparse, Variant, epoch

BLOCK = 1000


def odd_subnet(rng: np.random.Generator) -> EpochInput:
    """Small, with stakes and weights from next to nothing to nearly all."""
    n = int(rng.integers(1, 9))

    def matrix() -> Sparse:
        row, column = np.nonzero(rng.random((n, n)) < rng.random())
        odd = rng.choice([0, 1, 65535], row.size)
        return Sparse(row, column, np.where(rng.random(row.size) < 0.5, odd, rng.integers(0, 65536, row.size)))

    return EpochInput(
        block=BLOCK,
        stake=rng.choice([0, 1, 10**9, 10**12, int(rng.integers(2**61))], n),
        weights=matrix(),
        bonds=matrix(),
        last_update=rng.choice([BLOCK, BLOCK - 5, BLOCK - 50], n),
        block_at_registration=rng.choice([0, 0, BLOCK - 20], n),
        validator_permit=rng.random(n) < 0.8,
        rao_emission=(0, 1, 10**9, 2**64 - 1)[int(rng.integers(4))],
    )


def odd_rules(rng: np.random.Generator) -> EpochParams:
    return EpochParams(
        tempo=int(rng.choice([0, 10, 100])),
        kappa=int(rng.choice([0, 32767, 65535, 20000])),
        bonds_penalty=int(rng.choice([0, 65535, 40000, 65000])),
        bonds_moving_average=int(rng.choice([0, 900_000, 1_000_000])),
        yuma3=bool(rng.random() < 0.5),
        liquid_alpha=bool(rng.random() < 0.5),
        alpha_low=int(rng.choice([0, 45875])),
        alpha_sigmoid_steepness=int(rng.choice([1000, 0, -1000, LARGEST_STEEPNESS, 32767])),
        activity_cutoff=int(rng.choice([10, 5000])),
    )


@pytest.mark.parametrize("variant", ["head", "293"])
@given(seed=st.integers(0, 2**32))
@settings(max_examples=60)
def test_no_difference_passes_its_bound(variant: Variant, seed: int) -> None:
    rng = np.random.default_rng(seed)
    state, rules = odd_subnet(rng), odd_rules(rng)
    limits = bounds(state, rules, variant)
    fast, exact = (epoch(state, rules, variant, exact=form) for form in (False, True))
    for name in (*U16_NAMES, *RAO_NAMES, "bonds"):
        a, b = ((o.bonds.dense(state.n) if name == "bonds" else getattr(o, name)).astype(object) for o in (fast, exact))
        off = abs(a - b).astype(np.float64)
        assert (np.isnan(limits[name]) | (off <= limits[name])).all(), name


def ordinary(seed: int = 0) -> EpochInput:
    """Eight validators with a like amount of stake, and sixteen miners."""
    rng = np.random.default_rng(seed)
    row, column = (a.ravel() for a in np.indices((8, 24)))
    matrix = [Sparse(row, column, rng.integers(1, 65536, row.size)) for _ in range(2)]
    return EpochInput(
        block=BLOCK,
        stake=np.where(np.arange(24) < 8, rng.integers(10**12, 10**13, 24), 0),
        weights=matrix[0],
        bonds=matrix[1],
        last_update=np.full(24, BLOCK),
        block_at_registration=np.zeros(24, dtype=np.int64),
        validator_permit=np.arange(24) < 8,
        rao_emission=10**9,
    )


@pytest.mark.parametrize("rules", [EpochParams(), EpochParams(yuma3=True), EpochParams(yuma3=True, liquid_alpha=True)])
def test_on_an_ordinary_subnet_the_bound_is_a_few_units(rules: EpochParams) -> None:
    found = {d.name: d for d in compare(ordinary(), rules)}
    assert set(found) == {*U16_NAMES, *RAO_NAMES, "bonds"}
    for name in ("stake_weight", "consensus", "incentive", "dividends", "validator_trust", "bonds"):
        bound = found[name].bound
        assert bound is not None
        assert found[name].largest <= bound <= 2
    assert found["emission"].unit == "RAO"
    assert (found["emission"].bound or 0) <= 10_000
    assert found["emission"].largest == abs(found["emission"].fast - found["emission"].exact)


def test_where_the_runtime_jumps_there_is_no_bound() -> None:
    steep = EpochParams(yuma3=True, liquid_alpha=True, alpha_sigmoid_steepness=LARGEST_STEEPNESS + 1)
    between = EpochParams(yuma3=True, liquid_alpha=True, bonds_penalty=60000)
    assert {d.name: d.bound for d in compare(ordinary(), steep, "293")}["bonds"] is None
    assert {d.name: d.bound for d in compare(ordinary(), between)}["dividends"] is None
    assert {d.name: d.bound for d in compare(ordinary(), steep, "head")}["bonds"] is not None
    assert LARGEST_STEEPNESS * ONE // 200 <= EXP_LIMIT < (LARGEST_STEEPNESS + 2) * ONE // 200


def test_a_thin_column_has_a_wide_bound() -> None:
    """A miner to whom one validator with a billionth of the stake gives one of 65536: no 32 bits hold that."""
    state = ordinary()
    stake: Any = state.stake.copy()
    stake[0] = 10**5
    weights = Sparse.of({0: [(9, 1), (10, 65535)], 1: [(10, 65535)], 2: [(10, 65535)]})
    thin = EpochInput(
        **{name: getattr(state, name) for name in state.__dataclass_fields__} | {"stake": stake, "weights": weights}
    )
    limits = bounds(thin, EpochParams(kappa=0))
    assert limits["bonds"][9] == 65536
    assert limits["bonds"][10] <= 2


def test_dividends_that_come_to_nothing_in_one_form_double_the_others_share() -> None:
    """All that is earned is half a bit's worth: the runtime floors it, and gives the servers everything."""
    given = {name: getattr(ordinary(), name) for name in EpochInput.__dataclass_fields__}
    given |= {"stake": [10**15, 250_000, *[0] * 22], "bonds": Sparse.of({1: [(9, 65535)]})}
    given["weights"] = Sparse.of({0: [(9, 1), (10, 1)]})
    found = {d.name: d for d in compare(EpochInput(**given), EpochParams(yuma3=True, bonds_moving_average=10**6))}
    assert (found["dividends"].fast, found["dividends"].exact) == (65535, 0)
    assert (found["server_emission"].fast, found["server_emission"].exact) == (25 * 10**7, 5 * 10**8)
    for d in found.values():
        assert d.largest <= (d.bound or 0)


def test_nobody() -> None:
    nobody = EpochInput(
        0, np.zeros(0, int), Sparse.of({}), Sparse.of({}), np.zeros(0, int), np.zeros(0, int), np.zeros(0, bool)
    )
    assert {d.largest for d in compare(nobody)} == {0}
