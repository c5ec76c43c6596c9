"""Proof of work for ``register``: a nonce whose seal over a recent block's hash and the hotkey is small enough.

The seal is keccak-256(sha2-256(nonce as u64, little endian + keccak-256(block hash + hotkey))); read as a
number (big-endian up to spec 277, little-endian from 283 on) and multiplied by the subnet's difficulty it must
stay under 2**256. Runtimes of spec 218 to 385 check it, take it for three blocks, and want the hotkey's own
signature; later ones register by burn alone.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from hashlib import sha256
from threading import Event
from typing import Literal

from subnet.chain.calls import PALLET
from subnet.chain.decode import unsigned
from subnet.chain.session import Entry, Session
from subnet.chain.storage import u16
from subnet.chain.timelock import block_seconds
from subnet.errors import ChainError, NoSuchSubnet
from subnet.keys import public_key_of

FRESH = 2
"""Blocks after which a block's hash is too old to begin another search on it."""
LITTLE_SINCE = 280
"""The spec version from which on a seal is a little-endian number; it changed between 277 and 283."""
Order = Literal["big", "little"]
_STEP = 2048  # seals between two looks at the clock


@dataclass(frozen=True)
class Work:
    """A solved proof of work."""

    block: int
    nonce: int
    seal: bytes


def _keccak(data: bytes) -> bytes:
    from Crypto.Hash import keccak

    return keccak.new(digest_bits=256, data=data).digest()


def bind(block_hash: str, hotkey: bytes) -> bytes:
    """32 bytes that stand for a block and the 32 bytes of a hotkey."""
    return _keccak(bytes.fromhex(block_hash.removeprefix("0x")) + hotkey)


def seal(bound: bytes, nonce: int) -> bytes:
    """The seal of one nonce."""
    return _keccak(sha256(nonce.to_bytes(8, "little") + bound).digest())


def meets(found: bytes, difficulty: int, order: Order = "little") -> bool:
    """Whether a seal is small enough."""
    return int.from_bytes(found, order) * difficulty < 2**256


@dataclass(frozen=True)
class Task:
    """A search: the block, what binds it to the hotkey, and for how many seconds it is worth while."""

    block: int
    bound: bytes
    difficulty: int
    order: Order
    seconds: float


def read_task(session: Session, netuid: int, hotkey: str) -> Task:
    """What to search for now.

    Raises ChainError where the runtime or the subnet takes no proof of work, NoSuchSubnet.
    """
    account = public_key_of(hotkey)
    if "work" not in session.runtime().call_arguments(PALLET, "register"):
        raise ChainError("this runtime registers by burn alone", remedy="Use burned_register, or subnet register.")
    key = (u16(netuid),)
    number, added, hard = Entry("Number", (), "System"), Entry("NetworksAdded", key), Entry("Difficulty", key)
    allowed = Entry("NetworkPowRegistrationAllowed", key)
    found = session.read([number, added, hard, allowed])
    if not unsigned(found[added], 1):
        raise NoSuchSubnet(f"there is no subnet {netuid}")
    if found.has(allowed.item) and not unsigned(found[allowed], 1):
        raise ChainError(
            f"subnet {netuid} takes no proof of work", remedy=f"Register by burn: subnet register --netuid {netuid}."
        )
    order: Order = "little" if found.runtime.spec_version >= LITTLE_SINCE else "big"
    bound = bind(found.block_hash, account)
    return Task(
        unsigned(found[number], 4), bound, unsigned(found[hard], 8), order, FRESH * block_seconds(found.runtime)
    )


def solve(task: Task, *, seconds: float, stop: Event) -> Work | None:
    """Search from a random nonce; None once ``seconds`` are over or ``stop`` is set."""
    nonce = secrets.randbelow(2**63)
    until = time.monotonic() + seconds
    while not stop.is_set() and time.monotonic() < until:
        for one in range(nonce, nonce + _STEP):
            if meets(found := seal(task.bound, one), task.difficulty, task.order):
                return Work(task.block, one, found)
        nonce += _STEP
    return None
