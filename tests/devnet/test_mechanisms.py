"""Mechanisms beyond the first: their own weights, bonds and commits, and their share of the emission."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subnet.devnet.pallets.subtensor import SubtensorModule as S
from subnet.devnet.pallets.subtensor import storage_index
from subnet.devnet.pallets.subtensor_commits import commit_hash
from subnet.devnet.pallets.subtensor_mechanisms import split_emission
from subnet.devnet.state import State
from tests.devnet.conftest import TAO, Bench

SECOND = storage_index(1, 1)


@pytest.fixture
def two(bench: Bench) -> tuple[Bench, list[bytes]]:
    """A subnet with two mechanisms, a validator (uid 1) with stake and a permit, and two miners."""
    hotkeys = bench.subnet(3)
    assert bench.sudo("sudo_set_max_allowed_uids", netuid=1, max_allowed_uids=128) is None
    assert bench.sudo("sudo_set_mechanism_count", netuid=1, mechanism_count=2) is None
    args = {"hotkey": hotkeys[0], "netuid": 1, "amount_staked": 100 * TAO}
    assert bench.send(bench.bob, "SubtensorModule", "add_stake", **args) is None
    bench.blocks(6)
    return bench, hotkeys


def test_the_index_of_a_mechanism() -> None:
    assert storage_index(7, 0) == 7
    assert SECOND == 4097
    assert storage_index(1, 255) == 65535  # not a mechanism of any subnet


def test_how_many_there_may_be(bench: Bench) -> None:
    bench.subnet()
    count = {"netuid": 1, "mechanism_count": 2}
    assert bench.sudo("sudo_set_mechanism_count", **count) == "TooManyUIDsPerMechanism"
    assert bench.sudo("sudo_set_max_allowed_uids", netuid=1, max_allowed_uids=64) is None
    assert bench.sudo("sudo_set_mechanism_count", netuid=1, mechanism_count=3) == "InvalidValue"
    assert bench.sudo("sudo_set_max_mechanism_count", max_mechanism_count=17) == "InvalidValue"
    assert bench.sudo("sudo_set_max_mechanism_count", max_mechanism_count=4) is None
    assert bench.send(bench.alice, "AdminUtils", "sudo_set_mechanism_count", netuid=1, mechanism_count=4) is None
    assert bench.sudo("sudo_set_max_allowed_uids", netuid=1, max_allowed_uids=65) == "TooManyUIDsPerMechanism"
    assert bench.send(bench.bob, "AdminUtils", "sudo_set_mechanism_count", **count) == "BadOrigin"


def test_each_has_its_own_weights_and_incentive(two: tuple[Bench, list[bytes]]) -> None:
    bench, (validator, *_) = two
    split = [16_384, 49_151]
    assert bench.sudo("sudo_set_mechanism_emission_split", netuid=1, maybe_split=split) is None
    for mecid, uid in ((0, 2), (1, 3)):
        args = {"netuid": 1, "mecid": mecid, "dests": [uid], "weights": [1], "version_key": 0}
        assert bench.send(validator, "SubtensorModule", "set_mechanism_weights", **args) is None
        assert ("WeightsSet", (storage_index(1, mecid), 1)) in bench.events("SubtensorModule")
    missing = {"netuid": 1, "mecid": 2, "dests": [2], "weights": [1], "version_key": 0}
    assert bench.send(validator, "SubtensorModule", "set_mechanism_weights", **missing) == "MechanismDoesNotExist"
    bench.write(S.Yuma3On, 1, to=False)
    while not (paid := dict(_incentives(bench))):
        bench.blocks(1)
    assert bench.state.get(S.Weights, 1, 1) == [(2, 65535)]
    assert bench.state.get(S.Weights, SECOND, 1) == [(3, 65535)]
    assert bench.state.get(S.Incentive, 1) == [0, 0, 65535, 0]
    assert bench.state.get(S.Incentive, SECOND) == [0, 0, 0, 65535]
    assert bench.state.keys(S.Bonds, SECOND)
    assert sum(paid[SECOND]) == pytest.approx(3 * sum(paid[1]), rel=1e-3)
    assert bench.state.get(S.Dividends, 1)[1] >= 65533  # of both together


def _incentives(bench: Bench) -> list[tuple[int, list[int]]]:
    found = [fields for name, fields in bench.events("SubtensorModule") if name == "IncentiveAlphaEmittedToMiners"]
    return [(one["netuid"], one["emissions"]) for one in found if any(one["emissions"])]


def test_commits_and_rate_limits_go_by_mechanism(two: tuple[Bench, list[bytes]]) -> None:
    bench, (validator, *_) = two
    bench.sudo("sudo_set_commit_reveal_weights_enabled", netuid=1, enabled=True)
    bench.sudo("sudo_set_weights_set_rate_limit", netuid=1, weights_set_rate_limit=50)
    bench.write(S.LastUpdate, 1, to=[1, 1, 1, 1])
    bench.blocks(50)
    while bench.state.get(S.BlocksSinceLastStep, 1):  # begin with a whole epoch ahead
        bench.blocks(1)
    salt = [1, 2, 3]
    commit = {"netuid": 1, "mecid": 1, "commit_hash": commit_hash(validator, SECOND, [3], [1], salt, 0)}
    assert bench.send(validator, "SubtensorModule", "commit_mechanism_weights", **commit) is None
    assert bench.state.get(S.WeightCommits, 1, validator) is None
    again = bench.send(validator, "SubtensorModule", "commit_mechanism_weights", **commit)
    assert again == "CommittingWeightsTooFast"
    assert bench.send(validator, "SubtensorModule", "commit_mechanism_weights", **{**commit, "mecid": 0}) is None
    bench.blocks(3)
    reveal = {"netuid": 1, "mecid": 1, "uids": [3], "values": [1], "salt": salt, "version_key": 0}
    assert bench.send(validator, "SubtensorModule", "reveal_mechanism_weights", **reveal) is None
    assert ("WeightsRevealed", (validator, SECOND, commit["commit_hash"])) in bench.events("SubtensorModule")
    assert bench.state.get(S.Weights, SECOND, 1) == [(3, 65535)]
    assert bench.state.get(S.WeightCommits, SECOND, validator) is None


def test_a_new_neuron_gets_a_clean_place_in_all(two: tuple[Bench, list[bytes]]) -> None:
    bench, (validator, *_) = two
    args = {"netuid": 1, "mecid": 1, "dests": [2, 3], "weights": [1, 1], "version_key": 0}
    assert bench.send(validator, "SubtensorModule", "set_mechanism_weights", **args) is None
    assert bench.sudo("sudo_set_max_allowed_uids", netuid=1, max_allowed_uids=4) is None
    bench.write(S.Emission, 1, to=[9, 9, 0, 9])
    new = bench.key("new")
    assert bench.send(bench.bob, "SubtensorModule", "burned_register", netuid=1, hotkey=new) is None
    uid = bench.state.get(S.Uids, 1, new)
    assert uid == 2
    assert bench.state.get(S.Weights, SECOND, 1) == [(2, 0), (3, 65535)]
    assert bench.state.get(S.LastUpdate, SECOND)[2] == bench.chain.head.number
    assert bench.state.get(S.Incentive, SECOND)[2] == 0


def test_what_a_removed_mechanism_had_is_gone(two: tuple[Bench, list[bytes]]) -> None:
    bench, (validator, *_) = two
    args = {"netuid": 1, "mecid": 1, "dests": [2], "weights": [1], "version_key": 0}
    assert bench.send(validator, "SubtensorModule", "set_mechanism_weights", **args) is None
    assert bench.sudo("sudo_set_mechanism_emission_split", netuid=1, maybe_split=[1, 65534]) is None
    assert bench.sudo("sudo_set_mechanism_count", netuid=1, mechanism_count=1) is None
    for item in (S.Weights, S.Bonds):
        assert bench.state.keys(item, SECOND) == []
    assert not bench.state.has(S.LastUpdate, SECOND)
    assert bench.state.get(S.MechanismEmissionSplit, 1) is None


@pytest.mark.parametrize("split", [[], [65535, 0, 0], [1, 2], [65535, 65535]])
def test_bad_splits(two: tuple[Bench, list[bytes]], split: list[int]) -> None:
    bench, _ = two
    assert bench.sudo("sudo_set_mechanism_emission_split", netuid=1, maybe_split=split) == "InvalidValue"


@settings(max_examples=50, deadline=None)
@given(
    st.integers(0, 2**63),
    st.integers(1, 16),
    st.none() | st.lists(st.integers(0, 65535), max_size=15).map(sorted),
)
def test_nothing_is_lost_in_the_split(amount: int, count: int, cuts: list[int] | None) -> None:
    state = State()
    state.put(S.MechanismCountCurrent, 1, to=count)
    if cuts is not None:
        shares = [high - low for low, high in pairwise([0, *cuts[: count - 1], 65535])]
        state.put(S.MechanismEmissionSplit, 1, to=shares)
    parts = split_emission(state, 1, amount)
    assert len(parts) == count
    assert sum(parts) == amount
    assert min(parts) >= 0


# batches
def batch(bench: Bench, who: bytes, name: str, **args: Any) -> tuple[str | None, list[str]]:
    error = bench.send(who, "SubtensorModule", name, **args)
    return error, [event for event, _ in bench.events("SubtensorModule")]


def test_a_batch_of_weights_does_what_it_can(two: tuple[Bench, list[bytes]]) -> None:
    bench, (validator, *_) = two
    args = {"netuids": [1, 9], "weights": [[(2, 1)], [(0, 1)]], "version_keys": [0, 0]}
    error, events = batch(bench, validator, "batch_set_weights", **args)
    assert error is None
    assert events == ["WeightsSet", "BatchCompletedWithErrors", "BatchWeightItemFailed", "BatchWeightsCompleted"]
    (failed,) = [fields for name, fields in bench.events("SubtensorModule") if name == "BatchWeightItemFailed"]
    assert (failed[0], bench.error_name(failed[1])) == (9, "CommitRevealEnabled")  # as on any new subnet
    short = {**args, "version_keys": [0]}
    assert batch(bench, validator, "batch_set_weights", **short)[0] == "InputLengthsUnequal"


def test_batches_of_commits_and_of_their_reveals(two: tuple[Bench, list[bytes]]) -> None:
    bench, (validator, *_) = two
    bench.sudo("sudo_set_commit_reveal_weights_enabled", netuid=1, enabled=True)
    while bench.state.get(S.BlocksSinceLastStep, 1):
        bench.blocks(1)
    digests = [commit_hash(validator, 1, [uid], [1], [uid], 0) for uid in (2, 3)]
    args: dict[str, Any] = {"netuids": [1, 1], "commit_hashes": digests}
    error, events = batch(bench, validator, "batch_commit_weights", **args)
    assert (error, events) == (None, ["WeightsCommitted", "WeightsCommitted", "BatchWeightsCompleted"])
    reveal: dict[str, Any] = {"netuid": 1, "uids_list": [[2], [3]], "values_list": [[1], [1]]}
    reveal |= {"salts_list": [[2], [3]], "version_keys": [0, 0]}
    assert batch(bench, validator, "batch_reveal_weights", **reveal)[0] == "RevealTooEarly"
    bench.blocks(4)
    wrong = {**reveal, "salts_list": [[2], [4]]}
    assert batch(bench, validator, "batch_reveal_weights", **wrong)[0] == "InvalidRevealCommitHashNotMatch"
    error, events = batch(bench, validator, "batch_reveal_weights", **reveal)
    assert (error, events) == (None, ["WeightsSet", "WeightsSet", "WeightsBatchRevealed"])
    assert bench.state.get(S.Weights, 1, 1) == [(3, 65535)]
    assert bench.state.get(S.WeightCommits, 1, validator) is None


# time-locked
@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("commit_timelocked_weights", {"commit_reveal_version": 4}),
        ("commit_timelocked_mechanism_weights", {"commit_reveal_version": 4, "mecid": 1}),
        ("commit_crv3_mechanism_weights", {"mecid": 1}),
    ],
)
def test_time_locked_commits_are_checked_and_refused_by_name(
    two: tuple[Bench, list[bytes]], name: str, more: dict[str, int]
) -> None:
    bench, (validator, *_) = two
    args: dict[str, Any] = {"netuid": 1, "commit": b"sealed", "reveal_round": 1, **more}
    assert bench.send(validator, "SubtensorModule", name, **args) == "CommitRevealDisabled"
    bench.sudo("sudo_set_commit_reveal_weights_enabled", netuid=1, enabled=True)
    if "commit_reveal_version" in more:
        wrong = {**args, "commit_reveal_version": 3}
        assert bench.send(validator, "SubtensorModule", name, **wrong) == "IncorrectCommitRevealVersion"
    if "mecid" in more:
        assert bench.send(validator, "SubtensorModule", name, **{**args, "mecid": 2}) == "MechanismDoesNotExist"
    assert bench.send(bench.key("x"), "SubtensorModule", name, **args) == "HotKeyNotRegisteredInSubNet"
    assert bench.send(validator, "SubtensorModule", name, **args) == "CallDisabled"
