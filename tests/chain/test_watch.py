"""The eye on the endpoints: who vanished is noticed between calls, who lags is left, the preferred gone back to."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from chain_peers import GENESIS, Hang, HangUp, Refuse, beats, peer, tcp, until

from subnet.chain import Chain
from subnet.chain import heads as heads_module
from subnet.chain import watch as module
from subnet.chain.connection import GRACE, Connection
from subnet.chain.endpoints import LAG
from subnet.chain.watch import Watch, stale_after
from subnet.devnet import devnet
from subnet.errors import ChainError


class Node:
    """A node's script: how far it is, which chain it is, and whether it answers."""

    def __init__(self, head: int = 100, genesis: str = GENESIS) -> None:
        self.head, self.genesis = head, genesis
        self.fault: Exception | None = None
        self.url = ""

    def __call__(self, method: str, params: list[Any]) -> Any:
        if self.fault is not None:
            raise self.fault
        if method == "chain_getBlockHash":
            return self.genesis
        if method == "chain_getHeader":
            return {"number": hex(self.head)}
        raise Refuse(-32601, "Method not found")


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EVERY", 0.05)
    monkeypatch.setattr(module, "OTHERS_EVERY", 0.05)


@asynccontextmanager
async def served(*nodes: Node) -> AsyncIterator[None]:
    async with contextlib.AsyncExitStack() as stack:
        for node in nodes:
            node.url = (await stack.enter_async_context(peer(node))).url
        yield


@asynccontextmanager
async def watched(*urls: str, stale: float = 3600.0, genesis: str | None = GENESIS) -> AsyncIterator[Connection]:
    connection = Connection(list(urls), genesis, 60.0)
    watch = Watch(connection, stale)
    watch.start()
    try:
        yield connection
    finally:
        await watch.stop()
        await connection.close()


def test_who_vanishes_is_noticed_within_30_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    # at the worst it vanishes right after a look, and the other endpoints keep the next one waiting
    assert module.EVERY + module.OTHERS_PATIENCE + GRACE + module.PATIENCE < 30
    assert heads_module.QUIET + heads_module.PATIENCE < 30


def test_how_long_a_head_may_stand() -> None:
    assert stale_after(12.0) == 60
    assert stale_after(0.25) == 30


async def test_the_preferred_one_is_gone_back_to() -> None:
    first, second = Node(), Node()
    first.fault = HangUp()
    async with served(first, second), watched(first.url, second.url) as connection:
        assert await connection.read(lambda session: session.endpoint) == second.url
        first.fault = None
        await until(lambda: connection.endpoint == first.url)
        assert await connection.read(lambda session: session.endpoint) == first.url


async def test_a_preferred_one_that_still_lags_is_not() -> None:
    first, second = Node(head=100), Node(head=100 + LAG + 1)
    async with served(first, second), watched(first.url, second.url) as connection:
        await until(lambda: connection.endpoint == second.url)
        first.head += 1  # now it lags by no more than nodes do
        await until(lambda: connection.endpoint == first.url)


async def test_one_that_stands_still_is_left_where_another_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    first, second = Node(head=100), Node(head=100)
    async with served(first, second), watched(first.url, second.url, stale=0.5) as connection:
        await until(lambda: connection.endpoints.stale_for() > 0.6)
        assert connection.endpoint == first.url  # both stand still: nobody is better
        second.head += 1
        await until(lambda: connection.endpoint == second.url)
        assert "stands still at 100" in caplog.text
        await beats()  # it answers, but it stands: while the other is further it is not gone back to
        assert connection.endpoint == second.url

        def both_go_on() -> bool:
            first.head = second.head = second.head + 1
            return connection.endpoint == first.url

        await until(both_go_on)


async def test_one_that_hangs_is_left_between_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 1.0)
    first, second = Node(), Node()
    async with served(first, second), watched(first.url, second.url) as connection:
        assert await connection.read(lambda session: session.endpoint) == first.url
        first.fault = Hang()
        await until(lambda: connection.endpoint == second.url)


async def test_another_chain_in_the_list_is_told_at_once(caplog: pytest.LogCaptureFixture) -> None:
    first, other = Node(), Node(genesis="0x" + "cd" * 32, head=10**6)
    async with served(first, other), watched(first.url, other.url):
        await until(lambda: "has genesis" in caplog.text)


async def test_a_single_one_that_stands_still_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    node = Node()
    async with served(node), watched(node.url, stale=0.2) as connection:
        await until(lambda: "stands still" in caplog.text)
        assert connection.endpoints.stale_for() >= 0.2
        await beats()
        assert caplog.text.count("stands still") == 1
        node.head += 1
        await until(lambda: caplog.text.count("stands still") == 2)


# Half-open sockets: a proxy that takes our bytes, acknowledges them, and gives none back


class Swallower:
    """A TCP proxy before a node; ``deaf`` lets bytes in and none out, ``connections`` are counted."""

    def __init__(self, target: str) -> None:
        self._host, self._port = target.removeprefix("ws://").split(":")
        self.deaf = asyncio.Event()
        self.connections = 0
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        deaf = self.deaf
        behind_reader, behind_writer = await asyncio.open_connection(self._host, self._port)

        async def carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):
                while data := await source.read(65536):
                    if not deaf.is_set():
                        sink.write(data)
                        await sink.drain()
            if not deaf.is_set():
                sink.close()

        try:
            await asyncio.gather(carry(reader, behind_writer), carry(behind_reader, writer))
        finally:
            behind_writer.close()

    def vanish(self) -> None:
        """All connections that there are fall silent; new ones live."""
        self.deaf.set()
        self.deaf = asyncio.Event()


@asynccontextmanager
async def swallowing(target: str) -> AsyncIterator[Swallower]:
    proxy = Swallower(target)
    async with tcp(proxy.serve) as url:
        proxy.url = url
        yield proxy


async def test_a_half_open_socket_is_noticed_while_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 1.0)
    node = Node()
    async with served(node), swallowing(node.url) as proxy, watched(proxy.url) as connection:
        assert await connection.read(lambda session: session.head()) == 100
        proxy.vanish()
        await until(lambda: proxy.connections >= 2)  # nobody asked: the watch found out and connected anew
        assert await connection.read(lambda session: session.head()) == 100


async def test_a_half_open_socket_of_the_heads_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads_module, "QUIET", 0.2)
    monkeypatch.setattr(heads_module, "PATIENCE", 1.0)
    with devnet(production="manual") as node:
        async with swallowing(node.url) as proxy, await Chain.connect(proxy.url, timeout=60.0) as chain:
            heads = chain.heads()
            first = await anext(heads)
            proxy.vanish()
            await asyncio.to_thread(node.new_blocks, 2)
            assert [(await anext(heads)).number for _ in range(2)] == [first.number + 1, first.number + 2]
            await heads.aclose()


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_a_half_open_socket_within_30_seconds_as_shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    with devnet(production="manual") as node:
        async with swallowing(node.url) as proxy, await Chain.connect(proxy.url) as chain:
            heads = chain.heads()
            await anext(heads)
            before, started = proxy.connections, time.monotonic()
            proxy.vanish()
            await asyncio.to_thread(node.new_blocks, 1)
            told: Callable[[], bool] = lambda: proxy.connections >= before + 2  # noqa: E731
            await until(told)
            assert time.monotonic() - started < 30
            assert (await anext(heads)).number == 1
            await heads.aclose()


async def test_a_client_that_ends_leaves_no_watch_behind() -> None:
    before = asyncio.all_tasks()
    with devnet(production="manual") as node:
        chain = await Chain.connect(node.url, timeout=60.0)
        assert {task.get_name() for task in asyncio.all_tasks() - before} == {"chain watch"}
        await chain.close()
        await chain.close()
        assert asyncio.all_tasks() == before
        with pytest.raises(ChainError, match="closed"):
            await chain.block_number()
