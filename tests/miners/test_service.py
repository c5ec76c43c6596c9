"""A miner's life against a chain that comes and goes; requests over real sockets."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

import aiohttp
import pytest

from subnet import codec, follower
from subnet import service as shared
from subnet.auth import Caller, sign
from subnet.dendrite import Dendrite, Failure, Ok
from subnet.errors import ChainUnreachable, ConfigError, DeclarationError, ExtrinsicFailed, NotRegistered
from subnet.keys import load_key
from subnet.miners import Address, Miner, MinerService
from subnet.miners import service as under_test
from subnet.synapse import Message, Synapse
from subnet.types import AxonInfo, Hotkey, Neuron, Uid
from tests.memory_chain import NETUID, MemoryChain, neuron
from tests.waiting import until

MINER, VALIDATOR = load_key("//Miner"), load_key("//Validator")


class Pong(Message):
    text: str


class Ping(Synapse[Pong], timeout=60.0):
    text: str


class Count(Synapse[Pong], stream=True, timeout=60.0):
    pass


class Echo(Miner):
    loaded_in = ""
    gate = threading.Event()

    def load(self) -> None:
        self.loaded_in = threading.current_thread().name
        assert len(self.metagraph) > 0

    def ping(self, request: Ping, caller: Caller) -> Pong:
        if request.text == "slow":
            self.gate.wait()
        uid = caller.neuron.uid if caller.neuron else None
        return Pong(text=f"{request.text} from uid {uid}")


class Looking(MinerService):
    """Counts its looks at whether to announce, and what they found to do is in the chain's ``calls``."""

    looks = 0

    async def _announce(self) -> float:
        pause = await super()._announce()
        self.looks += 1
        return pause

    async def look(self) -> None:
        """Until it has looked once more, from the beginning: the look that is under way may be an earlier one."""
        seen = self.looks
        await until(lambda: self.looks >= seen + 2)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(shared, "LONGEST_PAUSE", 0.02)
    monkeypatch.setattr(under_test, "_CHECK_S", 0.01)


@pytest.fixture
def chain() -> MemoryChain:
    validator = neuron(VALIDATOR.ss58_address, validator_permit=True, axon=None)
    return MemoryChain([validator, neuron(MINER.ss58_address, axon=None)])


def peer(chain: MemoryChain) -> Neuron:
    return Neuron(Uid(1), Hotkey(MINER.ss58_address), axon=chain.neurons[1].axon)


async def ask(chain: MemoryChain, text: str, key: str = "//Validator") -> Ok[Pong] | Failure:
    signer = load_key(key)
    async with Dendrite(signer, netuid=NETUID, genesis_hash=chain.genesis_hash) as dendrite:
        (result,) = await dendrite.query([peer(chain)], Ping(text=text))
        return result


async def test_it_loads_serves_and_announces_once(chain: MemoryChain) -> None:
    miner = Echo()
    service = Looking(miner, chain, MINER, NETUID)
    await service.start()
    try:
        assert miner.loaded_in == "load"
        await until(lambda: chain.neurons[1].axon is not None)
        result = await ask(chain, "hi")
        assert isinstance(result, Ok)
        assert result.value.text == "hi from uid 0"
        assert result.receipt is not None
        for _ in range(2):
            chain.advance(20)
            await until(lambda: service.follower.snapshot.block == chain.head)
            await service.look()
        assert chain.named("serve_axon") == [("127.0.0.1", service.port)]
    finally:
        await service.stop()
    await service.stop()


async def test_it_does_not_announce_what_the_chain_holds_already(chain: MemoryChain) -> None:
    address = Address(external_ip="10.9.8.7", external_port=9000)
    chain.change(1, axon=AxonInfo("10.9.8.7", 9000))
    service = Looking(Echo(), chain, MINER, NETUID, address=address)
    await service.start()
    await service.look()
    assert chain.named("serve_axon") == []
    chain.change(1, axon=None)  # as after a chain that lost it
    chain.advance(10)
    await until(lambda: chain.named("serve_axon") == [("10.9.8.7", 9000)])
    await service.stop()


async def test_it_serves_on_while_the_chain_is_away_and_announces_later(chain: MemoryChain) -> None:
    chain.refusals = [
        ChainUnreachable("away"),
        ExtrinsicFailed("too soon", name="ServingRateLimit", where="pool"),
    ]
    service = MinerService(Echo(), chain, MINER, NETUID)
    await service.start()
    await until(lambda: chain.neurons[1].axon is not None)
    assert len(chain.named("serve_axon")) == 3
    assert service.loops.failures["announce"] == 2
    chain.down, chain.stale_for = True, 500.0
    chain.advance(50)
    await until(lambda: service.loops.failures["metagraph"] > 2)
    assert isinstance(await ask(chain, "still there?"), Ok)
    await until(lambda: {one.name for one in service.health.troubles} == {"chain head", "metagraph"})
    await service.stop()


async def test_admission_follows_the_refreshed_metagraph(chain: MemoryChain) -> None:
    service = MinerService(Echo(), chain, MINER, NETUID)
    await service.start()
    await until(lambda: chain.neurons[1].axon is not None)
    refused = await ask(chain, "hi", "//Newcomer")
    assert isinstance(refused, Failure)
    assert refused.code == "wire.not-permitted"
    chain.neurons.append(neuron(load_key("//Newcomer").ss58_address, validator_permit=True))
    chain.advance(5)
    await until(lambda: len(service.follower.snapshot) == 3)
    assert isinstance(await ask(chain, "hi", "//Newcomer"), Ok)
    await service.stop()


async def test_a_bug_in_admission_refuses_the_caller_and_is_logged(
    chain: MemoryChain, caplog: pytest.LogCaptureFixture
) -> None:
    class Buggy(Echo):
        def admit(self, caller: Hotkey, synapse: type[Synapse[Any]]) -> Neuron | None:
            raise KeyError(caller)

    service = MinerService(Buggy(), chain, MINER, NETUID)
    await service.start()
    await until(lambda: chain.neurons[1].axon is not None)
    refused = await ask(chain, "hi")
    assert isinstance(refused, Failure)
    assert refused.code == "wire.not-permitted"
    assert [r.getMessage() for r in caplog.records if r.exc_info] == ["admit_failed"]
    await service.stop()


async def test_it_refuses_to_start_unregistered(chain: MemoryChain) -> None:
    miner = Echo()
    service = MinerService(miner, chain, load_key("//Nobody"), NETUID)
    with pytest.raises(NotRegistered) as caught:
        await service.run(asyncio.Event())
    assert "subnet register --netuid 2" in caught.value.remedy
    assert miner.loaded_in == ""
    assert chain.calls == []


async def test_being_deregistered_is_said_once_and_serving_goes_on(
    chain: MemoryChain, caplog: pytest.LogCaptureFixture
) -> None:
    service = MinerService(Echo(), chain, MINER, NETUID)
    await service.start()
    await until(lambda: chain.neurons[1].axon is not None)
    mine = chain.neurons[1]
    chain.neurons[1] = neuron("5SomebodyElse", axon=mine.axon)
    for _ in range(3):
        block = chain.head
        chain.advance(5)
        await until(lambda block=block: service.follower.snapshot.block > block)
    lost = [r for r in caplog.records if r.getMessage() == "deregistered"]
    assert len(lost) == 1
    assert "subnet register" in lost[0].remedy  # type: ignore[attr-defined]
    assert isinstance(await ask(chain, "hi"), Ok)
    chain.neurons[1] = neuron(MINER.ss58_address, axon=None, block_at_registration=chain.head)
    chain.advance(5)
    await until(lambda: chain.neurons[1].axon is not None)
    await service.stop()


async def test_stopping_lets_running_requests_finish(chain: MemoryChain) -> None:
    Echo.gate.clear()
    stop = asyncio.Event()
    service = MinerService(Echo(), chain, MINER, NETUID)
    running = asyncio.create_task(service.run(stop))
    await until(lambda: chain.neurons[1].axon is not None)
    asked = asyncio.create_task(ask(chain, "slow"))
    axon = service._axon
    assert axon is not None
    await until(lambda: axon.stats.in_flight == 1)
    stop.set()
    await until(lambda: axon._stopping)
    assert not asked.done()
    Echo.gate.set()
    result = await asked
    assert isinstance(result, Ok)
    await running


async def test_a_stop_during_load_ends_at_once(chain: MemoryChain) -> None:
    never, stop = threading.Event(), asyncio.Event()

    class Slow(Echo):
        def load(self) -> None:
            stop_soon()
            never.wait()

    loop = asyncio.get_running_loop()

    def stop_soon() -> None:
        loop.call_soon_threadsafe(stop.set)

    service = MinerService(Slow(), chain, MINER, NETUID)
    await asyncio.wait_for(service.run(stop), 60)
    assert service.port == 0
    never.set()


async def test_what_load_raises_is_named(chain: MemoryChain, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Echo):
        def load(self) -> None:
            raise FileNotFoundError("model.bin")

    with pytest.raises(DeclarationError, match=r"Broken.load failed: FileNotFoundError: model\.bin"):
        await MinerService(Broken(), chain, MINER, NETUID).run(asyncio.Event())
    assert caplog.records[-1].exc_info  # and the log holds the traceback

    class Lacking(Echo):
        def load(self) -> None:
            import no_such_module  # noqa: F401

    with pytest.raises(DeclarationError, match="needs no_such_module") as caught:
        await MinerService(Lacking(), chain, MINER, NETUID).run(asyncio.Event())
    assert "extra" in caught.value.remedy


async def test_a_replay_is_refused_after_a_restart(chain: MemoryChain, tmp_path: Path) -> None:
    """The nonces that a former process accepted are refused by the next one."""
    nonces = tmp_path / "miner.nonces"
    body = bytes(codec.encode(Ping(text="again")))
    headers: dict[str, str] = {}
    answers = []
    for _ in range(2):
        service = MinerService(Echo(), chain, MINER, NETUID, nonces=nonces)
        await service.start()
        if not headers:
            headers = dict(sign(VALIDATOR, method="POST", path="/Ping", body=body, receiver_ss58=MINER.ss58_address))
        async with aiohttp.ClientSession() as session:
            url = f"http://127.0.0.1:{service.port}/Ping"
            sent = headers | {"Content-Type": codec.MSGPACK}
            async with session.post(url, data=body, headers=sent) as response:
                answers.append(response.status)
        await service.stop()
    assert answers == [200, 409]


class Versioned(Echo):
    """Answers with the number of its load; says when it was closed."""

    loads = 0
    broken = False
    closed: ClassVar[list[int]] = []

    def load(self) -> None:
        if type(self).broken:
            raise FileNotFoundError("no model")
        Versioned.loads += 1
        self.version = Versioned.loads
        assert len(self.metagraph) > 0

    async def ping(self, request: Ping, caller: Caller) -> Pong:
        if request.text == "slow":
            await asyncio.to_thread(self.gate.wait)
        return Pong(text=str(self.version))

    async def close(self) -> None:
        Versioned.closed.append(self.version)


@pytest.fixture
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Versioned, "loads", 0)
    monkeypatch.setattr(Versioned, "closed", [])
    Echo.gate.clear()


async def said(asked: Any) -> str:
    result = await asked
    assert isinstance(result, Ok), result
    return str(result.value.text)


@pytest.mark.usefixtures("_fresh")
async def test_a_reload_drops_no_request_and_closes_the_former_miner_after_its_last(chain: MemoryChain) -> None:
    service = MinerService(Versioned({"drain": "60"}), chain, MINER, NETUID)
    await service.start()
    await until(lambda: chain.neurons[1].axon is not None)
    slow = asyncio.create_task(ask(chain, "slow"))
    axon = service._axon
    assert axon is not None
    await until(lambda: axon.stats.in_flight == 1)
    going_on = asyncio.create_task(many(chain, 60))
    await service.reload()
    assert await said(ask(chain, "hi")) == "2"
    assert service.miner.options["drain"] == "60"
    assert Versioned.closed == []  # it has a request
    assert set(await going_on) <= {"1", "2"}
    Echo.gate.set()
    assert await said(slow) == "1"
    await until(lambda: Versioned.closed == [1])
    chain.advance(5)
    await until(lambda: service.follower.snapshot.block == chain.head)
    assert service.miner.metagraph.block == chain.head
    await service.stop()
    assert Versioned.closed == [1, 2]
    await service.reload()  # too late: nothing is loaded
    assert Versioned.loads == 2


async def many(chain: MemoryChain, count: int) -> list[str]:
    return [await said(ask(chain, "hi")) for _ in range(count)]


@pytest.mark.usefixtures("_fresh")
async def test_a_reload_that_fails_changes_nothing_and_is_trouble_until_one_succeeds(
    chain: MemoryChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = MinerService(Versioned(), chain, MINER, NETUID)
    await service.start()
    await until(lambda: chain.neurons[1].axon is not None)
    monkeypatch.setattr(Versioned, "broken", True)
    service.reload_soon()
    await until(lambda: bool(service.health.troubles))
    assert service.health.ready
    assert [one.name for one in service.health.troubles] == ["reload"]
    assert await said(ask(chain, "hi")) == "1"
    monkeypatch.setattr(Versioned, "broken", False)
    for _ in range(5):
        service.reload_soon()  # while one is loading: once more, not five times
    await until(lambda: not service._reloads_wanted)
    assert Versioned.loads == 3
    assert service.health.troubles == []
    assert await said(ask(chain, "hi")) == "3"
    await service.stop()
    assert sorted(Versioned.closed) == [1, 2, 3]


async def test_it_is_not_ready_while_it_drains_and_lets_a_stream_end(chain: MemoryChain) -> None:
    go = asyncio.Event()

    class Counting(Miner):
        async def count(self, request: Count, caller: Caller) -> AsyncIterator[Pong]:
            yield Pong(text="one")
            await go.wait()
            yield Pong(text="two")

    stop = asyncio.Event()
    service = MinerService(Counting({"drain": "60"}), chain, MINER, NETUID)
    running = asyncio.create_task(service.run(stop))
    await until(lambda: chain.neurons[1].axon is not None)
    assert service.health.answer("/ready")[0] == 200  # type: ignore[index]
    async with (
        Dendrite(load_key("//Validator"), netuid=NETUID, genesis_hash=chain.genesis_hash) as dendrite,
        dendrite.stream(peer(chain), Count()) as stream,
    ):
        assert (await anext(stream)).text == "one"
        stop.set()
        axon = service._axon
        assert axon is not None
        await until(lambda: axon._stopping)
        assert service.health.answer("/ready")[0] == 503  # type: ignore[index]
        go.set()
        assert [message.text async for message in stream] == ["two"]
    await running


async def test_a_chain_that_begins_anew_is_noticed_and_told_again(
    chain: MemoryChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "RESET_CHECK", 0.01)
    service = MinerService(Echo(), chain, MINER, NETUID)
    await service.start()
    await until(lambda: chain.neurons[1].axon is not None)
    chain.advance(50)
    await until(lambda: service.follower.snapshot.block == chain.head)
    chain.head = 3  # from genesis: everything is gone, and we registered again
    chain.change(1, axon=None, block_at_registration=2)
    await until(lambda: chain.neurons[1].axon is not None)
    assert service.follower.snapshot.block == 3
    assert len(chain.named("serve_axon")) == 2
    await service.stop()


async def test_a_restart_tells_the_chain_nothing_that_it_knows(chain: MemoryChain) -> None:
    first = MinerService(Echo(), chain, MINER, NETUID)
    await first.start()
    await until(lambda: chain.neurons[1].axon is not None)
    port = first.port
    await first.stop()
    again = Looking(Echo(), chain, MINER, NETUID, address=Address(port=port))
    await again.start()
    await again.look()
    assert len(chain.named("serve_axon")) == 1
    await again.stop()


async def test_it_listens_and_announces_over_ipv6(chain: MemoryChain) -> None:
    service = MinerService(Echo(), chain, MINER, NETUID, address=Address("::1"))
    await service.start()
    await until(lambda: chain.neurons[1].axon is not None)
    assert chain.named("serve_axon") == [("::1", service.port)]
    assert isinstance(await ask(chain, "hi"), Ok)
    await service.stop()


@pytest.mark.parametrize(
    "address",
    [
        {"host": "0.0.0.0"},
        {"host": "::"},
        {"host": "example.org"},
        {"host": "10.0.0.1", "insecure": True},
        {"external_ip": "nowhere"},
        {"external_ip": "0.0.0.0"},
    ],
)
def test_addresses_that_can_not_work_are_refused(address: dict[str, object]) -> None:
    with pytest.raises(ConfigError) as caught:
        Address(**address)  # type: ignore[arg-type]
    assert "--" in caught.value.remedy


def test_an_address_announces_what_is_reachable() -> None:
    assert Address().announced_ip == "127.0.0.1"
    assert Address("localhost", insecure=True).announced_ip == "127.0.0.1"
    assert Address(proxies=("localhost", "2001:DB8::1")).proxies == ("127.0.0.1", "2001:db8::1")
    assert Address("0.0.0.0", external_ip="2001:DB8::1").announced_ip == "2001:db8::1"


def test_the_miner_logs_events_by_name(chain: MemoryChain, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def live() -> None:
        service = MinerService(Echo(), chain, MINER, NETUID)
        await service.start()
        await until(lambda: chain.neurons[1].axon is not None)
        await until(lambda: any(r.getMessage() == "served" for r in caplog.records))
        await service.stop()

    asyncio.run(live())
    events = {r.getMessage(): r for r in caplog.records}
    assert {"serving", "served", "stopping", "stopped"} <= set(events)
    assert events["served"].block == 100  # type: ignore[attr-defined]
    assert events["serving"].synapses == ["Ping"]  # type: ignore[attr-defined]
