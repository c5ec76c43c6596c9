"""Handlers that hang: they cost their caller a timeout, and the miner nothing when it is told to stop."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HANGS = """
import asyncio, threading, time
from substrateinterface import Keypair
from subnet import Axon, Dendrite, Message, Neuron, Synapse, Uid, Hotkey
from subnet.types import AxonInfo

class Pong(Message): ...
class Ping(Synapse[Pong], timeout=0.3): ...

def ping(request: Ping) -> Pong:
    threading.Event().wait()  # for ever

async def main():
    key = Keypair.create_from_uri("//Miner")
    axon = Axon(key)
    axon.serve(ping)
    async with axon, Dendrite(Keypair.create_from_uri("//Caller")) as dendrite:
        peer = Neuron(Uid(0), Hotkey(key.ss58_address), axon=AxonInfo("127.0.0.1", axon.port))
        (result,) = await dendrite.query([peer], Ping(), timeout=60)
        print(result.code)

asyncio.run(main())
"""


def test_a_handler_that_hangs_for_ever_does_not_keep_the_process_alive(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HANGS],
        capture_output=True,
        text=True,
        timeout=110,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": ""},
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "wire.handler-timeout\n"
