"""Weights: who may set them, what the chain checks and in which order, commits and reveals, and the epoch's outcome."""

from __future__ import annotations

import pytest
from conformance_base import UNREGISTERED, Base, Made, Stage, has, needs

from subnet.chain import WeightCommit
from subnet.errors import ChainError, ExtrinsicFailed


@pytest.mark.asyncio(loop_scope="class")
class WeightConformance(Base):
    async def test_weights_are_paid_at_the_epoch(self, stage: Stage, made: Made) -> None:
        needs(stage.can.sudo or stage.can.blocks, "way to a short tempo")
        chain = stage.chain
        await stage.permit(made)
        assert await chain.balance(made.validator.ss58_address) == 0  # setting weights needs no money
        included = await chain.set_weights(made.validator, made.netuid, [0, 2], [1, 65535])
        assert included.fee == 0
        assert (await chain.weights(made.netuid))[1] == [(0, 1), (2, 65535)]
        due = await stage.epoch(made.netuid)
        metagraph = await chain.metagraph(made.netuid, due)
        assert metagraph.incentive[2] > metagraph.incentive[1]
        assert metagraph.dividends[1] > 0
        assert metagraph.emission[2] > 0
        assert metagraph.stake[2] > (await chain.metagraph(made.netuid, due - 1)).stake[2]
        after = await chain.next_epoch_block(made.netuid)
        assert after is not None
        assert after - due in (metagraph.tempo, metagraph.tempo + 1)  # head's rule, and that of up to 343

    async def test_epochs_run_when_the_client_says(self, stage: Stage, made: Made) -> None:
        """By the last one's block at head, by the block's number up to spec 343."""
        needs(stage.can.sudo or stage.can.blocks, "way to a short tempo")
        for _ in range(2):
            due = await stage.epoch(made.netuid)
            since = [
                await stage.chain.query("SubtensorModule", "BlocksSinceLastStep", made.netuid, block=block)
                for block in (due - 1, due)
            ]
            assert since[0] > 0
            assert since[1] == 0

    @pytest.mark.parametrize(
        ("uids", "weights", "version_key", "name"),
        [  # each breaks its own rule and a later one: the order is part of what a client may rely on
            ([2, 2], [1], 0, "WeightVecNotEqualSize"),
            ([2, 2, *range(300, 320)], [1] * 22, 0, "UidsLengthExceedUidsInSubNet"),
            ([2, 2], [1, 1], 6, "IncorrectWeightVersionKey"),
            ([2, 2], [1, 1], 7, "DuplicateUids"),
            ([0, 900], [1, 1], 7, "UidVecContainInvalidOne"),
        ],
    )
    async def test_weights_that_are_refused(
        self, stage: Stage, made: Made, uids: list[int], weights: list[int], version_key: int, name: str
    ) -> None:
        await stage.permit(made)
        key = {"netuid": made.netuid, "weights_version_key": 7}
        await stage.configure("sudo_set_weights_version_key", key, made.owner)
        try:
            with pytest.raises(ExtrinsicFailed) as caught:
                await stage.chain.set_weights(made.validator, made.netuid, uids, weights, version_key)
            assert caught.value.name == name
            assert caught.value.remedy
        finally:
            await stage.configure("sudo_set_weights_version_key", {**key, "weights_version_key": 0}, made.owner)

    async def test_too_few_weights_are_refused(self, stage: Stage, made: Made) -> None:
        await stage.permit(made)
        least = {"netuid": made.netuid, "min_allowed_weights": 3}
        await stage.configure("sudo_set_min_allowed_weights", least, made.owner)
        try:
            with pytest.raises(ExtrinsicFailed) as caught:
                await stage.chain.set_weights(made.validator, made.netuid, [0, 2], [1, 1])
            assert caught.value.name == "WeightVecLengthIsLow"
        finally:
            await stage.configure("sudo_set_min_allowed_weights", {**least, "min_allowed_weights": 1}, made.owner)

    async def test_a_stranger_s_weights_are_refused(self, stage: Stage, made: Made) -> None:
        with pytest.raises(ExtrinsicFailed) as caught:
            await stage.chain.set_weights(made.stranger, made.netuid, [0], [1])
        assert caught.value.name in UNREGISTERED | {"NotEnoughStakeToSetWeights"}
        assert caught.value.remedy

    async def test_without_a_permit_there_are_no_weights_for_others(self, stage: Stage, made: Made) -> None:
        await stage.permit(made)
        if (await stage.chain.metagraph(made.netuid)).validator_permit[3]:
            pytest.skip("this version gives permits to neurons without stake")
        with pytest.raises(ExtrinsicFailed) as caught:
            await stage.chain.set_weights(made.idler, made.netuid, [1], [1])
        assert caught.value.name in ("NeuronNoValidatorPermit", "NotEnoughStakeToSetWeights")

    async def test_weights_below_the_stake_threshold_are_refused(self, stage: Stage, made: Made) -> None:
        """By the pool, whose number for it is another on each version."""
        needs(stage.can.sudo, "sudo for us")
        older = await has(stage.chain, "SubtensorModule", "WeightsMinStake")
        call = "sudo_set_weights_min_stake" if older else "sudo_set_stake_threshold"
        before = (await stage.chain.hyperparameters(made.netuid)).stake_threshold
        await stage.chain.sudo(stage.key, "AdminUtils", call, {"min_stake": 10**17})
        try:
            assert (await stage.chain.hyperparameters(made.netuid)).stake_threshold == 10**17
            with pytest.raises(ExtrinsicFailed) as caught:
                await stage.chain.set_weights(made.validator, made.netuid, [0], [1])
            assert (caught.value.name, caught.value.where) == ("NotEnoughStakeToSetWeights", "pool")
        finally:
            await stage.chain.sudo(stage.key, "AdminUtils", call, {"min_stake": before})

    async def test_weights_are_rate_limited(self, stage: Stage, made: Made) -> None:
        needs(stage.can.sudo, "sudo for us")
        await stage.permit(made)
        limit = {"netuid": made.netuid, "weights_set_rate_limit": 1000}
        await stage.chain.set_weights(made.validator, made.netuid, [0], [1])
        await stage.configure("sudo_set_weights_set_rate_limit", limit, made.owner)
        try:
            with pytest.raises(ExtrinsicFailed) as caught:
                await stage.chain.set_weights(made.validator, made.netuid, [0], [1])
            assert caught.value.name == "SettingWeightsTooFast"
        finally:
            await stage.configure("sudo_set_weights_set_rate_limit", {**limit, "weights_set_rate_limit": 0}, made.owner)

    async def test_weights_of_a_mechanism(self, stage: Stage, made: Made) -> None:
        needs(stage.can.mechanisms, "mechanisms")
        await stage.permit(made)
        await stage.chain.submit(
            "SubtensorModule",
            "set_mechanism_weights",
            {"netuid": made.netuid, "mecid": 0, "dests": [2], "weights": [65535], "version_key": 0},
            made.validator,
        )
        assert (await stage.chain.weights(made.netuid))[1] == [(2, 65535)]

    async def test_commit_and_reveal(self, stage: Stage, made: Made) -> None:
        needs(stage.can.sudo or stage.can.blocks, "way to a short tempo")
        chain = stage.chain
        await stage.permit(made)
        switch = {"netuid": made.netuid, "enabled": True}
        await stage.configure("sudo_set_commit_reveal_weights_enabled", switch, made.owner)
        try:
            with pytest.raises(ExtrinsicFailed) as caught:
                await chain.set_weights(made.validator, made.netuid, [0], [1])
            assert caught.value.name == "CommitRevealEnabled"
            await self._reveal(stage, made)
        finally:
            await stage.configure("sudo_set_commit_reveal_weights_enabled", {**switch, "enabled": False}, made.owner)
        with pytest.raises(ExtrinsicFailed) as caught:
            await chain.commit_weights(made.validator, WeightCommit.fresh(_address(made), made.netuid, [0], [1]))
        assert caught.value.name == "CommitRevealDisabled"

    async def _reveal(self, stage: Stage, made: Made) -> None:
        chain = stage.chain
        commit = WeightCommit.fresh(_address(made), made.netuid, [0, 2], [7, 65535])
        other = WeightCommit.fresh(_address(made), made.netuid, [0, 2], [7, 65535])
        await stage.epoch(made.netuid)  # so that the next one is not in between
        included = await chain.commit_weights(made.validator, commit)
        assert included.fee == 0
        assert included.event("SubtensorModule", "WeightsCommitted") is not None
        if stage.can.blocks:  # elsewhere the epoch may end meanwhile
            with pytest.raises(ExtrinsicFailed) as caught:
                await chain.reveal_weights(made.validator, commit)
            assert caught.value.name == "RevealTooEarly"
        await stage.epoch(made.netuid)
        with pytest.raises(ExtrinsicFailed) as caught:
            await chain.reveal_weights(made.validator, other)
        assert caught.value.name in ("InvalidRevealCommitHashNotMatch", "NoWeightsCommitFound")
        await chain.reveal_weights(made.validator, commit)
        assert (await chain.weights(made.netuid))[1] == [(0, 7), (2, 65535)]
        with pytest.raises(ExtrinsicFailed) as caught:
            await chain.reveal_weights(made.validator, commit)
        assert caught.value.name == "NoWeightsCommitFound"

    async def test_time_locked_weights(self, stage: Stage, made: Made) -> None:
        pytest.importorskip("bittensor_drand", reason="needs the extra drand")
        needs(stage.can.sudo or stage.can.blocks, "way to a short tempo")
        await stage.permit(made)
        switch = {"netuid": made.netuid, "enabled": True}
        await stage.configure("sudo_set_commit_reveal_weights_enabled", switch, made.owner)
        try:
            if stage.can.drand:
                needs(not stage.can.blocks, "blocks in time with drand's rounds")
                await self._opened(stage, made)
            else:
                with pytest.raises(ChainError, match=r"CallDisabled|has no call \S+\.commit_"):
                    await stage.chain.commit_timelocked_weights(made.validator, made.netuid, [0], [1])
                assert await stage.chain.timelocked_commits(made.netuid) == ()
        finally:
            await stage.configure("sudo_set_commit_reveal_weights_enabled", {**switch, "enabled": False}, made.owner)

    async def _opened(self, stage: Stage, made: Made) -> None:
        chain = stage.chain
        await stage.epoch(made.netuid)  # so that the next one is not in between
        included = await chain.commit_timelocked_weights(made.validator, made.netuid, [0, 2], [9, 65535])
        assert included.fee == 0
        assert [commit.hotkey for commit in await chain.timelocked_commits(made.netuid)] == [_address(made)]
        tempo = (await chain.hyperparameters(made.netuid)).tempo
        first = await chain.reveal_block(made.netuid, included.block)
        for block in range(first, first + tempo):  # opened once its round is out, at any block of that epoch
            await stage.reach(block)
            if (await chain.weights(made.netuid)).get(1) == [(0, 9), (2, 65535)]:
                break
        else:
            pytest.fail(f"nothing was opened from block {first} on, in an epoch of {tempo} blocks")
        assert await chain.timelocked_commits(made.netuid) == ()


def _address(made: Made) -> str:
    return made.validator.ss58_address
