"""What the client reads beyond the metagraph: subnets, stakes, takes, commitments, matrices, events, history."""

from __future__ import annotations

import pytest
from conformance_base import Base, Made, Stage, fresh, has, needs

from subnet.chain import WeightCommit
from subnet.errors import ExtrinsicFailed, NoSuchSubnet
from subnet.types import rao


@pytest.mark.asyncio(loop_scope="class")
class RecordConformance(Base):
    async def test_a_subnet_in_a_few_words(self, stage: Stage, made: Made) -> None:
        found = await stage.chain.subnet(made.netuid)
        assert (found.owner, found.owner_hotkey) == (made.owner.ss58_address, made.owner_hotkey.ss58_address)
        assert found.neurons >= 4
        assert found.started
        assert found.mechanisms >= 1
        assert found.burn == await stage.chain.burn(made.netuid)
        assert made.netuid in [one.netuid for one in await stage.chain.subnet_details()]
        with pytest.raises(NoSuchSubnet):
            await stage.chain.subnet(65_000)

    async def test_another_network_would_cost_something(self, stage: Stage) -> None:
        assert await stage.chain.network_cost() > 0

    async def test_stakes_by_who_and_where(self, stage: Stage, made: Made) -> None:
        chain, hotkey, coldkey = stage.chain, made.validator.ss58_address, made.coldkey.ss58_address
        block = (await chain.metagraph(made.netuid)).block
        total = await chain.stake(hotkey, made.netuid, block)
        own = [
            one for one in await chain.stakes_of(coldkey, block) if (one.hotkey, one.netuid) == (hotkey, made.netuid)
        ]
        held = await chain.stakes_on(hotkey, made.netuid, block)
        assert [one.coldkey for one in held] == [coldkey]
        assert abs(own[0].alpha - held[0].alpha) <= 1
        assert 0 < held[0].alpha <= total + 1

    async def test_weights_as_a_matrix(self, stage: Stage, made: Made) -> None:
        chain = stage.chain
        await stage.permit(made)
        set_in = (await chain.set_weights(made.validator, made.netuid, [0, 2], [1, 65535])).block
        n = len(await chain.metagraph(made.netuid, set_in))
        weights = await chain.weight_matrix(made.netuid, set_in)
        assert weights.shape == (await chain.bond_matrix(made.netuid, set_in)).shape == (n, n)
        assert (weights[1, 0], weights[1, 2]) == (1, 65535)

    async def test_events_of_a_block(self, stage: Stage) -> None:
        included = await stage.chain.transfer(stage.key, fresh().ss58_address, rao(1))
        found = await stage.chain.events(included.block)
        assert set(map(repr, included.events)) <= set(map(repr, found))
        assert len(found) > len(included.events)

    async def test_a_neuron_s_history(self, stage: Stage, made: Made) -> None:
        now = await stage.chain.metagraph(made.netuid)
        found = await stage.chain.history(made.netuid, 1, now.block - 3, now.block)
        assert len(found.block) == 4
        assert set(found.hotkey) == {made.validator.ss58_address}

    async def test_a_commitment_is_kept(self, stage: Stage, made: Made) -> None:
        hotkey = made.miner.ss58_address
        needs(await has(stage.chain, "Commitments", "CommitmentOf", 0, hotkey), "commitments")
        assert await stage.chain.commitment(made.netuid, made.stranger.ss58_address) is None
        await stage.chain.transfer(stage.key, hotkey, rao(1))  # a commitment may have a fee
        await stage.chain.set_commitment(made.miner, made.netuid, b"sha256:abc")
        found = await stage.chain.commitment(made.netuid, hotkey)
        assert found is not None
        assert [one.data for one in found.data] == [b"sha256:abc"]
        assert (await stage.chain.commitments(made.netuid))[found.hotkey] == found
        await stage.chain.transfer_all(made.miner, stage.key.ss58_address, keep_alive=False)

    async def test_a_delegate_s_take_goes_down(self, stage: Stage, made: Made) -> None:
        chain, hotkey = stage.chain, made.validator.ss58_address
        take = await chain.delegate_take(hotkey)
        await chain.decrease_take(made.coldkey, hotkey, take - 100)
        assert await chain.delegate_take(hotkey) == take - 100
        with pytest.raises(ExtrinsicFailed) as caught:
            await chain.decrease_take(made.coldkey, hotkey, take)
        assert caught.value.name == "DelegateTakeTooLow"

    async def test_children_are_named(self, stage: Stage, made: Made) -> None:
        chain, hotkey, child = stage.chain, made.owner_hotkey.ss58_address, made.miner.ss58_address
        assert await chain.children(hotkey, made.netuid) == ()
        await chain.set_children(made.owner, hotkey, made.netuid, {child: 0.25})
        with pytest.raises(ExtrinsicFailed) as caught:
            await chain.set_children(made.stranger, hotkey, made.netuid, {child: 0.25})
        assert caught.value.remedy

    async def test_an_open_commit_is_listed(self, stage: Stage, made: Made) -> None:
        chain, hotkey = stage.chain, made.validator.ss58_address
        needs(stage.can.sudo or stage.can.blocks, "way to a short tempo")
        await stage.permit(made)
        switch = {"netuid": made.netuid, "enabled": True}
        await stage.configure("sudo_set_commit_reveal_weights_enabled", switch, made.owner)
        try:
            await stage.epoch(made.netuid)
            commit = WeightCommit.fresh(hotkey, made.netuid, [0], [1])
            included = await chain.commit_weights(made.validator, commit)
            (found,) = [one for one in await chain.weight_commits(made.netuid, hotkey) if one.hash == commit.hash]
            assert found.block == included.block
            assert (found.epoch is None) is (found.first_reveal is not None)
        finally:
            await stage.configure("sudo_set_commit_reveal_weights_enabled", {**switch, "enabled": False}, made.owner)
