"""Who may connect to an axon, and for how long before saying something.

:class:`FrontDoor` is aiohttp's low-level server with a bound on connections, in total and from one address, and a
deadline for the headers of each request. What is over a bound is dropped as soon as it is accepted: that costs
less than anything it could ask for, and leaves file descriptors for everybody else.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import resource
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from subnet.admission import Limits, address_key

log = logging.getLogger(__name__)

SPARE_FILES: Final = 128
"""File descriptors that are left for all else: the chain, the store, logs, models."""
_FEWEST: Final = 16
_MOST_HOPS: Final = 8


class FrontDoor(web.Server):
    """A :class:`aiohttp.web.Server` that counts its connections; ``options`` are those of aiohttp's.

    ``proxies`` are the addresses of proxies that stand before it: what they forward is counted by the address
    that they name in X-Forwarded-For, and their own connections are bounded in total only.
    """

    def __init__(self, handler: Any, *, limits: Limits, proxies: Collection[str] = (), **options: Any) -> None:
        super().__init__(handler, logger=_http_log, **options)
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._most = max(_FEWEST, min(limits.connections, files - SPARE_FILES))
        self._most_each = limits.connections_each
        self._patience = limits.first_request
        self._proxies = frozenset(map(address_key, proxies))
        self._by_address: Counter[str] = Counter()
        self._address_of: dict[Any, str] = {}
        self._silent: dict[Any, asyncio.TimerHandle] = {}
        self._streams: dict[Any, asyncio.Task[Any]] = {}
        self.turned_away = 0
        """Connections that were dropped for being one too many, or for saying nothing."""

    def __call__(self) -> web.RequestHandler:
        return _Door(self, loop=self._loop, **self._kwargs)

    def admits(self, transport: asyncio.BaseTransport) -> bool:
        """Whether there is room for this connection. Where all places are taken, it gets that of whoever has
        been silent for longest, so that silent connections displace each other and nobody who asks."""
        address = _address(transport)
        if self._by_address[address] >= self._most_each and address not in self._proxies:
            self.turned_away += 1
            return False
        if len(self._address_of) >= self._most:
            if not self._silent:
                self.turned_away += 1
                return False
            longest = next(iter(self._silent))
            self._silent.pop(longest).cancel()
            self._give_up(longest, longest.transport)
        return True

    def connection_made(self, handler: Any, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        address = _address(transport)
        self._by_address[address] += 1
        self._address_of[handler] = address
        self.expects(handler)

    def connection_lost(self, handler: Any, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        timer = self._silent.pop(handler, None)
        if timer is not None:
            timer.cancel()
        stream = self._streams.pop(handler, None)
        if stream is not None:
            stream.cancel()
        address = self._address_of.pop(handler, None)
        if address is not None:
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]

    def source(self, request: web.BaseRequest) -> str:
        """The address that a request is counted by: its connection's, or, behind a proxy that is trusted, the last
        one in X-Forwarded-For that is no such proxy. What stands before that is the caller's own invention."""
        address = address_key(request.remote or "")
        if address not in self._proxies:
            return address
        named = ",".join(request.headers.getall("X-Forwarded-For", ())).split(",")
        for hop in reversed(named[-_MOST_HOPS:]):
            try:
                hop_key = address_key(str(ipaddress.ip_address(hop.strip())))
            except ValueError:
                return address
            if hop_key not in self._proxies:
                return hop_key
        return address

    def expects(self, handler: Any) -> None:
        """From now on there is a deadline for a request's whole headers."""
        if handler not in self._silent and handler.transport is not None:
            loop = asyncio.get_running_loop()
            self._silent[handler] = loop.call_later(self._patience, self._give_up, handler, handler.transport)

    def greet(self, request: web.BaseRequest) -> None:
        """Note that a request's headers are whole: the connection's keep-alive time holds from now on."""
        timer = self._silent.pop(request.protocol, None)
        if timer is not None:
            timer.cancel()

    @contextmanager
    def cancelled_when_lost(self, request: web.BaseRequest) -> Iterator[None]:
        """While in here, the running task is cancelled as soon as the request's connection is gone."""
        task = asyncio.current_task()
        if request.transport is None or task is None:
            raise asyncio.CancelledError
        self._streams[request.protocol] = task
        try:
            yield
        finally:
            self._streams.pop(request.protocol, None)

    def _give_up(self, handler: Any, transport: asyncio.Transport | None) -> None:
        self._silent.pop(handler, None)
        self.turned_away += 1
        if transport is not None:
            transport.abort()


class _Door(web.RequestHandler):
    """aiohttp's protocol of one connection, which is not even begun for one that is turned away."""

    __slots__ = ()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(self._manager, FrontDoor) and not self._manager.admits(transport):
            self._manager = None  # so that the loss of this connection is nobody's concern
            transport.abort()  # type: ignore[attr-defined]
            return
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        manager = self._manager
        if self._current_request is None and not self._messages and isinstance(manager, FrontDoor):
            manager.expects(self)  # headers have begun and are not whole


def _address(transport: asyncio.BaseTransport) -> str:
    peer = transport.get_extra_info("peername")
    return address_key(str(peer[0])) if isinstance(peer, tuple) else ""


class _NoTraceOfBadHttp(logging.Filter):
    """aiohttp logs what is no HTTP as an error with a stack trace; from strangers it is neither."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


_http_log = logging.getLogger(f"{__name__}.http")
_http_log.addFilter(_NoTraceOfBadHttp())
