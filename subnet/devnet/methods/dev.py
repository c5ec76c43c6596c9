"""``dev_*``: what a development chain can do and a real one can not."""

from __future__ import annotations

from typing import Any

from subnet.devnet.methods.declare import method
from subnet.devnet.methods.parameters import MAX_KEYS
from subnet.devnet.rpc import bad_params, from_hex, to_hex
from subnet.devnet.scale import ScaleError
from subnet.devnet.session import Session

MAX_NEW_BLOCKS = 10_000  # in one request


@method("dev_newBlock")
async def dev_new_block(session: Session, options: Any = None) -> str:
    """Build ``{"count": n}`` blocks (1 without) at once; returns the hash of the last."""
    count = options.get("count", 1) if isinstance(options, dict) else 1 if options is None else options
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= MAX_NEW_BLOCKS:
        raise bad_params(f"count must be 1 to {MAX_NEW_BLOCKS}")
    return await session.node.new_blocks(count)


@method("dev_setStorage")
def dev_set_storage(session: Session, values: Any) -> str:
    """Write ``[[key, value or null], ...]`` into the state, in a block of its own; returns its hash."""
    if not isinstance(values, list) or not values or len(values) > MAX_KEYS:
        raise bad_params(f"a list of 1 to {MAX_KEYS} [key, value] pairs is expected")
    writes: dict[bytes, bytes | None] = {}
    for pair in values:
        if not isinstance(pair, list) or len(pair) != 2:
            raise bad_params("a list of [key, value] pairs is expected")
        key = from_hex(pair[0], what="key")
        value = writes[key] = None if pair[1] is None else from_hex(pair[1], what="value")
        item = session.chain.runtime.item_at(key)
        if item is not None and value is not None:
            try:
                item.value.decode(value)
            except ScaleError as error:  # stored, it would stop the chain at the next block that reads it
                raise bad_params(f"that value is no {item.pallet}.{item.name}: {error}") from None
    return to_hex(session.node.produce(writes).hash)
