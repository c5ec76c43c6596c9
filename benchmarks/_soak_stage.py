"""What the soak's neurons meet: a chain that is killed and goes on, an endpoint that falls silent, processes to end.

:class:`Stage` owns every process and the folder; leaving it ends them all.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, Self

import _soak_neurons as neurons
from aiohttp import ClientSession

NETUID, SEALED = 1, 2
"""The subnet, and the one with commit-reveal: a validator and its miners in a process of theirs."""
TEMPO, BLOCK_S = 12, 1.0
VALIDATORS, MINERS, HOSTS = 4, 64, 4
"""Neurons, and processes that the miners share."""
SEALED_MINERS = (10_000, 10_001, 10_002)
"""Their indices: none that a newcomer has."""
PATIENCE = 180.0
"""Seconds for a process to come up, or to do as it is told, on a busy machine."""


def genesis(path: Path) -> None:
    """A subnet that is full (whoever registers takes the place of the miner that earns least), and the sealed one."""
    lines = ["[network]", "tx_rate_limit = 0", *_subnet(range(VALIDATORS), range(MINERS), sealed=False)]
    lines += _subnet([VALIDATORS], SEALED_MINERS, sealed=True)
    path.write_text("\n".join(lines) + "\n")


def _subnet(validators: Sequence[int], miners: Sequence[int], *, sealed: bool) -> list[str]:
    lines = [
        "[[subnets]]",
        'owner = "//Alice"',
        "[subnets.hyperparameters]",
        f"tempo = {TEMPO}",
        f"max_allowed_uids = {max(64, 1 + len(validators) + len(miners))}",
        f"max_allowed_validators = {len(validators)}",
        f"immunity_period = {TEMPO}",
        f"commit_reveal_enabled = {str(sealed).lower()}",
        "reveal_period = 1",
        "weights_set_rate_limit = 0",
        "serving_rate_limit = 0",
        "min_allowed_weights = 1",
    ]
    for i in validators:
        hotkey = neurons.validator_key(i).ss58_address
        lines += ["[[subnets.neurons]]", f'hotkey = "{hotkey}"', 'coldkey = "//Charlie"', "stake = 1000"]
        lines += ["permit = true"]
    for i in miners:
        lines += ["[[subnets.neurons]]", f'hotkey = "{neurons.miner_key(i).ss58_address}"', 'coldkey = "//Bob"']
    return lines


class Gate:
    """A TCP relay to the chain that can fall silent, as behind a router that drops all: sockets stay, nothing comes."""

    def __init__(self) -> None:
        self.port, self._to = 0, 0
        self._open = asyncio.Event()
        self._open.set()
        self._server: asyncio.Server | None = None
        self._relays: set[asyncio.Task[None]] = set()

    async def start(self, to: int) -> None:
        self._to = to
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def close_road(self) -> None:
        self._open.clear()

    def open_road(self) -> None:
        self._open.set()

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for relay in list(self._relays):
            relay.cancel()
        await asyncio.gather(*self._relays, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._relays.add(task)
        onward: asyncio.StreamWriter | None = None
        try:
            await self._open.wait()
            back, onward = await asyncio.open_connection("127.0.0.1", self._to)
            ways = [asyncio.create_task(self._pump(reader, onward)), asyncio.create_task(self._pump(back, writer))]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        except OSError:
            pass  # the chain is down: the caller's socket closes
        finally:
            self._relays.discard(task)
            for end in (writer, onward):
                if end is not None:
                    end.close()

    async def _pump(self, source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            await self._open.wait()
            to.write(data)
            await to.drain()


class Member:
    """A process and the pipe to it."""

    def __init__(self, process: SpawnProcess, pipe: Connection, name: str) -> None:
        self.process, self._pipe, self.name = process, pipe, name
        self._turn = asyncio.Lock()

    async def ask(self, order: Any) -> Any:
        """Its answer. RuntimeError if it has ended or says nothing for a long time."""
        async with self._turn:
            if order is not None:
                self._pipe.send(order)
            until = time.monotonic() + PATIENCE
            while not self._pipe.poll():
                if not self.process.is_alive() or time.monotonic() > until:
                    raise RuntimeError(f"{self.name} has ended or hangs; its log is in the folder of --keep")
                await asyncio.sleep(0.05)
            try:
                return self._pipe.recv()
            except EOFError:
                raise RuntimeError(f"{self.name} has ended; its log is in the folder of --keep") from None

    def end(self) -> None:
        with contextlib.suppress(OSError):
            self._pipe.close()

    def reap(self) -> None:
        self.process.join(20)
        self.process.kill()
        self.process.join()
        self.process.close()


class Stage:
    """The chain, the gate before it, 4 validators, 64 miners in 4 processes, and the sealed subnet in one."""

    def __init__(self, folder: Path, seed: int, alpha: float) -> None:
        self.folder, self.seed, self.alpha, self.port = folder, seed, alpha, 0
        self.ports: list[int] = []
        self.gate = Gate()
        self.validators: list[Member] = []
        self.hosts: list[Member] = []
        self.sealed: list[Member] = []
        self._chain: subprocess.Popen[bytes] | None = None
        self._context = multiprocessing.get_context("spawn")

    @property
    def url(self) -> str:
        """The chain itself, the second endpoint."""
        return f"ws://127.0.0.1:{self.port}"

    @property
    def road(self) -> str:
        """The endpoint that everybody prefers: the gate before the chain."""
        return f"ws://127.0.0.1:{self.gate.port}"

    async def __aenter__(self) -> Self:
        genesis(self.folder / "genesis.toml")
        try:
            await self.start_chain()
            await self.gate.start(self.port)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        members = [*self.validators, *self.sealed, *self.hosts]
        for member in members:
            member.end()
        self.gate.open_road()
        await asyncio.gather(*(asyncio.to_thread(member.reap) for member in members))
        self.kill_chain()
        await self.gate.stop()

    async def start_chain(self, block_s: float = BLOCK_S) -> None:
        command = [sys.executable, "-m", "subnet.cli", "chain", "--json", "--port", str(self.port)]
        command += ["--block-time", str(block_s), "--state", str(self.folder / "chain.db")]
        command += ["--genesis", str(self.folder / "genesis.toml")]
        self._chain = await asyncio.to_thread(self._spawn, command)
        assert self._chain.stdout is not None
        line = await asyncio.to_thread(self._chain.stdout.readline)
        if not line:
            raise RuntimeError(f"the chain did not start: {(self.folder / 'chain.log').read_text()[-2000:]}")
        self.port = int(json.loads(line)["url"].rpartition(":")[2])

    def _spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        with (self.folder / "chain.log").open("ab") as log:
            return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, start_new_session=True)

    async def set_block_time(self, seconds: float) -> None:
        async with ClientSession() as session, session.ws_connect(self.url) as socket:
            await socket.send_json({"jsonrpc": "2.0", "id": 1, "method": "dev_setBlockTime", "params": [seconds]})
            reply = await socket.receive_json()
        if "error" in reply:
            raise RuntimeError(f"the chain's block time can't be changed: {reply['error']}")

    def kill_chain(self) -> None:
        """As kill -9 does."""
        chain, self._chain = self._chain, None
        if chain is not None:
            chain.kill()
            chain.wait()
            if chain.stdout is not None:
                chain.stdout.close()

    async def start_neurons(self) -> None:
        """All validators and miners at work when this returns."""
        setting = neurons.Setting(self.folder, (self.road, self.url), NETUID, self.seed, self.alpha)
        self.hosts = [self._start(neurons.mine, setting, f"miners-{i}") for i in range(HOSTS)]
        await asyncio.gather(*(host.ask(None) for host in self.hosts))
        self.ports = await asyncio.gather(*(self.start_miner(i) for i in range(MINERS)))
        self.validators = [self._start(neurons.validate, setting, f"validator-{i}", i) for i in range(VALIDATORS)]
        apart = replace(setting, netuid=SEALED)
        self.sealed = [self._start(neurons.validate, apart, "sealed", VALIDATORS, SEALED_MINERS)]
        await asyncio.gather(*(one.ask(None) for one in (*self.validators, *self.sealed)))

    async def start_miner(self, index: int) -> int:
        """The port at which it serves then."""
        return int(await self.hosts[index % HOSTS].ask(("start", index)))

    async def stop_miner(self, index: int) -> None:
        await self.hosts[index % HOSTS].ask(("stop", index))

    def _start(self, target: Any, setting: neurons.Setting, name: str, *more: Any) -> Member:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=target, args=(setting, name, theirs, *more), name=name, daemon=True)
        ours_again = signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is the parent's alone, from the first
        try:
            process.start()
        finally:
            signal.signal(signal.SIGINT, ours_again)
        theirs.close()
        return Member(process, ours, name)
