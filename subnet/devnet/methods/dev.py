"""``dev_*``: what a development chain can do and a real one can not."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, get_args

from subnet.devnet.methods.declare import method
from subnet.devnet.methods.parameters import MAX_KEYS
from subnet.devnet.node import LATEST, Production
from subnet.devnet.pallet import Item
from subnet.devnet.rpc import bad_params, from_hex, to_hex
from subnet.devnet.scale import ScaleError
from subnet.devnet.session import Session

MAX_NEW_BLOCKS = 10_000  # in one request


@method("dev_newBlock")
async def dev_new_block(session: Session, options: Any = None) -> str:
    """Build ``{"count": n}`` blocks (1 without) at once; returns the hash of the last.

    ``{"timestamps": [seconds, ...]}`` says what the clock is to show in the first of them (1 each without count).
    """
    if options is None or isinstance(options, int):
        options = {} if options is None else {"count": options}
    if not isinstance(options, dict) or options.keys() - {"count", "timestamps"}:
        raise bad_params('{"count": n, "timestamps": [seconds, ...]} is expected, or a number, or nothing')
    times = options.get("timestamps", [])
    if not isinstance(times, list) or len(times) > MAX_NEW_BLOCKS or not all(_is_number(one) for one in times):
        raise bad_params("timestamps must be a list of numbers: seconds since 1970")
    count = options.get("count", max(1, len(times)))
    if not isinstance(count, int) or isinstance(count, bool) or not max(1, len(times)) <= count <= MAX_NEW_BLOCKS:
        raise bad_params(f"count must be 1 to {MAX_NEW_BLOCKS}, and no less than there are timestamps")
    if any(one >= other for one, other in pairwise(times)):
        raise bad_params("timestamps must ascend")
    return await session.node.new_blocks(count, times)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@method("dev_snapshot")
def dev_snapshot(session: Session) -> int:
    """Remember the head; returns a number for dev_revert."""
    return session.chain.snapshot()


@method("dev_revert")
def dev_revert(session: Session, snapshot: Any) -> str:
    """Return to a snapshot, which stays; those after it go. Returns the hash of the head that is now."""
    if not isinstance(snapshot, int) or isinstance(snapshot, bool) or not 0 <= snapshot < 1 << 63:
        raise bad_params("the number that dev_snapshot returned is expected")
    return to_hex(session.node.revert(snapshot).hash)


@method("dev_increaseTime")
def dev_increase_time(session: Session, seconds: Any) -> float:
    """Put the chain's clock forward; returns what it says then, in seconds since 1970. Makes no block."""
    if not _is_number(seconds) or not 0 <= seconds <= LATEST:
        raise bad_params("a number of seconds is expected")
    return session.node.set_time(session.node.now + seconds)


@method("dev_setTime")
def dev_set_time(session: Session, seconds: Any) -> float:
    """Set the chain's clock (seconds since 1970, after the head's time); returns what it says. Makes no block."""
    if not _is_number(seconds):
        raise bad_params("seconds since 1970 are expected")
    return session.node.set_time(seconds)


@method("dev_setProduction")
def dev_set_production(session: Session, production: Any, block_time: Any = None) -> str:
    """When blocks are made: "interval" (with the seconds between them), "instant" or "manual"."""
    if production not in get_args(Production):
        raise bad_params(f"one of {', '.join(get_args(Production))} is expected")
    if block_time is not None and not _is_number(block_time):
        raise bad_params("the seconds between blocks are expected")
    session.node.set_production(production, block_time)
    return str(production)


@method("dev_setBlockTime")
def dev_set_block_time(session: Session, seconds: Any) -> float:
    """A block each so many seconds from now on."""
    if not _is_number(seconds):
        raise bad_params("the seconds between blocks are expected")
    session.node.set_production("interval", seconds)
    return session.node.block_time


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
            _check(item, key, value)
    return to_hex(session.node.produce(writes).hash)


def _check(item: Item[Any], key: bytes, value: bytes) -> None:
    """Refuse what would fail each block that reads it."""
    name = f"{item.pallet}.{item.name}"
    try:
        if item.key(*item.split(key)) != key:
            raise ScaleError("its hash is wrong, or it has bytes too many")
    except ScaleError as error:
        raise bad_params(f"that key is none of {name}: {error}") from None
    try:
        item.value.decode(value)
    except ScaleError as error:
        raise bad_params(f"that value is no {name}: {error}") from None
