"""btauth/1: who sent this request, to whom, with exactly this body, just now.

The language-neutral scheme of Bittensor SDK 11 (its ``http_auth`` module), so that its clients and
servers and ours talk to each other. :func:`sign` makes the headers; :func:`verify` checks a whole request
at once with ``http_auth``'s keywords. The axon takes the same check apart, cheapest part first::

    read_claim  ─►  check_freshness  ─►  check_receiver  ─►  (body arrives)  ─►  check_signature  ─►  nonces.add
    headers          clock                our address                             62 µs                 replay

A :class:`Claim` is what a stranger says of himself; only :func:`check_signature` makes a :class:`Caller` of it.
Signed are these lines, joined by a newline: ``btauth/1``, scheme, METHOD, path with query as sent, sha256 of
the raw body in lowercase hex, nonce (ns since 1970), sender, receiver or ``-``.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from subnet.errors import AuthError, BadSignature, MalformedAuth, ReplayedRequest, StaleRequest, WrongReceiver
from subnet.keys import SCHEMES, canonical_ss58, public_key_of, scheme_of, sign_bytes, verify_bytes
from subnet.nonces import NonceTable
from subnet.types import Hotkey, Neuron

if TYPE_CHECKING:
    from substrateinterface import Keypair

__all__ = [
    "DEFAULT_ALLOWED_SKEW",
    "DEFAULT_MAX_AGE",
    "HEADER_CRYPTO",
    "HEADER_HOTKEY",
    "HEADER_NONCE",
    "HEADER_RECEIVER",
    "HEADER_SIGNATURE",
    "HEADER_VERSION",
    "PROTOCOL",
    "VERSION",
    "AuthError",
    "BadSignature",
    "Caller",
    "Claim",
    "InMemoryNonceStore",
    "MalformedAuth",
    "NonceStore",
    "ReplayedRequest",
    "StaleRequest",
    "WrongReceiver",
    "body_digest",
    "build_payload",
    "check_freshness",
    "check_receiver",
    "check_signature",
    "payload",
    "read_claim",
    "sign",
    "sign_digest",
    "verify",
]

PROTOCOL: Final = "btauth/1"
VERSION: Final = "1"
HEADER_VERSION: Final = "X-Bittensor-Version"
HEADER_HOTKEY: Final = "X-Bittensor-Hotkey"
HEADER_RECEIVER: Final = "X-Bittensor-Receiver"
HEADER_NONCE: Final = "X-Bittensor-Nonce"
HEADER_CRYPTO: Final = "X-Bittensor-Crypto"
HEADER_SIGNATURE: Final = "X-Bittensor-Signature"

DEFAULT_MAX_AGE: Final = 10.0
"""Seconds that a nonce may lie back, inclusive."""
DEFAULT_ALLOWED_SKEW: Final = 2.0
"""Seconds that a nonce may lie ahead, inclusive."""

_SCHEMES: Final = {"sr25519": "sr25519", "ed25519": "ed25519", "1": "sr25519", "0": "ed25519"}
_NONCE_CHARS: Final = 40


class NonceStore(Protocol):
    """Remembers accepted (hotkey, nonce) pairs for at least the freshness window."""

    def check_and_store(self, hotkey_ss58: str, nonce_ns: int) -> bool:
        """True, and the pair is recorded, if it was never seen; False if it was."""


class InMemoryNonceStore(NonceTable):
    """http_auth's store by its name: this process's memory, bounded, for ``retention`` seconds.

    An axon has a :class:`~subnet.nonces.NonceTable` of its own, which outlives the process.
    """

    def __init__(self, retention: float = 60.0) -> None:
        super().__init__(capacity=655_360, retention=retention)


class Claim(msgspec.Struct, frozen=True):
    """What a request's headers say, parsed but not yet proved."""

    sender: str
    """The sender's address as written, which is what was signed."""
    hotkey: Hotkey
    """The same under prefix 42, which is what may be looked up and counted."""
    receiver: str | None
    nonce_ns: int
    scheme: str
    signature: bytes


class Caller(msgspec.Struct, frozen=True):
    """The authenticated sender of a request. ``hotkey`` is ``""`` for an unsigned one (``--insecure``)."""

    hotkey: Hotkey
    nonce_ns: int
    scheme: str
    neuron: Neuron | None = None
    """The sender on the miner's last metagraph, where its admission looked it up."""

    @property
    def hotkey_ss58(self) -> str:
        """``hotkey``, by the name that http_auth gives it."""
        return self.hotkey

    @property
    def crypto_type(self) -> int:
        """``scheme`` by substrate's number, as http_auth gives it: 1 is sr25519, 0 ed25519. Not for an unsigned one."""
        return SCHEMES[self.scheme]


def body_digest(body: bytes | bytearray | memoryview) -> str:
    """sha256 of the raw body in lowercase hex."""
    return hashlib.sha256(body).hexdigest()


def build_payload(
    *,
    scheme: str,
    method: str,
    path: str,
    body: bytes,
    nonce_ns: int,
    sender_ss58: str,
    receiver_ss58: str | None,
) -> bytes:
    """The exact bytes that are signed; the keywords are http_auth's."""
    return payload(
        scheme=scheme,
        method=method,
        path=path,
        digest=body_digest(body),
        nonce_ns=nonce_ns,
        sender=sender_ss58,
        receiver=receiver_ss58,
    )


def payload(
    *, scheme: str, method: str, path: str, digest: str, nonce_ns: int, sender: str, receiver: str | None
) -> bytes:
    """:func:`build_payload` for a body whose :func:`body_digest` is known."""
    return (
        f"{PROTOCOL}\n{scheme}\n{method.upper()}\n{path}\n{digest}\n{nonce_ns}\n{sender}\n{receiver or '-'}"
    ).encode()


def sign(
    wallet: Keypair,
    *,
    method: str,
    path: str,
    body: bytes = b"",
    receiver_ss58: str | None = None,
    nonce_ns: int | None = None,
) -> dict[str, str]:
    """The headers that prove a request. ``wallet`` is the key that signs, or has it as its ``.hotkey``.

    ``path`` is the request target exactly as it will be sent, query included. ``nonce_ns`` defaults to
    the clock; each try needs a fresh one.
    """
    signer: Keypair = getattr(wallet, "hotkey", wallet)
    return sign_digest(
        signer,
        sender=signer.ss58_address,
        method=method,
        path=path,
        digest=body_digest(body),
        receiver=receiver_ss58,
        nonce_ns=time.time_ns() if nonce_ns is None else int(nonce_ns),
    )


def sign_digest(
    key: Keypair, *, sender: str, method: str, path: str, digest: str, receiver: str | None, nonce_ns: int
) -> dict[str, str]:
    """:func:`sign` for a body whose :func:`body_digest` is known: it is the same for all who are asked the same."""
    scheme = scheme_of(key)
    signed = payload(
        scheme=scheme,
        method=method,
        path=path,
        digest=digest,
        nonce_ns=nonce_ns,
        sender=sender,
        receiver=receiver,
    )
    headers = {
        HEADER_VERSION: VERSION,
        HEADER_HOTKEY: sender,
        HEADER_NONCE: str(nonce_ns),
        HEADER_SIGNATURE: "0x" + sign_bytes(key, signed).hex(),
    }
    if scheme != "sr25519":
        headers[HEADER_CRYPTO] = scheme
    if receiver is not None:
        headers[HEADER_RECEIVER] = receiver
    return headers


def verify(
    headers: Mapping[str, str],
    body: bytes,
    *,
    method: str,
    path: str,
    self_hotkey_ss58: str,
    max_age: float = DEFAULT_MAX_AGE,
    allowed_skew: float = DEFAULT_ALLOWED_SKEW,
    require_receiver: bool = True,
    nonce_store: NonceStore | None = None,
    now_ns: int | None = None,
) -> Caller:
    """Authenticate a whole request; the keywords are http_auth's.

    Raises MalformedAuth, WrongReceiver, StaleRequest, BadSignature or ReplayedRequest (all AuthError).
    Without ``nonce_store`` a bounded store shared by the process remembers what was accepted. What is wrong in one
    way raises what http_auth raises; of several wrongs another may be told first. The caller's address comes under
    prefix 42, however it was written.
    """
    claim = read_claim({name.lower(): value for name, value in headers.items()})
    check_receiver(claim, self_hotkey_ss58, require=require_receiver)
    check_freshness(claim, max_age=max_age, allowed_skew=allowed_skew, now_ns=now_ns)
    check_signature(claim, method=method, path=path, digest=body_digest(body))
    store = _process_store() if nonce_store is None else nonce_store
    retention = getattr(store, "retention", None)
    if retention is not None and max_age + allowed_skew > retention:
        raise ValueError(
            f"the nonce store remembers {retention:g}s but the window is {max_age + allowed_skew:g}s: "
            "replays in between would be accepted"
        )
    if not store.check_and_store(claim.hotkey, claim.nonce_ns):
        raise ReplayedRequest("this nonce was already accepted from this hotkey")
    return Caller(claim.hotkey, claim.nonce_ns, claim.scheme)


def read_claim(headers: Mapping[str, str]) -> Claim:
    """The claim in ``headers`` (names looked up in lowercase; aiohttp's match any case). Raises MalformedAuth."""
    get = headers.get
    if get("x-bittensor-version") != VERSION:
        raise MalformedAuth(f"missing or unsupported {HEADER_VERSION} (expected {VERSION!r})")
    sender, nonce, signature = (
        get("x-bittensor-hotkey"),
        get("x-bittensor-nonce"),
        get("x-bittensor-signature"),
    )
    if not sender or nonce is None or signature is None:
        raise MalformedAuth(f"{HEADER_HOTKEY}, {HEADER_NONCE} and {HEADER_SIGNATURE} are required")
    try:
        nonce_ns = int(nonce if len(nonce) <= _NONCE_CHARS else "")
    except ValueError:
        raise MalformedAuth(f"{HEADER_NONCE} is not a decimal integer") from None
    scheme = _SCHEMES.get(get("x-bittensor-crypto", "sr25519").strip().lower())
    if scheme is None:
        raise MalformedAuth(f"unsupported {HEADER_CRYPTO}")
    try:
        raw = bytes.fromhex(signature.removeprefix("0x"))
        hotkey = canonical_ss58(sender)
    except ValueError:
        raise MalformedAuth("invalid hotkey address or signature encoding") from None
    if len(raw) != 64:
        raise MalformedAuth(f"{HEADER_SIGNATURE} is not 64 bytes")
    return Claim(sender, hotkey, get("x-bittensor-receiver"), nonce_ns, scheme, raw)


def check_freshness(
    claim: Claim,
    *,
    max_age: float = DEFAULT_MAX_AGE,
    allowed_skew: float = DEFAULT_ALLOWED_SKEW,
    now_ns: int | None = None,
) -> None:
    """Raise StaleRequest unless the nonce lies within ``max_age`` seconds back, ``allowed_skew`` ahead."""
    age = (time.time_ns() if now_ns is None else now_ns) - claim.nonce_ns
    if age > max_age * 1e9:
        raise StaleRequest(f"nonce is older than the {max_age:g}s freshness window")
    if -age > allowed_skew * 1e9:
        raise StaleRequest(f"nonce is more than {allowed_skew:g}s in the future")


def check_receiver(claim: Claim, self_hotkey_ss58: str, *, require: bool = True) -> None:
    """Raise WrongReceiver unless the request was signed for ``self_hotkey_ss58``."""
    if claim.receiver is None:
        if require:
            raise WrongReceiver(f"missing {HEADER_RECEIVER}: this server takes receiver-bound requests only")
    elif claim.receiver != self_hotkey_ss58:
        raise WrongReceiver("request was signed for a different receiving hotkey")


def check_signature(claim: Claim, *, method: str, path: str, digest: str) -> None:
    """Raise BadSignature unless the claim is proved, under the declared scheme only."""
    signed = payload(
        scheme=claim.scheme,
        method=method,
        path=path,
        digest=digest,
        nonce_ns=claim.nonce_ns,
        sender=claim.sender,
        receiver=claim.receiver,
    )
    if not verify_bytes(claim.scheme, public_key_of(claim.sender), signed, claim.signature):
        raise BadSignature("signature does not verify against the claimed hotkey")


@cache
def _process_store() -> NonceTable:
    return InMemoryNonceStore()
