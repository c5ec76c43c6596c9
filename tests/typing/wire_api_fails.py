"""What a type checker must find wrong; each line's comment is the error that mypy has to give there."""

from collections.abc import Mapping, Sequence
from typing import Annotated

import numpy as np

from subnet.dendrite import Dendrite, Ok
from subnet.synapse import Message, Spec, Synapse, Tensor
from subnet.types import Neuron, Uid
from subnet.validators import Validator


class Labels(Message):
    digits: Annotated[Tensor, Spec("int64", ("n",))]


class Classify(Synapse[Labels], timeout=5.0):
    images: Annotated[Tensor, Spec("uint8", ("n", 8, 8))]


async def ask(dendrite: Dendrite, peers: Sequence[Neuron]) -> None:
    Classify()  # error: call-arg
    Classify(image=np.zeros(1))  # error: call-arg
    Classify(images="nine")  # error: arg-type
    request = Classify(images=np.zeros((1, 8, 8), np.uint8))
    for reply in await dendrite.query(peers, request):
        reply.value  # error: union-attr
        if isinstance(reply, Ok):
            reply.value.letters  # error: attr-defined


class Bad(Synapse[int]):  # error: type-var
    pass


class Reader(Validator):
    async def round(self, peers: Sequence[Neuron]) -> Mapping[Uid, float]:
        self.stream(peers, Classify(images=np.zeros((1, 8, 8), np.uint8)))  # error: arg-type
        async with self.stream(peers[0], Classify(images=np.zeros((1, 8, 8), np.uint8))) as replies:
            async for labels in replies:
                labels.letters  # error: attr-defined
        return {}
