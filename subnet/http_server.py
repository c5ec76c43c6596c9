"""HTTP/1.1 from the answering side: one connection's requests, one after the other, each given to a coroutine.

A server for all that HTTP can be costs a request more than checking its signature does. This is the part that an
axon needs, on asyncio's transports; what comes in is parsed by llhttp (httptools) in its strict mode::

    bytes ─► parser ─► Request (its head) ─► handler, in a task ─► Response, or a stream in chunks
                          └─ the body, whole if it was there by then, else piece by piece

Bounded are: a head (``MAX_HEAD``), a body that nobody reads (``READ_AHEAD``, then the socket waits), requests sent
ahead (``MAX_AHEAD``), and what is read of a body that was refused (``LINGER`` seconds, so that the refusal arrives).
Who may connect, and for how long in silence, is :mod:`subnet.connections`'.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import httptools

from subnet.http_messages import BrokenBody, Request, Response, response_head

log = logging.getLogger(__name__)

SLICE: Final = 256 * 1024
"""Bytes read or written at a time."""
PIECE: Final = 8 * 1024
"""Bytes parsed at a time where they may be all framing and no body."""
READ_AHEAD: Final = 64 * 1024
MAX_HEAD: Final = 32 * 1024
"""Bytes that may come in a row and be no part of a body: heads, trailers, chunk extensions."""
MAX_AHEAD: Final = 16
LINGER: Final = 2.0


Handler = Callable[[Request], Awaitable[Response | None]]
"""Answers with a Response, or with None once it has sent a stream itself. What it raises is a 500."""


class Door(Protocol):
    """What a connection asks of who let it in."""

    loop: asyncio.AbstractEventLoop
    buffer: memoryview
    handler: Handler
    keepalive: float

    def enter(self, connection: Connection, transport: asyncio.Transport) -> str | None: ...
    def leave(self, connection: Connection) -> None: ...
    def expects(self, connection: Connection, transport: asyncio.Transport) -> None: ...
    def greeted(self, connection: Connection) -> None: ...


class Connection(asyncio.BufferedProtocol):
    """One connection from its first byte to its last."""

    def __init__(self, door: Door, below: asyncio.Transport | None = None) -> None:
        self.below = below
        """Below TLS, the connection's own transport."""
        self.address = ""
        """Where it comes from, as it is counted."""
        self.transport: asyncio.Transport | None = None
        self.task: asyncio.Task[None] | None = None
        """What answers the current request."""
        self.cancel_when_lost = False
        """Whether that ends with the connection: a stream has nobody to go on for."""
        self._door, self._loop, self._buffer = door, door.loop, door.buffer
        self._parser = httptools.HttpRequestParser(self)
        self._arriving: Request | None = None
        self._current: Request | None = None
        self._ahead: deque[Request] = deque()
        self._dry = self._head_size = self._framed = self._filled = 0
        self._url, self._headers = b"", dict[str, str]()
        self._writable: asyncio.Future[None] | None = None
        self._closing = self._in_head = self._paused = self._begun = False
        self._idle_since = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None

    # One request, top to bottom.

    async def _answer(self, request: Request) -> None:
        response: Response | None = None
        try:
            response = await self._door.handler(request)
            if response is not None:
                await self._send(request, response)
        except ConnectionError:
            self.abort()  # the caller has gone; the reply is nobody's
        except asyncio.CancelledError:
            self.abort()
            raise
        except Exception:
            log.exception("a request could not be answered")
            if self._begun:
                self.abort()
            else:
                await self._send(request, Response(500, b"", close=True))
        finally:
            if response is not None and response.done is not None:
                response.done()
            self._finish(request)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is asked of it, or being asked."""
        return self._current is None and self._arriving is None and not self._closing

    def _finish(self, request: Request) -> None:
        """On to the next request, to waiting for it, or to the end."""
        self._current = self.task = None
        self.cancel_when_lost = False
        if self.transport is None:
            return
        if self._closing or not request.complete:  # of an answered request, the rest of its body is no request
            self._closing = True
            self._ahead.clear()
            if request.complete:
                self.transport.close()
            else:  # to close before the caller has sent all would be a reset, which can overtake the answer
                self._set_timer(LINGER, self.abort)
        elif self._ahead:
            self._start(self._ahead.popleft())
        else:
            self._idle_since = self._loop.time()
        if not self._ahead:
            self._resume()

    def _start(self, request: Request) -> None:
        self._current, self._begun = request, False
        self.task = self._loop.create_task(self._answer(request))

    # Writing.

    async def _send(self, request: Request, response: Response) -> None:
        body = response.body
        closes = self._closing = response.close or self._closing or not request.keep_alive
        head = response_head(response.status, response.headers, f"Content-Length: {len(body)}", closes=closes)
        if request.method == "HEAD":
            body = b""
        if len(body) <= SLICE:
            self._write(head + body)
            return
        self._write(head)
        view = memoryview(body)
        for start in range(0, len(view), SLICE):
            await self._drained()
            self._write(view[start : start + SLICE])

    def stream(self, request: Request, headers: dict[str, str]) -> Callable[[bytes], Awaitable[None]]:
        """Begin a 200 whose end is not known: what writes a part of it and returns once there is room for more. An
        empty part is its end. Both raise ConnectionError once the caller has gone."""
        chunked = self._parser.get_http_version() == "1.1"
        closes = self._closing = self._closing or not (request.keep_alive and chunked)
        framing = "Transfer-Encoding: chunked" if chunked else "Cache-Control: no-store"
        self._write(response_head(200, headers, framing, closes=closes))

        async def write(data: bytes) -> None:
            self._write(b"%x\r\n%b\r\n" % (len(data), data) if chunked else data)
            await self._drained()

        return write

    def _write(self, data: bytes | memoryview) -> None:
        if self.transport is None or self.transport.is_closing():
            raise ConnectionResetError("the caller has hung up")
        self._begun = True
        self.transport.write(data)

    async def _drained(self) -> None:
        """Until what was written has mostly left."""
        if self._writable is not None:
            await asyncio.shield(self._writable)

    def abort(self) -> None:
        """Close at once."""
        if self.transport is not None:
            self.transport.abort()

    # What the transport says.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        stream: asyncio.Transport = transport  # type: ignore[assignment] # as create_server's are
        address = self._door.enter(self, self.below or stream)
        if address is None:
            self._closing = True
            stream.abort()
            return
        self.transport, self.address = stream, address
        self._set_timer(self._door.keepalive, self._close_if_idle)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer  # one for all connections: what is in it is parsed before another one is read

    def buffer_updated(self, nbytes: int) -> None:
        if self._closing and self._arriving is None:
            return
        start = 0
        while start < nbytes:
            end = nbytes if self._is_sized() else min(nbytes, start + PIECE)
            if not self._parse(self._buffer[start:end]):
                return
            start = end
        if self._in_head and self.transport is not None:
            self._door.expects(self, self.below or self.transport)  # headers have begun and are not whole
        elif self._ahead:
            self._pause()

    def _is_sized(self) -> bool:
        """Whether what comes is a body that has declared its length, so that there is no framing between."""
        return self._arriving is not None and "transfer-encoding" not in self._arriving.headers

    def _parse(self, data: memoryview) -> bool:
        """Whether what came is HTTP, and more of it may come."""
        self._dry += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._refuse(str(error) if isinstance(error, httptools.HttpParserError) else "no upgrades here")
            return False
        if self._dry > MAX_HEAD:
            self._refuse("a head is too large")
            return False
        if self._arriving is not None and not self._is_sized():
            self._framed += len(data)
            if self._framed > PIECE + 2 * self._filled:  # a chunk of a byte costs what one of a page does
                self._refuse("its chunks are mostly framing")
                return False
        return not (self._closing and self._arriving is None)

    def eof_received(self) -> None:
        return None  # closes the transport

    def pause_writing(self) -> None:
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        waiter, self._writable = self._writable, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.transport is None:  # it was never let in
            return
        self.transport = None
        self._closing = True
        self._ahead.clear()
        if self._timer is not None:
            self._timer.cancel()
        self._break_off()
        if self.cancel_when_lost and self.task is not None:
            self.task.cancel()
        if self._writable is not None and not self._writable.done():
            self._writable.set_exception(ConnectionResetError("the caller has hung up"))
            self._writable.exception()  # seen, if nobody waits
        self._door.leave(self)

    # What the parser says.

    def on_message_begin(self) -> None:
        self._in_head, self._head_size, self._url, self._headers = True, 0, b"", {}

    def on_url(self, url: bytes) -> None:
        self._url += url
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            return  # trailers
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        self._count(len(name) + len(value))
        if self._headers.setdefault(key, text) is not text and key == "x-forwarded-for":
            self._headers[key] += f",{text}"

    def _count(self, size: int) -> None:
        self._head_size += size
        if self._head_size > MAX_HEAD:
            raise ValueError("a head is too large")  # out of the parser it comes as an HttpParserError

    def on_headers_complete(self) -> None:
        self._in_head, self._dry = False, 0
        self._framed = self._filled = 0
        if self._closing or self._parser.should_upgrade():  # what follows an upgrade is no HTTP: feed_data says so
            return
        self._door.greeted(self)
        path = self._url.decode("utf-8", "replace")
        request = Request(self, self._parser.get_method().decode(), path, self._headers)
        request.keep_alive = self._parser.should_keep_alive()
        self._arriving = request
        if self._current is None:
            self._start(request)
        elif len(self._ahead) < MAX_AHEAD:
            self._ahead.append(request)
        else:
            raise ValueError("too many requests at once")

    def on_body(self, data: bytes) -> None:
        self._dry = 0
        self._filled += len(data)
        if self._closing or self._arriving is None:
            return
        if self._arriving.feed(data) > READ_AHEAD:
            self._pause()

    def on_message_complete(self) -> None:
        self._dry = 0
        request, self._arriving = self._arriving, None
        if request is not None:
            request.complete = True
            request.wake()
            if self._closing and self._current is None and self.transport is not None:
                self.transport.close()  # it has lingered for long enough

    # How it ends.

    def wants_body(self, request: Request) -> None:
        """A handler waits for more of its request's body."""
        if request is not self._arriving:
            raise BrokenBody("the body broke off")
        self._resume()
        if request.headers.get("expect", "").lower() == "100-continue":
            request.headers.pop("expect")
            self._write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _refuse(self, why: str) -> None:
        """What came is no HTTP: say so, if nothing else is being answered, and close."""
        self._break_off()
        self._closing = True
        if self._current is None and self.transport is not None:
            log.debug("refused what is no HTTP: %s", why)
            self.transport.write(response_head(400, {"Content-Type": "text/plain"}, "Content-Length: 0", closes=True))
            self.transport.close()

    def _break_off(self) -> None:
        """Nothing more will come of the request that is arriving."""
        request, self._arriving = self._arriving, None
        if request is not None:
            request.wake(BrokenBody("the body broke off"))

    def _pause(self) -> None:
        if not self._paused and self.transport is not None:
            self._paused = True
            self.transport.pause_reading()

    def _resume(self) -> None:
        if self._paused and self.transport is not None:
            self._paused = False
            self.transport.resume_reading()

    def _close_if_idle(self) -> None:
        if self.transport is None:
            return
        left = self._door.keepalive
        if self._current is None:
            left += self._idle_since - self._loop.time()
        if left <= 0:
            self.transport.close()
        else:
            self._set_timer(left, self._close_if_idle)

    def _set_timer(self, seconds: float, then: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, then)
