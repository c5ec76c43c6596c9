"""The chain client: an async face over one connection, typed values in and out.

Reads are jobs (:mod:`subnet.chain.reads`) that the connection's thread runs, tried again while the
node is unreachable; writes go through :class:`~subnet.chain.extrinsic.Submitter`. No method blocks
the event loop, every one ends by a deadline, and each failure is a ChainError with a remedy.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from subnet.chain import reads
from subnet.chain.connection import Connection
from subnet.chain.extrinsic import Included, Pace, Submitter
from subnet.chain.hyperparameters import Hyperparameters, read_hyperparameters
from subnet.chain.session import Session
from subnet.errors import ChainTimeout, ExtrinsicFailed, NotRegistered
from subnet.keys import canonical_ss58
from subnet.types import Block, Metagraph, Netuid, Rao, Uid

if TYPE_CHECKING:
    from substrateinterface import Keypair

PALLET = "SubtensorModule"
INCLUSION = 120.0
"""Seconds that a write waits for its block: ten blocks of a real network."""
_LOADING = 60.0  # seconds that decoding a full runtime's metadata may take on a slow, busy machine
_PATIENCE = 1.0  # seconds in which a refused first connection is tried again
_FIRST_GUESS = 256  # neurons that a subnet not seen before may have


class Chain:
    """A connection to a Substrate node with SubtensorModule: any real network, or ``subnet chain``.

    ``async with await Chain.connect("ws://127.0.0.1:9944") as chain: ...``. Safe for concurrent
    tasks of one event loop. A lost connection is made anew by the next call.
    """

    def __init__(self, connection: Connection, genesis_hash: str, spec_version: int) -> None:
        self._connection = connection
        self._submitter = Submitter(connection)
        self._sizes: dict[int, int] = {}
        self.endpoint = connection.endpoint
        self.genesis_hash = genesis_hash
        self.spec_version = spec_version  # as it was on connecting; reads follow upgrades by themselves

    @classmethod
    async def connect(cls, endpoint: str, *, genesis_hash: str | None = None, timeout: float = 10.0) -> Self:
        """Connect to ``ws://`` or ``wss://`` ``endpoint``; ``timeout`` is the deadline of each call, in seconds.

        Raises ConfigError (no URL), ChainUnreachable, ChainTimeout, ChainMalformed, NotASubtensor,
        and WrongNetwork if ``genesis_hash`` is given and the chain has another.
        """
        connection = Connection(endpoint, genesis_hash and genesis_hash.lower(), timeout)
        try:
            genesis, spec = await connection.read(_identity, grace=_LOADING, patience=_PATIENCE)
        except BaseException:
            await connection.close()
            raise
        connection.genesis = genesis
        return cls(connection, genesis, spec)

    async def close(self) -> None:
        """Drop the connection; idempotent."""
        await self._connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # Blocks

    async def block_number(self) -> Block:
        """The head's number."""
        return await self._connection.read(reads.read_block_number)

    async def block_hash(self, block: int | None = None) -> str:
        """The hash of a block (None: of the head), 0x-hex. Raises ChainError for a block not there."""
        return await self._connection.read(lambda session: reads.read_block_hash(session, block))

    async def wait_for_block(self, block: int, *, timeout: float | None = None) -> Block:
        """Wait until the head is at ``block`` or later; the head's number.

        Raises ChainTimeout after ``timeout`` seconds (None: never, while the node answers): a
        chain that stands still is seen by this alone.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        pace = Pace()
        while (now := await self.block_number()) < block:
            delay = pace.saw(now)
            if deadline is not None:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise ChainTimeout(
                        f"block {block} did not come within {timeout:g} s; the head is {now}",
                        remedy="The chain stands still or is slow; wait longer, or try another --endpoint.",
                    )
                delay = min(delay, left)
            await asyncio.sleep(delay)
        return now

    # Subnets

    async def subnets(self) -> list[Netuid]:
        """All subnets' numbers, ascending."""
        return await self._connection.read(reads.read_subnets)

    async def metagraph(self, netuid: int, block: int | None = None) -> Metagraph:
        """A subnet's neurons at a block (None: the head), all at that one block. Raises NoSuchSubnet."""
        guess = self._sizes.get(netuid, _FIRST_GUESS)

        def job(session: Session) -> Metagraph:
            return reads.read_metagraph(session, netuid, _at(session, block), guess)

        metagraph = await self._connection.read(job)
        if len(self._sizes) < _FIRST_GUESS or netuid in self._sizes:
            self._sizes[netuid] = len(metagraph) + 8  # room to grow without a third round trip
        return metagraph

    async def hyperparameters(self, netuid: int, block: int | None = None) -> Hyperparameters:
        """A subnet's hyperparameters at a block (None: the head). Raises NoSuchSubnet."""
        return await self._connection.read(lambda session: read_hyperparameters(session, netuid, _at(session, block)))

    async def weights(self, netuid: int, block: int | None = None) -> dict[Uid, list[tuple[Uid, int]]]:
        """Weights by validator's uid as stored, (uid, u16); validators that set none are left out."""
        guess = self._sizes.get(netuid, _FIRST_GUESS)
        return await self._connection.read(
            lambda session: reads.read_weights(session, netuid, _at(session, block), guess)
        )

    async def next_epoch_block(self, netuid: int) -> Block | None:
        """The block in which the subnet's coming epoch runs; None if it has no epochs. Raises NoSuchSubnet."""
        return await self._connection.read(lambda session: reads.read_next_epoch(session, netuid))

    async def start_call_block(self, netuid: int) -> Block:
        """The first block that takes start_call for this subnet."""
        return await self._connection.read(lambda session: reads.read_start_block(session, netuid))

    # Accounts

    async def balance(self, coldkey: str) -> Rao:
        """An account's free balance. ValueError if ``coldkey`` is no address."""
        return await self._connection.read(lambda session: reads.read_balance(session, coldkey))

    async def stake(self, hotkey: str, netuid: int) -> Rao:
        """Alpha on a hotkey on a subnet, its own and its nominators' (TotalHotkeyAlpha)."""
        return await self._connection.read(lambda session: reads.read_stake(session, hotkey, netuid))

    async def uid(self, netuid: int, hotkey: str) -> Uid:
        """The hotkey's uid. Raises NotRegistered."""
        found = await self._connection.read(lambda session: reads.read_uid(session, netuid, hotkey))
        if found is None:
            raise NotRegistered(f"{hotkey} is not registered on subnet {netuid}")
        return found

    async def query(self, module: str, item: str, *keys: Any, block: int | None = None) -> Any:
        """One storage entry as plain Python values, by scalecodec; absent entries as the item's default or None.

        Raises ChainError where the runtime has no such item.
        """

        def job(session: Session) -> Any:
            at = _at(session, block)
            runtime = session.runtime() if at is None else session.runtime_at(at)
            key = runtime.storage_key(module, item, keys)
            value = session.call("state_getStorage", key, *([at] if at else []))
            return runtime.value(module, item, reads.from_hex(value))

        return await self._connection.read(job)

    # Writes

    async def submit(
        self, module: str, call: str, params: Mapping[str, Any], key: Keypair, *, timeout: float = INCLUSION
    ) -> Included:
        """Sign any call with ``key``, send it and wait at most ``timeout`` seconds for its block.

        Raises ExtrinsicFailed where the pool or the runtime refuses; ChainTimeout where it is not
        known yet whether it will land; ChainError for a call or arguments the runtime does not have.
        """
        return await self._submitter.submit(module, call, params, key, timeout=timeout)

    async def register_network(self, coldkey: Keypair, hotkey: str) -> Included:
        """Create a subnet, its owner's hotkey as uid 0; ``.netuid`` of the result is its number."""
        params: dict[str, Any] = {"hotkey": canonical_ss58(hotkey)}
        if "mechid" in await self._arguments("register_network"):  # runtimes up to spec 218
            params["mechid"] = 1
        return await self.submit(PALLET, "register_network", params, coldkey)

    async def start_call(self, coldkey: Keypair, netuid: int) -> Included:
        """Start a subnet's emission; refused before :meth:`start_call_block`."""
        return await self.submit(PALLET, "start_call", {"netuid": netuid}, coldkey)

    async def burned_register(self, coldkey: Keypair, netuid: int, hotkey: str) -> Included:
        """Register a hotkey at the subnet's current burn."""
        params = {"netuid": netuid, "hotkey": canonical_ss58(hotkey)}
        return await self.submit(PALLET, "burned_register", params, coldkey)

    async def add_stake(self, coldkey: Keypair, hotkey: str, netuid: int, amount: Rao) -> Included:
        """Stake ``amount`` RAO of TAO on a hotkey on a subnet."""
        params = {"hotkey": canonical_ss58(hotkey), "netuid": netuid, "amount_staked": int(amount)}
        return await self.submit(PALLET, "add_stake", params, coldkey)

    async def serve_axon(self, hotkey: Keypair, netuid: int, ip: str, port: int) -> Included:
        """Publish where the hotkey's neuron serves: an IPv4 or IPv6 address. ValueError if it is none."""
        address = ipaddress.ip_address(ip)
        params = {
            "netuid": netuid,
            "version": 0,
            "ip": int(address),
            "port": port,
            "ip_type": address.version,
            "protocol": 4,
            "placeholder1": 0,
            "placeholder2": 0,
        }
        return await self.submit(PALLET, "serve_axon", params, hotkey)

    async def set_weights(
        self, hotkey: Keypair, netuid: int, uids: Sequence[int], weights: Sequence[int], version_key: int = 0
    ) -> Included:
        """Set a validator's weights (u16, one a uid); needs a permit, and commit-reveal off."""
        params = {
            "netuid": netuid,
            "dests": [int(uid) for uid in uids],
            "weights": [int(weight) for weight in weights],
            "version_key": version_key,
        }
        return await self.submit(PALLET, "set_weights", params, hotkey)

    async def transfer(self, coldkey: Keypair, to: str, amount: Rao) -> Included:
        """Send ``amount`` RAO of TAO, leaving the sender's account alive."""
        params = {"dest": canonical_ss58(to), "value": int(amount)}
        return await self.submit("Balances", "transfer_keep_alive", params, coldkey)

    async def sudo(self, key: Keypair, module: str, call: str, params: Mapping[str, Any]) -> Included:
        """Run a call as root. Raises ExtrinsicFailed(where="sudo") if the inner call failed."""
        inner = {"call_module": module, "call_function": call, "call_args": dict(params)}
        await self._arguments(call, module)
        included = await self.submit("Sudo", "sudo", {"call": inner}, key)
        if included.event("Sudo", "Sudid") is None:
            raise ExtrinsicFailed(
                f"Sudo.sudo({module}.{call}) left no sign of its outcome", name="Unknown", where="sudo"
            )
        return included

    async def _arguments(self, call: str, module: str = PALLET) -> tuple[str, ...]:
        return await self._connection.read(lambda session: session.runtime().call_arguments(module, call))


def _identity(session: Session) -> tuple[str, int]:
    """A job: (genesis hash, spec version); loads the metadata on the way."""
    spec = session.runtime().runtime_version
    return session.genesis or "", int(spec)


def _at(session: Session, block: int | None) -> str | None:
    return None if block is None else reads.read_block_hash(session, block)
