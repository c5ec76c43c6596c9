"""Who gets on a subnet, how many at a time, by which means, and who goes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest

from subnet.devnet.hashing import keccak_256
from subnet.devnet.pallets.subtensor import SubtensorModule as S
from subnet.devnet.pallets.subtensor import subnet_account
from subnet.devnet.pallets.subtensor_registration import meets, seal
from tests.devnet.conftest import TAO, Bench

Make = Callable[..., Bench]


def test_keccak() -> None:
    empty = "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    assert keccak_256(b"").hex() == empty  # not sha3-256's a7ff…


def solve(block_hash: bytes, hotkey: bytes, difficulty: int) -> tuple[int, bytes]:
    for nonce in count():
        work = seal(block_hash, hotkey, nonce)
        if meets(work, difficulty):
            return nonce, work
    raise AssertionError


@pytest.fixture
def legacy(make_bench: Make) -> Bench:
    bench = make_bench(tempo_rule="legacy")
    bench.subnet()
    assert bench.sudo("sudo_set_difficulty", netuid=1, difficulty=16) is None
    return bench


def work(bench: Bench, hotkey: bytes, /, **change: object) -> str | None:
    head = bench.chain.head
    nonce, found = solve(head.hash, hotkey, 16)
    args = {"netuid": 1, "_block_number": head.number, "_nonce": nonce, "_work": found, "hotkey": hotkey}
    args |= {"_coldkey": bench.bob, **change}
    return bench.send(hotkey, "SubtensorModule", "register", **args)


def test_proof_of_work_on_a_legacy_chain(legacy: Bench) -> None:
    hotkey = legacy.key("worker")
    assert work(legacy, hotkey) == "SubNetRegistrationDisabled"
    allow = {"_netuid": 1, "_registration_allowed": True}
    assert legacy.sudo("sudo_set_network_pow_registration_allowed", **allow) is None
    assert work(legacy, hotkey, hotkey=legacy.key("other")) == "TransactorAccountShouldBeHotKey"
    assert work(legacy, hotkey, _work=b"\xff" * 32) == "InvalidDifficulty"
    assert work(legacy, hotkey, _work=b"short") == "InvalidDifficulty"
    assert work(legacy, hotkey, _work=bytes(32)) == "InvalidSeal"
    assert work(legacy, hotkey, _block_number=legacy.chain.head.number - 2) == "InvalidWorkBlock"
    assert work(legacy, hotkey, _block_number=legacy.chain.head.number + 2) == "InvalidWorkBlock"
    assert work(legacy, hotkey) is None
    assert legacy.state.get(S.Uids, 1, hotkey) == 1
    assert legacy.state.get(S.Owner, hotkey) == legacy.bob
    assert len(legacy.state.keys(S.UsedWork)) == 1


def test_at_head_register_burns_and_work_is_nothing(bench: Bench) -> None:
    bench.subnet()
    args = {"netuid": 1, "_block_number": 0, "_nonce": 0, "_work": b"", "hotkey": bench.key("x"), "_coldkey": bench.eve}
    burned = bench.state.get(S.RAORecycledForRegistration, 1)
    assert bench.send(bench.bob, "SubtensorModule", "register", **args) is None
    assert bench.state.get(S.Owner, bench.key("x")) == bench.bob
    assert bench.state.get(S.RAORecycledForRegistration, 1) > burned
    allow = {"_netuid": 1, "_registration_allowed": True}
    assert bench.sudo("sudo_set_network_pow_registration_allowed", **allow) == "POWRegistrationDisabled"


def register(bench: Bench, name: str) -> str | None:
    return bench.send(bench.bob, "SubtensorModule", "burned_register", netuid=1, hotkey=bench.key(name))


def test_registrations_of_an_interval_are_limited_on_a_legacy_chain(legacy: Bench) -> None:
    target = {"netuid": 1, "target_registrations_per_interval": 1}
    assert legacy.sudo("sudo_set_target_registrations_per_interval", **target) is None
    while legacy.state.get(S.LastAdjustmentBlock, 1) != legacy.chain.head.number:
        legacy.blocks(1)
    assert [register(legacy, f"key {number}") for number in range(4)] == [
        *[None] * 3,
        "TooManyRegistrationsThisInterval",
    ]
    legacy.blocks(legacy.state.get(S.AdjustmentInterval, 1) - 4)
    assert register(legacy, "key 4") is None


def test_registrations_of_a_block_are_limited(bench: Bench) -> None:
    bench.subnet()
    assert bench.sudo("sudo_set_max_registrations_per_block", netuid=1, max_registrations_per_block=2) is None
    calls = [bench.call("SubtensorModule", "burned_register", netuid=1, hotkey=bench.key(f"{n}")) for n in range(3)]
    bench.chain.build([bench.extrinsic(bench.bob, call) for call in calls])
    assert bench.failure() == "TooManyRegistrationsThisBlock"
    assert bench.state.get(S.SubnetworkN, 1) == 3
    assert register(bench, "2") is None


def test_the_owners_oldest_hotkeys_are_never_pruned(bench: Bench) -> None:
    bench.subnet()
    for name in ("first", "second"):
        hotkey = bench.key(name)
        assert bench.send(bench.alice, "SubtensorModule", "burned_register", netuid=1, hotkey=hotkey) is None
    assert register(bench, "a stranger's") is None
    assert bench.sudo("sudo_set_owner_immune_neuron_limit", netuid=1, immune_neurons=2) is None
    assert bench.sudo("sudo_set_max_allowed_uids", netuid=1, max_allowed_uids=4) is None
    assert register(bench, "new") is None
    assert bench.state.get(S.Uids, 1, bench.key("second")) is None  # the third of the owner's
    assert bench.state.get(S.Uids, 1, bench.key("first")) == 1


def test_subnets_own_accounts_are_nobodys_hotkeys(bench: Bench) -> None:
    bench.subnet()
    args = {"netuid": 1, "hotkey": subnet_account(1)}
    assert bench.send(bench.bob, "SubtensorModule", "burned_register", **args) == "CannotUseSystemAccount"


def test_the_root_network_takes_those_with_the_most_stake(bench: Bench) -> None:
    bench.subnet()
    bench.write(S.MaxAllowedUids, 0, to=2)
    one, two, three = (bench.key(f"root {number}") for number in range(3))
    for hotkey, amount in ((one, 10), (two, 5)):
        assert bench.send(bench.bob, "SubtensorModule", "root_register", hotkey=hotkey) is None
        stake = {"hotkey": hotkey, "netuid": 0, "amount_staked": amount * TAO}
        assert bench.send(bench.bob, "SubtensorModule", "add_stake", **stake) is None
    assert bench.send(bench.bob, "SubtensorModule", "root_register", hotkey=two) == "HotKeyAlreadyRegisteredInSubNet"
    assert bench.send(bench.bob, "SubtensorModule", "root_register", hotkey=three) == "StakeTooLowForRoot"
    assert bench.send(bench.bob, "SubtensorModule", "try_associate_hotkey", hotkey=three) is None
    stake = {"hotkey": three, "netuid": 0, "amount_staked": 6 * TAO}
    assert bench.send(bench.bob, "SubtensorModule", "add_stake", **stake) is None
    assert bench.send(bench.bob, "SubtensorModule", "root_register", hotkey=three) is None
    assert bench.events("SubtensorModule")[-1] == ("NeuronRegistered", (0, 1, three))
    assert bench.state.get(S.Uids, 0, two) is None


def test_trimming_keeps_the_best_and_everybody_under_a_new_uid(bench: Bench) -> None:
    hotkeys = bench.subnet(5)  # uids 1 to 5
    for hotkey, port in zip(hotkeys, range(1, 6), strict=True):
        axon = {"netuid": 1, "version": 1, "ip": 1 << 25, "port": port, "ip_type": 4, "protocol": 4}
        axon |= {"placeholder1": 0, "placeholder2": 0}
        assert bench.send(hotkey, "SubtensorModule", "serve_axon", **axon) is None
    bench.write(S.Tempo, 1, to=1000)
    bench.write(S.Emission, 1, to=[0, 50, 10, 40, 20, 30])
    bench.write(S.Weights, 1, 3, to=[(0, 1), (2, 2), (5, 3)])
    bench.write(S.Weights, 1, 2, to=[(3, 1)])
    bench.write(S.Bonds, 1, 5, to=[(4, 7), (3, 8)])
    trim = {"netuid": 1, "max_n": 4}
    assert bench.sudo("sudo_trim_to_max_allowed_uids", **trim) == "TrimmingWouldExceedMaxImmunePercentage"
    assert bench.sudo("sudo_set_immunity_period", netuid=1, immunity_period=0) is None
    assert bench.send(bench.bob, "AdminUtils", "sudo_trim_to_max_allowed_uids", **trim) == "BadOrigin"
    assert bench.send(bench.alice, "AdminUtils", "sudo_trim_to_max_allowed_uids", **trim) is None
    state = bench.state
    stay = [bench.key("owner"), hotkeys[0], hotkeys[2], hotkeys[4]]  # uids 0, 1, 3 and 5 of before
    assert [state.get(S.Keys, 1, uid) for _, uid in state.keys(S.Keys, 1)] == stay
    assert [state.get(S.Uids, 1, hotkey) for hotkey in stay] == [0, 1, 2, 3]
    assert state.get(S.Emission, 1) == [0, 50, 40, 30]
    assert {uid: state.get(S.Weights, 1, uid) for _, uid in state.keys(S.Weights, 1)} == {2: [(0, 1), (3, 3)]}
    assert state.get(S.Bonds, 1, 3) == [(2, 8)]
    assert len(state.keys(S.Axons, 1)) == 3
    assert len(state.get(S.LastUpdate, 1)) == state.get(S.SubnetworkN, 1) == state.get(S.MaxAllowedUids, 1) == 4
    assert bench.sudo("sudo_trim_to_max_allowed_uids", netuid=1, max_n=5) == "InvalidValue"
