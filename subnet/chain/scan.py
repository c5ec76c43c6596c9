"""Going through a map of the chain's storage: its keys page by page, then its values, all at one block.

A node may lie about pages too. So keys must grow strictly from page to page (none can come twice, and no
walk goes in a circle) and lie under the prefix that was asked for, and both their number and the
bytes of the values have caps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from subnet.chain.session import BATCH, Entry, Session, changes
from subnet.errors import ChainError, ChainMalformed

PAGE = 1000
"""Keys in a page; real nodes refuse more."""
MAX_KEYS = 200_000
"""Entries that one read takes."""
MAX_BYTES = 16 * 1024 * 1024
"""Bytes of values that one read takes; the weights of a whole network of 128 subnets are half of it."""
_MAX_KEY = 1024  # hex digits of one key; three accounts with their hashes are 350
_ABREAST = 64  # walks whose pages are asked for in one round trip
_ASK_LESS = "Ask for less at once: one subnet, or one hotkey."


def entries_under(session: Session, start: Entry, at: str) -> list[tuple[tuple[Any, ...], bytes]]:
    """All entries of a map at block hash ``at``: the keys that ``start`` leaves open, decoded, and the value's bytes.

    ``start`` names the map and gives its first keys. In the order of the storage keys; empty where the
    runtime does not have the map. Raises ChainError beyond MAX_KEYS or MAX_BYTES, ChainMalformed.
    """
    runtime = session.runtime_at(at)
    item = runtime.item(start.pallet, start.item)
    if item is None:
        return []
    prefix = item.under(*start.parts)
    (keys,) = keys_under(session, [prefix], at)
    found = _values(session, keys, at)
    return [
        (runtime.split_key(start.pallet, start.item, len(start.parts), bytes.fromhex(key[len(prefix) :])), value)
        for key in keys
        if (value := found.get(key)) is not None
    ]


def keys_under(session: Session, prefixes: Sequence[str], at: str) -> list[list[str]]:
    """The storage keys under each prefix (0x-hex), ascending; many prefixes go in few round trips."""
    found: list[list[str]] = [[] for _ in prefixes]
    open_walks = list(range(len(prefixes)))
    while open_walks:
        turn, rest = open_walks[:_ABREAST], open_walks[_ABREAST:]
        last = {i: found[i][-1] if found[i] else None for i in turn}
        pages = session.calls([("state_getKeysPaged", [prefixes[i], PAGE, last[i], at]) for i in turn])
        for i, page in zip(turn, pages, strict=True):
            keys = _page(page, prefixes[i], last[i] or "")
            found[i] += keys
            if len(keys) == PAGE:
                rest.append(i)
        if sum(map(len, found)) > MAX_KEYS:
            raise ChainError(f"there are more than {MAX_KEYS} entries under one prefix", remedy=_ASK_LESS)
        open_walks = rest
    return found


def _page(page: Any, prefix: str, after: str) -> list[str]:
    """A page of keys as lowercase 0x-hex, each after the last and under the prefix."""
    if not isinstance(page, list) or len(page) > PAGE:
        raise ChainMalformed("an answer to state_getKeysPaged is no page of keys")
    keys = []
    for one in page:
        if not isinstance(one, str) or len(one) > _MAX_KEY:
            raise ChainMalformed("an answer to state_getKeysPaged holds no keys")
        key = one.lower()
        if not key.startswith(prefix) or key <= after:
            raise ChainMalformed("the node's pages of keys go in a circle, or leave what was asked for")
        try:
            bytes.fromhex(key[2:])
        except ValueError:
            raise ChainMalformed("an answer to state_getKeysPaged holds no keys") from None
        keys.append(key)
        after = key
    return keys


def _values(session: Session, keys: Sequence[str], at: str) -> dict[str, bytes | None]:
    found: dict[str, bytes | None] = {}
    taken = 0
    for start in range(0, len(keys), BATCH):
        reply = session.call("state_queryStorageAt", list(keys[start : start + BATCH]), at)
        values = changes(reply, at)[1]
        taken += sum(len(value or b"") for value in values.values())
        if taken > MAX_BYTES:
            raise ChainError(f"the values under one prefix have more than {MAX_BYTES} bytes", remedy=_ASK_LESS)
        found.update(values)
    return found
