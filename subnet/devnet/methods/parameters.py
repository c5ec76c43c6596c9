"""What several methods take: block hashes, keys, accounts."""

from __future__ import annotations

from typing import Any

from subnet.devnet.chain import Chain
from subnet.devnet.rpc import RpcError, bad_params, from_hex

MAX_KEYS = 10_000  # keys in one request


def block_hash(value: Any) -> bytes:
    data = from_hex(value, what="block hash")
    if len(data) != 32:
        raise bad_params("a block hash has 32 bytes")
    return data


def number_at(chain: Chain, at: Any) -> int:
    """The number of the block with this hash; the head's where None."""
    if at is None:
        return chain.head.number
    block = chain.by_hash(block_hash(at))
    if block is None:
        raise RpcError(4003, f"Client error: UnknownBlock: Header was not found in the database: {at}")
    return block.number


def state_at(chain: Chain, at: Any) -> int:
    """As :func:`number_at`, for a block whose state is there to be read."""
    number = number_at(chain, at)
    if number < chain.kept_from:
        raise RpcError(
            4003,
            f"Client error: Api called for an unknown Block: State already discarded for {at}",
            f"This chain was loaded from a dump of block {chain.kept_from}; the states before it are not in that.",
        )
    return number


def keys(value: Any) -> list[bytes]:
    if not isinstance(value, list):
        raise bad_params("a list of keys is expected")
    if len(value) > MAX_KEYS:
        raise bad_params(f"{len(value)} keys; at most {MAX_KEYS} in one request")
    return [from_hex(key, what="key") for key in value]


def account(address: Any) -> bytes:
    from scalecodec.utils.ss58 import ss58_decode

    if not isinstance(address, str) or len(address) > 100:
        raise bad_params("an address is expected")
    try:
        data = from_hex(address if address.startswith("0x") else ss58_decode(address))
    except (ValueError, TypeError):
        raise bad_params("not an ss58 address") from None
    if len(data) != 32:
        raise bad_params("an account has 32 bytes")
    return data
