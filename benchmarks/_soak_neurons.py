"""The neurons of the soak, as they run in processes of their own: miners of a known worth, validators that find it.

A validator counts its rounds and asks by the round's number; a miner answers with what it is worth in that round, which
seed, index and number give. So a round that is lost, or counted twice, leaves every later one under the wrong number.
A diary beside the ledger says when each round began and ended, and where its miners were met for the first time.
Processes end when the pipe to their parent closes, also where the parent was killed.
"""

from __future__ import annotations

import asyncio
import json
import random
import resource
import sys
import time
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
from subnet.types import Hotkey, Metagraph, Netuid
from subnet.validators import ValidatorService
from subnet.validators.weights import by_uid

INTERVAL = 1.5
"""Seconds from one round's start to the next one's."""
CALL_TIMEOUT = 4.0
"""Seconds of a call to the chain, whose blocks come twelve times as fast as the real one's."""
SEND_TIMEOUT = 3.0
"""Seconds that a send of weights is followed, for the same reason: 36 on the real chain."""
RETRY = 1.0
_FILES = 4096


class Worth(Message):
    part: float


class Ask(Synapse[Worth], timeout=20.0):
    number: int


def worth(seed: int, index: int, number: int) -> float:
    """What the miner of this index is worth in the round of this number, 0.2 to 1: within 0.1 of a level of its own."""
    level = random.Random(f"{seed}:{index}").uniform(0.3, 0.9)
    return level + random.Random(f"{seed}:{index}:{number}").uniform(-0.1, 0.1)


def alpha_of(seconds: float) -> float:
    """The weight of a new score: the average remembers about as many rounds as such a run has."""
    return min(0.1, INTERVAL / seconds)


def miner_key(index: int) -> Keypair:
    return Keypair.create_from_uri(f"//SoakMiner{index}")


def validator_key(index: int) -> Keypair:
    return Keypair.create_from_uri(f"//SoakValidator{index}")


class Worthy(Miner):
    refresh_blocks = 10

    def __init__(self, seed: int, index: int) -> None:
        super().__init__()
        self.seed, self.index = seed, index

    async def ask(self, request: Ask, caller: Caller) -> Worth:
        return Worth(part=worth(self.seed, self.index, request.number))


class Judge(Validator):
    interval = INTERVAL
    refresh_blocks = 2
    stall = 20.0
    commit = "hash"

    def __init__(self, alpha: float, diary: Path | None = None) -> None:
        super().__init__()
        self.alpha, self.number = alpha, 0
        self._diary = diary.open("a", buffering=1) if diary is not None else None
        self._met: dict[Hotkey, tuple[int, int]] = {}

    async def round(self, peers: Sequence[Neuron]) -> Mapping[Uid, float]:
        self.number, began = self.number + 1, time.monotonic()
        at = {peer.hotkey: (peer.axon.port, peer.axon.block) for peer in peers if peer.axon}
        met = {hotkey: where[0] for hotkey, where in at.items() if self._met.get(hotkey) != where}
        self._met = at
        try:
            replies = await self.query(peers, Ask(number=self.number))
            return {r.uid: r.value.part if isinstance(r, Ok) else 0.0 for r in replies}
        finally:
            if self._diary is not None:
                print(json.dumps([self.number, began, time.monotonic(), met]), file=self._diary)

    def weigh(self, moving: Mapping[Hotkey, float], metagraph: Metagraph) -> Mapping[Uid, float]:
        """By what the average of a newcomer, which begins at 0, would be after long service: else the chain would let
        none but newcomers go, and who was there at first would stay."""
        served = {hotkey: self.moving[hotkey].rounds for hotkey in moving if hotkey in self.moving}
        grown = {hotkey: moving[hotkey] / (1 - (1 - self.alpha) ** rounds) for hotkey, rounds in served.items()}
        return by_uid(grown, metagraph)


class Brisk(Chain):
    """Follows sends for as long as suits its blocks."""

    async def set_weights(self, *what: Any, **how: Any) -> Any:
        return await super().set_weights(*what, **how | {"timeout": SEND_TIMEOUT})

    async def commit_weights(self, *what: Any, **how: Any) -> Any:
        return await super().commit_weights(*what, **how | {"timeout": SEND_TIMEOUT})

    async def reveal_weights(self, *what: Any, **how: Any) -> Any:
        return await super().reveal_weights(*what, **how | {"timeout": SEND_TIMEOUT})


@dataclass(frozen=True)
class Setting:
    """What every process of a run knows. ``endpoints`` are the chain's, the preferred one first."""

    folder: Path
    endpoints: tuple[str, ...]
    netuid: int
    seed: int
    alpha: float


def mine(setting: Setting, name: str, pipe: Connection) -> None:
    """A process with many miners: ``("start", index)``, which is answered with the port, ``("stop", index)`` and
    ``("well", 0)``, which is answered with their troubles, come through the pipe."""
    _live(setting, name, pipe, _mine(setting, pipe))


async def _mine(setting: Setting, pipe: Connection) -> None:
    running: dict[int, MinerService] = {}

    async with await _connected(setting) as chain:

        async def start(index: int) -> int:
            while True:
                service = MinerService(Worthy(setting.seed, index), chain, miner_key(index), Netuid(setting.netuid))
                try:
                    await service.start()
                except ChainError:  # it refuses to start without a chain; an operator's supervisor starts it again
                    await service.stop(drain=0)
                    await asyncio.sleep(RETRY)
                else:
                    running[index] = service
                    return service.port

        pipe.send("ready")
        try:
            while True:
                order, index = await asyncio.to_thread(pipe.recv)
                if order == "start":
                    pipe.send(await start(index))
                elif order == "stop":
                    await running.pop(index).stop()
                    pipe.send(index)
                else:
                    pipe.send([words for service in running.values() for words in _troubles(service.health)])
        finally:
            for service in running.values():
                await service.stop(drain=0)


def validate(setting: Setting, name: str, pipe: Connection, index: int, miners: Sequence[int] = ()) -> None:
    """A validator's process, with these miners in it; says how it is whenever it is asked."""
    _live(setting, name, pipe, _validate(setting, pipe, index, miners))


async def _validate(setting: Setting, pipe: Connection, index: int, miners: Sequence[int]) -> None:
    key, health = validator_key(index), Health()
    metrics = Metrics(netuid=setting.netuid, hotkey=key.ss58_address, role="validator")
    async with await _connected(setting) as chain:
        judge = Judge(setting.alpha, diary_of(setting.folder, index))
        path = ledger_of(setting.folder, index)
        service = ValidatorService(judge, chain, key, Netuid(setting.netuid), path=path, metrics=metrics, health=health)
        netuid = Netuid(setting.netuid)
        here = [MinerService(Worthy(setting.seed, i), chain, miner_key(i), netuid) for i in miners]
        for one in (*here, service):
            await one.start()
        pipe.send("ready")
        try:
            while True:
                await asyncio.to_thread(pipe.recv)
                pipe.send(_said(service, health) | {"endpoint": chain.endpoint})
        finally:
            for one in (service, *here):
                await one.stop()


def _said(service: ValidatorService, health: Health) -> dict[str, Any]:
    return {
        "troubles": _troubles(health),
        "failed_rounds": service.failed_rounds,
        "loop_failures": dict(service.loops.failures),
    }


def _troubles(health: Health) -> list[str]:
    return [f"{one.name}: {one.reason}" for one in health.troubles]


def diary_of(folder: Path, index: int) -> Path:
    return folder / f"diary-{index}.jsonl"


def ledger_of(folder: Path, index: int) -> Path:
    return folder / f"validator-{index}.sqlite"


def twin_of(folder: Path, index: int) -> Path:
    return folder / f"without-faults-{index}.sqlite"


async def _connected(setting: Setting) -> Chain:
    return await Brisk.connect(list(setting.endpoints), timeout=CALL_TIMEOUT)


def _live(setting: Setting, name: str, pipe: Connection, main: Any) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard < _FILES and hard >= 0 else _FILES, hard))
    with (setting.folder / f"{name}.log").open("a") as stream:
        log_to_stderr("INFO", as_json=True, stream=stream)
        try:
            asyncio.run(main)
        except (EOFError, BrokenPipeError):
            sys.exit(0)
