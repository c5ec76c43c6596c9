"""What we expect of a chain with SubtensorModule, as tests to inherit.

Give a subclass an ``endpoint`` fixture (class scope, a ws:// URL) and a name that pytest collects;
``//Alice`` must be rich there, and sudo. The tests make a subnet of their own, with keys of their
own, and hold on a chain of any age. They say nothing of how a chain is built: only of what comes
back through :class:`subnet.chain.Chain`.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from subnet.chain import Chain
from subnet.errors import ChainError, ExtrinsicFailed, NoSuchSubnet, NotRegistered, WrongNetwork
from subnet.keys import load_key
from subnet.types import Netuid, Rao, rao

if TYPE_CHECKING:
    from substrateinterface import Keypair

PATIENCE = 90.0  # seconds for a block or an epoch to come, on a busy machine


@dataclass(frozen=True)
class Made:
    """The subnet that the tests work on."""

    netuid: Netuid
    owner: Keypair
    owner_hotkey: Keypair
    validator: Keypair
    miner: Keypair
    stranger: Keypair


@pytest.mark.asyncio(loop_scope="class")
class ChainConformance:
    @pytest.fixture(scope="class")
    @classmethod
    def endpoint(cls) -> str:
        """The chain's URL."""
        pytest.fail("a conformance class must give an endpoint")

    @pytest_asyncio.fixture(scope="class", loop_scope="class")
    @classmethod
    async def chain(cls, endpoint: str) -> AsyncIterator[Chain]:
        async with await Chain.connect(endpoint, timeout=30.0) as connected:
            yield connected

    @pytest.fixture(scope="class")
    @classmethod
    def alice(cls) -> Keypair:
        return load_key("//Alice")

    @pytest_asyncio.fixture(scope="class", loop_scope="class")
    @classmethod
    async def made(cls, chain: Chain, alice: Keypair) -> Made:
        """A started subnet with a staked validator and a miner that has no money at all."""
        run = secrets.token_hex(4)
        owner, owner_hotkey, validator, miner, stranger = (
            load_key(f"//Conformance//{run}//{name}") for name in ("owner", "hot", "validator", "miner", "stranger")
        )
        await chain.transfer(alice, owner.ss58_address, rao(20_000))
        netuid = (await chain.register_network(owner, owner_hotkey.ss58_address)).netuid
        await chain.wait_for_block(await chain.start_call_block(netuid), timeout=PATIENCE)
        await chain.start_call(owner, netuid)
        for call, params in (
            ("sudo_set_commit_reveal_weights_enabled", {"netuid": netuid, "enabled": False}),
            ("sudo_set_weights_set_rate_limit", {"netuid": netuid, "weights_set_rate_limit": 0}),
            ("sudo_set_tempo", {"netuid": netuid, "tempo": 10}),
        ):
            await chain.sudo(alice, "AdminUtils", call, params)
        for key in (validator, miner):
            await chain.burned_register(owner, netuid, key.ss58_address)
        await chain.add_stake(owner, validator.ss58_address, netuid, rao(1_000))
        return Made(netuid, owner, owner_hotkey, validator, miner, stranger)

    # Blocks

    async def test_blocks_go_on_and_keep_their_hashes(self, chain: Chain) -> None:
        now = await chain.block_number()
        found = await chain.block_hash(now)
        later = await chain.wait_for_block(now + 2, timeout=PATIENCE)
        assert later >= now + 2
        assert await chain.block_hash(now) == found
        assert await chain.block_hash(0) == chain.genesis_hash

    async def test_a_block_that_is_not_there_is_an_error(self, chain: Chain) -> None:
        with pytest.raises(ChainError, match="has no block"):
            await chain.block_hash(2**31)

    async def test_another_genesis_is_the_wrong_network(self, endpoint: str) -> None:
        with pytest.raises(WrongNetwork):
            await Chain.connect(endpoint, genesis_hash="0x" + "11" * 32)

    async def test_the_right_genesis_is_accepted_in_any_case_of_letters(self, chain: Chain, endpoint: str) -> None:
        genesis = "0x" + chain.genesis_hash[2:].upper()
        async with await Chain.connect(endpoint, genesis_hash=genesis, timeout=30.0) as other:
            assert other.genesis_hash == chain.genesis_hash
            assert other.spec_version == chain.spec_version

    # Money

    async def test_a_transfer_moves_its_amount_and_costs_its_fee(self, chain: Chain, alice: Keypair) -> None:
        to = load_key(f"//Conformance//{secrets.token_hex(4)}")
        before = await chain.balance(alice.ss58_address)
        included = await chain.transfer(alice, to.ss58_address, rao("1.5"))
        assert await chain.balance(to.ss58_address) == rao("1.5")
        assert included.fee > 0
        assert included.event("Balances", "Transfer") is not None
        assert await chain.block_hash(included.block) == included.block_hash
        assert await chain.balance(alice.ss58_address) == before - rao("1.5") - included.fee

    async def test_the_past_can_be_read(self, chain: Chain, alice: Keypair) -> None:
        to = load_key(f"//Conformance//{secrets.token_hex(4)}").ss58_address
        included = await chain.transfer(alice, to, rao(1))
        before = await chain.query("System", "Account", to, block=included.block - 1)
        after = await chain.query("System", "Account", to, block=included.block)
        assert (before["data"]["free"], after["data"]["free"]) == (0, rao(1))

    async def test_sends_back_to_back_all_arrive(self, chain: Chain, alice: Keypair) -> None:
        to = load_key(f"//Conformance//{secrets.token_hex(4)}").ss58_address
        sent = await asyncio.gather(*(chain.transfer(alice, to, rao(1)) for _ in range(6)))
        assert len({included.extrinsic_hash for included in sent}) == 6
        assert await chain.balance(to) == rao(6)

    async def test_two_clients_with_one_key_don_t_lose_a_send(
        self, chain: Chain, endpoint: str, alice: Keypair
    ) -> None:
        to = load_key(f"//Conformance//{secrets.token_hex(4)}").ss58_address
        async with await Chain.connect(endpoint, timeout=30.0) as other:
            await asyncio.gather(*(client.transfer(alice, to, rao(1)) for client in (chain, other)))
        assert await chain.balance(to) == rao(2)

    async def test_an_empty_account_can_t_pay(self, chain: Chain, alice: Keypair) -> None:
        poor = load_key(f"//Conformance//{secrets.token_hex(4)}")
        with pytest.raises(ExtrinsicFailed) as caught:
            await chain.transfer(poor, alice.ss58_address, rao(1))
        assert (caught.value.name, caught.value.where) == ("Payment", "pool")

    async def test_nobody_sends_more_than_there_is(self, chain: Chain, made: Made, alice: Keypair) -> None:
        with pytest.raises(ExtrinsicFailed) as caught:
            await chain.transfer(made.owner, alice.ss58_address, Rao(10**18))
        assert caught.value.where == "block"
        assert caught.value.name in ("FundsUnavailable", "InsufficientBalance", "NotExpendable")

    # Names

    async def test_storage_goes_by_name(self, chain: Chain, made: Made) -> None:
        assert await chain.query("SubtensorModule", "Tempo", made.netuid) == 10
        assert await chain.query("SubtensorModule", "Uids", made.netuid, made.stranger.ss58_address) is None
        assert (await chain.query("System", "Account", made.stranger.ss58_address))["data"]["free"] == 0
        with pytest.raises(ChainError, match="no storage item"):
            await chain.query("SubtensorModule", "NoSuchItem")
        with pytest.raises(ChainError, match="can't be asked"):
            await chain.query("SubtensorModule", "Tempo", "not a netuid")

    async def test_calls_go_by_name(self, chain: Chain, alice: Keypair) -> None:
        included = await chain.submit("System", "remark", {"remark": "0x1234"}, alice)
        assert included.event("System", "ExtrinsicSuccess") is not None
        with pytest.raises(ChainError, match="no call"):
            await chain.submit("System", "no_such_call", {}, alice)
        with pytest.raises(ChainError, match="takes remark"):
            await chain.submit("System", "remark", {"note": "0x"}, alice)

    # Sudo

    async def test_sudo_s_inner_failure_is_a_failure(self, chain: Chain, alice: Keypair) -> None:
        with pytest.raises(ExtrinsicFailed) as caught:
            await chain.sudo(alice, "AdminUtils", "sudo_set_tempo", {"netuid": 65_000, "tempo": 10})
        assert caught.value.where == "sudo"
        assert caught.value.name in ("SubnetDoesNotExist", "SubnetNotExists", "SubNetworkDoesNotExist")

    async def test_sudo_is_not_for_everybody(self, chain: Chain, made: Made) -> None:
        with pytest.raises(ExtrinsicFailed) as caught:
            await chain.sudo(made.owner, "System", "remark", {"remark": "0x00"})
        assert caught.value.name in ("RequireSudo", "BadOrigin")

    # Subnets and neurons

    async def test_a_new_subnet_is_listed_and_its_owner_is_uid_0(self, chain: Chain, made: Made) -> None:
        assert made.netuid in await chain.subnets()
        metagraph = await chain.metagraph(made.netuid)
        assert metagraph.hotkeys[:3] == tuple(
            key.ss58_address for key in (made.owner_hotkey, made.validator, made.miner)
        )
        assert set(metagraph.coldkeys) == {made.owner.ss58_address}
        assert metagraph.owner_hotkey == made.owner_hotkey.ss58_address
        assert metagraph.stake[1] > 0
        assert len(metagraph) == 3
        assert await chain.block_hash(metagraph.block) == metagraph.block_hash

    async def test_the_metagraph_of_the_past(self, chain: Chain, made: Made) -> None:
        now = await chain.metagraph(made.netuid)
        born = int(now.block_at_registration[2])
        assert len(await chain.metagraph(made.netuid, born - 1)) == 2
        assert len(await chain.metagraph(made.netuid, born)) == 3

    async def test_what_is_no_subnet_is_said_so(self, chain: Chain) -> None:
        for read in (chain.metagraph, chain.hyperparameters, chain.next_epoch_block):
            with pytest.raises(NoSuchSubnet):
                await read(65_000)

    async def test_hyperparameters(self, chain: Chain, made: Made) -> None:
        found = await chain.hyperparameters(made.netuid)
        assert (found.tempo, found.weights_rate_limit) == (10, 0)
        assert (found.commit_reveal_enabled, found.started, found.registration_allowed) == (False, True, True)
        assert 0 < found.kappa <= 65535
        assert found.max_uids >= 3
        assert found.registered_at == (await chain.metagraph(made.netuid)).block_at_registration[0]

    async def test_uids_by_hotkey(self, chain: Chain, made: Made) -> None:
        assert await chain.uid(made.netuid, made.miner.ss58_address) == 2
        with pytest.raises(NotRegistered):
            await chain.uid(made.netuid, made.stranger.ss58_address)

    async def test_a_hotkey_registers_once(self, chain: Chain, made: Made) -> None:
        with pytest.raises(ExtrinsicFailed) as caught:
            await chain.burned_register(made.owner, made.netuid, made.miner.ss58_address)
        assert caught.value.name == "HotKeyAlreadyRegisteredInSubNet"
        assert "registered already" in caught.value.remedy

    async def test_starting_twice_is_refused(self, chain: Chain, made: Made) -> None:
        with pytest.raises(ExtrinsicFailed) as caught:
            await chain.start_call(made.owner, made.netuid)
        assert caught.value.name == "FirstEmissionBlockNumberAlreadySet"

    async def test_stake_adds_up(self, chain: Chain, made: Made) -> None:
        before = await chain.stake(made.miner.ss58_address, made.netuid)
        await chain.add_stake(made.owner, made.miner.ss58_address, made.netuid, rao(5))
        assert await chain.stake(made.miner.ss58_address, made.netuid) > before

    async def test_a_hotkey_without_money_serves(self, chain: Chain, made: Made) -> None:
        assert await chain.balance(made.miner.ss58_address) == 0
        included = await chain.serve_axon(made.miner, made.netuid, "203.0.113.7", 8091)
        assert included.fee == 0
        axon = (await chain.metagraph(made.netuid)).axons[2]
        assert axon is not None
        assert (axon.ip, axon.port, axon.ip_type) == ("203.0.113.7", 8091, 4)

    @pytest.mark.parametrize(
        ("who", "port", "names"),
        [
            ("validator", 0, {"InvalidPort"}),
            ("stranger", 8091, {"HotKeyNotRegisteredInNetwork", "HotKeyNotRegisteredInSubNet"}),
        ],
    )
    async def test_axons_that_are_refused(self, chain: Chain, made: Made, who: str, port: int, names: set[str]) -> None:
        with pytest.raises(ExtrinsicFailed) as caught:
            await chain.serve_axon(getattr(made, who), made.netuid, "203.0.113.7", port)
        assert caught.value.name in names
        assert caught.value.remedy

    # Weights and epochs

    async def test_weights_are_paid_at_the_epoch(self, chain: Chain, made: Made) -> None:
        await self._permit(chain, made)
        await chain.set_weights(made.validator, made.netuid, [0, 2], [1, 65535])
        assert (await chain.weights(made.netuid))[1] == [(0, 1), (2, 65535)]
        now = await chain.block_number()
        due = await chain.next_epoch_block(made.netuid)
        assert due is not None
        assert due > now
        await chain.wait_for_block(due, timeout=PATIENCE)
        metagraph = await chain.metagraph(made.netuid, due)
        assert metagraph.incentive[2] > metagraph.incentive[1]
        assert metagraph.dividends[1] > 0
        assert metagraph.emission[2] > 0
        assert metagraph.stake[2] > (await chain.metagraph(made.netuid, due - 1)).stake[2]

    async def _permit(self, chain: Chain, made: Made) -> None:
        """Wait for the epoch that gives the validator its permit."""
        for _ in range(3):
            if (await chain.metagraph(made.netuid)).validator_permit[1]:
                return
            due = await chain.next_epoch_block(made.netuid)
            assert due is not None
            await chain.wait_for_block(due, timeout=PATIENCE)
        assert (await chain.metagraph(made.netuid)).validator_permit[1]

    @pytest.mark.parametrize(
        ("uids", "weights", "name"),
        [
            ([0, 2], [1], "WeightVecNotEqualSize"),
            ([2, 2], [1, 1], "DuplicateUids"),
            ([0, 9], [1, 1], "UidVecContainInvalidOne"),
            ([0, 1, 2, 3, 4], [1, 1, 1, 1, 1], "UidsLengthExceedUidsInSubNet"),
        ],
    )
    async def test_weights_that_are_refused(
        self, chain: Chain, made: Made, uids: list[int], weights: list[int], name: str
    ) -> None:
        await self._permit(chain, made)
        with pytest.raises(ExtrinsicFailed) as caught:
            await chain.set_weights(made.validator, made.netuid, uids, weights)
        assert caught.value.name == name
        assert caught.value.remedy

    async def test_a_stranger_s_weights_are_refused(self, chain: Chain, made: Made) -> None:
        with pytest.raises(ExtrinsicFailed) as caught:
            await chain.set_weights(made.stranger, made.netuid, [0], [1])
        assert caught.value.name in ("HotKeyNotRegisteredInSubNet", "NotEnoughStakeToSetWeights")
