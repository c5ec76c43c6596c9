"""Runtime APIs (``state_call``): SCALE in, SCALE out, at any block. What is not served is refused by name."""

from __future__ import annotations

from collections.abc import Callable

from subnet.devnet.chain import Chain
from subnet.devnet.extrinsic import decode
from subnet.devnet.pallets.system import SPEC_NAME, SPEC_VERSION, TRANSACTION_VERSION, System
from subnet.devnet.rpc import RpcError
from subnet.devnet.runtime import BASE_WEIGHT
from subnet.devnet.scale import ACCOUNT, BYTES, TEXT, U8, U32, U64, FixedBytes, ScaleError, Struct, Tuple, Vec, compact

_VERSION = Struct(
    "sp_version::RuntimeVersion",
    spec_name=TEXT,
    impl_name=TEXT,
    authoring_version=U32,
    spec_version=U32,
    impl_version=U32,
    apis=Vec(Tuple(FixedBytes(8), U32)),
    transaction_version=U32,
    state_version=U8,
)


def _account_nonce(chain: Chain, data: bytes, block: int) -> bytes:
    who = ACCOUNT.decode(data)
    stored = chain.read(System.Account.key(who), block)
    info = System.Account.default() if stored is None else System.Account.value.decode(stored)
    return U32.encode(info["nonce"])


def _query_info(chain: Chain, data: bytes, block: int) -> bytes:
    extrinsic = decode(data[:-4])
    fee = chain.runtime.fee(extrinsic.call, len(extrinsic.raw), extrinsic.tip)
    return compact(BASE_WEIGHT) + compact(0) + b"\0" + U64.encode(fee)


def _metadata(chain: Chain, data: bytes, block: int) -> bytes:
    return BYTES.encode(chain.runtime.metadata)


def _metadata_versions(chain: Chain, data: bytes, block: int) -> bytes:
    return compact(1) + U32.encode(14)


def _version(chain: Chain, data: bytes, block: int) -> bytes:
    name = SPEC_NAME.encode()
    return _VERSION.encode(
        {
            "spec_name": name,
            "impl_name": name,
            "authoring_version": 1,
            "spec_version": SPEC_VERSION,
            "impl_version": 1,
            "apis": [],
            "transaction_version": TRANSACTION_VERSION,
            "state_version": 1,
        }
    )


APIS: dict[str, Callable[[Chain, bytes, int], bytes]] = {
    "AccountNonceApi_account_nonce": _account_nonce,
    "TransactionPaymentApi_query_info": _query_info,
    "Metadata_metadata": _metadata,
    "Metadata_metadata_versions": _metadata_versions,
    "Core_version": _version,
}


def call_runtime(chain: Chain, name: str, data: bytes, block: int) -> bytes:
    """Run a runtime API method; RpcError names what is not served or does not decode."""
    function = APIS.get(name)
    if function is None:
        # worded as the real node does: clients look for it before they fall back to an older way
        raise RpcError(4003, f"Client error: Execution failed: Other: Exported method {name[:100]} is not found")
    try:
        return function(chain, data, block)
    except ScaleError as error:
        raise RpcError(4003, f"Client error: Execution failed: {name} can't decode its input: {error}") from None
