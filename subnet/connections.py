"""Who may connect to an axon, and for how long before saying something.

:class:`Places` bounds connections, in total and from one address, and gives each a deadline for the headers of a
request; :class:`FrontDoor` hands them to :mod:`subnet.http_server`. What is over a bound is dropped as soon as it is
accepted: that costs less than anything it could ask for, and leaves file descriptors for everybody else.
"""

from __future__ import annotations

import asyncio
import ipaddress
import resource
from collections import Counter
from collections.abc import Collection
from typing import Any, Final

from subnet.admission import Limits, address_key
from subnet.http_server import SLICE, Connection, Handler, Request

SPARE_FILES: Final = 128
"""File descriptors that are left for all else: the chain, the store, logs, models."""
_FEWEST: Final = 16
_MOST_HOPS: Final = 8


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
        self._address_of: dict[Any, str] = {}
        self._silent: dict[Any, tuple[asyncio.TimerHandle, asyncio.Transport]] = {}

    def enter(self, connection: Any, transport: asyncio.Transport) -> str | None:
        """The address that a new connection is counted by; None if there is no room for it. Where all places are taken,
        it gets that of whoever has been silent for longest, so that silent connections displace each other and
        nobody who asks."""
        peer = transport.get_extra_info("peername")
        address = address_key(str(peer[0])) if isinstance(peer, tuple) else ""
        if self._by_address[address] >= self._most_each and address not in self._exempt:
            self.turned_away += 1
            return None
        if len(self._address_of) >= self._most:
            if not self._silent:
                self.turned_away += 1
                return None
            longest = next(iter(self._silent))
            timer, silent = self._silent[longest]
            timer.cancel()
            self._give_up(longest, silent)
        self._by_address[address] += 1
        self._address_of[connection] = address
        self.expects(connection, transport)
        return address

    def leave(self, connection: Any) -> None:
        """Its place is free."""
        self.greeted(connection)
        address = self._address_of.pop(connection, None)
        if address is not None:
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]

    def expects(self, connection: Any, transport: asyncio.Transport) -> None:
        """From now on there is a deadline for a request's whole headers."""
        if connection not in self._silent:
            timer = self.loop.call_later(self._patience, self._give_up, connection, transport)
            self._silent[connection] = timer, transport

    def greeted(self, connection: Any) -> None:
        """A request's headers are whole."""
        silent = self._silent.pop(connection, None)
        if silent is not None:
            silent[0].cancel()

    def _give_up(self, connection: Any, transport: asyncio.Transport) -> None:
        self._silent.pop(connection, None)
        self.turned_away += 1
        transport.abort()


class FrontDoor(Places):
    """A factory of server connections, each with a place; ``handler`` answers what comes through them.

    ``proxies`` are the addresses of proxies that stand before it: what they forward is counted by the address
    that they name in X-Forwarded-For, and their own connections are bounded in total only.
    """

    def __init__(self, handler: Handler, *, limits: Limits, proxies: Collection[str] = ()) -> None:
        super().__init__(limits, proxies)
        self.buffer = memoryview(bytearray(SLICE))
        self.handler, self.keepalive = handler, limits.keepalive
        self._all_gone: asyncio.Event | None = None

    def __call__(self) -> Connection:
        return Connection(self)

    def leave(self, connection: Connection) -> None:
        super().leave(connection)
        if self._all_gone is not None and not self._address_of:
            self._all_gone.set()

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
        tasks = [connection.task for connection in self._address_of if connection.task is not None]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=timeout)
            for task in late:
                task.cancel()
        if self._address_of:
            self._all_gone = asyncio.Event()
            for connection in self._address_of:
                connection.abort()
            await self._all_gone.wait()
