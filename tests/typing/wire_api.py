"""What a type checker must find right: replies are typed from the class statement on (checked by mypy and pyright)."""

from collections.abc import Sequence
from typing import Annotated, assert_type

import numpy as np

from subnet.dendrite import Dendrite, Failure, Ok
from subnet.receipts import Receipt
from subnet.synapse import Message, Spec, Synapse, Tensor
from subnet.types import Neuron


class Labels(Message):
    digits: Annotated[Tensor, Spec("int64", ("n",))]


class Classify(Synapse[Labels], timeout=5.0):
    images: Annotated[Tensor, Spec("uint8", ("n", 8, 8))]


async def ask(dendrite: Dendrite, peers: Sequence[Neuron]) -> None:
    replies = await dendrite.query(peers, Classify(images=np.zeros((1, 8, 8), np.uint8)))
    assert_type(replies, list[Ok[Labels] | Failure])
    for reply in replies:
        if isinstance(reply, Ok):
            assert_type(reply.value, Labels)
            assert_type(reply.value.digits, Tensor)
            assert_type(reply.receipt, Receipt | None)
        else:
            assert_type(reply, Failure)
    several = [Classify(images=np.zeros((1, 8, 8), np.uint8)) for _ in peers]
    assert_type(await dendrite.query(peers, several), list[Ok[Labels] | Failure])
