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

import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints
from weakref import WeakKeyDictionary, finalize, ref

from subnet.auth import Caller
from subnet.errors import DeclarationError
from subnet.miners.batches import Batches
from subnet.synapse import Message, Synapse

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
        batches: WeakKeyDictionary[Any, Batches[tuple[S, Caller], R]] = WeakKeyDictionary()

        async def handler(self: M, request: S, caller: Caller) -> R:
            mine = batches.get(self)
            if mine is None:
                mine = batches[self] = Batches(_listed(function, self), max_size, max_wait)
                finalize(self, mine.stop)
            return await mine.ask((request, caller))

        handler.__name__, handler.__qualname__ = function.__name__, function.__qualname__
        handler.__doc__, handler.__module__ = function.__doc__, function.__module__
        # what it answers, as the miner looks for it: one request, one reply
        handler.__annotations__ = {"request": synapse, "caller": Caller, "return": reply}
        return handler

    return decorate


def _listed(function: Many[M, S, R], miner: M) -> Callable[[list[tuple[S, Caller]]], Any]:
    """``function`` of a list of pairs. It holds the miner weakly, or a miner would never be given up."""
    held = ref(miner)

    def arguments(pairs: list[tuple[S, Caller]]) -> tuple[M, list[S], list[Caller]]:
        mine = held()
        assert mine is not None  # noqa: S101 - whoever asks holds it
        return mine, [request for request, _ in pairs], [caller for _, caller in pairs]

    async def on_the_loop(pairs: list[tuple[S, Caller]]) -> Any:
        return await cast("Any", function)(*arguments(pairs))

    def in_a_thread(pairs: list[tuple[S, Caller]]) -> Any:
        return function(*arguments(pairs))

    listed: Callable[..., Any] = on_the_loop if inspect.iscoroutinefunction(function) else in_a_thread
    listed.__name__, listed.__qualname__ = function.__name__, function.__qualname__
    return listed


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
