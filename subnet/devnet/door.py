"""The node's way in: aiohttp's low-level server, which speaks websocket, behind the same bounds as an axon's."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from subnet.admission import Limits
from subnet.connections import Places


class Door(web.Server):
    """A :class:`aiohttp.web.Server` whose connections have places; ``options`` are those of aiohttp's."""

    def __init__(self, handler: Any, *, limits: Limits, **options: Any) -> None:
        super().__init__(handler, logger=_http_log, **options)
        self.places = Places(limits)

    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)

    def connection_lost(self, handler: Any, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        self.places.leave(handler)

    def greet(self, request: web.BaseRequest) -> None:
        """Note that a request's headers are whole: the connection's keep-alive time holds from now on."""
        self.places.greeted(request.protocol)


class _Connection(web.RequestHandler):
    """aiohttp's protocol of one connection, which is not even begun for one that is turned away."""

    __slots__ = ()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        stream: Any = transport
        if isinstance(self._manager, Door) and self._manager.places.enter(self, stream) is None:
            self._manager = None  # so that the loss of this connection is nobody's concern
            stream.abort()
            return
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        idle = self._current_request is None and not self._messages
        if idle and isinstance(self._manager, Door) and self.transport is not None:
            self._manager.places.expects(self, self.transport)  # headers have begun and are not whole


class _NoTraceOfBadHttp(logging.Filter):
    """aiohttp logs what is no HTTP as an error with a stack trace; from strangers it is neither."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


_http_log = logging.getLogger(f"{__name__}.http")
_http_log.addFilter(_NoTraceOfBadHttp())
