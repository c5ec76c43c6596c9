"""Subnets and neurons: registration, serving, stake, and what is written beside a hotkey."""

from __future__ import annotations

import pytest
from conformance_base import UNREGISTERED, Base, Made, Stage, fresh, has, needs

from subnet.errors import ExtrinsicFailed, NotRegistered
from subnet.types import Rao, Uid, rao


@pytest.mark.asyncio(loop_scope="class")
class NeuronConformance(Base):
    async def test_blocks_go_on(self, stage: Stage) -> None:
        now = await stage.chain.block_number()
        found = await stage.chain.block_hash(now)
        assert await stage.reach(now + 2) >= now + 2
        assert await stage.chain.block_hash(now) == found

    async def test_a_new_subnet_is_listed_and_its_owner_is_uid_0(self, stage: Stage, made: Made) -> None:
        chain = stage.chain
        assert made.netuid in await chain.subnets()
        metagraph = await chain.metagraph(made.netuid)
        assert metagraph.hotkeys[:4] == tuple(key.ss58_address for key in made.registered)
        assert metagraph.coldkeys[:4] == (made.owner.ss58_address, *[made.coldkey.ss58_address] * 3)
        assert metagraph.owner_hotkey == made.owner_hotkey.ss58_address
        assert metagraph.stake[1] > 0
        assert await chain.block_hash(metagraph.block) == metagraph.block_hash
        for uid, key in enumerate(made.registered):
            assert await chain.uid(made.netuid, key.ss58_address) == uid
        with pytest.raises(NotRegistered):
            await chain.uid(made.netuid, made.stranger.ss58_address)

    async def test_the_metagraph_of_the_past(self, stage: Stage, made: Made) -> None:
        now = await stage.chain.metagraph(made.netuid)
        born = int(now.block_at_registration[3])
        assert len(await stage.chain.metagraph(made.netuid, born - 1)) == 3
        assert len(await stage.chain.metagraph(made.netuid, born)) == 4

    async def test_hyperparameters_are_what_was_set(self, stage: Stage, made: Made) -> None:
        found = await stage.chain.hyperparameters(made.netuid)
        if stage.can.sudo:
            assert (found.tempo, found.weights_rate_limit) == (stage.tempo, 0)
        assert (found.commit_reveal_enabled, found.started, found.registration_allowed) == (False, True, True)
        assert found.min_allowed_weights == 1
        assert found.activity_cutoff > 0
        assert found.registered_at == (await stage.chain.metagraph(made.netuid)).block_at_registration[0]

    async def test_one_fact_read_in_several_ways_is_one(self, stage: Stage, made: Made) -> None:
        chain, netuid = stage.chain, made.netuid
        block = await chain.block_number()
        metagraph = await chain.metagraph(netuid, block)
        (details,) = [one for one in await chain.subnet_details(block) if one.netuid == netuid]
        rules = await chain.hyperparameters(netuid, block)
        assert (details.neurons, details.tempo, details.burn) == (len(metagraph), metagraph.tempo, rules.burn)
        assert (details.owner, details.owner_hotkey) == (made.owner.ss58_address, metagraph.owner_hotkey)
        assert (details.started, details.registered_at) == (rules.started, rules.registered_at)
        validator, cold = made.validator.ss58_address, made.coldkey.ss58_address
        # our node keeps shares in AlphaV2 whatever the shape, so where the metadata lack it there is nothing to see
        if not stage.can.blocks or await has(chain, "SubtensorModule", "AlphaV2", validator, cold, netuid):
            on_hotkey = await chain.stakes_on(validator, netuid, block)
            assert abs(sum(one.alpha for one in on_hotkey) - int(metagraph.stake[1])) <= len(on_hotkey)
            (mine,) = [one for one in on_hotkey if one.coldkey == cold]
            assert mine in await chain.stakes_of(cold, block)
        assert (await chain.balances([cold], block))[cold] == await chain.balance(cold, block)
        rows = await chain.weights(netuid, block)
        matrix = (await chain.weight_matrix(netuid, block)).toarray()
        assert matrix.shape == (len(metagraph), len(metagraph))
        for uid in range(len(metagraph)):
            row = {int(column): int(matrix[uid, column]) for column in matrix[uid].nonzero()[0]}
            assert row == {column: value for column, value in rows.get(Uid(uid), []) if value}
        history = await chain.history(netuid, 1, block, block)
        assert (history.hotkey, history.stake.tolist()) == ((validator,), [metagraph.stake[1]])
        assert history.dividends.tolist() == [metagraph.dividends[1]]
        keys = await chain.query_map("SubtensorModule", "Keys", netuid, block=block)
        assert tuple(keys[uid] for uid in range(len(metagraph))) == metagraph.hotkeys

    async def test_a_hotkey_registers_once(self, stage: Stage, made: Made) -> None:
        with pytest.raises(ExtrinsicFailed) as caught:
            await stage.chain.burned_register(made.coldkey, made.netuid, made.miner.ss58_address)
        assert caught.value.name == "HotKeyAlreadyRegisteredInSubNet"
        assert "registered already" in caught.value.remedy

    async def test_a_registration_costs_the_burn_and_the_fee(self, stage: Stage, made: Made) -> None:
        chain, payer = stage.chain, made.coldkey
        hotkey = fresh("late").ss58_address
        before = await chain.balance(payer.ss58_address)
        included = await chain.burned_register(payer, made.netuid, hotkey)
        burn = (await chain.hyperparameters(made.netuid, included.block - 1)).burn
        paid = before - await chain.balance(payer.ss58_address) - included.fee
        assert 0 < paid <= burn
        assert paid >= burn * 0.99  # it falls from block to block
        event = included.event("SubtensorModule", "NeuronRegistered")
        assert event is not None
        assert await chain.uid(made.netuid, hotkey) == event.attributes[1]

    async def test_starting_twice_is_refused(self, stage: Stage, made: Made) -> None:
        needs(stage.can.start, "start_call")
        with pytest.raises(ExtrinsicFailed) as caught:
            await stage.chain.start_call(made.owner, made.netuid)
        assert caught.value.name == "FirstEmissionBlockNumberAlreadySet"

    async def test_stake_goes_on_and_off(self, stage: Stage, made: Made) -> None:
        chain, hotkey = stage.chain, made.owner_hotkey.ss58_address
        before = await chain.stake(hotkey, made.netuid)
        included = await chain.add_stake(made.owner, hotkey, made.netuid, rao(200))
        assert included.event("SubtensorModule", "StakeAdded") is not None
        more = await chain.stake(hotkey, made.netuid)
        assert more > before
        await chain.remove_stake(made.owner, hotkey, made.netuid, Rao((more - before) // 2))
        assert await chain.stake(hotkey, made.netuid) < more

    async def test_nobody_stakes_more_than_there_is(self, stage: Stage, made: Made) -> None:
        with pytest.raises(ExtrinsicFailed) as caught:
            await stage.chain.add_stake(made.coldkey, made.validator.ss58_address, made.netuid, rao(900_000))
        assert caught.value.name == "NotEnoughBalanceToStake"

    async def test_a_hotkey_without_money_serves(self, stage: Stage, made: Made) -> None:
        chain = stage.chain
        assert await chain.balance(made.miner.ss58_address) == 0
        included = await chain.serve_axon(made.miner, made.netuid, "203.0.113.7", 8091)
        assert included.fee == 0
        assert included.event("SubtensorModule", "AxonServed") is not None
        axon = (await chain.metagraph(made.netuid)).axons[2]
        assert axon is not None
        assert (axon.ip, axon.port, axon.ip_type) == ("203.0.113.7", 8091, 4)

    async def test_an_axon_at_ipv6(self, stage: Stage, made: Made) -> None:
        await stage.chain.serve_axon(made.idler, made.netuid, "2001:db8::7", 443)
        axon = (await stage.chain.metagraph(made.netuid)).axons[3]
        assert axon is not None
        assert (axon.ip, axon.port, axon.ip_type) == ("2001:db8::7", 443, 6)

    @pytest.mark.parametrize(
        ("who", "ip", "port", "names"),
        [
            ("validator", "203.0.113.7", 0, {"InvalidPort"}),
            ("validator", "255.255.255.255", 80, {"InvalidIpAddress"}),
            ("stranger", "203.0.113.7", 8091, UNREGISTERED),
        ],
    )
    async def test_axons_that_are_refused(
        self, stage: Stage, made: Made, who: str, ip: str, port: int, names: set[str]
    ) -> None:
        """By the pool on some versions, in the block on others: one error, with what to do about it."""
        with pytest.raises(ExtrinsicFailed) as caught:
            await stage.chain.serve_axon(getattr(made, who), made.netuid, ip, port)
        assert caught.value.name in names
        assert caught.value.where in ("pool", "block")
        assert caught.value.remedy
