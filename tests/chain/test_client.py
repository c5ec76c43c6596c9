"""The client against a node that is real but for one lie, one hang or one lost answer."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from chain_peers import TRUTH, Altered, Hang, HangUp, Refuse, beats, between, until

from subnet.chain import Chain
from subnet.chain.sending import PERIOD
from subnet.devnet import Devnet, devnet
from subnet.errors import (
    ChainError,
    ChainMalformed,
    ChainRefused,
    ChainTimeout,
    ChainUnreachable,
    ConfigError,
    ExtrinsicFailed,
    NotASubtensor,
)
from subnet.keys import load_key
from subnet.types import rao

if TYPE_CHECKING:
    from substrateinterface import Keypair

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def node() -> Iterator[Devnet]:
    with devnet(block_time=0.1) as running:
        yield running


@pytest.fixture(scope="module")
def still() -> Iterator[Devnet]:
    """A node that makes blocks only when it is told to."""
    with devnet(production="manual") as running:
        yield running


@pytest.fixture(scope="module")
def alice() -> Keypair:
    return load_key("//Alice")


def somebody() -> str:
    """An address that nobody has used."""
    return load_key(f"//Somebody//{secrets.token_hex(8)}").ss58_address


@asynccontextmanager
async def lied_to(url: str, lie: Callable[[str, list[Any]], Any], timeout: float = 60.0) -> AsyncIterator[Chain]:
    async with between(url, lie) as middle, await Chain.connect(middle.url, timeout=timeout) as chain:
        yield chain


def once(method: str, answer: Callable[[], Any]) -> Callable[[str, list[Any]], Any]:
    """A lie told the first time that ``method`` is asked."""
    told: list[str] = []

    def lie(asked: str, params: list[Any]) -> Any:
        if asked != method or told:
            return TRUTH
        told.append(asked)
        return answer()

    return lie


def throw(error: Exception) -> Any:
    raise error


# Connecting


@pytest.mark.parametrize("endpoint", ["127.0.0.1:9944", "http://127.0.0.1:9944", ""])
async def test_what_is_no_endpoint(endpoint: str) -> None:
    with pytest.raises(ConfigError):
        await Chain.connect(endpoint)


async def test_nobody_there() -> None:
    with pytest.raises(ChainUnreachable) as caught:
        await Chain.connect("ws://127.0.0.1:1")
    assert "subnet chain" in caught.value.remedy


async def test_a_chain_without_the_pallet(node: Devnet) -> None:
    def rename(method: str, params: list[Any]) -> Any:
        if method != "state_getMetadata":
            return TRUTH
        return Altered(lambda metadata: metadata.replace(b"SubtensorModule".hex(), b"SubtensorMissin".hex()))

    async with between(node.url, rename) as middle:
        with pytest.raises(NotASubtensor):
            await Chain.connect(middle.url, timeout=60.0)


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        17,
        "0x",
        "0xzz",
        "0x6d657461",
        "0x6d6574610e",
        "0x6d6574610efeffffff",  # a registry of 2**30 types
        "0x6d6574610e0400" + "fe" * 400,
        "0x6d6574610d" + "00" * 50,  # V13
        "0x" + "ff" * 1000,
    ],
    ids=["none", "number", "empty", "no hex", "magic", "V14 and no more", "2**30", "garbage", "V13", "no metadata"],
)
async def test_metadata_that_is_none(node: Devnet, metadata: Any) -> None:
    async with between(node.url, lambda m, p: metadata if m == "state_getMetadata" else TRUTH) as middle:
        with pytest.raises(ChainMalformed):
            await Chain.connect(middle.url, timeout=60.0)


async def test_a_node_that_hangs_while_connecting(node: Devnet) -> None:
    async with between(node.url, once("state_getMetadata", lambda: throw(Hang()))) as middle:
        with pytest.raises(ChainTimeout):
            await Chain.connect(middle.url, timeout=0.5)


# Reading


async def test_the_loop_goes_on_while_the_node_hangs_and_the_next_call_works(node: Devnet) -> None:
    lie = once("chain_getHeader", lambda: throw(Hang()))
    async with between(node.url, lie) as middle, await Chain.connect(middle.url, timeout=60.0) as chain:
        task = asyncio.ensure_future(chain.block_number())
        await until(lambda: "chain_getHeader" in middle.asked)
        await beats()
        assert not task.done()
        await middle.drop_all()
        assert await task >= 0


async def test_a_call_that_hangs_ends_at_its_deadline_and_the_next_one_works(node: Devnet) -> None:
    lie = once("chain_getHeader", lambda: throw(Hang()))
    async with lied_to(node.url, lie) as chain:
        chain._connection.timeout = 0.5
        with pytest.raises(ChainTimeout):
            await chain.block_number()
        chain._connection.timeout = 60.0
        assert await chain.block_number() >= 0


async def test_reads_come_back_after_a_hang_up(node: Devnet) -> None:
    async with lied_to(node.url, once("state_queryStorageAt", lambda: throw(HangUp()))) as chain:
        assert await chain.subnets() == [0]
        assert len(await chain.metagraph(0)) == 0


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        [{}],
        [{"block": "0x00", "changes": []}],
        [{"block": "0x" + "22" * 32, "changes": [["0x00"]]}],
        [{"block": "0x" + "22" * 32, "changes": [["0x00", "0xzz"]]}],
        [{"block": "0x" + "22" * 32, "changes": 3}],
        "0x",
    ],
)
async def test_storage_answers_that_are_none(node: Devnet, answer: Any) -> None:
    async with lied_to(node.url, lambda m, p: answer if m == "state_queryStorageAt" else TRUTH) as chain:
        with pytest.raises(ChainMalformed):
            await chain.metagraph(0)


async def test_another_block_than_was_asked_for_is_refused(node: Devnet) -> None:
    def shift(method: str, params: list[Any]) -> Any:
        if method != "state_queryStorageAt" or len(params) < 2:
            return TRUTH
        return [{"block": "0x" + "33" * 32, "changes": []}]

    async with lied_to(node.url, shift) as chain:
        with pytest.raises(ChainMalformed, match="answered for"):
            await chain.metagraph(0, 0)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("0x04" + "00" * 2, "elements on a subnet of 0"),
        ("0xfeffffff", "1073741823 elements"),
        ("0x04", "1 elements"),
        ("0x", "ends too early"),
    ],
    ids=["too long", "a billion", "cut off", "empty"],
)
async def test_vectors_that_lie(node: Devnet, value: str, words: str) -> None:
    from subnet.chain.storage import item_prefix, u16

    key = "0x" + (item_prefix("SubtensorModule", "Incentive") + u16(0)).hex()

    def swap(answers: list[dict[str, Any]]) -> Any:
        return [{**answers[0], "changes": [[k, value if k == key else v] for k, v in answers[0]["changes"]]}]

    async with lied_to(node.url, lambda m, p: Altered(swap) if m == "state_queryStorageAt" else TRUTH) as chain:
        with pytest.raises(ChainMalformed, match=words):
            await chain.metagraph(0)


async def test_a_runtime_upgrade_is_followed(node: Devnet) -> None:
    newer = 0

    def upgraded(method: str, params: list[Any]) -> Any:
        if method != "state_getRuntimeVersion":
            return TRUTH
        return Altered(lambda version: {**version, "specVersion": version["specVersion"] + newer})

    async with between(node.url, upgraded) as middle, await Chain.connect(middle.url, timeout=60.0) as chain:
        loaded = middle.asked.count("state_getMetadata")
        await chain.metagraph(0)
        assert middle.asked.count("state_getMetadata") == loaded
        newer = 1
        await chain.metagraph(0)
        await chain.metagraph(0)
        assert middle.asked.count("state_getMetadata") == loaded + 1


async def test_two_round_trips_for_a_metagraph(node: Devnet) -> None:
    async with between(node.url, lambda m, p: TRUTH) as middle, await Chain.connect(middle.url, timeout=60.0) as chain:
        await chain.metagraph(0)
        asked = len(middle.asked)
        await chain.metagraph(0)
        assert middle.asked[asked:].count("state_queryStorageAt") <= 2
        assert len(middle.asked) - asked <= 5


async def test_a_refusal_is_typed(node: Devnet) -> None:
    lie = once("chain_getHeader", lambda: throw(Refuse(4003, "Client error: State already discarded")))
    async with lied_to(node.url, lie) as chain:
        with pytest.raises(ChainRefused, match="already discarded") as caught:
            await chain.block_number()
        assert caught.value.as_dict()["rpc_code"] == 4003


async def test_a_chain_that_stands_still_is_seen(still: Devnet) -> None:
    async with await Chain.connect(still.url, timeout=60.0) as chain:
        now = await chain.block_number()
        with pytest.raises(ChainTimeout, match=f"the head is {now}"):
            await chain.wait_for_block(now + 1, timeout=0.3)
        still.new_blocks(3)
        assert await chain.wait_for_block(now + 2, timeout=60) == now + 3


async def test_addresses_that_are_none_are_refused_before_anything_is_sent(node: Devnet, alice: Keypair) -> None:
    async with between(node.url, lambda m, p: TRUTH) as middle, await Chain.connect(middle.url, timeout=60.0) as chain:
        asked = len(middle.asked)
        with pytest.raises(ValueError, match="ss58"):
            await chain.balance("5Grw")
        with pytest.raises(ValueError, match="ss58"):
            await chain.transfer(alice, "nobody", rao(1))
        with pytest.raises(ValueError, match="address"):
            await chain.serve_axon(alice, 1, "localhost", 80)
        assert "author_submitExtrinsic" not in middle.asked[asked:]


# Writing


async def test_a_send_whose_answer_is_lost_lands_once(node: Devnet, alice: Keypair) -> None:
    """The node takes the extrinsic and the connection dies before it says so: the retry must not pay twice."""
    to = somebody()
    answered: list[str] = []

    def forget(answer: str) -> Any:
        answered.append(answer)
        raise HangUp

    def lie(method: str, params: list[Any]) -> Any:
        return Altered(forget) if method == "author_submitExtrinsic" and not answered else TRUTH

    async with lied_to(node.url, lie) as chain:
        included = await chain.transfer(alice, to, rao(1))
        assert answered == [included.extrinsic_hash]
        assert await chain.balance(to) == rao(1)


async def test_a_connection_lost_while_waiting_for_the_block(node: Devnet, alice: Keypair) -> None:
    to = somebody()
    async with lied_to(node.url, once("chain_getBlock", lambda: throw(HangUp()))) as chain:
        await chain.transfer(alice, to, rao(1))
        assert await chain.balance(to) == rao(1)


async def test_a_node_that_is_away_for_a_while_during_a_send(node: Devnet, alice: Keypair) -> None:
    to = somebody()
    away = [0]

    def lie(method: str, params: list[Any]) -> Any:
        if method == "author_submitExtrinsic":
            away[0] = 5
        elif away[0]:
            away[0] -= 1
            raise HangUp
        return TRUTH

    async with lied_to(node.url, lie) as chain:
        await chain.transfer(alice, to, rao(1))
        assert away == [0]
        assert await chain.balance(to) == rao(1)


async def test_a_node_that_dies_with_the_send_leaves_it_unknown(node: Devnet, alice: Keypair) -> None:
    dead: list[bool] = []

    def lie(method: str, params: list[Any]) -> Any:
        if method == "author_submitExtrinsic" or dead:
            dead.append(True)
            raise HangUp
        return TRUTH

    async with lied_to(node.url, lie) as chain:
        params = {"dest": somebody(), "value": 1000}
        with pytest.raises(ChainTimeout, match="never answered") as caught:
            await chain.submit("Balances", "transfer_keep_alive", params, alice, timeout=1.0)
        assert "may still land until block" in caught.value.remedy
        assert isinstance(caught.value.__cause__, ChainUnreachable)


async def test_a_nonce_taken_by_somebody_else_is_replaced(node: Devnet, alice: Keypair) -> None:
    """A node that lags behind gives a nonce that is used up."""
    to = somebody()
    async with await Chain.connect(node.url, timeout=60.0) as chain:
        await chain.submit("System", "remark", {"remark": "0x00"}, alice)  # so that nonce 0 is surely gone
    async with lied_to(node.url, once("system_accountNextIndex", lambda: 0)) as chain:
        await chain.transfer(alice, to, rao(1))
        assert await chain.balance(to) == rao(1)


async def test_what_never_lands_is_unknown_first_and_expired_at_last(still: Devnet, alice: Keypair) -> None:
    def swallow(method: str, params: list[Any]) -> Any:
        return "0x" + "00" * 32 if method == "author_submitExtrinsic" else TRUTH

    async with between(still.url, swallow) as middle, await Chain.connect(middle.url, timeout=60.0) as chain:
        params = {"dest": somebody(), "value": 1000}
        with pytest.raises(ChainTimeout) as caught:
            await chain.submit("Balances", "transfer_keep_alive", params, alice, timeout=0.5)
        assert "may still land until block" in caught.value.remedy
        task = asyncio.ensure_future(chain.submit("Balances", "transfer_keep_alive", params, alice, timeout=120))
        await until(lambda: middle.asked.count("author_submitExtrinsic") == 2)  # signed: its era has begun
        await asyncio.to_thread(still.new_blocks, PERIOD + 2)
        with pytest.raises(ExtrinsicFailed) as failed:
            await asyncio.wait_for(task, 110)
        assert (failed.value.name, failed.value.where) == ("Expired", "pool")


async def test_events_that_are_none_are_malformed(node: Devnet, alice: Keypair) -> None:
    from subnet.chain.storage import item_prefix

    key = "0x" + item_prefix("System", "Events").hex()

    def lie(method: str, params: list[Any]) -> Any:
        if method != "state_queryStorageAt" or key not in params[0]:
            return TRUTH
        return [{"block": params[1], "changes": [[key, "0xfeffffff00"]]}]

    async with lied_to(node.url, lie) as chain:
        with pytest.raises(ChainMalformed):
            await chain.submit("System", "remark", {"remark": "0x00"}, alice)


async def test_a_refusal_that_is_not_the_pool_s_stays_what_it_is(node: Devnet, alice: Keypair) -> None:
    lie = once("author_submitExtrinsic", lambda: throw(Refuse(-32601, "Method not found")))
    async with lied_to(node.url, lie) as chain:
        with pytest.raises(ChainRefused):
            await chain.transfer(alice, somebody(), rao(1))


async def test_a_cancelled_send_does_not_block_the_account(still: Devnet, alice: Keypair) -> None:
    """The node makes no block by itself: a send can do nothing but wait until the test has cancelled it."""
    to = somebody()
    async with await Chain.connect(still.url, timeout=60.0) as chain:
        task = asyncio.ensure_future(chain.transfer(alice, to, rao(1)))
        await until(lambda: task.done() or len(still.node.pool) == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        again = asyncio.ensure_future(chain.transfer(alice, to, rao(1)))
        await until(lambda: again.done() or len(still.node.pool) == 2)
        await asyncio.to_thread(still.new_blocks, 1)
        await asyncio.wait_for(again, 60)
        assert await chain.balance(to) == rao(2)


async def test_a_closed_client_refuses(node: Devnet) -> None:
    chain = await Chain.connect(node.url, timeout=60.0)
    await chain.close()
    with pytest.raises(ChainError, match="closed"):
        await chain.block_number()
