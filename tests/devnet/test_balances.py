"""Balances: transfers, their failures, fees, and sudo over them."""

from __future__ import annotations

from typing import Any

from subnet.devnet.pallets.balances import EXISTENTIAL_DEPOSIT, Balances, free
from subnet.devnet.pallets.system import System
from subnet.devnet.runtime import BASE_WEIGHT

TAO = 10**9


def total(bench: Any) -> int:
    return sum(free(bench.state, who) for (who,) in bench.state.keys(System.Account))


def test_a_transfer_moves_and_costs_its_fee(bench: Any) -> None:
    before = free(bench.state, bench.alice)
    new = bench.key("new")
    assert bench.send(bench.alice, "Balances", "transfer_keep_alive", dest=("Id", new), value=TAO) is None
    fees = [fields["actual_fee"] for event, fields in bench.events("TransactionPayment")]
    assert fees[0] > BASE_WEIGHT // 2000
    assert free(bench.state, new) == TAO
    assert free(bench.state, bench.alice) == before - TAO - fees[0]
    assert [event for event, _ in bench.events("Balances")] == ["Withdraw", "Endowed", "Transfer"]
    assert total(bench) == bench.state.get(Balances.TotalIssuance)


def test_what_a_transfer_can_fail_with(bench: Any) -> None:
    everything = free(bench.state, bench.bob)
    for value, name, error in (
        (everything + 1, "transfer_allow_death", "Token.FundsUnavailable"),
        (everything - TAO // 1000 + 1, "transfer_keep_alive", None),
        (10**18, "transfer_keep_alive", "Token.FundsUnavailable"),
    ):
        assert bench.send(bench.bob, "Balances", name, dest=("Id", bench.alice), value=value) == error
    left = free(bench.state, bench.bob)
    assert bench.send(bench.bob, "Balances", "transfer_keep_alive", dest=("Id", bench.alice), value=left) is not None
    new = ("Id", bench.key("new"))
    small = EXISTENTIAL_DEPOSIT - 1
    assert bench.send(bench.alice, "Balances", "transfer_allow_death", dest=new, value=small) == "Token.BelowMinimum"
    raw = ("Raw", b"abc")
    assert bench.send(bench.alice, "Balances", "transfer_allow_death", dest=raw, value=1) == "Token.CannotCreate"
    assert total(bench) == bench.state.get(Balances.TotalIssuance)


def test_dust_is_lost_and_the_account_with_it(bench: Any) -> None:
    holder = bench.key("holder")
    bench.send(bench.alice, "Balances", "transfer_allow_death", dest=("Id", holder), value=TAO)
    fee = bench.chain.runtime.fee(bench.call("Balances", "transfer_all", dest=("Id", holder), keep_alive=False), 0)
    value = TAO - fee - 200
    call = bench.call("Balances", "transfer_allow_death", dest=("Id", bench.bob), value=value)
    length = len(bench.extrinsic(holder, call).raw)
    bench.send(holder, "Balances", "transfer_allow_death", dest=("Id", bench.bob), value=value - length)
    names = [event for event, _ in bench.events("Balances")]
    assert "DustLost" in names
    assert free(bench.state, holder) == 0
    assert total(bench) == bench.state.get(Balances.TotalIssuance)


def test_a_used_account_keeps_its_nonce_when_it_is_emptied(bench: Any) -> None:
    holder = bench.key("holder")
    bench.send(bench.alice, "Balances", "transfer_allow_death", dest=("Id", holder), value=TAO)
    bench.send(holder, "Balances", "transfer_all", dest=("Id", bench.bob), keep_alive=False)
    assert free(bench.state, holder) == 0
    assert bench.state.get(System.Account, holder)["nonce"] == 1


def test_sudo_costs_nothing_and_tells_the_inner_error(bench: Any) -> None:
    before = free(bench.state, bench.alice)
    inner = bench.call("Balances", "force_set_balance", who=("Id", bench.bob), new_free=7 * TAO)
    assert bench.send(bench.alice, "Sudo", "sudo", call=inner) is None
    assert free(bench.state, bench.bob) == 7 * TAO
    assert free(bench.state, bench.alice) == before
    assert bench.send(bench.bob, "Sudo", "sudo", call=inner) == "RequireSudo"
    assert bench.send(bench.bob, "Balances", "force_set_balance", who=("Id", bench.bob), new_free=1) == "BadOrigin"
    signed_only = bench.call("Balances", "transfer_all", dest=("Id", bench.bob), keep_alive=True)
    assert bench.send(bench.alice, "Sudo", "sudo", call=signed_only) is None
    ((_, fields),) = bench.events("Sudo")
    assert fields["sudo_result"] == ("Err", ("BadOrigin", None))
    assert total(bench) == bench.state.get(Balances.TotalIssuance)


def test_batches(bench: Any) -> None:
    good = bench.call("Balances", "transfer_keep_alive", dest=("Id", bench.bob), value=TAO)
    bad = bench.call("Balances", "transfer_keep_alive", dest=("Id", bench.bob), value=10**18)
    start = free(bench.state, bench.bob)
    names = {}
    for call, gained in (("batch", 1), ("batch_all", 0), ("force_batch", 2)):
        error = bench.send(bench.alice, "Utility", call, calls=[good, bad, good])
        assert (error == "Token.FundsUnavailable") is (call == "batch_all")
        names[call] = [event for event, _ in bench.events("Utility")]
        assert free(bench.state, bench.bob) - start == gained * TAO
        start = free(bench.state, bench.bob)
    assert names["batch"] == ["ItemCompleted", "BatchInterrupted"]
    assert names["batch_all"] == []
    assert names["force_batch"] == ["ItemCompleted", "ItemFailed", "ItemCompleted", "BatchCompletedWithErrors"]


def test_inherents_are_not_for_others(bench: Any) -> None:
    assert bench.send(bench.alice, "Timestamp", "set", now=5) == "BadOrigin"
    inner = bench.call("Timestamp", "set", now=5)
    assert bench.send(bench.alice, "Utility", "batch_all", calls=[inner]) == "BadOrigin"
