"""Who may connect to an axon, and for how long before saying something.

:class:`FrontDoor` is aiohttp's low-level server with a bound on connections, in total and from one address, and a
deadline for the first request of each. What is over a bound is dropped as soon as it is accepted: that costs
less than anything it could ask for, and leaves file descriptors for everybody else.
"""

from __future__ import annotations

import asyncio
import logging
import resource
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from subnet.admission import Limits, address_key

log = logging.getLogger(__name__)

SPARE_FILES: Final = 128
"""File descriptors that are left for all else: the chain, the store, logs, models."""
_FEWEST: Final = 16


class FrontDoor(web.Server):
    """A :class:`aiohttp.web.Server` that counts its connections; ``options`` are those of aiohttp's."""

    def __init__(self, handler: Any, *, limits: Limits, **options: Any) -> None:
        super().__init__(handler, logger=_http_log, **options)
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._most = max(_FEWEST, min(limits.connections, files - SPARE_FILES))
        self._most_each = limits.connections_each
        self._patience = limits.first_request
        self._by_address: Counter[str] = Counter()
        self._address_of: dict[Any, str] = {}
        self._silent: dict[Any, asyncio.TimerHandle] = {}
        self._streams: dict[Any, asyncio.Task[Any]] = {}
        self.turned_away = 0
        """Connections that were dropped for being one too many, or for saying nothing."""

    def connection_made(self, handler: Any, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        peer = transport.get_extra_info("peername")
        address = address_key(str(peer[0])) if isinstance(peer, tuple) else ""
        if len(self._address_of) >= self._most or self._by_address[address] >= self._most_each:
            self.turned_away += 1
            transport.abort()
            return
        self._by_address[address] += 1
        self._address_of[handler] = address
        loop = asyncio.get_running_loop()
        self._silent[handler] = loop.call_later(self._patience, self._give_up, handler, transport)

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

    def greet(self, request: web.BaseRequest) -> None:
        """Note that a request's headers have arrived on this connection: its keep-alive time holds from now on."""
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

    def _give_up(self, handler: Any, transport: asyncio.Transport) -> None:
        self._silent.pop(handler, None)
        self.turned_away += 1
        transport.abort()


class _NoTraceOfBadHttp(logging.Filter):
    """aiohttp logs what is no HTTP as an error with a stack trace; from strangers it is neither."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


_http_log = logging.getLogger(f"{__name__}.http")
_http_log.addFilter(_NoTraceOfBadHttp())
