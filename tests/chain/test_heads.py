"""Heads as they come: none is skipped, forks are marked, and nothing is left behind by who stops reading."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from chain_peers import GENESIS, Hang, HangUp, Peer, Refuse, beats, peer, until

from subnet.chain import Chain, Head
from subnet.chain import heads as module
from subnet.chain.client import Chain as Client
from subnet.chain.connection import Connection
from subnet.chain.heads import MAX_GAP, WAITING, read_header
from subnet.devnet import devnet
from subnet.errors import ChainError, ChainMalformed, WrongNetwork

ROOT = "0x" + "11" * 32


class Forest:
    """A node whose blocks grow as the test says, forks too; each of ``faults`` is raised once."""

    def __init__(self, genesis: str = GENESIS) -> None:
        self.genesis = genesis
        self.headers: dict[str, dict[str, Any]] = {}
        self.numbers: dict[str, int] = {}
        self.head = self.grow(GENESIS, 100, "trunk")
        self.peer: Peer | None = None
        self.subscriptions = True
        self.faults: list[tuple[str, Exception]] = []

    def grow(self, parent: str, number: int, name: str) -> str:
        """A block on top of ``parent``; it becomes the head."""
        header = {
            "parentHash": parent,
            "number": hex(number),
            "stateRoot": ROOT,
            "extrinsicsRoot": ROOT,
            "digest": {"logs": ["0x" + name.encode().hex()]},
        }
        found = read_header(header).hash
        self.headers[found], self.numbers[found], self.head = header, number, found
        return found

    def more(self, count: int = 1, name: str = "trunk") -> list[str]:
        """Blocks on the head; their hashes."""
        return [self.grow(self.head, self.numbers[self.head] + 1, name) for _ in range(count)]

    async def tell(self, found: str | None = None) -> None:
        assert self.peer is not None
        await self.peer.push("chain_newHead", self.headers[found or self.head])

    def __call__(self, method: str, params: list[Any]) -> Any:
        if self.faults and self.faults[0][0] == method:
            raise self.faults.pop(0)[1]
        match method:
            case "chain_getBlockHash":
                return self.genesis
            case "chain_getHeader":
                return self.headers.get(params[0] if params else self.head)
            case "chain_getFinalizedHead":
                return self.head
            case "chain_subscribeNewHeads" | "chain_subscribeFinalizedHeads" if self.subscriptions:
                return "s1"
        raise Refuse(-32601, "Method not found")


@asynccontextmanager
async def grown(**fields: Any) -> AsyncIterator[Forest]:
    forest = Forest()
    for name, value in fields.items():
        setattr(forest, name, value)
    async with peer(forest) as served:
        forest.peer = served
        yield forest


@asynccontextmanager
async def followed(*urls: str, finalized: bool = False) -> AsyncIterator[AsyncGenerator[Head, None]]:
    connection = Connection(list(urls), None, 60.0)
    chain = Client(connection, GENESIS, 1)
    try:
        async with aclosing(chain.heads(finalized=finalized)) as heads:
            yield heads
    finally:
        await chain.close()


async def take(heads: AsyncGenerator[Head, None], count: int) -> list[Head]:
    async with asyncio.timeout(60):
        return [await anext(heads) for _ in range(count)]


def url(forest: Forest) -> str:
    assert forest.peer is not None
    return forest.peer.url


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that says nothing is asked soon, and tried again soon."""
    monkeypatch.setattr(module, "QUIET", 0.1)
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.02)
    monkeypatch.setattr(module, "LONGEST_PAUSE", 0.1)


def heads_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("heads ")]


async def gone() -> None:
    await until(lambda: not heads_threads())


async def test_heads_come_as_they_are_told() -> None:
    async with grown() as forest, followed(url(forest)) as heads:
        (first,) = await take(heads, 1)
        assert (first.number, first.hash, first.parent) == (100, forest.head, GENESIS)
        (name,) = forest.more()
        await forest.tell()
        assert await take(heads, 1) == [Head(101, name, first.hash, ROOT, ROOT)]  # type: ignore[arg-type]


async def test_what_was_not_told_is_asked_for() -> None:
    """A subscription that the node forgot, on a connection that lives."""
    async with grown() as forest, followed(url(forest)) as heads:
        await take(heads, 1)
        names = forest.more(2)
        assert [head.hash for head in await take(heads, 2)] == names


@pytest.mark.parametrize("finalized", [False, True])
async def test_a_node_that_refuses_subscriptions_is_polled(finalized: bool) -> None:
    async with grown(subscriptions=False) as forest, followed(url(forest), finalized=finalized) as heads:
        await take(heads, 1)
        names = forest.more(3)
        assert [head.hash for head in await take(heads, 3)] == names


async def test_a_gap_is_filled() -> None:
    async with grown() as forest, followed(url(forest)) as heads:
        await take(heads, 1)
        names = forest.more(20)
        await forest.tell()
        found = await take(heads, 20)
        assert [head.hash for head in found] == names
        assert [head.number for head in found] == list(range(101, 121))
        assert not any(head.reorg or head.missed for head in found)


async def test_a_gap_over_the_limit_says_so(caplog: pytest.LogCaptureFixture) -> None:
    async with grown() as forest, followed(url(forest)) as heads:
        await take(heads, 1)
        names = forest.more(MAX_GAP + 44)
        await forest.tell()
        found = await take(heads, MAX_GAP + 1)
        assert [head.hash for head in found] == names[43:]
        assert [head.missed for head in found] == [43] + [0] * MAX_GAP
        assert "43 blocks" in caplog.text


async def test_a_fork_is_marked_and_its_blocks_come_in_order() -> None:
    async with grown() as forest, followed(url(forest)) as heads:
        (root,) = await take(heads, 1)
        forest.more(3)
        await forest.tell()
        await take(heads, 3)
        forest.head = root.hash
        branch = forest.more(4, "branch")
        await forest.tell()
        found = await take(heads, 4)
        assert [head.hash for head in found] == branch
        assert [(head.number, head.reorg) for head in found] == [(101, True), (102, True), (103, True), (104, False)]


async def test_a_lost_connection_is_made_anew_and_nothing_is_missed() -> None:
    async with grown() as forest, followed(url(forest)) as heads:
        await take(heads, 1)
        names = []
        for _ in range(3):
            assert forest.peer is not None
            await forest.peer.drop_all()
            names += forest.more(2)
            assert [head.hash for head in await take(heads, 2)] == names[-2:]
        await forest.peer.drop_all()
        forest.faults = [("chain_subscribeNewHeads", HangUp()), ("chain_getBlockHash", HangUp())]
        names += forest.more(2)
        assert [head.hash for head in await take(heads, 2)] == names[-2:]


async def test_a_node_that_hangs_is_noticed_and_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 1.0)
    async with grown() as first, grown() as second, followed(url(first), url(second)) as heads:
        await take(heads, 1)
        first.faults = [("chain_getHeader", Hang())] * 1000
        second.more(2)
        assert [head.number for head in await take(heads, 2)] == [101, 102]


async def test_a_node_behind_the_last_one_says_nothing_twice() -> None:
    async with grown() as first, grown() as second, followed(url(first), url(second)) as heads:
        await take(heads, 1)
        first.more(2)
        await first.tell()
        first.faults = [("chain_getBlockHash", HangUp())] * 1000
        assert first.peer is not None
        await first.peer.drop_all()
        await until(lambda: second.peer is not None and second.peer.asked.count("chain_getHeader") > 1)
        names = second.more(4)
        found = await take(heads, 4)
        assert [head.hash for head in found] == names  # 101 and 102 are the first one's too, and come once
        assert not any(head.reorg or head.missed for head in found)


async def test_a_chain_that_is_wound_back_far_goes_on_from_there() -> None:
    async with grown() as forest, followed(url(forest)) as heads:
        await take(heads, 1)
        forest.more(700)
        await forest.tell()
        await take(heads, MAX_GAP + 1)
        back = forest.grow(GENESIS, 7, "wound back")
        await forest.tell()
        (found,) = await take(heads, 1)
        assert (found.hash, found.number, found.reorg) == (back, 7, True)
        forest.more(1)
        await forest.tell()
        (found,) = await take(heads, 1)
        assert (found.number, found.reorg) == (8, False)


async def test_a_slow_reader_is_waited_for_and_skips_nothing() -> None:
    async with grown() as forest, followed(url(forest)) as heads:
        await take(heads, 1)
        total = WAITING * 3
        for _ in range(total):
            forest.more(1)
            await forest.tell()
        assert [head.number for head in await take(heads, total)] == list(range(101, 101 + total))
        assert forest.peer is not None
        assert forest.peer.connections == 1


async def test_the_heads_that_wait_are_bounded() -> None:
    forest = Forest()
    async with peer(forest) as served:
        forest.peer = served
        stream = module.HeadStream(Connection(served.url, None, 60.0).endpoints, finalized=False, timeout=60.0)
        try:
            await until(lambda: len(stream._waiting) == 1)
            for _ in range(WAITING * 4):
                forest.more(1)
                await forest.tell()
            await until(lambda: len(stream._waiting) == WAITING)
            await beats()
            assert len(stream._waiting) == WAITING
            numbers = [(await stream.next()).number for _ in range(1 + WAITING * 4)]
            assert numbers == list(range(100, 101 + WAITING * 4))
        finally:
            stream.close()
    await gone()


@pytest.mark.parametrize("way", ["break", "close", "cancel"])
async def test_who_stops_reading_leaves_no_thread_and_no_socket(way: str) -> None:
    async with grown() as forest:
        assert forest.peer is not None
        chain = Client(Connection(forest.peer.url, None, 60.0), GENESIS, 1)
        heads = chain.heads()
        await take(heads, 1)
        assert heads_threads()
        if way == "break":
            forest.more(1)
            async for _ in heads:
                break
            await heads.aclose()
        elif way == "close":
            await chain.close()
            with pytest.raises(ChainError, match="closed"):
                await take(heads, 1)
        else:
            task = asyncio.create_task(anext(heads))  # type: ignore[arg-type]
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await gone()
        await until(lambda: forest.peer is not None and not forest.peer._open)
        assert not chain._streams
        assert chain._connection.endpoints._all[forest.peer.url].failures == 0  # that we hung up is not its fault
        await chain.close()
        with pytest.raises(ChainError, match="closed"):
            await take(chain.heads(), 1)
        assert not heads_threads()


async def test_another_chain_ends_the_heads() -> None:
    async with grown() as forest, followed(url(forest)) as heads:
        await take(heads, 1)
        forest.genesis = "0x" + "cd" * 32
        assert forest.peer is not None
        await forest.peer.drop_all()
        with pytest.raises(WrongNetwork):
            await take(heads, 1)


@pytest.mark.parametrize(
    "header",
    [
        None,
        7,
        {},
        {"number": "0x1"},
        {"number": "-0x1", "parentHash": ROOT, "stateRoot": ROOT, "extrinsicsRoot": ROOT, "digest": {"logs": []}},
        {"number": "0x1", "parentHash": ROOT, "stateRoot": "0x", "extrinsicsRoot": ROOT, "digest": {"logs": []}},
        {"number": "0x1", "parentHash": ROOT, "stateRoot": ROOT, "extrinsicsRoot": ROOT, "digest": {"logs": [7]}},
        {
            "number": "0x1",
            "parentHash": ROOT,
            "stateRoot": ROOT,
            "extrinsicsRoot": ROOT,
            "digest": {"logs": ["0x"] * 65},
        },
        {
            "number": "0x" + "f" * 17,
            "parentHash": ROOT,
            "stateRoot": ROOT,
            "extrinsicsRoot": ROOT,
            "digest": {"logs": []},
        },
    ],
)
def test_a_header_that_is_none(header: Any) -> None:
    with pytest.raises(ChainMalformed):
        read_header(header)


async def test_a_lying_header_is_left_and_the_truth_comes_after() -> None:
    async with grown() as forest, followed(url(forest)) as heads:
        await take(heads, 1)
        assert forest.peer is not None
        await forest.peer.push("chain_newHead", {"number": "many"})
        names = forest.more(2)
        assert [head.hash for head in await take(heads, 2)] == names


@pytest.mark.e2e
async def test_heads_of_a_node_have_the_hashes_that_it_gives() -> None:
    with devnet(production="manual") as node:
        async with await Chain.connect(node.url, timeout=60.0) as chain, aclosing(chain.heads()) as heads:
            await asyncio.to_thread(node.new_blocks, 3)
            found = await take(heads, 1)
            while found[-1].number < 3:
                found += await take(heads, 1)
            for head in found:
                assert await chain.block_hash(head.number) == head.hash
            assert chain.stale_for < 60
            async with aclosing(chain.heads(finalized=True)) as final:
                (last,) = await take(final, 1)
                assert last.number == 3


@pytest.mark.e2e
async def test_a_local_chain_that_goes_back_in_time_is_a_fork() -> None:
    with devnet(production="manual") as node:
        async with await Chain.connect(node.url, timeout=60.0) as chain, aclosing(chain.heads()) as heads:
            await take(heads, 1)
            await asyncio.to_thread(node.new_blocks, 2)
            before = await asyncio.to_thread(node.snapshot)
            await asyncio.to_thread(node.new_blocks, 3)
            assert [head.number for head in await take(heads, 5)] == [1, 2, 3, 4, 5]
            await asyncio.to_thread(node.revert, before)
            await asyncio.to_thread(node.new_blocks, 2)
            found = await take(heads, 2)
            assert [(head.number, head.reorg) for head in found] == [(3, True), (4, True)]
            assert await chain.wait_for_block(3, timeout=60) == 4
