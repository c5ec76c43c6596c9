"""The answering side of HTTP against callers that send whatever they like, byte for byte."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subnet.admission import Limits
from subnet.connections import FrontDoor
from subnet.http_messages import BrokenBody, Request, Response
from subnet.http_server import MAX_AHEAD, MAX_HEAD, READ_AHEAD, SLICE
from tests.waiting import PATIENCE, leap, until

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Served:
    """A door whose handler does what the path says, and what it has seen."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.broken = self.cancelled = 0
        self.gate = asyncio.Event()
        self.door = FrontDoor(self.answer, limits=Limits())
        self.port = 0

    async def answer(self, request: Request) -> Response | None:
        match request.path.strip("/"):
            case "refuse":
                return Response(413, b"no")
            case "raise":
                raise RuntimeError("on purpose")
            case "split":
                return Response(200, b"", {"X": "a\r\nSet-Cookie: b"})
            case "wait":
                await self.gate.wait()
            case "large":
                return Response(200, bytes(40 * SLICE))
            case "stream":
                return await self._stream(request)
        body = bytearray()
        try:
            while piece := await request.piece():
                body += piece
        except BrokenBody:
            self.broken += 1
            return Response(400, b"broken")
        self.bodies.append(bytes(body))
        return Response(200, bytes(body), {"X-Path": request.path})

    async def _stream(self, request: Request) -> None:
        request.connection.cancel_when_lost = True
        write = request.connection.stream(request, {"X": "y"})
        try:
            await write(b"one")
            await self.gate.wait()
            await write(b"two")
            await write(b"")
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


@asynccontextmanager
async def serving() -> AsyncIterator[Served]:
    made = Served()
    server = await made.door.loop.create_server(made.door, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()
    await made.door.shutdown(0.01)
    assert not made.door._open
    assert not made.door._silent


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving() as made:
        yield made


async def say(served: Served, *parts: bytes, end: bool = False) -> bytes:
    """All that comes back before the server hangs up, which ``end`` asks of it with a last request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    for part in parts:
        writer.write(part)
        await writer.drain()
        await asyncio.sleep(0)
    if end:
        writer.write(b"GET /end HTTP/1.1\r\nConnection: close\r\n\r\n")
    said = b""
    with suppress(ConnectionError):
        async with asyncio.timeout(PATIENCE):
            while data := await reader.read(65536):
                said += data
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
    return said


def post(body: bytes, path: str = "/echo", *more: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *more]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def test_requests_on_one_connection_are_answered_in_order(served: Served) -> None:
    said = await say(served, post(b"a") + post(b"b") + b"GET /c HTTP/1.1\r\n\r\n", post(b"d", "/d"), end=True)
    assert served.bodies == [b"a", b"b", b"", b"d", b""]
    assert said.count(b"HTTP/1.1 200 OK\r\n") == 5
    assert [said.index(path) for path in (b"/echo", b"/c", b"/d", b"/end")] == sorted(
        said.index(path) for path in (b"/echo", b"/c", b"/d", b"/end")
    )
    assert said.count(b"Connection: close") == 1
    assert said.count(b"Date: ") == 5


async def test_a_request_a_byte_at_a_time(served: Served) -> None:
    data = (
        post(b"hello")
        + b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nhe\r\n1\r\ny\r\n0\r\nT: v\r\n\r\n"
    )
    said = await say(served, *(data[i : i + 1] for i in range(len(data))), end=True)
    assert served.bodies == [b"hello", b"hey", b""]
    assert said.count(b" 200 OK") == 3


async def test_a_large_body_both_ways(served: Served) -> None:
    body = bytes(range(256)) * (5 * SLICE // 256)
    said = await say(served, post(body), end=True)
    assert served.bodies[0] == body
    assert body in said
    said = await say(served, post(b"", "/large"), end=True)
    assert len(said) > 40 * SLICE


async def test_a_caller_may_wait_for_a_word_before_it_sends_the_body(served: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    head, _, body = post(b"hello", "/echo", "Expect: 100-continue").partition(b"\r\n\r\n")
    writer.write(head + b"\r\n\r\n")
    assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE) == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(body)
    assert b" 200 OK" in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
    writer.close()


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        post(b"", "/", "Content-Length: 5"),
        post(b"0\r\n\r\n", "/", "Transfer-Encoding: chunked"),
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nA b: c\r\n\r\n",
        b"POST / HTTP/1.1\nHost: x\n\n",
        b"GET / HTTP/1.1\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
        b"CONNECT x:1 HTTP/1.1\r\n\r\n",
        b"GET /" + b"x" * MAX_HEAD + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: " + b"x" * MAX_HEAD + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * (MAX_HEAD // 2) + b"\r\n",
        b"GET / HTTP/1.1\r\nA: " + b"x" * 10 * SLICE,
    ],
)
async def test_what_is_no_http_is_told_so_once_and_dropped(
    served: Served, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    said = await say(served, data, post(b"smuggled"))
    assert said.startswith(b"HTTP/1.1 400 Bad Request\r\n") or said == b""  # a reset can overtake it
    assert said.count(b"HTTP/1.1") <= 1
    assert served.bodies == []
    assert not caplog.records


async def test_garbage_behind_a_request_does_not_cost_its_answer(served: Served) -> None:
    said = await say(served, post(b"a") + b"\0\0\0")
    assert said.count(b" 200 OK") == 1
    assert b"Connection: close" in said


async def test_trailers_without_end_are_given_up(served: Served) -> None:
    start = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nT: "
    said = await say(served, start, *(bytes([120]) * SLICE for _ in range(20)))
    assert b" 200 " not in said
    assert served.broken == 1


async def test_so_many_requests_may_be_sent_ahead(served: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(post(b"a", "/wait") + post(b"b") * MAX_AHEAD)
    await until(lambda: served.door._open and len(next(iter(served.door._open))._ahead) == MAX_AHEAD)
    writer.write(post(b"c"))  # waits in the socket
    served.gate.set()
    await until(lambda: len(served.bodies) == MAX_AHEAD + 2)
    writer.close()
    served.gate.clear()
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(post(b"a", "/wait") + post(b"b") * (MAX_AHEAD + 1))
    await until(lambda: any(one._closing for one in served.door._open))
    served.gate.set()
    assert (await asyncio.wait_for(reader.read(), PATIENCE)).count(b" 200 OK") == 1  # the one that was begun
    writer.close()


async def test_an_unread_body_waits_in_the_socket(served: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    body = bytes(100 * SLICE)
    writer.write(post(body, "/wait"))
    await until(lambda: any(one._paused for one in served.door._open))
    (connection,) = served.door._open
    assert connection._current is not None
    assert connection._current._size <= READ_AHEAD + SLICE
    served.gate.set()
    await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
    assert len(served.bodies[0]) == len(body)
    writer.close()


async def test_a_refused_body_is_let_go_by_for_a_while_so_that_the_refusal_arrives(served: Served) -> None:
    body = bytes(40 * SLICE)
    said = await say(served, post(body, "/refuse") + post(b"smuggled"))
    assert said.startswith(b"HTTP/1.1 413 ")
    assert said.count(b"HTTP/1.1") == 1
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(post(body, "/refuse")[:1000])
    assert b" 413 " in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
    with leap(3):
        await asyncio.wait_for(reader.read(), PATIENCE)
    writer.close()


async def test_a_body_that_breaks_off(served: Served) -> None:
    for _ in range(3):
        _, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(post(bytes(1000))[:-1])
        await writer.drain()
        writer.close()
    await until(lambda: served.broken == 3)
    await until(lambda: not served.door._open)


@pytest.mark.parametrize("path", ["/raise", "/split"])
async def test_a_handler_s_mistake_is_a_500_and_in_the_log(
    served: Served, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    said = await say(served, post(b"", path))
    assert said.startswith(b"HTTP/1.1 500 ")
    assert b"Set-Cookie" not in said
    assert len([record for record in caplog.records if record.exc_info]) == 1


async def test_old_http_and_head(served: Served) -> None:
    said = await say(served, b"POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi")
    assert said.endswith(b"\r\n\r\nhi")
    assert b"Connection: close" in said
    said = await say(served, b"HEAD /large HTTP/1.1\r\n\r\n", end=True)
    assert f"Content-Length: {40 * SLICE}\r\n".encode() in said
    assert len(said) < 1000


@pytest.mark.parametrize(("version", "end"), [(b"1.1", b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"), (b"1.0", b"onetwo")])
async def test_a_stream(served: Served, version: bytes, end: bytes) -> None:
    served.gate.set()
    said = await say(served, b"GET /stream HTTP/" + version + b"\r\nConnection: close\r\n\r\n")
    assert said.endswith(b"\r\n\r\n" + end)


async def test_a_stream_ends_with_its_caller(served: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(b"GET /stream HTTP/1.1\r\n\r\n")
    await asyncio.wait_for(reader.readuntil(b"one"), PATIENCE)
    writer.close()
    await until(lambda: served.cancelled == 1)


async def test_who_takes_nothing_of_a_large_reply_is_given_up(served: Served) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", served.port, limit=2)
    writer.write(post(b"", "/large"))
    await until(lambda: any(one._writable is not None for one in served.door._open))
    for ahead in (61, 130):  # it is seen held, and then seen held for too long
        with leap(ahead):
            await asyncio.sleep(0.02)
    await until(lambda: not served.door._open)
    writer.close()


async def test_an_idle_connection_is_closed_in_the_end(served: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(post(b"a"))
    await asyncio.wait_for(reader.readuntil(b"\r\n\r\na"), PATIENCE)
    with leap(76):
        assert await asyncio.wait_for(reader.read(), PATIENCE) == b""
    writer.close()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=4), st.sampled_from([b"", post(b"a"), post(b"aaa")[:-2]]))
def test_any_bytes_leave_the_next_caller_served(parts: list[bytes], before: bytes) -> None:
    async def main() -> None:
        async with serving() as served:
            _, writer = await asyncio.open_connection("127.0.0.1", served.port)
            with suppress(ConnectionError):
                for part in (before, *parts):
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(0)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            assert b" 200 OK" in await say(served, post(b"fine"), end=True)
            assert b"fine" in served.bodies

    asyncio.run(main())
