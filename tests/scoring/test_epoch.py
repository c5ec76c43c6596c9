"""The epoch's rules one by one, on subnets small enough to work out by hand; and its input checks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from subnet.scoring.epoch import in_order
from subnet.scoring.stakes import shares_of, total_stake
from subnet.scoring.yuma import EpochInput, EpochParams, Sparse, Variant, epoch

HALF = 32767


def subnet(n: int, **changes: Any) -> EpochInput:
    """n neurons of equal stake, all permitted, registered at 0, updated in the block before."""
    given: dict[str, Any] = {
        "block": 100,
        "stake": np.full(n, 10**9),
        "weights": Sparse.of({}),
        "bonds": Sparse.of({}),
        "last_update": np.full(n, 99),
        "block_at_registration": np.zeros(n, dtype=np.int64),
        "validator_permit": np.ones(n, dtype=np.bool_),
        "rao_emission": 10**9,
    }
    given.update(changes)
    if isinstance(given["weights"], dict):
        given["weights"] = Sparse.of(given["weights"])
    if isinstance(given["bonds"], dict):
        given["bonds"] = Sparse.of(given["bonds"])
    return EpochInput(**given)


# --- owner rules ---


def test_the_owner_needs_neither_stake_nor_permit_at_head() -> None:
    state = subnet(2, stake=[5, 10**9], validator_permit=[False, True])
    rules = EpochParams(owner_uid=0, stake_threshold=100, max_allowed_validators=1)
    head, old = epoch(state, rules, "head"), epoch(state, rules, "293")
    assert head.validator_permit.tolist() == [True, True]
    assert old.validator_permit.tolist() == [False, True]


def test_the_owner_of_no_stake_at_all_is_permitted_but_has_no_say() -> None:
    state = subnet(3, stake=[0, 1, 0], weights={0: [(2, 65535)], 1: [(2, 65535)]})
    out = epoch(state, EpochParams(owner_uid=0))
    assert out.validator_permit.tolist() == [True, True, False]
    assert out.dividends.tolist() == [0, 65535, 0]


@pytest.mark.parametrize("variant", ["head", "293"])
def test_only_the_owner_may_weigh_itself(variant: Variant) -> None:
    state = subnet(2, weights={0: [(0, 65535)], 1: [(1, 65535)]})
    rules = EpochParams(owner_uid=0, kappa=0)
    assert epoch(state, rules, variant).incentive.tolist() == [65535, 0]
    assert epoch(state, EpochParams(kappa=0), variant).incentive.tolist() == [0, 0]


# --- who has a say ---


def test_ties_of_stake_cost_the_lower_uids_their_permit() -> None:
    out = epoch(subnet(4), EpochParams(max_allowed_validators=2))
    assert out.validator_permit.tolist() == [False, False, True, True]


def test_new_permits_count_from_the_next_epoch() -> None:
    state = subnet(2, weights={0: [(1, 65535)]}, validator_permit=[False, False])
    out = epoch(state)
    assert out.validator_permit.all()
    assert not out.incentive.any()


@pytest.mark.parametrize(("updated", "active"), [(90, True), (89, False)])
def test_the_cut_off_is_inclusive(updated: int, active: bool) -> None:
    state = subnet(2, last_update=[updated, 99])
    assert epoch(state, EpochParams(activity_cutoff=10)).active.tolist() == [active, True]


def test_weights_older_than_their_target_are_dropped() -> None:
    weights = {0: [(1, HALF), (2, HALF)]}
    state = subnet(3, weights=weights, block_at_registration=[0, 99, 0])
    assert epoch(state, EpochParams(kappa=0)).incentive.tolist() == [0, 0, 65535]


def test_a_column_registered_after_the_oldest_commit_is_masked_at_head_only() -> None:
    weights = {0: [(1, HALF), (2, HALF)]}
    state = subnet(3, weights=weights, block_at_registration=[0, 50, 0], oldest_commit=[49, 2**64 - 1, 2**64 - 1])
    rules = EpochParams(kappa=0)
    assert epoch(state, rules, "head").incentive.tolist() == [0, 0, 65535]
    assert epoch(state, rules, "293").incentive.tolist() == [0, HALF, HALF]


# --- TAO weight ---


def test_root_tao_counts_by_tao_weight() -> None:
    half = 2**63  # of 2**64 - 1; the runtime truncates the share to 32 bits
    state = subnet(3, stake=[10**9, 10**9, 0], tao_stake=[0, 2 * 10**9, 4 * 10**9], tao_weight=half)
    assert epoch(state).floats.stake_weight == pytest.approx([0.2, 0.4, 0.4], abs=1e-9)
    assert epoch(subnet(2, tao_stake=[0, 10**9])).floats.stake_weight.tolist() == [0.5, 0.5]


def test_tao_keeps_its_fraction_of_a_rao() -> None:
    # 1 RAO against 1.5; by whole RAO they would be equal
    state = subnet(2, stake=[1, 1], tao_stake=[0, 1], tao_weight=2**63)
    assert total_stake(1, 1, 2**63) == 3 << 31
    # 2/5 and 3/5 of 65535, just under which the shares fall as they are cut to 32 bits
    assert epoch(state, exact=True).stake_weight.tolist() == [26213, 39320]


def test_the_stake_threshold_is_met_by_whole_rao_of_both() -> None:
    state = subnet(2, stake=[99, 100], tao_stake=[3, 0], tao_weight=2**62)
    assert epoch(state, EpochParams(stake_threshold=100)).validator_permit.tolist() == [False, True]
    assert epoch(state, EpochParams(stake_threshold=99)).validator_permit.tolist() == [True, True]


@given(
    st.lists(st.integers(0, 2**62), min_size=1, max_size=6) | st.lists(st.integers(0, 2**40), min_size=1, max_size=6)
)
def test_shares_of_stake_are_truncated_quotients(values: list[int]) -> None:
    want = [(value << 32) // (sum(values) or 1) for value in values]
    assert shares_of(np.array(values, dtype=np.int64)).tolist() == want
    assert shares_of(np.array(values, dtype=object)).tolist() == want


# --- permits ---


@pytest.mark.parametrize(("k", "permitted"), [(0, 0), (1, 1), (3, 3), (4, 3), (5, 3)])
def test_the_top_k_by_stake_are_permitted_but_never_without_stake(k: int, permitted: int) -> None:
    out = epoch(subnet(4, stake=[5, 0, 9, 7]), EpochParams(max_allowed_validators=k))
    assert out.validator_permit.sum() == permitted
    assert out.validator_permit.tolist() == [k > 2, False, k > 0, k > 1]


def test_stake_under_the_threshold_counts_for_nothing() -> None:
    state = subnet(3, stake=[99, 100, 101], weights={i: [(2 - i, 1)] for i in (0, 2)})
    out = epoch(state, EpochParams(stake_threshold=100), exact=True)
    assert out.validator_permit.tolist() == [False, True, True]
    assert out.stake_weight.tolist() == [0, 65535 * 100 // 201, 65535 * 101 // 201]
    assert out.dividends[0] == 0


# --- consensus ---


def test_consensus_is_what_a_majority_of_stake_supports() -> None:
    weights = {0: [(3, 65535)], 1: [(3, 65535), (4, 65535)], 2: [(4, 65535)]}
    state = subnet(5, stake=[40, 25, 35, 0, 0], weights=weights, validator_permit=[True] * 3 + [False] * 2)
    out = epoch(state)
    # 65 of 100 give uid 3 a half or more; 60 give uid 4 a half or more
    assert out.floats.consensus.tolist() == [0, 0, 0, 0.5, 0.5]
    assert out.floats.validator_trust == pytest.approx([0.5, 1, 0.5, 0, 0])


@pytest.mark.parametrize(("kappa", "consensus"), [(0, 65535), (65535, 0)])
def test_kappa_at_its_ends_is_maximum_and_minimum(kappa: int, consensus: int) -> None:
    state = subnet(3, weights={0: [(2, 65535)], 1: [(0, 65535)]})
    assert epoch(state, EpochParams(kappa=kappa)).consensus[2] == consensus


def test_a_minority_cannot_raise_an_incentive() -> None:
    weights = {0: [(2, 65535)], 1: [(3, 65535)]}
    state = subnet(4, stake=[60, 40, 0, 0], weights=weights, validator_permit=[True, True, False, False])
    out = epoch(state)
    assert out.incentive.tolist() == [0, 0, 65535, 0]
    assert out.dividends.tolist() == [65535, 0, 0, 0]


# --- bonds ---


def test_bonds_on_the_newly_registered_are_dropped() -> None:
    bonds = {0: [(1, 65535), (2, 65535)]}
    state = subnet(3, bonds=bonds, block_at_registration=[0, 95, 0])
    assert [j for j, _ in epoch(state, EpochParams(tempo=10)).bonds.rows()[0]] == [2]
    late = subnet(3, bonds=bonds, block_at_registration=[0, 95, 0], last_step_block=95)
    assert [j for j, _ in epoch(late, EpochParams(tempo=10)).bonds.rows()[0]] == [1, 2]
    assert [j for j, _ in epoch(late, EpochParams(tempo=10), "293").bonds.rows()[0]] == [2]


def test_a_reset_column_starts_again_from_nothing() -> None:
    """Bonds reset: the runtime takes a neuron's column out of the map; what the epoch pays follows from that."""
    weights = {0: [(2, 65535)], 1: [(2, 65535)]}
    bonds = Sparse.of({0: [(2, 65535), (3, 7)], 1: [(3, 9)]})
    kept = epoch(subnet(4, weights=weights, bonds=bonds), EpochParams(tempo=10), exact=True)
    reset = epoch(subnet(4, weights=weights, bonds=bonds.where(bonds.column != 2)), EpochParams(tempo=10), exact=True)
    # 0 held all of 2 before; without its past the two of equal stake hold half each
    assert kept.dividends.tolist() == [62258, 3276, 0, 0]
    assert reset.dividends.tolist() == [32767, 32767, 0, 0]
    assert reset.bonds.rows()[0][0] == (2, 65535)


def test_a_lost_permit_clears_bonds_and_293_keeps_rows_that_never_had_one() -> None:
    bonds = {0: [(2, 9)], 1: [(2, 9)], 7: [(2, 9)]}
    state = subnet(3, stake=[0, 0, 5], bonds=bonds, validator_permit=[True, False, True])
    # 7 is no uid of three neurons: nobody writes its row
    assert epoch(state, variant="head").bonds.rows() == {7: [(2, 9)]}
    assert epoch(state, variant="293").bonds.rows() == {1: [(2, 9)], 7: [(2, 9)]}


def test_liquid_alpha_drops_what_a_row_does_not_name_and_lets_named_zeros_decay() -> None:
    bonds = {0: [(2, 60000), (3, 60000)], 1: [(2, 60000), (3, 60000)]}
    weights = {0: [(2, 65535), (3, 0)], 1: [(2, 65535)]}
    rules = EpochParams(tempo=10, yuma3=True, liquid_alpha=True, alpha_low=6553, alpha_high=19660)
    rows = epoch(subnet(4, weights=weights, bonds=bonds), rules).bonds.rows()
    assert [j for j, _ in rows[0]] == [2, 3]
    assert [j for j, _ in rows[1]] == [2]
    assert 0 < rows[0][1][1] < 60000


# --- emission ---


def test_nobody_earning_is_paid_by_active_stake_and_nobody_active_by_stake() -> None:
    out = epoch(subnet(2, stake=[3, 1], last_update=[99, 0]), EpochParams(activity_cutoff=10), exact=True)
    assert out.emission.tolist() == out.validator_emission.tolist() == [10**9, 0]
    out = epoch(subnet(2, stake=[3, 1], last_update=[0, 0]), EpochParams(activity_cutoff=10), exact=True)
    assert out.emission.tolist() == [750_000_000, 250_000_000]
    assert not out.server_emission.any()


def test_an_empty_subnet_and_one_without_stake_pay_nobody() -> None:
    assert epoch(subnet(0)).emission.tolist() == []
    for exact in (False, True):
        out = epoch(subnet(2, stake=[0, 0], weights={0: [(1, 1)]}), exact=exact)
        assert out.emission.tolist() == [0, 0]
        assert not out.validator_permit.any()


# --- what is refused ---


def test_an_unknown_variant_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown variant 'tail'"):
        epoch(subnet(1), variant="tail")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stake": [1, -1]}, "stake must hold whole numbers"),
        ({"stake": [0.5, 1.0]}, "stake must hold whole numbers"),
        ({"stake": [[1, 2]]}, r"stake has shape \(1, 2\)"),
        ({"stake": [2**64 - 1, 1]}, "a stake is not below"),
        ({"last_update": [1]}, "last_update has shape"),
        ({"validator_permit": [True]}, "validator_permit has shape"),
        ({"rao_emission": -1}, "rao_emission is -1, expected a u64"),
        ({"rao_emission": 2**64}, "expected a u64"),
        ({"tao_stake": [1]}, "tao_stake has shape"),
        ({"tao_weight": -1}, "tao_weight is -1, expected a u64"),
    ],
)
def test_a_state_that_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        subnet(2, **changes)


@pytest.mark.parametrize("changes", [{"kappa": 65536}, {"alpha_low": -1}, {"bonds_moving_average": 10**6 + 1}])
def test_parameters_out_of_range_are_refused(changes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="expected"):
        EpochParams(**changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "rows", [{0: [(1, 65536)]}, {0: [(1, -1)]}, {-1: [(0, 1)]}, {0: [(70000, 1)]}, {0: [(1, 1), (1, 2)]}]
)
def test_entries_that_cannot_be_stored_are_refused(rows: dict[int, list[tuple[int, int]]]) -> None:
    with pytest.raises(ValueError, match=r"outside u16|given twice"):
        Sparse.of(rows)


def test_sparse_keeps_rows_as_stored() -> None:
    rows = {3: [(5, 1), (2, 0)], 1: [(0, 65535)]}
    entries = Sparse.of(rows)
    assert entries.rows() == rows
    assert list(entries.rows()) == [1, 3]
    assert entries.dense(6)[3].tolist() == [0, 0, 0, 0, 0, 1]
    assert in_order(entries.row, entries.column).tolist() == [True, True, False]
    assert Sparse(np.array([2, 1]), np.array([0, 0]), np.array([7, 8])).rows() == {1: [(0, 8)], 2: [(0, 7)]}
    with pytest.raises(ValueError, match="one length"):
        Sparse(np.array([1]), np.array([1, 2]), np.array([1]))
