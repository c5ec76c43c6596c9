"""What anybody may ask of a chain: blocks, subnets, neurons, storage by name. Nothing is sent."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest
from conformance_base import Base, has

from subnet.chain import Chain
from subnet.errors import ChainError, NoSuchSubnet, NotRegistered, WrongNetwork
from subnet.keys import load_key

NOWHERE = 65_000  # a netuid that no chain has


@pytest.mark.asyncio(loop_scope="class")
class ReadConformance(Base):
    async def test_a_connection_knows_its_chain(self, chain: Chain) -> None:
        assert await chain.block_hash(0) == chain.genesis_hash
        assert chain.spec_version > 0
        assert await has(chain, "System", "Number")

    async def test_another_genesis_is_the_wrong_network(self, endpoint: str) -> None:
        with pytest.raises(WrongNetwork):
            await Chain.connect(endpoint, genesis_hash="0x" + "11" * 32)

    async def test_the_right_genesis_is_accepted_in_any_case_of_letters(self, chain: Chain, endpoint: str) -> None:
        genesis = "0x" + chain.genesis_hash[2:].upper()
        async with await Chain.connect(endpoint, genesis_hash=genesis, timeout=60.0) as other:
            assert other.genesis_hash == chain.genesis_hash
            assert other.spec_version == chain.spec_version

    async def test_a_block_keeps_its_hash(self, chain: Chain) -> None:
        now = await chain.block_number()
        assert await chain.block_hash(now) == await chain.block_hash(now)

    @pytest.mark.parametrize("finalized", [False, True])
    async def test_heads_have_the_hashes_that_the_chain_gives_them(self, chain: Chain, finalized: bool) -> None:
        """Ours are computed from the header: they agree where header, number and digest are encoded as we think."""
        async with aclosing(chain.heads(finalized=finalized)) as heads:
            head = await asyncio.wait_for(anext(heads), 60)
        assert await chain.block_hash(head.number) == head.hash
        if head.number:
            assert await chain.block_hash(head.number - 1) == head.parent

    async def test_a_block_that_is_not_there_is_an_error(self, chain: Chain) -> None:
        with pytest.raises(ChainError, match="has no block"):
            await chain.block_hash(2**31)

    async def test_every_subnet_s_metagraph_holds_together(self, chain: Chain) -> None:
        for netuid in [netuid for netuid in await chain.subnets() if netuid][:3]:
            found = await chain.metagraph(netuid)
            n = len(found)
            assert n == await chain.query("SubtensorModule", "SubnetworkN", netuid, block=found.block)
            assert len(set(found.hotkeys)) == n
            columns = (found.incentive, found.stake, found.last_update, found.validator_permit, found.emission)
            assert [len(column) for column in columns] == [n] * len(columns)
            assert await chain.block_hash(found.block) == found.block_hash
            for uid in {0, n // 2, n - 1} & set(range(n)):
                hotkey = found.hotkeys[uid]
                assert await chain.query("SubtensorModule", "Uids", netuid, hotkey, block=found.block) == uid
                assert await chain.query("SubtensorModule", "Owner", hotkey, block=found.block) == found.coldkeys[uid]

    async def test_every_subnet_has_sane_hyperparameters(self, chain: Chain) -> None:
        for netuid in [netuid for netuid in await chain.subnets() if netuid][:3]:
            found = await chain.hyperparameters(netuid)
            assert found.tempo >= 0
            assert 0 < found.kappa <= 65535
            assert 0 < found.max_uids <= 4096
            assert found.min_burn <= found.max_burn

    async def test_the_next_epoch_lies_ahead_within_a_period(self, chain: Chain) -> None:
        for netuid in [netuid for netuid in await chain.subnets() if netuid][:3]:
            before, due = await chain.block_number(), await chain.next_epoch_block(netuid)
            tempo = await chain.query("SubtensorModule", "Tempo", netuid)
            if tempo:
                assert due is not None
                assert before < due <= await chain.block_number() + tempo + 1

    async def test_what_is_no_subnet_is_said_so(self, chain: Chain) -> None:
        for read in (chain.metagraph, chain.hyperparameters, chain.next_epoch_block):
            with pytest.raises(NoSuchSubnet):
                await read(NOWHERE)

    async def test_a_stranger_has_nothing(self, chain: Chain) -> None:
        nobody = load_key("//Nobody//has//this").ss58_address
        assert await chain.balance(nobody) == 0
        assert await chain.stake(nobody, 1) == 0
        assert (await chain.query("System", "Account", nobody))["data"]["free"] == 0
        with pytest.raises(NotRegistered):
            await chain.uid(0, nobody)

    async def test_storage_goes_by_name(self, chain: Chain) -> None:
        with pytest.raises(ChainError, match="no storage item"):
            await chain.query("SubtensorModule", "NoSuchItem")
        with pytest.raises(ChainError, match="no storage item"):
            await chain.query("NoSuchPallet", "Tempo", 1)
        with pytest.raises(ChainError, match="can't be asked"):
            await chain.query("SubtensorModule", "Tempo", "not a netuid")
