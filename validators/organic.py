"""Users' requests: which miners are asked, and how their replies feed scoring.

:class:`Organic` asks the miners that ``Validator.route`` names, in its order: side by side where the synapse is
idempotent and one is slow (hedging), else one after the other, the next only if the one before surely did not take
the request. Whoever was asked is judged by what it gives in the whole of the synapse's time: one that is overdue when
another has replied, or the user has left, is followed to its end (:mod:`subnet.validators.stragglers`), so that
neither hanging goes unpunished nor being second does. Each result waits in a bounded queue for
``Validator.judge_organic``; :meth:`Organic.step` judges what has come since the last pass and hands it to the
scorebook as one round of kind ``organic``, in which a miner that answered several requests has one score, their
mean. So no flood of requests moves a score by more than a round does.

Log events: ``organic`` (as ``round``), ``organic_unjudged`` (count, reason), ``judge_failed`` (synapse, exception),
and those of the stragglers.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from subnet import codec
from subnet.errors import Busy, HandlerFailed, HandlerTimeout, MinerFailed, StreamFailed, WireError
from subnet.race import Race, cancel
from subnet.results import Failure, Ok, Reason
from subnet.store import Kind
from subnet.synapse import Message, Synapse, declaration
from subnet.types import Block, Hotkey, Metagraph, Neuron
from subnet.validators.base import Validator
from subnet.validators.journal import Journal, hear_results
from subnet.validators.places import Places
from subnet.validators.sampling import everyone
from subnet.validators.scorebook import Judgement, Scorebook, finite
from subnet.validators.stragglers import Stragglers

if TYPE_CHECKING:
    from subnet.streams import Stream
    from subnet.telemetry import Metrics

log = logging.getLogger(__name__)

MOST_WAITING: Final = 1024
"""Results that wait to be judged; of one more, the oldest is left out."""
MOST_BYTES: Final = 64 * 1024 * 1024
"""What their requests and replies may take together, encoded."""
JUDGED_AT_ONCE: Final = 8
TICK: Final = 0.5
"""Seconds between two passes, at the least."""
_ASK_LESS: Final = "Ask for less, or ask again: another miner may be quicker."
_HELD: Final = 0.1
"""The share of a stream's time that its user has to have taken for running out of it not to be the miner's fault."""
_UNTOUCHED: Final = ("dendrite.circuit-open",)


@dataclass(frozen=True, slots=True)
class _Opened:
    """A peer's stream whose first message has come (None: it ended without any), and what closes it."""

    peer: Neuron
    began: float
    stack: AsyncExitStack
    messages: Stream[Any]
    first: Message | None

    def left(self, kept: Sequence[Message]) -> Ok[Any]:
        """What a stream that is left was, of which ``kept`` had come."""
        elapsed, ended = time.perf_counter() - self.began, self.messages.ended
        return Ok(self.peer.uid, self.peer.hotkey, kept, elapsed, self.messages.receipt, partial=not ended)


@dataclass(frozen=True, slots=True)
class Heard:
    """A user's request and how one miner answered it; ``registered`` is when that miner had taken its uid, ``size``
    the bytes of both."""

    request: Synapse[Any]
    result: Ok[Any] | Failure
    registered: Block
    size: int


class Organic:
    """Asks for users and judges what they got; ``snapshot`` gives the newest metagraph."""

    def __init__(
        self,
        validator: Validator,
        book: Scorebook,
        snapshot: Callable[[], Metagraph],
        metrics: Metrics | None = None,
    ) -> None:
        self.synapses = {declaration(synapse).name: synapse for synapse in validator.organic}
        self._validator, self._book, self._snapshot, self._metrics = validator, book, snapshot, metrics
        self._judges = type(validator).judge_organic is not Validator.judge_organic
        self._stragglers, self._places = Stragglers(), Places()
        self._waiting: deque[Heard] = deque()
        self._bytes = 0

    @property
    def ready(self) -> bool:
        """Whether there is a miner to ask."""
        return bool(everyone(self._snapshot(), but=self._validator.hotkey))

    @property
    def waiting(self) -> int:
        """Results that wait to be judged."""
        return len(self._waiting)

    async def ask(self, request: Synapse[Any], *, size: int, json: bool = False) -> tuple[Ok[Any], bytes]:
        """The reply of the first of the routed miners that gives one, and it encoded again, as msgpack or JSON.

        ``size`` is the request's, in bytes. Raises the WireError that tells why there is no reply.
        """
        peers, declared = self._route(request), declaration(request)
        race: Race[Any] = Race(
            lambda peer: self._ask(peer, request, declared.timeout),
            peers,
            hedge=self._validator.organic_hedge if declared.idempotent else None,
            again=(lambda _: True) if declared.idempotent else untouched,
        )
        loop = asyncio.get_running_loop()
        result = await race.run(until=loop.time() + declared.timeout)
        for other in race.others:
            self._heard(request, size, other)
        overdue = loop.time() - (0.0 if result is None else self._validator.organic_hedge)
        await self._let_run(race, request, size, overdue)
        if result is None:
            raise HandlerTimeout("no miner replied in time", remedy=_ASK_LESS)
        if isinstance(result, Failure):
            self._note(request, result, size)
            raise as_error(result)
        body = codec.encode(result.value, json=json)
        self._note(request, result, size + len(body))
        return result, body

    async def _ask(self, peer: Neuron, request: Synapse[Any], timeout: float) -> Ok[Any] | Failure:
        async with self._places.one(peer):
            (result,) = await self._validator.query([peer], request, timeout=timeout)
        return result

    async def _let_run(self, race: Race[Any], request: Synapse[Any], size: int, overdue: float) -> None:
        """Follow those who were asked before ``overdue``, by the loop's clock; who had less time is let go unjudged."""
        leave = []
        for task, (peer, since) in race.running.items():
            if since <= overdue and not self._places.is_waiting(task) and self._has_room(peer, size):
                self._stragglers.follow(peer, task, size, partial(self._heard, request, size))
            else:
                leave.append(task)
        await cancel(leave)

    def _has_room(self, peer: Neuron, size: int) -> bool:
        return self._judges and self._stragglers.has_room(peer, size)

    def _heard(self, request: Synapse[Any], size: int, result: Ok[Any] | Failure) -> None:
        """Note what a peer gave that no user was waiting for."""
        if self._judges:
            self._note(request, result, size + _size(result))

    async def close(self) -> None:
        """Let go of the miners that are still followed."""
        await self._stragglers.close()

    @asynccontextmanager
    async def stream(self, request: Synapse[Any], *, size: int) -> AsyncGenerator[AsyncIterator[Message], None]:
        """The messages of the first of the routed miners that sends one; ``size`` as for :meth:`ask`.

        Raises the WireError that tells why there is none; while they are read, the one that the miner broke off with.
        """
        peers = self._route(request)
        for place, peer in enumerate(peers, 1):
            opening = asyncio.create_task(self._open(peer, request), name="organic_stream")
            try:
                await asyncio.wait([opening])
                opened = opening.result()
            except StreamFailed as error:
                self._note(request, error.failure, size)
                again = declaration(request).idempotent or untouched(error.failure)
                if not again or place == len(peers):
                    raise as_error(error.failure) from None
            except asyncio.CancelledError:
                if not self._places.is_waiting(opening) and self._has_room(peer, size):
                    self._stragglers.follow(peer, _begun(opening), size, partial(self._heard, request, size))
                else:
                    await cancel([opening])
                    if not opening.cancelled() and opening.exception() is None:
                        await opening.result().stack.aclose()
                raise
            else:
                async with opened.stack, aclosing(self._relayed(request, opened, size)) as relayed:
                    yield relayed
                return

    async def _open(self, peer: Neuron, request: Synapse[Any]) -> _Opened:
        """Ask a peer for a stream, up to its first message. Raises StreamFailed, and Busy if no place with it came free
        in the synapse's time."""
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(declaration(request).timeout):
                    await stack.enter_async_context(self._places.one(peer))
            except TimeoutError:
                raise Busy("no place with the miner came free in time", retry_after=1.0) from None
            began = time.perf_counter()
            messages = await stack.enter_async_context(self._validator.stream(peer, request))
            first = await anext(messages, None)
            return _Opened(peer, began, stack.pop_all(), messages, first)

    async def _relayed(self, request: Synapse[Any], opened: _Opened, size: int) -> AsyncGenerator[Message, None]:
        kept: list[Message] = []
        messages, message, held = opened.messages, opened.first, 0.0
        try:
            while message is not None:
                if self._judges:
                    kept.append(message)
                    size += len(codec.encode(message))
                given = time.perf_counter()
                yield message
                held += time.perf_counter() - given
                message = await anext(messages, None)
        except StreamFailed as error:
            # a user who reads slowly uses up the miner's time: the timeout is not the miner's then
            ours = error.failure.reason is Reason.TIMEOUT and held > messages.elapsed * _HELD
            self._note(request, opened.left(kept) if ours else error.failure, size)
            raise as_error(error.failure) from None
        except (GeneratorExit, asyncio.CancelledError):  # the user has left
            self._note(request, opened.left(kept), size)
            raise
        uid, hotkey = opened.peer.uid, opened.peer.hotkey
        self._note(request, Ok(uid, hotkey, kept, messages.elapsed, messages.receipt), size)

    def _route(self, request: Synapse[Any]) -> list[Neuron]:
        """Whom to ask. Raises Busy if there is nobody, HandlerFailed if the user's ``route`` raised."""
        metagraph = self._snapshot()
        try:
            chosen = list(self._validator.route(request, metagraph))
        except Exception:  # user code may raise anything
            log.exception("route_failed", extra={"synapse": type(request).__name__})
            raise HandlerFailed("this validator could not choose a miner") from None
        peers = [peer for peer in chosen if peer.axon is not None][: self._validator.organic_peers]
        if not peers:
            raise Busy("there is no miner to ask", remedy="Wait for the time in Retry-After.", retry_after=12.0)
        return sorted(peers, key=self._places.are_taken)  # those first who can be asked at once

    def _note(self, request: Synapse[Any], result: Ok[Any] | Failure, size: int) -> None:
        """Keep a result until it is judged, if anybody judges, and it says anything of the miner."""
        neuron = self._snapshot().neuron(result.hotkey)
        if not self._judges or neuron is None:
            return
        if isinstance(result, Failure) and result.reason is Reason.TIMEOUT and not result.elapsed:
            return  # it was never sent: all that may be asked of one address at a time was under way
        self._waiting.append(Heard(request, result, neuron.block_at_registration, size))
        self._bytes += size
        over = 0
        while len(self._waiting) > MOST_WAITING or (self._bytes > MOST_BYTES and len(self._waiting) > 1):
            self._bytes -= self._waiting.popleft().size
            over += 1
        if over:
            self._unjudged(over, "more were answered than could wait to be judged")

    async def step(self) -> float:
        """One pass of the loop: judge what has come since the last one, as one round."""
        if not self._waiting:
            return TICK
        began, snapshot = time.monotonic(), self._snapshot()
        heard, self._waiting, self._bytes = self._waiting, deque(), 0
        journal: Journal = {}
        registered: dict[Hotkey, Block] = {}
        scores: dict[Hotkey, list[float]] = {}
        for one, score in await self._judged(heard):
            hotkey = one.result.hotkey
            if registered.setdefault(hotkey, one.registered) != one.registered:
                continue  # it left and came back in between
            hear_results(journal, [one.result])
            if score is not None:
                scores.setdefault(hotkey, []).append(score)
        if journal:
            means = {hotkey: math.fsum(all_) / len(all_) for hotkey, all_ in scores.items()}
            judgement = Judgement(snapshot, Kind.ORGANIC, heard=journal, scores=means, registered=registered)
            judgement.started -= time.monotonic() - began
            judgement.seconds = time.monotonic() - began
            await self._book.record(judgement)
        return max(self._validator.interval, TICK)

    async def _judged(self, heard: Sequence[Heard]) -> list[tuple[Heard, float | None]]:
        """What the validator says of each result, as far as it comes to that before its deadline."""
        places, judged = asyncio.Semaphore(JUDGED_AT_ONCE), list[tuple[Heard, float | None]]()

        async def judge(one: Heard) -> None:
            async with places:
                try:
                    score = await self._validator.judge_organic(one.request, one.result)
                    judged.append((one, None if score is None else finite(score, uid=one.result.uid)))
                except (Exception, SystemExit) as error:  # user code may raise anything
                    log.error("judge_failed", extra={"synapse": type(one.request).__name__}, exc_info=error)

        tasks = [asyncio.create_task(judge(one), name="judge_organic") for one in heard]
        try:
            _, late = await asyncio.wait(tasks, timeout=self._validator.deadline)
        finally:
            for task in tasks:
                task.cancel()
        if late:
            self._unjudged(len(late), f"judging them took more than {self._validator.deadline} s")
        return judged

    def _unjudged(self, count: int, reason: str) -> None:
        log.warning("organic_unjudged", extra={"count": count, "reason": reason})
        if self._metrics is not None:
            self._metrics.count("subnet_organic_unjudged_total", count)


async def _begun(opening: asyncio.Task[_Opened]) -> Ok[Any] | Failure:
    """How a peer began a stream whose user left before that."""
    try:
        opened = await opening
    except StreamFailed as error:
        failed: Failure = error.failure
        return failed
    await opened.stack.aclose()
    return opened.left([] if opened.first is None else [opened.first])


def _size(result: Ok[Any] | Failure) -> int:
    """The bytes of a reply, or of a stream's messages, encoded."""
    if isinstance(result, Failure):
        return 0
    return sum(len(codec.encode(one)) for one in (result.value if isinstance(result.value, list) else [result.value]))


def untouched(failure: Failure) -> bool:
    """Whether the peer surely did not act on the request, so that another may be asked for the same."""
    return failure.reason in (Reason.BUSY, Reason.NO_AXON) or failure.code in _UNTOUCHED


def as_error(failure: Failure) -> WireError:
    """What a user is told of a miner's failure."""
    told = f"uid {failure.uid}: {failure.reason}" + (f" ({failure.code})" if failure.code else "")
    if failure.reason is Reason.TIMEOUT:
        return HandlerTimeout(told, remedy=_ASK_LESS)
    if failure.reason in (Reason.BUSY, Reason.NO_AXON):
        return Busy(told, retry_after=failure.retry_after or 1.0)
    return MinerFailed(told)
