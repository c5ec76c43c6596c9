"""One client's connection to the node: its subscriptions, and what is to be sent to it, in order.

The node tells every session of each block and of what becomes of each extrinsic; the session passes on
what its client asked to hear.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from subnet.devnet.chain import Block, Chain
from subnet.devnet.node import Node
from subnet.devnet.rpc import Reply, RpcError, dumps, to_hex
from subnet.devnet.shapes import DIGEST_ITEM

MAX_SUBSCRIPTIONS = 256  # of one session
MAX_WATCHED_KEYS = 100_000  # of one session, over all its storage subscriptions


def header_json(block: Block) -> dict[str, Any]:
    header = block.header
    return {
        "parentHash": to_hex(header["parent_hash"]),
        "number": hex(block.number),
        "stateRoot": to_hex(header["state_root"]),
        "extrinsicsRoot": to_hex(header["extrinsics_root"]),
        "digest": {"logs": [to_hex(DIGEST_ITEM.encode(item)) for item in header["digest"]["logs"]]},
    }


@dataclass(eq=False)
class Session:
    """``send`` puts a message in the connection's outbox and returns False when that is full; then the
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

    @property
    def chain(self) -> Chain:
        return self.node.chain

    def put(self, message: str) -> None:
        """Send a message after those before it."""
        if not self.send(message):
            self.node.sessions.discard(self)
            self.cut()

    def _notify(self, name: str, subscription: str, result: Any) -> None:
        params = {"subscription": subscription, "result": result}
        self.put(dumps({"jsonrpc": "2.0", "method": name, "params": params}))

    def _open(self) -> str:
        if not self.streams:
            raise RpcError(-32601, "Method not found: subscriptions need a websocket (ws://)")
        watched = sum(len(subscriptions) for subscriptions in self._watched.values())
        if len(self._heads) + len(self._storage) + watched + len(self._other) >= MAX_SUBSCRIPTIONS:
            raise RpcError(-32006, f"Too many subscriptions on the connection: at most {MAX_SUBSCRIPTIONS}")
        self._next += 1
        return f"s{self._next}"

    def subscribe_heads(self, name: str) -> Reply:
        subscription = self._open()
        self._heads[subscription] = name
        return Reply(subscription, lambda: self._notify(name, subscription, header_json(self.chain.head)))

    def subscribe_once(self, name: str, result: Any) -> Reply:
        """A subscription whose value never changes while the node runs."""
        subscription = self._open()
        self._other.add(subscription)
        return Reply(subscription, lambda: self._notify(name, subscription, result))

    def subscribe_storage(self, keys: list[bytes]) -> Reply:
        if sum(map(len, self._storage.values())) + len(keys) > MAX_WATCHED_KEYS:
            raise RpcError(-32006, f"Too many keys watched on the connection: at most {MAX_WATCHED_KEYS}")
        subscription = self._open()
        self._storage[subscription] = set(keys)
        return Reply(subscription, lambda: self._storage_now(subscription, keys))

    def _storage_now(self, subscription: str, keys: list[bytes]) -> None:
        pairs = [(key, self.chain.state.read(key)) for key in keys]
        self._tell_storage(subscription, to_hex(self.chain.head.hash), pairs)

    def _tell_storage(self, subscription: str, block: str, pairs: list[tuple[bytes, bytes | None]]) -> None:
        changes = [[to_hex(key), None if value is None else to_hex(value)] for key, value in pairs]
        self._notify("state_storage", subscription, {"block": block, "changes": changes})

    def watch(self, raw: bytes) -> Reply:
        """Submit an extrinsic and follow it."""
        subscription = self._open()
        extrinsic = self.node.submit(raw)
        self._watched.setdefault(extrinsic.hash, set()).add(subscription)
        status = "ready" if self.node.pool.is_ready(extrinsic) else "future"
        return Reply(subscription, lambda: self._notify("author_extrinsicUpdate", subscription, status))

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

    def on_block(self, block: Block) -> None:
        """A block became the head: by being built on the last one, or by a return to a snapshot."""
        if self._heads:
            header = header_json(block)
            for subscription, name in list(self._heads.items()):
                self._notify(name, subscription, header)
        for subscription, keys in list(self._storage.items()):
            changed = [(key, value) for key, value in block.changes.items() if key in keys]
            if changed:
                self._tell_storage(subscription, to_hex(block.hash), changed)

    def on_extrinsic(self, extrinsic_hash: bytes, status: Any, *, last: bool) -> None:
        for subscription in list(self._watched.get(extrinsic_hash, ())):
            self._notify("author_extrinsicUpdate", subscription, status)
        if last:
            self._watched.pop(extrinsic_hash, None)
