"""SCALE types that several parts of the runtime share: dispatch results, accounts, headers, key shapes."""

from __future__ import annotations

from subnet.devnet.hashing import BLAKE2_128_CONCAT, IDENTITY, TWOX64_CONCAT
from subnet.devnet.scale import (
    ACCOUNT,
    BYTES,
    H256,
    U8,
    U16,
    U32,
    U64,
    U128,
    UNIT,
    Compact,
    Enum,
    FixedBytes,
    Struct,
    Variant,
    Vec,
)

NETUID = (IDENTITY, U16)
UID = (IDENTITY, U16)
ACCOUNT_KEY = (BLAKE2_128_CONCAT, ACCOUNT)
NETUID_BLAKE2 = (BLAKE2_128_CONCAT, U16)
NETUID_TWOX = (TWOX64_CONCAT, U16)

WEIGHT = Struct("sp_weights::weight_v2::Weight", ref_time=Compact(U64), proof_size=Compact(U64))
DISPATCH_CLASS = Enum(
    "frame_support::dispatch::DispatchClass",
    [Variant("Normal", 0), Variant("Operational", 1), Variant("Mandatory", 2)],
)
PAYS = Enum("frame_support::dispatch::Pays", [Variant("Yes", 0), Variant("No", 1)])
DISPATCH_INFO = Struct("frame_support::dispatch::DispatchInfo", weight=WEIGHT, class_=DISPATCH_CLASS, pays_fee=PAYS)
MODULE_ERROR = Struct("sp_runtime::ModuleError", index=U8, error=FixedBytes(4))
_LACKS = (
    "FundsUnavailable OnlyProvider BelowMinimum CannotCreate UnknownAsset Frozen Unsupported CannotCreateHold "
    "NotExpendable Blocked"
)
TOKEN_ERROR = Enum("sp_runtime::TokenError", [Variant(name, i) for i, name in enumerate(_LACKS.split())])
ARITHMETIC_ERROR = Enum(
    "sp_arithmetic::ArithmeticError",
    [Variant(name, i) for i, name in enumerate(("Underflow", "Overflow", "DivisionByZero"))],
)
DISPATCH_ERROR = Enum(
    "sp_runtime::DispatchError",
    [
        Variant("Other", 0),
        Variant("CannotLookup", 1),
        Variant("BadOrigin", 2),
        Variant("Module", 3, [(None, MODULE_ERROR)]),
        Variant("ConsumerRemaining", 4),
        Variant("NoProviders", 5),
        Variant("TooManyConsumers", 6),
        Variant("Token", 7, [(None, TOKEN_ERROR)]),
        Variant("Arithmetic", 8, [(None, ARITHMETIC_ERROR)]),
    ],
)
DISPATCH_RESULT = Enum(
    "Result",
    [Variant("Ok", 0, [(None, UNIT)]), Variant("Err", 1, [(None, DISPATCH_ERROR)])],
    T=UNIT,
    E=DISPATCH_ERROR,
)
ACCOUNT_DATA = Struct("pallet_balances::types::AccountData", free=U64, reserved=U64, frozen=U64, flags=U128)
ACCOUNT_INFO = Struct(
    "frame_system::AccountInfo", nonce=U32, consumers=U32, providers=U32, sufficients=U32, data=ACCOUNT_DATA
)
MULTI_SIGNATURE = Enum(
    "sp_runtime::MultiSignature",
    [
        Variant("Ed25519", 0, [(None, FixedBytes(64, "sp_core", "ed25519", "Signature"))]),
        Variant("Sr25519", 1, [(None, FixedBytes(64, "sp_core", "sr25519", "Signature"))]),
        Variant("Ecdsa", 2, [(None, FixedBytes(65, "sp_core", "ecdsa", "Signature"))]),
    ],
)
_ENGINE = FixedBytes(4)
DIGEST_ITEM = Enum(
    "sp_runtime::generic::digest::DigestItem",
    [
        Variant("PreRuntime", 6, [(None, _ENGINE), (None, BYTES)]),
        Variant("Consensus", 4, [(None, _ENGINE), (None, BYTES)]),
        Variant("Seal", 5, [(None, _ENGINE), (None, BYTES)]),
        Variant("Other", 0, [(None, BYTES)]),
        Variant("RuntimeEnvironmentUpdated", 8),
    ],
)
DIGEST = Struct("sp_runtime::generic::digest::Digest", logs=Vec(DIGEST_ITEM))
HEADER = Struct(
    "sp_runtime::generic::header::Header",
    parent_hash=H256,
    number=Compact(U32),
    state_root=H256,
    extrinsics_root=H256,
    digest=DIGEST,
)
PHASE = Enum(
    "frame_system::Phase",
    [Variant("ApplyExtrinsic", 0, [(None, U32)]), Variant("Finalization", 1), Variant("Initialization", 2)],
)
