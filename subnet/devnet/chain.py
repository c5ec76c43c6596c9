"""The chain itself: genesis, building blocks on the head, and reading any block's state.

:class:`Chain` knows nothing of sockets or time: :meth:`Chain.build` takes the extrinsics that are to go
in and returns the block once it is on disk. Every block is final as soon as it is built.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

from subnet.devnet.accounts import Account
from subnet.devnet.context import Context, Spec
from subnet.devnet.extrinsic import Extrinsic, bare
from subnet.devnet.hashing import blake2_256
from subnet.devnet.pallets.balances import mint
from subnet.devnet.pallets.shield import MevShield
from subnet.devnet.pallets.subtensor import SubtensorModule
from subnet.devnet.pallets.subtensor_networks import add_root
from subnet.devnet.pallets.system import (
    BLOCK_HASH_COUNT,
    SPEC_VERSION,
    TRANSACTION_VERSION,
    Aura,
    System,
    Timestamp,
)
from subnet.devnet.pallets.utility import Sudo
from subnet.devnet.runtime import Runtime, runtime
from subnet.devnet.scale import BYTES, U32, U64, Reader, Vec
from subnet.devnet.shapes import HEADER
from subnet.devnet.shield import Shield
from subnet.devnet.state import State, Store, StoredBlock
from subnet.errors import DevnetError

logger = logging.getLogger(__name__)

SLOT_MS = 12_000
LAST_MOMENT = 2**64 - 1  # what a clock can say at most, should somebody set it there
EXTRINSICS = Vec(BYTES)
SALT_KEY = b":subnet:salt"  # makes each fresh chain's genesis its own
BRANCH_KEY = b":subnet:branch"  # makes what follows a return to a snapshot, or the loading of a dump, its own
METADATA_KEY = b":subnet:metadata"  # clients cache metadata by genesis and version: another one, another genesis
CODE_KEY = b":code"
Fill = Callable[[Context, Runtime], None]


@dataclass(frozen=True)
class Block:
    """A block as it stands: header fields, extrinsics as bytes, and what it changed in the state."""

    number: int
    hash: bytes
    header: Mapping[str, Any]
    extrinsics: tuple[bytes, ...]
    changes: Mapping[bytes, bytes | None] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, stored: StoredBlock) -> Block:
        reader = Reader(stored.extrinsics)
        return cls(stored.number, stored.hash, HEADER.decode(stored.header), tuple(EXTRINSICS.read(reader)))


class Chain:
    """Blocks and state, on a :class:`~subnet.devnet.state.Store`."""

    def __init__(
        self, store: Store, spec: Spec, accounts: Sequence[Account], balance: int, fill: Fill | None = None
    ) -> None:
        """The store's chain, or a new one: ``balance`` RAO for each account, and what ``fill`` writes into block 0."""
        self.store = store
        self.state = State()
        stored = store.head()
        self.spec = spec if stored is None else _stored_spec(store)
        self.runtime: Runtime = runtime(self.spec.tempo_rule)
        if stored is None:
            self.head = self._genesis(accounts, balance, fill)
        else:
            store.load(self.state)
            self.head = Block.of(stored)
            self._check_metadata()
        genesis = store.block(0)
        assert genesis is not None  # noqa: S101 - a store with a head has a genesis
        self.genesis_hash = genesis.hash
        self._branch = store.meta("branch")
        self.ahead_ms = int(store.meta("clock") or b"0")
        self.kept_from = int(store.meta("kept_from") or b"0")

    def _genesis(self, accounts: Sequence[Account], balance: int, fill: Fill | None) -> Block:
        ctx = self.context(block=0)
        state = self.state
        state.write(SALT_KEY, os.urandom(16))
        state.write(METADATA_KEY, known_metadata(self.spec))
        state.write(CODE_KEY, b"subnet devnet: no wasm")
        for account in accounts:
            mint(ctx, account.public_key, balance)
        state.put(Sudo.Key, to=accounts[0].public_key)
        state.put(MevShield.NextKey, to=self.shield.public)
        state.put(SubtensorModule.StartCallDelay, to=self.spec.start_call_delay)
        state.put(SubtensorModule.AdminFreezeWindow, to=self.spec.admin_freeze_window)
        add_root(ctx)
        if fill is not None:
            fill(ctx, self.runtime)
        self.store.set_meta("spec", json.dumps(asdict(self.spec)).encode())
        return self._seal(ctx, [], {"parent_hash": bytes(32), "number": 0, "digest": {"logs": []}}, bytes(32))

    @cached_property
    def shield(self) -> Shield:
        """What opens the extrinsics that were encrypted to MevShield.NextKey."""
        return Shield.of(self.state.read(SALT_KEY) or b"")

    def _check_metadata(self) -> None:
        if self.state.read(METADATA_KEY) != known_metadata(self.spec):
            raise DevnetError(
                f"{self.store.path} holds a chain of another version of this software",
                remedy="Start from a fresh file (--state NEWFILE), or run the version that wrote it.",
            )

    def context(self, block: int | None = None) -> Context:
        """A context on the head's state for the next block (or ``block``)."""
        number = self.head.number + 1 if block is None else block
        return Context(self.state, number, self.spec, self.runtime.dispatch)

    def build(self, extrinsics: Iterable[Extrinsic], writes: Mapping[bytes, bytes | None] | None = None) -> Block:
        """Build the next block of these extrinsics, in this order; ``writes`` go into the state as they are.

        Raises DevnetError if it can't be stored; then the head is what it was before.
        """
        ctx = self.context()
        try:
            header = self._open(ctx)
            for pallet in self.runtime.pallets:
                for hook in pallet.hooks:
                    self._run(hook, ctx)
            inherent = self.runtime.call("Timestamp", "set", now=ctx.now_ms)
            self.runtime.apply_inherent(ctx, 0, inherent)
            included = [bare(inherent.raw)]
            for extrinsic in extrinsics:
                self.runtime.apply(ctx, len(included), extrinsic)
                included.append(extrinsic.raw)
            for key, value in (writes or {}).items():
                self.state.write(key, value)
            block = self._seal(ctx, included, header, self.head.header["state_root"])
        except BaseException:
            self.state.rollback(0)
            self.state.settle()
            raise
        self.head = block
        return block

    def _run(self, hook: Callable[[Context], None], ctx: Context) -> None:
        """Run what a pallet does in each block. A defect in it must not stop the chain: it is undone and logged."""
        mark, events = self.state.mark(), len(ctx.events)
        try:
            hook(ctx)
        except Exception:
            self.state.rollback(mark)
            del ctx.events[events:]
            logger.exception("%s failed in block %d", hook.__name__, ctx.block)

    def _open(self, ctx: Context) -> dict[str, Any]:
        state = self.state
        last = state.get(Timestamp.Now)
        ctx.now_ms = min(max(self.now_ms, last + 1), LAST_MOMENT)
        slot = ctx.now_ms // SLOT_MS
        digest: dict[str, Any] = {"logs": [("PreRuntime", (b"aura", U64.encode(slot)))]}
        state.put(System.Number, to=ctx.block)
        state.put(System.ParentHash, to=self.head.hash)
        state.put(System.BlockHash, self.head.number, to=self.head.hash)
        if self.head.number > BLOCK_HASH_COUNT:
            state.drop(System.BlockHash, self.head.number - BLOCK_HASH_COUNT)
        state.put(System.Digest, to=digest)
        state.put(Aura.CurrentSlot, to=slot)
        state.write(BRANCH_KEY, self._branch)
        return {"parent_hash": self.head.hash, "number": ctx.block, "digest": digest}

    def _seal(self, ctx: Context, extrinsics: list[bytes], header: dict[str, Any], root: bytes) -> Block:
        if ctx.block:
            self.state.write(System.Events.key(), ctx.encoded_events())
            self.state.put(System.EventCount, to=len(ctx.events))
        changes = self.state.changes()
        header["state_root"] = state_root(root, changes)
        header["extrinsics_root"] = blake2_256(EXTRINSICS.encode(extrinsics))
        data = HEADER.encode(header)
        block = Block(ctx.block, blake2_256(data), header, tuple(extrinsics), changes)
        self.store.commit(StoredBlock(ctx.block, block.hash, data, EXTRINSICS.encode(extrinsics)), changes)
        self.state.settle()
        return block

    # time and snapshots
    @property
    def now_ms(self) -> int:
        """The chain's clock, in milliseconds since 1970: the machine's, and what :meth:`set_clock` added to it."""
        return time.time_ns() // 1_000_000 + self.ahead_ms

    def set_clock(self, now_ms: int) -> None:
        """Let the chain's clock say this from now on; it goes on at the machine's pace, also after a restart."""
        ahead_ms = self.ahead_ms + now_ms - self.now_ms
        self.store.keep_clock(ahead_ms)
        self.ahead_ms = ahead_ms

    def snapshot(self) -> int:
        """Remember the head, to return to it with :meth:`revert`."""
        return self.store.take_snapshot(self.head.number, self.ahead_ms)

    def revert(self, snapshot: int) -> Block:
        """Return to a snapshot's block, state and clock; the blocks after it are gone, and so are later snapshots.

        The block's ``changes`` are what it differs in from the head before. Blocks built from here on have other
        hashes than those that were built before, even if they are alike in all else. DevnetError if there is no
        such snapshot.
        """
        found = self.store.snapshot(snapshot)
        if found is None:
            raise DevnetError(
                f"there is no snapshot {snapshot}",
                remedy="Take one with dev_snapshot; a return to an earlier one removes those after it.",
            )
        branch = os.urandom(16)
        changes = self.store.revert(found, {"branch": branch, "clock": str(found.clock).encode()})
        for key, value in changes.items():
            self.state.write(key, value)
        self.state.settle()
        self._branch, self.ahead_ms = branch, found.clock
        stored = self.store.block(found.block)
        assert stored is not None  # noqa: S101 - a revert keeps the snapshot's block
        self.head = replace(Block.of(stored), changes=changes)
        return self.head

    # reading
    def block(self, number: int) -> Block | None:
        if number == self.head.number:
            return self.head
        stored = self.store.block(number)
        return None if stored is None else Block.of(stored)

    def by_hash(self, block_hash: bytes) -> Block | None:
        if block_hash == self.head.hash:
            return self.head
        stored = self.store.block_by_hash(block_hash)
        return None if stored is None else Block.of(stored)

    def hash_of(self, number: int) -> bytes | None:
        """The hash of a block that is stored, or that the state remembers (the last BLOCK_HASH_COUNT)."""
        block = self.block(number)
        if block is not None:
            return block.hash
        return self.state.get(System.BlockHash, number) if self.state.has(System.BlockHash, number) else None

    def read(self, key: bytes, block: int) -> bytes | None:
        """A storage key's value at the end of ``block``."""
        return self.state.read(key) if block == self.head.number else self.store.value(key, block)

    def page(self, prefix: bytes, start: bytes | None, limit: int, block: int) -> list[bytes]:
        if block == self.head.number:
            return self.state.page(prefix, start, limit)
        return self.store.page(prefix, start, limit, block)

    def implicit(self, birth_hash: bytes) -> bytes:
        """What every signature on this chain covers besides the extrinsic itself."""
        return U32.encode(SPEC_VERSION) + U32.encode(TRANSACTION_VERSION) + self.genesis_hash + birth_hash


def known_metadata(spec: Spec) -> bytes:
    """The hash of what this version tells clients of such a chain; a chain keeps that of the version that began it."""
    return blake2_256(runtime(spec.tempo_rule).metadata_v15)


def state_root(parent: bytes, changes: Mapping[bytes, bytes | None]) -> bytes:
    """A commitment to the state: the parent's root and this block's changes hashed (no trie, so no proofs)."""
    parts = [parent]
    for key, value in changes.items():
        parts += [BYTES.encode(key), b"\0" if value is None else b"\1" + BYTES.encode(value)]
    return blake2_256(b"".join(parts))


def _stored_spec(store: Store) -> Spec:
    raw = store.meta("spec")
    try:
        return Spec(**json.loads(raw or b""))
    except (ValueError, TypeError) as error:
        raise DevnetError(
            f"{store.path} does not say which chain it holds", remedy="Start from a fresh file: --state NEWFILE."
        ) from error
