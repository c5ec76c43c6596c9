"""Callers that take up places, memory and handlers and give nothing: each is refused, displaced or dropped in time."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from substrateinterface import Keypair

from subnet import auth, codec
from subnet import axon as axon_module
from subnet.admission import Limits
from subnet.axon import Axon
from subnet.dendrite import Dendrite, Ok, Reason
from subnet.errors import NotPermitted
from subnet.synapse import Message, Synapse
from subnet.tls import load_certificate
from subnet.types import AxonInfo, Hotkey, Neuron, Uid
from tests.certificates import HAVE_OPENSSL, self_signed
from tests.waiting import PATIENCE, leap, until

MINER, CALLER, STRANGER = (Keypair.create_from_uri(f"//{name}") for name in ("Miner", "Caller", "Stranger"))
MiB = 1 << 20
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Data(Message):
    data: bytes


class Give(Synapse[Data], timeout=60.0, max_request=100_000, max_reply=64 * MiB):
    size: int = 1


class Flow(Synapse[Data], stream=True, timeout=0.2, max_reply=1 << 40):
    pass


async def give(request: Give) -> Data:
    return Data(data=bytes(request.size))


async def flow(request: Flow) -> AsyncIterator[Data]:
    while True:
        yield Data(data=bytes(MiB // 2))


def admit(hotkey: Hotkey, synapse: type[Synapse[Any]]) -> Neuron:
    if hotkey != CALLER.ss58_address:
        raise NotPermitted("not registered")
    return Neuron(Uid(7), hotkey)


@pytest.fixture
def limits() -> Limits:
    return Limits(body_timeout=60, first_request=60, keepalive=600)


@pytest.fixture
async def axon(limits: Limits) -> AsyncIterator[Axon]:
    axon = Axon(MINER, limits=limits, admit=admit)
    axon.serve(give)
    axon.serve(flow)
    async with axon:
        yield axon


Connect = Callable[..., Awaitable[Streams]]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Opens connections that little is read ahead of, by us and by the kernel."""
    opened: list[asyncio.StreamWriter] = []

    async def connect(axon: Axon, source: str = "127.0.0.1", **how: Any) -> Streams:
        sock = socket.socket()
        sock.bind((source, 0))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", axon.port))
        reader, writer = await asyncio.open_connection(sock=sock, limit=1024, **how)
        opened.append(writer)
        return reader, writer

    yield connect
    await close(*opened)


async def close(*writers: asyncio.StreamWriter) -> None:
    for writer in writers:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def head(request: Synapse[Any], **changes: str | None) -> bytes:
    """The signed headers of a request; ``changes`` by header, None leaves it out."""
    body, path = codec.encode(request), f"/{type(request).__name__}"
    signed: dict[str, str | None] = dict(
        auth.sign(CALLER, method="POST", path=path, body=body, receiver_ss58=MINER.ss58_address)
    )
    said = {"Host": "x", "Content-Type": codec.MSGPACK, "Content-Length": str(len(body))} | signed
    said |= {name.replace("_", "-"): value for name, value in changes.items()}
    lines = [f"{name}: {value}" for name, value in said.items() if value is not None]
    return "\r\n".join([f"POST {path} HTTP/1.1", *lines]).encode() + b"\r\n\r\n"


async def honest(axon: Axon, request: Synapse[Any] | None = None) -> Any:
    peer = Neuron(Uid(0), Hotkey(MINER.ss58_address), axon=AxonInfo("127.0.0.1", axon.port))
    async with Dendrite(CALLER) as dendrite:
        (reply,) = await dendrite.query([peer], request or Give())
    return reply


FAULTS: list[tuple[Callable[[bytes], bytes], str]] = [
    (lambda data: data.replace(b"POST ", b"PUT "), "wire.wrong-method"),
    (lambda data: data.replace(b"/Give ", b"/Take "), "wire.unknown-synapse"),
    (lambda data: data.replace(b"application/msgpack", b"image/png"), "wire.unknown-encoding"),
    (lambda data: data.replace(b"Content-Length: 50000", b"Content-Length: 100001"), "wire.body-too-large"),
    (lambda data: data.replace(b"X-Bittensor-Version: 1", b"X-Bittensor-Version: 9"), "auth.malformed"),
    (lambda data: data.replace(b"X-Bittensor-Nonce: 1", b"X-Bittensor-Nonce: 0"), "auth.stale"),
    (lambda data: data.replace(b"Receiver: 5", b"Receiver: 6"), "auth.wrong-receiver"),
    (lambda data: data.replace(CALLER.ss58_address.encode(), STRANGER.ss58_address.encode()), "wire.not-permitted"),
]
"""What can be wrong with a request's head, in the order in which it is checked (docs/reference/wire.md)."""


@pytest.mark.parametrize("first", range(len(FAULTS)))
async def test_of_all_that_is_wrong_the_first_is_told_and_no_body_is_waited_for(
    axon: Axon, connect: Connect, first: int
) -> None:
    data = head(Give(), Content_Length="50000")  # of which not a byte is sent
    for spoil, _ in FAULTS[first:]:
        spoilt = spoil(data)
        assert spoilt != data
        data = spoilt
    reader, writer = await connect(axon)
    writer.write(data)
    status = await asyncio.wait_for(reader.readuntil(b"\r\n"), PATIENCE)
    assert status.split()[1].startswith(b"4")
    assert axon.stats.refused == {FAULTS[first][1]: 1}
    assert axon.stats.bytes_in == 0


async def test_who_does_not_take_a_reply_is_dropped_when_its_time_is_over(axon: Axon, connect: Connect) -> None:
    """Also where all of it fits into buffers, and where it goes on asking: closing alone would wait for ever."""
    for size in (32 * MiB, 600_000):
        _, writer = await connect(axon)
        writer.transport.pause_reading()
        for _ in range(12):
            writer.write(head(Give(size=size)) + codec.encode(Give(size=size)))
    assert axon._http is not None
    places = axon._http._open
    await until(lambda: len(places) == 2 and all(p.transport.get_write_buffer_size() for p in places.values()))
    await until(lambda: not axon.stats.in_flight)
    for ahead in (60, 130):  # one look that sees them held, and one that sees them held for too long
        with leap(ahead):
            await asyncio.sleep(0)
            await asyncio.sleep(0)
    await until(lambda: not places)
    assert axon._http.turned_away == 2
    assert isinstance(await honest(axon), Ok)


async def test_who_takes_replies_is_not(axon: Axon, connect: Connect) -> None:
    reader, writer = await connect(axon)
    for ahead in (60, 120, 180):
        writer.write(head(Give(size=MiB)) + codec.encode(Give(size=MiB)))
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
        await reader.readexactly(int(answer.lower().partition(b"content-length:")[2].split()[0]))
        with leap(ahead):
            await asyncio.sleep(0)
            await asyncio.sleep(0)
    assert axon._http is not None
    assert axon._http.turned_away == 0


class TestUnsent:
    @pytest.fixture
    def limits(self) -> Limits:
        return Limits(unsent_bytes=65 * MiB)

    async def test_replies_that_wait_to_be_taken_have_a_bound_together(self, axon: Axon, connect: Connect) -> None:
        held = [(await connect(axon))[1] for _ in range(2)]
        for writer in held:
            writer.transport.pause_reading()
            writer.write(head(Give(size=32 * MiB)) + codec.encode(Give(size=32 * MiB)))
        await until(lambda: axon._unsent > 64 * MiB)
        busy = await honest(axon, Give(size=2 * MiB))
        assert (busy.reason, busy.code, busy.retry_after) == (Reason.BUSY, "wire.busy", 1.0)
        assert isinstance(await honest(axon, Give(size=200_000)), Ok)  # small ones go on
        await close(*held)
        await until(lambda: axon._unsent == 0)
        assert isinstance(await honest(axon, Give(size=2 * MiB)), Ok)
        await until(lambda: axon._unsent == 0)


class TestUnverified:
    @pytest.fixture
    def limits(self) -> Limits:
        return Limits(unverified_bytes=400_000, body_timeout=60, first_request=60)

    async def test_bodies_that_an_address_never_ends_leave_room_for_others(self, axon: Axon, connect: Connect) -> None:
        held = [await connect(axon) for _ in range(2)]
        for _, writer in held:
            writer.write(head(Give(), Content_Length="100000") + bytes(40_000))
        await until(lambda: axon._intake.held == 80_000)
        reader, writer = await connect(axon)
        writer.write(head(Give(), Content_Length="100000") + bytes(40_000))
        assert b" 503 " in await asyncio.wait_for(reader.readuntil(b"\r\n"), PATIENCE)
        reader, writer = await connect(axon, source="127.0.0.9")
        writer.write(head(Give(), Content_Length="100000") + bytes(90_000))
        await until(lambda: axon._intake.held == 170_000)
        writer.write(bytes(10_000))
        assert b" 401 " in await asyncio.wait_for(reader.readuntil(b"\r\n"), PATIENCE)  # read to its end
        await close(*(writer for _, writer in held))
        await until(lambda: not axon._intake.held and not axon._intake._arriving)


class TestOneHandler:
    @pytest.fixture
    def limits(self) -> Limits:
        return Limits(running=1)

    async def test_a_stream_that_nobody_takes_gives_its_handler_back_when_its_time_is_over(
        self, axon: Axon, connect: Connect, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(axon_module, "PARTING", 0.1)
        _, writer = await connect(axon)
        writer.transport.pause_reading()
        writer.write(head(Flow()) + codec.encode(Flow()))
        await until(lambda: axon.stats.in_flight == 1)
        assert isinstance(await honest(axon), Ok)  # within its 60 s, by the one place there is
        await until(lambda: not axon.stats.in_flight)


async def test_chunks_that_are_all_framing_end_the_connection(axon: Axon, connect: Connect) -> None:
    """A chunk costs the same whether it carries a byte or a page: a stranger could buy seconds with a packet."""
    reader, writer = await connect(axon)
    writer.write(head(Give(), Content_Length=None, Transfer_Encoding="chunked") + b"1\r\na\r\n" * 5000)
    assert b" 400 " in await asyncio.wait_for(reader.readuntil(b"\r\n"), PATIENCE)
    assert axon.stats.refused == {"wire.malformed": 1}  # though neither its size nor its time was over
    assert axon.stats.bytes_in == 0
    assert axon._http is not None
    (connection,) = axon._http._open
    writer.write(b"1\r\na\r\n" * 5000)
    assert connection._closing  # nothing more of it is parsed
    assert isinstance(await honest(axon), Ok)


async def test_a_short_body_may_come_in_chunks_as_it_likes(axon: Axon, connect: Connect) -> None:
    reader, writer = await connect(axon)
    writer.write(head(Give(size=7), Content_Length=None, Transfer_Encoding="chunked"))
    for byte in codec.encode(Give(size=7)):
        writer.write(b"1\r\n%c\r\n" % byte)
    writer.write(b"0\r\n\r\n")
    assert b" 200 " in await asyncio.wait_for(reader.readuntil(b"\r\n"), PATIENCE)


@pytest.mark.skipif(not HAVE_OPENSSL, reason="certificates are made with the openssl command")
class TestTls:
    @pytest.fixture
    def limits(self) -> Limits:
        return Limits(connections=20, connections_each=10, first_request=60)

    @pytest.fixture
    async def axon(self, limits: Limits, tmp_path: Path) -> AsyncIterator[Axon]:
        certificate = load_certificate(*self_signed(tmp_path, "miner"))
        axon = Axon(MINER, limits=limits, admit=admit, tls=certificate.context)
        axon.serve(give)
        async with axon:
            yield axon

    async def ask(self, axon: Axon, connect: Connect) -> bytes:
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        reader, writer = await asyncio.wait_for(connect(axon, ssl=trusting, server_hostname=""), PATIENCE)
        writer.write(head(Give()) + codec.encode(Give()))
        return await asyncio.wait_for(reader.readuntil(b"\r\n"), PATIENCE)

    async def test_who_never_begins_a_handshake_is_counted_and_displaced(self, axon: Axon, connect: Connect) -> None:
        assert axon._http is not None
        axon._http._most = 5
        silent = [await connect(axon) for _ in range(5)]
        await until(lambda: axon._http and len(axon._http._open) == 5)
        assert b" 200 " in await self.ask(axon, connect)
        assert await asyncio.wait_for(silent[0][0].read(), PATIENCE) == b""
        assert axon._http.turned_away == 1
        axon._http._most, axon._http._most_each = 20, 5
        assert await asyncio.wait_for((await connect(axon))[0].read(), PATIENCE) == b""  # one too many of an address
        await close(*(writer for _, writer in silent))
        assert b" 200 " in await self.ask(axon, connect)

    async def test_what_is_no_handshake_or_takes_too_long_ends_quietly(
        self, axon: Axon, connect: Connect, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert axon._http is not None
        reader, writer = await connect(axon)
        writer.write(head(Give()) + codec.encode(Give()))
        with contextlib.suppress(ConnectionError):
            assert b"HTTP" not in await asyncio.wait_for(reader.read(), PATIENCE)
        axon._http._patience = 0.2
        reader, _ = await connect(axon)
        assert await asyncio.wait_for(reader.read(), PATIENCE) == b""
        await until(lambda: axon._http and not axon._http._open)
        assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]

    async def test_who_is_in_a_handshake_does_not_hold_up_the_end(self, axon: Axon, connect: Connect) -> None:
        reader, _ = await connect(axon)
        await until(lambda: axon._http and axon._http._open)
        await asyncio.wait_for(axon.stop(), PATIENCE)
        assert await asyncio.wait_for(reader.read(), PATIENCE) == b""
