"""The reading half of the client: storage as typed, immutable values, all at one block.

Each read is a job (:mod:`subnet.chain.reads` and the modules named there) that the connection's thread
runs, tried again while the node is unreachable. None blocks the event loop, each ends by a deadline.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from subnet.chain import accounts, commitments, history, matrices, metagraph, reads, scan, stakes, subnets
from subnet.chain.accounts import Identity, Relation
from subnet.chain.commitments import Commitment, OpenCommit, TimelockedCommit
from subnet.chain.connection import Connection
from subnet.chain.events import Event
from subnet.chain.history import NeuronHistory
from subnet.chain.hyperparameters import Hyperparameters, read_hyperparameters
from subnet.chain.session import Entry, Session
from subnet.chain.stakes import Stake
from subnet.chain.subnets import Subnet
from subnet.errors import NotRegistered
from subnet.types import Block, Hotkey, Metagraph, Netuid, Rao, Uid

T = TypeVar("T")

LONG = 120.0
"""Seconds for a read that may take many round trips: a history, or a whole map."""
_FIRST_GUESS = 256  # neurons that a subnet not seen before may have


class Reader:
    """What can be read; :class:`~subnet.chain.client.Chain` is the one to use.

    ``block`` is a number, None the head. Addresses are ss58 of any prefix, those returned of prefix
    42; ValueError for what is none. Amounts are RAO. ``mecid`` is the number of a subnet's mechanism.
    """

    _connection: Connection

    def __init__(self) -> None:
        self._sizes: dict[int, int] = {}

    async def _at(
        self, block: int | None, job: Callable[[Session, str | None], T], *, timeout: float | None = None
    ) -> T:
        """Run a job that reads at a block's hash."""
        return await self._connection.read(lambda session: job(session, _hash(session, block)), timeout=timeout)

    # Subnets

    async def subnets(self, block: int | None = None) -> list[Netuid]:
        """All subnets' numbers, ascending."""
        return await self._at(block, subnets.read_netuids)

    async def subnet(self, netuid: int, block: int | None = None) -> Subnet:
        """A subnet's owner, size, tempo, burn, pool and identity. Raises NoSuchSubnet."""
        (found,) = await self._at(block, lambda s, at: subnets.read_subnet_details(s, [Netuid(netuid)], at))
        return found

    async def subnet_details(self, block: int | None = None) -> list[Subnet]:
        """The same of all subnets, at one block, ascending by netuid."""
        return await self._at(block, lambda s, at: subnets.read_subnet_details(s, None, at), timeout=LONG)

    async def metagraph(self, netuid: int, block: int | None = None, *, mecid: int = 0) -> Metagraph:
        """A subnet's neurons, all at one block. Raises NoSuchSubnet; ChainError for a mechanism it does not have."""
        guess = self._sizes.get(netuid, _FIRST_GUESS)
        found = await self._at(block, lambda s, at: metagraph.read_metagraph(s, netuid, at, guess, mecid))
        if len(self._sizes) < _FIRST_GUESS or netuid in self._sizes:
            self._sizes[netuid] = len(found) + 8  # room to grow without a third round trip
        return found

    async def hyperparameters(self, netuid: int, block: int | None = None) -> Hyperparameters:
        """A subnet's hyperparameters. Raises NoSuchSubnet."""
        return await self._at(block, lambda s, at: read_hyperparameters(s, netuid, at))

    async def weights(
        self, netuid: int, block: int | None = None, *, mecid: int = 0
    ) -> dict[Uid, list[tuple[Uid, int]]]:
        """Weights by validator's uid as stored, (uid, u16); validators that set none are left out."""
        return await self._rows("Weights", netuid, block, mecid, matrices.as_pairs)

    async def weight_matrix(self, netuid: int, block: int | None = None, *, mecid: int = 0) -> Any:
        """Weights as a read-only scipy.sparse.csr_array: u16, shape (n, n), row = validator. Raises NoSuchSubnet."""
        return await self._rows("Weights", netuid, block, mecid, matrices.as_matrix)

    async def bond_matrix(self, netuid: int, block: int | None = None, *, mecid: int = 0) -> Any:
        """Bonds, in the same shape."""
        return await self._rows("Bonds", netuid, block, mecid, matrices.as_matrix)

    async def _rows(
        self, item: str, netuid: int, block: int | None, mecid: int, shape: Callable[[list[bytes | None]], T]
    ) -> T:
        guess = self._sizes.get(netuid, _FIRST_GUESS)
        return await self._at(block, lambda s, at: shape(matrices.read_rows(s, item, netuid, at, guess, mecid)))

    async def history(
        self, netuid: int, uid: int, first: int, last: int, step: int = 1, *, mecid: int = 0, timeout: float = LONG
    ) -> NeuronHistory:
        """A uid at every ``step``-th block from ``first`` to ``last``, both included.

        ValueError for more than 10,000 blocks; ChainRefused where the node has dropped their state.
        """
        blocks = range(first, last + 1, step)
        return await self._connection.read(
            lambda session: history.read_history(session, netuid, uid, blocks, mecid), timeout=timeout
        )

    async def next_epoch_block(self, netuid: int) -> Block | None:
        """The block in which the subnet's coming epoch runs; None if it has no epochs. Raises NoSuchSubnet."""
        return await self._connection.read(lambda session: subnets.read_next_epoch(session, netuid))

    async def mechanism_count(self, netuid: int, block: int | None = None) -> int:
        """How many mechanisms a subnet has, each with weights and a share of the emission; 1 without any of its own.

        Raises NoSuchSubnet.
        """
        return await self._at(block, lambda s, at: subnets.read_mechanism_count(s, netuid, at))

    async def start_call_block(self, netuid: int) -> Block:
        """The first block that takes start_call for this subnet."""
        return await self._connection.read(lambda session: subnets.read_start_block(session, netuid))

    async def burn(self, netuid: int) -> Rao:
        """What a registration on the subnet costs now. Raises NoSuchSubnet."""
        return (await self.subnet(netuid)).burn

    async def network_cost(self) -> Rao:
        """What register_network locks now."""
        return await self._connection.read(subnets.read_network_cost)

    # Accounts

    async def balance(self, coldkey: str, block: int | None = None) -> Rao:
        """An account's free balance."""
        return (await self.balances([coldkey], block))[coldkey]

    async def balances(self, coldkeys: Iterable[str], block: int | None = None) -> dict[str, Rao]:
        """Free balances by address, all at one block."""
        wanted = list(coldkeys)
        return await self._at(block, lambda s, at: accounts.read_balances(s, wanted, at))

    async def stake(self, hotkey: str, netuid: int, block: int | None = None) -> Rao:
        """Alpha on a hotkey on a subnet, its own and its nominators' (TotalHotkeyAlpha)."""
        return await self._at(block, lambda s, at: stakes.read_stake(s, hotkey, netuid, at))

    async def stakes_of(self, coldkey: str, block: int | None = None) -> tuple[Stake, ...]:
        """All that a coldkey has staked, on every hotkey and subnet."""
        return await self._at(block, lambda s, at: stakes.read_stakes_of(s, coldkey, at), timeout=LONG)

    async def stakes_on(self, hotkey: str, netuid: int | None = None, block: int | None = None) -> tuple[Stake, ...]:
        """All that is staked on a hotkey, by every coldkey, on a subnet (None: on all)."""
        return await self._at(block, lambda s, at: stakes.read_stakes_on(s, hotkey, netuid, at), timeout=LONG)

    async def uid(self, netuid: int, hotkey: str) -> Uid:
        """The hotkey's uid. Raises NotRegistered."""
        found = await self._connection.read(lambda session: accounts.read_uid(session, netuid, hotkey))
        if found is None:
            raise NotRegistered(f"{hotkey} is not registered on subnet {netuid}")
        return found

    async def identity(self, coldkey: str, block: int | None = None) -> Identity | None:
        """How a coldkey describes itself; None where it does not. A subnet's is in :meth:`subnet`."""
        return (await self.identities([coldkey], block))[coldkey]

    async def identities(self, coldkeys: Iterable[str], block: int | None = None) -> dict[str, Identity | None]:
        """Identities by coldkey, in one round trip: of a whole metagraph's coldkeys, for one."""
        wanted = list(coldkeys)
        return await self._at(block, lambda s, at: accounts.read_identities(s, wanted, at))

    async def children(self, hotkey: str, netuid: int, block: int | None = None) -> tuple[Relation, ...]:
        """To whom the hotkey lends its stake on a subnet."""
        return await self._at(block, lambda s, at: accounts.read_relations(s, "ChildKeys", hotkey, netuid, at))

    async def parents(self, hotkey: str, netuid: int, block: int | None = None) -> tuple[Relation, ...]:
        """Who lends the hotkey stake on a subnet."""
        return await self._at(block, lambda s, at: accounts.read_relations(s, "ParentKeys", hotkey, netuid, at))

    async def delegate_take(self, hotkey: str, block: int | None = None) -> int:
        """What the hotkey keeps of its nominators' dividends: u16, 65535 = 1.0."""
        return await self._at(block, lambda s, at: accounts.read_take(s, hotkey, None, at))

    async def childkey_take(self, hotkey: str, netuid: int, block: int | None = None) -> int:
        """What the hotkey keeps as a child, on a subnet: u16, 65535 = 1.0."""
        return await self._at(block, lambda s, at: accounts.read_take(s, hotkey, netuid, at))

    # Commitments

    async def commitment(self, netuid: int, hotkey: str, block: int | None = None) -> Commitment | None:
        """What a hotkey published on a subnet; None where it published nothing."""
        return await self._at(block, lambda s, at: commitments.read_commitment(s, netuid, hotkey, at))

    async def commitments(self, netuid: int, block: int | None = None) -> dict[Hotkey, Commitment]:
        """All that hotkeys published on a subnet."""
        return await self._at(block, lambda s, at: commitments.read_commitments(s, netuid, at), timeout=LONG)

    async def weight_commits(
        self, netuid: int, hotkey: str | None = None, block: int | None = None, *, mecid: int = 0
    ) -> tuple[OpenCommit, ...]:
        """Weights committed by hash that are still to be revealed, of one hotkey or of all."""
        return await self._at(block, lambda s, at: commitments.read_weight_commits(s, netuid, mecid, hotkey, at))

    async def timelocked_commits(
        self, netuid: int, block: int | None = None, *, mecid: int = 0
    ) -> tuple[TimelockedCommit, ...]:
        """Encrypted weights that the chain is still to open."""
        return await self._at(block, lambda s, at: commitments.read_timelocked_commits(s, netuid, mecid, at))

    # Anything

    async def events(self, block: int | None = None) -> tuple[Event, ...]:
        """All events of a block, in order."""
        return await self._connection.read(lambda session: reads.read_events(session, block))

    async def query(self, module: str, item: str, *keys: Any, block: int | None = None) -> Any:
        """One storage entry as plain Python values (see subnet.chain.values); an absent one as its default or None.

        Raises ChainError where the runtime has no such item.
        """

        def job(session: Session, at: str | None) -> Any:
            runtime = session.runtime() if at is None else session.runtime_at(at)
            key = runtime.storage_key(module, item, keys)
            value = session.call("state_getStorage", key, *([at] if at else []))
            return runtime.value(module, item, reads.from_hex(value))

        return await self._at(block, job)

    async def query_map(self, module: str, item: str, *keys: Any, block: int | None = None) -> dict[Any, Any]:
        """All entries of a map, or those under its first ``keys``, as plain Python values.

        By the keys that are left: one alone, or a tuple. Raises ChainError where the runtime has no such
        item, and beyond 200,000 entries.
        """

        def job(session: Session, at: str | None) -> dict[Any, Any]:
            at = at or reads.read_block_hash(session, None)
            runtime = session.runtime_at(at)
            start = Entry(item, runtime.key_parts(module, item, keys), module)
            found = scan.entries_under(session, start, at)
            return {(k[0] if len(k) == 1 else k): runtime.value(module, item, value) for k, value in found}

        return await self._at(block, job, timeout=LONG)


def _hash(session: Session, block: int | None) -> str | None:
    return None if block is None else reads.read_block_hash(session, block)
