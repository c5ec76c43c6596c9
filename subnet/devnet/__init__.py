"""The local chain: a Substrate node with SubtensorModule, for development and tests.

``subnet chain`` runs it as a process; :func:`devnet` runs it inside this one, for tests::

    with devnet(block_time=0.2, tempo=10) as node:
        print(node.url)

A request travels :mod:`~subnet.devnet.server` (sockets) → :mod:`~subnet.devnet.rpc` (JSON-RPC) →
:mod:`~subnet.devnet.methods`, on its connection's :mod:`~subnet.devnet.session` →
:mod:`~subnet.devnet.pool` or :mod:`~subnet.devnet.chain`; a block
travels :mod:`~subnet.devnet.node` → :mod:`~subnet.devnet.chain` → :mod:`~subnet.devnet.runtime` →
the pallets, and back as one SQLite transaction and a notification.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from subnet.devnet.service import Devnet as Devnet
    from subnet.devnet.service import Options as Options
    from subnet.devnet.service import devnet as devnet

__all__ = ["Devnet", "Options", "devnet"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from subnet.devnet import service

        return getattr(service, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
