"""One miner, several processes on one port: served together, counted together, started again when one dies."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

import subnet
from subnet.chain import Chain
from subnet.dendrite import Dendrite, Ok
from subnet.devnet import Devnet, devnet
from subnet.keys import load_key
from subnet.synapse import Message, Synapse
from subnet.types import Netuid, Neuron, rao
from tests.certificates import HAVE_OPENSSL, self_signed

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(subnet.__file__).parents[1])}
MINER = """
import os
from subnet import Caller, Message, Miner, Synapse

class Pid(Message):
    served: int
    loaded: int

class Who(Synapse[Pid], timeout=20.0):
    pass

class Pids(Miner):
    min_stake = 0

    def load(self) -> None:
        self.loaded = os.getpid()

    def who(self, request: Who, caller: Caller) -> Pid:
        return Pid(served=os.getpid(), loaded=self.loaded)
"""


class Pid(Message):
    served: int
    loaded: int


class Who(Synapse[Pid], timeout=20.0):
    pass


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@pytest.fixture(scope="module")
def chain() -> Iterator[tuple[Devnet, int]]:
    with devnet(block_time=0.2) as node:
        yield node, asyncio.run(register(node.url))


async def register(url: str) -> int:
    """A subnet with the miner //Crew on it."""
    alice, owner, miner = load_key("//Alice"), load_key("//Owner"), load_key("//Crew")
    async with await Chain.connect(url, timeout=20.0) as chain:
        await chain.sudo(alice, "AdminUtils", "sudo_set_network_rate_limit", {"rate_limit": 0})
        netuid = (await chain.register_network(alice, owner.ss58_address)).netuid
        serving = {"netuid": netuid, "serving_rate_limit": 0}  # the tests announce one after the other
        await chain.sudo(alice, "AdminUtils", "sudo_set_serving_rate_limit", serving)
        await chain.burned_register(alice, netuid, miner.ss58_address)
        await chain.start_call(alice, netuid)
        await chain.add_stake(alice, owner.ss58_address, netuid, rao(10))
    return int(netuid)


class Crew:
    def __init__(self, folder: Path, chain: tuple[Devnet, int], *options: str) -> None:
        (folder / "pids.py").write_text(textwrap.dedent(MINER))
        self.url, self.netuid, self.log = chain[0].url, chain[1], folder / "log"
        self.urls: set[str] = set()
        command = [sys.executable, "-m", "subnet.cli", "run", "pids:Pids", "-n", str(self.netuid), "-e", self.url]
        command += ["--key", "//Crew", "--state", str(folder), "--workers", "2", "--metrics-port", "0", *options]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, stdout=log, stderr=log)

    def said(self) -> str:
        return self.log.read_text()

    def pids(self) -> set[int]:
        return {child.pid for child in psutil.Process(self.process.pid).children()}

    async def served_by(self, wanted: int) -> dict[int, int]:
        """Ask over new connections until ``wanted`` processes have answered: {served: loaded}."""
        found: dict[int, int] = {}
        async with await Chain.connect(self.url, timeout=20.0) as chain, asyncio.timeout(60):
            while len(found) < wanted:
                metagraph = await chain.metagraph(self.netuid)
                neuron = metagraph.neuron(load_key("//Crew").ss58_address)
                if neuron is not None and neuron.axon is not None:
                    if answered := await ask(chain.genesis_hash, self.netuid, neuron):
                        self.urls.add(neuron.axon.url.partition(":")[0])
                    found |= answered
                await asyncio.sleep(0.05)
        return found


async def ask(genesis: str, netuid: int, neuron: Neuron) -> dict[int, int]:
    async with Dendrite(load_key("//Owner"), netuid=Netuid(netuid), genesis_hash=genesis) as dendrite:
        (reply,) = await dendrite.query([neuron], Who())
    return {reply.value.served: reply.value.loaded} if isinstance(reply, Ok) else {}


@pytest.fixture
def crews() -> Iterator[list[Crew]]:
    crews: list[Crew] = []
    yield crews
    for crew in crews:
        for pid in crew.pids() if crew.process.poll() is None else ():
            psutil.Process(pid).kill()
        crew.process.kill()
        crew.process.wait()


def test_two_workers_serve_one_port_and_one_that_dies_comes_back(
    tmp_path: Path, chain: tuple[Devnet, int], crews: list[Crew]
) -> None:
    crew = Crew(tmp_path, chain)
    crews.append(crew)
    found = asyncio.run(crew.served_by(2))
    assert set(found) == crew.pids()
    assert all(served == loaded for served, loaded in found.items())  # each loaded its own

    match = re.search(r"url=(\S+)", crew.said())
    assert match is not None, crew.said()
    page = match[1].strip("'\"")

    def counted() -> float:
        with urllib.request.urlopen(page, timeout=20) as answer:
            lines = [line for line in answer.read().decode().splitlines() if 'outcome="served"' in line]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    until(lambda: counted() >= 2, "the requests of both workers are counted on one page")

    victim = max(found)
    os.kill(victim, signal.SIGKILL)
    again = asyncio.run(crew.served_by(2))
    until(lambda: len(crew.pids()) == 2 and victim not in crew.pids(), "the dead worker is replaced")
    assert victim not in again
    crew.process.send_signal(signal.SIGTERM)
    assert crew.process.wait(60) == 0, crew.said()
    assert not any(psutil.pid_exists(pid) for pid in again)


def test_a_shared_model_is_loaded_once_served_by_https_and_an_orphan_ends(
    tmp_path: Path, chain: tuple[Devnet, int], crews: list[Crew]
) -> None:
    options = ["--share-model"]
    if HAVE_OPENSSL:
        certificate, key = self_signed(tmp_path, "crew")
        options += ["--tls-cert", str(certificate), "--tls-key", str(key)]
    crew = Crew(tmp_path, chain, *options)
    crews.append(crew)
    found = asyncio.run(crew.served_by(2))
    assert set(found.values()) == {crew.process.pid}
    assert crew.urls == {"https" if HAVE_OPENSSL else "http"}
    workers = [psutil.Process(pid) for pid in found]
    crew.process.kill()
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert alive == []


def test_what_is_wrong_is_said_once(tmp_path: Path, chain: tuple[Devnet, int], crews: list[Crew]) -> None:
    crew = Crew(tmp_path, chain, "--key", "//Stranger")
    crews.append(crew)
    assert crew.process.wait(60) not in (0, -signal.SIGKILL)
    assert crew.said().count("error[chain.not-registered]") == 1, crew.said()
