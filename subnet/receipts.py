"""Signed evidence of a reply: which bytes a miner answered to which request, checkable by anyone, later.

Neither the v10 wire nor SDK 11's ``http_auth`` has it. The miner signs these lines, joined by a newline::

    subnet-receipt/1, genesis hash, netuid, path, request's sha256, request's nonce, sender, receiver,
    status, response's sha256, artifact (or -), time in ns

The reply carries what its reader can't know (artifact, time, signature, scheme) in one header; the rest
the reader has. A :class:`Receipt` holds all of it and verifies offline.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from subnet.errors import BadReceipt
from subnet.keys import SCHEMES, public_key_of, sign_bytes, verify_bytes
from subnet.types import Hotkey

if TYPE_CHECKING:
    from substrateinterface import Keypair

PROTOCOL: Final = "subnet-receipt/1"
HEADER_RECEIPT: Final = "X-Subnet-Receipt"
NO_ARTIFACT: Final = "-"
_VERSION: Final = "1"
_HEADER_CAP: Final = 512


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """All that a miner's signature covers, and the signature.

    ``request_digest`` and ``response_digest`` are sha256 in lowercase hex; ``nonce_ns`` is the request's,
    ``time_ns`` the miner's clock when it answered (ns since 1970); ``status`` is the HTTP status.
    """

    genesis_hash: str
    netuid: int
    path: str
    request_digest: str
    nonce_ns: int
    sender: Hotkey
    receiver: Hotkey
    status: int
    response_digest: str
    artifact: str
    time_ns: int
    scheme: str
    signature: bytes = b""

    def lines(self) -> bytes:
        """The exact bytes that are signed."""
        return (
            f"{PROTOCOL}\n{self.genesis_hash}\n{self.netuid}\n{self.path}\n{self.request_digest}\n{self.nonce_ns}\n"
            f"{self.sender}\n{self.receiver}\n{self.status}\n{self.response_digest}\n{self.artifact}\n{self.time_ns}"
        ).encode()

    def verify(self) -> None:
        """Raise BadReceipt unless ``receiver`` signed exactly these lines. Needs no chain and no network."""
        try:
            public = public_key_of(self.receiver)
        except ValueError:
            raise BadReceipt(f"{self.receiver[:60]!r} is no address") from None
        if not verify_bytes(self.scheme, public, self.lines(), self.signature):
            raise BadReceipt(f"the signature is not {self.receiver}'s over this reply")

    def header(self) -> str:
        """The value of the ``X-Subnet-Receipt`` header."""
        return f"{_VERSION} {self.time_ns} {self.artifact} {self.scheme} {self.signature.hex()}"

    def to_bytes(self) -> bytes:
        """The whole receipt as msgpack, to be kept."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> Receipt:
        """A kept receipt back; BadReceipt if the bytes are none. Does not verify."""
        try:
            receipt = msgspec.msgpack.decode(data, type=cls)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise BadReceipt(f"these bytes are no receipt: {error}") from None
        if receipt.to_bytes() != data:  # msgpack writes one number in several ways, and a receipt has one
            raise BadReceipt("these bytes are a receipt written in another way")
        return receipt

    @classmethod
    def from_header(
        cls,
        value: str,
        *,
        genesis_hash: str,
        netuid: int,
        path: str,
        request_digest: str,
        nonce_ns: int,
        sender: Hotkey,
        receiver: Hotkey,
        status: int,
        response_digest: str,
    ) -> Receipt:
        """The receipt that came with a reply; BadReceipt if the header is malformed. Does not verify."""
        words = value.split(" ") if len(value) <= _HEADER_CAP else []
        if len(words) != 5 or words[0] != _VERSION or words[3] not in SCHEMES or not words[2]:
            raise BadReceipt(f"malformed {HEADER_RECEIPT} header")
        try:
            time_ns, signature = int(words[1]), bytes.fromhex(words[4])
        except ValueError:
            raise BadReceipt(f"malformed {HEADER_RECEIPT} header") from None
        return cls(
            genesis_hash=genesis_hash,
            netuid=netuid,
            path=path,
            request_digest=request_digest,
            nonce_ns=nonce_ns,
            sender=sender,
            receiver=receiver,
            status=status,
            response_digest=response_digest,
            artifact=words[2],
            time_ns=time_ns,
            scheme=words[3],
            signature=signature,
        )


def signed(key: Keypair, unsigned: Receipt) -> Receipt:
    """The same receipt with the signature of ``key``, which is the receiver's and of the scheme it names."""
    return msgspec.structs.replace(unsigned, signature=sign_bytes(key, unsigned.lines()))
