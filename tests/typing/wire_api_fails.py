"""What a type checker must find wrong; each line's comment is the error that mypy has to give there."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np

from subnet.dendrite import Dendrite, Ok
from subnet.synapse import Message, Spec, Synapse, Tensor
from subnet.types import Neuron


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
