"""JSON-RPC under a deadline, against nodes that hang, drip, lie and die."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from chain_peers import GENESIS, Hang, HangUp, Raw, Refuse, peer, polite, tcp, until

from subnet.chain import transport as module
from subnet.chain.transport import Transport
from subnet.errors import ChainMalformed, ChainRefused, ChainTimeout, ChainUnreachable, ConfigError


@pytest.fixture
def closing() -> Iterator[Callable[[str], Transport]]:
    """A transport that is closed at the end of the test."""
    made: list[Transport] = []

    def make(url: str) -> Transport:
        made.append(Transport(url))
        return made[-1]

    yield make
    for transport in made:
        transport.close()


async def call(transport: Transport, *methods: str, seconds: float = 60.0) -> list[Any]:
    """Blocking as the owner thread would, in a thread of its own."""

    def work() -> list[Any]:
        transport.deadline = time.monotonic() + seconds
        if not transport.is_open:
            transport.open()
        return transport.calls([(method, []) for method in methods])

    return await asyncio.to_thread(work)


@pytest.mark.parametrize("endpoint", ["http://x", "127.0.0.1:9944", "ws://", "ws://host:port", ""])
def test_what_is_no_websocket_url_is_a_config_error(endpoint: str) -> None:
    with pytest.raises(ConfigError, match="no websocket endpoint"):
        Transport(endpoint)


async def test_nobody_listens(closing: Callable[[str], Transport]) -> None:
    with pytest.raises(ChainUnreachable):
        await call(closing("ws://127.0.0.1:1"), "chain_getBlockHash")


async def test_calls_are_pipelined_and_answered_in_order(closing: Callable[[str], Transport]) -> None:
    first = asyncio.Event()

    async def slow_first(method: str, params: list[Any]) -> str:
        first.set()
        return method

    async with peer(slow_first) as node:
        assert await call(closing(node.url), "a", "b", "c") == ["a", "b", "c"]
        assert node.connections == 1


async def test_a_refusal_is_typed_and_leaves_the_connection_usable(closing: Callable[[str], Transport]) -> None:
    def script(method: str, params: list[Any]) -> Any:
        if method == "bad":
            raise Refuse(1010, "Invalid Transaction", "Custom error: 12")
        return polite(method, params)

    async with peer(script) as node:
        transport = closing(node.url)
        with pytest.raises(ChainRefused, match="Custom error: 12") as caught:
            await call(transport, "bad", "chain_getBlockHash")
        assert caught.value.rpc_code == 1010
        assert await call(transport, "chain_getBlockHash") == [GENESIS]
        assert node.connections == 1


async def test_a_hanging_node_ends_at_the_deadline_and_the_socket_is_dropped(
    closing: Callable[[str], Transport],
) -> None:
    def hang(method: str, params: list[Any]) -> Any:
        raise Hang

    async with peer(hang) as node:
        transport = closing(node.url)
        with pytest.raises(ChainTimeout):
            await call(transport, "chain_getBlockHash", seconds=0.3)
        assert not transport.is_open


async def test_a_handshake_that_never_ends_is_a_timeout(closing: Callable[[str], Transport]) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nX-Slow: ")
        while True:  # each byte would start a per-operation timeout afresh
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with tcp(drip) as url:
        with pytest.raises(ChainTimeout):
            await call(closing(url), "chain_getBlockHash", seconds=0.4)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 404 Not Found\r\n\r\n",
        b"HTTP/1.1 301 Moved\r\nLocation: ws://127.0.0.1:1/\r\n\r\n",
        b"\x00\xff garbage\r\n\r\n",
        b"",
    ],
    ids=["404", "redirect", "garbage", "hang-up"],
)
async def test_what_is_no_websocket_is_unreachable(closing: Callable[[str], Transport], answer: bytes) -> None:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    async with tcp(behave) as url:
        with pytest.raises(ChainUnreachable):
            await call(closing(url), "chain_getBlockHash")


@pytest.mark.parametrize(
    "text", ["not json", "[1, 2]", '"text"', '{"id": $id, "result": ' + "[" * 100_000, '{"id":' + "9" * 5000 + "}"]
)
async def test_garbage_is_malformed(closing: Callable[[str], Transport], text: str) -> None:
    def script(method: str, params: list[Any]) -> Any:
        raise Raw(text)

    async with peer(script) as node:
        transport = closing(node.url)
        with pytest.raises(ChainMalformed):
            await call(transport, "chain_getBlockHash")
        assert not transport.is_open


async def test_answers_to_other_questions_are_ignored(closing: Callable[[str], Transport]) -> None:
    strays = ['{"id": 99999, "result": "late"}', '{"method": "push", "params": {}}', '{"id": null}']

    def script(method: str, params: list[Any]) -> Any:
        raise Raw(*strays, '{"id": $id, "result": "ours"}', *strays)

    async with peer(script) as node:
        transport = closing(node.url)
        for _ in range(2):
            assert await call(transport, "chain_getBlockHash") == ["ours"]
        assert node.connections == 1


async def test_a_message_over_the_cap_is_refused_as_it_streams(
    closing: Callable[[str], Transport], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_MESSAGE", 1_000_000)

    def script(method: str, params: list[Any]) -> Any:
        return "0" * (900_000 if method == "fits" else 1_100_000)

    async with peer(script) as node:
        transport = closing(node.url)
        (fits,) = await call(transport, "fits")
        assert len(fits) == 900_000
        (again,) = await call(transport, "fits")  # the cap is for one message, not for the connection
        assert again == fits
        with pytest.raises(ChainMalformed, match="1000000 bytes"):
            await call(transport, "too much")


async def test_a_batch_s_answers_have_a_cap_together(
    closing: Callable[[str], Transport], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hundreds of answers, each below the cap of one, would fill the memory."""
    monkeypatch.setattr(module, "MAX_EXCHANGE", 1_000_000)
    monkeypatch.setattr(module, "MAX_VALUES", 10_000)

    def script(method: str, params: list[Any]) -> Any:
        return "0" * 400_000 if method == "long" else [0] * 4_000

    async with peer(script) as node:
        transport = closing(node.url)
        for _ in range(3):  # the caps are for one batch
            assert len(await call(transport, "long", "long")) == 2
            assert len(await call(transport, "many", "many")) == 2
        with pytest.raises(ChainMalformed, match="1000000 bytes"):
            await call(transport, "long", "long", "long")
        with pytest.raises(ChainMalformed, match="10000 values"):
            await call(transport, "many", "many", "many")


async def test_a_hang_up_in_the_middle_is_unreachable_and_the_next_call_can_reconnect(
    closing: Callable[[str], Transport],
) -> None:
    dying = [True]

    def script(method: str, params: list[Any]) -> Any:
        if dying.pop() if dying else False:
            raise HangUp
        return polite(method, params)

    async with peer(script) as node:
        transport = closing(node.url)
        with pytest.raises(ChainUnreachable):
            await call(transport, "chain_getBlockHash")
        assert await call(transport, "chain_getBlockHash") == [GENESIS]
        assert node.connections == 2


async def test_close_wakes_a_thread_that_waits(closing: Callable[[str], Transport]) -> None:
    waiting = threading.Event()

    def script(method: str, params: list[Any]) -> Any:
        waiting.set()
        raise Hang

    async with peer(script) as node:
        transport = closing(node.url)
        task = asyncio.create_task(call(transport, "chain_getBlockHash", seconds=60.0))
        await until(waiting.is_set)
        transport.close()
        with pytest.raises(ChainUnreachable):
            await asyncio.wait_for(task, 60)


def test_subscriptions_are_refused() -> None:
    from subnet.errors import ChainError

    with pytest.raises(ChainError, match="poll"):
        Transport("ws://127.0.0.1:1").rpc_request({"method": "x", "params": []}, result_handler=print)
