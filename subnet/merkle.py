"""Merkle trees of RFC 6962 (section 2.1): one hash that commits to a list, and short proofs of its members.

A leaf hashes as ``sha256(0x00 + data)`` and a node as ``sha256(0x01 + left + right)``, so that neither can be
passed off as the other; a list of n is split at the largest power of two below n. A round's receipts
become one root that a validator may publish, and each miner can be shown that its own is in there.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

MAX_PROOF: Final = 64
"""Hashes in a proof: enough for any list that exists."""


def leaf_hash(data: bytes) -> bytes:
    """32 bytes: the hash of one member."""
    return sha256(b"\0" + data).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """32 bytes: the hash of the whole list; of an empty one, sha256 of nothing."""
    if not leaves:
        return sha256().digest()
    return _levels([leaf_hash(leaf) for leaf in leaves])[-1][0]


def proofs(leaves: Sequence[bytes]) -> list[tuple[bytes, ...]]:
    """Each member's inclusion proof (section 2.1.1): the sibling hashes from the leaf up to the root."""
    if not leaves:
        return []
    levels = _levels([leaf_hash(leaf) for leaf in leaves])
    return [_path(levels, index) for index in range(len(leaves))]


def is_member(data: bytes, index: int, size: int, proof: Sequence[bytes], expected_root: bytes) -> bool:
    """Whether ``data`` is member ``index`` of the ``size`` members under ``expected_root`` (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size or len(proof) > MAX_PROOF:
        return False
    found, last = leaf_hash(data), size - 1
    for sibling in proof:
        if last == 0:
            return False  # a proof longer than the tree is high
        if index & 1 or index == last:
            found = _node(sibling, found)
            while not index & 1 and index:  # an only child moves up as it is
                index, last = index >> 1, last >> 1
        else:
            found = _node(found, sibling)
        index, last = index >> 1, last >> 1
    return last == 0 and found == expected_root


def _node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\1" + left + right).digest()


def _levels(level: list[bytes]) -> list[list[bytes]]:
    """The tree's levels, leaves first. Pairing from the left, an odd last one moving up, is RFC 6962's split."""
    levels = [level]
    while len(level) > 1:
        pairs = [_node(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = pairs + level[len(pairs) * 2 :]
        levels.append(level)
    return levels


def _path(levels: list[list[bytes]], index: int) -> tuple[bytes, ...]:
    path = []
    for level in levels[:-1]:
        sibling = index ^ 1
        if sibling < len(level):
            path.append(level[sibling])
        index >>= 1
    return tuple(path)
