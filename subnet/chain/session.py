"""What the connection's thread works with: one transport, and the runtimes met so far.

A job (:mod:`subnet.chain.connection`) is a function of a :class:`Session`; it may block, and ends
by the session's deadline. The session reconnects before a job when the socket was lost, checks
that it is still the same chain, and loads the metadata of each spec version once.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from subnet.chain.transport import Call, Transport
from subnet.errors import ChainError, ChainMalformed, ChainTimeout, WrongNetwork

if TYPE_CHECKING:
    from subnet.chain.substrate import Runtime

log = logging.getLogger(__name__)

MAX_RUNTIMES = 4
"""Runtime versions whose metadata is kept decoded (tens of MiB each for a full runtime)."""
BATCH = 2048
"""Storage keys in one call; public nodes refuse requests beyond a few hundred KiB."""

_HASH = re.compile(r"0x[0-9a-fA-F]{64}")


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

    def has(self, item: str, pallet: str = "SubtensorModule") -> bool:
        """Whether the runtime of this block has the item at all."""
        return self.runtime.item(pallet, item) is not None


class Session:
    """One endpoint as seen from the connection's thread; not for any other thread but for :meth:`abort`."""

    def __init__(self, endpoint: str, genesis: str | None) -> None:
        self.endpoint = endpoint
        self.transport = Transport(endpoint)
        self.genesis = genesis
        self._runtimes: dict[int, Runtime] = {}
        self._current: int | None = None

    def prepare(self, deadline: float) -> None:
        """Before each job: set its deadline, and connect where the socket was lost."""
        if time.monotonic() >= deadline:
            raise ChainTimeout(f"{self.endpoint} is busy with earlier calls that it does not answer")
        self.transport.deadline = deadline
        if not self.transport.is_open:
            self.transport.open()
            try:
                self._identify()
            except ChainError:
                self.transport.close()
                raise

    def abort(self) -> None:
        """Close the socket, waking whatever waits on it. Safe from any thread."""
        self.transport.close()

    def call(self, method: str, *params: Any) -> Any:
        """One JSON-RPC call's result."""
        return self.calls([(method, params)])[0]

    def calls(self, batch: Sequence[Call]) -> list[Any]:
        """Several JSON-RPC calls in one round trip."""
        return self.transport.calls(batch)

    def _identify(self) -> None:
        genesis = block_hash(self.call("chain_getBlockHash", 0))
        if self.genesis is not None and genesis != self.genesis:
            raise WrongNetwork(f"{self.endpoint} has genesis {genesis}, not {self.genesis}")
        self.genesis = genesis

    # Runtimes

    def runtime(self) -> Runtime:
        """The runtime last seen at the head; the first use loads it."""
        if self._current is None:
            return self.runtime_at(None)
        return self._runtimes[self._current]

    def runtime_at(self, at: str | None) -> Runtime:
        """The runtime that rules at a block (None: the head), asked from the node."""
        return self.runtime_of(self.call("state_getRuntimeVersion", *([at] if at else [])), at)

    def runtime_of(self, version: Any, at: str | None) -> Runtime:
        """The runtime of a ``state_getRuntimeVersion`` answer, its metadata taken at block ``at``."""
        spec = version.get("specVersion") if isinstance(version, dict) else None
        if not isinstance(spec, int):
            raise ChainMalformed(f"{self.endpoint} does not say its runtime version")
        if spec not in self._runtimes:
            self._runtimes[spec] = self._load(version, at)
            spare = [known for known in self._runtimes if known not in (spec, self._current)]
            for old in spare[: max(0, len(self._runtimes) - MAX_RUNTIMES)]:
                del self._runtimes[old]
        if at is None or self._current is None:
            self._current = spec
        self._runtimes.setdefault(spec, self._runtimes.pop(spec))
        return self._runtimes[spec]

    def _load(self, version: Any, at: str | None) -> Runtime:
        from subnet.chain.substrate import Runtime

        started = time.perf_counter()
        metadata = self.call("state_getMetadata", *([at] if at else []))
        runtime = Runtime(self.transport, metadata, version, self.genesis or "")
        seconds = time.perf_counter() - started
        log.debug("metadata of spec %s in %.2f s", version["specVersion"], seconds)
        return runtime

    # Storage

    def read(self, wanted: Iterable[Entry], at: str | None = None) -> Snapshot:
        """Entries at one block (None: the head), in one round trip unless the runtime changed meanwhile."""
        entries = list(dict.fromkeys(wanted))
        runtime = self.runtime()
        for _ in range(3):
            keys = _keys(runtime, entries)
            version, found, values = self._query(list(keys.values()), at)
            ruling = self.runtime_of(version, at or found)
            if at is None:
                self._current = ruling.runtime_version
            if ruling is runtime:
                return _snapshot(runtime, found, entries, keys, values)
            runtime = ruling
        raise ChainMalformed(f"{self.endpoint} changes its runtime version with every answer")

    def _query(self, keys: list[str], at: str | None) -> tuple[Any, str, dict[str, bytes | None]]:
        """The runtime version, the block's hash and the values; later batches ask at the first's block."""
        tail = [at] if at else []
        version, reply = self.calls(
            [("state_getRuntimeVersion", tail), ("state_queryStorageAt", [keys[:BATCH], *tail])]
        )
        found, values = _changes(reply, at)
        for start in range(BATCH, len(keys), BATCH):
            more = self.call("state_queryStorageAt", keys[start : start + BATCH], found)
            values.update(_changes(more, found)[1])
        return version, found, values


def _keys(runtime: Runtime, entries: list[Entry]) -> dict[Entry, str]:
    """Storage keys of those entries whose item this runtime has."""
    keys = {}
    for entry in entries:
        item = runtime.item(entry.pallet, entry.item)
        if item is not None:
            keys[entry] = item.key(*entry.parts)
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
    try:
        return int(header["number"], 16)
    except (TypeError, KeyError, ValueError):
        raise ChainMalformed("a block header has no number") from None


def _changes(reply: Any, at: str | None) -> tuple[str, dict[str, bytes | None]]:
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
