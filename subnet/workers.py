"""Runs handlers: at most so many at once, a bounded queue before them, a deadline over both.

``async def`` handlers run on the loop, plain ones in threads. Whatever a handler does (raise, exit, hang,
answer nonsense) ends as a checked reply or one of three errors: Busy, HandlerTimeout, HandlerFailed. The miner's
own mistakes go to its log; the caller hears only that there was one. The threads are daemons: one that
hangs in a handler can't keep a stopped miner alive.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from functools import partial
from types import coroutine
from typing import Any, Final

from subnet.admission import Limits
from subnet.errors import Busy, HandlerFailed, HandlerTimeout, NotPermitted, RateLimited, TooMuch, WireError
from subnet.routes import Route
from subnet.slots import Slots
from subnet.synapse import Message, Synapse, check_reply
from subnet.threads import Threads

log = logging.getLogger(__name__)

CLOSING: Final = 5.0
"""Seconds that a stream's generator has to clean up after its caller has gone."""
REFUSALS: Final = (NotPermitted, RateLimited, Busy, TooMuch)
"""What a handler may raise on purpose, for its caller to hear."""
_DONE: Final = object()
_USER_CODE: Final = (Exception, SystemExit, asyncio.CancelledError)
"""What a handler may raise; it must not take us along."""


class Workers:
    """The slots, the queue and the threads of one axon; :meth:`start` and :meth:`stop` on its loop."""

    def __init__(self, limits: Limits) -> None:
        self._slots = Slots(limits.running, limits.queue)
        self._threads = Threads(limits.threads, "handler")

    def start(self) -> None:
        self._threads.start()

    def stop(self) -> None:
        """End the threads as they become free; nobody waits for one that hangs."""
        self._threads.stop()

    async def run(
        self, found: Route, request: Synapse[Any], arguments: tuple[Any, ...], priority: float = 0.0
    ) -> Message:
        """The handler's reply to ``request``, checked. Queue and handler together have the synapse's timeout.

        The higher the ``priority``, the sooner it gets a slot where all are taken.

        Raises Busy, HandlerTimeout, HandlerFailed, and what a handler may refuse with on purpose
        (REFUSALS).
        """
        limit = asyncio.timeout(found.declared.timeout)
        try:
            if found.is_async and self._slots.take_now():
                reply = await self._at_once(found, arguments, limit)
            else:
                async with limit:
                    await self._slots.take(priority)
                    reply = await self._in_slot(found, arguments)
        except _USER_CODE as error:
            raise _told(error, found, limit) from None
        return _checked(found, request, reply)

    async def stream(
        self, found: Route, request: Synapse[Any], arguments: tuple[Any, ...], priority: float = 0.0
    ) -> AsyncGenerator[Message, None]:
        """The handler's messages, checked, one by one; nothing is computed ahead of who takes them.

        Raises as :meth:`run`. To close it ends the handler: an async one at once, a plain one after the
        message that it is at. The handler's slot is taken until then.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + found.declared.timeout
        limit = asyncio.timeout_at(end)
        try:
            async with limit:
                await self._slots.take(priority)
        except _USER_CODE as error:
            raise _told(error, found, limit) from None
        source: Any = None
        try:
            while True:
                limit = asyncio.timeout_at(min(end, loop.time() + found.declared.chunk_timeout))
                try:
                    async with limit:
                        if source is None:
                            source = self._source(found, arguments)
                        message = await anext(source)
                except StopAsyncIteration:
                    return
                except _USER_CODE as error:
                    raise _told(error, found, limit) from None
                yield _checked(found, request, message)
        finally:
            await self._finish(source)

    def _source(self, found: Route, arguments: tuple[Any, ...]) -> Any:
        if found.is_async:
            return found.handler(*arguments)
        return _Stepped(found.handler(*arguments), self._threads)

    async def _finish(self, source: Any) -> None:
        """Close a stream's generator and give its slot back."""
        if isinstance(source, _Stepped):
            source.close(self._slots.release)
            return
        try:
            if source is not None:
                async with asyncio.timeout(CLOSING):
                    await source.aclose()
        except _USER_CODE as error:
            if _being_cancelled() and isinstance(error, asyncio.CancelledError):
                raise
            log.warning("a handler's stream did not end well: %r", error)
        finally:
            self._slots.release()

    async def _at_once(self, found: Route, arguments: tuple[Any, ...], limit: asyncio.Timeout) -> Any:
        """An async handler whose slot is taken. The deadline is set up when it first waits for something: until then
        no timer could stop it, and most that only compute never do."""
        call = found.handler(*arguments)
        try:
            waits_for = call.send(None)
        except StopIteration as done:
            return done.value
        else:
            async with limit:
                return await _rest(call, waits_for)
        finally:
            self._slots.release()

    async def _in_slot(self, found: Route, arguments: tuple[Any, ...]) -> Any:
        if found.is_async:
            try:
                return await found.handler(*arguments)
            finally:
                self._slots.release()
        future = self._threads.submit(found.handler, *arguments)
        future.add_done_callback(self._free_slot)
        # A thread can't be stopped: a timeout ends the waiting, and the slot stays taken until the thread is done.
        return await asyncio.shield(future)

    def _free_slot(self, future: asyncio.Future[Any]) -> None:
        self._slots.release()
        _see(future)


class _Stepped:
    """A plain generator, a step at a time on the handlers' threads."""

    def __init__(self, generator: Generator[Message, None, None], threads: Threads) -> None:
        self._generator, self._threads = generator, threads
        self._step: asyncio.Future[Any] | None = None

    async def __anext__(self) -> Message:
        self._step = self._threads.submit(next, self._generator, _DONE)
        self._step.add_done_callback(_see)
        message: Message = await asyncio.shield(self._step)  # as above: the thread goes on
        if message is _DONE:
            raise StopAsyncIteration
        return message

    def close(self, then: Callable[[], None]) -> None:
        """Close the generator, once the step that it is at is over, and call ``then``."""

        def step_is_over(_: object) -> None:
            closing = self._threads.submit(self._generator.close)
            closing.add_done_callback(_see)
            closing.add_done_callback(lambda _: then())

        if self._step is None or self._step.done():
            step_is_over(None)
        else:
            self._step.add_done_callback(step_is_over)


@coroutine
def _rest(call: Coroutine[Any, Any, Any], waits_for: Any) -> Generator[Any, Any, Any]:
    """What ``await call`` would do, of a coroutine that has begun and now ``waits_for`` what it yielded."""
    while True:
        try:
            sent = yield waits_for
        except BaseException as error:
            step = partial(call.throw, error)
        else:
            step = partial(call.send, sent)
        try:
            waits_for = step()
        except StopIteration as done:
            return done.value


def _told(error: BaseException, found: Route, limit: asyncio.Timeout) -> BaseException:
    """What the caller hears of a handler that raised."""
    name = found.declared.name
    if isinstance(error, REFUSALS):
        return error
    if isinstance(error, asyncio.CancelledError) and _being_cancelled():
        return error
    if isinstance(error, TimeoutError) and limit.expired():
        declared = found.declared
        between = f", or {declared.chunk_timeout:g}s to the next message" if declared.stream else ""
        log.warning("the handler of %s took over %gs%s", name, declared.timeout, between)
        return HandlerTimeout(f"no reply within {declared.timeout:g}s{between}")
    log.error("the handler of %s failed", name, exc_info=error)
    return HandlerFailed("the handler failed")


def _checked(found: Route, request: Synapse[Any], reply: Message) -> Message:
    try:
        check_reply(request, reply)
    except WireError as error:
        log.error("the handler of %s gave a reply that can't be sent: %s", found.declared.name, error)
        raise HandlerFailed("the handler's reply was not what its synapse declares") from None
    return reply


def _see(future: asyncio.Future[Any]) -> None:
    """Mark a future's exception as seen: whoever timed out will not look again."""
    if not future.cancelled():
        future.exception()


def _being_cancelled() -> bool:
    """Whether it is this request's own task that is being cancelled, not something inside the handler."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
