"""A lying node can't make the client take more memory than its caps: measured from outside, in a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import struct
import sys
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from hashlib import sha1

import pytest
from chain_peers import GENESIS, tcp

from subnet.chain.schema import MAX_METADATA
from subnet.chain.values import compact_bytes

MOST = 200
"""MiB that one lie may cost: some multiple of the largest message; without limits those below take gigabytes."""

CLIENT = """
import asyncio, json, re, sys
from pathlib import Path
from subnet.chain import Chain
from subnet.errors import SubnetError

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) // 1024

async def main():
    chain = None
    for name, (url, seconds) in json.loads(sys.argv[1]).items():
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        before, said = peak(), "nothing"
        try:
            async with await Chain.connect(url, timeout=seconds) as chain:
                said = str(await chain.block_number())
        except SubnetError as error:
            said = type(error).__name__
        print(json.dumps([name, said, peak() - before]), flush=True)

asyncio.run(main())
"""

Writer = asyncio.StreamWriter
Reader = asyncio.StreamReader


def frame(payload: bytes, *, opcode: int = 1, fin: bool = True, rsv: int = 0, claim: int | None = None) -> bytes:
    size = len(payload) if claim is None else claim
    return bytes([(fin << 7) | (rsv << 4) | opcode, 127]) + struct.pack("!Q", size) + payload


async def shake(reader: Reader, writer: Writer) -> None:
    request = await reader.readuntil(b"\r\n\r\n")
    (key,) = [line.split(b": ")[1] for line in request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key")]
    accept = b64encode(sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )


async def asked(reader: Reader) -> tuple[int, str]:
    """The client's next request: its id and method."""
    _, size = await reader.readexactly(2)
    length = size & 0x7F
    if length == 126:
        (length,) = struct.unpack("!H", await reader.readexactly(2))
    mask = await reader.readexactly(4)
    data = bytes(byte ^ mask[i % 4] for i, byte in enumerate(await reader.readexactly(length)))
    request = json.loads(data)
    return request["id"], request["method"]


async def endless(writer: Writer, piece: bytes) -> None:
    while True:
        writer.write(piece)
        await writer.drain()


def lie(tell: Callable[[Writer, int], Awaitable[None]]) -> Callable[[Reader, Writer], Awaitable[None]]:
    """A websocket node that answers its first question with ``tell``."""

    async def behave(reader: Reader, writer: Writer) -> None:
        await shake(reader, writer)
        number, _ = await asked(reader)
        await tell(writer, number)
        await reader.read()

    return behave


def metadata_of(data: bytes) -> Callable[[Reader, Writer], Awaitable[None]]:
    """A node that is well-behaved until it is asked for its metadata."""

    async def behave(reader: Reader, writer: Writer) -> None:
        await shake(reader, writer)
        while True:
            number, method = await asked(reader)
            result: object = GENESIS
            if method == "state_getRuntimeVersion":
                result = {"specVersion": 1, "transactionVersion": 1}
            elif method == "state_getMetadata":
                result = "0x" + data.hex()
            writer.write(frame(json.dumps({"jsonrpc": "2.0", "id": number, "result": result}).encode()))
            await writer.drain()

    return behave


def answer(middle: bytes) -> Callable[[Writer, int], Awaitable[None]]:
    async def tell(writer: Writer, number: int) -> None:
        writer.write(frame(b'{"jsonrpc": "2.0", "id": %d, "result": ' % number + middle + b"}"))
        await writer.drain()

    return tell


async def endless_header(reader: Reader, writer: Writer) -> None:
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nX-Endless: ")
    await endless(writer, b"x" * 65536)


async def huge_body(reader: Reader, writer: Writer) -> None:
    writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 999999999999\r\n\r\n")
    await endless(writer, b"x" * 65536)


async def endless_message(writer: Writer, number: int) -> None:
    writer.write(frame(b"x", fin=False))
    await endless(writer, frame(b"x" * MIB, opcode=0, fin=False))


MIB = 1 << 20
VARIANTS = MAX_METADATA // 4 - 64
LIES: dict[str, tuple[Callable[[Reader, Writer], Awaitable[None]], set[str]]] = {
    "a frame that claims 2**62 bytes": (
        lie(lambda writer, _: endless(writer, frame(b"x" * 65536, claim=1 << 62))),
        {"ChainMalformed"},
    ),
    "a message of endless frames": (
        lie(endless_message),
        {"ChainMalformed"},
    ),
    "pings without end": (
        lie(lambda writer, _: endless(writer, (b"\x89\x7d" + b"x" * 125) * 500)),
        {"ChainTimeout"},
    ),
    "a compressed bomb": (lie(lambda writer, _: endless(writer, frame(b"\x00" * MIB, rsv=4))), {"ChainMalformed"}),
    "30 MiB of empty lists": (lie(answer(b"[" + b"[]," * (10 * MIB) + b"[]]")), {"ChainMalformed"}),
    "a list 10 million deep": (lie(answer(b"[" * (5 * MIB) + b"]" * (5 * MIB))), {"ChainMalformed"}),
    "a hash of 30 MiB": (lie(answer(b'"0x' + b"00" * (15 * MIB) + b'"')), {"ChainMalformed"}),
    "answers to nobody": (
        lie(lambda writer, _: endless(writer, frame(b'{"id": 77, "result": "' + b"x" * MIB + b'"}'))),
        {"ChainMalformed"},
    ),
    "news that nobody subscribed to": (
        lie(lambda writer, _: endless(writer, frame(b'{"method": "x", "params": "' + b"x" * 60_000 + b'"}') * 16)),
        {"ChainMalformed"},
    ),
    "a header without end": (endless_header, {"ChainMalformed"}),
    "a refusal of a terabyte": (huge_body, {"ChainUnreachable", "ChainMalformed"}),
    "metadata of a million variants": (
        metadata_of(b"meta\x0e\x04\x00\x00\x00\x01" + compact_bytes(VARIANTS) + b"\0\0\0\0" * VARIANTS + b"\0\0"),
        {"ChainMalformed"},
    ),
    "metadata of 2**30 types": (metadata_of(b"meta\x0e\xfe\xff\xff\xff" + b"\0" * 1000), {"ChainMalformed"}),
}


@pytest.fixture
async def lies() -> AsyncIterator[dict[str, tuple[str, float]]]:
    """By name, the liar's URL and the client's timeout: long enough to hear a lie out, short where it has no end."""
    async with AsyncExitStack() as stack:
        yield {
            name: (await stack.enter_async_context(tcp(behave)), 1.0 if expected == {"ChainTimeout"} else 60.0)
            for name, (behave, expected) in LIES.items()
        }


@pytest.mark.e2e
@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="no /proc tells a process's peak of memory")
async def test_no_lie_costs_more_than_its_cap(lies: dict[str, tuple[str, float]]) -> None:
    command = [sys.executable, "-c", CLIENT, json.dumps(lies)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    told = [json.loads(line) for line in output.splitlines()]
    assert [name for name, _, _ in told] == list(LIES)
    assert {name: said for name, said, _ in told if said not in LIES[name][1]} == {}
    assert {name: grown for name, _, grown in told if grown > MOST} == {}
