"""One thread that owns the connection, and the event loop's way to give it work.

``await connection.run(job)`` queues a job for the thread and waits without blocking the loop. The
thread's sockets end each job by its deadline; should it be stuck elsewhere (a name server, an
endless value), the loop gives it up after a grace period: its socket is closed, the exception
ChainTimeout raised, and the next job gets a fresh thread. At most :data:`MAX_STUCK` such threads
may be alive; beyond that calls fail at once.

With several endpoints an idempotent job (:meth:`Connection.read`) is given to the next one when an
endpoint dies, hangs or lies, all under the call's one deadline.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Sequence

from subnet.chain.endpoints import Endpoints
from subnet.chain.owner import Job, Owner, T
from subnet.chain.session import FAULTS
from subnet.errors import ChainError, ChainTimeout, ChainUnreachable

log = logging.getLogger(__name__)

MAX_STUCK = 4
"""Given-up threads that may be alive at a time."""
GRACE = 2.0
"""Seconds past its deadline after which a job's thread is given up."""
LONGEST_COMPUTING = 60.0
"""Seconds that a call may take on top for what its thread computes: decoding metadata on a slow, busy machine."""
_LOOK = 1.0  # seconds between two looks at what a late thread does
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0  # seconds between two tries of a read


class Connection:
    """A chain's endpoints, the owner thread, and the retries around it. Used from one event loop."""

    def __init__(self, endpoints: str | Sequence[str] | Endpoints, genesis: str | None, timeout: float) -> None:
        self.endpoints = endpoints if isinstance(endpoints, Endpoints) else Endpoints(endpoints, genesis)
        self.timeout = timeout
        self._owner: Owner | None = None
        self._stuck: list[Owner] = []
        self._closed = False

    @property
    def endpoint(self) -> str:
        """The endpoint in use."""
        return self.endpoints.chosen

    async def run(self, job: Job[T], *, timeout: float | None = None, grace: float = GRACE) -> T:
        """The job's result, from one try; its sockets end by ``timeout`` seconds (default: the connection's), its
        computing by ``grace`` seconds more. Raises ChainTimeout, and whatever the job raises."""
        budget = self.timeout if timeout is None else timeout
        owner = self._current()
        future = owner.put(job, time.monotonic() + budget)
        waiter = asyncio.wrap_future(future)
        try:
            done = await self._wait(owner, waiter, budget + grace)
        except asyncio.CancelledError:
            waiter.cancel()  # the thread finishes the job by its deadline; nobody wants the result
            raise
        if not done:
            waiter.cancel()
            raise self._give_up(owner, budget)
        return waiter.result()

    async def _wait(self, owner: Owner, waiter: asyncio.Future[T], seconds: float) -> bool:
        """Whether it is done within ``seconds``; what the thread computes meanwhile (as a new runtime) comes on top."""
        until, before = time.monotonic() + seconds, owner.session.computed
        while not waiter.done():
            left = until + min(owner.session.computed - before, LONGEST_COMPUTING) - time.monotonic()
            if left <= 0:
                return False
            await asyncio.wait({waiter}, timeout=min(left, _LOOK))
        return True

    async def read(
        self,
        job: Job[T],
        *,
        timeout: float | None = None,
        grace: float = GRACE,
        patience: float | None = None,
    ) -> T:
        """As :meth:`run`, for idempotent jobs: tried again, with back-off, while the node is unreachable and
        ``patience`` seconds (default: the timeout) are not over. Each of several endpoints gets its share of the
        timeout, and is left for the next also where it is late or talks nonsense."""
        budget = self.timeout if timeout is None else timeout
        started, several = time.monotonic(), len(self.endpoints)
        give_up_at = started + (budget if patience is None else min(patience, budget))
        tries, pause = 0, _FIRST_PAUSE
        while True:
            left = max(started + budget - time.monotonic(), 0.0)
            try:
                return await self.run(job, timeout=left / max(several - tries, 1), grace=grace)
            except FAULTS as error:
                tries += 1
                wait = pause * random.uniform(1.0, 1.5) if tries >= several else 0.0
                if several == 1 and not isinstance(error, ChainUnreachable):
                    raise
                # Begun with less time than its pause, a last try would be late, and say that instead of what is wrong.
                over = min(give_up_at, started + budget - wait) if tries >= several else started + budget
                if time.monotonic() + wait >= over:
                    raise
            if wait:
                await asyncio.sleep(wait)
                pause = min(2 * pause, _LONGEST_PAUSE)

    def check_open(self) -> None:
        """Raises ChainError once :meth:`close` was called."""
        if self._closed:
            raise ChainError("this chain client is closed", remedy="Connect anew with Chain.connect.")

    def _current(self) -> Owner:
        self.check_open()
        if self._owner is None:
            self._stuck = [owner for owner in self._stuck if owner.thread.is_alive()]
            if len(self._stuck) >= MAX_STUCK:
                raise ChainTimeout(f"{len(self._stuck)} earlier calls to {self.endpoint} still hang")
            self._owner = Owner(self.endpoints)
        return self._owner

    def _give_up(self, owner: Owner, budget: float) -> ChainTimeout:
        error = ChainTimeout(f"{owner.session.endpoint} did not answer within {budget:g} s")
        if owner is self._owner:
            log.warning("%s hangs: its thread is given up", owner.session.endpoint)
            self._owner = None
            self._stuck.append(owner)
            self.endpoints.failed(owner.session.endpoint, error)
            owner.give_up()
        return error

    async def close(self) -> None:
        """Close the socket and end the thread; waits for it at most the grace period. Idempotent."""
        self._closed = True
        owner, self._owner = self._owner, None
        if owner is not None:
            owner.end()
            await asyncio.to_thread(owner.thread.join, GRACE)
