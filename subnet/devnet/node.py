"""The node: a chain, its pool, the clock that makes blocks, and the sessions that listen.

Everything happens on one event loop. A block is built between two awaits, so that no reader ever sees
half of one; clients hear of it after it is on disk.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, Protocol

from subnet.devnet.chain import Block, Chain
from subnet.devnet.extrinsic import Extrinsic
from subnet.devnet.pallets.system import Timestamp
from subnet.devnet.pool import Pool
from subnet.devnet.rpc import RpcError, to_hex
from subnet.devnet.shield import MAX_OPENED, carried
from subnet.errors import DevnetError

logger = logging.getLogger(__name__)

Production = Literal["interval", "instant", "manual"]
LEAST_BLOCK_TIME, MOST_BLOCK_TIME = 0.01, 86_400.0  # seconds
LATEST = 1e11  # seconds since 1970; some 3,000 years from now


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
        self._stopped = False
        self._woken = asyncio.Event()  # the loop of run() has something else to do than wait for the next block
        self._due = False

    async def run(self) -> None:
        """Make blocks until :meth:`stop`; raises the DevnetError that ended the chain, if one did."""
        loop = asyncio.get_running_loop()
        due = loop.time()  # the first block at once: a client need not wait for it
        while not self._stopped:
            wait = max(0.0, due - loop.time()) if self.production == "interval" else None
            try:
                await asyncio.wait_for(self._woken.wait(), wait)
                self._woken.clear()
                due = min(due, loop.time() + self.block_time)
            except TimeoutError:
                self._try_produce()
                # a machine that could not keep up does not make up for it in a burst
                due = max(due + self.block_time, loop.time() + self.block_time / 4)
        if self.failure is not None:
            raise self.failure

    def stop(self) -> None:
        self._stopped = True
        self._woken.set()

    def set_production(self, production: Production, block_time: float | None = None) -> None:
        """Change when blocks are made, and the seconds between them; DevnetError for a time out of bounds."""
        seconds = self.block_time if block_time is None else block_time
        if not LEAST_BLOCK_TIME <= seconds <= MOST_BLOCK_TIME:
            raise DevnetError(
                f"block time {seconds} is out of bounds",
                remedy=f"Give a value from {LEAST_BLOCK_TIME} to {MOST_BLOCK_TIME} seconds.",
            )
        self.production, self.block_time = production, seconds
        self._woken.set()
        self._soon_if_instant()

    def _soon_if_instant(self) -> None:
        """Where blocks are instant: one as soon as the loop has time, if something waits for it."""
        if self.production == "instant" and not self._due and self.pool.ready():
            self._soon()

    def _soon(self) -> None:
        self._due = True
        asyncio.get_running_loop().call_soon(self._try_produce)

    def _try_produce(self) -> None:
        self._due = False
        try:
            self.produce()
            self._soon_if_instant()  # what did not fit into that block
        except DevnetError:
            pass  # it ends the chain: run() raises it
        except Exception:
            # the block was rolled back; the next one may do better
            logger.exception("block %d could not be built", self.chain.head.number + 1)

    def submit(self, raw: bytes) -> Extrinsic:
        """Take an extrinsic into the pool; RpcError says why not."""
        extrinsic = self._take(raw)
        if self.production == "instant" and not self._due and self.pool.is_ready(extrinsic):
            self._soon()
        return extrinsic

    def _take(self, raw: bytes) -> Extrinsic:
        extrinsic, old = self.pool.submit(raw)
        if old is not None:
            self._tell(old, {"usurped": to_hex(extrinsic.hash)}, last=True)
        for one in self.pool.crowded_out:
            self._tell(one, "dropped", last=True)
        self.pool.crowded_out.clear()
        return extrinsic

    async def new_blocks(self, count: int, times: Sequence[float] = ()) -> str:
        """Build blocks at once, the first ones at these times (seconds since 1970, ascending); the last one's hash."""
        for number in range(count):
            if number < len(times):
                self.set_time(times[number])
            self.produce()
            await asyncio.sleep(0)
        return to_hex(self.chain.head.hash)

    def set_time(self, seconds: float) -> float:
        """Let the chain's clock say this (seconds since 1970) from now on; DevnetError if it is not after the head's.

        Returns the clock's time.
        """
        last = self.chain.state.get(Timestamp.Now)
        if not last / 1000 < seconds <= LATEST:
            raise DevnetError(
                f"time {seconds} is out of bounds: the head's is {last / 1000:.3f}",
                remedy=f"Give seconds since 1970, after the head's and up to {LATEST}; "
                "only a return to a snapshot goes back in time.",
            )
        self.chain.set_clock(round(seconds * 1000))
        return self.now

    @property
    def now(self) -> float:
        """What the chain's clock says, in seconds since 1970; blocks made within a millisecond run ahead of it."""
        return max(self.chain.now_ms, self.chain.state.get(Timestamp.Now) + 1) / 1000

    def revert(self, snapshot: int) -> Block:
        """Return to a snapshot; what waits in the pool is dropped, and everybody told of the head that is now."""
        block = self.chain.revert(snapshot)
        for pooled in list(self.pool.by_hash.values()):
            self.pool.remove(pooled.extrinsic)
            self._tell(pooled.extrinsic, "dropped", last=True)
        for session in list(self.sessions):
            session.on_block(block)
        return block

    def _unshield(self, ciphertext: bytes) -> list[Extrinsic]:
        """The extrinsic that a carrier held, through the pool's checks; none if it does not open or is not valid."""
        raw = self.chain.shield.open(ciphertext)
        if raw is None:
            return []
        try:
            inner = self._take(raw)
        except RpcError as error:
            logger.info("what a carrier held is refused: %s %s", error.message, error.data or "")
            return []
        return [inner] if self.pool.still_valid(inner) else []

    def produce(self, writes: Mapping[bytes, bytes | None] | None = None) -> Block:
        """Build one block of what waits, store it, and tell everybody."""
        dropped: list[Extrinsic] = []
        included: list[Extrinsic] = []

        def chosen() -> Iterator[Extrinsic]:
            opened, waiting = 0, set[bytes]()
            for extrinsic in self.pool.ready():
                ciphertext = carried(extrinsic)
                if extrinsic.signer in waiting or (ciphertext and opened == MAX_OPENED):
                    waiting.add(extrinsic.signer)  # this and what follows it go into the next block
                elif not self.pool.still_valid(extrinsic):
                    dropped.append(extrinsic)
                else:
                    included.append(extrinsic)
                    yield extrinsic
                    if ciphertext:
                        opened += 1
                        inner = self._unshield(ciphertext)
                        included.extend(inner)
                        yield from inner

        try:
            block = self.chain.build(chosen(), writes)
        except DevnetError as error:  # the disk is full, say: a chain that can't be kept must not go on
            self.failure = error
            self.stop()
            raise
        except Exception:
            # what it broke on was the last to go in: the next block must not break on it again
            for extrinsic in included[-1:]:
                self.pool.remove(extrinsic)
                self._tell(extrinsic, "invalid", last=True)
            raise
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
