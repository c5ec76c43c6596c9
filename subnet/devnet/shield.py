"""The node's side of the MEV shield: the key pair, and the opening of what was encrypted to it.

A ciphertext is, one after the other: twox128 of the public key, the length of the key's ciphertext (u16),
that ciphertext (ML-KEM-768), a nonce of 24 bytes, and the extrinsic under XChaCha20-Poly1305.
"""

from __future__ import annotations

from hashlib import blake2b

from subnet.devnet.extrinsic import Extrinsic
from subnet.devnet.hashing import twox128
from subnet.devnet.ml_kem import CIPHERTEXT, KeyPair
from subnet.devnet.pallets.shield import MevShield

MAX_OPENED = 32  # in one block: each takes a few milliseconds
_HEAD = 16 + 2
_NONCE, _TAG = 24, 16


class Shield:
    """What opens the ciphertexts of one key pair."""

    @classmethod
    def of(cls, salt: bytes) -> Shield:
        """The chain's, made of its salt, so that it is the same after a restart."""
        return cls(KeyPair(blake2b(salt, digest_size=64, person=b"subnet shield").digest()))

    def __init__(self, keys: KeyPair) -> None:
        self._keys = keys
        self.public = keys.public
        self._head = twox128(self.public) + CIPHERTEXT.to_bytes(2, "little")

    def open(self, ciphertext: bytes) -> bytes | None:
        """What was encrypted; None for what was not encrypted to this key, or was changed since."""
        from Crypto.Cipher import ChaCha20_Poly1305

        body = ciphertext[_HEAD:]
        if ciphertext[:_HEAD] != self._head or len(body) < CIPHERTEXT + _NONCE + _TAG:
            return None
        nonce, sealed = body[CIPHERTEXT : CIPHERTEXT + _NONCE], body[CIPHERTEXT + _NONCE :]
        cipher = ChaCha20_Poly1305.new(key=self._keys.decapsulate(body[:CIPHERTEXT]), nonce=nonce)
        try:
            return cipher.decrypt_and_verify(sealed[:-_TAG], sealed[-_TAG:])
        except ValueError:
            return None


def carried(extrinsic: Extrinsic) -> bytes | None:
    """The ciphertext that an extrinsic carries, if it is a carrier."""
    if extrinsic.call.spec is not MevShield.calls[1]:
        return None
    return bytes(extrinsic.call.args["ciphertext"])
