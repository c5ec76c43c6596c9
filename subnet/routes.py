"""Which function answers which synapse: handlers are found by the type of their request.

A handler is ``handler(request: SomeSynapse, caller: Caller) -> ItsReply``; the caller may be left out.
Whatever looks like one and can't work is a DeclarationError that names it.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from subnet.errors import DeclarationError
from subnet.synapse import Declaration, Message, Synapse, declaration

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True, slots=True)
class Route:
    """A synapse and the handler that answers it."""

    synapse: type[Synapse[Any]]
    declared: Declaration
    handler: Callable[..., Any]
    is_async: bool
    """Whether it runs on the loop: an ``async def``, with or without ``yield``."""
    takes_caller: bool


class RouteTable:
    """What an axon serves at a time, by path; it knows when the last request that met it is over."""

    def __init__(self, handlers: Iterable[Callable[..., Any]] = ()) -> None:
        self._routes: dict[str, Route] = {}
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()
        for handler in handlers:
            self.add(handler)

    def __str__(self) -> str:
        return ", ".join(self._routes) or "nothing"

    def add(self, handler: Callable[..., Any]) -> Route:
        """Serve it too. Raises DeclarationError for what is no handler, or a second one for the same path."""
        new = route(handler)
        taken = self._routes.setdefault(new.declared.name, new)
        if taken is not new:
            raise DeclarationError(f"/{new.declared.name} is served twice: {taken.handler!r} and {handler!r}")
        return new

    def get(self, name: str) -> Route | None:
        return self._routes.get(name)

    def enter(self) -> None:
        """A request has come."""
        self._running += 1
        self._idle.clear()

    def leave(self) -> None:
        """It is over."""
        self._running -= 1
        if not self._running:
            self._idle.set()

    async def idle(self) -> None:
        """Returns when no request is under way."""
        await self._idle.wait()


def route(handler: Callable[..., Any]) -> Route:
    """The route of a function or bound method; DeclarationError if it is no handler, or one that can't work."""
    name = str(getattr(handler, "__qualname__", repr(handler)))
    parameters = list(inspect.signature(handler).parameters.values())
    synapse = synapse_of(handler, parameters, name)
    if synapse is None:
        raise DeclarationError(
            f"{name} does not say which synapse it takes",
            remedy="Annotate its request, as in def classify(self, request: Classify, caller: Caller) -> Labels.",
        )
    check_reply_annotation(handler, synapse, name)
    takes_caller = len([p for p in parameters if p.kind in _POSITIONAL]) > 1
    is_async = inspect.iscoroutinefunction(handler) or inspect.isasyncgenfunction(handler)
    return Route(synapse, declaration(synapse), handler, is_async, takes_caller)


def synapse_of(
    function: Callable[..., Any], parameters: list[inspect.Parameter], name: str
) -> type[Synapse[Any]] | None:
    """The synapse that ``function`` takes; None if it is no handler.

    ``parameters`` are the function's, without ``self``; ``name`` is what errors call it.
    """
    if not parameters:
        return None
    required = [p for p in parameters if p.default is p.empty and p.kind in _POSITIONAL]
    fits = len(required) in (1, 2) and parameters[0].kind in _POSITIONAL
    try:
        taken = _resolve(parameters[0].annotation, function)
    except Exception as error:  # an annotation is any expression, so it may raise anything
        if len(required) != 2:  # with another shape it is some function that is none of our business
            return None
        raise DeclarationError(
            f"{name}: the annotation {parameters[0].annotation!r} does not resolve: {error}",
            remedy="Import the synapse at the top of the module, not under TYPE_CHECKING.",
        ) from None
    if not (isinstance(taken, type) and issubclass(taken, Synapse)):
        return None
    declaration(taken)
    if not fits or any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in parameters):
        raise DeclarationError(
            f"{name} takes a {taken.__name__} but can't be called with (request, caller)",
            remedy="Write (self, request, caller); prefix a method that is no handler with an underscore.",
        )
    return taken


def check_reply_annotation(function: Callable[..., Any], synapse: type[Synapse[Any]], name: str) -> None:
    """Raise DeclarationError unless ``function`` says that it returns what ``synapse`` is answered with."""
    declared = declaration(synapse)
    wanted = declared.response
    written = inspect.signature(function).return_annotation
    remedy = f"Annotate it: -> {wanted.__name__}."
    if declared.stream:
        remedy = f"Write a generator: def or async def that yields, -> Iterator or AsyncIterator[{wanted.__name__}]."
    if written is inspect.Signature.empty:
        raise DeclarationError(f"{name} does not say what it returns", remedy=remedy)
    try:
        reply = _resolve(written, function)
    except Exception as error:  # as above
        raise DeclarationError(
            f"{name}: the annotation {written!r} does not resolve: {error}",
            remedy="Import the reply at the top of the module, not under TYPE_CHECKING.",
        ) from None
    if declared.stream:
        reply = _streamed(function, reply)
    elif inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise DeclarationError(
            f"{name} yields, but {synapse.__name__} is answered with one {wanted.__name__}",
            remedy="Return the reply; or declare the synapse with stream=True, at both ends.",
        )
    if not (isinstance(reply, type) and issubclass(reply, Message) and issubclass(reply, wanted)):
        raise DeclarationError(
            f"{name} returns {getattr(reply, '__name__', written)},"
            f" but {synapse.__name__} is answered with {wanted.__name__}",
            remedy=remedy,
        )


def _streamed(function: Callable[..., Any], annotation: Any) -> Any:
    """What a generator function yields by its annotation; None if it is no generator, or not annotated as one."""
    if inspect.isasyncgenfunction(function):
        kinds: tuple[Any, ...] = (AsyncIterator, AsyncGenerator, AsyncIterable)
    elif inspect.isgeneratorfunction(function):
        kinds = (Iterator, Generator, Iterable)
    else:
        return None
    return get_args(annotation)[0] if get_origin(annotation) in kinds else None


def _resolve(annotation: Any, function: Callable[..., Any]) -> Any:
    if not isinstance(annotation, str):
        return annotation
    names = getattr(inspect.unwrap(function), "__globals__", {})
    return eval(annotation, names)  # noqa: S307 - the user's own source
