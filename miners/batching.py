"""``@batched``: concurrent requests joined into one call of the model.

    class TextMiner(Miner):
        @batched(max_size=16, max_wait=0.01)
        def embed(self, requests: list[Embed], callers: list[Caller]) -> list[Vector]:
            return [Vector(values=row) for row in self.model([one.text for one in requests])]

The method still answers one request each, to the axon and to tests; what it is called with are those
that came within ``max_wait`` seconds of the first, or while the last call ran. One call runs at a time.
Each caller gets its own reply, its own error (an exception in its place of the list), or, when its own
time is over, its own time-out: the others' batch goes on.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, get_args, get_origin, get_type_hints
from weakref import WeakKeyDictionary, finalize

from subnet.auth import Caller
from subnet.errors import DeclarationError
from subnet.synapse import Message, Synapse
from subnet.threads import Threads

M = TypeVar("M")
S = TypeVar("S", bound=Synapse[Any])
R = TypeVar("R", bound=Message)
Many = Callable[[M, list[S], list[Caller]], Sequence[R | Exception] | Awaitable[Sequence[R | Exception]]]
One = Callable[[M, S, Caller], Awaitable[R]]


def batched(*, max_size: int, max_wait: float) -> Callable[[Many[M, S, R]], One[M, S, R]]:
    """Make a handler of many out of one that is called with lists; see the module.

    ``max_size`` is the most requests in a call, ``max_wait`` how many seconds the first of them waits for
    others while nothing runs. A plain method runs in a thread of its own, an ``async def`` on the loop.
    Raises DeclarationError for sizes or annotations that can't work. The axon lets at most
    ``Limits.running`` requests (64) into handlers, so a larger ``max_size`` is never filled.
    """
    if max_size < 1 or not 0 <= max_wait < float("inf"):
        raise DeclarationError(f"batched(max_size={max_size}, max_wait={max_wait}) can't work")

    def decorate(function: Many[M, S, R]) -> One[M, S, R]:
        synapse, reply = _annotations(function)
        batches: WeakKeyDictionary[Any, _Batches] = WeakKeyDictionary()

        async def handler(self: M, request: S, caller: Caller) -> R:
            mine = batches.get(self)
            if mine is None:
                mine = batches[self] = _Batches(function, max_size, max_wait)
                finalize(self, mine.threads.stop)
            reply: R = await mine.ask(self, request, caller)
            return reply

        handler.__name__, handler.__qualname__ = function.__name__, function.__qualname__
        handler.__doc__, handler.__module__ = function.__doc__, function.__module__
        # what it answers, as the miner looks for it: one request, one reply
        handler.__annotations__ = {"request": synapse, "caller": Caller, "return": reply}
        return handler

    return decorate


def _annotations(function: Callable[..., Any]) -> tuple[type, type]:
    """The synapse and its reply, out of ``requests: list[Synapse]`` and ``-> list[Reply]``."""
    name = function.__qualname__
    remedy = "Annotate it: (self, requests: list[YourSynapse], callers: list[Caller]) -> list[YourReply]."
    try:
        hints = get_type_hints(function)
    except Exception as error:  # an annotation is any expression, so it may raise anything
        raise DeclarationError(
            f"{name}: an annotation does not resolve: {error}",
            remedy="Import synapse and reply at the top of the module, not under TYPE_CHECKING.",
        ) from None
    parameters = list(inspect.signature(function).parameters)
    if len(parameters) != 3:
        raise DeclarationError(f"{name} takes {', '.join(parameters)}", remedy=remedy)
    requests = _elements(hints.get(parameters[1]))
    replies = _elements(hints.get("return"))
    if len(requests) != 1 or not issubclass(requests[0], Synapse):
        raise DeclarationError(f"{name} does not say which synapses it takes", remedy=remedy)
    messages = [one for one in replies if issubclass(one, Message)]
    if len(messages) != 1 or not all(issubclass(one, (Message, Exception)) for one in replies):
        raise DeclarationError(f"{name} does not say which replies it returns", remedy=remedy)
    return requests[0], messages[0]


def _elements(annotation: Any) -> list[type]:
    """The classes that may stand in an annotated list or sequence."""
    if get_origin(annotation) not in (list, Sequence):
        return []
    (inner,) = get_args(annotation)
    members = [inner] if isinstance(inner, type) else list(get_args(inner))
    return members if all(isinstance(one, type) for one in members) else []


@dataclass(eq=False, slots=True)
class _Waiting:
    """A request that has not been answered."""

    request: Any
    caller: Caller
    since: float
    reply: asyncio.Future[Any]


class _Batches:
    """What waits at one method of one miner, and the task that works it off."""

    def __init__(self, function: Callable[..., Any], max_size: int, max_wait: float) -> None:
        self.threads = Threads(1, f"batch-{function.__name__}")
        self._function, self._max_size, self._max_wait = function, max_size, max_wait
        self._waiting: list[_Waiting] = []
        self._full = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        if not inspect.iscoroutinefunction(function):
            self.threads.start()

    async def ask(self, miner: Any, request: Any, caller: Caller) -> Any:
        loop = asyncio.get_running_loop()
        mine = _Waiting(request, caller, loop.time(), loop.create_future())
        self._waiting.append(mine)
        if len(self._waiting) >= self._max_size:
            self._full.set()
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._work(miner))
        try:
            return await mine.reply
        finally:  # gone before its turn: nobody computes what nobody waits for
            if mine in self._waiting:
                self._waiting.remove(mine)

    async def _work(self, miner: Any) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            left = self._waiting[0].since + self._max_wait - loop.time()
            if left > 0 and len(self._waiting) < self._max_size:
                self._full.clear()
                try:
                    async with asyncio.timeout(left):
                        await self._full.wait()
                except TimeoutError:
                    continue  # look again at who is first: the one who waited longest may have left
            batch, self._waiting = self._waiting[: self._max_size], self._waiting[self._max_size :]
            if batch:
                _hand_out(batch, await self._call(miner, batch))

    async def _call(self, miner: Any, batch: list[_Waiting]) -> Sequence[Any]:
        """One outcome for each; an exception that the method raises is everybody's."""
        arguments = (miner, [one.request for one in batch], [one.caller for one in batch])
        try:
            if inspect.iscoroutinefunction(self._function):
                outcomes = await self._function(*arguments)
            else:
                outcomes = await self.threads.submit(self._function, *arguments)
            if not isinstance(outcomes, Sequence) or len(outcomes) != len(batch):
                many = len(outcomes) if isinstance(outcomes, Sequence) else type(outcomes).__name__
                raise TypeError(f"{self._function.__qualname__} gave {many} replies to {len(batch)} requests")
        except (Exception, SystemExit, asyncio.CancelledError) as error:  # user code; it must not take us along
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                raise
            told = error if isinstance(error, Exception) else RuntimeError(f"the handler ended with {error!r}")
            return [told] * len(batch)
        return outcomes


def _hand_out(batch: list[_Waiting], outcomes: Sequence[Any]) -> None:
    for one, outcome in zip(batch, outcomes, strict=True):
        if one.reply.done():
            continue
        if isinstance(outcome, Exception):
            one.reply.set_exception(outcome)
        else:
            one.reply.set_result(outcome)
