"""The reading half of the client: storage as typed, immutable values, all at one block.

Each read is a job (:mod:`subnet.chain.reads`) that the connection's thread runs, tried again while
the node is unreachable. None blocks the event loop, each ends by a deadline.
"""

from __future__ import annotations

from typing import Any

from subnet.chain import reads
from subnet.chain.connection import Connection
from subnet.chain.hyperparameters import Hyperparameters, read_hyperparameters
from subnet.chain.session import Session
from subnet.errors import NotRegistered
from subnet.types import Block, Metagraph, Netuid, Rao, Uid

_FIRST_GUESS = 256  # neurons that a subnet not seen before may have


class Reader:
    """What can be read; :class:`~subnet.chain.client.Chain` is the one to use."""

    _connection: Connection

    def __init__(self) -> None:
        self._sizes: dict[int, int] = {}

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


def _at(session: Session, block: int | None) -> str | None:
    return None if block is None else reads.read_block_hash(session, block)
