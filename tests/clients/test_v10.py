"""The bridge to v10 against bittensor 10.5 from PyPI, in an environment of its own, both ways."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from subnet.auth import Caller
from subnet.compat.v10 import V10Axon, V10Dendrite
from subnet.dendrite import Failure, Ok, Reason
from subnet.keys import load_key
from subnet.synapse import Message, Synapse
from subnet.types import AxonInfo, Hotkey, Neuron, Uid
from tests.clients.conftest import HERE, run

pytestmark = [pytest.mark.client_v10, pytest.mark.timeout(300)]
PYTHON = HERE.parents[1] / ".venv-v10" / "bin" / "python"
HASHED = ("text", "times")
MINER, CALLER = load_key("//Miner"), load_key("//Caller")


class Repeated(Message):
    repeated: str
    caller: str


class Repeat(Synapse[Repeated], timeout=60.0):
    text: str
    times: int


async def repeat(request: Repeat, caller: Caller) -> Repeated:
    return Repeated(repeated=request.text * request.times, caller=caller.hotkey)


async def test_a_v10_validator_asks_our_miner(tmp_path: Path) -> None:
    async with V10Axon(MINER, repeat, hashed=HASHED) as axon:
        command = [PYTHON, HERE / "v10" / "client.py", "127.0.0.1", str(axon.port), MINER.ss58_address]
        done = await asyncio.to_thread(run, command, tmp_path)
    seen = json.loads(done.stdout.splitlines()[-1])
    assert (seen["repeated"], seen["caller"], seen["status"]) == ("ababab", CALLER.ss58_address, 200)
    assert seen["many"] == [200] * 64
    assert seen["wrong"] == 401
    assert "another miner" in seen["wrong_message"]


@pytest.fixture
def miner(tmp_path: Path) -> Iterator[Neuron]:
    """A miner that runs bittensor 10.5."""
    process = subprocess.Popen(
        [PYTHON, HERE / "v10" / "server.py"],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(HERE / "guard")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        port = int(process.stdout.readline())
        _until_served(port)
        yield Neuron(Uid(0), Hotkey(MINER.ss58_address), axon=AxonInfo("127.0.0.1", port))
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait(60)


def _until_served(port: int) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=10).close()
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return


async def test_our_validator_asks_a_v10_miner(miner: Neuron) -> None:
    async with V10Dendrite[Repeated](CALLER, hashed=HASHED) as dendrite:
        (one,) = await dendrite.query([miner], Repeat(text="ab", times=3))
        assert isinstance(one, Ok), one
        assert (one.value.repeated, one.value.caller) == ("ababab", CALLER.ss58_address)
    assert miner.axon is not None
    elsewhere = Neuron(Uid(1), Hotkey(CALLER.ss58_address), axon=miner.axon)
    async with V10Dendrite[Repeated](CALLER, hashed=HASHED) as dendrite:
        (wrong,) = await dendrite.query([elsewhere], Repeat(text="ab", times=3))
        assert isinstance(wrong, Failure)
        assert wrong.reason is Reason.REFUSED
