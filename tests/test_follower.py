"""The follower keeps the last snapshot, whatever the chain does, and says what keeps it from a newer one."""

from __future__ import annotations

import asyncio

import pytest

from subnet import follower as under_test
from subnet import service
from subnet.errors import NoSuchSubnet, NotRegistered
from subnet.follower import Follower
from subnet.health import Health
from subnet.service import Loops
from subnet.telemetry import Metrics
from subnet.types import Hotkey
from tests.memory_chain import NETUID, MemoryChain, neuron
from tests.waiting import until


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(service, "LONGEST_PAUSE", 0.01)


async def test_the_follower_refreshes_every_few_blocks_and_survives_the_chain() -> None:
    chain = MemoryChain([neuron("5Me")])
    metrics = Metrics(netuid=2, hotkey="5Me", role="miner")
    follower = Follower(chain, NETUID, Hotkey("5Me"), every=3, metrics=metrics)
    heard: list[int] = []
    follower.listen(lambda snapshot: heard.append(snapshot.block))
    with pytest.raises(RuntimeError):
        _ = follower.snapshot
    assert (await follower.registered()).hotkey == "5Me"
    loops = Loops()
    loops.start("metagraph", follower.follow)
    await asyncio.sleep(0.01)
    chain.advance(2)
    await asyncio.sleep(0.01)
    assert heard == [100]
    chain.advance(1)
    await until(lambda: heard == [100, 103])
    chain.down = True
    chain.advance(5)
    await until(lambda: loops.failures["metagraph"] > 1)
    assert follower.snapshot.block == 103
    assert b"subnet_chain_reachable{" in metrics.render()[0]
    chain.down = False
    await until(lambda: heard[-1] == 108)
    await loops.stop()


async def test_a_stalled_chain_is_a_failure_not_a_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "SHORTEST_STALL", 0.01)
    monkeypatch.setattr(under_test, "STALL_PER_BLOCK", 0.001)
    follower = Follower(MemoryChain([neuron("5Me")]), NETUID, Hotkey("5Me"), every=3)
    await follower.refresh()
    loops = Loops()
    loops.start("metagraph", follower.follow)
    await until(lambda: loops.failures["metagraph"] > 0)
    await loops.stop()


async def test_an_unregistered_hotkey_is_told_how_to_register() -> None:
    follower = Follower(MemoryChain([neuron("5Other")]), NETUID, Hotkey("5Me"), every=3)
    with pytest.raises(NotRegistered) as caught:
        await follower.registered()
    assert "subnet register --netuid 2" in caught.value.remedy


async def test_health_hears_of_a_subnet_that_is_gone_until_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    chain, health = MemoryChain([neuron("5Me")]), Health()
    follower = Follower(chain, NETUID, Hotkey("5Me"), every=1, health=health)
    await follower.refresh()
    there = chain.metagraph

    async def gone(*_: object, **__: object) -> None:
        raise NoSuchSubnet("there is no subnet 2")

    monkeypatch.setattr(chain, "metagraph", gone)
    loops = Loops()
    loops.start("metagraph", follower.follow)
    chain.advance()
    await until(lambda: bool(health.troubles))
    (trouble,) = health.troubles
    assert (trouble.name, trouble.reason) == ("metagraph", "there is no subnet 2")
    assert "subnet create" in trouble.remedy
    assert follower.snapshot.block == 100
    monkeypatch.setattr(chain, "metagraph", there)
    await until(lambda: not health.troubles)
    assert follower.snapshot.block == 101
    await loops.stop()


async def test_a_wait_ends_where_the_chain_went_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "RESET_CHECK", 0.001)
    chain = MemoryChain()
    waiting = asyncio.create_task(under_test.next_block(chain, 105, seen=100, timeout=60))
    await until(lambda: chain.parked_at == 100)
    chain.head = 7
    await waiting
