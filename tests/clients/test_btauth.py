"""btauth/1 both ways against its other implementation: bittensor 11.3 from PyPI signs and verifies."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from subnet.auth import Caller
from subnet.axon import Axon
from subnet.dendrite import Dendrite, Failure, Ok
from subnet.keys import load_key
from subnet.synapse import Message, Synapse
from subnet.types import AxonInfo, Hotkey, Neuron, Uid
from tests.clients.conftest import HERE, run

pytestmark = [pytest.mark.client_bittensor, pytest.mark.timeout(300)]
PYTHON = HERE.parents[1] / ".venv-bittensor" / "bin" / "python"
MINER = load_key("//Miner")


class Repeated(Message):
    text: str
    caller: str


class Repeat(Synapse[Repeated], timeout=60.0):
    text: str
    times: int


async def repeat(request: Repeat, caller: Caller) -> Repeated:
    return Repeated(text=request.text * request.times, caller=caller.hotkey)


async def test_our_axon_serves_what_bittensor_signs(tmp_path: Path) -> None:
    axon = Axon(MINER)
    axon.serve(repeat)
    async with axon:
        command = [PYTHON, HERE / "bittensor" / "btauth_client.py", f"http://127.0.0.1:{axon.port}", MINER.ss58_address]
        done = await asyncio.to_thread(run, command, tmp_path)
    seen = json.loads(done.stdout.splitlines()[-1])
    for scheme in ("sr25519", "ed25519"):
        sender = load_key("//Caller", scheme=scheme).ss58_address
        for kind in ("msgpack", "json"):
            assert seen[f"{scheme} {kind}"] == {
                "status": 200,
                "reply": {"text": "hellohellohello", "caller": sender},
            }
    codes = {name: (one["status"], one["reply"].get("code")) for name, one in seen.items()}
    assert codes["another body signed"] == (401, "auth.bad-signature")
    assert codes["another receiver"] == (421, "auth.wrong-receiver")
    assert codes["no receiver"] == (421, "auth.wrong-receiver")
    assert codes["old"] == (401, "auth.stale")
    assert codes["once"][0] == 200
    assert codes["twice"] == (409, "auth.replayed")
    assert [codes[f"any order {n}"][0] for n in range(256)] == [200] * 256


@pytest.fixture
def server(tmp_path: Path) -> Iterator[int]:
    """The port of a plain aiohttp server that verifies with bittensor's own http_auth."""
    process = subprocess.Popen(
        [PYTHON, HERE / "bittensor" / "btauth_server.py", MINER.ss58_address],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(HERE / "guard")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait(60)
        process.stdout.close()


@pytest.mark.parametrize("scheme", ["sr25519", "ed25519"])
async def test_bittensor_accepts_what_our_dendrite_sends(server: int, scheme: str) -> None:
    caller = load_key("//Caller", scheme=scheme)
    peers = [
        Neuron(Uid(i), Hotkey(key.ss58_address), axon=AxonInfo("127.0.0.1", server))
        for i, key in enumerate((MINER, load_key("//Other")))
    ]
    async with Dendrite(caller, receipts=False) as dendrite:
        good, other = await dendrite.query(peers, Repeat(text="ab", times=2))
        many = await dendrite.query(peers[:1] * 64, Repeat(text="ab", times=1))
    assert isinstance(good, Ok)
    assert (good.value.text, good.value.caller) == ("abab", caller.ss58_address)
    assert isinstance(other, Failure)
    assert other.code == "WrongReceiver"
    assert all(isinstance(one, Ok) for one in many)
