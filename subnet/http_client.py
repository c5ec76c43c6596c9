"""HTTP/1.1 from the asking side: bytes POSTed to a neuron's address, over connections that are kept.

A client for all that HTTP can be (cookies, redirects, proxies, content codings) costs a request more than its
signature does. This is the part that a dendrite needs, on asyncio's transports; what comes back is parsed by llhttp
(httptools), the parser of node and of aiohttp, in its strict mode::

    await pool.post(target, head, body, …)     a Reply: whole, its body cut off at a cap while it arrives
    await pool.open(target, head, body, …)     a Connection whose head is there; its pieces are read as they come

One exchange at a time has a connection. It goes back into the pool only if both ends have said all and agree to go
on; bytes that nobody asked for end it. Where a certificate is pinned, a peer with another one is told nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import httptools

from subnet.errors import BodyTooLarge

KEPT: Final = 15.0
"""Seconds that an idle connection is kept."""
SLICE: Final = 256 * 1024
"""Bytes read or written at a time."""
READ_AHEAD: Final = 64 * 1024
"""Bytes of a reply in pieces that may wait for their reader."""
MAX_DRY: Final = 64 * 1024
"""Bytes that may come in a row and be no part of a body: heads, trailers, chunk extensions."""


class BadHttp(Exception):
    """The peer's answer is no HTTP, or broke off."""


class Disconnected(ConnectionError):
    """The peer closed the connection before it had answered."""


class WrongCertificate(ConnectionError):
    """The peer does not serve under the certificate that it has published."""


class Target(NamedTuple):
    """Where to connect: a host and a port, and the sha256 of the certificate where TLS is spoken."""

    host: str
    port: int
    fingerprint: bytes | None = None


def request_head(host: str, path: str, headers: Mapping[str, str], length: int) -> bytes:
    """The head of a POST of ``length`` bytes. Raises ValueError for what would break out of its line."""
    lines = [f"POST {path} HTTP/1.1", f"Host: {host}", f"Content-Length: {length}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    text = "\r\n".join(lines)
    if text.count("\n") + 1 != len(lines) or text.count("\r") + 1 != len(lines) or "\0" in text or " " in path:
        raise ValueError("a request's path and headers can't hold line breaks")
    return f"{text}\r\n\r\n".encode("latin-1")


@dataclass(slots=True)
class Reply:
    """A whole reply. Names of headers are lowercase; of a header that comes twice the first counts."""

    status: int
    headers: Mapping[str, str]
    body: bytes | bytearray


class Connection(asyncio.BufferedProtocol):
    """One connection and the exchange that it is in: :meth:`begin`, :meth:`send`, what comes back, :meth:`close`."""

    def __init__(self, pool: Pool, target: Target) -> None:
        self.status, self.headers = 0, dict[str, str]()
        """Of the reply, once :meth:`head` has returned."""
        self.ended = False
        """Whether the reply has come to its end."""
        self.idle_since = 0.0
        self.lost = pool.loop.create_future()
        self._pool, self._target, self._loop, self._buffer = pool, target, pool.loop, pool.buffer
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._writable = True
        self._asked = False

    # An exchange, for who asks.

    def begin(self, cap: int | None, refusal_cap: int, deadline: float) -> None:
        """``cap`` bounds the body of a 200 (None: it is read in pieces), ``refusal_cap`` that of any other status, in
        bytes; ``deadline``, in the loop's time, is for the whole reply, or for the head of one in pieces."""
        self._cap, self._refusal_cap = cap, refusal_cap
        self._asked, self._sent, self._has_head, self.ended, self._keeps = True, False, False, False, False
        self._error: Exception | None = None
        self._pieces: list[bytes] = []
        self._whole: bytearray | None = None
        self._size = self._dry = 0
        self._timer = self._loop.call_at(deadline, self._fail, TimeoutError())

    async def send(self, head: bytes, body: bytes) -> None:
        """Write the request; a large body in slices, each once the one before has left, until an answer begins."""
        transport = self._transport
        if transport is None:
            raise Disconnected("the connection was closed")
        if len(body) <= SLICE:
            transport.write(head + body)
        else:
            transport.write(head)
            view = memoryview(body)
            for start in range(0, len(view), SLICE):
                while not (self._writable or self._has_head):
                    await self._change()
                if self._has_head:
                    return
                transport.write(view[start : start + SLICE])
        self._sent = True

    async def reply(self) -> Reply:
        """The whole of it. Raises BodyTooLarge, BadHttp, Disconnected or TimeoutError."""
        while not self.ended:
            await self._change()
        body = self._whole if self._whole is not None else b"".join(self._pieces)
        return Reply(self.status, self.headers, body)

    async def head(self) -> None:
        """Until the head is there; the deadline is over. Raises as :meth:`reply`."""
        while not self._has_head:
            await self._change()
        if self._cap is None:
            self._stop_timer()

    async def piece(self) -> bytes:
        """What has come of the body since the last time, at least a byte; nothing once it has ended."""
        while not (self._pieces or self.ended):
            await self._change()
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        if self._transport is not None:
            self._transport.resume_reading()
        return data

    def close(self) -> None:
        """The exchange is over: keep the connection if it may serve another, else close it, which stops the peer."""
        self._stop_timer()
        if self.is_reusable():
            self._asked = False
            self._pool.keep(self, self._target)
        else:
            self.abort()

    def is_reusable(self) -> bool:
        transport = self._transport
        return self.ended and self._keeps and self._sent and transport is not None and not transport.is_closing()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    async def _change(self) -> None:
        """Wait until something has happened, and raise what ended the exchange, if that is it."""
        if self._error is None:
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if self._error is not None:
            raise self._error

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, error: Exception) -> None:
        """No good end can come any more."""
        self._keeps = False
        if self._error is None and not self.ended:
            self._error = error
        self._wake()
        self.abort()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # What the transport says.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment] # of a stream, as create_connection's are
        self._pool.connections.add(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer  # one for all connections: what is in it is parsed before another one is read

    def buffer_updated(self, nbytes: int) -> None:
        if not self._asked:  # it speaks out of turn
            self.abort()
            return
        self._dry += nbytes
        try:
            self._parser.feed_data(self._buffer[:nbytes])
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(BadHttp(f"the peer's answer is no HTTP: {str(error)[:100]}"))
        else:
            if self._dry > MAX_DRY and not self.ended:
                self._fail(BadHttp("the reply's head has no end"))

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._asked and not self.ended and self._error is None:
            if not self._has_head:
                self._error = Disconnected("the connection was closed before there was an answer")
            elif exc is None and self._ends_with_connection():
                self.ended = True
            else:
                self._error = BadHttp("the reply broke off")
        self._wake()
        self._pool.forget(self, self._target)
        self.lost.set_result(None)

    def _ends_with_connection(self) -> bool:
        return not ("content-length" in self.headers or "chunked" in self.headers.get("transfer-encoding", "").lower())

    # What the parser says.

    def on_message_begin(self) -> None:
        if self.ended:  # a second reply to one request
            self._fail(BadHttp("the peer speaks out of turn"))
        else:
            self.headers, self._head_size = {}, 0

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._has_head:  # a trailer, or what follows a reply
            return
        self._head_size += len(name) + len(value)
        if self._head_size > MAX_DRY:
            self._fail(BadHttp("the reply's head is too large"))
        self.headers.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200 or self._has_head:  # 100 Continue and its like come before the reply
            return
        self.status, self._has_head = status, True
        if status != 200:
            self._cap = self._refusal_cap
        if self._cap is not None and int(self.headers.get("content-length", 0)) > self._cap:
            self._fail(_too_large(self._cap))
        elif self._cap is None or not self._sent:
            self._wake()

    def on_body(self, data: bytes) -> None:
        self._dry = 0
        if self.ended or self._error is not None:
            return
        self._size += len(data)
        if self._cap is None:
            self._pieces.append(data)
            if self._size > READ_AHEAD and self._transport is not None:
                self._transport.pause_reading()
            self._wake()
        elif self._size > self._cap:
            self._fail(_too_large(self._cap))
        elif self._size == len(data):
            self._pieces.append(data)  # the first, and most often the only one
        else:
            if self._whole is None:
                self._whole = bytearray(self._pieces.pop())
            self._whole += data

    def on_message_complete(self) -> None:
        if self._has_head and self._error is None and not self.ended:
            self.ended = True
            self._keeps = self._parser.should_keep_alive()
            self._wake()


class Pool:
    """The connections of one dendrite, on the loop that it was made on."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.buffer = memoryview(bytearray(SLICE))
        self.connections: set[Connection] = set()
        """All that are open, in use or not."""
        self._idle: dict[Target, list[Connection]] = {}
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._tls: ssl.SSLContext | None = None

    async def post(
        self, target: Target, head: bytes, body: bytes, *, cap: int, refusal_cap: int, deadline: float
    ) -> Reply:
        """One exchange; the arguments are :meth:`Connection.begin`'s. Raises as :meth:`Connection.reply`, and OSError
        where there is no connection to be had."""
        connection = await self._connection(target, deadline)
        try:
            connection.begin(cap, refusal_cap, deadline)
            await connection.send(head, body)
            return await connection.reply()
        finally:
            connection.close()

    async def open(self, target: Target, head: bytes, body: bytes, *, refusal_cap: int, deadline: float) -> Connection:
        """A connection with the head of its reply; whoever gets it closes it. ``deadline`` is for the head. A reply
        other than a 200 is read whole, with :meth:`Connection.reply`."""
        connection = await self._connection(target, deadline)
        try:
            connection.begin(None, refusal_cap, deadline)
            await connection.send(head, body)
            await connection.head()
        except BaseException:
            connection.close()
            raise
        return connection

    def keep(self, connection: Connection, target: Target) -> None:
        """Have a connection wait for the next exchange with its target."""
        connection.idle_since = self.loop.time()
        self._idle.setdefault(target, []).append(connection)
        if self._sweep_timer is None:
            self._sweep_timer = self.loop.call_later(KEPT, self._sweep)

    def forget(self, connection: Connection, target: Target) -> None:
        """A connection is lost."""
        self.connections.discard(connection)
        idle = self._idle.get(target, [])
        if connection in idle:
            idle.remove(connection)

    async def close(self) -> None:
        """Close every connection; what is under way ends as Disconnected or BadHttp."""
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        lost = [connection.lost for connection in self.connections]
        for connection in self.connections:
            connection.abort()
        if lost:
            await asyncio.wait(lost)

    async def _connection(self, target: Target, deadline: float) -> Connection:
        """A kept one, else a new one."""
        idle = self._idle.get(target)
        while idle:
            connection = idle.pop()
            if connection.is_reusable():
                return connection
        async with asyncio.timeout_at(deadline):
            transport, made = await self.loop.create_connection(
                lambda: Connection(self, target),
                target.host,
                target.port,
                ssl=None if target.fingerprint is None else self._tls_context(),
            )
        if target.fingerprint is not None:
            certificate = transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
            if hashlib.sha256(certificate or b"").digest() != target.fingerprint:
                transport.abort()
                raise WrongCertificate("the peer's certificate is not the one that it has published")
        return made

    def _tls_context(self) -> ssl.SSLContext:
        """Takes any certificate: who it must be of is checked by its fingerprint, before a byte is sent."""
        if self._tls is None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            self._tls.check_hostname = False
            self._tls.verify_mode = ssl.CERT_NONE
        return self._tls

    def _sweep(self) -> None:
        """Close what has been idle for too long, now and then."""
        oldest = self.loop.time() - KEPT
        for target, idle in list(self._idle.items()):
            for connection in [one for one in idle if one.idle_since <= oldest]:
                idle.remove(connection)
                connection.abort()
            if not idle:
                del self._idle[target]
        self._sweep_timer = self.loop.call_later(KEPT, self._sweep) if self._idle else None


def _too_large(cap: int) -> BodyTooLarge:
    return BodyTooLarge(f"the reply is larger than {cap} bytes")
