"""Mistakes in a subnet's two files that mypy has to find; each line's comment is the error."""

from collections.abc import Mapping, Sequence
from typing import Annotated

from subnet import Caller, Message, Miner, Neuron, Spec, Synapse, Tensor, Uid, Validator


class Labels(Message):
    digits: Annotated[Tensor, Spec("int64", ("n",))]


class Classify(Synapse[Labels], timeout=5.0):
    images: Annotated[Tensor, Spec("uint8", ("n", 8, 8))]


class ForgetfulMiner(Miner):
    def classify(self, request: Classify, caller: Caller) -> Labels:
        return Labels(digits=request.image)  # error: attr-defined


class WrongReply(Miner):
    def classify(self, request: Classify, caller: Caller) -> Labels:
        return request  # error: return-value


class BlockingValidator(Validator):
    def round(self, peers: Sequence[Neuron]) -> Mapping[Uid, float]:  # error: override
        return {}


class ByHotkey(Validator):
    async def round(self, peers: Sequence[Neuron]) -> Mapping[Uid, float]:
        return {peer.hotkey: 1.0 for peer in peers}  # error: misc
