"""The chain client: an async face over one connection, typed values in and out.

:class:`Chain` joins a :class:`~subnet.chain.reader.Reader` and a :class:`~subnet.chain.writer.Writer`
over one connection and follows the head. No method blocks the event loop, every one ends by a
deadline, and each failure is a ChainError with a remedy.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from typing import Self

from subnet.chain import reads
from subnet.chain.connection import Connection
from subnet.chain.extrinsic import Pace, Submitter
from subnet.chain.heads import Head, HeadStream
from subnet.chain.reader import Reader
from subnet.chain.session import Session
from subnet.chain.watch import Watch
from subnet.chain.watch import stale_after as stale_default
from subnet.chain.writer import Writer
from subnet.errors import ChainTimeout, WrongNetwork
from subnet.types import Block

_LOADING = 60.0  # seconds that decoding a full runtime's metadata may take on a slow, busy machine
_BLOCK_TIME = 12.0  # seconds, of a chain that does not say
_BLOCK_TIMES = {("Aura", "SlotDuration"): 1, ("Babe", "ExpectedBlockTime"): 1, ("Timestamp", "MinimumPeriod"): 2}
_PATIENCE = 1.0  # seconds in which a refused first connection is tried again


class Chain(Reader, Writer):
    """A connection to a Substrate node with SubtensorModule: any real network, or ``subnet chain``.

    ``async with await Chain.connect("ws://127.0.0.1:9944") as chain: ...``. Safe for concurrent
    tasks of one event loop. A lost connection is made anew by the next call.
    """

    def __init__(self, connection: Connection, genesis_hash: str, spec_version: int) -> None:
        Reader.__init__(self)
        self._connection = connection
        self._submitter = Submitter(connection)
        self._watch: Watch | None = None
        self._streams: set[HeadStream] = set()
        self.genesis_hash = genesis_hash
        self.spec_version = spec_version  # as it was on connecting; reads follow upgrades by themselves

    @classmethod
    async def connect(
        cls,
        endpoint: str | Sequence[str],
        *,
        genesis_hash: str | None = None,
        timeout: float = 10.0,
        stale_after: float | None = None,
    ) -> Self:
        """Connect to a ``ws://`` or ``wss://`` endpoint, or the first of several (a list, or joined by commas)
        that answers; ``timeout`` is the deadline of each call, in seconds. A head that does not move for
        ``stale_after`` seconds (default: five of the chain's block times, 30 at least) is stale: of several
        endpoints one that is further is used then.

        Raises ConfigError (no URL), ChainUnreachable, ChainTimeout, ChainMalformed, NotASubtensor,
        and WrongNetwork if ``genesis_hash`` is given and the chain has another.
        """
        connection = Connection(endpoint, genesis_hash, timeout)
        try:
            genesis, spec, block_time = await connection.read(_identity, grace=_LOADING, patience=_PATIENCE)
        except BaseException:
            await connection.close()
            raise
        chain = cls(connection, genesis, spec)
        stale = stale_default(block_time) if stale_after is None else stale_after
        connection.endpoints.hold = stale
        chain._watch = Watch(connection, stale)
        chain._watch.start()
        return chain

    async def close(self) -> None:
        """Drop the connection and end :meth:`heads`; idempotent."""
        if self._watch is not None:
            await self._watch.stop()
        for stream in self._streams:
            stream.close()
        await self._connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def endpoint(self) -> str:
        """The endpoint in use."""
        return self._connection.endpoint

    @property
    def stale_for(self) -> float:
        """Seconds since the head was last seen to move; looked at every ten seconds at the least."""
        return self._connection.endpoints.stale_for()

    @property
    def wrong_network(self) -> WrongNetwork | None:
        """Why nothing is read or written any more, where every endpoint has become another chain: a local one that
        was wiped and began anew, or an address that leads elsewhere now. None where one is still, or again, ours."""
        return self._connection.endpoints.wrong_network()

    @property
    def is_pinned(self) -> bool:
        """Whether it was connected with a ``genesis_hash``, and not to whatever answered first."""
        return self._connection.endpoints.pinned

    # Blocks

    async def block_number(self) -> Block:
        """The head's number."""
        return await self._connection.read(reads.read_block_number)

    async def block_hash(self, block: int | None = None) -> str:
        """The hash of a block (None: of the head), 0x-hex. Raises ChainError for a block not there."""
        return await self._connection.read(lambda session: reads.read_block_hash(session, block))

    async def heads(self, *, finalized: bool = False) -> AsyncGenerator[Head, None]:
        """New (or finalised) heads from now on, the current one first: ``async for head in chain.heads(): ...``.

        No number is skipped: what passed while the connection was lost or the reader busy is fetched, up to
        256 blocks back; ``head.missed`` counts what is older. A block that replaces another of its number has
        ``head.reorg``. It goes on through lost connections, over all endpoints; WrongNetwork where all of them
        are another chain, ChainError when the client is closed. Leaving the loop ends its thread and socket.
        """
        connection = self._connection
        connection.check_open()
        stream = HeadStream(connection.endpoints, finalized=finalized, timeout=connection.timeout)
        self._streams.add(stream)
        try:
            while True:
                yield await stream.next()
        finally:
            stream.close()
            self._streams.discard(stream)

    async def wait_for_block(self, block: int, *, timeout: float | None = None) -> Block:
        """Wait until the head is at ``block`` or later; the head's number.

        Raises ChainTimeout after ``timeout`` seconds (None: never, while the node answers): a
        chain that stands still is seen by this alone. After a change of endpoint it waits, for a
        minute at most, until the new one is where the old one was.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        pace = Pace()
        while (now := await self.block_number()) < max(block, self._connection.endpoints.floor()):
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


def _identity(session: Session) -> tuple[str, int, float]:
    """A job: (genesis hash, spec version, seconds between blocks); loads the metadata on the way."""
    runtime, block_time = session.runtime(), _BLOCK_TIME
    for (pallet, name), factor in _BLOCK_TIMES.items():
        found = runtime.constant(pallet, name)
        if isinstance(found, int) and found > 0:
            block_time = found * factor / 1000
            break
    return session.genesis or "", runtime.spec_version, block_time
