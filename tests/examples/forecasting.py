"""A forecasting topic without processes, wire or waiting: a clock that the test moves, miners that are called."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from subnet.auth import Caller
from subnet.dendrite import Failure, Ok, Reason
from subnet.errors import WireError
from subnet.examples.forecast import miner, topic, validator
from subnet.examples.forecast.miner import SealingMiner
from subnet.miners import Miner
from subnet.types import Hotkey, Metagraph, Neuron, Rao, Uid
from tests.memory_chain import metagraph_of, neuron

ORIGIN, SECONDS = 1_700_000_000.0, 10.0
ME, OTHER = Hotkey("5Validator"), Hotkey("5OtherValidator")


class Clock:
    """Stands in for the time module, and for asyncio.sleep: who sleeps moves it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = ORIGIN
        self.events: list[tuple[float, Any]] = []
        for module in (miner, topic, validator):
            monkeypatch.setattr(module, "time", self)
        monkeypatch.setattr(asyncio, "sleep", self.pass_by)

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += max(seconds, 0.0)

    async def pass_by(self, seconds: float) -> None:
        self.sleep(seconds)


class Wire:
    """Stands in for the dendrite: calls the handlers; what one refuses is a failure."""

    def __init__(self, miners: dict[Hotkey, Miner], caller: Hotkey = ME) -> None:
        self.miners, self.caller = miners, Caller(caller, 1, "sr25519")
        self.asked: list[Any] = []
        self.away: set[str] = set()

    async def query(self, peers: Sequence[Neuron], request: Any, *, timeout: float | None = None) -> list[Any]:
        self.asked.append(request)
        results: list[Any] = []
        for peer in peers:
            handler: Any = self.miners[peer.hotkey].handlers[type(request)]
            try:
                if peer.hotkey in self.away:
                    raise WireError("away")
                results.append(Ok(peer.uid, peer.hotkey, handler(request, self.caller), 0.01, None))
            except WireError as error:
                results.append(Failure(peer.uid, peer.hotkey, Reason.REFUSED, error.code, error.message, 0.01))
        return results


class Kept:
    """Stands in for the ledger's deferred answers."""

    def __init__(self) -> None:
        self.open: dict[str, list[Any]] = {}
        self.scored: dict[str, dict[Hotkey, float]] = {}

    async def defer(self, question: str, replies: Sequence[Any], due: float) -> bool:
        self.open[question] = list(replies)
        return True

    async def resolve(self, question: str, scores: Any) -> bool:
        self.scored[question] = dict(scores)
        return True


def subnet_of(miners: Sequence[str]) -> Metagraph:
    """Two validators and these miners, uid 2 on."""
    validators = [neuron(hotkey, validator_permit=True, stake=Rao(5000 * 10**9)) for hotkey in (ME, OTHER)]
    return metagraph_of([*validators, *(neuron(name) for name in miners)])


def made(name: str, kind: type[SealingMiner], metagraph: Metagraph, **options: object) -> SealingMiner:
    one = kind({option: str(value) for option, value in options.items()})
    one.attach(Hotkey(name), metagraph)
    one.load()
    return one


def peers_of(metagraph: Metagraph) -> list[Neuron]:
    return [one for one in metagraph if one.uid >= Uid(2)]
