"""The smallest subnet there is: what its rounds cost in the lab is the lab's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import numpy as np

from subnet.auth import Caller
from subnet.dendrite import Ok
from subnet.miners import Miner
from subnet.synapse import Message, Spec, Synapse, Tensor
from subnet.types import Neuron, Uid
from subnet.validators import Validator


class Doubled(Message):
    numbers: Annotated[Tensor, Spec("float64", ("n",))]


class Double(Synapse[Doubled], timeout=2.0):
    numbers: Annotated[Tensor, Spec("float64", ("n",))]


class Doubler(Miner):
    def double(self, request: Double, caller: Caller) -> Doubled:
        return Doubled(numbers=2 * request.numbers)


class DoublingValidator(Validator):
    def load(self) -> None:
        self.dice = np.random.default_rng(self.option("seed", 0))

    async def round(self, peers: Sequence[Neuron]) -> Mapping[Uid, float]:
        numbers = self.dice.random(64)
        replies = await self.query(peers, Double(numbers=numbers))
        return {r.uid: float(isinstance(r, Ok) and np.allclose(r.value.numbers, 2 * numbers)) for r in replies}
