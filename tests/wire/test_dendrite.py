"""The dendrite over real sockets: typed results, one deadline, and nothing a peer does raises."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any

import msgpack
import numpy as np
import psutil
import pytest
from aiohttp import web
from substrateinterface import Keypair

from subnet import codec
from subnet.admission import Limits
from subnet.axon import Axon
from subnet.breaker import Breakers
from subnet.dendrite import Dendrite, Failure, Ok, Reason
from subnet.errors import NotPermitted, SubnetError
from subnet.keys import load_key
from subnet.receipts import HEADER_RECEIPT
from subnet.synapse import Message, Spec, Synapse, Tensor
from subnet.types import AxonInfo, Hotkey, Netuid, Neuron, Uid
from tests.waiting import PATIENCE, dead_port, leap, until

MINERS = [Keypair.create_from_uri(f"//Miner{i}") for i in range(4)]
CALLER = Keypair.create_from_uri("//Caller")


class Labels(Message):
    digits: Annotated[Tensor, Spec("int64", ("n",))]


class Classify(Synapse[Labels], timeout=60.0, max_request=10_000, max_reply=10_000):
    images: Annotated[Tensor, Spec("uint8", ("n", 8, 8))]


def ask(n: int = 2, fill: int = 1) -> Classify:
    return Classify(images=np.full((n, 8, 8), fill, np.uint8))


def neuron(port: int, uid: int = 0, key: Keypair = MINERS[0], ip: str = "127.0.0.1") -> Neuron:
    return Neuron(Uid(uid), Hotkey(key.ss58_address), axon=AxonInfo(ip, port))


async def classify(request: Classify) -> Labels:
    return Labels(digits=request.images[:, 0, 0].astype(np.int64))


@pytest.fixture
async def dendrite() -> AsyncIterator[Dendrite]:
    async with Dendrite(CALLER, netuid=Netuid(2)) as dendrite:
        yield dendrite


@pytest.fixture
async def axons() -> AsyncIterator[list[Axon]]:
    axons = [Axon(key, netuid=Netuid(2)) for key in MINERS]
    for axon in axons:
        axon.serve(classify)
        await axon.start()
    yield axons
    for axon in axons:
        await axon.stop()


Peer = Callable[[Callable[[web.Request], Awaitable[web.StreamResponse]]], Awaitable[Neuron]]


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    """Starts a server that answers as it likes, and names it as a neuron."""
    runners = []

    async def start(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> Neuron:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{tail:.*}", handler)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        runners.append(runner)
        return neuron(runner.addresses[0][1])

    yield start
    for runner in runners:
        await runner.cleanup()


async def one(dendrite: Dendrite, peer: Neuron, **kwargs: Any) -> Ok[Labels] | Failure:
    (result,) = await dendrite.query([peer], ask(), **kwargs)
    return result


def _asking() -> list[asyncio.Task[Any]]:
    """The dendrites' exchanges that have not come to their end."""
    return [task for task in asyncio.all_tasks() if getattr(task.get_coro(), "__name__", "") == "_ask"]


def failed(result: Ok[Labels] | Failure, reason: Reason, code: str) -> Failure:
    assert isinstance(result, Failure), result
    assert (result.reason, result.code) == (reason, code)
    return result


async def test_results_come_in_the_order_of_uid_and_typed(dendrite: Dendrite, axons: list[Axon]) -> None:
    peers = [neuron(axon.port, uid, key) for axon, uid, key in zip(axons, (3, 0, 2, 1), MINERS, strict=True)]
    began = time.perf_counter()
    results = await dendrite.query(peers, ask())
    took = time.perf_counter() - began
    assert [result.uid for result in results] == [0, 1, 2, 3]
    for result in results:
        assert isinstance(result, Ok)
        assert result.value.digits.tolist() == [1, 1]
        assert 0 < result.elapsed < took
        assert result.receipt is not None
        assert result.receipt.receiver == result.hotkey


async def test_a_request_of_its_own_for_each_peer(dendrite: Dendrite, axons: list[Axon]) -> None:
    peers = [neuron(axon.port, uid, key) for axon, uid, key in zip(axons, (3, 2, 1, 0), MINERS, strict=True)]
    results = await dendrite.query(peers, [ask(1, fill) for fill in (30, 20, 10, 0)])
    assert [result.value.digits.tolist() for result in results if isinstance(result, Ok)] == [[0], [10], [20], [30]]
    with pytest.raises(ValueError, match="3 requests for 4 peers"):
        await dendrite.query(peers, [ask()] * 3)


async def test_nobody_to_ask(dendrite: Dendrite) -> None:
    assert await dendrite.query([], ask()) == []
    assert await dendrite.query([], []) == []


async def test_ed25519_both_ways() -> None:
    miner, caller = load_key("//Miner", scheme="ed25519"), load_key("//Caller", scheme="ed25519")
    axon = Axon(miner)
    axon.serve(classify)
    async with axon, Dendrite(caller) as dendrite:
        result = await one(dendrite, neuron(axon.port, key=miner))
        assert isinstance(result, Ok)
        assert result.receipt is not None
        assert result.receipt.scheme == "ed25519"


async def test_a_request_too_large_for_its_own_synapse_is_the_callers_mistake(dendrite: Dendrite) -> None:
    with pytest.raises(SubnetError, match="declares at most"):
        await dendrite.query([neuron(1)], ask(200))


async def test_what_was_never_sent_opens_no_circuit(peer: Peer) -> None:
    """The places of its address were all taken: that says nothing of the peer."""
    asked, go = asyncio.Event(), asyncio.Event()

    async def hold(request: web.Request) -> web.StreamResponse:
        asked.set()
        await go.wait()
        return web.Response(status=500)

    held = await peer(hold)
    async with Dendrite(CALLER, per_host=1, breakers=Breakers(failures=1)) as dendrite:
        first = asyncio.create_task(one(dendrite, held))
        await asked.wait()
        for _ in range(3):
            assert failed(await one(dendrite, held, timeout=0.01), Reason.TIMEOUT, "dendrite.timeout").elapsed == 0
        go.set()
        failed(await first, Reason.REFUSED, "http.500")


@pytest.mark.parametrize("axon", [None, AxonInfo("127.0.0.1", 0)])
async def test_a_neuron_without_an_address(dendrite: Dendrite, axon: AxonInfo | None) -> None:
    result = failed(
        await one(dendrite, Neuron(Uid(0), Hotkey(MINERS[0].ss58_address), axon=axon)),
        Reason.NO_AXON,
        "dendrite.no-axon",
    )
    assert result.elapsed == 0


async def test_a_dead_port(dendrite: Dendrite) -> None:
    with dead_port() as port:
        failed(await one(dendrite, neuron(port)), Reason.UNREACHABLE, "dendrite.unreachable")


async def test_what_an_axon_refuses_comes_with_its_code(dendrite: Dendrite, axons: list[Axon]) -> None:
    wrong = neuron(axons[0].port, key=MINERS[1])
    failed(await one(dendrite, wrong), Reason.REFUSED, "auth.wrong-receiver")

    def refuse(hotkey: Hotkey, synapse: type[Synapse[Any]]) -> None:
        raise NotPermitted("who are you?")

    axon = Axon(MINERS[0], admit=refuse)
    axon.serve(classify)
    async with axon:
        assert (
            failed(await one(dendrite, neuron(axon.port)), Reason.REFUSED, "wire.not-permitted").message
            == "who are you?"
        )


async def test_busy_says_when_to_come_back(dendrite: Dendrite) -> None:
    axon = Axon(MINERS[0], netuid=Netuid(2), limits=Limits(hotkey_rate=0.01, hotkey_burst=1))
    axon.serve(classify)
    async with axon:
        assert isinstance(await one(dendrite, neuron(axon.port)), Ok)
        result = failed(await one(dendrite, neuron(axon.port)), Reason.BUSY, "wire.rate-limited")
        assert result.retry_after is not None
        assert 0 < result.retry_after <= 100


async def test_a_miner_of_another_subnet_or_chain_proves_nothing(axons: list[Axon]) -> None:
    for other in ({"netuid": Netuid(9)}, {"netuid": Netuid(2), "genesis_hash": "0x" + "cd" * 32}):
        async with Dendrite(CALLER, **other) as dendrite:  # type: ignore[arg-type]
            failed(await one(dendrite, neuron(axons[0].port)), Reason.BAD_REPLY, "receipt")


async def test_receipts_off(axons: list[Axon], peer: Peer) -> None:
    async def unsigned(request: web.Request) -> web.Response:
        return web.Response(body=codec.encode(Labels(digits=np.arange(2))))

    async with Dendrite(CALLER, receipts=False) as dendrite:
        result = await one(dendrite, await peer(unsigned))
        assert isinstance(result, Ok)
        assert result.receipt is None


def good() -> bytes:
    return codec.encode(Labels(digits=np.arange(2)))


LIES = [
    (good(), {}, 200, Reason.BAD_REPLY, "receipt"),
    (good(), {HEADER_RECEIPT: "1 5 - sr25519 " + "01" * 64}, 200, Reason.BAD_REPLY, "receipt"),
    (good(), {"Content-Encoding": "gzip"}, 200, Reason.BAD_REPLY, "wire.unknown-encoding"),
    (b"x" * 20_000, {}, 200, Reason.BAD_REPLY, "wire.body-too-large"),
    (b"x" * 20_000, {}, 500, Reason.BAD_REPLY, "wire.body-too-large"),
    (b"", {"Location": "http://127.0.0.1:1/"}, 302, Reason.BAD_REPLY, "http.302"),
    (b"<html>", {}, 502, Reason.REFUSED, "http.502"),
    (b"\x91" * 10_000, {}, 400, Reason.REFUSED, "http.400"),
    (msgpack.packb({"code": "c" * 1000, "message": 5}), {}, 400, Reason.REFUSED, "c" * 80),
    (msgpack.packb([1]), {"Retry-After": "-5"}, 503, Reason.BUSY, "http.503"),
    (b"", {}, 504, Reason.TIMEOUT, "http.504"),
]


@pytest.mark.parametrize(("body", "headers", "status", "reason", "code"), LIES)
async def test_lying_peers(
    dendrite: Dendrite, peer: Peer, body: bytes, headers: dict[str, str], status: int, reason: Reason, code: str
) -> None:
    async def lie(request: web.Request) -> web.Response:
        return web.Response(body=body, headers=headers, status=status)

    failed(await one(dendrite, await peer(lie)), reason, code)


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (b"\x91" * 5000, "wire.wrong-type"),
        (good()[:-1], "wire.malformed"),
        (codec.encode(Labels(digits=np.arange(3))), "wire.bad-tensor"),
        (codec.encode(Labels(digits=np.arange(2))).replace(b"\x05int64", b"\x05uint8"), "wire.bad-tensor"),
    ],
)
async def test_replies_that_are_not_what_was_asked(peer: Peer, reply: bytes, code: str) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=reply)

    async with Dendrite(CALLER, receipts=False) as dendrite:
        failed(await one(dendrite, await peer(answer)), Reason.BAD_REPLY, code)


class Deep(Synapse[Labels], max_reply=1_000_000):
    pass


async def test_a_reply_that_nests_too_deep(peer: Peer) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=b"\x81\xa1x" + b"\x91" * 100_000)  # Python 3.12 and newer go down 10,000 levels

    async with Dendrite(CALLER, receipts=False) as dendrite:
        (result,) = await dendrite.query([await peer(answer)], Deep())
        assert isinstance(result, Failure)
        assert (result.reason, result.code) == (Reason.BAD_REPLY, "wire.too-deep")


async def test_an_endless_reply_is_cut_off_at_its_cap(dendrite: Dendrite, peer: Peer) -> None:
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(bytes(100_000))
            sent += 100_000

    result = await one(dendrite, await peer(endless))
    failed(result, Reason.BAD_REPLY, "wire.body-too-large")
    assert sent < 50_000_000


async def test_one_deadline_for_all_and_the_hung_do_not_hold_up_the_rest(
    dendrite: Dendrite, peer: Peer, axons: list[Axon]
) -> None:
    hanging = 0

    async def hang(request: web.Request) -> web.StreamResponse:
        nonlocal hanging
        hanging += 1
        await asyncio.Event().wait()
        raise AssertionError

    hung = await peer(hang)
    peers = [neuron(hung.axon.port if hung.axon else 0, uid) for uid in range(20)]
    peers += [neuron(axon.port, 100 + i, key) for i, (axon, key) in enumerate(zip(axons, MINERS, strict=True))]
    query = asyncio.ensure_future(dendrite.query(peers, ask(), timeout=3600))
    await until(lambda: hanging == 16)  # as many as one address is asked at a time
    await until(lambda: len(_asking()) == 20)  # the four that answer have been heard
    with leap(3601):
        results = await asyncio.wait_for(query, PATIENCE)
    assert all(isinstance(r, Failure) and r.reason is Reason.TIMEOUT for r in results[:20])
    assert all(isinstance(r, Ok) for r in results[20:])


async def test_a_connection_that_the_peer_closed_meanwhile_is_opened_anew(dendrite: Dendrite, peer: Peer) -> None:
    calls = 0

    async def close_once(request: web.Request) -> web.StreamResponse:
        nonlocal calls
        calls += 1
        if calls == 1:
            assert request.transport is not None
            request.transport.close()
        return web.Response(status=500, body=b"")

    failed(await one(dendrite, await peer(close_once)), Reason.REFUSED, "http.500")
    assert calls == 2


async def test_raw_garbage_and_hang_ups(dendrite: Dendrite) -> None:
    async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"\x00\xff no http \r\n\r\n")
        await reader.read()  # until the other has hung up: a close with bytes unread would be a reset
        writer.close()

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    for handler, reasons in ((garbage, {Reason.BAD_REPLY}), (hang_up, {Reason.UNREACHABLE})):
        server = await asyncio.start_server(handler, "127.0.0.1", 0)
        result = await one(dendrite, neuron(server.sockets[0].getsockname()[1]))
        server.close()
        assert isinstance(result, Failure)
        assert result.reason in reasons


async def test_a_peers_word_can_always_be_kept(dendrite: Dendrite) -> None:
    async def surrogates(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 418 \xff\xfe\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(surrogates, "127.0.0.1", 0)
    result = await one(dendrite, neuron(server.sockets[0].getsockname()[1]))
    server.close()
    assert isinstance(result, Failure)
    assert result.message.encode()


async def test_a_cancelled_query_leaves_no_task_and_no_socket(dendrite: Dendrite, peer: Peer) -> None:
    started = asyncio.Event()

    async def hang(request: web.Request) -> web.StreamResponse:
        started.set()
        await asyncio.Event().wait()
        raise AssertionError

    query = asyncio.ensure_future(one(dendrite, await peer(hang)))
    await started.wait()
    query.cancel()
    with pytest.raises(asyncio.CancelledError):
        await query
    assert _asking() == []


async def test_a_thousand_failures_leave_no_descriptor(dendrite: Dendrite, axons: list[Axon], peer: Peer) -> None:
    async def lie(request: web.Request) -> web.Response:
        return web.Response(body=b"x" * 20_000)

    liar = await peer(lie)
    process = psutil.Process()
    with dead_port() as port:
        peers = [neuron(port, 0), liar, neuron(axons[1].port, 2, MINERS[1])]
        await dendrite.query(peers, ask())
        before = process.num_fds()
        for _ in range(35):
            await dendrite.query(peers * 10, ask())
        # the kept connections, at most per_host an address; the others close as soon as both ends have heard of it
        await until(lambda: process.num_fds() <= before + 40)


async def test_nonces_never_repeat() -> None:
    dendrite = Dendrite(CALLER)
    nonces = [dendrite._nonce() for _ in range(10_000)]
    assert len(set(nonces)) == len(nonces)
