"""What victim, honest callers and attackers have in common."""

from __future__ import annotations

from typing import Annotated

from substrateinterface import Keypair

from subnet.synapse import Message, Spec, Synapse, Tensor

MINER = Keypair.create_from_uri("//Miner")
HONEST = Keypair.create_from_uri("//Honest")
ATTACKER = Keypair.create_from_uri("//Attacker")


class Answer(Message):
    squares: Annotated[Tensor, Spec("int64", ("n",))]


class Question(Synapse[Answer], timeout=20.0, max_request=1 << 20):
    numbers: Annotated[Tensor, Spec("int64", ("n",))]


class Gush(Synapse[Answer], stream=True, timeout=1.0, max_reply=1 << 30):
    """Answers without end."""
