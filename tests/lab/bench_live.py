"""A subnet for the live lab's tests: miners double numbers, the validator pays who gets them right."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Annotated

import numpy as np

from subnet.auth import Caller
from subnet.dendrite import Ok
from subnet.miners import Miner
from subnet.synapse import Message, Spec, Synapse, Tensor
from subnet.types import Hotkey, Neuron, Uid
from subnet.validators import Question, Validator


class Doubled(Message):
    numbers: Annotated[Tensor, Spec("float64", ("n",))]


class Double(Synapse[Doubled], timeout=2.0):
    numbers: Annotated[Tensor, Spec("float64", ("n",))]


class Count(Synapse[Doubled], timeout=5.0, stream=True, chunk_timeout=1.0):
    to: int


class Doubler(Miner):
    """Options: ``wrong`` (adds so much), ``sleep`` (seconds of time.sleep), ``short`` (leaves the last one out)."""

    def double(self, request: Double, caller: Caller) -> Doubled:
        time.sleep(self.option("sleep", 0.0))
        doubled = 2 * request.numbers + self.option("wrong", 0.0)
        return Doubled(numbers=doubled[:-1] if self.option("short", False) else doubled)

    async def count(self, request: Count, caller: Caller) -> AsyncIterator[Doubled]:
        for number in range(request.to):
            await asyncio.sleep(0.2)
            yield Doubled(numbers=np.array([float(number)]))


class Guesser(Miner):
    def double(self, request: Double, caller: Caller) -> Doubled:
        return Doubled(numbers=np.zeros(request.numbers.shape))


class Broken(Miner):
    def double(self, request: Double, caller: Caller) -> Doubled:
        raise KeyError("no model")


class Fair(Validator):
    """Draws from generators of its own (with the option seed), and from those that all share."""

    alpha = 0.5
    interval = 10.0

    def load(self) -> None:
        self.dice = np.random.default_rng(self.option("seed", 0))

    async def round(self, peers: Sequence[Neuron]) -> Mapping[Uid, float]:
        numbers = self.dice.random(4) + np.random.random(4) + random.random()
        replies = await self.query(peers, Double(numbers=numbers))
        return {
            r.uid: float(np.exp(-10 * np.abs(r.value.numbers - 2 * numbers).mean())) if isinstance(r, Ok) else 0.0
            for r in replies
        }


class Credulous(Fair):
    """Breaks where a reply holds no finite number."""

    async def round(self, peers: Sequence[Neuron]) -> Mapping[Uid, float]:
        replies = await self.query(peers, Double(numbers=np.ones(4)))
        if any(isinstance(r, Ok) and not np.isfinite(r.value.numbers).all() for r in replies):
            raise ZeroDivisionError("what now?")
        return {r.uid: float(isinstance(r, Ok)) for r in replies}


class Sleepy(Fair):
    """Never comes to an end before its deadline."""

    async def round(self, peers: Sequence[Neuron]) -> Mapping[Uid, float]:
        await asyncio.sleep(1e6)
        return {}


class Patient(Fair):
    """Learns the truth a minute later."""

    async def round(self, peers: Sequence[Neuron]) -> Mapping[Uid, float]:
        numbers = self.dice.random(4)
        replies = await self.query(peers, Double(numbers=numbers))
        await self.defer(str(2 * numbers.sum()), replies, due=time.time() + 60)
        return {}

    async def judge_deferred(self, question: Question) -> Mapping[Hotkey, float] | None:
        truth = float(question.id) / self.option("divide_by", 1)
        answers = question.answers(Doubled)
        return {hotkey: float(abs(reply.numbers.sum() - truth) < 1e-6) for hotkey, reply in answers.items()}
