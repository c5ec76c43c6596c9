"""``system_*`` and ``account_*``: the node itself, and an account's next nonce."""

from __future__ import annotations

from typing import Any

from subnet.devnet.methods.declare import METHODS, method
from subnet.devnet.methods.parameters import account
from subnet.devnet.pallets.system import SPEC_NAME, SS58_PREFIX
from subnet.devnet.session import Session


@method("system_chain")
def system_chain(session: Session) -> str:
    return "subnet devnet"


@method("system_name")
def system_name(session: Session) -> str:
    return SPEC_NAME


@method("system_version")
def system_version(session: Session) -> str:
    return "subnet-devnet/1"


@method("system_chainType")
def system_chain_type(session: Session) -> str:
    return "Development"


@method("system_properties")
def system_properties(session: Session) -> dict[str, Any]:
    return {"ss58Format": SS58_PREFIX, "tokenDecimals": 9, "tokenSymbol": "TAO"}


@method("system_health")
def system_health(session: Session) -> dict[str, Any]:
    return {"peers": 0, "isSyncing": False, "shouldHavePeers": False}


@method("system_peers")
def system_peers(session: Session) -> list[Any]:
    return []


@method("system_syncState")
def system_sync_state(session: Session) -> dict[str, int]:
    number = session.chain.head.number
    return {"startingBlock": 0, "currentBlock": number, "highestBlock": number}


@method("rpc_methods")
def rpc_methods(session: Session) -> dict[str, Any]:
    return {"methods": sorted(METHODS)}


@method("system_accountNextIndex", "account_nextIndex")
def account_next_index(session: Session, address: Any) -> int:
    """The account's next nonce, after what waits in the pool."""
    return session.node.pool.next_nonce(account(address))
