"""One thread that owns the connection, and the event loop's way to give it work.

``await connection.run(job)`` queues a job for the thread and waits without blocking the loop. The
thread's sockets end each job by its deadline; should it be stuck elsewhere (a name server, an
endless value), the loop gives it up after a grace period: its socket is closed, the exception
ChainTimeout raised, and the next job gets a fresh thread. At most :data:`MAX_STUCK` such threads
may be alive; beyond that calls fail at once.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from typing import TypeVar

import stamina

from subnet.chain.session import Session
from subnet.errors import ChainError, ChainTimeout, ChainUnreachable

log = logging.getLogger(__name__)

T = TypeVar("T")
Job = Callable[[Session], T]

MAX_STUCK = 4
"""Given-up threads that may be alive at a time."""
GRACE = 2.0
"""Seconds past its deadline after which a job's thread is given up."""


class _Owner:
    """The thread and the session that only it touches."""

    def __init__(self, endpoint: str, genesis: str | None) -> None:
        self.session = Session(endpoint, genesis)
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self.thread = Thread(target=self._work, name=f"chain {endpoint}", daemon=True)
        self.thread.start()

    def _work(self) -> None:
        while (task := self._jobs.get()) is not None:
            task()
            del task  # else the last job's result stays alive until the next one
        self.session.abort()

    def put(self, job: Job[T], deadline: float) -> Future[T]:
        future: Future[T] = Future()

        def task() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                self.session.prepare(deadline)
                future.set_result(job(self.session))
            except SystemExit:  # thrown in by give_up(): an order to the thread, not to who waits
                future.set_exception(ChainTimeout(f"{self.session.endpoint} hangs"))
            except BaseException as error:
                future.set_exception(error)

        self._jobs.put(task)
        return future

    def finish(self) -> None:
        """Let the thread end after the jobs it has."""
        self._jobs.put(None)

    def give_up(self) -> None:
        """Wake the thread from its socket, or from Python code that does not end, and let it go."""
        self.finish()
        self.session.abort()
        if self.thread.ident is not None:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.thread.ident), ctypes.py_object(SystemExit))


class Connection:
    """An endpoint, its owner thread, and the retries around it. Used from one event loop."""

    def __init__(self, endpoint: str, genesis: str | None, timeout: float) -> None:
        self.endpoint = endpoint
        self.genesis = genesis
        self.timeout = timeout
        self._owner: _Owner | None = None
        self._stuck: list[_Owner] = []
        self._closed = False

    async def run(self, job: Job[T], *, timeout: float | None = None, grace: float = GRACE) -> T:
        """The job's result; its sockets end by ``timeout`` seconds (default: the connection's), its
        computing by ``grace`` seconds more. Raises ChainTimeout, and whatever the job raises."""
        budget = self.timeout if timeout is None else timeout
        owner = self._current()
        future = owner.put(job, time.monotonic() + budget)
        waiter = asyncio.wrap_future(future)
        try:
            done, _ = await asyncio.wait({waiter}, timeout=budget + grace)
        except asyncio.CancelledError:
            waiter.cancel()  # the thread finishes the job by its deadline; nobody wants the result
            raise
        if not done:
            waiter.cancel()
            self._give_up(owner)
            raise ChainTimeout(f"{self.endpoint} did not answer within {budget:g} s")
        return waiter.result()

    async def read(
        self,
        job: Job[T],
        *,
        timeout: float | None = None,
        grace: float = GRACE,
        patience: float | None = None,
    ) -> T:
        """As :meth:`run`, for idempotent jobs: tried again, with back-off, while the node is unreachable
        and ``patience`` seconds (default: the timeout) are not over."""
        budget = self.timeout if timeout is None else timeout
        async for attempt in stamina.retry_context(
            on=ChainUnreachable,
            attempts=None,
            timeout=budget if patience is None else patience,
            wait_initial=0.1,
            wait_max=2.0,
            wait_jitter=0.2,
        ):
            with attempt:
                return await self.run(job, timeout=timeout, grace=grace)
        raise ChainUnreachable(f"{self.endpoint} can't be reached")

    def _current(self) -> _Owner:
        if self._closed:
            raise ChainError("this chain client is closed", remedy="Connect anew with Chain.connect.")
        if self._owner is None:
            self._stuck = [owner for owner in self._stuck if owner.thread.is_alive()]
            if len(self._stuck) >= MAX_STUCK:
                raise ChainTimeout(f"{len(self._stuck)} earlier calls to {self.endpoint} still hang")
            self._owner = _Owner(self.endpoint, self.genesis)
        return self._owner

    def _give_up(self, owner: _Owner) -> None:
        if owner is self._owner:
            log.warning("%s hangs: its thread is given up", self.endpoint)
            self._owner = None
            self._stuck.append(owner)
            owner.give_up()

    async def close(self) -> None:
        """Close the socket and end the thread; waits for it at most the grace period. Idempotent."""
        self._closed = True
        owner, self._owner = self._owner, None
        if owner is not None:
            owner.finish()
            owner.session.abort()
            await asyncio.to_thread(owner.thread.join, GRACE)
