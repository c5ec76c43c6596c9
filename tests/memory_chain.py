"""A chain in memory, for the tests of miners and validators: blocks come when the test says so.

It has the methods of subnet.service.ChainClient with the runtime's rules as far as those tests
need them, and can be away (``down``), refuse (``refusals``), or take weights and store others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from subnet.chain import Hyperparameters, Included, OpenCommit, TimelockedCommit, WeightCommit
from subnet.chain.events import Event
from subnet.chain.weights import storage_index
from subnet.errors import ChainRefused, ChainTimeout, ChainUnreachable, ExtrinsicFailed, WrongNetwork
from subnet.types import AxonInfo, Block, Coldkey, Hotkey, Metagraph, Netuid, Neuron, Rao, Uid
from tests.waiting import until as until

NETUID = Netuid(2)


def neuron(hotkey: str, **fields: Any) -> Neuron:
    """A neuron that serves on 10.0.0.1:8091; ``fields`` replace anything. The chain gives it its uid."""
    given = {"axon": AxonInfo("10.0.0.1", 8091), "stake": Rao(0), "block_at_registration": Block(1)} | fields
    return Neuron(uid=Uid(0), hotkey=Hotkey(hotkey), coldkey=Coldkey("5Cold"), **given)


def metagraph_of(
    neurons: Sequence[Neuron], *, block: int = 1, tempo: int = 10, owner: str = "", netuid: int = NETUID
) -> Metagraph:
    def column(name: str, dtype: str) -> Any:
        return np.array([getattr(one, name) for one in neurons], dtype)

    zeros = np.zeros(len(neurons), "uint16")
    return Metagraph(
        netuid=Netuid(netuid),
        block=Block(block),
        block_hash="0x" + "ab" * 32,
        tempo=tempo,
        hotkeys=tuple(one.hotkey for one in neurons),
        coldkeys=tuple(one.coldkey for one in neurons),
        axons=tuple(one.axon for one in neurons),
        stake=column("stake", "uint64"),
        active=column("active", "bool"),
        validator_permit=column("validator_permit", "bool"),
        consensus=zeros.copy(),
        incentive=zeros.copy(),
        dividends=zeros.copy(),
        validator_trust=zeros.copy(),
        emission=column("emission", "uint64"),
        last_update=column("last_update", "uint64"),
        block_at_registration=column("block_at_registration", "uint64"),
        owner_hotkey=Hotkey(owner),
    )


def hyperparameters_of(**fields: Any) -> Hyperparameters:
    values: dict[str, Any] = {}
    for name, kind in Hyperparameters.__annotations__.items():
        values[name] = False if kind == "bool" else "0x" if kind == "str" else 0
    return Hyperparameters(**values | {"tempo": 10, "max_weights_limit": 65535, "min_allowed_weights": 1} | fields)


@dataclass
class MemoryChain:
    """One subnet. ``calls`` lists the writes that arrived, as (name, arguments); ``remembers`` is the first block whose
    state it still has."""

    neurons: list[Neuron] = field(default_factory=list)
    head: int = 100
    tempo: int = 10
    last_epoch: int = 100
    owner: str = ""
    down: bool = False
    refusals: list[Exception] = field(default_factory=list)
    garble: bool = False
    rules: dict[str, Any] = field(default_factory=dict)
    rows: dict[Uid, list[tuple[Uid, int]]] = field(default_factory=dict)
    more_rows: dict[int, dict[Uid, list[tuple[Uid, int]]]] = field(default_factory=dict)
    commits: list[tuple[OpenCommit, int]] = field(default_factory=list)
    sealed: list[TimelockedCommit] = field(default_factory=list)
    secrets: list[tuple[Any, list[int], list[int]]] = field(default_factory=list)
    has_drand: bool = False
    calls: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)
    happened: dict[int, list[Event]] = field(default_factory=dict)
    remembers: int = 0
    genesis_hash: str = "0x" + "77" * 32
    stale_for: float = 0.0
    wrong_network: WrongNetwork | None = None
    is_pinned: bool = False
    mechanisms: int = 1

    def __post_init__(self) -> None:
        self._moved = asyncio.Event()
        self._listed: dict[int, tuple[list[tuple[OpenCommit, int]], list[TimelockedCommit]]] = {}
        self.parked_at = 0  # the head that somebody in wait_for_block has seen last

    def advance(self, blocks: int = 1) -> None:
        """Make blocks; an epoch runs in the block that is ``tempo`` after the last one's."""
        for _ in range(blocks):
            self._listed[self.head] = (list(self.commits), list(self.sealed))
            self.head += 1
            if self.head - self.last_epoch >= self.tempo:
                self.last_epoch = self.head
        self._moved.set()
        self._moved = asyncio.Event()

    def change(self, uid: int, **fields: Any) -> None:
        self.neurons[uid] = replace(self.neurons[uid], **fields)

    def named(self, call: str) -> list[tuple[Any, ...]]:
        return [arguments for name, arguments in self.calls if name == call]

    async def block_number(self) -> Block:
        self._reach()
        return Block(self.head)

    async def wait_for_block(self, block: int, *, timeout: float | None = None) -> Block:
        self._reach()
        while self.head < block:
            self.parked_at = self.head
            try:
                await asyncio.wait_for(self._moved.wait(), timeout)
            except TimeoutError:
                raise ChainTimeout("stalled") from None
            self._reach()
        return Block(self.head)

    async def metagraph(self, netuid: int, block: int | None = None, *, mecid: int = 0) -> Metagraph:
        self._reach()
        numbered = [replace(one, uid=Uid(uid)) for uid, one in enumerate(self.neurons)]
        return metagraph_of(numbered, block=self.head, tempo=self.tempo, owner=self.owner, netuid=netuid)

    async def hyperparameters(self, netuid: int, block: int | None = None) -> Hyperparameters:
        self._reach()
        return hyperparameters_of(**{"tempo": self.tempo} | self.rules)

    async def weights(
        self, netuid: int, block: int | None = None, *, mecid: int = 0
    ) -> dict[Uid, list[tuple[Uid, int]]]:
        self._reach()
        return {uid: list(row) for uid, row in self.rows_of(mecid).items()}

    def rows_of(self, mecid: int) -> dict[Uid, list[tuple[Uid, int]]]:
        return self.more_rows.setdefault(mecid, {}) if mecid else self.rows

    async def next_epoch_block(self, netuid: int) -> Block | None:
        self._reach()
        return Block(self.last_epoch + self.tempo) if self.tempo else None

    async def serve_axon(
        self,
        hotkey: Any,
        netuid: int,
        ip: str,
        port: int,
        *,
        protocol: int = 4,
        certificate: bytes | None = None,
    ) -> Included:
        self._write("serve_axon", ip, port)
        fingerprint = certificate[1:] if certificate else None
        self.change(self._uid(hotkey), axon=AxonInfo(ip, port, protocol=protocol, fingerprint=fingerprint))
        return self._included()

    async def set_weights(
        self,
        hotkey: Any,
        netuid: int,
        uids: Sequence[int],
        weights: Sequence[int],
        version_key: int = 0,
        *,
        mechanism: int = 0,
        **sending: Any,
    ) -> Included:
        self._write("set_weights", list(uids), list(weights), version_key)
        self._store(hotkey, uids, weights, mechanism)
        self.change(self._uid(hotkey), last_update=Block(self.head))
        return self._included()

    def _store(self, hotkey: Any, uids: Sequence[int], weights: Sequence[int], mechanism: int) -> None:
        uid = self._uid(hotkey)
        if not self.neurons[uid].validator_permit and hotkey.ss58_address != self.owner:
            raise ExtrinsicFailed("no permit", name="NeuronNoValidatorPermit", where="block")
        self.rows_of(mechanism)[uid] = [
            (Uid(to), int(w) // (2 if self.garble else 1)) for to, w in zip(uids, weights, strict=True)
        ]

    # Commits: what is committed in an epoch can be revealed in the next one, and only there.

    async def reveal_block(self, netuid: int, committed: Block) -> Block:
        self._reach()
        return Block(100 + self.tempo * ((committed - 100) // self.tempo + 1))

    async def weight_commits(
        self, netuid: int, hotkey: str | None = None, block: int | None = None, *, mecid: int = 0
    ) -> tuple[OpenCommit, ...]:
        commits, _ = self._lists(block)
        return tuple(one for one, mechanism in commits if mechanism == mecid and hotkey in (None, one.hotkey))

    async def timelocked_commits(
        self, netuid: int, block: int | None = None, *, mecid: int = 0
    ) -> tuple[TimelockedCommit, ...]:
        return tuple(self._lists(block)[1])

    async def mechanism_count(self, netuid: int, block: int | None = None) -> int:
        self._reach()
        return self.mechanisms

    async def events(self, block: int | None = None) -> tuple[Event, ...]:
        self._remember(block)
        return tuple(self.happened.get(self.head if block is None else block, ()))

    def _lists(self, block: int | None) -> tuple[list[tuple[OpenCommit, int]], list[TimelockedCommit]]:
        self._remember(block)
        now = (self.commits, self.sealed)
        return now if block is None or block == self.head else self._listed.get(block, ([], []))

    def _remember(self, block: int | None) -> None:
        self._reach()
        if block is not None and block < self.remembers:
            raise ChainRefused("State already discarded", rpc_code=4003)

    def _emit(self, name: str, *attributes: Any) -> None:
        self.happened.setdefault(self.head, []).append(Event("SubtensorModule", name, attributes))

    async def commit_weights(self, hotkey: Any, commit: WeightCommit, **sending: Any) -> Included:
        self._write("commit_weights", commit)
        entry = OpenCommit(Hotkey(hotkey.ss58_address), commit.hash, Block(self.head))
        self.commits.append((entry, commit.mechanism))
        self.change(self._uid(hotkey), last_update=Block(self.head))
        return self._included()

    async def commit_timelocked_weights(
        self,
        hotkey: Any,
        netuid: int,
        uids: Sequence[int],
        weights: Sequence[int],
        version_key: int = 0,
        *,
        mechanism: int = 0,
        **sending: Any,
    ) -> Included:
        self._write("commit_timelocked_weights", list(uids), list(weights), version_key)
        if not self.has_drand:
            raise ExtrinsicFailed("no drand", name="CallDisabled", where="block")
        self.sealed.append(TimelockedCommit(Hotkey(hotkey.ss58_address), 0, Block(self.head), b"sealed", 1))
        self.secrets.append((hotkey, list(uids), list(weights)))
        self.change(self._uid(hotkey), last_update=Block(self.head))
        return self._included()

    def open_sealed(self) -> None:
        """What drand's next signature does."""
        for hotkey, uids, weights in self.secrets:
            self._store(hotkey, uids, weights, 0)
            self._emit("TimelockedWeightsRevealed", int(NETUID), hotkey.ss58_address)
        self.secrets.clear()
        self.sealed.clear()

    async def reveal_weights(self, hotkey: Any, commit: WeightCommit, **sending: Any) -> Included:
        self._write("reveal_weights", commit)
        hashes = [one.hash for one, _ in self.commits]
        if commit.hash not in hashes:
            raise ExtrinsicFailed("no such commit", name="NoWeightsCommitFound", where="pool")
        place = hashes.index(commit.hash)
        due = await self.reveal_block(netuid=commit.netuid, committed=self.commits[place][0].block)
        if not due <= self.head < due + self.tempo:
            raise ExtrinsicFailed("not its epoch", name="RevealTooEarly", where="pool")
        del self.commits[: place + 1]
        self._store(hotkey, commit.uids, commit.weights, commit.mechanism)
        self._emit("WeightsRevealed", hotkey.ss58_address, storage_index(NETUID, commit.mechanism), commit.hash)
        return self._included()

    def _reach(self) -> None:
        if self.down:
            raise ChainUnreachable("nobody is there")

    def _write(self, name: str, *arguments: Any) -> None:
        self._reach()
        self.calls.append((name, arguments))
        if self.refusals:
            raise self.refusals.pop(0)

    def _uid(self, key: Any) -> Uid:
        found = [i for i, one in enumerate(self.neurons) if one.hotkey == key.ss58_address]
        if not found:
            raise ExtrinsicFailed("not registered", name="HotKeyNotRegisteredInSubNet", where="pool")
        return Uid(found[0])

    def _included(self) -> Included:
        return Included(Block(self.head), "0xbb", f"0x{len(self.calls):04x}", Rao(0), ())
