"""``chain_*``: blocks and headers, and being told of new ones."""

from __future__ import annotations

from typing import Any

from subnet.devnet.methods.declare import method
from subnet.devnet.methods.parameters import MAX_KEYS, block_hash
from subnet.devnet.rpc import Reply, bad_params, to_hex
from subnet.devnet.session import Session, header_json


@method("chain_getBlockHash", "chain_getHead")
def chain_get_block_hash(session: Session, number: Any = None) -> Any:
    """The hash of block ``number`` (int, hex, or a list of them), of the head without one."""
    if number is None:
        return to_hex(session.chain.head.hash)
    if isinstance(number, list):
        if len(number) > MAX_KEYS:
            raise bad_params(f"at most {MAX_KEYS} numbers")
        if any(isinstance(one, list) for one in number):
            raise bad_params("a block number, or one list of them, is expected")
        return [chain_get_block_hash(session, one) for one in number]
    if isinstance(number, str):
        try:
            number = int(number, 16)
        except ValueError:
            raise bad_params("a block number is expected") from None
    if not isinstance(number, int) or not 0 <= number < 1 << 32:
        raise bad_params("a block number is expected")
    found = session.chain.hash_of(number)
    return None if found is None else to_hex(found)


@method("chain_getFinalizedHead", "chain_getFinalisedHead")
def chain_get_finalized_head(session: Session) -> str:
    return to_hex(session.chain.head.hash)


@method("chain_getHeader")
def chain_get_header(session: Session, at: Any = None) -> Any:
    block = session.chain.head if at is None else session.chain.by_hash(block_hash(at))
    return None if block is None else header_json(block)


@method("chain_getBlock")
def chain_get_block(session: Session, at: Any = None) -> Any:
    block = session.chain.head if at is None else session.chain.by_hash(block_hash(at))
    if block is None:
        return None
    extrinsics = [to_hex(one) for one in block.extrinsics]
    return {"block": {"header": header_json(block), "extrinsics": extrinsics}, "justifications": None}


@method("chain_subscribeNewHeads", "chain_subscribeNewHead", "subscribe_newHead")
def chain_subscribe_new_heads(session: Session) -> Reply:
    return session.subscribe_heads("chain_newHead")


@method("chain_subscribeAllHeads")
def chain_subscribe_all_heads(session: Session) -> Reply:
    return session.subscribe_heads("chain_allHead")


@method("chain_subscribeFinalizedHeads", "chain_subscribeFinalisedHeads")
def chain_subscribe_finalized_heads(session: Session) -> Reply:
    return session.subscribe_heads("chain_finalizedHead")


@method(
    "chain_unsubscribeNewHeads",
    "chain_unsubscribeNewHead",
    "unsubscribe_newHead",
    "chain_unsubscribeAllHeads",
    "chain_unsubscribeFinalizedHeads",
    "chain_unsubscribeFinalisedHeads",
    "state_unsubscribeStorage",
    "state_unsubscribeRuntimeVersion",
    "author_unwatchExtrinsic",
)
def unsubscribe(session: Session, subscription: Any) -> bool:
    return session.unsubscribe(subscription)
