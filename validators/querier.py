"""What a validator asks with, and keeps answers in: the service gives it the real ones, a test or the lab its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from subnet.synapse import Message, Synapse
from subnet.types import Hotkey, Neuron

if TYPE_CHECKING:
    from subnet.dendrite import Failure, Ok, Stream

R = TypeVar("R", bound=Message)


class Querier(Protocol):
    """What asks the miners: :class:`subnet.Dendrite`, or something that stands in for it."""

    async def query(
        self,
        peers: Sequence[Neuron],
        request: Synapse[R] | Sequence[Synapse[R]],
        *,
        timeout: float | None = None,
    ) -> list[Ok[R] | Failure]: ...


@runtime_checkable
class Streamer(Protocol):
    """What asks for streams as well: :class:`subnet.Dendrite` does."""

    def stream(
        self,
        peer: Neuron,
        request: Synapse[R],
        *,
        timeout: float | None = None,
        chunk_timeout: float | None = None,
    ) -> Stream[R]: ...


@runtime_checkable
class Racer(Protocol):
    """What races peers for one reply as well: :class:`subnet.Dendrite` does."""

    async def first(
        self,
        peers: Sequence[Neuron],
        request: Synapse[R],
        *,
        hedge: float,
        timeout: float | None = None,
        others: list[Ok[R] | Failure] | None = None,
    ) -> Ok[R] | Failure: ...


class Keeper(Protocol):
    """What keeps answers until their truth comes: the service, in its ledger."""

    async def defer(self, question: str, replies: Sequence[Ok[Any] | Failure], due: float) -> bool: ...

    async def resolve(self, question: str, scores: Mapping[Hotkey, float]) -> bool: ...
