"""The eye on the endpoints: is the one in use alive, does its head move, is a better one there?

:class:`Watch` looks every ten seconds. Its cheap call keeps an idle connection open, and finds out
within 20 s where the peer vanished without a word. With several endpoints it asks the others too, now
and then and at once when the head stands still, each on a thread of its own: a node that is behind, or
stands still while another goes on, is left, and a preferred one that is well again is gone back to.
A head that stands still everywhere is reported, and nothing more: a manual local chain is meant to.
"""

from __future__ import annotations

import asyncio
import logging
import time

from subnet.chain.connection import GRACE, Connection
from subnet.chain.endpoints import LAG, Endpoints
from subnet.chain.owner import Owner
from subnet.chain.session import Session
from subnet.errors import ChainError, ChainTimeout

log = logging.getLogger(__name__)

EVERY = 10.0
"""Seconds between two looks at the endpoint in use."""
PATIENCE = 10.0
"""Seconds in which the endpoint in use must say how far it is."""
OTHERS_EVERY = 30.0
"""Seconds between two looks at the other endpoints."""
OTHERS_PATIENCE = 5.0
"""Seconds in which they must answer."""
STALE_BLOCKS = 5
SHORTEST_STALE = 30.0
"""A head counts as stale after so many block times, and so many seconds at the least."""


def stale_after(block_time: float) -> float:
    """Seconds after which a head of a chain with this block time (seconds) counts as stale."""
    return max(SHORTEST_STALE, STALE_BLOCKS * block_time)


class Watch:
    """Watches a connection's endpoints from :meth:`start` to :meth:`stop`; ``stale`` is in seconds."""

    def __init__(self, connection: Connection, stale: float) -> None:
        self._connection = connection
        self._endpoints = connection.endpoints
        self._stale = stale
        self._told: set[str] = set()
        self._others_at = 0.0  # time.monotonic() of the next look at them
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="chain watch")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                await self._compare()
                await asyncio.sleep(EVERY)
                await self._look()
            except Exception:  # a watch that ends unseen would be worse than any error
                log.exception("watch_failed")
                await asyncio.sleep(EVERY)

    async def _look(self) -> None:
        """Ask the endpoint in use for its head; where it is gone, the connection is made anew."""
        for _ in range(2):
            try:
                await self._connection.read(Session.head, timeout=PATIENCE, patience=1.0)
            except ChainError as error:
                self._tell("silent", f"{self._connection.endpoint} does not answer: {error}")
            else:
                self._told.discard("silent")
                break
        seconds = self._endpoints.stale_for()
        if seconds < self._stale:
            self._told.discard("stale")
        else:
            self._tell(
                "stale",
                f"the head of {self._connection.endpoint} has not moved for {seconds:.0f} s: the chain stands still, "
                "or this node has lost it; another --endpoint would show which",
            )

    def _tell(self, what: str, words: str) -> None:
        """Warn once, until it is over."""
        if what not in self._told:
            log.warning("%s", words)
            self._told.add(what)

    async def _compare(self) -> None:
        """Where there are others: ask them how far they are, and use the first of the list that is far enough."""
        used, others = self._endpoints.chosen, self._endpoints.others()
        here, stale = self._endpoints.head(used), self._endpoints.is_stale(used, self._stale)
        if here < 0 or not others or not (stale or time.monotonic() >= self._others_at):
            return
        self._others_at = time.monotonic() + OTHERS_EVERY
        found = await asyncio.gather(*(self._ask(url) for url in others))
        heads = {url: head for url, head in zip(others, found, strict=True) if head is not None}
        best = max([here, *heads.values()])
        fit = [
            url
            for url, head in heads.items()
            if head + LAG >= best and (head > here or not self._endpoints.is_stale(url, self._stale))
        ]
        if here + LAG < best:
            self._endpoints.failed(used, ChainTimeout(f"{used} is {best - here} blocks behind"))
        elif stale and here < best:
            self._endpoints.failed(used, ChainTimeout(f"{used} stands still at {here} while another is at {best}"))
        else:
            fit.append(used)
        if used == self._endpoints.chosen:  # else a call has found out meanwhile
            self._endpoints.use(self._endpoints.first_of(fit))

    async def _ask(self, url: str) -> int | None:
        """An endpoint's head, asked over a connection of its own; None where it can't be used."""
        owner = Owner(Endpoints(url, self._endpoints.genesis))
        waiter = asyncio.wrap_future(owner.put(Session.head, time.monotonic() + OTHERS_PATIENCE))
        try:
            done, _ = await asyncio.wait({waiter}, timeout=OTHERS_PATIENCE + GRACE)
            head = waiter.result() if done else None
        except ChainError as error:
            self._endpoints.failed(url, error)
            return None
        finally:
            if waiter.done():
                owner.end()
            else:
                waiter.cancel()
                owner.give_up()
        if head is not None:
            self._endpoints.saw(url, head)
        return head
