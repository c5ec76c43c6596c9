"""The Validator: a user's class whose ``round`` asks miners and says what each was worth.

The service around it (:mod:`subnet.validators.service`) calls ``round`` again and again, moves each
hotkey's score by what it returned, remembers all in SQLite, and sets weights once per tempo. Where the truth
comes later, a round defers its replies and ``judge_deferred`` scores them; what users ask through the
organic API is scored by ``judge_organic``. Tests and the lab may call all of these directly, after
:meth:`Validator.attach` and :meth:`Validator.use`.
"""

from __future__ import annotations

import inspect
import math
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

from subnet.errors import ConfigError, DeclarationError
from subnet.scoring import averages, windows
from subnet.service import Actor
from subnet.synapse import Message, Synapse
from subnet.types import Hotkey, Metagraph, Neuron, Uid
from subnet.validators.journal import current_journal, hear, hear_results
from subnet.validators.querier import Keeper, Querier, Racer, Streamer
from subnet.validators.sampling import POLICIES, Sampler, best, everyone
from subnet.validators.weights import FORMS, by_uid, current

if TYPE_CHECKING:
    from subnet.dendrite import Failure, Ok, Stream
    from subnet.store import Score
    from subnet.validators.truths import Question

R = TypeVar("R", bound=Message)

MOST_MECHANISMS: Final = 8
"""Mechanisms that a validator sets weights in; the chain has fewer."""


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
        "rounds_at_once",
        "sampling",
        "sample_size",
        "alpha",
        "window",
        "truth_retry",
        "truth_days",
        "most_questions",
        "most_answer_mib",
        "organic_peers",
        "organic_hedge",
        "keep_days",
        "keep_receipts_days",
        "burn",
        "commit",
        "final",
        "mechanisms",
    )

    interval: float = 12.0
    """Seconds from one round's start to the next one's, unless ``rounds_at_once`` are under way."""
    deadline: float = 60.0
    """Seconds after which a round is cancelled and counts as failed."""
    rounds_at_once: int = 1
    """Rounds under way at a time; their scores count in the order in which they began."""
    sampling: str = "all"
    """Whom a round asks: all, uniform, stale or uncertain (:mod:`subnet.validators.sampling`)."""
    sample_size: int = 0
    """How many miners a round asks, unless sampling is all."""
    alpha: float = 0.1
    """Weight of a round's score in the moving score, in (0, 1]."""
    window: int = 0
    """Above 0: the moving score is the mean of the last so many scores instead, those that lack counting as 0."""
    truth_retry: float = 60.0
    """Seconds after which a deferred question that is due, and whose truth was not known, is judged again."""
    truth_days: float = 7.0
    """Days after its due time when a deferred question without a truth is given up."""
    most_questions: int = 10_000
    """Deferred questions that may wait at a time."""
    most_answer_mib: float = 8192.0
    """MiB that their answers may take together on disk, with the receipts. Each miner may have as much of it as its
    share is among the subnet's neurons, or among 64 where these are fewer."""
    organic_peers: int = 3
    """Miners that may be asked for one user's request, the best by score."""
    organic_hedge: float = 1.0
    """Seconds without a reply after which the next of them is asked as well, where the synapse is idempotent."""
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

    organic: ClassVar[tuple[type[Synapse[Any]], ...]] = ()
    """The synapses that users may ask through the organic API."""

    def __init__(self, options: Mapping[str, str] | None = None) -> None:
        super().__init__(options)
        if not inspect.iscoroutinefunction(self.round):
            raise DeclarationError(
                f"{type(self).__name__}.round is no coroutine function", remedy="Write it as async def round."
            )
        self.recent: Mapping[Hotkey, Sequence[float]] = {}
        """Each miner's scores in its last rounds, oldest first, at most ``window``."""
        self._moving: Mapping[Hotkey, Score] = {}
        self._sampler: Sampler | None = None
        self._querier: Querier | None = None
        self._keeper: Keeper | None = None

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
        journal = current_journal()
        if journal is not None:
            hear_results(journal, results)
        return results

    async def first(
        self, peers: Sequence[Neuron], request: Synapse[R], *, hedge: float, timeout: float | None = None
    ) -> Ok[R] | Failure:
        """One reply, from whichever of ``peers`` gives it first: :meth:`subnet.Dendrite.first`.

        The next peer is asked as well after ``hedge`` seconds without a reply; the synapse must be ``idempotent=True``.
        The round's record takes the result, and what others had given by then.
        """
        querier = self._asks_with()
        if not isinstance(querier, Racer):
            raise RuntimeError(f"a {type(querier).__name__} can't race peers")
        others: list[Ok[R] | Failure] = []
        result = await querier.first(peers, request, hedge=hedge, timeout=timeout, others=others)
        journal = current_journal()
        if journal is not None:
            hear_results(journal, [*others, result])
        return result

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
            journal = current_journal()
            if journal is not None and (messages.chunks or messages.ended or messages.failure):
                hear(journal, peer, messages.elapsed, messages.receipt, messages.failure)

    async def defer(self, question: str, replies: Sequence[Ok[R] | Failure], *, due: float) -> bool:
        """Keep the good ``replies`` until their truth comes, at unix time ``due`` or later; on disk when this returns.

        ``question`` is an id of your own, such as ``"BTC 2026-01-02T03:00"``; only its first replies count: False
        if it was deferred before. :meth:`judge_deferred` is asked for the scores once it is due, also after
        a restart, or :meth:`resolve` gives them. Raises StoreError if ``most_questions``, or ``most_answer_mib`` of
        answers, wait already or the disk fails, ValueError for an id of more than 200 characters. A reply of more than
        256 KiB is left out, and so are those of a miner whose answers take up its share of ``most_answer_mib``.
        """
        return await self._keeps_with().defer(question, replies, due)

    async def resolve(self, question: str, scores: Mapping[Hotkey, float]) -> bool:
        """Score a deferred question's replies, now that the truth is known; moves the scores as a round does.

        Counts once: False, and nothing changes, if the question was resolved before, given up, or never deferred.
        """
        return await self._keeps_with().resolve(question, scores)

    async def judge_deferred(self, question: Question) -> Mapping[Hotkey, float] | None:
        """The scores of a deferred question's replies; None while the truth is not known. Called once it is due.

        ``question.answers(Forecast)`` holds the replies by hotkey. Who is left out keeps its score.
        """
        return None

    async def judge_organic(self, request: Synapse[Any], result: Ok[Any] | Failure) -> float | None:
        """What a user's request, and how a miner answered it, says of that miner; None: nothing.

        Called for every miner that was asked and has finished, whether the user waited for it or not: one that was
        out-raced too is judged by the reply, or the Failure, that it gave in the whole of its time. Called after the
        user has the reply. Several requests to one miner between two rounds count as one score, their mean. The value
        of a streamed reply is the list of its messages; where ``result.partial``, of those that had come when the user
        left, who chose that moment: judge what is there, not what is missing.
        """
        return None

    def route(self, request: Synapse[Any], metagraph: Metagraph) -> Sequence[Neuron]:
        """Who may answer a user's request, in the order in which they are asked.

        By default the ``organic_peers`` with the best scores, drawn in proportion to these so that the load is
        shared; nobody with a score of 0 or below unless nobody has more.
        """
        peers = everyone(metagraph, but=self.hotkey)
        return best(peers, current(self.moving, metagraph), self.organic_peers)

    def sample(self, metagraph: Metagraph) -> Sequence[Neuron]:
        """Whom the next round asks: by default by ``sampling`` and ``sample_size``, of all that serve."""
        errors = self.errors() if self.sampling == "uncertain" else {}
        return self.sampler.choose(everyone(metagraph, but=self.hotkey), errors, time.time())

    @property
    def sampler(self) -> Sampler:
        """The policy of ``sampling``, with what it remembers."""
        if self._sampler is None:
            self._sampler = Sampler(self.sampling, self.sample_size)
        return self._sampler

    @property
    def moving(self) -> Mapping[Hotkey, Score]:
        """The moving scores, as they are on disk."""
        return self._moving

    def errors(self) -> dict[Hotkey, float]:
        """The standard error of each miner's mean score, where it has been scored twice or more."""
        return {
            hotkey: math.sqrt(score.variance / min(score.rounds, self.memory))
            for hotkey, score in self._moving.items()
            if score.rounds > 1
        }

    @property
    def memory(self) -> int:
        """About how many rounds the moving score remembers: ``window``, or those that weigh in the average."""
        return self.window or max(1, round(2 / self.alpha - 1))

    def move(self, moving: Mapping[Hotkey, float], scores: Mapping[Hotkey, float]) -> Mapping[Hotkey, float]:
        """The moving scores after a round's ``scores``. Override for another rule than the average or the window."""
        if not self.window:
            return averages.update(moving, scores, alpha=self.alpha)
        means = windows.means(self._pushed(moving, scores), least=self.window)
        return {**moving, **{hotkey: means[hotkey] for hotkey in scores}}

    def remember(self, moving: Mapping[Hotkey, Score], scores: Mapping[Hotkey, float]) -> None:
        """Take the moving scores that a round's ``scores`` led to as ours, now that they are on disk."""
        before, self._moving = self._moving, moving
        if self.window:
            stayed = [h for h in moving if h in before and before[h].registered == moving[h].registered]
            self.recent = self._pushed(stayed, scores)

    def _pushed(self, stayed: Iterable[Hotkey], scores: Mapping[Hotkey, float]) -> dict[Hotkey, tuple[float, ...]]:
        held = {hotkey: self.recent[hotkey] for hotkey in stayed if hotkey in self.recent}
        return windows.push(held, scores, self.window)

    @property
    def rule(self) -> str:
        """How the scores move, as the ledger notes it with each round."""
        if type(self).move is not Validator.move:
            return f"{type(self).__name__}.move"
        return f"window {self.window}" if self.window else f"ema {self.alpha!r}"

    def weigh(self, moving: Mapping[Hotkey, float], metagraph: Metagraph) -> Mapping[Uid, float]:
        """Each uid's part of the weights, from the moving scores. Override for another rule; keep it pure."""
        return by_uid(moving, metagraph)

    def weigh_mechanism(
        self, mechanism: int, moving: Mapping[Hotkey, float], metagraph: Metagraph
    ) -> Mapping[Uid, float]:
        """The same for one of several mechanisms (0 is the first), of the one set of scores; by default all alike."""
        return self.weigh(moving, metagraph)

    def check(self) -> None:
        """Raise ConfigError for settings that can't work; the service calls it after ``load()``."""
        rules = {
            "stall": self.stall > 0,
            "interval": 0 <= self.interval < float("inf"),
            "deadline": 0 < self.deadline < float("inf"),
            "rounds_at_once": 1 <= self.rounds_at_once <= 1000,
            "sample_size": self.sample_size >= 0,
            "alpha": 0 < self.alpha <= 1,
            "window": 0 <= self.window <= 100_000,
            "truth_retry": self.truth_retry > 0,
            "truth_days": self.truth_days > 0,
            "most_questions": self.most_questions > 0,
            "most_answer_mib": 0 < self.most_answer_mib < float("inf"),
            "organic_peers": self.organic_peers > 0,
            "organic_hedge": self.organic_hedge > 0,
            "keep_days": self.keep_days > 0,
            "keep_receipts_days": self.keep_receipts_days > 0,
            "burn": 0 <= self.burn <= 1,
            "commit": self.commit in FORMS,
            "mechanisms": 1 <= self.mechanisms <= MOST_MECHANISMS,
        }
        name = type(self).__name__
        for setting, holds in rules.items():
            if not holds:
                raise ConfigError(f"{name}.{setting} can't be {getattr(self, setting)}")
        if self.sampling not in POLICIES:
            raise ConfigError(
                f"{name}.sampling can't be {self.sampling!r}", remedy=f"Choose one of {', '.join(POLICIES)}."
            )
        if (self.sampling == "all") != (self.sample_size == 0):
            raise ConfigError(
                f"{name}: sampling={self.sampling} with sample_size={self.sample_size} says two things",
                remedy="Leave sample_size out to ask all; else choose uniform, stale or uncertain and a sample_size.",
            )

    def use(self, querier: Querier, keeper: Keeper | None = None) -> None:
        """Say what :meth:`query` and :meth:`stream` ask with, and what :meth:`defer` keeps in; the service does."""
        self._querier, self._keeper = querier, keeper

    def _asks_with(self) -> Querier:
        if self._querier is None:
            raise RuntimeError("nothing to ask with: call use(dendrite) first")
        return self._querier

    def _keeps_with(self) -> Keeper:
        if self._keeper is None:
            raise RuntimeError("nothing to keep answers in: the service says use(dendrite, keeper)")
        return self._keeper
