"""Extrinsics: their bytes taken apart, the payload that was signed, and its signature.

Nothing of an extrinsic is believed before :func:`verify` has said so; whether it is valid *now* (nonce,
era, fees) is for :mod:`subnet.devnet.pool` to say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from subnet.devnet import scale as s
from subnet.devnet.hashing import blake2_256
from subnet.devnet.metadata import ExtrinsicFormat, SignedExtension
from subnet.devnet.pallet import Call
from subnet.devnet.pallets.utility import RUNTIME_CALL
from subnet.devnet.scale import Reader, Scale, ScaleError, Variant, compact, compact_from
from subnet.devnet.shapes import MULTI_SIGNATURE
from subnet.keys import verify_bytes

MAX_EXTRINSIC = 256 * 1024  # bytes; 256 weights take under 2 KiB
SIGNED_V4, BARE_V4 = 0x84, 0x04


@dataclass(frozen=True)
class Era:
    """Immortal (period 0), or mortal: valid for ``period`` blocks from its birth on."""

    raw: bytes
    period: int = 0
    phase: int = 0

    def birth(self, current: int) -> int:
        if not self.period:
            return 0
        return (max(current, self.phase) - self.phase) // self.period * self.period + self.phase


class EraType(Scale[Era]):
    """``Era``: 0x00 for immortal, else two bytes. Described to clients as the enum it is in Rust."""

    smallest = 1
    path = ("sp_runtime", "generic", "era", "Era")
    arms = (
        Variant("Immortal", 0),
        *(Variant(f"Mortal{number}", number, [(None, s.U8)]) for number in range(1, 256)),
    )

    def read(self, reader: Reader) -> Era:
        first = reader.take(1)
        if first == b"\0":
            return Era(first)
        raw = first + reader.take(1)
        encoded = int.from_bytes(raw, "little")
        period = 2 << (encoded % 16)
        phase = (encoded >> 4) * max(period >> 12, 1)
        if period < 4 or phase >= period:
            raise ScaleError("not an era")
        return Era(raw, period, phase)


ERA = EraType()
MODE = s.Struct(
    "frame_metadata_hash_extension::CheckMetadataHash",
    mode=s.Enum("frame_metadata_hash_extension::Mode", [Variant("Disabled", 0), Variant("Enabled", 1)]),
)


def _marker(path: str) -> Scale[Any]:
    return s.Struct(path)


EXTENSIONS = (
    SignedExtension("CheckNonZeroSender", _marker("frame_system::extensions::CheckNonZeroSender"), s.UNIT),
    SignedExtension("CheckSpecVersion", _marker("frame_system::extensions::CheckSpecVersion"), s.U32),
    SignedExtension("CheckTxVersion", _marker("frame_system::extensions::CheckTxVersion"), s.U32),
    SignedExtension("CheckGenesis", _marker("frame_system::extensions::CheckGenesis"), s.H256),
    SignedExtension("CheckMortality", ERA, s.H256),
    SignedExtension("CheckNonce", s.Compact(s.U32), s.UNIT),
    SignedExtension("CheckWeight", _marker("frame_system::extensions::CheckWeight"), s.UNIT),
    SignedExtension("ChargeTransactionPayment", s.Compact(s.U64), s.UNIT),
    SignedExtension(
        "SubtensorTransactionExtension", _marker("pallet_subtensor::SubtensorTransactionExtension"), s.UNIT
    ),
    SignedExtension("DrandPriority", _marker("pallet_drand::drand_priority::DrandPriority"), s.UNIT),
    SignedExtension("CheckMetadataHash", MODE, s.Option(s.FixedBytes(32))),
)
UNCHECKED = s.Named(
    "sp_runtime::generic::unchecked_extrinsic::UncheckedExtrinsic",
    s.BYTES,
    Address=s.MULTI_ADDRESS,
    Call=RUNTIME_CALL,
    Signature=MULTI_SIGNATURE,
    Extra=s.Tuple(*(extension.extra for extension in EXTENSIONS)),
)
FORMAT = ExtrinsicFormat(UNCHECKED, EXTENSIONS)


@dataclass(frozen=True)
class Extrinsic:
    """A signed extrinsic, taken apart. ``raw`` includes its length prefix; ``tip`` is RAO."""

    raw: bytes
    hash: bytes
    signer: bytes
    scheme: str
    signature: bytes
    era: Era
    nonce: int
    tip: int
    metadata_hash: bool
    call: Call

    @property
    def body(self) -> bytes:
        return self.call.raw


@dataclass(frozen=True)
class Envelope:
    """A signed extrinsic whose call (``body``) has not been decoded: that is work, and for a signer only."""

    raw: bytes
    hash: bytes
    signer: bytes
    scheme: str
    signature: bytes
    era: Era
    nonce: int
    tip: int
    metadata_hash: bool
    body: bytes

    def open(self) -> Extrinsic:
        """The extrinsic with its call; ScaleError if that can't be decoded."""
        reader = Reader(self.raw, len(self.raw) - len(self.body))
        call = RUNTIME_CALL.read(reader)
        if reader.left:
            raise ScaleError(f"{reader.left} bytes too many")
        return Extrinsic(
            self.raw,
            self.hash,
            self.signer,
            self.scheme,
            self.signature,
            self.era,
            self.nonce,
            self.tip,
            self.metadata_hash,
            call,
        )


def decode(raw: bytes) -> Extrinsic:
    """Take an extrinsic apart; ScaleError says what is wrong with it."""
    return unwrap(raw).open()


def unwrap(raw: bytes) -> Envelope:
    """Take all but the call of an extrinsic apart; ScaleError says what is wrong. Bare ones are not taken."""
    if len(raw) > MAX_EXTRINSIC:
        raise ScaleError(f"longer than {MAX_EXTRINSIC} bytes")
    reader = Reader(raw)
    if compact_from(reader) != reader.left:
        raise ScaleError("the length prefix is wrong")
    version = reader.byte()
    if version != SIGNED_V4:
        raise ScaleError("not a signed extrinsic of version 4")
    kind, signer = s.MULTI_ADDRESS.read(reader)
    if kind not in ("Id", "Address32"):
        raise ScaleError("the signer's address is not an account id")
    scheme, signature = MULTI_SIGNATURE.read(reader)
    era = ERA.read(reader)
    nonce, tip = compact_from(reader), compact_from(reader)
    mode = reader.byte()
    if nonce >= 1 << 32 or tip >= 1 << 64 or mode > 1:
        raise ScaleError("nonce, tip or metadata hash mode out of bounds")
    body = raw[reader.at :]
    return Envelope(raw, blake2_256(raw), signer, scheme, signature, era, nonce, tip, mode == 1, body)


def payload(extrinsic: Envelope | Extrinsic, implicit: bytes) -> bytes:
    """What the signer signed; ``implicit`` is spec and transaction version, genesis hash and birth block's hash."""
    mode = b"\1" if extrinsic.metadata_hash else b"\0"
    extra = extrinsic.era.raw + compact(extrinsic.nonce) + compact(extrinsic.tip) + mode
    data = extrinsic.body + extra + implicit + b"\0"
    return blake2_256(data) if len(data) > 256 else data


def verify(extrinsic: Envelope | Extrinsic, implicit: bytes) -> bool:
    """Whether the signature is the signer's over this call on this chain."""
    # verify_bytes refuses, as sp_core does, what a browser extension wrapped in <Bytes>
    return verify_bytes(extrinsic.scheme.lower(), extrinsic.signer, payload(extrinsic, implicit), extrinsic.signature)


def bare(call: bytes) -> bytes:
    """An inherent: a call without a signature."""
    body = bytes([BARE_V4]) + call
    return compact(len(body)) + body
