"""What the connection's thread works with: one transport, and the runtimes met so far.

A job (:mod:`subnet.chain.owner`) is a function of a :class:`Session`; it may block, and ends
by the session's deadline. Before a job the session reconnects where the socket was lost or another
endpoint was chosen, and checks that it is still the same chain; it loads the metadata of each spec
version once.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from subnet.chain.endpoints import Endpoints
from subnet.chain.runtime import Runtime
from subnet.chain.runtimes import Runtimes
from subnet.chain.transport import Call, Transport
from subnet.errors import (
    ChainError,
    ChainMalformed,
    ChainTimeout,
    ChainUnreachable,
    NotASubtensor,
    WrongNetwork,
)

log = logging.getLogger(__name__)

BATCH = 2048
"""Storage keys in one call; public nodes refuse requests beyond a few hundred KiB."""
_KNOWN_KEYS = 20_000  # hashed keys that a runtime remembers: what a neuron reads again and again
_ABREAST = 512  # keys asked for at several blocks in one round trip: small enough to be sent before anyone reads
FAULTS = (ChainUnreachable, ChainTimeout, ChainMalformed, NotASubtensor, WrongNetwork)
"""What is the endpoint's fault, so that another one may do better; a refusal would be the same everywhere."""

_HASH = re.compile(r"0x[0-9a-fA-F]{64}")
_HEX_NUMBER = re.compile(r"0x[0-9a-fA-F]{1,16}")


class Entry(NamedTuple):
    """A storage entry to read: its item, and the SCALE bytes of its key parts."""

    item: str
    parts: tuple[bytes, ...] = ()
    pallet: str = "SubtensorModule"


@dataclass(frozen=True)
class Snapshot:
    """Entries at one block. An absent entry reads as its item's default, or None where it has none;
    an item that this runtime does not have reads as None: a feature that is off."""

    runtime: Runtime
    block_hash: str
    entries: dict[Entry, bytes | None]

    def __getitem__(self, entry: Entry) -> bytes | None:
        return self.entries[entry]

    def value(self, entry: Entry, *, raw: bool = False) -> Any:
        """An entry as plain Python values (:mod:`subnet.chain.values`); None where it is absent without a default,
        or the runtime has no such item."""
        if not self.has(entry.item, entry.pallet):
            return None
        return self.runtime.value(entry.pallet, entry.item, self.entries[entry], raw=raw)

    def has(self, item: str, pallet: str = "SubtensorModule") -> bool:
        """Whether the runtime of this block has the item at all."""
        return self.runtime.item(pallet, item) is not None


class Session:
    """One connection as seen from its thread; not for any other thread but for :meth:`abort`."""

    def __init__(self, endpoints: Endpoints) -> None:
        self.endpoints = endpoints
        self.transport = Transport(endpoints.chosen)
        self.connections = 0  # made so far: what was subscribed to on an earlier one is gone
        self._computed = 0.0
        self._computing_since: float | None = None
        self._runtimes = Runtimes(self)

    @property
    def endpoint(self) -> str:
        """The endpoint that this session is, or was last, connected to."""
        return self.transport.endpoint

    @property
    def genesis(self) -> str | None:
        """The chain's genesis hash, once one of its endpoints has answered."""
        return self.endpoints.genesis

    @property
    def computed(self) -> float:
        """Seconds spent in :meth:`computing` so far. Safe from any thread."""
        since = self._computing_since
        return self._computed + (0.0 if since is None else time.monotonic() - since)

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Around what makes sense of the node's word, which may take seconds: no time of the node's, nor of the job's
        deadline. Else a slow, busy machine would break it off, and begin anew, for ever."""
        before = self._computed
        self._computing_since = time.monotonic()
        try:
            yield
        finally:
            self._computed, self._computing_since = self.computed, None
            self.transport.deadline += self._computed - before

    def prepare(self, deadline: float) -> None:
        """Before each job: set its deadline, and connect where that is needed."""
        if time.monotonic() >= deadline:
            raise ChainTimeout(f"{self.endpoint} is busy with earlier calls that it does not answer")
        self.transport.deadline = deadline
        if not self.transport.is_open or self.endpoint != self.endpoints.chosen:
            self._connect(deadline)

    def _connect(self, deadline: float) -> None:
        """Connect to the first endpoint that answers, is the same chain, and is not late where another is not."""
        self.transport.close()
        late: list[str] = []
        waiting = self.endpoints.order()
        while waiting:
            url = waiting.pop(0)
            share = (deadline - time.monotonic()) / (1 + len(waiting))
            if share <= 0:
                raise ChainTimeout(f"{self.endpoint} took all of the call's time")
            self.transport.endpoint, self.transport.deadline = url, time.monotonic() + share
            try:
                self.transport.open()
                head = self._identify()
            except ChainError as error:
                self.transport.close()
                if self.transport.is_over:
                    raise
                self.endpoints.failed(url, error)
                continue
            if url not in late and self.endpoints.is_late(url, head):
                late.append(url)
                waiting.append(url)
                continue
            if url in late:
                log.warning("%s is used although it is behind what was read before: its head is %d", url, head)
            self.transport.deadline = deadline
            self.connections += 1
            self._runtimes.recheck()
            self.endpoints.use(url)
            return
        raise self.endpoints.verdict()

    def _identify(self) -> int:
        """Whether it is the chain that it should be; its head's number where endpoints are compared."""
        several = len(self.endpoints) > 1
        genesis, *headers = self.calls([("chain_getBlockHash", [0]), ("chain_getHeader", [])][: 1 + several])
        found, wanted = block_hash(genesis), self.endpoints.genesis
        if wanted is not None and found != wanted:
            raise WrongNetwork(
                f"{self.endpoint} has genesis {found}, not {wanted}",
                remedy=f"If it is the chain you mean: --genesis-hash {found}; else name another --endpoint.",
            )
        self.endpoints.genesis = found
        if not several:
            return 0
        head = block_number(headers[0])
        self.endpoints.saw(self.endpoint, head)
        return head

    def leave(self, error: ChainError) -> None:
        """The endpoint failed in a job: let another one have the next, where there is another."""
        if self.transport.is_over:
            return  # we hung up ourselves
        self.endpoints.failed(self.endpoint, error)
        if len(self.endpoints) > 1:
            self.transport.close()

    def close(self) -> None:
        """Drop the socket; the next job's preparation connects anew."""
        self.transport.close()

    def abort(self) -> None:
        """Close the socket for good, waking whatever waits on it. Safe from any thread."""
        self.transport.abort()

    def notice(self, seconds: float) -> Any:
        """What this connection's subscription sent; None if nothing came within ``seconds``."""
        return self.transport.notice(seconds)

    def call(self, method: str, *params: Any) -> Any:
        """One JSON-RPC call's result."""
        return self.calls([(method, params)])[0]

    def calls(self, batch: Sequence[Call]) -> list[Any]:
        """Several JSON-RPC calls in one round trip."""
        return self.transport.calls(batch)

    def head(self) -> int:
        """The head's number."""
        number = block_number(self.call("chain_getHeader"))
        self.endpoints.saw(self.endpoint, number)
        return number

    # Runtimes

    def runtime(self) -> Runtime:
        """The runtime last seen at the head; the first use loads it."""
        return self._runtimes.current()

    def runtime_at(self, at: str | None) -> Runtime:
        """The runtime that rules at a block (None: the head), asked from the node."""
        return self.runtime_of(self.call("state_getRuntimeVersion", *([at] if at else [])), at)

    def runtime_of(self, version: Any, at: str | None) -> Runtime:
        """The runtime of a ``state_getRuntimeVersion`` answer for block ``at`` (None: the head)."""
        return self._runtimes.of(version, at)

    # Storage

    def read(self, wanted: Iterable[Entry], at: str | None = None) -> Snapshot:
        """Entries at one block (None: the head), in one round trip unless the runtime changed meanwhile."""
        entries = list(dict.fromkeys(wanted))
        runtime = self.runtime()
        for _ in range(3):
            keys = _keys(runtime, entries)
            version, found, values = self._query(list(keys.values()), at)
            ruling = self.runtime_of(version, at)
            if ruling is runtime:
                return _snapshot(runtime, found, entries, keys, values)
            runtime = ruling
        raise ChainMalformed(f"{self.endpoint} changes its runtime version with every answer")

    def read_each(self, wanted: Iterable[Entry], blocks: Sequence[str]) -> Iterator[Snapshot]:
        """The same entries at each of several blocks (hashes), some blocks to a round trip."""
        entries = list(dict.fromkeys(wanted))
        runtime = self.runtime()
        keys = _keys(runtime, entries)
        listed = list(keys.values())
        if len(listed) > BATCH:
            raise ValueError(f"{len(listed)} keys are too many to read at several blocks")
        abreast = max(1, _ABREAST // (len(listed) or 1))
        for start in range(0, len(blocks), abreast):
            turn = blocks[start : start + abreast]
            asked = [(("state_getRuntimeVersion", [at]), ("state_queryStorageAt", [listed, at])) for at in turn]
            replies = self.calls([call for pair in asked for call in pair])
            for at, version, reply in zip(turn, replies[::2], replies[1::2], strict=True):
                if self.runtime_of(version, at) is runtime:
                    yield _snapshot(runtime, at, entries, keys, changes(reply, at)[1])
                else:  # another runtime's keys may be others
                    yield self.read(entries, at)

    def _query(self, keys: list[str], at: str | None) -> tuple[Any, str, dict[str, bytes | None]]:
        """The runtime version, the block's hash and the values; later batches ask at the first's block."""
        tail = [at] if at else []
        version, reply = self.calls(
            [("state_getRuntimeVersion", tail), ("state_queryStorageAt", [keys[:BATCH], *tail])]
        )
        found, values = changes(reply, at)
        for start in range(BATCH, len(keys), BATCH):
            more = self.call("state_queryStorageAt", keys[start : start + BATCH], found)
            values.update(changes(more, found)[1])
        return version, found, values


def _keys(runtime: Runtime, entries: list[Entry]) -> dict[Entry, str]:
    """Storage keys of those entries whose item this runtime has."""
    known, keys = runtime.keys, {}
    if len(known) > _KNOWN_KEYS:
        known.clear()
    for entry in entries:
        key = known.get(entry)
        if key is None:
            item = runtime.item(entry.pallet, entry.item)
            if item is None:
                continue
            key = known[entry] = item.key(*entry.parts)
        keys[entry] = key
    return keys


def _snapshot(
    runtime: Runtime,
    found: str,
    entries: list[Entry],
    keys: dict[Entry, str],
    values: dict[str, bytes | None],
) -> Snapshot:
    filled: dict[Entry, bytes | None] = dict.fromkeys(entries)
    for entry, key in keys.items():
        value = values.get(key)
        item = runtime.item(entry.pallet, entry.item)
        filled[entry] = item.default if value is None and item is not None else value
    return Snapshot(runtime, found, filled)


def block_hash(value: Any) -> str:
    """A 32-byte hash as lowercase 0x-hex. Raises ChainMalformed."""
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise ChainMalformed(f"{str(value)[:80]!r} is no block hash")
    return value.lower()


def block_number(header: Any) -> int:
    """The number in a header as the node sends it. Raises ChainMalformed."""
    number = header.get("number") if isinstance(header, dict) else None
    if not isinstance(number, str) or not _HEX_NUMBER.fullmatch(number):
        raise ChainMalformed("a block header has no number")
    return int(number, 16)


def changes(reply: Any, at: str | None) -> tuple[str, dict[str, bytes | None]]:
    """The block's hash and the values by key in an answer to state_queryStorageAt."""
    try:
        (change,) = reply
        found = block_hash(change["block"])
        values = {
            key.lower(): None if value is None else bytes.fromhex(value.removeprefix("0x"))
            for key, value in change["changes"]
        }
    except ChainMalformed:
        raise
    except Exception as error:
        raise ChainMalformed(f"an answer to state_queryStorageAt can't be read: {error}") from None
    if at is not None and found != at.lower():
        raise ChainMalformed(f"asked for block {at}, the node answered for {found}")
    return found, values
