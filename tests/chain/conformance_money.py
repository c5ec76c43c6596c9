"""Transfers, fees, nonces, calls by name, sudo: what every signed extrinsic goes through."""

from __future__ import annotations

import asyncio

import pytest
from conformance_base import MONEY, SUBNET_ABSENT, Base, Stage, fresh, needs

from subnet.chain import Call, Chain
from subnet.chain.calls import transfer
from subnet.errors import ChainError, ExtrinsicFailed
from subnet.types import rao

LACKING = ("FundsUnavailable", "InsufficientBalance", "NotExpendable")


@pytest.mark.asyncio(loop_scope="class")
class MoneyConformance(Base):
    async def test_a_transfer_moves_its_amount_and_costs_its_fee(self, stage: Stage) -> None:
        chain, to = stage.chain, fresh().ss58_address
        cost = await chain.estimate(transfer(to, rao("1.5")), stage.key)
        before = await chain.balance(stage.key.ss58_address)
        included = await chain.transfer(stage.key, to, rao("1.5"))
        assert await chain.balance(to) == rao("1.5")
        assert included.fee == cost.fee > 0
        assert included.event("Balances", "Transfer") is not None
        assert included.event("System", "ExtrinsicSuccess") is not None
        assert await chain.block_hash(included.block) == included.block_hash
        assert await chain.balance(stage.key.ss58_address) == before - rao("1.5") - included.fee

    async def test_the_past_can_be_read(self, stage: Stage) -> None:
        chain, to = stage.chain, fresh().ss58_address
        included = await chain.transfer(stage.key, to, rao(1))
        before = await chain.query("System", "Account", to, block=included.block - 1)
        after = await chain.query("System", "Account", to, block=included.block)
        assert (before["data"]["free"], after["data"]["free"]) == (0, rao(1))

    async def test_sends_back_to_back_all_arrive(self, stage: Stage) -> None:
        to = fresh().ss58_address
        sent = await asyncio.gather(*(stage.chain.transfer(stage.key, to, rao(1)) for _ in range(6)))
        assert len({included.extrinsic_hash for included in sent}) == 6
        assert await stage.chain.balance(to) == rao(6)

    async def test_two_clients_with_one_key_don_t_lose_a_send(self, stage: Stage) -> None:
        to = fresh().ss58_address
        async with await Chain.connect(stage.endpoint, timeout=60.0) as other:
            await asyncio.gather(*(client.transfer(stage.key, to, rao(1)) for client in (stage.chain, other)))
        assert await stage.chain.balance(to) == rao(2)

    async def test_what_is_kept_and_sent_twice_lands_once(self, stage: Stage) -> None:
        to = fresh().ss58_address
        prepared = await stage.chain.prepare(transfer(to, rao(1)), stage.key)
        first = await stage.chain.deliver(prepared)
        again = await stage.chain.deliver(prepared)
        assert (first.block, first.block_hash) == (again.block, again.block_hash)
        assert await stage.chain.balance(to) == rao(1)

    async def test_an_extrinsic_dies_with_its_era(self, stage: Stage) -> None:
        needs(stage.can.blocks, "blocks at will: SUBNET_TEST_INSTANT")
        to = fresh().ss58_address
        prepared = await stage.chain.prepare(transfer(to, rao(1)), stage.key, period=8)
        assert prepared.dies is not None
        await stage.reach(prepared.dies + 2)
        with pytest.raises(ExtrinsicFailed) as caught:
            await stage.chain.deliver(prepared)
        assert caught.value.where == "pool"
        assert await stage.chain.balance(to) == 0

    async def test_an_empty_account_can_t_pay(self, stage: Stage) -> None:
        with pytest.raises(ExtrinsicFailed) as caught:
            await stage.chain.transfer(fresh(), stage.key.ss58_address, rao(1))
        assert (caught.value.name, caught.value.where) == ("Payment", "pool")
        assert "TAO" in caught.value.remedy

    async def test_nobody_sends_more_than_there_is(self, stage: Stage) -> None:
        with pytest.raises(ExtrinsicFailed) as caught:
            await stage.chain.transfer(stage.key, fresh().ss58_address, MONEY)
        assert caught.value.where == "block"
        assert caught.value.name in LACKING
        assert caught.value.remedy

    async def test_calls_go_by_name(self, stage: Stage) -> None:
        included = await stage.chain.submit("System", "remark", {"remark": "0x1234"}, stage.key)
        assert included.event("System", "ExtrinsicSuccess") is not None
        with pytest.raises(ChainError, match="no call"):
            await stage.chain.submit("System", "no_such_call", {}, stage.key)
        with pytest.raises(ChainError, match="takes remark"):
            await stage.chain.submit("System", "remark", {"note": "0x"}, stage.key)

    async def test_a_batch_says_which_of_its_calls_failed(self, stage: Stage) -> None:
        to = fresh().ss58_address
        with pytest.raises(ExtrinsicFailed) as caught:
            await stage.chain.batch(stage.key, [transfer(to, rao(1)), transfer(to, MONEY)])
        assert caught.value.name in LACKING
        assert await stage.chain.balance(to) == 0
        await stage.chain.batch(stage.key, [transfer(to, rao(1)), transfer(to, rao(2))])
        assert await stage.chain.balance(to) == rao(3)

    async def test_sudo_s_inner_failure_is_a_failure(self, stage: Stage) -> None:
        needs(stage.can.sudo, "sudo for us")
        with pytest.raises(ExtrinsicFailed) as caught:
            await stage.chain.sudo(stage.key, "AdminUtils", "sudo_set_tempo", {"netuid": 65_000, "tempo": 10})
        assert caught.value.where == "sudo"
        assert caught.value.name in SUBNET_ABSENT

    async def test_sudo_is_not_for_everybody(self, stage: Stage) -> None:
        needs(stage.can.sudo, "sudo for us")
        poor = fresh()
        await stage.chain.transfer(stage.key, poor.ss58_address, rao(1))
        with pytest.raises(ExtrinsicFailed) as caught:
            await stage.chain.sudo(poor, "System", "remark", {"remark": "0x00"})
        assert caught.value.name in ("RequireSudo", "BadOrigin")
        assert caught.value.where == "block"

    async def test_an_estimate_is_of_calls_that_there_are(self, stage: Stage) -> None:
        with pytest.raises(ChainError, match="no call"):
            await stage.chain.estimate(Call("SubtensorModule", "no_such_call", {}), stage.key)
