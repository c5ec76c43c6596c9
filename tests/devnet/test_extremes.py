"""Numbers at the end of their range, by root's calls or written into the storage: blocks go on, and nothing hangs."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from substrateinterface import Keypair

from subnet.devnet.node import Node
from subnet.devnet.pallets.balances import U64_MAX, Balances, free, mint_if_it_fits
from subnet.devnet.pallets.subtensor import SubtensorModule as S
from subnet.devnet.pallets.system import System
from subnet.devnet.scale import ScaleError
from subnet.errors import DevnetError
from tests.devnet.conftest import Bench, sign

ALICE, BOB = Keypair.create_from_uri("//Alice"), Keypair.create_from_uri("//Bob")


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


def test_blocks_go_on_when_there_can_be_no_more_tao(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.subnet()
    room = U64_MAX - bench.state.get(Balances.TotalIssuance)
    rich = free(bench.state, bench.bob) + room - 2 * S.BlockEmission.default()
    assert bench.sudo_call("Balances", "force_set_balance", who=("Id", bench.bob), new_free=rich) is None
    alpha = bench.state.get(S.SubnetAlphaOut, 1)
    bench.blocks(12)  # two epochs
    assert U64_MAX - bench.state.get(Balances.TotalIssuance) < S.BlockEmission.default()
    assert bench.state.get(S.SubnetAlphaOut, 1) == alpha + 12 * S.BlockEmission.default()
    assert errors(caplog) == []


def test_sudo_s_fee_is_kept_where_it_can_t_be_given_back(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """The call that root sent may itself have filled what room there was."""
    others = bench.state.get(Balances.TotalIssuance) - free(bench.state, bench.bob)
    inner = bench.call("Balances", "force_set_balance", who=("Id", bench.bob), new_free=U64_MAX - others + 1)
    before = free(bench.state, bench.alice)
    assert bench.send(bench.alice, "Sudo", "sudo", call=inner) is None
    fee = before - free(bench.state, bench.alice)
    assert fee > 0
    assert bench.state.get(Balances.TotalIssuance) == U64_MAX - fee + 1
    bench.blocks(1)
    assert errors(caplog) == []


@pytest.mark.parametrize(
    ("item", "keys"),
    [(S.TotalStake, ()), (S.BlocksSinceLastStep, (1,)), (S.SubnetEpochIndex, (1,)), (S.PendingServerEmission, (1,))],
    ids=lambda one: getattr(one, "name", ""),
)
def test_counters_stop_at_their_highest(
    bench: Bench, item: Any, keys: tuple[int, ...], caplog: pytest.LogCaptureFixture
) -> None:
    bench.subnet()
    bench.write(item, *keys, to=U64_MAX)
    bench.blocks(7)
    assert bench.chain.head.number > 7
    assert not [one for one in errors(caplog) if "run_coinbase" in one]


@pytest.mark.parametrize("exponent", [2**63 - 1, -(2**63), 10**6])
def test_no_power_of_a_share_s_exponent_takes_for_ever(bench: Bench, exponent: int) -> None:
    (hotkey,) = bench.subnet(1)
    assert bench.send(bench.bob, "SubtensorModule", "add_stake", hotkey=hotkey, netuid=1, amount_staked=10**12) is None
    shares = {"mantissa": 2**128 - 1, "exponent": exponent}
    bench.write(S.AlphaV2, hotkey, bench.bob, 1, to=shares)
    bench.write(S.TotalHotkeySharesV2, hotkey, 1, to=shares)
    bench.send(bench.bob, "SubtensorModule", "remove_stake", hotkey=hotkey, netuid=1, amount_unstaked=10**9)
    bench.blocks(6)


def test_a_defect_of_a_pallet_stops_no_block(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pallet = bench.chain.runtime.by_name["SubtensorModule"]

    def broken(ctx: Any) -> None:
        mint_if_it_fits(ctx, bench.bob, 1)
        raise ZeroDivisionError

    before = free(bench.state, bench.bob)
    monkeypatch.setattr(type(pallet), "hooks", [broken])
    bench.blocks(2)
    assert free(bench.state, bench.bob) == before  # undone
    assert len([one for one in errors(caplog) if "broken" in one]) == 2


def test_what_breaks_a_block_is_not_in_the_next(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    info = bench.state.get(System.Account, bench.bob)
    bench.write(System.Account, bench.bob, to={**info, "nonce": 2**32 - 1})  # the next one is no u32
    node = Node(bench.chain, production="manual")
    remark = bench.call("System", "remark", remark=b"x")
    node.submit(sign(bench.chain, ALICE, remark, 0))
    node.submit(sign(bench.chain, BOB, remark, 2**32 - 1))
    head = bench.chain.head.number
    with pytest.raises(ScaleError):
        node.produce()
    assert bench.chain.head.number == head
    assert len(node.pool) == 1
    assert len(node.produce().extrinsics) == 2  # the time, and what Alice sent
    assert len(node.pool) == 0


def test_a_full_disk_is_told_where_no_block_is_built(bench: Bench) -> None:
    chain, ahead = bench.chain, bench.chain.ahead_ms
    chain.store._db.execute("PRAGMA query_only=1")
    for wish in (chain.snapshot, lambda: chain.set_clock(chain.now_ms + 10**6)):
        with pytest.raises(DevnetError, match="readonly") as caught:
            wish()
        assert "Free disk space" in (caught.value.remedy or "")
    assert chain.ahead_ms == ahead  # as on the disk
    chain.store._db.execute("PRAGMA query_only=0")
    assert chain.snapshot() == 1
