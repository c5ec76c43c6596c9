"""Runs handlers: at most so many at once, a bounded queue before them, a deadline over both.

``async def`` handlers run on the loop, plain ones in threads. Whatever a handler does (raise, exit, hang,
answer nonsense) ends as a checked reply or one of three errors: Busy, HandlerTimeout, HandlerFailed. The miner's
own mistakes go to its log; the caller hears only that there was one. The threads are daemons: one that
hangs in a handler can't keep a stopped miner alive.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from subnet.admission import Limits
from subnet.errors import Busy, HandlerFailed, HandlerTimeout, NotPermitted, RateLimited, WireError
from subnet.routes import Route
from subnet.synapse import Message, Synapse, check_reply
from subnet.threads import Threads

log = logging.getLogger(__name__)


class Workers:
    """The slots, the queue and the threads of one axon; :meth:`start` and :meth:`stop` on its loop."""

    def __init__(self, limits: Limits) -> None:
        self.waiting = 0
        """Requests that wait for a slot right now."""
        self._limits = limits
        self._slots = asyncio.Semaphore(limits.running)
        self._threads = Threads(limits.threads, "handler")

    def start(self) -> None:
        self._threads.start()

    def stop(self) -> None:
        """End the threads as they become free; nobody waits for one that hangs."""
        self._threads.stop()

    async def run(self, found: Route, request: Synapse[Any], arguments: tuple[Any, ...]) -> Message:
        """The handler's reply to ``request``, checked. Queue and handler together have the synapse's timeout.

        Raises Busy, HandlerTimeout, HandlerFailed, and what a handler may refuse with on purpose
        (NotPermitted, RateLimited, Busy).
        """
        name, seconds = found.declared.name, found.declared.timeout
        if self._slots.locked() and self.waiting >= self._limits.queue:
            raise Busy(f"{self.waiting} requests are waiting already", retry_after=1.0)
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                reply: Message = await self._in_slot(found, arguments)
        except (NotPermitted, RateLimited, Busy):
            raise
        except (Exception, SystemExit, asyncio.CancelledError) as error:  # user code; it must not take us along
            if isinstance(error, asyncio.CancelledError) and _being_cancelled():
                raise
            if isinstance(error, TimeoutError) and limit.expired():
                log.warning("the handler of %s took over %gs", name, seconds)
                raise HandlerTimeout(f"no reply within {seconds:g}s") from None
            log.exception("the handler of %s failed", name)
            raise HandlerFailed("the handler failed") from None
        try:
            check_reply(request, reply)
        except WireError as error:
            log.error("the handler of %s gave a reply that can't be sent: %s", name, error)
            raise HandlerFailed("the handler's reply was not what its synapse declares") from None
        return reply

    async def _in_slot(self, found: Route, arguments: tuple[Any, ...]) -> Any:
        self.waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self.waiting -= 1
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
        if not future.cancelled():
            future.exception()  # marks it as seen: whoever timed out will not look again


def _being_cancelled() -> bool:
    """Whether it is this request's own task that is being cancelled, not something inside the handler."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
