"""Stake that moves: to other hotkeys, coldkeys and subnets, or all of it back; and who may keep how much of it."""

from __future__ import annotations

from typing import Any

import pytest

from subnet.devnet.pallets.balances import free
from subnet.devnet.pallets.subtensor import subnet_account
from subnet.devnet.pallets.subtensor_staking import stake_of
from tests.devnet.conftest import TAO, Bench

Two = tuple[Bench, bytes, bytes]


@pytest.fixture
def staked(bench: Bench) -> Two:
    """Subnets 1 and 2, started; two hotkeys of Bob's on subnet 1, with 100 alpha of Bob's on the first."""
    one, other = bench.subnet(2)
    assert bench.sudo("sudo_set_network_rate_limit", rate_limit=0) is None
    assert bench.send(bench.alice, "SubtensorModule", "register_network", hotkey=bench.key("owner 2")) is None
    assert bench.send(bench.alice, "SubtensorModule", "start_call", netuid=2) is None
    assert send(bench, bench.bob, "add_stake", hotkey=one, netuid=1, amount_staked=100 * TAO) is None
    return bench, one, other


def send(bench: Bench, who: bytes, name: str, **args: Any) -> str | None:
    return bench.send(who, "SubtensorModule", name, **args)


def told(bench: Bench) -> list[str]:
    return [name for name, _ in bench.events("SubtensorModule")]


def move(one: bytes, other: bytes, start: int, goal: int, amount: int) -> dict[str, Any]:
    names = ("origin_hotkey", "destination_hotkey", "origin_netuid", "destination_netuid", "alpha_amount")
    return dict(zip(names, (one, other, start, goal, amount), strict=True))


def test_alpha_moves_to_another_hotkey_of_the_subnet(staked: Two) -> None:
    bench, one, other = staked
    before = free(bench.state, subnet_account(1))
    assert send(bench, bench.bob, "move_stake", **move(one, other, 1, 1, 30 * TAO)) is None
    assert told(bench)[-3:] == ["StakeRemoved", "StakeAdded", "StakeMoved"]
    assert stake_of(bench.state, one, bench.bob, 1) == 70 * TAO
    assert stake_of(bench.state, other, bench.bob, 1) == 30 * TAO
    assert free(bench.state, subnet_account(1)) == before + TAO  # the block's emission


def test_alpha_moves_to_another_subnet_and_its_tao_with_it(staked: Two) -> None:
    bench, one, other = staked
    one_before, two_before = (free(bench.state, subnet_account(netuid)) for netuid in (1, 2))
    assert send(bench, bench.bob, "move_stake", **move(one, other, 1, 2, 1000 * TAO)) is None  # more than there is
    assert stake_of(bench.state, one, bench.bob, 1) == 0
    assert stake_of(bench.state, other, bench.bob, 2) == 100 * TAO
    assert free(bench.state, subnet_account(1)) == one_before - 99 * TAO
    assert free(bench.state, subnet_account(2)) == two_before + 101 * TAO
    args = {"hotkey": other, "origin_netuid": 2, "destination_netuid": 1, "alpha_amount": 100 * TAO}
    assert send(bench, bench.bob, "swap_stake", **args) is None
    assert stake_of(bench.state, other, bench.bob, 1) == 100 * TAO
    limit = {**args, "origin_netuid": 1, "destination_netuid": 2, "limit_price": TAO + 1, "allow_partial": False}
    assert send(bench, bench.bob, "swap_stake_limit", **limit) == "SlippageTooHigh"
    assert send(bench, bench.bob, "swap_stake_limit", **{**limit, "limit_price": TAO}) is None


@pytest.mark.parametrize("goal", [1, 2])
def test_alpha_is_given_where_subnets_allow_it(staked: Two, goal: int) -> None:
    bench, one, _ = staked
    args = {"destination_coldkey": bench.charlie, "hotkey": one, "origin_netuid": 1, "destination_netuid": goal}
    assert bench.sudo("sudo_set_toggle_transfer", netuid=goal, toggle=False) is None
    assert send(bench, bench.bob, "transfer_stake", **args, alpha_amount=TAO) == "TransferDisallowed"
    assert bench.sudo("sudo_set_toggle_transfer", netuid=goal, toggle=True) is None
    charlies = free(bench.state, bench.charlie)
    assert send(bench, bench.bob, "transfer_stake", **args, alpha_amount=TAO) is None
    assert stake_of(bench.state, one, bench.charlie, goal) == TAO
    assert free(bench.state, bench.charlie) == charlies
    assert told(bench)[-1] == "StakeTransferred"


def test_what_can_not_move(staked: Two) -> None:
    bench, one, other = staked
    cases = {
        "SameNetuid": move(one, one, 1, 1, TAO),
        "SubnetNotExists": move(one, other, 1, 9, TAO),
        "HotKeyAccountNotExists": move(one, bench.key("nobody"), 1, 1, TAO),
        "AmountTooLow": move(one, other, 1, 1, 1_999_999),
    }
    for error, args in cases.items():
        assert send(bench, bench.bob, "move_stake", **args) == error
    assert bench.sudo("sudo_set_subtoken_enabled", netuid=2, subtoken_enabled=False) is None
    assert send(bench, bench.bob, "move_stake", **move(one, other, 1, 2, TAO)) == "SubtokenDisabled"


def test_all_comes_back(staked: Two) -> None:
    bench, one, _ = staked
    assert send(bench, bench.bob, "add_stake", hotkey=one, netuid=2, amount_staked=7 * TAO) is None
    assert send(bench, bench.bob, "add_stake", hotkey=one, netuid=0, amount_staked=TAO) is None
    assert send(bench, bench.bob, "unstake_all_alpha", hotkey=one) is None
    assert [stake_of(bench.state, one, bench.bob, netuid) for netuid in (0, 1, 2)] == [108 * TAO, 0, 0]
    before = free(bench.state, bench.bob)
    assert send(bench, bench.bob, "unstake_all", hotkey=one) is None
    assert stake_of(bench.state, one, bench.bob, 0) == 0
    assert free(bench.state, bench.bob) == pytest.approx(before + 108 * TAO, abs=10**6)  # less the fee
    assert send(bench, bench.bob, "unstake_all", hotkey=bench.key("nobody")) == "HotKeyAccountNotExists"


@pytest.mark.parametrize("price", [None, TAO])
def test_all_of_a_subnet_comes_back_at_a_price(staked: Two, price: int | None) -> None:
    bench, one, _ = staked
    args = {"hotkey": one, "netuid": 1}
    assert send(bench, bench.bob, "remove_stake_full_limit", **args, limit_price=TAO + 1) == "SlippageTooHigh"
    assert send(bench, bench.bob, "remove_stake_full_limit", **args, limit_price=price) is None
    assert stake_of(bench.state, one, bench.bob, 1) == 0


def test_small_nominations_are_sent_home(staked: Two) -> None:
    bench, one, _ = staked
    for who in (bench.charlie, bench.dave):
        assert send(bench, who, "add_stake", hotkey=one, netuid=1, amount_staked=5 * TAO) is None
    assert bench.sudo("sudo_set_nominator_min_required_stake", min_stake=3 * TAO) is None
    assert send(bench, bench.charlie, "remove_stake", hotkey=one, netuid=1, amount_unstaked=3 * TAO) is None
    assert stake_of(bench.state, one, bench.charlie, 1) == 0
    assert bench.sudo("sudo_set_nominator_min_required_stake", min_stake=6 * TAO) is None
    assert stake_of(bench.state, one, bench.dave, 1) == 0
    assert stake_of(bench.state, one, bench.bob, 1) == 100 * TAO  # the owner's own may be any


def test_the_delegate_take_rises_seldom(staked: Two) -> None:
    bench, one, _ = staked
    assert bench.sudo("sudo_set_tx_delegate_take_rate_limit", tx_rate_limit=5) is None
    assert send(bench, bench.bob, "increase_take", hotkey=one, take=1000) is None  # the first may be anything
    assert send(bench, bench.bob, "increase_take", hotkey=one, take=2000) == "DelegateTxRateLimitExceeded"
    bench.blocks(4)
    assert send(bench, bench.bob, "increase_take", hotkey=one, take=2000) is None
    assert send(bench, bench.bob, "decrease_take", hotkey=one, take=1500) is None
    assert send(bench, bench.bob, "decrease_take", hotkey=one, take=1500) == "DelegateTakeTooLow"
