"""One owner thread: the loop never waits, a stuck thread is given up, and what was lost comes back."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from chain_peers import GENESIS, Hang, HangUp, Held, beats, peer, polite, until

from subnet.chain import connection as module
from subnet.chain.connection import MAX_STUCK, Connection
from subnet.chain.session import Session
from subnet.errors import ChainError, ChainMalformed, ChainTimeout, ChainUnreachable, WrongNetwork


@asynccontextmanager
async def connected(url: str, genesis: str | None = None, timeout: float = 60.0) -> AsyncIterator[Connection]:
    connection = Connection(url, genesis, timeout)
    try:
        yield connection
    finally:
        await connection.close()


def genesis_of(session: Session) -> Any:
    return session.call("chain_getBlockHash", 0)


async def test_the_loop_goes_on_while_the_node_keeps_us_waiting() -> None:
    held = Held("chain_getBlockHash")
    async with peer(held) as node, connected(node.url) as connection:
        call = asyncio.create_task(connection.run(genesis_of))
        await asyncio.wait_for(held.asked.wait(), 60)
        await beats()
        assert not call.done()
        held.release()
        assert await call == GENESIS


async def test_calls_behind_a_hanging_one_end_by_their_own_deadlines() -> None:
    def hang(method: str, params: list[Any]) -> Any:
        raise Hang

    async with peer(hang) as node, connected(node.url, timeout=0.5) as connection:
        results = await asyncio.gather(*(connection.run(genesis_of) for _ in range(8)), return_exceptions=True)
    assert {type(result) for result in results} == {ChainTimeout}


async def test_a_thread_stuck_outside_its_socket_is_given_up_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE", 0.2)
    threads: list[threading.Thread] = []

    def endless(session: Session) -> None:
        threads.append(threading.current_thread())
        while True:
            time.sleep(0.01)

    async with peer(polite) as node, connected(node.url) as connection:
        while not threads:  # a job may be given up before its thread came to it
            with pytest.raises(ChainTimeout):
                await connection.run(endless, timeout=60.0, grace=-59.8)
        assert await connection.run(lambda session: threading.current_thread()) not in threads
        await asyncio.to_thread(threads[0].join, 60)
        assert not threads[0].is_alive()


async def test_an_exit_thrown_into_a_thread_ends_its_call_and_not_the_program() -> None:
    def struck(session: Session) -> None:
        raise SystemExit

    async with peer(polite) as node, connected(node.url) as connection:
        with pytest.raises(ChainTimeout):
            await connection.run(struck)
        assert await connection.run(genesis_of) == GENESIS


async def test_stuck_threads_are_counted_and_bounded() -> None:
    release = threading.Event()
    stuck: set[int] = set()

    def job(session: Session) -> None:
        while not release.is_set():
            try:
                stuck.add(threading.get_ident())
                release.wait()
            except SystemExit:  # as a C call would: deaf to what is thrown in
                continue

    async with peer(polite) as node, connected(node.url) as connection:
        while len(stuck) < MAX_STUCK:
            with pytest.raises(ChainTimeout):
                await connection.run(job, timeout=60.0, grace=-59.8)
        before = set(threading.enumerate())
        with pytest.raises(ChainTimeout, match="still hang"):
            await connection.run(genesis_of)
        assert set(threading.enumerate()) <= before
        release.set()
        await until(lambda: not any(owner.thread.is_alive() for owner in connection._stuck))
        assert await connection.run(genesis_of) == GENESIS


async def test_a_lost_connection_comes_back_around_an_idempotent_read() -> None:
    dying = [True, True]

    def script(method: str, params: list[Any]) -> Any:
        if dying:
            dying.pop()
            raise HangUp
        return polite(method, params)

    async with peer(script) as node, connected(node.url) as connection:
        assert await connection.read(genesis_of) == GENESIS
        assert node.connections == 3


async def test_a_plain_run_is_not_tried_again() -> None:
    dying: list[bool] = []

    def script(method: str, params: list[Any]) -> Any:
        if method == "author_submitExtrinsic":
            dying.append(True)
            raise HangUp
        return polite(method, params)

    async with peer(script) as node, connected(node.url) as connection:
        with pytest.raises(ChainUnreachable):
            await connection.run(lambda session: session.call("author_submitExtrinsic", "0x00"))
    assert len(dying) == 1


async def test_patience_with_a_dead_endpoint_is_bounded() -> None:
    async with connected("ws://127.0.0.1:1") as connection:
        with pytest.raises(ChainUnreachable):
            await connection.read(genesis_of, patience=0.3)


async def test_another_chain_on_the_same_port_is_noticed() -> None:
    genesis = [GENESIS, "0x" + "cd" * 32]

    def script(method: str, params: list[Any]) -> Any:
        if method == "leave":
            raise HangUp
        return genesis[0]

    async with peer(script) as node, connected(node.url) as connection:
        assert await connection.run(genesis_of) == GENESIS
        with pytest.raises(ChainUnreachable):
            await connection.run(lambda session: session.call("leave"))
        genesis.pop(0)
        with pytest.raises(WrongNetwork):
            await connection.read(genesis_of)


@pytest.mark.parametrize("answer", [None, "", "0x12", 7, ["0x"], {"a": 1}])
async def test_a_genesis_that_is_no_hash_is_malformed(answer: Any) -> None:
    async with peer(lambda method, params: answer) as node, connected(node.url) as connection:
        with pytest.raises(ChainMalformed):
            await connection.run(genesis_of)


async def test_cancelling_a_call_leaves_the_connection_usable() -> None:
    held = Held("slow")
    async with peer(held) as node, connected(node.url) as connection:
        task = asyncio.create_task(connection.run(lambda session: session.call("slow")))
        await asyncio.wait_for(held.asked.wait(), 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        held.release()
        assert await connection.run(genesis_of) == GENESIS


async def test_a_closed_client_says_so_and_closing_twice_is_fine() -> None:
    async with peer(polite) as node:
        connection = Connection(node.url, None, 60.0)
        assert await connection.run(genesis_of) == GENESIS
        thread = connection._owner.thread if connection._owner else None
        await connection.close()
        await connection.close()
        assert thread is not None
        assert not thread.is_alive()
        with pytest.raises(ChainError, match="closed"):
            await connection.run(genesis_of)


async def test_closing_wakes_a_call_in_flight() -> None:
    def hang(method: str, params: list[Any]) -> Any:
        raise Hang

    async with peer(hang) as node:
        connection = Connection(node.url, None, 60.0)
        task = asyncio.create_task(connection.run(genesis_of))
        await until(lambda: bool(node.asked))
        await connection.close()
        with pytest.raises(ChainUnreachable):
            await asyncio.wait_for(task, 60)
