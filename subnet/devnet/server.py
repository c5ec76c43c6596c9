"""The node's sockets: JSON-RPC over websocket and HTTP POST, on one port, through aiohttp."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections import deque
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from aiohttp import WSCloseCode, WSMsgType, web

from subnet.admission import Limits
from subnet.devnet import methods
from subnet.devnet.door import Door
from subnet.devnet.node import Node
from subnet.devnet.rpc import answer
from subnet.devnet.session import Session
from subnet.errors import DevnetError

logger = logging.getLogger(__name__)

MAX_MESSAGE = 4 * 1024 * 1024  # bytes; 10,000 keys take under 3 MiB
MAX_CONNECTIONS = 256
MAX_OUTBOX = 4096  # messages that a client may lag behind before it is cut off
MAX_OUTBOX_BYTES = 64 * 1024 * 1024
MAX_UNREAD = 256 * 1024 * 1024  # bytes that all clients together may leave unread
HIGH_WATER = 1024 * 1024  # bytes unread above which a client's next request waits
SEND_TIMEOUT = 30.0  # seconds that one message may take to go out
BODY_TIMEOUT = 30.0  # seconds that the body of a POST may take to come in
TRUSTED_ORIGINS = ("https://polkadot.js.org",)
WHO_MAY = "those of this machine (http://localhost:PORT) and https://polkadot.js.org may"
FIRST_REQUEST = 10.0  # seconds that a connection may be silent, or take for a request's headers


def is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


class Unread:
    """The bytes that all clients together have still to read."""

    def __init__(self) -> None:
        self.bytes = 0


class Outbox:
    """What a connection has still to be sent, in order; bounded, since a client need not read."""

    def __init__(self, unread: Unread | None = None) -> None:
        self._messages: deque[str] = deque()
        self._unread = unread or Unread()
        self._bytes = 0
        self._filled = asyncio.Event()
        self._drained = asyncio.Event()

    def put(self, message: str) -> bool:
        """Append a message; False where there is no room for it."""
        if len(self._messages) >= MAX_OUTBOX or self._bytes > MAX_OUTBOX_BYTES:
            return False
        if self._bytes + len(message) > HIGH_WATER and self._unread.bytes + len(message) > MAX_UNREAD:
            return False  # where there is little room for all, those go who take most of it
        self._messages.append(message)
        self._count(len(message))
        self._filled.set()
        return True

    def _count(self, size: int) -> None:
        self._bytes += size
        self._unread.bytes += size
        if self._bytes > HIGH_WATER:
            self._drained.clear()
        else:
            self._drained.set()

    async def get(self) -> str:
        """The next message; it counts until :meth:`sent`."""
        while not self._messages:
            self._filled.clear()
            await self._filled.wait()
        return self._messages.popleft()

    def sent(self, message: str) -> None:
        self._count(-len(message))

    def close(self) -> None:
        """Nothing more goes out."""
        self._messages.clear()
        self._count(-self._bytes)

    async def room(self) -> None:
        """Wait until the connection has caught up; gives way to others in any case."""
        await asyncio.sleep(0)
        if self._bytes > HIGH_WATER:
            await self._drained.wait()


class Server:
    """Listens on ``host:port`` (0: any free port; :attr:`port` is then real)."""

    def __init__(self, node: Node, host: str, port: int) -> None:
        self.node, self.host, self.port = node, host, port
        self._door: Door | None = None
        self._listener: asyncio.Server | None = None
        self._unread = Unread()

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"ws://{host}:{self.port}"

    async def start(self) -> None:
        """Bind; DevnetError if the port is taken or not ours to take."""
        loop = asyncio.get_running_loop()
        # all local clients have one address, so that one may have all places
        limits = Limits(connections=MAX_CONNECTIONS, connections_each=MAX_CONNECTIONS + 1, first_request=FIRST_REQUEST)
        self._door = Door(
            self._answer,
            limits=limits,
            access_log=None,
            request_factory=_request,
            auto_decompress=False,
            lingering_time=2.0,
        )
        try:
            self._listener = await loop.create_server(self._door, self.host, self.port, reuse_address=True)
        except OSError as error:
            why = "is in use" if error.errno == errno.EADDRINUSE else f"can't be bound: {error.strerror}"
            raise DevnetError(
                f"{self.host}:{self.port} {why}",
                remedy="Choose another port with --port (0 takes any free one), or stop what listens there.",
            ) from error
        self.port = self._listener.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._listener is None or self._door is None:
            return
        self._listener.close()
        for session in list(self.node.sessions):
            session.cut()
        await self._door.shutdown(timeout=1.0)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if self._door is not None:
            self._door.greet(request)
        origin = request.headers.get("Origin")
        if origin is not None and not self._may_ask(origin, request.headers.get("Host", "")):
            return web.Response(status=403, text=f"web pages of {origin[:100]} may not ask this node: {WHO_MAY}\n")
        if request.path != "/":
            return web.Response(status=404, text="all is at /\n")
        if request.method == "POST":
            return await self._post(request)
        socket = web.WebSocketResponse(max_msg_size=MAX_MESSAGE, heartbeat=30.0, compress=False)
        if request.method != "GET" or not socket.can_prepare(request):
            return web.Response(text="JSON-RPC of a local chain: connect with ws://, or POST to it.\n")
        try:
            await socket.prepare(request)
        except ConnectionError:  # it is gone already
            return socket
        await self._serve(socket)
        return socket

    def _may_ask(self, origin: str, host: str) -> bool:
        """Whether a web page of this origin may; any page that is open in a browser here reaches loopback."""
        try:
            place = urlsplit(origin)
        except ValueError:
            return False
        if origin in TRUSTED_ORIGINS or is_loopback(place.hostname or ""):
            return True
        # some clients that are no browsers name the node itself; on loopback a page of a name that was
        # made to lead here would, too
        return not is_loopback(self.host) and place.netloc == host

    async def _serve(self, socket: web.WebSocketResponse) -> None:
        outbox = Outbox(self._unread)
        writer = asyncio.ensure_future(_write(socket, outbox))
        session = Session(self.node, outbox.put, lambda: _cancel(writer))
        self.node.sessions.add(session)
        try:
            async for message in socket:
                if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                    await _handle(session, message.data)
                    # a client that asks faster than it reads waits for itself, and one client's
                    # flood of requests leaves time for blocks and other clients
                    await outbox.room()
        except (ConnectionError, RuntimeError) as error:
            logger.debug("connection ended: %s", error)
        finally:
            self.node.sessions.discard(session)
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
            outbox.close()

    async def _post(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            async with asyncio.timeout(BODY_TIMEOUT):
                body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return web.Response(status=413, text=f"more than {MAX_MESSAGE} bytes\n")
        except TimeoutError:
            return web.Response(status=408, text=f"the body took more than {BODY_TIMEOUT:.0f} s\n")
        replies: list[str] = []

        def send(message: str) -> bool:
            replies.append(message)
            return True

        await _handle(Session(self.node, send, lambda: None, streams=False), body)
        text = replies[0] if replies else ""
        if self._unread.bytes + len(text) > MAX_UNREAD:
            return web.Response(status=503, text="too much is unread by other clients\n")
        response = web.Response(text=text, content_type="application/json")
        self._unread.bytes += len(text)
        try:
            async with asyncio.timeout(SEND_TIMEOUT):
                await response.prepare(request)
                await response.write_eof()
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
        finally:
            self._unread.bytes -= len(text)
        return response


def _request(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
    """A request whose body may have MAX_MESSAGE bytes."""
    loop = asyncio.get_running_loop()
    return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=MAX_MESSAGE)


async def _handle(session: Session, message: str | bytes) -> None:
    """Answer one message, and send what comes after the answer after it."""
    answered = await answer(message, lambda name, params: methods.call(session, name, params))
    if answered is None:
        return
    reply, afters = answered
    session.put(reply)
    for after in afters:
        after()


def _cancel(writer: asyncio.Future[None]) -> None:
    writer.cancel()


async def _write(socket: web.WebSocketResponse, outbox: Outbox) -> None:
    try:
        while True:
            message = await outbox.get()
            async with asyncio.timeout(SEND_TIMEOUT):
                await socket.send_str(message)
            outbox.sent(message)
    except (ConnectionError, TimeoutError) as error:
        logger.debug("client stopped reading: %s", error)
    finally:
        await socket.close(code=WSCloseCode.GOING_AWAY, drain=False)
