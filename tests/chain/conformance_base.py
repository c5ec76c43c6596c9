"""Fixtures of the conformance suite: the connection, what the chain can do, and the subnet that the tests work on."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
import pytest_asyncio
from aiohttp import ClientSession

from subnet.chain import Chain
from subnet.cli.onchain import PUBLIC
from subnet.errors import ChainError
from subnet.keys import load_key
from subnet.types import Block, Netuid, Rao, rao

if TYPE_CHECKING:
    from substrateinterface import Keypair

BLOCK_TIME = 30.0
"""Seconds that a block may take to come: a real network's twelve, and a busy machine."""
NEEDED = rao(7_000)
"""What the key must have: most of it is locked by the subnet and staked, none of it comes back."""
SUBNET_ABSENT = {"SubnetNotExists", "SubNetworkDoesNotExist", "SubnetDoesNotExist", "MechanismDoesNotExist"}
UNREGISTERED = {"HotKeyNotRegisteredInNetwork", "HotKeyNotRegisteredInSubNet"}


@dataclass(frozen=True)
class Abilities:
    """What a chain can do beyond what all can; found out by :meth:`Base.can`, or overridden there."""

    sudo: bool
    """The key is sudo's."""
    blocks: bool
    """Blocks come when something is sent, or by ``dev_newBlock``, and not else: as on our node with --instant, and
    on chopsticks."""
    start: bool
    """Subnets wait for start_call; up to spec 218 they run from the first."""
    mechanisms: bool
    drand: bool
    """The chain hears drand, so that it reveals time-locked commits."""


@dataclass(frozen=True)
class Made:
    """The subnet that the tests work on: uid 0 is the owner's hotkey, 1 a staked validator, 2 a miner, 3 an idler.

    ``coldkey`` owns those three: what the neurons of a subnet's own owner earn, the chain burns.
    """

    netuid: Netuid
    owner: Keypair
    coldkey: Keypair
    owner_hotkey: Keypair
    validator: Keypair
    miner: Keypair
    idler: Keypair
    stranger: Keypair

    @property
    def registered(self) -> tuple[Keypair, ...]:
        """In the order of their uids."""
        return (self.owner_hotkey, self.validator, self.miner, self.idler)


@dataclass(frozen=True)
class Stage:
    """The chain with the means to set it up."""

    chain: Chain
    endpoint: str
    key: Keypair
    can: Abilities

    @property
    def tempo(self) -> int:
        """The tempo of the tests' subnet: short where we make the blocks, else with time to do things in an epoch."""
        return 10 if self.can.blocks else 40

    async def reach(self, block: int) -> Block:
        """Be at a block or later: made at once where the chain can, else waited for."""
        now = await self.chain.block_number()
        if self.can.blocks and block > now:
            await rpc(self.endpoint, "dev_newBlock", [{"count": block - now}])
        return await self.chain.wait_for_block(block, timeout=BLOCK_TIME * max(2, block - now))

    async def epoch(self, netuid: int) -> Block:
        """Let the subnet's next epoch run; its block."""
        due = await self.chain.next_epoch_block(netuid)
        assert due is not None
        await self.reach(due)
        return due

    async def configure(self, call: str, params: Mapping[str, Any], owner: Keypair) -> None:
        """A hyperparameter, as sudo, or as the subnet's owner where the key isn't sudo's."""
        if self.can.sudo:
            await self.chain.sudo(self.key, "AdminUtils", call, params)
        else:
            await self.chain.submit("AdminUtils", call, params, owner)

    async def permit(self, made: Made) -> None:
        """Wait for the epoch that gives the validator its permit."""
        for _ in range(3):
            if (await self.chain.metagraph(made.netuid)).validator_permit[1]:
                return
            await self.epoch(made.netuid)
        assert (await self.chain.metagraph(made.netuid)).validator_permit[1]


async def rpc(endpoint: str, method: str, params: Sequence[Any] = ()) -> Any:
    """One JSON-RPC call past the client."""
    async with ClientSession() as session, session.ws_connect(endpoint) as socket:
        await socket.send_json({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)})
        reply = await socket.receive_json()
    if "error" in reply:
        raise AssertionError(f"{method}: {reply['error']}")
    return reply["result"]


async def has(chain: Chain, pallet: str, item: str, *keys: Any) -> bool:
    """Whether the runtime has a storage item."""
    try:
        await chain.query(pallet, item, *keys)
    except ChainError as error:
        assert "no storage item" in str(error)  # noqa: PT017 - anything else is no answer
        return False
    return True


def why_not(genesis_hash: str, balance: int, allowed: frozenset[str]) -> str | None:
    """Why the tests send nothing to a chain; None if they may."""
    if genesis_hash in PUBLIC and genesis_hash not in allowed:
        return f"it is the public network {PUBLIC[genesis_hash]}"
    if balance < NEEDED:
        return f"the key has {balance / 10**9:,.0f} TAO, and {NEEDED / 10**9:,.0f} are needed"
    return None


def fresh(name: str = "somebody") -> Keypair:
    """A key that nobody has used."""
    return load_key(f"//Conformance//{secrets.token_hex(6)}//{name}")


class Base:
    """What a subclass may override: ``endpoint`` it must; ``key``, ``own_blocks``, ``can`` and ``allowed`` it may."""

    own_blocks: ClassVar[bool] = False
    """See :attr:`Abilities.blocks`."""

    @pytest.fixture(scope="class")
    @classmethod
    def endpoint(cls) -> str:
        """The chain's URL."""
        pytest.fail("a conformance class must give an endpoint")

    @pytest.fixture(scope="class")
    @classmethod
    def key(cls) -> Keypair:
        """Somebody with :data:`NEEDED`, best sudo."""
        return load_key("//Alice")

    @pytest_asyncio.fixture(scope="class", loop_scope="class")
    @classmethod
    async def chain(cls, endpoint: str) -> AsyncIterator[Chain]:
        async with await Chain.connect(endpoint, timeout=60.0) as connected:
            yield connected

    @pytest_asyncio.fixture(scope="class", loop_scope="class")
    @classmethod
    async def can(cls, chain: Chain, key: Keypair) -> Abilities:
        """What this chain can do."""
        sudo = await has(chain, "Sudo", "Key") and await chain.query("Sudo", "Key")
        return Abilities(
            sudo=sudo == key.ss58_address,
            blocks=cls.own_blocks,
            start=await has(chain, "SubtensorModule", "FirstEmissionBlockNumber", 0),
            mechanisms=await has(chain, "SubtensorModule", "MechanismCountCurrent", 0),
            drand=await has(chain, "Drand", "LastStoredRound"),
        )

    @pytest_asyncio.fixture(scope="class", loop_scope="class")
    @classmethod
    async def stage(cls, chain: Chain, endpoint: str, key: Keypair, can: Abilities, allowed: frozenset[str]) -> Stage:
        """The chain, for tests that send; never a public network unless ``allowed`` names its genesis hash."""
        reason = why_not(chain.genesis_hash, await chain.balance(key.ss58_address), allowed)
        if reason is not None:
            pytest.skip(f"nothing is sent to {endpoint}: {reason}")
        return Stage(chain, endpoint, key, can)

    @pytest.fixture(scope="class")
    @classmethod
    def allowed(cls) -> frozenset[str]:
        """Genesis hashes of public networks (or of forks, which keep it) where the tests may send all the same."""
        return frozenset()

    @pytest_asyncio.fixture(scope="class", loop_scope="class")
    @classmethod
    async def made(cls, stage: Stage) -> Made:
        """A started subnet with a staked validator, and a miner and an idler that have no money at all."""
        chain = stage.chain
        names = ("owner", "coldkey", "hot", "validator", "miner", "idler", "stranger")
        owner, coldkey, hotkey, validator, miner, idler, stranger = map(fresh, names)
        await chain.transfer(stage.key, owner.ss58_address, rao(3_000))
        await chain.transfer(stage.key, coldkey.ss58_address, rao(3_000))
        if stage.can.sudo:
            await chain.sudo(stage.key, "AdminUtils", "sudo_set_network_rate_limit", {"rate_limit": 0})
        netuid = (await chain.register_network(owner, hotkey.ss58_address)).netuid
        if stage.can.start:
            await stage.reach(await chain.start_call_block(netuid))
            await chain.start_call(owner, netuid)
        await cls._hyperparameters(stage, netuid, owner)
        for one in (validator, miner, idler):
            await chain.burned_register(coldkey, netuid, one.ss58_address)
        await chain.add_stake(coldkey, validator.ss58_address, netuid, rao(1_000))
        return Made(netuid, owner, coldkey, hotkey, validator, miner, idler, stranger)

    @classmethod
    async def _hyperparameters(cls, stage: Stage, netuid: Netuid, owner: Keypair) -> None:
        if stage.can.sudo:
            await stage.configure("sudo_set_tempo", {"netuid": netuid, "tempo": stage.tempo}, owner)
            limit = {"netuid": netuid, "weights_set_rate_limit": 0}
            await stage.configure("sudo_set_weights_set_rate_limit", limit, owner)
        off = {"netuid": netuid, "enabled": False}
        await stage.configure("sudo_set_commit_reveal_weights_enabled", off, owner)
        await stage.configure("sudo_set_min_allowed_weights", {"netuid": netuid, "min_allowed_weights": 1}, owner)


def needs(condition: bool, what: str) -> None:
    """Skip a test that this chain can't be asked."""
    if not condition:
        pytest.skip(f"this chain has no {what}")


MONEY = Rao(10**18)
"""More than anybody has."""
