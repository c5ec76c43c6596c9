"""``author_*``: extrinsics on their way into a block."""

from __future__ import annotations

from typing import Any

from subnet.devnet.methods.declare import method
from subnet.devnet.rpc import Reply, from_hex, to_hex
from subnet.devnet.session import Session


@method("author_submitExtrinsic")
def author_submit_extrinsic(session: Session, data: Any) -> str:
    return to_hex(session.node.submit(from_hex(data, what="extrinsic")).hash)


@method("author_submitAndWatchExtrinsic")
def author_submit_and_watch_extrinsic(session: Session, data: Any) -> Reply:
    return session.watch(from_hex(data, what="extrinsic"))


@method("author_pendingExtrinsics")
def author_pending_extrinsics(session: Session) -> list[str]:
    return [to_hex(pooled.extrinsic.raw) for pooled in session.node.pool.by_hash.values()]
