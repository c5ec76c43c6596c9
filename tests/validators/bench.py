"""A validator service on a chain in memory, whose rounds come when the test says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from subnet.dendrite import Failure, Ok, Reason
from subnet.keys import load_key
from subnet.store import History
from subnet.synapse import Message, Synapse
from subnet.telemetry import Metrics
from subnet.types import Hotkey, Neuron, Uid
from subnet.validators import Validator, ValidatorService
from tests.memory_chain import NETUID, MemoryChain

KEY = load_key("//Validator")
ME = Hotkey(KEY.ss58_address)


class Pong(Message):
    worth: float


class Ping(Synapse[Pong]):
    text: str


class Answers:
    """Every miner answers what ``worth`` says (None: it can't be reached)."""

    def __init__(self) -> None:
        self.worth: dict[str, float | None] = {}
        self.asked: list[list[str]] = []

    async def query(self, peers: Sequence[Neuron], request: Any, *, timeout: float | None = None) -> list[Any]:
        self.asked.append([peer.hotkey for peer in peers])
        results: list[Ok[Pong] | Failure] = []
        for peer in peers:
            worth = self.worth.get(peer.hotkey)
            if worth is None:
                results.append(Failure(peer.uid, peer.hotkey, Reason.UNREACHABLE, "", "", 0.1))
            else:
                results.append(Ok(peer.uid, peer.hotkey, Pong(worth=worth), 0.2, None))
        return results


Trick = Callable[["Asks", Sequence[Neuron]], Any]


class Asks(Validator):
    """Scores what miners answer; ``tricks`` replace its next rounds, one after the other."""

    interval = 0.0
    alpha = 0.5
    tricks: list[Trick]

    def load(self) -> None:
        self.tricks = []
        self.rounds = 0

    async def round(self, peers: Sequence[Neuron]) -> Mapping[Uid, float]:
        self.rounds += 1
        if self.tricks:
            result = self.tricks.pop(0)(self, peers)
            return await result if asyncio.iscoroutine(result) else result  # type: ignore[no-any-return]
        return await self.honest(peers)

    async def honest(self, peers: Sequence[Neuron]) -> Mapping[Uid, float]:
        replies = await self.query(peers, Ping(text=""))
        return {r.uid: r.value.worth if isinstance(r, Ok) else 0.0 for r in replies}


class Bench:
    """A validator service whose rounds come one by one, when the test says so."""

    def __init__(self, chain: MemoryChain, path: Path, asks: Asks | None = None) -> None:
        self.chain, self.path, self.answers = chain, path, Answers()
        self.answers.worth = {"5A": 1.0, "5B": 0.5}
        self.metrics = Metrics(netuid=2, hotkey=ME, role="validator")
        self.asks = asks or Asks()
        self.service = ValidatorService(
            self.asks, chain, KEY, NETUID, path=path, querier=self.answers, metrics=self.metrics
        )

    async def begin(self) -> Bench:
        """Everything that start() does but the loops."""
        self.book, self.rounds, self.truths = await self.service.prepare()
        return self

    async def one(self, *tricks: Trick) -> None:
        self.asks.tricks = list(tricks)
        await self.rounds.one()

    @property
    def values(self) -> dict[str, float]:
        return {hotkey: score.value for hotkey, score in self.service.scores.items()}

    def on_disk(self) -> dict[str, float]:
        with History(self.path) as seen:
            return {hotkey: score.value for hotkey, score in seen.scores().items()}
