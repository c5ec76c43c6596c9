"""The neurons of the soak, as they run in processes of their own: miners of a known worth, validators that find it.

A miner answers with its worth, which its index and the run's seed give; a validator scores it with that. So what every
score must be at the end is known, and whatever an outage, a lost round or a round counted twice did to it shows.
Processes end when the pipe to their parent closes, also where the parent was killed.
"""

from __future__ import annotations

import asyncio
import random
import resource
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from substrateinterface import Keypair

from subnet import Caller, Chain, Message, Miner, Neuron, Ok, Synapse, Uid, Validator
from subnet.errors import ChainError
from subnet.health import Health
from subnet.miners import MinerService
from subnet.telemetry import Metrics, log_to_stderr
from subnet.types import Netuid
from subnet.validators import ValidatorService

ALPHA = 0.5
INTERVAL = 1.5
"""Seconds from one round's start to the next one's."""
CALL_TIMEOUT = 4.0
"""Seconds of a call to the chain, whose blocks come twelve times as fast as the real one's."""
RETRY = 1.0
_FILES = 4096


class Worth(Message):
    part: float


class Ask(Synapse[Worth], timeout=20.0):
    number: int


def worth(seed: int, index: int) -> float:
    """What the miner of this index is worth, 0.2 to 1."""
    return 0.2 + 0.8 * random.Random(f"{seed}:{index}").random()


def miner_key(index: int) -> Keypair:
    return Keypair.create_from_uri(f"//SoakMiner{index}")


def validator_key(index: int) -> Keypair:
    return Keypair.create_from_uri(f"//SoakValidator{index}")


class Worthy(Miner):
    refresh_blocks = 10

    def __init__(self, part: float) -> None:
        super().__init__()
        self.part = part

    async def ask(self, request: Ask, caller: Caller) -> Worth:
        return Worth(part=self.part)


class Judge(Validator):
    interval = INTERVAL
    alpha = ALPHA
    refresh_blocks = 2
    stall = 20.0

    async def round(self, peers: Sequence[Neuron]) -> Mapping[Uid, float]:
        replies = await self.query(peers, Ask(number=1))
        return {r.uid: r.value.part if isinstance(r, Ok) else 0.0 for r in replies}


@dataclass(frozen=True)
class Setting:
    """What every process of a run knows. ``endpoints`` are the chain's, the preferred one first."""

    folder: Path
    endpoints: tuple[str, ...]
    netuid: int
    seed: int


def mine(setting: Setting, name: str, pipe: Connection) -> None:
    """A process with many miners: ``("start", index)`` and ``("stop", index)`` come through the pipe."""
    _live(setting, name, pipe, _mine(setting, pipe))


async def _mine(setting: Setting, pipe: Connection) -> None:
    running: dict[int, MinerService] = {}

    async with await _connected(setting) as chain:

        async def start(index: int) -> None:
            while True:
                service = MinerService(
                    Worthy(worth(setting.seed, index)), chain, miner_key(index), Netuid(setting.netuid)
                )
                try:
                    await service.start()
                except ChainError:  # it refuses to start without a chain; an operator's supervisor starts it again
                    await service.stop(drain=0)
                    await asyncio.sleep(RETRY)
                else:
                    running[index] = service
                    return

        pipe.send("ready")
        try:
            while True:
                order, index = await asyncio.to_thread(pipe.recv)
                if order == "start":
                    await start(index)
                else:
                    await running.pop(index).stop()
                pipe.send(index)
        finally:
            for service in running.values():
                await service.stop(drain=0)


def validate(setting: Setting, name: str, pipe: Connection, index: int) -> None:
    """A validator's process; says the counts of its weights by outcome whenever it is asked."""
    _live(setting, name, pipe, _validate(setting, pipe, index))


async def _validate(setting: Setting, pipe: Connection, index: int) -> None:
    key, health = validator_key(index), Health()
    metrics = Metrics(netuid=setting.netuid, hotkey=key.ss58_address, role="validator")
    async with await _connected(setting) as chain:
        path = ledger_of(setting.folder, index)
        service = ValidatorService(
            Judge(), chain, key, Netuid(setting.netuid), path=path, metrics=metrics, health=health
        )
        await service.start()
        pipe.send("ready")
        try:
            while True:
                await asyncio.to_thread(pipe.recv)
                pipe.send(_said(service, health))
        finally:
            await service.stop()


def _said(service: ValidatorService, health: Health) -> dict[str, Any]:
    return {
        "troubles": [f"{one.name}: {one.reason}" for one in health.troubles],
        "failed_rounds": service.failed_rounds,
        "loop_failures": dict(service.loops.failures),
    }


def ledger_of(folder: Path, index: int) -> Path:
    return folder / f"validator-{index}.sqlite"


async def _connected(setting: Setting) -> Chain:
    return await Chain.connect(list(setting.endpoints), timeout=CALL_TIMEOUT)


def _live(setting: Setting, name: str, pipe: Connection, main: Any) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard < _FILES and hard >= 0 else _FILES, hard))
    with (setting.folder / f"{name}.log").open("a") as stream:
        log_to_stderr("INFO", as_json=True, stream=stream)
        try:
            asyncio.run(main)
        except (EOFError, BrokenPipeError):
            sys.exit(0)
