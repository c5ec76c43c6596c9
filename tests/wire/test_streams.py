"""Streamed replies over real sockets: in order, proved at the end, held by a slow reader, ended by one that leaves."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from substrateinterface import Keypair

from subnet import codec
from subnet.admission import Limits
from subnet.axon import Axon
from subnet.dendrite import Dendrite, Reason
from subnet.errors import Busy, DeclarationError, NotPermitted, StreamFailed, TooMuch
from subnet.frames import CHUNK, CONTENT_TYPE, END, ERROR, frame
from subnet.receipts import Receipt
from subnet.routes import route
from subnet.streams import TURN
from subnet.synapse import Message, Synapse, declaration
from subnet.types import AxonInfo, Hotkey, Netuid, Neuron, Uid
from tests.waiting import dead_port

MINER = Keypair.create_from_uri("//Miner")
CALLER = Keypair.create_from_uri("//Caller")


class Token(Message):
    text: str


class Generate(Synapse[Token], stream=True, timeout=60.0, max_chunk=300_000, max_reply=1 << 30):
    count: int = 3


class Hasty(Generate, chunk_timeout=0.05):
    pass


def neuron(port: int) -> Neuron:
    return Neuron(Uid(0), Hotkey(MINER.ss58_address), axon=AxonInfo("127.0.0.1", port))


@pytest.fixture
async def dendrite() -> AsyncIterator[Dendrite]:
    async with Dendrite(CALLER, netuid=Netuid(2)) as dendrite:
        yield dendrite


Serve = Callable[..., Awaitable[Neuron]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    axons = []

    async def start(handler: Callable[..., Any], **options: Any) -> Neuron:
        axon = Axon(MINER, netuid=Netuid(2), **options)
        axon.serve(handler)
        await axon.start()
        axons.append(axon)
        return neuron(axon.port)

    yield start
    for axon in axons:
        await axon.stop()


async def read(
    dendrite: Dendrite, peer: Neuron, request: Generate | None = None, **deadlines: float
) -> tuple[list[str], Receipt | None]:
    async with dendrite.stream(peer, request or Generate(), **deadlines) as tokens:
        texts = [token.text async for token in tokens]
    return texts, tokens.receipt


async def test_messages_come_in_order_and_the_receipt_covers_them_all(dendrite: Dendrite, serve: Serve) -> None:
    async def generate(request: Generate) -> AsyncIterator[Token]:
        for i in range(request.count):
            yield Token(text=str(i))

    peer = await serve(generate)
    for count in (0, 1, 300):
        texts, receipt = await read(dendrite, peer, Generate(count=count))
        assert texts == [str(i) for i in range(count)]
        assert receipt is not None
        Receipt.from_bytes(receipt.to_bytes()).verify()
        assert receipt.path == "/Generate"


async def test_a_plain_generator_runs_in_threads(dendrite: Dendrite, serve: Serve) -> None:
    closed = threading.Event()

    def generate(request: Generate) -> Iterator[Token]:
        try:
            for i in range(10_000):
                yield Token(text=str(i))
        finally:
            closed.set()

    peer = await serve(generate, limits=Limits(running=1))
    async with dendrite.stream(peer, Generate()) as tokens:
        assert (await anext(tokens)).text == "0"
    async with asyncio.timeout(60):
        assert await asyncio.to_thread(closed.wait, 60)
        async with dendrite.stream(peer, Generate()) as tokens:  # the slot came back
            assert (await anext(tokens)).text == "0"


async def test_a_refusal_before_the_first_message_is_an_ordinary_one(dendrite: Dendrite, serve: Serve) -> None:
    async def generate(request: Generate) -> AsyncIterator[Token]:
        if request.count == 1:
            raise Busy("later", retry_after=7)
        if request.count == 2:
            raise TooMuch("9 tokens at most")
        raise NotPermitted("not you")
        yield Token(text="")

    peer = await serve(generate)
    with pytest.raises(StreamFailed) as refused:
        await read(dendrite, peer)
    assert (refused.value.failure.reason, refused.value.failure.code) == (Reason.REFUSED, "wire.not-permitted")
    with pytest.raises(StreamFailed) as busy:
        await read(dendrite, peer, Generate(count=1))
    assert (busy.value.failure.reason, busy.value.failure.retry_after) == (Reason.BUSY, 7.0)
    with pytest.raises(StreamFailed, match="9 tokens at most") as too_much:
        await read(dendrite, peer, Generate(count=2))
    assert (too_much.value.failure.reason, too_much.value.failure.code) == (Reason.REFUSED, "wire.too-much")


async def test_an_error_half_way_ends_it_and_what_came_before_stands(dendrite: Dendrite, serve: Serve) -> None:
    async def generate(request: Generate) -> AsyncIterator[Token]:
        yield Token(text="good")
        raise ZeroDivisionError

    peer = await serve(generate)
    tokens = dendrite.stream(peer, Generate())
    async with tokens:
        assert (await anext(tokens)).text == "good"
        with pytest.raises(StreamFailed) as failed:
            await anext(tokens)
    assert failed.value.failure.code == "wire.handler-failed"
    assert "ZeroDivision" not in failed.value.failure.message
    assert tokens.receipt is not None  # that it failed is signed too


async def test_the_miner_is_held_by_a_reader_that_does_not_read(dendrite: Dendrite, serve: Serve) -> None:
    made = 0

    async def generate(request: Generate) -> AsyncIterator[Token]:
        nonlocal made
        for _ in range(request.count):
            made += 1
            yield Token(text="x" * 250_000)

    peer = await serve(generate)
    async with dendrite.stream(peer, Generate(count=4000)) as tokens:
        await anext(tokens)
        before = -1
        while made != before:  # until it moves no more
            before = made
            await asyncio.sleep(0.2)
        assert made < 4000  # a gigabyte would fit into no buffer of a socket, however its system is tuned
        for _ in range(made):
            await anext(tokens)
        assert made > before  # and it goes on as the reader does


async def test_a_reader_that_leaves_stops_the_miner(dendrite: Dendrite, serve: Serve) -> None:
    stopped = asyncio.Event()

    async def generate(request: Generate) -> AsyncIterator[Token]:
        try:
            yield Token(text="first")
            await asyncio.Event().wait()  # computes for ever
            yield Token(text="never")
        finally:
            stopped.set()

    peer = await serve(generate)

    async def consume() -> None:
        async with dendrite.stream(peer, Generate()) as tokens:
            async for _ in tokens:
                got_one.set()

    got_one = asyncio.Event()
    consumer = asyncio.create_task(consume())
    async with asyncio.timeout(60):
        await got_one.wait()
        consumer.cancel()
        await stopped.wait()
    with pytest.raises(asyncio.CancelledError):
        await consumer


async def test_a_reader_that_held_the_miner_and_leaves_stops_it(dendrite: Dendrite, serve: Serve) -> None:
    """It waits in a write that will never go through, not in its own code; the miner stops there as well."""
    stopped, made = asyncio.Event(), 0

    async def generate(request: Generate) -> AsyncIterator[Token]:
        nonlocal made
        try:
            while True:
                made += 1
                yield Token(text="x" * 250_000)
        finally:
            stopped.set()

    peer = await serve(generate)
    async with asyncio.timeout(60):
        async with dendrite.stream(peer, Generate()) as tokens:
            await anext(tokens)
            before = -1
            while made != before:
                before = made
                await asyncio.sleep(0.2)
        await stopped.wait()
    assert made <= before + 1


async def test_a_miner_that_stops_talking_is_a_timeout(dendrite: Dendrite, serve: Serve) -> None:
    async def generate(request: Hasty) -> AsyncIterator[Token]:
        yield Token(text="first")
        await asyncio.Event().wait()

    peer = await serve(generate)
    with pytest.raises(StreamFailed) as failed:
        await read(dendrite, peer, Hasty())
    assert failed.value.failure.reason is Reason.TIMEOUT


async def test_the_asker_s_own_deadlines_hold(dendrite: Dendrite, serve: Serve) -> None:
    async def generate(request: Generate) -> AsyncIterator[Token]:
        yield Token(text="first")
        await asyncio.Event().wait()

    peer = await serve(generate)
    for limits in ({"chunk_timeout": 0.05}, {"timeout": 0.3}):
        with pytest.raises(StreamFailed) as failed:
            await read(dendrite, peer, **limits)
        assert failed.value.failure.reason is Reason.TIMEOUT


async def test_messages_too_large_or_too_many_are_the_miner_s_failure(dendrite: Dendrite, serve: Serve) -> None:
    async def generate(request: Generate) -> AsyncIterator[Token]:
        yield Token(text="x" * 300_001)

    with pytest.raises(StreamFailed) as failed:
        await read(dendrite, await serve(generate))
    assert failed.value.failure.code == "wire.handler-failed"


async def test_nobody_listens_and_no_axon(dendrite: Dendrite, serve: Serve) -> None:
    with dead_port() as port, pytest.raises(StreamFailed) as failed:
        await read(dendrite, neuron(port))
    assert failed.value.failure.reason is Reason.UNREACHABLE
    with pytest.raises(StreamFailed) as failed:
        await read(dendrite, Neuron(Uid(0), Hotkey(MINER.ss58_address)))
    assert failed.value.failure.reason is Reason.NO_AXON


def chunk(text: str = "a") -> bytes:
    return frame(CHUNK, codec.encode(Token(text=text)))


def end(**closing: Any) -> bytes:
    return frame(END, codec.encode_data({"chunks": 1, "receipt": ""} | closing))


LIES = {
    "unsigned": (chunk() + end(), "receipt"),
    "cut short": (chunk(), "dendrite.cut-short"),
    "cut in a frame": (chunk()[:-1], "dendrite.cut-short"),
    "another count": (chunk() * 2 + end(), "dendrite.cut-short"),
    "more after the end": (chunk() + end() + chunk(), "dendrite.cut-short"),
    "an end of nonsense": (chunk() + frame(END, b"\xc1"), "wire.malformed"),
    "an end that is no map": (chunk() + frame(END, codec.encode_data([1])), "dendrite.cut-short"),
    "an unknown frame": (b"\x09\0\0\0\0", "wire.malformed"),
    "a frame too large": (frame(CHUNK, bytes(300_001)), "wire.body-too-large"),
    "more after an error": (chunk() + frame(ERROR, codec.encode_data({"code": "x"})) + chunk(), "dendrite.cut-short"),
    "errors without end": (frame(ERROR, codec.encode_data({"code": "x"})) * 2, "dendrite.cut-short"),
    "another message": (frame(CHUNK, codec.encode_data({"text": 3})), "wire.wrong-type"),
}


@asynccontextmanager
async def lying(body: bytes) -> AsyncIterator[Neuron]:
    """A peer that streams ``body``, whatever it is asked."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=body, content_type=CONTENT_TYPE)

    runner = web.AppRunner(web.Application(), access_log=None, shutdown_timeout=0.1)
    runner.app.router.add_post("/Generate", answer)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        assert runner.addresses
        yield neuron(runner.addresses[0][1])
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("lie", LIES)
async def test_a_lying_peer_is_a_bad_reply(dendrite: Dendrite, lie: str) -> None:
    body, code = LIES[lie]
    async with lying(body) as peer:
        with pytest.raises(StreamFailed) as failed:
            await read(dendrite, peer)
        assert (failed.value.failure.reason, failed.value.failure.code) == (Reason.BAD_REPLY, code)


async def test_messages_that_are_all_there_leave_the_loop_to_others(dendrite: Dendrite) -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with lying(chunk() * 1000) as peer, dendrite.stream(peer, Generate()) as tokens:
        await anext(tokens)
        other = asyncio.create_task(others())
        for _ in range(999):
            await anext(tokens)
        assert turns >= 999 // TURN
        other.cancel()


async def test_who_asks_in_json_gets_lines(serve: Serve) -> None:
    async def generate(request: Generate) -> AsyncIterator[Token]:
        for i in range(request.count):
            yield Token(text=str(i))

    peer = await serve(generate, insecure=True)
    assert peer.axon is not None
    url = f"{peer.axon.url}/Generate"
    async with aiohttp.ClientSession() as session, session.post(url, json={"count": 2}) as response:
        lines = [json.loads(line) async for line in response.content]
    assert lines == [
        {"message": {"text": "0"}},
        {"message": {"text": "1"}},
        {"end": {"chunks": 2, "receipt": ""}},
    ]


async def test_a_stream_is_asked_as_one_and_a_reply_as_the_other(dendrite: Dendrite) -> None:
    class Ask(Synapse[Token]):
        pass

    with pytest.raises(DeclarationError):
        await dendrite.query([neuron(1)], Generate())
    with pytest.raises(DeclarationError):
        dendrite.stream(neuron(1), Ask())
    with pytest.raises(RuntimeError, match="async with"):
        await anext(dendrite.stream(neuron(1), Generate()))


def test_a_declaration_says_what_a_stream_may_be() -> None:
    assert declaration(Hasty).chunk_timeout == 0.05
    assert declaration(Generate).chunk_timeout == declaration(Generate).timeout

    with pytest.raises(DeclarationError):

        class Lonely(Synapse[Token], max_chunk=3):
            pass

    with pytest.raises(DeclarationError):

        class Never(Synapse[Token], stream=True, chunk_timeout=0):
            pass

    def one(request: Generate) -> Token:
        return Token(text="")

    def wrong(request: Generate) -> Iterator[int]:
        yield 3

    class Ask(Synapse[Token]):
        pass

    def many(request: Ask) -> Iterator[Token]:
        yield Token(text="")

    many.__annotations__["request"] = Ask  # a class of this function, which its globals do not have
    for handler in (one, wrong, many):
        with pytest.raises(DeclarationError, match=handler.__name__):
            route(handler)
