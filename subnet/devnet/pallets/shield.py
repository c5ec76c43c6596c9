"""MevShield: extrinsics that travel encrypted, so that nobody acts on them before they are in a block.

A carrier (submit_encrypted) holds a signed extrinsic under the key in NextKey; the node opens it as it
builds the block and puts what it held right behind it (:mod:`subnet.devnet.shield`). The real chain's key
changes with every author; here it is one, from genesis on.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated

from subnet.devnet.context import Context
from subnet.devnet.hashing import blake2_256
from subnet.devnet.pallet import Event, Maybe, Pallet
from subnet.devnet.scale import ACCOUNT, BYTES, H256, Bounded

CIPHERTEXT = Bounded(BYTES, 8192)
Error = IntEnum("Error", "BadEncKeyLen Unreachable TooManyPendingExtrinsics WeightExceedsAbsoluteMax", start=0)


class MevShield(Pallet, index=30, rust="pallet_shield"):
    """Extrinsics that travel encrypted and run behind the one that carries them."""

    errors = Error

    NextKey = Maybe(Bounded(BYTES, 2048), docs="Key users should encrypt with (ML-KEM-768).")

    EncryptedSubmitted = Event(0, id=H256, who=ACCOUNT)


@MevShield.call(1)
def submit_encrypted(ctx: Context, who: bytes, ciphertext: Annotated[bytes, CIPHERTEXT]) -> None:
    """Carry an encrypted extrinsic; what it holds runs next, if it opens and is valid then."""
    ctx.emit(MevShield.EncryptedSubmitted, blake2_256(who + CIPHERTEXT.encode(ciphertext)), who)
