"""Many peers at once: the hung don't starve the healthy, results come as they are there, the first of several wins."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from substrateinterface import Keypair

from subnet.axon import Axon
from subnet.breaker import Breakers
from subnet.dendrite import Dendrite, Failure, Ok, Reason
from subnet.errors import DeclarationError
from subnet.synapse import Message, Synapse
from subnet.types import AxonInfo, Hotkey, Netuid, Neuron, Uid

CALLER = Keypair.create_from_uri("//Caller")
MINERS = [Keypair.create_from_uri(f"//Miner{i}") for i in range(3)]


class Pong(Message):
    uid: int


class Ping(Synapse[Pong], timeout=60.0, idempotent=True):
    pass


class Order(Synapse[Pong]):
    pass


class Held:
    """Miners, each of which answers when it is let go."""

    def __init__(self) -> None:
        self.go = [asyncio.Event() for _ in MINERS]
        self.asked = [asyncio.Event() for _ in MINERS]
        self.cancelled = [asyncio.Event() for _ in MINERS]
        self.peers: list[Neuron] = []
        self.axons: list[Axon] = []

    async def start(self) -> None:
        for number, key in enumerate(MINERS):
            axon = Axon(key, netuid=Netuid(2))
            axon.serve(self.handler(number))
            await axon.start()
            self.axons.append(axon)
            self.peers.append(Neuron(Uid(number), Hotkey(key.ss58_address), axon=AxonInfo("127.0.0.1", axon.port)))

    def handler(self, number: int):  # type: ignore[no-untyped-def]
        async def ping(request: Ping) -> Pong:
            self.asked[number].set()
            await self.go[number].wait()
            return Pong(uid=number)

        return ping


@pytest.fixture
async def held() -> AsyncIterator[Held]:
    held = Held()
    await held.start()
    yield held
    for event in held.go:
        event.set()
    for axon in held.axons:
        await axon.stop()


@pytest.fixture
async def dendrite() -> AsyncIterator[Dendrite]:
    async with Dendrite(CALLER, netuid=Netuid(2)) as dendrite:
        yield dendrite


async def test_150_hung_peers_asked_first_leave_106_of_106_healthy_ones(dendrite: Dendrite) -> None:
    """What aiohttp's own limit of 100 connections turns into 0 of 106."""
    taken = asyncio.Event()
    hung = 0

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal hung
        hung += 1
        if hung == 150:
            taken.set()
        await reader.read(-1)  # until the asker hangs up
        writer.close()

    async def ping(request: Ping) -> Pong:
        await taken.wait()  # every hung peer has its connection: none may stand in the way
        return Pong(uid=0)

    servers = [await asyncio.start_server(hang, f"127.0.1.{i + 1}", 0) for i in range(150)]
    axon = Axon(MINERS[0], netuid=Netuid(2))
    axon.serve(ping)
    async with axon:
        peers = [
            Neuron(Uid(i), Hotkey(MINERS[1].ss58_address), axon=AxonInfo(*server.sockets[0].getsockname()[:2]))
            for i, server in enumerate(servers)
        ]
        peers += [
            Neuron(Uid(i), Hotkey(MINERS[0].ss58_address), axon=AxonInfo("127.0.0.1", axon.port))
            for i in range(150, 256)
        ]
        answered = 0
        async with asyncio.timeout(60), dendrite.as_completed(peers, Ping()) as results:
            async for result in results:
                assert isinstance(result, Ok), result
                answered += 1
                if answered == 106:
                    break
    for server in servers:
        server.close()
        await server.wait_closed()


async def test_results_come_as_they_are_there(dendrite: Dendrite, held: Held) -> None:
    seen = []
    held.go[2].set()
    async with asyncio.timeout(60), dendrite.as_completed(held.peers, Ping()) as results:
        async for result in results:
            assert isinstance(result, Ok)
            seen.append(result.uid)
            held.go[{2: 0, 0: 1, 1: 1}[result.uid]].set()
    assert seen == [2, 0, 1]


async def test_leaving_early_cancels_the_rest(dendrite: Dendrite, held: Held) -> None:
    held.go[0].set()
    async with asyncio.timeout(60), dendrite.as_completed(held.peers, Ping()) as results:
        assert isinstance(await anext(results), Ok)
    assert [task for task in asyncio.all_tasks() if "_ask" in repr(task)] == []


async def test_a_slow_peer_is_raced_by_the_next(dendrite: Dendrite, held: Held) -> None:
    asked = asyncio.create_task(dendrite.first(held.peers, Ping(), hedge=0.01))
    async with asyncio.timeout(60):
        for event in held.asked:
            await event.wait()
        held.go[1].set()
        result = await asked
    assert isinstance(result, Ok)
    assert result.value.uid == 1


async def test_a_peer_that_fails_is_followed_by_the_next_at_once(dendrite: Dendrite, held: Held) -> None:
    dead = Neuron(Uid(9), Hotkey(MINERS[0].ss58_address))
    held.go[0].set()
    async with asyncio.timeout(60):
        result = await dendrite.first([dead, dead, held.peers[0]], Ping(), hedge=3600.0)
        assert isinstance(result, Ok)
        last = await dendrite.first([dead, dead], Ping(), hedge=3600.0)
    assert isinstance(last, Failure)
    assert last.reason is Reason.NO_AXON


async def test_the_first_alone_is_asked_while_it_is_quick(dendrite: Dendrite, held: Held) -> None:
    for event in held.go:
        event.set()
    result = await dendrite.first(held.peers, Ping(), hedge=3600.0)
    assert isinstance(result, Ok)
    assert [event.is_set() for event in held.asked] == [True, False, False]


async def test_only_what_is_declared_idempotent_is_raced(dendrite: Dendrite, held: Held) -> None:
    with pytest.raises(DeclarationError, match="idempotent"):
        await dendrite.first(held.peers, Order(), hedge=1.0)
    with pytest.raises(ValueError, match="peer"):
        await dendrite.first([], Ping(), hedge=1.0)


async def test_a_peer_that_hangs_is_left_alone_after_a_few_times(held: Held) -> None:
    async with Dendrite(CALLER, netuid=Netuid(2), breakers=Breakers(3, 3600.0, 3600.0)) as dendrite:
        codes = []
        for _ in range(5):
            (result,) = await dendrite.query(held.peers[:1], Ping(), timeout=0.05)
            assert isinstance(result, Failure)
            codes.append(result.code)
        assert codes == ["dendrite.timeout"] * 3 + ["dendrite.circuit-open"] * 2
        held.go[1].set()
        (other,) = await dendrite.query(held.peers[1:2], Ping())
        assert isinstance(other, Ok)
