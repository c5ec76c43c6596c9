"""Hash functions of Substrate: block and extrinsic hashes, and the hashers that make storage keys."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b

import xxhash


def blake2_256(data: bytes) -> bytes:
    return blake2b(data, digest_size=32).digest()


def keccak_256(data: bytes) -> bytes:
    from Crypto.Hash import keccak

    return keccak.new(digest_bits=256, data=data).digest()


def _xx64(data: bytes, seed: int) -> bytes:
    return int(xxhash.xxh64(data, seed=seed).intdigest()).to_bytes(8, "little")


@lru_cache(maxsize=1024)
def twox128(data: bytes) -> bytes:
    return _xx64(data, 0) + _xx64(data, 1)


def identity(key: bytes) -> bytes:
    return key


def blake2_128_concat(key: bytes) -> bytes:
    return blake2b(key, digest_size=16).digest() + key


def twox64_concat(key: bytes) -> bytes:
    return _xx64(key, 0) + key


class Hasher:
    """One of a map's key hashers: its number in the metadata, and how many bytes it puts before the key."""

    __slots__ = ("hash", "index", "name", "prefix")

    def __init__(self, name: str, index: int, prefix: int, function: Callable[[bytes], bytes]) -> None:
        self.name, self.index, self.prefix = name, index, prefix
        self.hash = function


IDENTITY = Hasher("Identity", 6, 0, identity)
BLAKE2_128_CONCAT = Hasher("Blake2_128Concat", 2, 16, blake2_128_concat)
TWOX64_CONCAT = Hasher("Twox64Concat", 5, 8, twox64_concat)
