"""APIs that every Substrate runtime has: versions, metadata, nonces and fees."""

from __future__ import annotations

from typing import Annotated, Any

from subnet.devnet.extrinsic import UNCHECKED, Extrinsic, decode
from subnet.devnet.pallets.system import SPEC_NAME, SPEC_VERSION, TRANSACTION_VERSION, System
from subnet.devnet.runtime_api.declare import Api, View
from subnet.devnet.scale import (
    BYTES,
    TEXT,
    U8,
    U32,
    U64,
    FixedBytes,
    Named,
    Option,
    Struct,
    Tuple,
    Vec,
    account,
    compact,
    u32,
)
from subnet.devnet.shapes import DISPATCH_CLASS, WEIGHT

VERSION = Struct(
    "sp_version::RuntimeVersion",
    spec_name=TEXT,
    impl_name=TEXT,
    authoring_version=U32,
    spec_version=U32,
    impl_version=U32,
    apis=Vec(Tuple(FixedBytes(8), U32)),
    transaction_version=U32,
    system_version=U8,
)
OPAQUE_METADATA = Named("sp_core::OpaqueMetadata", BYTES)
DISPATCH_INFO = Struct(
    "pallet_transaction_payment::types::RuntimeDispatchInfo", weight=WEIGHT, class_=DISPATCH_CLASS, partial_fee=U64
)
INCLUSION_FEE = Struct(
    "pallet_transaction_payment::types::InclusionFee", base_fee=U64, len_fee=U64, adjusted_weight_fee=U64
)
FEE_DETAILS = Struct("pallet_transaction_payment::types::FeeDetails", inclusion_fee=Option(INCLUSION_FEE), tip=U64)
unchecked_extrinsic = Annotated[bytes, UNCHECKED]


class Core(Api, version=5):
    """Runtime version."""


@Core.method(VERSION)
def version(view: View) -> dict[str, Any]:
    """Names and versions of the runtime, and the APIs that it has."""
    name = SPEC_NAME.encode()
    return {
        "spec_name": name,
        "impl_name": name,
        "authoring_version": 1,
        "spec_version": SPEC_VERSION,
        "impl_version": 1,
        "apis": [(api.identity(), api.version) for api in view.runtime.apis],
        "transaction_version": TRANSACTION_VERSION,
        "system_version": 1,
    }


class Metadata(Api, version=2):
    """The runtime's metadata."""


@Metadata.method(OPAQUE_METADATA)
def metadata(view: View) -> bytes:
    """Metadata V14."""
    return view.runtime.metadata


@Metadata.method(Option(OPAQUE_METADATA))
def metadata_at_version(view: View, version: u32) -> bytes | None:
    """Metadata of the version asked for; None for one that is not served."""
    return {14: view.runtime.metadata, 15: view.runtime.metadata_v15}.get(version)


@Metadata.method(Vec(U32))
def metadata_versions(view: View) -> list[int]:
    """The versions there are."""
    return [14, 15]


class AccountNonceApi(Api, version=1):
    """Nonces."""


@AccountNonceApi.method(U32)
def account_nonce(view: View, account: account) -> int:
    """The nonce of an account's next extrinsic, without those that wait in the pool."""
    return int(view.state.get(System.Account, account)["nonce"])


class TransactionPaymentApi(Api, version=4):
    """Fees, in RAO."""


def _extrinsic(body: bytes) -> Extrinsic:
    return decode(compact(len(body)) + body)


@TransactionPaymentApi.method(DISPATCH_INFO)
def query_info(view: View, uxt: unchecked_extrinsic, len: u32) -> dict[str, Any]:  # noqa: A002 - the method's name for it
    """What an extrinsic would cost, its tip included, and what it weighs. Its signature is not looked at."""
    extrinsic = _extrinsic(uxt)
    fee = view.runtime.fee(extrinsic.call, len, extrinsic.tip)
    return {"weight": view.runtime.weight(extrinsic.call), "class_": ("Normal", None), "partial_fee": fee}


@TransactionPaymentApi.method(FEE_DETAILS)
def query_fee_details(view: View, uxt: unchecked_extrinsic, len: u32) -> dict[str, Any]:  # noqa: A002 - likewise
    """The parts of that fee: none for a call that is free."""
    extrinsic = _extrinsic(uxt)
    fee = view.runtime.fee(extrinsic.call, len)
    weight = view.runtime.fee(extrinsic.call, 0)
    parts = {"base_fee": 0, "len_fee": fee - weight, "adjusted_weight_fee": weight}
    return {"inclusion_fee": parts if fee else None, "tip": extrinsic.tip}
