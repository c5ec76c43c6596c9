"""What a type checker must find right: replies are typed from the class statement on (checked by mypy and pyright)."""

from collections.abc import Mapping, Sequence
from typing import Annotated, assert_type

import numpy as np

from subnet.dendrite import Dendrite, Failure, Ok, Stream
from subnet.receipts import Receipt
from subnet.synapse import Message, Spec, Synapse, Tensor
from subnet.types import Neuron, Uid
from subnet.validators import Validator


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


class Token(Message):
    text: str


class Generate(Synapse[Token], stream=True, chunk_timeout=1.0, idempotent=True):
    prompt: str


async def read(dendrite: Dendrite, peers: Sequence[Neuron]) -> None:
    async with dendrite.stream(peers[0], Generate(prompt="a")) as tokens:
        assert_type(tokens, Stream[Token])
        async for token in tokens:
            assert_type(token, Token)
    assert_type(await dendrite.first(peers, Generate(prompt="a"), hedge=0.1), Ok[Token] | Failure)
    async with dendrite.as_completed(peers, Generate(prompt="a")) as results:
        async for result in results:
            assert_type(result, Ok[Token] | Failure)


class Reader(Validator):
    async def round(self, peers: Sequence[Neuron]) -> Mapping[Uid, float]:
        async with self.stream(peers[0], Generate(prompt="a"), timeout=3.0, chunk_timeout=1.0) as tokens:
            assert_type(tokens, Stream[Token])
            async for token in tokens:
                assert_type(token, Token)
        assert_type(tokens.receipt, Receipt | None)
        assert_type(tokens.failure, Failure | None)
        return {}
