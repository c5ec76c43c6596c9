"""The JSON-RPC methods of the node: what substrate-interface and its like call, and a few of a development chain.

Each method is a function ``(node, session, *params)`` under its names; ``rpc_methods`` lists them. What
a Substrate node has and this one has not is refused as unknown, by name.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from subnet.devnet.chain import Block, Chain
from subnet.devnet.hashing import blake2_256
from subnet.devnet.pallets.system import SPEC_NAME, SPEC_VERSION, SS58_PREFIX, TRANSACTION_VERSION
from subnet.devnet.rpc import MAX_ANSWER, METHOD_NOT_FOUND, Reply, RpcError, bad_params, from_hex, to_hex
from subnet.devnet.runtime import APIS
from subnet.devnet.runtime_api.call import call_runtime
from subnet.devnet.scale import ScaleError
from subnet.devnet.shapes import DIGEST_ITEM

if TYPE_CHECKING:
    from subnet.devnet.node import Node, Session

MAX_KEYS = 10_000  # keys in one request
MAX_PAGE = 1000  # keys in one page, as on the real chain
MAX_NEW_BLOCKS = 10_000


@dataclass(frozen=True)
class Method:
    """A method, and how many parameters it takes."""

    function: Callable[..., Any]
    least: int
    most: int


METHODS: dict[str, Method] = {}
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


def method(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def declare(function: Callable[..., Any]) -> Callable[..., Any]:
        parameters = list(inspect.signature(function).parameters.values())[2:]
        least = sum(one.default is inspect.Parameter.empty for one in parameters)
        for name in names:
            METHODS[name] = Method(function, least, len(parameters))
        return function

    return declare


async def call(node: Node, session: Session, name: str, params: list[Any]) -> Any:
    """Run a method; RpcError for an unknown one and for parameters that don't fit."""
    found = METHODS.get(name)
    if found is None:
        raise RpcError(METHOD_NOT_FOUND, f"Method not found: {name[:100]}")
    if not found.least <= len(params) <= found.most:
        raise bad_params(f"{name} takes {found.least} to {found.most} parameters, not {len(params)}")
    result = found.function(node, session, *params)
    return await result if inspect.isawaitable(result) else result


# parameters and shapes
def _hash(value: Any) -> bytes:
    data = from_hex(value, what="block hash")
    if len(data) != 32:
        raise bad_params("a block hash has 32 bytes")
    return data


def _number_at(chain: Chain, at: Any) -> int:
    """The number of the block with this hash; the head's where None."""
    if at is None:
        return chain.head.number
    block = chain.by_hash(_hash(at))
    if block is None:
        raise RpcError(4003, f"Client error: UnknownBlock: Header was not found in the database: {at}")
    return block.number


def _keys(value: Any) -> list[bytes]:
    if not isinstance(value, list):
        raise bad_params("a list of keys is expected")
    if len(value) > MAX_KEYS:
        raise bad_params(f"{len(value)} keys; at most {MAX_KEYS} in one request")
    return [from_hex(key, what="key") for key in value]


def header_json(block: Block) -> dict[str, Any]:
    header = block.header
    return {
        "parentHash": to_hex(header["parent_hash"]),
        "number": hex(block.number),
        "stateRoot": to_hex(header["state_root"]),
        "extrinsicsRoot": to_hex(header["extrinsics_root"]),
        "digest": {"logs": [to_hex(DIGEST_ITEM.encode(item)) for item in header["digest"]["logs"]]},
    }


# system
@method("system_chain")
def system_chain(node: Node, session: Session) -> str:
    return "subnet devnet"


@method("system_name")
def system_name(node: Node, session: Session) -> str:
    return SPEC_NAME


@method("system_version")
def system_version(node: Node, session: Session) -> str:
    return "subnet-devnet/1"


@method("system_chainType")
def system_chain_type(node: Node, session: Session) -> str:
    return "Development"


@method("system_properties")
def system_properties(node: Node, session: Session) -> dict[str, Any]:
    return {"ss58Format": SS58_PREFIX, "tokenDecimals": 9, "tokenSymbol": "TAO"}


@method("system_health")
def system_health(node: Node, session: Session) -> dict[str, Any]:
    return {"peers": 0, "isSyncing": False, "shouldHavePeers": False}


@method("system_peers")
def system_peers(node: Node, session: Session) -> list[Any]:
    return []


@method("system_syncState")
def system_sync_state(node: Node, session: Session) -> dict[str, int]:
    number = node.chain.head.number
    return {"startingBlock": 0, "currentBlock": number, "highestBlock": number}


@method("rpc_methods")
def rpc_methods(node: Node, session: Session) -> dict[str, Any]:
    return {"methods": sorted(METHODS)}


@method("system_accountNextIndex", "account_nextIndex")
def account_next_index(node: Node, session: Session, address: Any) -> int:
    """The account's next nonce, after what waits in the pool."""
    return node.pool.next_nonce(_account(address))


def _account(address: Any) -> bytes:
    from scalecodec.utils.ss58 import ss58_decode

    if not isinstance(address, str) or len(address) > 100:
        raise bad_params("an address is expected")
    try:
        account = from_hex(address if address.startswith("0x") else ss58_decode(address))
    except (ValueError, TypeError):
        raise bad_params("not an ss58 address") from None
    if len(account) != 32:
        raise bad_params("an account has 32 bytes")
    return account


# chain
@method("chain_getBlockHash", "chain_getHead")
def chain_get_block_hash(node: Node, session: Session, number: Any = None) -> Any:
    """The hash of block ``number`` (int, hex, or a list of them), of the head without one."""
    if number is None:
        return to_hex(node.chain.head.hash)
    if isinstance(number, list):
        if len(number) > MAX_KEYS:
            raise bad_params(f"at most {MAX_KEYS} numbers")
        if any(isinstance(one, list) for one in number):
            raise bad_params("a block number, or one list of them, is expected")
        return [chain_get_block_hash(node, session, one) for one in number]
    if isinstance(number, str):
        try:
            number = int(number, 16)
        except ValueError:
            raise bad_params("a block number is expected") from None
    if not isinstance(number, int) or not 0 <= number < 1 << 32:
        raise bad_params("a block number is expected")
    found = node.chain.hash_of(number)
    return None if found is None else to_hex(found)


@method("chain_getFinalizedHead", "chain_getFinalisedHead")
def chain_get_finalized_head(node: Node, session: Session) -> str:
    return to_hex(node.chain.head.hash)


@method("chain_getHeader")
def chain_get_header(node: Node, session: Session, at: Any = None) -> Any:
    block = node.chain.head if at is None else node.chain.by_hash(_hash(at))
    return None if block is None else header_json(block)


@method("chain_getBlock")
def chain_get_block(node: Node, session: Session, at: Any = None) -> Any:
    block = node.chain.head if at is None else node.chain.by_hash(_hash(at))
    if block is None:
        return None
    extrinsics = [to_hex(one) for one in block.extrinsics]
    return {"block": {"header": header_json(block), "extrinsics": extrinsics}, "justifications": None}


@method("chain_subscribeNewHeads", "chain_subscribeNewHead", "subscribe_newHead")
def chain_subscribe_new_heads(node: Node, session: Session) -> Reply:
    return session.subscribe_heads("chain_newHead")


@method("chain_subscribeAllHeads")
def chain_subscribe_all_heads(node: Node, session: Session) -> Reply:
    return session.subscribe_heads("chain_allHead")


@method("chain_subscribeFinalizedHeads", "chain_subscribeFinalisedHeads")
def chain_subscribe_finalized_heads(node: Node, session: Session) -> Reply:
    return session.subscribe_heads("chain_finalizedHead")


@method(
    "chain_unsubscribeNewHeads",
    "chain_unsubscribeNewHead",
    "unsubscribe_newHead",
    "chain_unsubscribeAllHeads",
    "chain_unsubscribeFinalizedHeads",
    "chain_unsubscribeFinalisedHeads",
    "state_unsubscribeStorage",
    "state_unsubscribeRuntimeVersion",
    "author_unwatchExtrinsic",
)
def unsubscribe(node: Node, session: Session, subscription: Any) -> bool:
    return session.unsubscribe(subscription)


# state
@method("state_getRuntimeVersion", "chain_getRuntimeVersion")
def state_get_runtime_version(node: Node, session: Session, at: Any = None) -> dict[str, Any]:
    _number_at(node.chain, at)
    return RUNTIME_VERSION


@method("state_subscribeRuntimeVersion")
def state_subscribe_runtime_version(node: Node, session: Session) -> Reply:
    return session.subscribe_once("state_runtimeVersion", RUNTIME_VERSION)


@method("state_getMetadata")
def state_get_metadata(node: Node, session: Session, at: Any = None) -> str:
    _number_at(node.chain, at)
    return node.metadata_hex


@method("state_getStorage", "state_getStorageAt")
def state_get_storage(node: Node, session: Session, key: Any, at: Any = None) -> Any:
    value = node.chain.read(from_hex(key, what="key"), _number_at(node.chain, at))
    return None if value is None else to_hex(value)


@method("state_getStorageHash", "state_getStorageHashAt")
def state_get_storage_hash(node: Node, session: Session, key: Any, at: Any = None) -> Any:
    """A value's hash. ``:code`` has one though there is no code here: clients see by it that the metadata changed."""
    wanted, number = from_hex(key, what="key"), _number_at(node.chain, at)
    value = node.chain.runtime.metadata if wanted == b":code" else node.chain.read(wanted, number)
    return None if value is None else to_hex(blake2_256(value))


@method("state_getStorageSize", "state_getStorageSizeAt")
def state_get_storage_size(node: Node, session: Session, key: Any, at: Any = None) -> Any:
    value = node.chain.read(from_hex(key, what="key"), _number_at(node.chain, at))
    return None if value is None else len(value)


@method("state_getKeysPaged", "state_getKeysPagedAt")
def state_get_keys_paged(
    node: Node, session: Session, prefix: Any, count: Any, start: Any = None, at: Any = None
) -> list[str]:
    """Up to ``count`` (at most 1000) keys with this prefix, after ``start``."""
    if not isinstance(count, int) or count < 0:
        raise bad_params("a number of keys is expected")
    if count > MAX_PAGE:
        raise RpcError(4002, f"count exceeds maximum value. value: {count}, max: {MAX_PAGE}")
    first = None if start is None else from_hex(start, what="start key")
    wanted = from_hex(prefix or "0x", what="prefix")
    return [to_hex(key) for key in node.chain.page(wanted, first, count, _number_at(node.chain, at))]


@method("state_queryStorageAt")
def state_query_storage_at(node: Node, session: Session, keys: Any, at: Any = None) -> list[dict[str, Any]]:
    chain = node.chain
    number = _number_at(chain, at)
    changes, size = [], 0
    for key in dict.fromkeys(_keys(keys)):  # a value asked for twice is sent once
        value = chain.read(key, number)
        changes.append([to_hex(key), None if value is None else to_hex(value)])
        size += 2 * len(value or b"")
        if size > MAX_ANSWER:
            raise bad_params(f"these keys hold more than {MAX_ANSWER} characters; ask for fewer at once")
    found = chain.hash_of(number)
    return [{"block": to_hex(found or b""), "changes": changes}]


@method("state_subscribeStorage")
def state_subscribe_storage(node: Node, session: Session, keys: Any = None) -> Reply:
    if keys is None:
        raise bad_params("name the keys; this node has no subscription to all of them")
    return session.subscribe_storage(_keys(keys))


@method("state_call", "state_callAt")
def state_call(node: Node, session: Session, name: Any, data: Any, at: Any = None) -> str:
    """A runtime API call: SCALE in, SCALE out."""
    if not isinstance(name, str):
        raise bad_params("the name of a runtime API method is expected")
    number = _number_at(node.chain, at)
    return to_hex(call_runtime(node.chain, name, from_hex(data, what="data"), number))


# author
@method("author_submitExtrinsic")
def author_submit_extrinsic(node: Node, session: Session, data: Any) -> str:
    return to_hex(node.submit(from_hex(data, what="extrinsic")).hash)


@method("author_submitAndWatchExtrinsic")
def author_submit_and_watch_extrinsic(node: Node, session: Session, data: Any) -> Reply:
    return session.watch(from_hex(data, what="extrinsic"))


@method("author_pendingExtrinsics")
def author_pending_extrinsics(node: Node, session: Session) -> list[str]:
    return [to_hex(pooled.extrinsic.raw) for pooled in node.pool.by_hash.values()]


# development
@method("dev_newBlock")
async def dev_new_block(node: Node, session: Session, options: Any = None) -> str:
    """Build ``{"count": n}`` blocks (1 without) at once; returns the hash of the last."""
    count = options.get("count", 1) if isinstance(options, dict) else 1 if options is None else options
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= MAX_NEW_BLOCKS:
        raise bad_params(f"count must be 1 to {MAX_NEW_BLOCKS}")
    return await node.new_blocks(count)


@method("dev_setStorage")
def dev_set_storage(node: Node, session: Session, values: Any) -> str:
    """Write ``[[key, value or null], ...]`` into the state, in a block of its own; returns its hash."""
    if not isinstance(values, list) or not values or len(values) > MAX_KEYS:
        raise bad_params(f"a list of 1 to {MAX_KEYS} [key, value] pairs is expected")
    writes: dict[bytes, bytes | None] = {}
    for pair in values:
        if not isinstance(pair, list) or len(pair) != 2:
            raise bad_params("a list of [key, value] pairs is expected")
        key = from_hex(pair[0], what="key")
        value = writes[key] = None if pair[1] is None else from_hex(pair[1], what="value")
        item = node.chain.runtime.item_at(key)
        if item is not None and value is not None:
            try:
                item.value.decode(value)
            except ScaleError as error:  # stored, it would stop the chain at the next block that reads it
                raise bad_params(f"that value is no {item.pallet}.{item.name}: {error}") from None
    return to_hex(node.produce(writes).hash)
