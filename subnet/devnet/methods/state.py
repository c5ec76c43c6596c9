"""``state_*``: storage and metadata of any block, runtime APIs."""

from __future__ import annotations

from typing import Any

from subnet.devnet.hashing import blake2_256
from subnet.devnet.methods.declare import method
from subnet.devnet.methods.parameters import keys as keys_of
from subnet.devnet.methods.parameters import number_at, state_at
from subnet.devnet.pallets.system import SPEC_NAME, SPEC_VERSION, TRANSACTION_VERSION
from subnet.devnet.rpc import MAX_ANSWER, Reply, RpcError, bad_params, from_hex, to_hex
from subnet.devnet.runtime import APIS
from subnet.devnet.runtime_api.call import call_runtime
from subnet.devnet.session import Session

MAX_PAGE = 1000  # keys in one page, as on the real chain
RUNTIME_VERSION = {
    "specName": SPEC_NAME,
    "implName": SPEC_NAME,
    "authoringVersion": 1,
    "specVersion": SPEC_VERSION,
    "implVersion": 1,
    "apis": [[to_hex(api.identity()), api.version] for api in APIS],
    "transactionVersion": TRANSACTION_VERSION,
    "systemVersion": 1,
    "stateVersion": 1,
}


@method("state_getRuntimeVersion", "chain_getRuntimeVersion")
def state_get_runtime_version(session: Session, at: Any = None) -> dict[str, Any]:
    number_at(session.chain, at)
    return RUNTIME_VERSION


@method("state_subscribeRuntimeVersion")
def state_subscribe_runtime_version(session: Session) -> Reply:
    return session.subscribe_once("state_runtimeVersion", RUNTIME_VERSION)


@method("state_getMetadata")
def state_get_metadata(session: Session, at: Any = None) -> str:
    number_at(session.chain, at)
    return session.node.metadata_hex


@method("state_getStorage", "state_getStorageAt")
def state_get_storage(session: Session, key: Any, at: Any = None) -> Any:
    value = session.chain.read(from_hex(key, what="key"), state_at(session.chain, at))
    return None if value is None else to_hex(value)


@method("state_getStorageHash", "state_getStorageHashAt")
def state_get_storage_hash(session: Session, key: Any, at: Any = None) -> Any:
    """A value's hash. ``:code`` has one though there is no code here: clients see by it that the metadata changed."""
    wanted, number = from_hex(key, what="key"), state_at(session.chain, at)
    value = session.chain.runtime.metadata if wanted == b":code" else session.chain.read(wanted, number)
    return None if value is None else to_hex(blake2_256(value))


@method("state_getStorageSize", "state_getStorageSizeAt")
def state_get_storage_size(session: Session, key: Any, at: Any = None) -> Any:
    value = session.chain.read(from_hex(key, what="key"), state_at(session.chain, at))
    return None if value is None else len(value)


@method("state_getKeysPaged", "state_getKeysPagedAt")
def state_get_keys_paged(session: Session, prefix: Any, count: Any, start: Any = None, at: Any = None) -> list[str]:
    """Up to ``count`` (at most 1000) keys with this prefix, after ``start``."""
    if not isinstance(count, int) or count < 0:
        raise bad_params("a number of keys is expected")
    if count > MAX_PAGE:
        raise RpcError(4002, f"count exceeds maximum value. value: {count}, max: {MAX_PAGE}")
    first = None if start is None else from_hex(start, what="start key")
    wanted = from_hex(prefix or "0x", what="prefix")
    return [to_hex(key) for key in session.chain.page(wanted, first, count, state_at(session.chain, at))]


@method("state_queryStorageAt")
def state_query_storage_at(session: Session, keys: Any, at: Any = None) -> list[dict[str, Any]]:
    chain = session.chain
    number = state_at(chain, at)
    changes, size = [], 0
    for key in dict.fromkeys(keys_of(keys)):  # a value asked for twice is sent once
        value = chain.read(key, number)
        changes.append([to_hex(key), None if value is None else to_hex(value)])
        size += 2 * len(value or b"")
        if size > MAX_ANSWER:
            raise bad_params(f"these keys hold more than {MAX_ANSWER} characters; ask for fewer at once")
    found = chain.hash_of(number)
    return [{"block": to_hex(found or b""), "changes": changes}]


@method("state_subscribeStorage")
def state_subscribe_storage(session: Session, keys: Any = None) -> Reply:
    if keys is None:
        raise bad_params("name the keys; this node has no subscription to all of them")
    return session.subscribe_storage(keys_of(keys))


@method("state_call", "state_callAt")
def state_call(session: Session, name: Any, data: Any, at: Any = None) -> str:
    """A runtime API call: SCALE in, SCALE out."""
    if not isinstance(name, str):
        raise bad_params("the name of a runtime API method is expected")
    number = state_at(session.chain, at)
    return to_hex(call_runtime(session.chain, name, from_hex(data, what="data"), number))
