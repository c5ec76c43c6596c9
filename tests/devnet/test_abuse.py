"""What strangers send: every method with any parameters, floods, bombs and crowds. The node answers and goes on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from substrateinterface import Keypair

from subnet.devnet import Devnet, devnet, methods
from subnet.devnet import pool as pools
from subnet.devnet import server as servers
from subnet.devnet.accounts import DEVELOPMENT
from subnet.devnet.chain import Chain
from subnet.devnet.context import Spec
from subnet.devnet.methods import METHODS
from subnet.devnet.node import Node
from subnet.devnet.pallet import Call
from subnet.devnet.pallets.system import System
from subnet.devnet.rpc import INTERNAL, PARSE_ERROR, answer, to_hex
from subnet.devnet.runtime import Runtime
from subnet.devnet.scale import Reader, ScaleError
from subnet.devnet.session import Session
from subnet.devnet.state import Store
from subnet.errors import DevnetError
from tests.devnet.sockets import WAIT, Socket, post

ALICE, BOB = Keypair.create_from_uri("//Alice"), Keypair.create_from_uri("//Bob")
Sign = Callable[..., bytes]


@pytest.fixture
def node() -> Iterator[Devnet]:
    with devnet(block_time=0.02) as found:
        yield found


@pytest.fixture
async def client(node: Devnet) -> AsyncIterator[Socket]:
    async with aiohttp.ClientSession() as session, session.ws_connect(node.url) as opened:
        yield Socket(opened)


async def more_blocks(client: Socket, count: int = 3) -> None:
    """The chain goes on: so many more blocks, heard of over a socket."""
    heads = await client.ask("chain_subscribeNewHeads")
    for _ in range(count + 1):
        await client.hear(heads)
    await client.ask("chain_unsubscribeNewHeads", heads)


# every method, any parameters
WORDS = ["0x", "0x00", "", "zz", "instant", "count", "timestamps", "0x" + "00" * 32, ALICE.ss58_address, "Core_version"]
KEYS = [to_hex(System.Account.key(ALICE.public_key)), to_hex(System.Number.key()), to_hex(System.Account.prefix)]
SCALARS = (
    st.none()
    | st.booleans()
    | st.sampled_from([*WORDS, *KEYS])
    | st.text(max_size=8)
    | st.binary(max_size=40).map(to_hex)
    | st.integers(-2, 3)
    | st.sampled_from([2**31, 2**32, 2**63, 2**64, -(2**70), 10**400])
    | st.floats(allow_nan=False, allow_infinity=False)
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["count", "timestamps", "mode", "x"]), inner, max_size=2)
    ),
    max_leaves=6,
)


def manual_node() -> Node:
    return Node(Chain(Store(None), Spec(), DEVELOPMENT, 10**15), production="manual")


@pytest.mark.parametrize("name", sorted(METHODS))
def test_any_parameters_are_answered_or_refused(name: str, caplog: pytest.LogCaptureFixture) -> None:
    node = manual_node()
    session = Session(node, lambda message: True, lambda: None)

    async def ask(params: list[Any]) -> Any:
        request = json.dumps({"jsonrpc": "2.0", "id": 1, "method": name, "params": params})
        answered = await answer(request, partial(methods.call, session))
        assert answered is not None
        text, afters = answered
        for after in afters:
            after()
        return json.loads(text)

    with asyncio.Runner() as runner:

        @settings(max_examples=40)
        @given(st.lists(JSON, max_size=4))
        def ask_anything(params: list[Any]) -> None:
            found = runner.run(ask(params))
            assert found.get("error", {}).get("code") != INTERNAL
            session.unsubscribe(found.get("result"))

        ask_anything()
    assert node.produce().number == node.chain.head.number  # and it still makes blocks
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    node.chain.store.close()


# any call, properly signed
def drawn_call(runtime: Runtime, raw: bytes) -> Call | None:
    """The call that these bytes begin with."""
    from subnet.devnet.pallets.utility import RUNTIME_CALL

    try:
        return RUNTIME_CALL.read(Reader(raw))
    except (ScaleError, RecursionError):
        return None


def test_any_call_is_run_or_refused(signed: Sign, caplog: pytest.LogCaptureFixture) -> None:
    """Calls made of random bytes, with good signatures: no check and no dispatch may break on one."""
    from subnet.devnet.rpc import RpcError

    node = manual_node()
    chain = node.chain
    indexes = [(pallet.index, index) for pallet in chain.runtime.pallets for index in pallet.calls]
    ran = set()

    @settings(max_examples=600)
    @given(st.sampled_from(indexes), st.binary(max_size=30), st.sampled_from([0, 1, 255]), st.booleans())
    def run(index: tuple[int, int], some: bytes, fill: int, root: bool) -> None:
        call = drawn_call(chain.runtime, bytes(index) + some + bytes([fill]) * 200)
        if call is None:
            return
        if root:
            call = chain.runtime.call("Sudo", "sudo", call=call)
        signer = ALICE if root else BOB
        raw = signed(chain, signer, call, node.pool.next_nonce(signer.public_key))
        with contextlib.suppress(RpcError):
            node.pool.submit(raw)
            ran.add(index)
        node.produce()

    run()
    assert len(ran) > len(indexes) / 4
    assert not [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    chain.store.close()


# floods
async def test_bad_extrinsics_do_not_stop_blocks(node: Devnet, client: Socket, signed: Sign) -> None:
    """Four clients send rubbish as fast as they are answered; good transfers go through meanwhile."""
    chain = node.node.chain
    remark = chain.runtime.call("System", "remark", remark=b"x")
    poor = Keypair.create_from_uri("//Poor")
    bad = [
        to_hex(os.urandom(120)),
        to_hex(signed(chain, ALICE, remark, 0)[:-1] + b"y"),
        to_hex(signed(chain, ALICE, remark, 10**6)),
        to_hex(signed(chain, ALICE, remark, 0, spec_version=1)),
        to_hex(signed(chain, ALICE, remark, 0, genesis=b"\1" * 32)),
        to_hex(signed(chain, poor, remark, 0)),
        "0x" + "ff" * 1000,
    ]
    batch = json.dumps(
        [{"id": i, "method": "author_submitExtrinsic", "params": [one]} for i, one in enumerate(bad * 9)]
    )
    refused, ended = 0, asyncio.Event()

    async def flood() -> None:
        nonlocal refused
        async with aiohttp.ClientSession() as session, session.ws_connect(node.url) as opened:
            while not ended.is_set():
                await opened.send_str(batch)
                answers = json.loads(await opened.receive_str())
                assert all(one["error"]["code"] in (1002, 1010) for one in answers)
                refused += len(answers)

    floods = [asyncio.ensure_future(flood()) for _ in range(4)]
    try:
        for nonce in range(5):
            raw = to_hex(signed(chain, ALICE, remark, nonce))
            watched = await client.ask("author_submitAndWatchExtrinsic", raw)
            while "finalized" not in await client.hear(watched):
                pass
        await more_blocks(client, 10)
    finally:
        ended.set()
        await asyncio.gather(*floods)
    assert refused >= 4 * len(bad) * 9
    assert len(node.node.pool) == 0


async def test_what_waits_for_nothing_makes_room(
    node: Devnet, client: Socket, signed: Sign, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pool full of extrinsics whose nonces are too high, as anybody may send, takes the next good one."""
    monkeypatch.setattr(pools, "MAX_COUNT", 20)
    chain = node.node.chain
    remark = chain.runtime.call("System", "remark", remark=b"x")
    early = [
        await client.ask("author_submitAndWatchExtrinsic", to_hex(signed(chain, BOB, remark, nonce)))
        for nonce in range(1, 21)
    ]
    full = await client.ask("author_submitExtrinsic", to_hex(signed(chain, BOB, remark, 22)))
    assert full["code"] == 1016
    good = await client.ask("author_submitAndWatchExtrinsic", to_hex(signed(chain, ALICE, remark, 0)))
    while "finalized" not in await client.hear(good):
        pass
    for one in early:
        assert [await client.hear(one) for _ in range(2)] == ["future", "dropped"]
    assert await client.ask("author_pendingExtrinsics") == []


async def test_a_full_disk_ends_the_chain_and_says_so(
    node: Devnet, client: Socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any) -> None:
        raise DevnetError("can't write block 7: database or disk is full", remedy="Free disk space.")

    node.set_production("manual")
    head = await client.ask("chain_getHead")
    monkeypatch.setattr(node.node.chain.store, "commit", full)
    found = await client.ask("dev_newBlock")
    assert found["code"] == -32000
    assert found["data"] == "Free disk space."
    assert node.node.chain.head.hash == bytes.fromhex(head[2:])
    assert isinstance(node.node.failure, DevnetError)
    async with asyncio.timeout(WAIT):
        while not client.socket.closed:  # the node has ended
            with contextlib.suppress(TypeError):
                await client.socket.receive_str()


BOMBS = {
    "deep arrays": "[" * 200_000,
    "deep objects": '{"a":' * 100_000 + "1" + "}" * 100_000,
    "a huge number": '{"id":1,"method":"dev_newBlock","params":[' + "9" * 1_000_000 + "]}",
    "a huge exponent": '{"id":1,"method":"dev_increaseTime","params":[1e' + "9" * 1000 + "]}",
    "a huge id": '{"id":"' + "i" * 3_000_000 + '","method":"x"}',
    "a huge method": '{"id":1,"method":"' + "m" * 3_000_000 + '"}',
    "a batch of nothing": "[" + "0," * 1_000_000 + "0]",
    "many keys": "{" + ",".join(f'"{i}":{i}' for i in range(200_000)) + "}",
    "broken text": '{"id":1,"method":"\\ud800"}',
    "no JSON": "\x00" * 1000,
}


@pytest.mark.parametrize("name", BOMBS)
async def test_bombs_are_refused(node: Devnet, client: Socket, name: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        async with aiohttp.ClientSession() as session, session.ws_connect(node.url, max_msg_size=0) as opened:
            await opened.send_str(BOMBS[name])
            reply = json.loads(await opened.receive_str(timeout=WAIT))
        status, posted = await post(node, BOMBS[name])
        assert status == 200
        for found in (reply, posted):
            assert found["error"]["code"] in (PARSE_ERROR, -32600, -32601, -32602, -32000)
        await more_blocks(client, 1)
    assert not [record for record in caplog.records if record.name.startswith("subnet")]


async def test_a_batch_leaves_time_for_others(node: Devnet, client: Socket) -> None:
    """A batch of heavy questions: blocks come while it is answered."""
    keys = [f"0x{number:04x}" for number in range(9_000)]
    await client.ask("dev_newBlock", {"count": 2})
    old = await client.ask("chain_getBlockHash", 1)
    batch = [{"id": i, "method": "state_queryStorageAt", "params": [keys, old]} for i in range(30)]
    before = node.node.chain.head.number
    status, answers = await post(node, json.dumps(batch))
    assert status == 200
    assert len(answers) == 30
    assert node.node.chain.head.number > before


def dial(node: Devnet, receives: int | None = None) -> socket.socket:
    """A connection to the node; the system keeps so many bytes for it that nobody has read."""
    opened = socket.socket()
    opened.settimeout(WAIT)
    if receives is not None:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
    opened.connect(("127.0.0.1", int(node.url.rsplit(":", 1)[1])))
    return opened


async def test_crowds_take_turns(node: Devnet, client: Socket) -> None:
    """Silent connections, far more than there are places, displace each other and nobody who speaks."""
    await client.ask("system_chain")
    crowd = [dial(node) for _ in range(servers.MAX_CONNECTIONS + 50)]
    try:
        await more_blocks(client)
        assert (await post(node, '{"id":1,"method":"system_chain"}'))[1]["result"] == "subnet devnet"
    finally:
        for one in crowd:
            one.close()


def deaf_websocket(node: Devnet, text: bytes) -> socket.socket:
    """A websocket that sends one message and reads nothing more."""
    opened = dial(node, receives=65536)  # else it is the system's settings that say how much is left to the node
    opened.sendall(
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    assert b"101" in opened.recv(4096)
    opened.sendall(b"\x81\xfe" + len(text).to_bytes(2, "big") + bytes(4) + text)  # masked with zeros
    return opened


async def test_what_nobody_reads_is_bounded(node: Devnet, client: Socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that ask for megabytes and read none are cut off, once all together leave too much; others are not."""
    monkeypatch.setattr(servers, "MAX_UNREAD", 32 * 1024 * 1024)
    batch = json.dumps([{"id": i, "method": "state_getMetadata", "params": []} for i in range(60)]).encode()
    size = 60 * len(await client.ask("state_getMetadata"))
    needed = servers.MAX_UNREAD // size + 2
    deaf = [await asyncio.to_thread(deaf_websocket, node, batch) for _ in range(needed)]
    try:
        async with asyncio.timeout(WAIT):
            while len(node.node.sessions) > needed:  # with the one that reads: one was cut at least
                await asyncio.sleep(0.01)
        await more_blocks(client)
        assert await client.ask("system_chain") == "subnet devnet"
    finally:
        for one in deaf:
            one.close()


async def test_a_body_that_does_not_come_is_not_waited_for(node: Devnet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "BODY_TIMEOUT", 0.05)

    def trickle() -> bytes:
        with dial(node) as opened:
            opened.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
            return opened.recv(100)

    assert b" 408 " in await asyncio.to_thread(trickle)


def test_subscriptions_of_many_keys_are_bounded() -> None:
    from subnet.devnet import session as sessions
    from subnet.devnet.rpc import RpcError

    node = manual_node()
    session = Session(node, lambda message: True, lambda: None)
    keys = [number.to_bytes(4, "big") for number in range(10_000)]
    for _ in range(sessions.MAX_WATCHED_KEYS // len(keys)):
        session.subscribe_storage(keys)
    with pytest.raises(RpcError, match="Too many keys"):
        session.subscribe_storage([b"one more"])
    node.chain.store.close()
