"""Who may connect to an axon, and for how long before saying something, or without taking what it asked for.

:class:`Places` bounds connections, in total and from one address, and gives each a deadline for the headers of a
request; :class:`FrontDoor` hands them to :mod:`subnet.http_server`, and ends those that do not take their replies.
What is over a bound is dropped as soon as it is accepted: that costs less than anything it could ask for, and leaves
file descriptors for everybody else.
"""

from __future__ import annotations

import asyncio
import ipaddress
import resource
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from subnet.admission import Limits, address_key
from subnet.http_messages import Request
from subnet.http_server import SLICE, Connection, Handler
from subnet.tls import Porch

if TYPE_CHECKING:
    from ssl import SSLContext

BACKLOG: Final = 128
"""Connections that are accepted in one go, before the first of them can be turned away."""
SPARE_FILES: Final = 128 + 2 * BACKLOG
"""File descriptors that are left for all else: the chain, the store, logs, models, and what was just accepted."""
_FEWEST: Final = 16
_MOST_HOPS: Final = 8
_JUST_NOW: Final = 1.0
_SWEEPS: Final = 8
"""Looks at the connections within the time that a reply has to be taken."""
_LITTLE: Final = 64 * 1024
"""Bytes that may wait to be sent whenever one looks, though all of it leaves in time."""


@dataclass(slots=True)
class Place:
    """What a connection takes up: its address as it is counted, and its transport (below TLS, the connection's own)."""

    address: str
    transport: asyncio.Transport
    requests: int = 0
    seen: int = 0
    """Requests at the sweep that last saw it move."""
    held_since: float | None = None


class Places:
    """Counts connections by address, and how long each has kept silent. ``exempt`` addresses are bounded in total only.

    A connection is whatever object stands for it; to be made on the loop that it is used on.
    """

    def __init__(self, limits: Limits, exempt: Collection[str] = ()) -> None:
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.loop = asyncio.get_running_loop()
        self.turned_away = 0
        """Connections that were dropped for being one too many, or for saying nothing."""
        self._most = max(_FEWEST, min(limits.connections, files - SPARE_FILES))
        self._most_each = limits.connections_each
        self._patience = limits.first_request
        self._exempt = frozenset(map(address_key, exempt))
        self._by_address: Counter[str] = Counter()
        self._open: dict[Any, Place] = {}  # whoever asked last comes last
        self._silent: dict[Any, tuple[asyncio.TimerHandle, asyncio.Transport]] = {}

    def enter(self, connection: Any, transport: asyncio.Transport) -> str | None:
        """The address that a new connection is counted by; None if there is no room for it.

        Where all places are taken, it gets that of whoever has been silent for longest, else of whoever has asked
        nothing for longest: such connections displace each other, and nobody who is being answered.
        """
        peer = transport.get_extra_info("peername")
        address = address_key(str(peer[0])) if isinstance(peer, tuple) else ""
        if self._by_address[address] >= self._most_each and address not in self._exempt:
            self.turned_away += 1
            return None
        if len(self._open) >= self._most:
            longest = self._least_missed()
            if longest is None:
                self.turned_away += 1
                return None
            self.drop(longest)
        self._by_address[address] += 1
        self._open[connection] = Place(address, transport)
        self.expects(connection, transport)
        return address

    def leave(self, connection: Any) -> None:
        """Its place is free."""
        self._heard(connection)
        place = self._open.pop(connection, None)
        if place is not None:
            self._by_address[place.address] -= 1
            if not self._by_address[place.address]:
                del self._by_address[place.address]

    def expects(self, connection: Any, transport: asyncio.Transport) -> None:
        """From now on there is a deadline for a request's whole headers."""
        if connection not in self._silent:
            timer = self.loop.call_later(self._patience, self._give_up, connection, transport)
            self._silent[connection] = timer, transport

    def greeted(self, connection: Any) -> None:
        """A request's headers are whole."""
        self._heard(connection)
        place = self._open.pop(connection, None)
        if place is not None:
            place.requests += 1
            self._open[connection] = place

    def drop(self, connection: Any) -> None:
        """End a connection at once, whatever is under way on it; its place is free."""
        self._give_up(connection, self._open[connection].transport)

    def is_idle(self, connection: Any) -> bool:
        """Whether a connection is kept open and nothing is asked of it."""
        return False

    def _least_missed(self) -> Any:
        """Whose place a newcomer gets; None where all are being answered. Who has just come is about to ask."""
        silent = next(iter(self._silent), None)
        if silent is not None and self._silent[silent][0].when() < self.loop.time() + self._patience - _JUST_NOW:
            return silent
        return next(filter(self.is_idle, self._open), silent)

    def _heard(self, connection: Any) -> None:
        silent = self._silent.pop(connection, None)
        if silent is not None:
            silent[0].cancel()

    def _give_up(self, connection: Any, transport: asyncio.Transport) -> None:
        self.leave(connection)
        self.turned_away += 1
        transport.abort()


class FrontDoor(Places):
    """A factory of server connections, each with a place; ``handler`` answers what comes through them.

    ``proxies`` are the addresses of proxies that stand before it: what they forward is counted by the address
    that they name in X-Forwarded-For, and their own connections are bounded in total only. With ``tls`` it serves
    https (asyncio's server must not be given the context as well).
    """

    def __init__(
        self, handler: Handler, *, limits: Limits, proxies: Collection[str] = (), tls: SSLContext | None = None
    ) -> None:
        super().__init__(limits, proxies)
        self.buffer = memoryview(bytearray(SLICE))
        self.handler, self.keepalive = handler, limits.keepalive
        self._tls, self._reply_timeout = tls, limits.reply_timeout
        self._all_gone: asyncio.Event | None = None
        self._sweeper: asyncio.TimerHandle | None = None

    def __call__(self) -> asyncio.BaseProtocol:
        if self._tls is None:
            return Connection(self)
        return Porch(self, lambda below: Connection(self, below), self._tls, self._patience)

    def enter(self, connection: Any, transport: asyncio.Transport) -> str | None:
        if self._sweeper is None:
            self._sweeper = self.loop.call_later(self._reply_timeout / _SWEEPS, self._sweep)
        return super().enter(connection, transport)

    def leave(self, connection: Any) -> None:
        super().leave(connection)
        if self._all_gone is not None and not self._open:
            self._all_gone.set()

    def is_idle(self, connection: Any) -> bool:
        return isinstance(connection, Connection) and connection.is_idle

    def source(self, request: Request) -> str:
        """The address that a request is counted by: its connection's, or, behind a proxy that is trusted, the last
        one in X-Forwarded-For that is no such proxy. What stands before that is the caller's own invention."""
        address = request.connection.address
        if address not in self._exempt:
            return address
        named = request.headers.get("x-forwarded-for", "").split(",")
        for hop in reversed(named[-_MOST_HOPS:]):
            try:
                hop_key = address_key(str(ipaddress.ip_address(hop.strip())))
            except ValueError:
                return address
            if hop_key not in self._exempt:
                return hop_key
        return address

    async def shutdown(self, timeout: float) -> None:
        """Close every connection, those in use once they are answered or after ``timeout`` seconds."""
        connections = [one for one in self._open if isinstance(one, Connection)]
        tasks = [connection.task for connection in connections if connection.task is not None]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=timeout)
            for task in late:
                task.cancel()
        if self._open:
            self._all_gone = asyncio.Event()
            for place in self._open.values():
                place.transport.abort()
            await self._all_gone.wait()
        if self._sweeper is not None:
            self._sweeper.cancel()

    def _sweep(self) -> None:
        """Drop whoever has not taken what it was answered for too long, whether it asks on or has hung up half way. A
        connection that is closed lasts until what was written has left, so closing alone would never end it."""
        now = self.loop.time()
        for connection, place in list(self._open.items()):
            unsent = place.transport.get_write_buffer_size()
            moved = unsent < _LITTLE and place.requests != place.seen
            streams = isinstance(connection, Connection) and connection.cancel_when_lost  # which have their own time
            if not unsent or moved or streams:
                place.held_since, place.seen = None, place.requests
            elif place.held_since is None:
                place.held_since = now
            elif now - place.held_since >= self._reply_timeout:
                self.drop(connection)
        self._sweeper = self.loop.call_later(self._reply_timeout / _SWEEPS, self._sweep) if self._open else None
