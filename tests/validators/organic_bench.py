"""A validator with its organic API over real sockets, three miners that say what a test wants, and a user."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import aiohttp

from subnet import Axon, Caller, Hotkey, Message, Miner, Neuron, Ok, Spec, Synapse, Tensor, Uid, Validator
from subnet.dendrite import Failure
from subnet.keys import load_key
from subnet.telemetry import Metrics
from subnet.types import AxonInfo
from subnet.validators import ValidatorService
from subnet.validators.gateway import Gate
from tests.memory_chain import NETUID, MemoryChain, neuron
from tests.validators.bench import KEY, ME
from tests.waiting import until

MINERS = [load_key(f"//Organic{i}") for i in range(3)]
TOKEN = "a-token-of-a-user-1234"


class Echoed(Message):
    text: str


class Echo(Synapse[Echoed], timeout=30.0, max_request=4096, idempotent=True):
    """Says it again."""

    text: str


class Spend(Synapse[Echoed], timeout=30.0):
    text: str


class Doubled(Message):
    values: Annotated[Tensor, Spec("int64", ("n",))]


class Double(Synapse[Doubled], timeout=30.0):
    values: Annotated[Tensor, Spec("int64", ("n",))]


class Mean(Synapse[Echoed], timeout=30.0, max_request=1024):
    values: list[float]


class Count(Synapse[Echoed], stream=True, timeout=30.0):
    to: int


class Speaker(Miner):
    """Answers with its number; ``gate`` holds it up, ``mood`` makes it fail."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number, self.mood, self.asked = number, "", 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.left = asyncio.Event()

    async def _ready(self) -> None:
        self.asked += 1
        await self.gate.wait()
        if self.mood == "broken":
            raise ValueError("broken")

    async def echo(self, request: Echo, caller: Caller) -> Echoed:
        await self._ready()
        return Echoed(text=f"{self.number}: {request.text}")

    async def spend(self, request: Spend, caller: Caller) -> Echoed:
        await self._ready()
        return Echoed(text=f"{self.number}: {request.text}")

    async def mean(self, request: Mean, caller: Caller) -> Echoed:
        return Echoed(text=str(sum(request.values) / len(request.values)))

    async def double(self, request: Double, caller: Caller) -> Doubled:
        return Doubled(values=request.values * 2)

    async def count(self, request: Count, caller: Caller) -> AsyncIterator[Echoed]:
        await self._ready()
        try:
            for i in range(request.to):
                yield Echoed(text=str(i))
                if i == 1 and self.mood == "breaks off":
                    raise ValueError("enough")
                if i == 1 and self.mood == "stalls":
                    await asyncio.Event().wait()
        finally:
            self.left.set()


class Judge(Validator):
    """Judges by the length of what users got."""

    interval = 1e6
    alpha = 0.5
    organic = (Echo, Spend, Double, Mean, Count)
    organic_peers = 2
    order: Sequence[int] = (1, 2)

    def load(self) -> None:
        self.seen: list[tuple[Synapse[Any], Ok[Any] | Failure]] = []

    async def round(self, peers: Sequence[Neuron]) -> Mapping[Uid, float]:
        return {}

    def route(self, request: Synapse[Any], metagraph: Any) -> Sequence[Neuron]:
        return [metagraph.neurons[uid] for uid in self.order]

    async def judge_organic(self, request: Synapse[Any], result: Ok[Any] | Failure) -> float | None:
        self.seen.append((request, result))
        return 1.0 if isinstance(result, Ok) else 0.0


class Place:
    """Miners, a validator with its API, and a client of it."""

    judge: Judge
    service: ValidatorService
    http: aiohttp.ClientSession

    def __init__(self, path: Path) -> None:
        self.path, self.speakers = path, [Speaker(i) for i in range(len(MINERS))]
        self.metrics = Metrics(netuid=2, hotkey=ME, role="validator")

    @property
    def url(self) -> str:
        assert self.service.gateway is not None
        return f"http://127.0.0.1:{self.service.gateway.port}"

    async def post(self, name: str, data: Any, **headers: str) -> tuple[int, Any, Mapping[str, str]]:
        body = data if isinstance(data, bytes) else json.dumps(data).encode()
        given = {"Content-Type": "application/json"} | {key.replace("_", "-"): value for key, value in headers.items()}
        async with self.http.post(f"{self.url}/v1/{name}", data=body, headers=given) as reply:
            raw = await reply.read()
            kind = reply.headers["Content-Type"]
            return reply.status, json.loads(raw) if kind == "application/json" else raw, reply.headers

    async def judged(self, count: int = 1) -> None:
        await until(lambda: sum(score.rounds for score in self.service.scores.values()) >= count)

    def value(self, number: int) -> float:
        return self.service.scores[Hotkey(MINERS[number].ss58_address)].value


@asynccontextmanager
async def place(path: Path, judge: Judge | None = None, **gate: Any) -> AsyncIterator[Place]:
    chain = MemoryChain([neuron(ME, validator_permit=True, axon=None)])
    async with AsyncExitStack() as stack:
        made = Place(path)
        for key, speaker in zip(MINERS, made.speakers, strict=True):
            axon = Axon(key, netuid=NETUID, genesis_hash=chain.genesis_hash)
            for handler in speaker.handlers.values():
                axon.serve(handler)
            await stack.enter_async_context(axon)
            chain.neurons.append(neuron(key.ss58_address, axon=AxonInfo("127.0.0.1", axon.port)))
        made.judge = judge or Judge()
        made.service = ValidatorService(
            made.judge, chain, KEY, NETUID, path=path, metrics=made.metrics, gate=Gate(**gate)
        )
        await made.service.start()
        stack.push_async_callback(made.service.stop)
        made.http = await stack.enter_async_context(aiohttp.ClientSession())
        yield made
