"""The Validator: a user's class whose ``round`` asks miners and says what each was worth.

The service around it (:mod:`subnet.validators.service`) calls ``round`` again and again, moves each
hotkey's score by what it returned, remembers all in SQLite, and sets weights once per tempo. Tests
and the lab may call ``round`` directly, after :meth:`Validator.attach` and :meth:`Validator.use`.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Final, Protocol, TypeVar, runtime_checkable

from subnet.errors import ConfigError, DeclarationError
from subnet.scoring import averages
from subnet.service import Actor
from subnet.synapse import Message, Synapse
from subnet.types import Hotkey, Metagraph, Neuron, Uid
from subnet.validators import sampling
from subnet.validators.weights import FORMS, by_uid

if TYPE_CHECKING:
    from subnet.dendrite import Failure, Ok, Stream
    from subnet.receipts import Receipt

R = TypeVar("R", bound=Message)

MOST_MECHANISMS: Final = 8
"""Mechanisms that a validator sets weights in; the chain has fewer."""
MAX_RECEIPTS: Final = 64
"""Receipts that are kept of one miner in one round."""


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


@dataclass(slots=True)
class Heard:
    """What one round heard of one miner: its last failure's reason (None: it answered last), seconds
    that its replies took together, and their receipts."""

    uid: Uid
    answered: bool = False
    reason: str | None = None
    elapsed: float = 0.0
    receipts: list[bytes] = field(default_factory=list)


class Validator(Actor, ABC):
    """Asks miners and scores them. Subclass it with a round::

        class DigitsValidator(Validator):
            async def round(self, peers: Sequence[Neuron]) -> Mapping[Uid, float]:
                batch = self.data.sample(64)
                replies = await self.query(peers, Classify(images=batch.images))
                return {r.uid: accuracy(r.value.digits, batch.labels) if isinstance(r, Ok) else 0.0
                        for r in replies}

    Whatever ``round`` raises is logged and counted, and the next round comes.
    """

    tunables: ClassVar[tuple[str, ...]] = (
        *Actor.tunables,
        "interval",
        "deadline",
        "alpha",
        "keep_days",
        "keep_receipts_days",
        "burn",
        "commit",
        "final",
        "mechanisms",
    )

    interval: float = 12.0
    """Seconds from one round's start to the next one's, unless the round takes longer."""
    deadline: float = 60.0
    """Seconds after which a round is cancelled and counts as failed."""
    alpha: float = 0.1
    """Weight of a round's score in the moving score, in (0, 1]."""
    keep_days: float = 7.0
    """Days that rounds and weights stay in the ledger; scores stay for good."""
    keep_receipts_days: float = 1.0
    """Days that receipts stay there."""
    burn: float = 0.0
    """Share of all weight, 0 to 1, that goes to the subnet's owner, whose incentive the chain burns; while nobody
    has a score above zero, all of it does."""
    commit: str = "auto"
    """How weights are committed where the subnet wants that: ``hash``, ``timelock`` (extra ``drand``), or ``auto``."""
    final: bool = False
    """Whether weights count as set when their block can't be replaced any more, not when they are in one."""
    mechanisms: int = 1
    """How many of the subnet's mechanisms get weights."""

    def __init__(self, options: Mapping[str, str] | None = None) -> None:
        super().__init__(options)
        if not inspect.iscoroutinefunction(self.round):
            raise DeclarationError(
                f"{type(self).__name__}.round is no coroutine function", remedy="Write it as async def round."
            )
        self._querier: Querier | None = None

    @abstractmethod
    async def round(self, peers: Sequence[Neuron]) -> Mapping[Uid, float]:
        """Ask ``peers`` and return a score for each that was judged; who is left out keeps its score.

        A score is any finite number, the higher the better; weights go in proportion to the moving
        scores that are above zero. One that is NaN or infinite counts as 0.
        """

    async def query(
        self,
        peers: Sequence[Neuron],
        request: Synapse[R] | Sequence[Synapse[R]],
        *,
        timeout: float | None = None,
    ) -> list[Ok[R] | Failure]:
        """Ask all peers at once; one result a peer, in the order of uid.

        A sequence of requests gives ``peers[i]`` ``requests[i]``. ``timeout`` (seconds) replaces the
        synapse's own. Never raises for what a peer does: that is a Failure.
        """
        results = await self._asks_with().query(peers, request, timeout=timeout)
        journal = _journal.get()
        if journal is not None:
            for result in results:
                _hear_result(journal, result)
        return results

    @asynccontextmanager
    async def stream(
        self,
        peer: Neuron,
        request: Synapse[R],
        *,
        timeout: float | None = None,
        chunk_timeout: float | None = None,
    ) -> AsyncGenerator[Stream[R], None]:
        """Ask one peer for a stream and read its messages as they come::

            async with self.stream(peer, Generate(prompt="…")) as tokens:
                async for token in tokens: ...

        ``timeout`` (for the whole) and ``chunk_timeout`` (between two messages), in seconds, replace the synapse's
        own. What the peer does wrong raises StreamFailed, whose ``failure`` says why; the messages before it were
        checked. The round's record takes it like a query's result: the receipt of a stream read to its end, or why
        it broke off. One that is left early counts as answered if a message came, and has no receipt.
        Raises DeclarationError for a synapse that is not declared ``stream=True``.
        """
        querier = self._asks_with()
        if not isinstance(querier, Streamer):
            raise RuntimeError(f"a {type(querier).__name__} can't ask for streams")
        messages = querier.stream(peer, request, timeout=timeout, chunk_timeout=chunk_timeout)
        try:
            async with messages:
                yield messages
        finally:
            journal = _journal.get()
            if journal is not None and (messages.chunks or messages.ended or messages.failure):
                _hear(journal, peer, messages.elapsed, messages.receipt, messages.failure)

    def sample(self, metagraph: Metagraph) -> Sequence[Neuron]:
        """Whom the next round asks. Override to ask fewer; :mod:`subnet.validators.sampling` has policies."""
        return sampling.everyone(metagraph, but=self.hotkey)

    def move(self, moving: Mapping[Hotkey, float], scores: Mapping[Hotkey, float]) -> Mapping[Hotkey, float]:
        """The moving scores after a round's ``scores``. Override for another rule than the average."""
        return averages.update(moving, scores, alpha=self.alpha)

    def weigh(self, moving: Mapping[Hotkey, float], metagraph: Metagraph) -> Mapping[Uid, float]:
        """Each uid's part of the weights, from the moving scores. Override for another rule; keep it pure."""
        return by_uid(moving, metagraph)

    def weigh_mechanism(
        self, mechanism: int, moving: Mapping[Hotkey, float], metagraph: Metagraph
    ) -> Mapping[Uid, float]:
        """The same for one of several mechanisms (0 is the first); by default all get the same weights."""
        return self.weigh(moving, metagraph)

    def check(self) -> None:
        """Raise ConfigError for settings that can't work; the service calls it after ``load()``."""
        rules = {
            "interval": 0 <= self.interval < float("inf"),
            "deadline": 0 < self.deadline < float("inf"),
            "alpha": 0 < self.alpha <= 1,
            "keep_days": self.keep_days > 0,
            "keep_receipts_days": self.keep_receipts_days > 0,
            "burn": 0 <= self.burn <= 1,
            "commit": self.commit in FORMS,
            "mechanisms": 1 <= self.mechanisms <= MOST_MECHANISMS,
        }
        for name, holds in rules.items():
            if not holds:
                raise ConfigError(f"{type(self).__name__}.{name} can't be {getattr(self, name)}")

    def use(self, querier: Querier) -> None:
        """Say what :meth:`query` and :meth:`stream` ask with; the service hands in its dendrite."""
        self._querier = querier

    def _asks_with(self) -> Querier:
        if self._querier is None:
            raise RuntimeError("nothing to ask with: call use(dendrite) first")
        return self._querier


_journal: ContextVar[dict[Hotkey, Heard] | None] = ContextVar("journal", default=None)


def begin_journal() -> dict[Hotkey, Heard]:
    """A fresh journal that the queries of this task, and of tasks it starts, are written in."""
    journal: dict[Hotkey, Heard] = {}
    _journal.set(journal)
    return journal


def _hear_result(journal: dict[Hotkey, Heard], result: Ok[R] | Failure) -> None:
    from subnet.dendrite import Ok

    if isinstance(result, Ok):
        _hear(journal, result, result.elapsed, result.receipt, None)
    else:
        _hear(journal, result, result.elapsed, None, result)


def _hear(
    journal: dict[Hotkey, Heard],
    who: Neuron | Ok[R] | Failure,
    elapsed: float,
    receipt: Receipt | None,
    failure: Failure | None,
) -> None:
    heard = journal.setdefault(who.hotkey, Heard(who.uid))
    heard.elapsed += elapsed
    if receipt is not None and len(heard.receipts) < MAX_RECEIPTS:
        heard.receipts.append(receipt.to_bytes())  # a stream that failed half way may be signed too
    if failure is None:
        heard.answered, heard.reason = True, None
    else:
        heard.reason = f"{failure.reason}: {failure.code}" if failure.code else str(failure.reason)
