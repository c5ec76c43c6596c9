"""The node: a chain, its pool, the clock that makes blocks, and the sessions that listen.

Everything happens on one event loop. A block is built between two awaits, so that no reader ever sees
half of one; clients hear of it after it is on disk.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from subnet.devnet import methods
from subnet.devnet.chain import Block, Chain
from subnet.devnet.extrinsic import Extrinsic
from subnet.devnet.pool import Pool
from subnet.devnet.rpc import Reply, RpcError, answer, dumps, to_hex
from subnet.errors import DevnetError

logger = logging.getLogger(__name__)

MAX_SUBSCRIPTIONS = 256  # of one session
Production = Literal["interval", "instant", "manual"]


class Node:
    """Blocks at their time, and everybody told."""

    def __init__(self, chain: Chain, *, production: Production = "interval", block_time: float = 1.0) -> None:
        self.chain = chain
        self.pool = Pool(chain)
        self.production = production
        self.block_time = block_time
        self.sessions: set[Session] = set()
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
        block_hash = to_hex(block.hash)
        header = methods.header_json(block)
        for session in list(self.sessions):
            session.on_block(header, block, block_hash)
        for extrinsic in included:
            self._tell(extrinsic, {"inBlock": block_hash})
            self._tell(extrinsic, {"finalized": block_hash}, last=True)

    def _tell(self, extrinsic: Extrinsic, status: Any, *, last: bool = False) -> None:
        for session in list(self.sessions):
            session.on_extrinsic(extrinsic.hash, status, last=last)


@dataclass(eq=False)
class Session:
    """One connection: its subscriptions and what is to be sent to it, in order.

    ``send`` puts a message in the connection's outbox and returns False when that is full; then the
    connection is cut, since a client that does not read must not fill the memory.
    """

    node: Node
    send: Callable[[str], bool]
    cut: Callable[[], None]
    streams: bool = True
    _next: int = 0
    _heads: dict[str, str] = field(default_factory=dict)
    _storage: dict[str, set[bytes]] = field(default_factory=dict)
    _watched: dict[bytes, set[str]] = field(default_factory=dict)
    _other: set[str] = field(default_factory=set)

    async def handle(self, text: str | bytes) -> None:
        """Answer one message."""
        answered = await answer(text, lambda name, params: methods.call(self.node, self, name, params))
        if answered is None:
            return
        reply, afters = answered
        self._put(reply)
        for after in afters:
            after()

    def _put(self, message: str) -> None:
        if not self.send(message):
            self.node.sessions.discard(self)
            self.cut()

    def notify(self, name: str, subscription: str, result: Any) -> None:
        params = {"subscription": subscription, "result": result}
        self._put(dumps({"jsonrpc": "2.0", "method": name, "params": params}))

    def _open(self) -> str:
        if not self.streams:
            raise RpcError(-32601, "Method not found: subscriptions need a websocket (ws://)")
        count = len(self._heads) + len(self._storage) + len(self._watched) + len(self._other)
        if count >= MAX_SUBSCRIPTIONS:
            raise RpcError(-32006, f"Too many subscriptions on the connection: at most {MAX_SUBSCRIPTIONS}")
        self._next += 1
        return f"s{self._next}"

    def subscribe_heads(self, name: str) -> Reply:
        subscription = self._open()
        self._heads[subscription] = name
        return Reply(
            subscription,
            lambda: self.notify(name, subscription, methods.header_json(self.node.chain.head)),
        )

    def subscribe_once(self, name: str, result: Any) -> Reply:
        """A subscription whose value never changes while the node runs."""
        subscription = self._open()
        self._other.add(subscription)
        return Reply(subscription, lambda: self.notify(name, subscription, result))

    def subscribe_storage(self, keys: list[bytes]) -> Reply:
        subscription = self._open()
        self._storage[subscription] = set(keys)
        return Reply(subscription, lambda: self._storage_now(subscription, keys))

    def _storage_now(self, subscription: str, keys: list[bytes]) -> None:
        chain = self.node.chain
        pairs = [(key, chain.state.read(key)) for key in keys]
        self._tell_storage(subscription, to_hex(chain.head.hash), pairs)

    def _tell_storage(self, subscription: str, block: str, pairs: list[tuple[bytes, bytes | None]]) -> None:
        changes = [[to_hex(key), None if value is None else to_hex(value)] for key, value in pairs]
        self.notify("state_storage", subscription, {"block": block, "changes": changes})

    def watch(self, raw: bytes) -> Reply:
        """Submit an extrinsic and follow it."""
        subscription = self._open()
        extrinsic = self.node.submit(raw)
        self._watched.setdefault(extrinsic.hash, set()).add(subscription)
        status = "ready" if self.node.pool.is_ready(extrinsic) else "future"
        return Reply(subscription, lambda: self.notify("author_extrinsicUpdate", subscription, status))

    def unsubscribe(self, subscription: Any) -> bool:
        if not isinstance(subscription, str):
            return False
        known = subscription in self._heads or subscription in self._storage or subscription in self._other
        self._heads.pop(subscription, None)
        self._storage.pop(subscription, None)
        self._other.discard(subscription)
        for extrinsic_hash, watching in list(self._watched.items()):
            known |= subscription in watching
            watching.discard(subscription)
            if not watching:
                del self._watched[extrinsic_hash]
        return known

    def on_block(self, header: dict[str, Any], block: Block, block_hash: str) -> None:
        for subscription, name in list(self._heads.items()):
            self.notify(name, subscription, header)
        for subscription, keys in list(self._storage.items()):
            changed = [(key, value) for key, value in block.changes.items() if key in keys]
            if changed:
                self._tell_storage(subscription, block_hash, changed)

    def on_extrinsic(self, extrinsic_hash: bytes, status: Any, *, last: bool) -> None:
        for subscription in list(self._watched.get(extrinsic_hash, ())):
            self.notify("author_extrinsicUpdate", subscription, status)
        if last:
            self._watched.pop(extrinsic_hash, None)
