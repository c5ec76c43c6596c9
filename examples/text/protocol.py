"""What a text validator asks and what a miner answers."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from subnet.synapse import Message, Synapse


class Piece(Message):
    """The next characters of the continuation."""

    text: str


class Continue(
    Synapse[Piece], stream=True, timeout=20.0, chunk_timeout=10.0, max_request=64 * 1024, max_reply=1024 * 1024
):
    """Continue ``prompt`` by exactly ``tokens`` tokens of the subnet's model, drawn at temperature 1."""

    prompt: Annotated[str, Meta(min_length=1, max_length=16_384)]
    tokens: Annotated[int, Meta(ge=1, le=1024)]
