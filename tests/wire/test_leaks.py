"""A hundred thousand requests to peers that are dead, slow or lying leave nothing behind. Minutes: ``-m slow``."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable

import psutil
import pytest
from substrateinterface import Keypair

from subnet.axon import Axon
from subnet.breaker import Breakers
from subnet.dendrite import Dendrite, Ok
from subnet.synapse import Message, Synapse
from subnet.types import AxonInfo, Hotkey, Neuron, Uid

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

MINER, CALLER = (Keypair.create_from_uri(f"//{name}") for name in ("Miner", "Caller"))
REQUESTS = 100_000
GROWTH = 16
"""MiB between the fifth and the last hundredth; a kept kilobyte a request would be 95."""


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Pong(Message):
    text: str


class Ping(Synapse[Pong], timeout=0.2):
    text: str = "ping"


async def ping(request: Ping) -> Pong:
    return Pong(text=request.text)


async def test_a_hundred_thousand_failures_leave_no_memory_and_no_descriptor() -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)
        writer.close()

    async def lie(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 20_000)
        await reader.read(-1)
        writer.close()

    async def garble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"\0" * 50)
        writer.close()

    def peer(port: int, uid: int) -> Neuron:
        return Neuron(Uid(uid), Hotkey(MINER.ss58_address), axon=AxonInfo("127.0.0.1", port))

    def unharmed(peer: Handler) -> Handler:
        """Callers hang up at any moment; what asyncio then logs, pytest would keep."""

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await peer(reader, writer)
            except (ConnectionError, asyncio.IncompleteReadError):
                writer.close()

        return handle

    servers = [await asyncio.start_server(unharmed(each), "127.0.0.1", 0) for each in (hang, lie, garble)]
    closed = await asyncio.start_server(hang, "127.0.0.1", 0)
    dead = closed.sockets[0].getsockname()[1]
    closed.close()
    await closed.wait_closed()
    axon = Axon(MINER)
    axon.serve(ping)
    process, memory, files = psutil.Process(), [], []
    async with axon, Dendrite(CALLER, per_host=64, breakers=Breakers(10**9)) as dendrite:
        ports = [server.sockets[0].getsockname()[1] for server in servers]
        peers = [peer(port, uid) for uid, port in enumerate([*ports, dead, axon.port])] * 10
        answered = 0
        for _ in range(100):
            for _ in range(REQUESTS // 100 // len(peers)):
                answered += sum(isinstance(one, Ok) for one in await dendrite.query(peers, Ping()))
            gc.collect()
            memory.append(process.memory_info().rss / 2**20)
            files.append(process.num_fds())
        assert answered > 0
    assert memory[-1] - memory[5] < GROWTH, memory
    assert files[-1] <= files[5] + 64, files
    for server in servers:
        server.close()
