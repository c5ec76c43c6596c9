"""Weights as calls: set in the open, or committed by a hash and revealed later.

A :class:`WeightCommit` holds all that its reveal needs, the secret salt among it: keep it (``as_dict``)
before its hash is sent. The chain takes the reveal in one epoch only, the commit's epoch plus
RevealPeriodEpochs, and compares blake2b-256 over SCALE (AccountId32, u16 storage index, Vec<u16> uids,
Vec<u16> values, Vec<u16> salt, u64 version key). Time-locked commits: :mod:`subnet.chain.timelock`.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from typing import Any, Self

from subnet.chain.calls import PALLET, Call
from subnet.keys import canonical_ss58, public_key_of

SALT = 8
"""u16 numbers in a fresh salt: 128 bits."""
MECHANISMS = 4096
"""Storage indexes that lie between two mechanisms of a subnet."""


@dataclass(frozen=True)
class WeightCommit:
    """Weights that a hotkey commits to: one u16 a uid, and the salt that hides them until they are revealed."""

    hotkey: str
    netuid: int
    uids: tuple[int, ...]
    weights: tuple[int, ...]
    salt: tuple[int, ...]
    version_key: int = 0
    mechanism: int = 0

    @classmethod
    def fresh(
        cls,
        hotkey: str,
        netuid: int,
        uids: Sequence[int],
        weights: Sequence[int],
        *,
        version_key: int = 0,
        mechanism: int = 0,
    ) -> Self:
        """A commit under a new random salt. ValueError for what are no u16 weights."""
        salt = tuple(secrets.randbelow(2**16) for _ in range(SALT))
        return cls(canonical_ss58(hotkey), netuid, u16s(uids), u16s(weights), salt, version_key, mechanism)

    @property
    def hash(self) -> str:
        """What the chain is told at first, 0x-hex."""
        found = commit_hash(
            self.hotkey,
            self.netuid,
            self.uids,
            self.weights,
            self.salt,
            version_key=self.version_key,
            mechanism=self.mechanism,
        )
        return "0x" + found.hex()

    def as_dict(self) -> dict[str, Any]:
        """Plain data that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """What :meth:`as_dict` gave. ValueError for anything else."""
        try:
            vectors = {name: u16s(data[name]) for name in ("uids", "weights", "salt")}
            made = cls(**{**data, **vectors})
            _ = made.hash  # it can be computed only of what is well-formed
        except (TypeError, KeyError, AttributeError, OverflowError) as error:
            raise ValueError(f"this is no weight commit: {error!r}") from None
        return made


def storage_index(netuid: int, mechanism: int = 0) -> int:
    """Where a mechanism's weights are kept: the netuid itself for mechanism 0."""
    return mechanism * MECHANISMS + netuid


def commit_hash(
    hotkey: str,
    netuid: int,
    uids: Sequence[int],
    weights: Sequence[int],
    salt: Sequence[int],
    *,
    version_key: int = 0,
    mechanism: int = 0,
) -> bytes:
    """The 32 bytes that the chain computes when these weights are revealed. OverflowError for what is no u16."""
    body = public_key_of(hotkey) + storage_index(netuid, mechanism).to_bytes(2, "little")
    body += vec_u16(uids) + vec_u16(weights) + vec_u16(salt) + version_key.to_bytes(8, "little")
    return blake2b(body, digest_size=32).digest()


def vec_u16(values: Sequence[int]) -> bytes:
    """SCALE of a Vec<u16>."""
    return compact(len(values)) + b"".join(value.to_bytes(2, "little") for value in values)


def compact(number: int) -> bytes:
    """SCALE of a compact number under 2**30."""
    if number < 1 << 6:
        return bytes([number << 2])
    if number < 1 << 14:
        return (number << 2 | 1).to_bytes(2, "little")
    return (number << 2 | 2).to_bytes(4, "little")


# Calls


def set_weights(
    netuid: int, uids: Sequence[int], weights: Sequence[int], *, version_key: int = 0, mechanism: int = 0
) -> Call:
    """Weights in the open: one u16 a uid."""
    function, base = mechanism_form("set_weights", netuid, mechanism)
    params = {**base, "dests": list(u16s(uids)), "weights": list(u16s(weights)), "version_key": version_key}
    return Call(PALLET, function, params)


def batch_set_weights(entries: Sequence[tuple[int, Mapping[int, int], int]]) -> Call:
    """Weights on several subnets: (netuid, {uid: u16}, version key) each."""
    return Call(
        PALLET,
        "batch_set_weights",
        {
            "netuids": [netuid for netuid, _, _ in entries],
            "weights": [list(weights.items()) for _, weights, _ in entries],
            "version_keys": [key for _, _, key in entries],
        },
    )


def commit_weights(commit: WeightCommit) -> Call:
    """The hash of weights that are revealed later."""
    function, base = mechanism_form("commit_weights", commit.netuid, commit.mechanism)
    return Call(PALLET, function, {**base, "commit_hash": commit.hash})


def batch_commit_weights(commits: Sequence[WeightCommit]) -> Call:
    """Hashes on several subnets, of mechanism 0. ValueError for other mechanisms."""
    _of_main(commits)
    netuids = [commit.netuid for commit in commits]
    return Call(
        PALLET, "batch_commit_weights", {"netuids": netuids, "commit_hashes": [commit.hash for commit in commits]}
    )


def reveal_weights(commit: WeightCommit) -> Call:
    """What was committed to, in the epoch that is for it."""
    function, base = mechanism_form("reveal_weights", commit.netuid, commit.mechanism)
    opened = {"uids": list(commit.uids), "values": list(commit.weights), "salt": list(commit.salt)}
    return Call(PALLET, function, {**base, **opened, "version_key": commit.version_key})


def batch_reveal_weights(commits: Sequence[WeightCommit]) -> Call:
    """Several commits of one subnet, of mechanism 0, in the order they were made. ValueError for anything else."""
    _of_main(commits)
    if len({commit.netuid for commit in commits}) != 1:
        raise ValueError("a batch reveals commits of one subnet")
    return Call(
        PALLET,
        "batch_reveal_weights",
        {
            "netuid": commits[0].netuid,
            "uids_list": [list(commit.uids) for commit in commits],
            "values_list": [list(commit.weights) for commit in commits],
            "salts_list": [list(commit.salt) for commit in commits],
            "version_keys": [commit.version_key for commit in commits],
        },
    )


def mechanism_form(name: str, netuid: int, mechanism: int) -> tuple[str, dict[str, Any]]:
    """The call's name and first arguments: mechanism 0 has the names that older runtimes know."""
    if mechanism == 0:
        return name, {"netuid": netuid}
    return name.replace("_weights", "_mechanism_weights"), {"netuid": netuid, "mecid": mechanism}


def _of_main(commits: Sequence[WeightCommit]) -> None:
    if any(commit.mechanism for commit in commits):
        raise ValueError("the chain's batches know mechanism 0 only")


def u16s(values: Sequence[int]) -> tuple[int, ...]:
    found = tuple(int(value) for value in values)
    if not all(0 <= value < 2**16 for value in found):
        raise ValueError("uids, weights and salt are numbers from 0 to 65535")
    return found
