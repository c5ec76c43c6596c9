"""The node's sockets: real websockets and POSTs against a node in this process."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from substrateinterface import Keypair

from subnet.devnet import Devnet, devnet, rpc
from subnet.devnet import server as servers
from subnet.devnet.methods import METHODS, state
from subnet.devnet.pallets.subtensor import SubtensorModule
from subnet.devnet.pallets.system import System, Timestamp
from subnet.devnet.rpc import to_hex
from subnet.devnet.session import MAX_SUBSCRIPTIONS
from subnet.errors import DevnetError
from tests.devnet.sockets import WAIT, Socket, post

ALICE = Keypair.create_from_uri("//Alice")
Sign = Callable[..., bytes]


@pytest.fixture(scope="module")
def node() -> Iterator[Devnet]:
    """Blocks only on demand, so that nothing here depends on time."""
    with devnet(production="manual") as found:
        yield found


@pytest.fixture
async def socket(node: Devnet) -> AsyncIterator[Socket]:
    async with aiohttp.ClientSession() as session, session.ws_connect(node.url) as opened:
        yield Socket(opened)


async def test_what_a_client_asks_on_connecting(socket: Socket, node: Devnet) -> None:
    assert await socket.ask("chain_getBlockHash", 0) == node.genesis_hash
    assert (await socket.ask("state_getRuntimeVersion"))["specName"] == "node-subtensor"
    assert (await socket.ask("rpc_methods"))["methods"] == sorted(METHODS)
    assert (await socket.ask("state_getMetadata")).startswith("0x6d6574610e")
    assert await socket.ask("system_properties") == {"ss58Format": 42, "tokenDecimals": 9, "tokenSymbol": "TAO"}
    for name in ("system_chain", "system_name", "system_version", "system_health", "system_chainType", "system_peers"):
        assert "code" not in (await socket.ask(name) or {})


async def test_unknown_methods_and_apis_are_named(socket: Socket) -> None:
    error = await socket.ask("babe_epochAuthorship")
    assert error == {"code": -32601, "message": "Method not found: babe_epochAuthorship"}
    error = await socket.ask("state_call", "BabeApi_configuration", "0x")
    assert "Exported method BabeApi_configuration is not found" in error["message"]
    error = await socket.ask("state_call", "AccountNonceApi_account_nonce", "0x01")
    assert "can't decode" in error["message"]


async def test_storage_at_any_block_with_and_without_0x(socket: Socket) -> None:
    await socket.ask("dev_newBlock", {"count": 3})
    head = await socket.ask("chain_getHead")
    old = await socket.ask("chain_getBlockHash", 1)
    key = to_hex(System.Number.key())
    number = int((await socket.ask("chain_getHeader", head))["number"], 16)
    assert await socket.ask("state_getStorage", key, old) == "0x01000000"
    assert await socket.ask("state_getStorageAt", key[2:], old[2:]) == "0x01000000"
    assert await socket.ask("state_getStorage", key) == to_hex(number.to_bytes(4, "little"))
    (row,) = await socket.ask("state_queryStorageAt", [key, "0x1234"], old)
    assert row == {"block": old, "changes": [[key, "0x01000000"], ["0x1234", None]]}
    assert await socket.ask("state_getStorageSize", key) == 4
    assert len(await socket.ask("state_getStorageHash", key)) == 66
    accounts = to_hex(System.Account.prefix)
    first = await socket.ask("state_getKeysPaged", accounts, 4, None, old)
    rest = await socket.ask("state_getKeysPaged", accounts, 4, first[-1], old)
    assert len(first + rest) == 6
    assert await socket.ask("chain_getBlockHash", [0, "0x1", 10**9]) == [
        await socket.ask("chain_getBlockHash", 0),
        old,
        None,
    ]


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("chain_getBlockHash", ["zz"]),
        ("chain_getBlockHash", [-1]),
        ("chain_getBlockHash", [{}]),
        ("chain_getBlockHash", [[[0]]]),
        ("account_nextIndex", ["0x00"]),
        ("account_nextIndex", ["0x" + "00" * 33]),
        ("dev_setStorage", [[[to_hex(Timestamp.Now.key()), "0x01"]]]),
        ("dev_setStorage", [[[to_hex(System.Account.key(ALICE.public_key)), "0x"]]]),
        ("dev_setStorage", [[[to_hex(SubtensorModule.NetworksAdded.prefix + b"\1"), "0x01"]]]),
        ("dev_setStorage", [[[to_hex(SubtensorModule.NetworksAdded.key(1) + b"\0"), "0x01"]]]),
        ("dev_setStorage", [[[to_hex(System.Account.prefix + bytes(48)), "0x" + "00" * 80]]]),
        ("chain_getBlock", ["0x12"]),
        ("chain_getBlock", [7, 7]),
        ("state_getStorage", []),
        ("state_getStorage", ["0xz"]),
        ("state_queryStorageAt", ["0x12"]),
        ("state_queryStorageAt", [["0x12"] * 10_001]),
        ("state_getKeysPaged", ["0x", "many"]),
        ("state_getKeysPaged", ["0x", 1001]),
        ("state_getStorage", ["0x12", "0x" + "ab" * 32]),
        ("state_subscribeStorage", []),
        ("state_call", [5, "0x"]),
        ("author_submitExtrinsic", ["0x00"]),
        ("author_submitExtrinsic", [None]),
        ("author_submitAndWatchExtrinsic", ["0x" + "ff" * 100]),
        ("system_accountNextIndex", ["nobody"]),
        ("system_accountNextIndex", [5]),
        ("dev_newBlock", [{"count": 0}]),
        ("dev_newBlock", [{"count": 10**9}]),
        ("dev_setStorage", [[["0x12"]]]),
        ("dev_setStorage", [{}]),
    ],
)
async def test_parameters_that_do_not_fit(socket: Socket, method: str, params: list[Any]) -> None:
    assert "code" in await socket.ask(method, *params)


async def test_an_unknown_block_is_null_or_an_error(socket: Socket) -> None:
    missing = "0x" + "cd" * 32
    assert await socket.ask("chain_getHeader", missing) is None
    assert await socket.ask("chain_getBlock", missing) is None
    assert "UnknownBlock" in (await socket.ask("state_getMetadata", missing))["message"]


async def test_heads_are_announced(socket: Socket) -> None:
    new = await socket.ask("chain_subscribeNewHeads")
    final = await socket.ask("chain_subscribeFinalizedHeads")
    first = await socket.hear(new)
    await socket.ask("dev_newBlock")
    second = await socket.hear(new)
    assert int(second["number"], 16) == int(first["number"], 16) + 1
    assert second["parentHash"] == await socket.ask("chain_getBlockHash", int(first["number"], 16))
    await socket.hear(final)
    assert await socket.hear(final) == second
    assert await socket.ask("chain_unsubscribeNewHeads", new) is True
    assert await socket.ask("chain_unsubscribeNewHeads", new) is False


async def test_storage_is_watched(socket: Socket) -> None:
    key, quiet = to_hex(System.Number.key()), "0x" + "ee" * 32
    subscription = await socket.ask("state_subscribeStorage", [key, quiet])
    first = await socket.hear(subscription)
    assert [one[0] for one in first["changes"]] == [key, quiet]
    await socket.ask("dev_newBlock")
    assert [one[0] for one in (await socket.hear(subscription))["changes"]] == [key]
    block = await socket.ask("dev_setStorage", [[quiet, "0x0102"]])
    second = await socket.hear(subscription)
    assert second["block"] == block
    assert [quiet, "0x0102"] in second["changes"]
    await socket.ask("dev_setStorage", [[quiet, None]])
    assert [quiet, None] in (await socket.hear(subscription))["changes"]


async def test_an_extrinsic_is_followed_to_its_end(socket: Socket, node: Devnet, signed: Sign) -> None:
    chain = node.node.chain
    call = chain.runtime.call("Balances", "transfer_keep_alive", dest=("Id", b"\5" * 32), value=10**9)
    nonce = await socket.ask("account_nextIndex", ALICE.ss58_address)
    raw = to_hex(signed(chain, ALICE, call, nonce))
    later = await socket.ask("author_submitAndWatchExtrinsic", to_hex(signed(chain, ALICE, call, nonce + 1)))
    assert await socket.hear(later) == "future"
    subscription = await socket.ask("author_submitAndWatchExtrinsic", raw)
    assert await socket.hear(subscription) == "ready"
    assert raw in await socket.ask("author_pendingExtrinsics")
    assert await socket.ask("system_accountNextIndex", ALICE.ss58_address) == nonce + 2
    block = await socket.ask("dev_newBlock")
    for one in (subscription, later):
        assert [await socket.hear(one) for _ in range(2)] == [{"inBlock": block}, {"finalized": block}]
    assert raw in (await socket.ask("chain_getBlock", block))["block"]["extrinsics"]
    account = "0x" + ALICE.public_key.hex()
    stored = await socket.ask("state_call", "AccountNonceApi_account_nonce", account[2:])
    assert int.from_bytes(bytes.fromhex(stored[2:]), "little") == nonce + 2
    error = await socket.ask("author_submitExtrinsic", raw)
    assert error == {"code": 1010, "message": "Invalid Transaction", "data": "Transaction is outdated"}


async def test_a_replaced_extrinsic_is_usurped(socket: Socket, node: Devnet, signed: Sign) -> None:
    chain = node.node.chain
    call = chain.runtime.call("System", "remark", remark=b"x")
    nonce = await socket.ask("account_nextIndex", ALICE.ss58_address)
    first = await socket.ask("author_submitAndWatchExtrinsic", to_hex(signed(chain, ALICE, call, nonce)))
    better = await socket.ask("author_submitExtrinsic", to_hex(signed(chain, ALICE, call, nonce, tip=9)))
    assert [await socket.hear(first) for _ in range(2)] == ["ready", {"usurped": better}]
    await socket.ask("dev_newBlock")


async def test_subscriptions_are_bounded(socket: Socket) -> None:
    opened = [await socket.ask("state_subscribeRuntimeVersion") for _ in range(MAX_SUBSCRIPTIONS + 1)]
    assert "Too many subscriptions" in opened[-1]["message"]
    assert await socket.ask("state_unsubscribeRuntimeVersion", opened[0])
    assert isinstance(await socket.ask("chain_subscribeNewHeads"), str)


async def test_post_answers_but_does_not_stream(node: Devnet) -> None:
    request = {"jsonrpc": "2.0", "id": 1, "method": "system_chain", "params": []}
    assert await post(node, json.dumps(request)) == (200, {"jsonrpc": "2.0", "id": 1, "result": "subnet devnet"})
    status, reply = await post(node, json.dumps({**request, "method": "chain_subscribeNewHeads"}))
    assert (status, reply["error"]["code"]) == (200, -32601)
    assert (await post(node, b"\xff\x00"))[1]["error"]["code"] == -32700


async def test_a_browser_is_told_what_this_is(node: Devnet) -> None:
    async with aiohttp.ClientSession() as session, session.get(node.url.replace("ws", "http")) as response:
        assert "JSON-RPC" in await response.text()


async def test_rubbish_stops_nothing(node: Devnet, socket: Socket, caplog: pytest.LogCaptureFixture) -> None:
    """Garbage of every kind, over sockets that then go away; blocks go on and the log stays empty."""
    with caplog.at_level(logging.INFO):
        for rubbish in ("", "{", "[" * 5000, json.dumps([1] * 50), '{"method": "chain_getBlock", "params": [[]]}'):
            async with aiohttp.ClientSession() as session, session.ws_connect(node.url) as other:
                await other.send_str(rubbish)
                await other.send_bytes(b"\xff" * 100)
        async with aiohttp.ClientSession() as session, session.ws_connect(node.url) as other:
            with contextlib.suppress(ConnectionError):  # it need not wait for the end of it
                await other.send_str("x" * (servers.MAX_MESSAGE + 1))
            closed = await other.receive(timeout=WAIT)
            assert closed.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
        with contextlib.suppress(aiohttp.ClientError):  # nor here
            assert (await post(node, io.BytesIO(b"x" * (servers.MAX_MESSAGE + 1))))[0] == 413
        before = await socket.ask("chain_getHead")
        assert await socket.ask("dev_newBlock") != before
    assert not [record for record in caplog.records if record.name.startswith("subnet")]


async def test_a_client_that_does_not_read_is_cut_off_alone(
    node: Devnet, socket: Socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "MAX_OUTBOX", 8)
    await socket.ask("chain_getHead")  # answered, so its own session is among those before
    before = set(node.node.sessions)
    async with aiohttp.ClientSession() as session, session.ws_connect(node.url) as deaf:
        for _ in range(4):
            await deaf.send_str('{"id": 1, "method": "chain_subscribeNewHeads", "params": []}')
        await asyncio.sleep(0)
        async with asyncio.timeout(WAIT):
            while not any(len(one._heads) == 4 for one in node.node.sessions - before):
                await asyncio.sleep(0.01)
        # each block gives it four messages, while the loop has no time to send one
        asyncio.run_coroutine_threadsafe(_burst(node), node._loop).result(WAIT)
        async with asyncio.timeout(WAIT):
            while node.node.sessions - before:
                await asyncio.sleep(0.01)
    assert isinstance(await socket.ask("chain_getHead"), str)


async def _burst(node: Devnet) -> None:
    for _ in range(10):
        node.node.produce()


async def test_outbox_makes_a_fast_asker_wait() -> None:
    outbox = servers.Outbox()
    assert outbox.put("x" * (servers.HIGH_WATER + 1))
    waiting = asyncio.ensure_future(outbox.room())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    message = await outbox.get()
    assert not waiting.done()
    outbox.sent(message)
    await asyncio.wait_for(waiting, WAIT)


def test_blocks_come_by_themselves_and_at_once() -> None:
    with devnet(block_time=0.02) as found:
        number = found.node.chain.head.number
        assert found.new_blocks(3) >= number + 3
        reached = asyncio.run(_number(found, found.node.chain.head.number + 3))
        assert reached
    assert not found.node.sessions


async def _number(found: Devnet, number: int) -> bool:
    async with asyncio.timeout(WAIT):
        while found.node.chain.head.number < number:
            await asyncio.sleep(0.01)
    return True


async def test_instant_blocks(signed: Sign) -> None:
    with devnet(production="instant") as found:
        chain = found.node.chain
        call = chain.runtime.call("System", "remark", remark=b"x")
        async with aiohttp.ClientSession() as session, session.ws_connect(found.url) as opened:
            client = Socket(opened)
            for nonce in range(3):
                raw = to_hex(signed(chain, ALICE, call, nonce))
                subscription = await client.ask("author_submitAndWatchExtrinsic", raw)
                assert await client.hear(subscription) == "ready"
                assert list(await client.hear(subscription)) == ["inBlock"]
                assert chain.head.number == nonce + 1


def test_a_taken_port_is_a_typed_error(node: Devnet) -> None:
    port = int(node.url.rsplit(":", 1)[1])
    with pytest.raises(DevnetError, match="is in use") as caught, devnet(port=port):
        pass
    assert "--port" in caught.value.remedy


@pytest.mark.parametrize("options", [{"port": 70_000}, {"block_time": 0}, {"tempo": 0}, {"accounts": 0}])
def test_options_out_of_bounds(options: dict[str, Any]) -> None:
    with pytest.raises(DevnetError, match="out of bounds"), devnet(**options):
        pass


def test_the_file_outlives_the_node(tmp_path: Any) -> None:
    path = tmp_path / "chain.db"
    with devnet(production="manual", state=path) as first:
        first.new_blocks(4)
        head, genesis = first.node.chain.head.hash, first.genesis_hash
        with pytest.raises(DevnetError, match="another node holds"), devnet(state=path):
            pass
    with devnet(production="manual", state=path) as second:
        assert (second.node.chain.head.hash, second.genesis_hash) == (head, genesis)


async def test_a_value_asked_for_many_times_is_sent_once(
    node: Devnet, socket: Socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "0x" + "77" * 40
    await socket.ask("dev_setStorage", [[key, "0x" + "ab" * 1000]])
    (found,) = await socket.ask("state_queryStorageAt", [key] * 2000)
    assert found["changes"] == [[key, "0x" + "ab" * 1000]]
    monkeypatch.setattr(state, "MAX_ANSWER", 500)
    assert (await socket.ask("state_queryStorageAt", [key]))["code"] == -32602


async def test_a_batch_stops_where_its_answer_grows_too_long(node: Devnet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc, "MAX_ANSWER", 10_000)
    ask = {"jsonrpc": "2.0", "method": "state_getMetadata", "params": []}
    _, answers = await post(node, json.dumps([ask | {"id": i} for i in range(5)]))
    assert [a["id"] for a in answers] == [0, 1, 2, 3, 4]
    assert ["result" in a for a in answers] == [True, False, False, False, False]


async def test_a_clock_at_its_end_does_not_stop_the_chain() -> None:
    with devnet(production="manual") as node:
        async with aiohttp.ClientSession() as session, session.ws_connect(node.url) as opened:
            await Socket(opened).ask("dev_setStorage", [[to_hex(Timestamp.Now.key()), "0x" + "ff" * 8]])
        before = node.new_blocks(1)
        assert node.new_blocks(1) == before + 1


def test_a_damaged_state_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "chain.sqlite"
    with devnet(production="manual", state=path) as node:
        node.new_blocks(3)
    data = bytearray(path.read_bytes())
    for page in range(4096, len(data), 4096):
        data[page : page + 64] = b"\xee" * 64
    path.write_bytes(data)
    with pytest.raises(DevnetError, match="chain's state"), devnet(production="manual", state=path):
        pass


@pytest.mark.parametrize(
    "origin", ["http://localhost:3000", "https://127.0.0.1", "http://[::1]:80", servers.TRUSTED_ORIGINS[0]]
)
async def test_web_pages_of_this_machine_are_answered(node: Devnet, origin: str) -> None:
    async with aiohttp.ClientSession(headers={"Origin": origin}) as session, session.ws_connect(node.url) as opened:
        assert await Socket(opened).ask("system_chain") == "subnet devnet"


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://localhost.evil.example",
        "http://localhost@evil.example",
        "https://polkadot.js.org.evil.example",
        "null",
        "",
        "http://[::1",
        "http://evil.example:PORT",
    ],
)
async def test_other_web_pages_are_refused(node: Devnet, origin: str) -> None:
    """Any page in a browser can reach a loopback port, by a name of its own too."""
    port, head = node.url.rsplit(":", 1)[1], node.node.chain.head
    headers = {"Origin": origin.replace("PORT", port), "Host": f"evil.example:{port}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            await session.ws_connect(node.url)
        body = b'{"id":1,"method":"dev_newBlock"}'
        async with session.post(node.url.replace("ws", "http"), data=body) as answered:
            assert answered.status == 403
            assert "localhost" in await answered.text()
    assert node.node.chain.head is head


def test_beyond_loopback_a_node_s_own_name_is_an_origin(node: Devnet) -> None:
    server = servers.Server(node.node, "0.0.0.0", 0)
    assert server._may_ask("http://chain:9944", "chain:9944")
    assert not server._may_ask("https://evil.example", "chain:9944")
    assert not servers.Server(node.node, "127.0.0.1", 0)._may_ask("http://chain:9944", "chain:9944")
