"""``await`` never blocks the loop: a 10 ms heartbeat goes on while nodes hang, in every way.

A busy machine delays any heartbeat now and then, a loop that waits for a node delays it each time. So a round is
repeated until the heart was never late, or no later than a loop with nothing to do is on that machine; what blocks
is late in all of them, by all the time for which its node hangs.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Future
from contextlib import AsyncExitStack, aclosing
from typing import Any

import pytest
from chain_peers import Hang, peer, tcp

from subnet.chain import Chain
from subnet.chain.connection import Connection
from subnet.chain.owner import Owner
from subnet.chain.session import Session
from subnet.errors import ChainError, ChainTimeout, ChainUnreachable

JITTER = 0.05
"""Seconds that a beat may be late."""
BEAT = 0.01
ROUNDS = 30
HANG = 0.4
"""Seconds that a round's calls hang for."""


async def lateness(work: Awaitable[Any]) -> float:
    """The worst delay of a beat while ``work`` went on, in seconds."""
    task, worst = asyncio.ensure_future(work), 0.0
    while not task.done():
        due = time.monotonic() + BEAT
        await asyncio.sleep(BEAT)
        worst = max(worst, time.monotonic() - due)
    await task
    return worst


async def is_steady(work: Callable[[], Awaitable[Any]], rounds: int = ROUNDS) -> bool:
    """Whether in one of the rounds no beat was late by JITTER, or by what a busy machine does to an idle loop."""
    for _ in range(rounds):
        late = await lateness(work())
        if late < JITTER or late < min(HANG / 2, 3 * await lateness(asyncio.sleep(HANG))):
            return True
    return False


@pytest.fixture
async def hanging() -> AsyncIterator[list[str]]:
    """Nodes that take a connection and nothing more, shake hands and nothing more, or have no room for a connection."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    def hang(method: str, params: list[Any]) -> Any:
        raise Hang

    async with AsyncExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):  # the kernel's queue is full: a connection is neither taken nor refused
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        yield [
            await stack.enter_async_context(tcp(silent)),
            (await stack.enter_async_context(peer(hang))).url,
            f"ws://127.0.0.1:{full.getsockname()[1]}",
        ]


async def hang_on(urls: list[str]) -> None:
    """Calls, reads of several endpoints, and heads, all of which hang."""

    async def heads(chain: Chain) -> None:
        async with aclosing(chain.heads()) as stream:
            await asyncio.wait_for(anext(stream), HANG)

    connections = [Connection(url, None, HANG) for url in urls] + [Connection(urls, None, HANG)]
    chains = [Chain(connection, "0x", 1) for connection in connections]
    calls = [chain.block_number() for chain in chains for _ in range(3)] + [heads(chain) for chain in chains]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(outcome, (ChainTimeout, ChainUnreachable, TimeoutError)) for outcome in outcomes), outcomes
    await asyncio.gather(*(chain.close() for chain in chains))


async def test_the_heart_beats_while_nodes_hang(hanging: list[str]) -> None:
    assert await is_steady(lambda: hang_on(hanging))


async def test_the_heart_beats_while_a_name_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, answer = threading.Event(), threading.Event()

    def lookup(*_: Any, **__: Any) -> Any:
        asked.set()
        answer.wait(60)
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    chain = Chain(Connection("ws://slow.example", None, 60.0), "0x", 1)
    call = asyncio.ensure_future(chain.block_number())
    await asyncio.to_thread(asked.wait, 60)
    assert await is_steady(lambda: asyncio.sleep(HANG))
    assert not call.done()
    answer.set()
    await chain.close()
    with pytest.raises(ChainError):
        await call


async def test_a_client_that_blocks_would_be_found_out(hanging: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The measure itself: with jobs on the loop instead of the thread, no round is steady."""

    def on_the_loop(self: Owner, job: Callable[[Any], Any], deadline: float) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            self.session.prepare(deadline)
            future.set_result(job(self.session))
        except BaseException as error:
            future.set_exception(error)
        return future

    async def one_call() -> None:
        connection = Connection(hanging[0], None, HANG)
        with pytest.raises(ChainTimeout):
            await connection.run(Session.head)
        await connection.close()

    assert await is_steady(one_call)
    monkeypatch.setattr(Owner, "put", on_the_loop)
    assert not await is_steady(one_call, rounds=3)
