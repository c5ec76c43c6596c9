"""Storage keys by hand: a pallet's and item's names, hashed as the chain hashes them.

A key is ``twox128(pallet prefix) + twox128(item)`` and then, for a map, each key part through its
own hasher. Names and hashers come from metadata (:mod:`subnet.chain.substrate` makes the
:class:`Item`); parts are SCALE bytes that the caller lays out with :func:`u16` or as 32 bytes of
an account. No scalecodec here, so that thousands of keys cost milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

from subnet.errors import ChainMalformed


def _twox(data: bytes, bits: int) -> bytes:
    from xxhash import xxh64_intdigest

    return b"".join(xxh64_intdigest(data, seed).to_bytes(8, "little") for seed in range(bits // 64))


@lru_cache(maxsize=4096)
def twox128(name: str) -> bytes:
    """16 bytes: the hash that pallet and item names go through."""
    return _twox(name.encode(), 128)


def _blake2(data: bytes, size: int) -> bytes:
    return blake2b(data, digest_size=size).digest()


HASHERS: dict[str, Callable[[bytes], bytes]] = {
    "Identity": lambda part: part,
    "Twox64Concat": lambda part: _twox(part, 64) + part,
    "Twox128": lambda part: _twox(part, 128),
    "Twox256": lambda part: _twox(part, 256),
    "Blake2_128": lambda part: _blake2(part, 16),
    "Blake2_128Concat": lambda part: _blake2(part, 16) + part,
    "Blake2_256": lambda part: _blake2(part, 32),
}


CONCAT = {"Identity": 0, "Twox64Concat": 8, "Blake2_128Concat": 16}
"""Hashers whose output ends in their input, and how many bytes of hash come before it."""


@dataclass(frozen=True, slots=True)
class Item:
    """One storage item of the runtime: how its keys are made and what its absence means.

    ``default`` holds the SCALE bytes that an absent entry stands for, or None where absence is
    an answer of its own (an ``Option``).
    """

    pallet: str
    name: str
    prefix: bytes
    hashers: tuple[str, ...]
    default: bytes | None

    def key(self, *parts: bytes) -> str:
        """The entry's key as 0x-hex; ``parts`` are SCALE bytes, one a hasher. Raises ChainMalformed."""
        if len(parts) != len(self.hashers):
            raise ChainMalformed(
                f"{self.pallet}.{self.name} takes {len(self.hashers)} keys in this runtime, not {len(parts)}"
            )
        return self.under(*parts)

    def under(self, *parts: bytes) -> str:
        """What the keys of all entries with these first keys start with, as 0x-hex."""
        try:
            hashed = b"".join(HASHERS[hasher](part) for hasher, part in zip(self.hashers, parts, strict=False))
        except KeyError as unknown:
            raise ChainMalformed(f"{self.pallet}.{self.name} uses an unknown hasher {unknown}") from None
        return "0x" + (self.prefix + hashed).hex()


def item_prefix(pallet: str, item: str) -> bytes:
    """The 32 bytes that all keys of an item start with; ``pallet`` is the pallet's storage prefix."""
    return twox128(pallet) + twox128(item)


def u16(value: int) -> bytes:
    """SCALE of a u16: a netuid, a uid, a storage index."""
    return int(value).to_bytes(2, "little")
