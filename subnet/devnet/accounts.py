"""The development accounts that a local chain is born with, by their well-known URIs.

Their public keys are written down rather than derived, so that the node starts without a key library;
a test derives them again.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b


@dataclass(frozen=True)
class Account:
    """A funded account: ``uri`` is its secret (public knowledge), ``address`` its ss58 form."""

    name: str
    public_key: bytes

    @property
    def uri(self) -> str:
        return f"//{self.name}"

    @property
    def address(self) -> str:
        return ss58(self.public_key)


_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def ss58(public_key: bytes, prefix: int = 42) -> str:
    """The ss58 address of a 32-byte public key."""
    data = bytes([prefix]) + public_key
    data += blake2b(b"SS58PRE" + data, digest_size=64).digest()[:2]
    number, text = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = _ALPHABET[digit] + text
    return text


DEVELOPMENT = tuple(
    Account(name, bytes.fromhex(key))
    for name, key in (
        ("Alice", "d43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d"),
        ("Bob", "8eaf04151687736326c9fea17e25fc5287613693c912909cb226aa4794f26a48"),
        ("Charlie", "90b5ab205c6974c9ea841be688864633dc9ca8a357843eeacf2314649965fe22"),
        ("Dave", "306721211d5404bd9da88e0204360a1a9ab8b87c66c1bc2fcdd37f3c2222cc20"),
        ("Eve", "e659a7a1628cdd93febc04a4e0646ea20e9f5f0ce097d9a05290d4a9e054df4e"),
        ("Ferdie", "1cbd2d43530a44705ad088af313e18f80b53ef16b36177cd4b77b846f2a5f07c"),
    )
)
"""//Alice (sudo), //Bob, //Charlie, //Dave, //Eve and //Ferdie."""


def more(count: int) -> tuple[Account, ...]:
    """``count`` development accounts: the six named ones, then //dev/0, //dev/1 … (sr25519)."""
    if count <= len(DEVELOPMENT):
        return DEVELOPMENT[: max(1, count)]
    from substrateinterface import Keypair

    names = [f"dev/{number}" for number in range(count - len(DEVELOPMENT))]
    return DEVELOPMENT + tuple(Account(name, Keypair.create_from_uri(f"//{name}").public_key) for name in names)
