"""The node: a chain, its pool, the clock that makes blocks, and the sessions that listen.

Everything happens on one event loop. A block is built between two awaits, so that no reader ever sees
half of one; clients hear of it after it is on disk.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

from subnet.devnet.chain import Block, Chain
from subnet.devnet.extrinsic import Extrinsic
from subnet.devnet.pool import Pool
from subnet.devnet.rpc import to_hex
from subnet.errors import DevnetError

logger = logging.getLogger(__name__)

Production = Literal["interval", "instant", "manual"]


class Listener(Protocol):
    """Who is told of blocks and extrinsics; a client's session."""

    @property
    def cut(self) -> Callable[[], None]: ...

    def on_block(self, block: Block) -> None: ...

    def on_extrinsic(self, extrinsic_hash: bytes, status: Any, *, last: bool) -> None: ...


class Node:
    """Blocks at their time, and everybody told."""

    def __init__(self, chain: Chain, *, production: Production = "interval", block_time: float = 1.0) -> None:
        self.chain = chain
        self.pool = Pool(chain)
        self.production = production
        self.block_time = block_time
        self.sessions: set[Listener] = set()
        self.metadata_hex = to_hex(chain.runtime.metadata)
        self.failure: DevnetError | None = None
        self.stopped = asyncio.Event()
        self._due = False

    async def run(self) -> None:
        """Make blocks until :attr:`stopped`; raises the DevnetError that ended the chain, if one did."""
        loop = asyncio.get_running_loop()
        due = loop.time()  # the first block at once: a client need not wait for it
        while not self.stopped.is_set():
            wait = max(0.0, due - loop.time()) if self.production == "interval" else None
            try:
                await asyncio.wait_for(self.stopped.wait(), wait)
            except TimeoutError:
                self._try_produce()
                # a machine that could not keep up does not make up for it in a burst
                due = max(due + self.block_time, loop.time() + self.block_time / 4)
        if self.failure is not None:
            raise self.failure

    def _try_produce(self) -> None:
        self._due = False
        try:
            self.produce()
        except DevnetError as error:
            self.failure = error
            self.stopped.set()
        except Exception:
            # the block was rolled back; the next one may do better
            logger.exception("block %d could not be built", self.chain.head.number + 1)

    def submit(self, raw: bytes) -> Extrinsic:
        """Take an extrinsic into the pool; RpcError says why not."""
        extrinsic, old = self.pool.submit(raw)
        if old is not None:
            self._tell(old, {"usurped": to_hex(extrinsic.hash)}, last=True)
        if self.production == "instant" and not self._due and self.pool.is_ready(extrinsic):
            self._due = True
            asyncio.get_running_loop().call_soon(self._try_produce)
        return extrinsic

    async def new_blocks(self, count: int) -> str:
        """Build blocks at once; the hash of the last."""
        for _ in range(count):
            self.produce()
            await asyncio.sleep(0)
        return to_hex(self.chain.head.hash)

    def produce(self, writes: Mapping[bytes, bytes | None] | None = None) -> Block:
        """Build one block of what waits, store it, and tell everybody."""
        dropped: list[Extrinsic] = []
        included: list[Extrinsic] = []

        def chosen() -> Any:
            for extrinsic in self.pool.ready():
                if self.pool.still_valid(extrinsic):
                    included.append(extrinsic)
                    yield extrinsic
                else:
                    dropped.append(extrinsic)

        block = self.chain.build(chosen(), writes)
        for extrinsic in included:
            self.pool.remove(extrinsic)
        for extrinsic in [*dropped, *self.pool.stale()]:
            self.pool.remove(extrinsic)
            self._tell(extrinsic, "invalid", last=True)
        for extrinsic in self.pool.overdue():
            self.pool.remove(extrinsic)
            self._tell(extrinsic, "dropped", last=True)
        self._announce(block, included)
        return block

    def _announce(self, block: Block, included: list[Extrinsic]) -> None:
        for session in list(self.sessions):
            session.on_block(block)
        block_hash = to_hex(block.hash)
        for extrinsic in included:
            self._tell(extrinsic, {"inBlock": block_hash})
            self._tell(extrinsic, {"finalized": block_hash}, last=True)

    def _tell(self, extrinsic: Extrinsic, status: Any, *, last: bool = False) -> None:
        for session in list(self.sessions):
            session.on_extrinsic(extrinsic.hash, status, last=last)
