"""Several endpoints of one chain: what dies, hangs, lies or lags is left for the next, and nobody goes back unseen."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from chain_peers import GENESIS, Hang, HangUp, Peer, Refuse, peer, polite, until

from subnet.chain import Chain
from subnet.chain import connection as connection_module
from subnet.chain import endpoints as module
from subnet.chain import session as session_module
from subnet.chain.connection import Connection
from subnet.chain.endpoints import LAG, LONGEST_REST, Endpoints
from subnet.chain.session import Session
from subnet.errors import ChainError, ChainTimeout, ChainUnreachable, ConfigError, NotASubtensor, WrongNetwork

A, B, C = "ws://a", "ws://b", "ws://c"
OTHER = "0x" + "cd" * 32


class Node:
    """A node's script: its genesis, its head, and what it does with "ask"."""

    def __init__(self, name: str, *, genesis: str = GENESIS, head: int = 100) -> None:
        self.name, self.genesis, self.head = name, genesis, head
        self.fault: Exception | None = None
        self.faulty_methods: tuple[str, ...] = ("ask",)

    def __call__(self, method: str, params: list[Any]) -> Any:
        if self.fault is not None and method in self.faulty_methods:
            raise self.fault
        match method:
            case "chain_getBlockHash":
                return self.genesis
            case "chain_getHeader":
                return {"number": hex(self.head)}
            case "ask":
                return self.name
        raise Refuse(-32601, "Method not found")


@asynccontextmanager
async def served(*scripts: Callable[[str, list[Any]], Any]) -> AsyncIterator[list[Peer]]:
    if not scripts:
        yield []
        return
    async with peer(scripts[0]) as first, served(*scripts[1:]) as rest:
        yield [first, *rest]


@asynccontextmanager
async def connected(*urls: str, genesis: str | None = None, timeout: float = 60.0) -> AsyncIterator[Connection]:
    connection = Connection(list(urls), genesis, timeout)
    try:
        yield connection
    finally:
        await connection.close()


def ask(session: Session) -> Any:
    return session.call("ask")


class Clock:
    """Stands in for the module's time: it goes on when the test says so."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    return made


# The order


@pytest.mark.parametrize("urls", ["", "ws://a,,ws://b", [], ["http://a"], ["ws://a"] * 17, "ws://a, b"])
def test_what_is_no_list_of_endpoints(urls: Any) -> None:
    with pytest.raises(ConfigError):
        Endpoints(urls)


@pytest.mark.parametrize("genesis", ["", "0x12", "ab" * 32, "0x" + "zz" * 32])
def test_what_is_no_genesis_hash(genesis: str) -> None:
    with pytest.raises(ConfigError, match="no genesis hash"):
        Endpoints(A, genesis)


def test_a_list_is_a_list_or_has_commas() -> None:
    assert Endpoints("ws://a, wss://b:1").order() == ["ws://a", "wss://b:1"]
    assert Endpoints(["ws://a", "ws://a"]).order() == ["ws://a"]


def test_the_one_that_failed_comes_last_and_rests_longer_each_time(clock: Clock) -> None:
    ends = Endpoints([A, B, C])
    assert ends.order() == [A, B, C]
    ends.failed(A, ChainTimeout("late"))
    assert ends.order() == [B, C, A]
    ends.use(B)
    assert (ends.chosen, ends.order(), ends.others()) == (B, [B, C, A], [C])
    for rest in (1, 2, 4, 8, 16, 32, LONGEST_REST, LONGEST_REST):
        ends.failed(B, ChainTimeout("late"))
        assert ends._all[B].rests_until - clock.now == rest
    assert ends.order() == [C, A, B]
    clock.now += LONGEST_REST
    assert ends.order() == [B, A, C]


def test_an_old_failure_is_forgiven(clock: Clock) -> None:
    ends = Endpoints([A, B])
    ends.failed(A, ChainTimeout("late"))
    ends.failed(A, ChainTimeout("late"))
    assert ends._all[A].failures == 2
    clock.now += module.FORGIVEN + 1
    ends.failed(A, ChainTimeout("late"))
    assert ends._all[A].failures == 1


@pytest.mark.parametrize("error", [WrongNetwork("another"), NotASubtensor("none")])
def test_one_that_can_t_fit_rests_longest_at_once(error: ChainError, clock: Clock) -> None:
    ends = Endpoints([A, B])
    ends.failed(A, error)
    assert ends._all[A].rests_until == clock.now + LONGEST_REST


def test_the_verdict_names_each() -> None:
    ends = Endpoints([A, B])
    ends.failed(A, ChainTimeout("a is late"))
    assert str(ends.verdict()) == "a is late"
    ends.failed(B, WrongNetwork("b is another"))
    assert isinstance(ends.verdict(), ChainUnreachable)
    assert "a is late; b is another" in ends.verdict().message
    ends.failed(A, WrongNetwork("a is another"))
    assert isinstance(ends.verdict(), WrongNetwork)
    ends.failed(A, ChainTimeout("a is late"))
    ends.failed(B, ChainTimeout("b is late"))
    assert isinstance(ends.verdict(), ChainTimeout)


def test_a_network_is_wrong_where_every_endpoint_was_last_seen_to_be_another(clock: Clock) -> None:
    ends = Endpoints([A, B])
    assert ends.wrong_network() is None
    ends.failed(A, WrongNetwork("a is another"))
    assert ends.wrong_network() is None
    ends.failed(B, WrongNetwork("b is another"))
    told = ends.wrong_network()
    assert told is not None
    assert "a is another; b is another" in told.message
    ends.failed(B, ChainUnreachable("b is gone"))
    assert ends.wrong_network() is None
    ends.failed(B, WrongNetwork("b is another"))
    ends.use(A)
    assert ends.wrong_network() is None
    assert not ends.pinned
    assert Endpoints(A, "0x" + "ab" * 32).pinned


def test_what_was_read_before_holds_for_the_next_one_but_not_for_ever(clock: Clock) -> None:
    ends = Endpoints([A, B])
    ends.saw(A, 100)
    assert ends.floor() == -1
    assert ends.is_late(B, 100 - LAG - 1)
    assert not ends.is_late(B, 100 - LAG)
    assert not ends.is_late(A, 5)  # a chain may be wound back under its only node
    ends.use(B)
    assert ends.floor() == 100
    clock.now += ends.hold
    assert ends.floor() == -1
    assert not ends.is_late(A, 5)


def test_staleness_is_the_chosen_one_s(clock: Clock) -> None:
    ends = Endpoints([A, B])
    ends.saw(A, 5)
    clock.now += 100
    ends.saw(A, 5)
    ends.saw(B, 7)
    assert ends.stale_for() == 100
    ends.saw(A, 6)
    assert ends.stale_for() == 0


# Fail-over


async def test_the_first_that_answers_is_used() -> None:
    async with served(Node("a"), Node("b")) as (a, b), connected(a.url, b.url) as connection:
        assert await connection.read(ask) == "a"
        assert connection.endpoint == a.url
        assert b.connections == 0


async def test_nobody_at_the_first() -> None:
    async with served(Node("b")) as (b,), connected("ws://127.0.0.1:1", b.url) as connection:
        assert await connection.run(ask) == "b"  # even a write's one try: nothing was sent yet
        assert connection.endpoint == b.url


@pytest.mark.parametrize(
    "fault", [Hang(), HangUp(), Refuse(0, "")], ids=["hangs at the handshake", "hangs up", "refuses to say its genesis"]
)
async def test_a_first_that_does_not_come_to_itself(fault: Exception) -> None:
    first = Node("a")
    first.fault, first.faulty_methods = fault, ("chain_getBlockHash",)
    async with served(first, Node("b")) as (a, b), connected(a.url, b.url, timeout=5.0) as connection:
        assert await connection.read(ask) == "b"


@pytest.mark.parametrize("fault", [Hang(), HangUp()], ids=["hangs", "hangs up"])
async def test_a_read_goes_on_at_the_next_under_the_same_deadline(fault: Exception) -> None:
    first, second = Node("a"), Node("b")
    async with served(first, second) as (a, b), connected(a.url, b.url, timeout=60.0) as connection:
        assert await connection.read(ask) == "a"
        first.fault = fault
        connection.timeout = 5.0
        assert await connection.read(ask) == "b"
        assert connection.endpoint == b.url
        first.fault = None
        assert await connection.read(ask) == "b"  # there is no way back in the middle of the calls


async def test_a_plain_run_is_not_given_to_the_next() -> None:
    first = Node("a")
    async with served(first, Node("b")) as (a, b), connected(a.url, b.url) as connection:
        assert await connection.run(ask) == "a"
        first.fault = HangUp()
        with pytest.raises(ChainUnreachable):
            await connection.run(ask)
        assert b.asked.count("ask") == 0
        assert await connection.run(ask) == "b"  # the next call is


async def test_a_thread_stuck_at_one_endpoint_leaves_it() -> None:
    entered: list[str] = []
    release = threading.Event()

    def stuck(session: Session) -> None:
        entered.append(session.endpoint)
        while not release.wait(0.01):
            pass

    async with served(Node("a"), Node("b")) as (a, b), connected(a.url, b.url) as connection:
        assert await connection.run(ask) == "a"
        while not entered:  # a job may be given up before its thread came to it
            with pytest.raises(ChainTimeout):
                await connection.run(stuck, timeout=60.0, grace=-59.8)
        release.set()
        assert await connection.run(ask) == ("b" if entered[0] == a.url else "a")


async def test_what_the_thread_computes_is_no_time_of_the_endpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where another endpoint's metadata is decoded on a busy machine: breaking that off would only begin it anew."""

    class Ahead:
        by = 0.0

        def monotonic(self) -> float:
            return time.monotonic() + self.by

    clock = Ahead()
    monkeypatch.setattr(session_module, "time", clock)
    monkeypatch.setattr(connection_module, "time", clock)
    monkeypatch.setattr(connection_module, "_LOOK", 0.01)
    entered, release = threading.Event(), threading.Event()

    def decode(session: Session) -> Any:
        with session.computing():
            entered.set()
            release.wait(60)
        return session.call("ask")

    async with served(Node("a"), Node("b")) as (a, b), connected(a.url, b.url, timeout=30.0) as connection:
        late = asyncio.create_task(connection.run(decode))
        await asyncio.to_thread(entered.wait, 60)
        clock.by += 50
        await asyncio.sleep(0.1)
        assert not late.done()
        release.set()
        assert await late == "a"
        clock.by += 1000  # one that never ends is given up all the same
        entered.clear()
        release.clear()
        endless = asyncio.create_task(connection.run(decode))
        await asyncio.to_thread(entered.wait, 60)
        clock.by += connection_module.LONGEST_COMPUTING + 40
        with pytest.raises(ChainTimeout):
            await endless
        release.set()


def test_an_endpoint_that_can_t_be_used_is_told_of_once_a_rest(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    ends = Endpoints([A, B])
    for _ in range(20):
        ends.failed(A, ChainTimeout("late"))
        clock.now += 0.01
    assert len(caplog.records) == 1
    clock.now += LONGEST_REST
    ends.failed(A, ChainTimeout("late"))
    assert len(caplog.records) == 2


async def test_a_call_that_waited_for_its_turn_does_not_blame_the_endpoint() -> None:
    """Most of its time went by behind another job; that the rest was too short says nothing of the node."""
    first = Node("a")
    async with served(first, Node("b")) as (a, b), connected(a.url, b.url) as connection:
        assert await connection.run(ask) == "a"
        first.fault = Hang()
        entered, release = threading.Event(), threading.Event()

        def occupy(session: Session) -> None:
            entered.set()
            release.wait(60)

        busy = asyncio.create_task(connection.run(occupy))
        await asyncio.to_thread(entered.wait, 60)
        queued = asyncio.create_task(connection.run(ask, timeout=0.5, grace=60.0))
        await asyncio.sleep(0.4)  # or more: then it is not even begun
        release.set()
        await busy
        with pytest.raises(ChainTimeout):
            await queued
        assert connection.endpoint == a.url
        assert connection.endpoints._all[a.url].failures == 0


async def test_another_chain_is_skipped_where_another_fits_and_told_where_none_does(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with served(Node("x", genesis=OTHER), Node("b")) as (x, b):
        async with connected(x.url, b.url, genesis=GENESIS) as connection:
            assert await connection.read(ask) == "b"
            assert "has genesis" in caplog.text
        async with connected(b.url, x.url) as connection:  # the first that answers says which chain it is
            assert await connection.read(ask) == "b"
            b.script.fault = HangUp()  # type: ignore[attr-defined]
            with pytest.raises(ChainUnreachable):
                await connection.read(ask, patience=0.0)
            assert x.asked.count("ask") == 0
        async with connected(x.url, x.url + "/", genesis=GENESIS) as connection:
            with pytest.raises(WrongNetwork, match="no endpoint can be used"):
                await connection.read(ask, patience=0.0)


async def test_when_all_are_dead_each_is_named() -> None:
    async with connected("ws://127.0.0.1:1", "ws://127.0.0.1:2") as connection:
        with pytest.raises(ChainUnreachable, match=r"127\.0\.0\.1:1.*127\.0\.0\.1:2"):
            await connection.read(ask, patience=0.3)


async def test_a_refusal_is_an_answer_and_not_a_reason_to_leave() -> None:
    first = Node("a")
    first.fault = Refuse(4003, "State already discarded")
    async with served(first, Node("b")) as (a, b), connected(a.url, b.url) as connection:
        with pytest.raises(ChainError, match="already discarded"):
            await connection.read(ask)
        assert connection.endpoint == a.url


async def test_a_node_that_is_behind_is_passed_by_and_used_where_it_is_the_last(
    caplog: pytest.LogCaptureFixture,
) -> None:
    first, late, third = Node("a", head=100), Node("late", head=50), Node("c", head=99)
    async with served(first, late, third) as (a, b, c), connected(a.url, b.url, c.url) as connection:
        assert await connection.read(ask) == "a"
        first.fault = HangUp()
        assert await connection.read(ask) == "c"
        first.fault, first.faulty_methods = HangUp(), ("chain_getBlockHash",)
        third.fault = HangUp()
        third.faulty_methods = ("ask", "chain_getBlockHash")
        assert await connection.read(ask) == "late"
        assert "behind what was read before" in caplog.text
        assert connection.endpoints.floor() == 100


async def test_waiting_for_a_block_does_not_go_back_with_the_endpoint() -> None:
    first, second = Node("a", head=100), Node("b", head=98)  # no further behind than nodes are
    async with served(first, second) as (a, b), connected(a.url, b.url) as connection:
        chain = Chain(connection, GENESIS, 1)
        assert await chain.wait_for_block(100) == 100
        first.fault, first.faulty_methods = HangUp(), ("chain_getBlockHash", "chain_getHeader")
        waiting = asyncio.create_task(chain.wait_for_block(97))
        await until(lambda: b.asked.count("chain_getHeader") > 2)
        assert not waiting.done()
        second.head = 101
        assert await waiting == 101
        assert await chain.wait_for_block(97) == 101


async def test_calls_at_once_survive_a_fail_over() -> None:
    first = Node("a")
    async with served(first, Node("b")) as (a, b), connected(a.url, b.url) as connection:
        assert await connection.read(ask) == "a"
        first.fault = Hang()
        connection.timeout = 5.0
        answers = await asyncio.gather(*(connection.read(ask) for _ in range(20)))
    assert set(answers) == {"b"}


async def test_one_endpoint_is_asked_no_more_than_it_was() -> None:
    """A comparison of heads costs nothing where there is nothing to compare."""
    async with peer(polite) as node, connected(node.url) as connection:
        assert await connection.read(lambda session: session.call("chain_getBlockHash", 0)) == GENESIS
        assert node.asked == ["chain_getBlockHash"] * 2
