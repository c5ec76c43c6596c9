"""The asking side of HTTP against peers that say whatever they like, byte for byte."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subnet.errors import BodyTooLarge
from subnet.http_client import (
    KEPT,
    MAX_DRY,
    READ_AHEAD,
    SLICE,
    BadHttp,
    Disconnected,
    Pool,
    Reply,
    Target,
    request_head,
)
from tests.waiting import PATIENCE, dead_port, leap, until

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Serve = Callable[[Callable[..., Awaitable[None]]], Awaitable[Target]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    servers, open_files = [], set[asyncio.StreamWriter]()

    async def start(handler: Callable[..., Awaitable[None]]) -> Target:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            open_files.add(writer)
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await handler(reader, writer)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            open_files.remove(writer)

        servers.append(await asyncio.start_server(handle, "127.0.0.1", 0))
        return Target("127.0.0.1", servers[-1].sockets[0].getsockname()[1])

    yield start
    for server in servers:
        server.close()
    await until(lambda: not open_files)


@pytest.fixture
async def pool(serve: Serve) -> AsyncIterator[Pool]:
    pool = Pool()
    yield pool
    await pool.close()
    assert not pool.connections


def saying(*parts: bytes, stay: bool = True) -> Callable[..., Awaitable[None]]:
    """A peer that answers each request with ``parts``, one write each, and closes unless it is to ``stay``."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await request(reader)
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0)
            if not stay:
                return

    return handle


async def request(reader: asyncio.StreamReader) -> bytes:
    """One request's body."""
    head = await reader.readuntil(b"\r\n\r\n")
    return await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split()[0]))


async def post(pool: Pool, target: Target, body: bytes = b"?", *, cap: int = 1000, seconds: float = PATIENCE) -> Reply:
    head = request_head("x", "/Ask", {"X-A": "b"}, len(body))
    deadline = pool.loop.time() + seconds
    return await pool.post(target, head, body, cap=cap, refusal_cap=100, deadline=deadline)


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-One: 1\r\nx-one: 2\r\n\r\nhi"


async def test_an_exchange_and_the_next_on_the_same_connection(pool: Pool, serve: Serve) -> None:
    seen = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(writer)
        while True:
            assert await request(reader) == b"?"
            writer.write(OK)

    target = await serve(handle)
    for _ in range(3):
        reply = await post(pool, target)
        assert (reply.status, bytes(reply.body), reply.headers["x-one"]) == (200, b"hi", "1")
    await asyncio.gather(*(post(pool, target) for _ in range(5)))
    assert len(seen) == len(pool.connections) == 5


@pytest.mark.parametrize(
    ("parts", "body"),
    [
        ([OK[i : i + 1] for i in range(len(OK))], b"hi"),
        ([b"HTTP/1.1 100 Continue\r\n\r\n", OK], b"hi"),
        ([b"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n", b"1;x=y\r\ni\r\n0\r\nA: b\r\n\r\n"], b"hi"),
        ([b"HTTP/1.1 204 No\r\nX: y\r\n\r\n"], b""),
        ([b"HTTP/1.1 200 \xff\xfe\r\nContent-Length: 0\r\n\r\n"], b""),
    ],
)
async def test_what_is_good_http(pool: Pool, serve: Serve, parts: list[bytes], body: bytes) -> None:
    target = await serve(saying(*parts))
    for _ in range(2):
        assert bytes((await post(pool, target)).body) == body
    assert len(pool.connections) == 1


async def test_a_body_may_end_with_its_connection(pool: Pool, serve: Serve) -> None:
    target = await serve(saying(b"HTTP/1.1 200 OK\r\n\r\nh", b"i", stay=False))
    assert bytes((await post(pool, target)).body) == b"hi"
    await until(lambda: not pool.connections)


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (b"\x00\xff no http \r\n\r\n", BadHttp),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", BadHttp),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", BadHttp),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n", BadHttp),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", BadHttp),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", BadHttp),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", BadHttp),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nabc", BadHttp),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 40_000 + b"\r\n", BadHttp),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n", BodyTooLarge),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 2000, BodyTooLarge),
        (b"HTTP/1.1 500 No\r\nContent-Length: 101\r\n\r\n", BodyTooLarge),
        (b"HTTP/1.1 200 OK\r\nContent-", Disconnected),
        (b"", Disconnected),
    ],
)
async def test_what_is_not(pool: Pool, serve: Serve, said: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        await post(pool, await serve(saying(said, stay=False)))
    await until(lambda: not pool.connections)


@pytest.mark.parametrize("line", [b"x" * 1000, b"A: b\r\n" * 10, b"HTTP/1.1 100 Continue\r\n\r\n" * 10])
async def test_a_head_without_end_is_given_up(pool: Pool, serve: Serve, line: bytes) -> None:
    sent = 0

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await request(reader)
        if not line.startswith(b"HTTP"):
            writer.write(b"HTTP/1.1 200 OK\r\nA: ")
        while True:
            writer.write(line)
            await writer.drain()
            sent += len(line)

    with pytest.raises(BadHttp):
        await post(pool, await serve(endless))
    await until(lambda: not pool.connections)
    assert sent < MAX_DRY + 16 * SLICE  # what the sockets hold on the way


@pytest.mark.parametrize("more", [OK, b"garbage\r\n\r\n", b"\0"])
async def test_what_nobody_asked_for_ends_the_connection(pool: Pool, serve: Serve, more: bytes) -> None:
    target = await serve(saying(OK + more))
    for _ in range(3):
        assert bytes((await post(pool, target)).body) == b"hi"
        await until(lambda: not pool.connections)


async def test_what_comes_while_nobody_asks_ends_it_too(pool: Pool, serve: Serve) -> None:
    late = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(OK)
        await late.wait()
        writer.write(OK)
        await reader.read()

    target = await serve(handle)
    await post(pool, target)
    late.set()
    await until(lambda: not pool.connections)
    assert bytes((await post(pool, target)).body) == b"hi"


async def test_close_is_taken_at_its_word(pool: Pool, serve: Serve) -> None:
    await post(pool, await serve(saying(OK.replace(b"X-One: 1", b"Connection: close"))))
    await until(lambda: not pool.connections)


async def test_a_deadline_for_what_hangs_and_a_cancelled_exchange_leave_no_socket(pool: Pool, serve: Serve) -> None:
    asked = 0

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        await request(reader)
        asked += 1
        await reader.read()

    target = await serve(hang)
    late = asyncio.ensure_future(post(pool, target, seconds=3600))
    cancelled = asyncio.ensure_future(post(pool, target, seconds=36_000))
    await until(lambda: asked == 2)
    with leap(3601), pytest.raises(TimeoutError):
        await late
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    await until(lambda: not pool.connections)


async def test_nobody_there(pool: Pool) -> None:
    with dead_port() as port, pytest.raises(ConnectionRefusedError):
        await post(pool, Target("127.0.0.1", port))


async def test_a_large_body_goes_in_slices_and_stops_for_an_answer(pool: Pool, serve: Serve) -> None:
    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await request(reader) == bytes(10 * SLICE + 7)
        writer.write(OK)

    assert (await post(pool, await serve(swallow), bytes(10 * SLICE + 7))).status == 200

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n")
        await reader.read()  # to the end: it hangs up once it has heard

    assert (await post(pool, await serve(refuse), bytes(400 * SLICE))).status == 413


async def test_a_reply_in_pieces_is_not_read_ahead_of_its_reader(pool: Pool, serve: Serve) -> None:
    sent = 0

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(1000):
            writer.write(bytes(READ_AHEAD))
            await writer.drain()
            sent += READ_AHEAD

    target = await serve(pour)
    connection = await pool.open(
        target, request_head("x", "/", {}, 0), b"", refusal_cap=10, deadline=pool.loop.time() + PATIENCE
    )
    assert len(await connection.piece()) > 0
    before = -1
    while sent != before:  # until the sockets are full
        before = sent
        await asyncio.sleep(0.2)
    assert sent < 1000 * READ_AHEAD
    got = 0
    while piece := await connection.piece():
        assert len(piece) <= READ_AHEAD + SLICE
        got += len(piece)
    assert got > 900 * READ_AHEAD
    connection.close()


async def test_an_open_reply_that_is_left_is_closed_and_a_refusal_is_whole(pool: Pool, serve: Serve) -> None:
    async def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await request(reader):
            writer.write(b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy")
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
        await reader.read()

    target = await serve(begin)
    deadline = pool.loop.time() + PATIENCE
    left = await pool.open(target, request_head("x", "/", {}, 0), b"", refusal_cap=10, deadline=deadline)
    assert await left.piece() == b"abc"
    left.close()
    refused = await pool.open(target, request_head("x", "/", {}, 1), b"?", refusal_cap=10, deadline=deadline)
    assert (refused.status, bytes((await refused.reply()).body)) == (503, b"busy")
    refused.close()
    await until(lambda: len(pool.connections) == 1)


async def test_idle_connections_go_after_a_while(pool: Pool, serve: Serve) -> None:
    target = await serve(saying(OK))
    await asyncio.gather(*(post(pool, target) for _ in range(3)))
    assert len(pool.connections) == 3
    with leap(KEPT + 1):
        await until(lambda: not pool.connections)
    assert (await post(pool, target)).status == 200


async def test_close_ends_what_is_under_way(serve: Serve) -> None:
    pool, asked = Pool(), asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        asked.set()
        await reader.read()

    under_way = asyncio.ensure_future(post(pool, await serve(hang)))
    await asked.wait()
    await pool.close()
    with pytest.raises(Disconnected):
        await under_way


@pytest.mark.parametrize("evil", ["a\r\nX: y", "a\n", "a\rb", "a\0"])
def test_nothing_breaks_out_of_its_line(evil: str) -> None:
    for arguments in ((evil, "/", {}), ("h", f"/{evil}", {}), ("h", "/", {"A": evil}), ("h", "/", {evil: "a"})):
        with pytest.raises(ValueError, match="line breaks"):
            request_head(*arguments, 0)  # type: ignore[arg-type]


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_end_as_a_reply_or_an_error(said: bytes, after_a_head: bool) -> None:
    async def main() -> None:
        done = asyncio.Event()

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await request(reader)
            writer.write((b"HTTP/1.1 200 OK\r\n" if after_a_head else b"") + said)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            done.set()

        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        pool = Pool()
        with suppress(BadHttp, BodyTooLarge, ConnectionError):
            await post(pool, Target("127.0.0.1", server.sockets[0].getsockname()[1]))
        await pool.close()
        server.close()
        await done.wait()

    asyncio.run(main())
