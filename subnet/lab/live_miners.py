"""The miners' seats of a live run: the user's Miner in each, and the actor that decides what becomes of its answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from subnet import auth
from subnet.errors import HandlerFailed, HandlerTimeout, NotPermitted, SubnetError, WireError
from subnet.lab import rules
from subnet.lab.clock import Clock
from subnet.lab.live_actors import LiveActor, Question
from subnet.lab.tasks import Floats
from subnet.lab.voting import Group
from subnet.routes import Route, route
from subnet.synapse import Message, Synapse, check_reply, declaration
from subnet.types import Hotkey, Uid
from subnet.workers import REFUSALS

if TYPE_CHECKING:
    from substrateinterface import Keypair

    from subnet.miners import Miner

LATENCY_SIGMA = 0.5
_LOOK = 0.02
"""Virtual seconds between two looks for a peer's answer."""


@dataclass(eq=False)
class Traffic:
    """What the seats share: the clock, who has answered whom, and what went wrong in code."""

    clock: Clock
    first_uid: int
    incentive: Floats
    epoch: int = 0
    handled: int = 0
    failed: int = 0
    last_error: Exception | None = None
    broken: SubnetError | None = None
    seats: list[MinerSeat] = field(default_factory=list)
    answers: dict[tuple[Hotkey, int], tuple[float, asyncio.Future[Message | None]]] = field(default_factory=dict)


class MinerSeat:
    """One miner: :class:`subnet.lab.wire.Peer` for the wire. ``seat`` is its place in its group."""

    def __init__(
        self,
        miner: Miner,
        key: Keypair,
        *,
        uid: int,
        seat: int,
        group: Group,
        traffic: Traffic,
        wire: np.random.Generator,
        latency: float,
    ) -> None:
        self.miner, self.key, self.uid, self.seat, self.group = miner, key, Uid(uid), seat, group
        self._traffic, self._wire, self._latency = traffic, wire, latency
        self._routes = {one.declared.name: one for one in map(route, miner.handlers.values())}

    async def arrive(self) -> None:
        """The time that a request takes to get here."""
        await asyncio.sleep(self._latency * float(np.exp(LATENCY_SIGMA * self._wire.standard_normal())))

    def synapse(self, name: str) -> type[Synapse[Any]] | None:
        found = self._routes.get(name)
        return None if found is None else found.synapse

    async def answer(self, request: Synapse[Any], caller: auth.Caller) -> Message | bytes:
        self._admit(caller, type(request))
        began = asyncio.get_running_loop().time()
        future: asyncio.Future[Message | None] = asyncio.get_running_loop().create_future()
        self._traffic.answers[caller.hotkey, self.uid] = began, future
        reply: Message | bytes | None = None
        try:
            reply = await self._decided(self._question(request, caller, began))
        finally:
            future.set_result(reply if isinstance(reply, Message) else None)
        return reply

    async def stream(self, request: Synapse[Any], caller: auth.Caller) -> AsyncGenerator[Message, None]:
        """Each message of the Miner's own stream, as the actor hands it on."""
        self._admit(caller, type(request))
        found = self._route(request)
        began = asyncio.get_running_loop().time()
        async for message in _steps(found, self._arguments(found, request, caller), self._traffic.clock):
            question = self._question(request, caller, began)
            question.honest = _giver(message)
            reply = await self._decided(question)
            if not isinstance(reply, Message):
                raise HandlerFailed("the handler's message can't be encoded")
            yield reply

    async def work(self, request: Synapse[Any], caller: auth.Caller) -> Message:
        """What the user's Miner answers. Raises what an axon would send instead."""
        found, traffic = self._route(request), self._traffic
        traffic.handled += 1
        arguments = self._arguments(found, request, caller)
        limit = asyncio.timeout(found.declared.timeout)
        try:
            async with limit:
                if found.is_async:
                    reply: Any = await found.handler(*arguments)
                else:
                    reply, slept = traffic.clock.charge(lambda: found.handler(*arguments))
                    await asyncio.sleep(slept)
            check_reply(request, reply)
        except REFUSALS:
            raise
        except (Exception, SystemExit) as error:  # user code may raise anything
            if isinstance(error, TimeoutError) and limit.expired():
                raise HandlerTimeout(f"no reply within {found.declared.timeout:g}s") from None
            traffic.failed += 1
            traffic.last_error = error if isinstance(error, Exception) else RuntimeError(f"it raised {error!r}")
            raise HandlerFailed("the handler failed") from None
        return reply  # type: ignore[no-any-return]

    def _admit(self, caller: auth.Caller, synapse: type[Synapse[Any]]) -> None:
        try:
            self.miner.admit(caller.hotkey, synapse)
        except WireError:
            raise
        except Exception:  # user code may raise anything
            raise NotPermitted("this miner's admission failed") from None

    async def _decided(self, question: Question) -> Message | bytes:
        actor = self.group.actor
        if not isinstance(actor, LiveActor):
            raise ConnectionError("nobody sits here")
        try:
            return await actor.reply(question)
        except (WireError, OSError, asyncio.CancelledError):
            raise
        except Exception as error:  # an actor may be the designer's
            self._traffic.broken = rules.failure(f"{type(actor).__name__}.reply", question.epoch, error)
            raise HandlerFailed("the actor failed") from error

    def _question(self, request: Synapse[Any], caller: auth.Caller, began: float) -> Question:
        traffic = self._traffic

        async def honest(seat: int = self.seat) -> Message:
            mates = [one for one in traffic.seats if one.group is self.group]
            return await mates[seat].work(request, caller)

        async def peer(uid: Uid) -> Message | None:
            oldest = began - declaration(request).timeout
            while True:  # the caller's deadline ends it
                at, future = traffic.answers.get((caller.hotkey, uid), (-1.0, None))
                if future is not None and at >= oldest:
                    await asyncio.wait({future})
                    return future.result()
                await asyncio.sleep(_LOOK)

        return Question(
            request=request,
            epoch=traffic.epoch,
            seat=self.seat,
            uid=self.uid,
            validator=caller.hotkey,
            dice=self.group.rng,
            incentive=traffic.incentive,
            first_uid=traffic.first_uid,
            honest=honest,
            peer=peer,
        )

    def _route(self, request: Synapse[Any]) -> Route:
        return self._routes[declaration(request).name]

    def _arguments(self, found: Route, request: Synapse[Any], caller: auth.Caller) -> tuple[Any, ...]:
        return (request, caller) if found.takes_caller else (request,)


def _giver(message: Message) -> Any:
    async def honest(seat: int = 0) -> Message:
        return message

    return honest


async def _steps(found: Route, arguments: tuple[Any, ...], clock: Clock) -> AsyncGenerator[Message, None]:
    """The messages of a streaming handler, plain or async; what it raises ends the stream as at an axon."""
    source = found.handler(*arguments)
    try:
        if found.is_async:
            async for message in source:
                yield message
            return
        while True:
            message, slept = clock.charge(lambda: next(source, None))
            await asyncio.sleep(slept)
            if message is None:
                return
            yield message
    except REFUSALS:
        raise
    except Exception as error:  # user code may raise anything
        raise HandlerFailed("the handler failed") from error
