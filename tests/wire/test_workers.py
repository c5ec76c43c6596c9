"""Handlers that hang: they cost their caller a timeout, and the miner nothing when it is told to stop."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from subnet.admission import Limits
from subnet.errors import HandlerFailed, HandlerTimeout
from subnet.routes import route
from subnet.synapse import Message, Synapse
from subnet.workers import Workers
from tests.waiting import leap

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


class Done(Message):
    how: str


class Work(Synapse[Done], timeout=3600.0):
    how: str


class TestAsyncHandlers:
    """They begin at once, outside their deadline, and must not notice."""

    @pytest.fixture
    async def workers(self) -> AsyncIterator[Workers]:
        workers = Workers(Limits(running=1, queue=0))
        yield workers
        assert await self.ask(workers, "nothing") == "nothing"  # the one slot is free again

    def setup_method(self) -> None:
        self.cleaned = False
        self.waits = asyncio.Event()

    async def work(self, request: Work) -> Done:
        loop = asyncio.get_running_loop()
        match request.how:
            case "sleep":
                await asyncio.sleep(0)
                await asyncio.sleep(0.001)
            case "future":
                loop.call_soon((future := loop.create_future()).set_result, None)
                await future
            case "error from a future":
                loop.call_soon((future := loop.create_future()).set_exception, KeyError("caught"))
                with pytest.raises(KeyError):
                    await future
            case "tasks":
                async with asyncio.timeout(60), asyncio.TaskGroup() as group:
                    group.create_task(asyncio.sleep(0))
            case "own timeout":
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0):
                        await asyncio.Event().wait()
            case "hang":
                try:
                    self.waits.set()
                    await asyncio.Event().wait()
                finally:
                    self.cleaned = True
            case "late error":
                await asyncio.sleep(0)
                raise RuntimeError("on purpose")
        return Done(how=request.how)

    async def ask(self, workers: Workers, how: str) -> str:
        request = Work(how=how)
        reply = await workers.run(route(self.work), request, (request,))
        assert isinstance(reply, Done)
        return reply.how

    @pytest.mark.parametrize("how", ["nothing", "sleep", "future", "error from a future", "tasks", "own timeout"])
    async def test_they_wait_for_what_they_like(self, workers: Workers, how: str) -> None:
        assert await self.ask(workers, how) == how

    async def test_their_deadline_holds_all_the_same(self, workers: Workers) -> None:
        asked = asyncio.ensure_future(self.ask(workers, "hang"))
        await self.waits.wait()
        with leap(3601), pytest.raises(HandlerTimeout):
            await asked
        assert self.cleaned

    async def test_they_are_cancelled_with_their_request(self, workers: Workers) -> None:
        asked = asyncio.ensure_future(self.ask(workers, "hang"))
        await self.waits.wait()
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert self.cleaned

    async def test_they_fail_late(self, workers: Workers) -> None:
        with pytest.raises(HandlerFailed):
            await self.ask(workers, "late error")
