"""The node's sockets: JSON-RPC over websocket and HTTP POST, on one port, through aiohttp."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections import deque
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from subnet.devnet import methods
from subnet.devnet.node import Node
from subnet.devnet.rpc import answer
from subnet.devnet.session import Session
from subnet.errors import DevnetError

logger = logging.getLogger(__name__)

MAX_MESSAGE = 8 * 1024 * 1024  # bytes; 10,000 keys take 3 MiB
MAX_CONNECTIONS = 512
MAX_OUTBOX = 4096  # messages that a client may lag behind before it is cut off
MAX_OUTBOX_BYTES = 64 * 1024 * 1024
HIGH_WATER = 1024 * 1024  # bytes unread above which a client's next request waits
SEND_TIMEOUT = 30.0  # seconds that one message may take to go out


class Outbox:
    """What a connection has still to be sent, in order; bounded, since a client need not read."""

    def __init__(self) -> None:
        self._messages: deque[str] = deque()
        self._bytes = 0
        self._filled = asyncio.Event()
        self._drained = asyncio.Event()

    def put(self, message: str) -> bool:
        """Append a message; False where there is no room for it."""
        if len(self._messages) >= MAX_OUTBOX or self._bytes > MAX_OUTBOX_BYTES:
            return False
        self._messages.append(message)
        self._bytes += len(message)
        self._filled.set()
        if self._bytes > HIGH_WATER:
            self._drained.clear()
        return True

    async def get(self) -> str:
        while not self._messages:
            self._filled.clear()
            self._drained.set()
            await self._filled.wait()
        message = self._messages.popleft()
        self._bytes -= len(message)
        if self._bytes <= HIGH_WATER:
            self._drained.set()
        return message

    async def room(self) -> None:
        """Wait until the connection has caught up; gives way to others in any case."""
        await asyncio.sleep(0)
        if self._bytes > HIGH_WATER:
            await self._drained.wait()


class Server:
    """Listens on ``host:port`` (0: any free port; :attr:`port` is then real)."""

    def __init__(self, node: Node, host: str, port: int) -> None:
        self.node, self.host, self.port = node, host, port
        self._runner: web.AppRunner | None = None
        self._open = 0

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"ws://{host}:{self.port}"

    async def start(self) -> None:
        """Bind; DevnetError if the port is taken or not ours to take."""
        app = web.Application(client_max_size=MAX_MESSAGE)
        app.router.add_get("/", self._websocket)
        app.router.add_post("/", self._post)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        site = web.TCPSite(runner, self.host, self.port, reuse_address=True)
        try:
            await site.start()
        except OSError as error:
            await runner.cleanup()
            why = "is in use" if error.errno == errno.EADDRINUSE else f"can't be bound: {error.strerror}"
            raise DevnetError(
                f"{self.host}:{self.port} {why}",
                remedy="Choose another port with --port (0 takes any free one), or stop what listens there.",
            ) from error
        self._runner = runner
        sockets: Any = site._server.sockets if isinstance(site._server, asyncio.Server) else ()
        self.port = sockets[0].getsockname()[1]

    async def stop(self) -> None:
        for session in list(self.node.sessions):
            session.cut()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(max_msg_size=MAX_MESSAGE, heartbeat=30.0, compress=False)
        if not socket.can_prepare(request):
            return web.Response(text="JSON-RPC of a local chain: connect with ws://, or POST to it.\n")
        if self._open >= MAX_CONNECTIONS:
            return web.Response(status=503, text="too many connections\n")
        self._open += 1
        try:
            await socket.prepare(request)
            await self._serve(socket)
        finally:
            self._open -= 1
        return socket

    async def _serve(self, socket: web.WebSocketResponse) -> None:
        outbox = Outbox()
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

    async def _post(self, request: web.Request) -> web.Response:
        if self._open >= MAX_CONNECTIONS:
            return web.Response(status=503, text="too many connections\n")
        self._open += 1
        try:
            return await self._answer(request)
        finally:
            self._open -= 1

    async def _answer(self, request: web.Request) -> web.Response:
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return web.Response(status=413, text=f"more than {MAX_MESSAGE} bytes\n")
        replies: list[str] = []

        def send(message: str) -> bool:
            replies.append(message)
            return True

        await _handle(Session(self.node, send, lambda: None, streams=False), body)
        return web.Response(text=replies[0] if replies else "", content_type="application/json")


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
    except (ConnectionError, TimeoutError) as error:
        logger.debug("client stopped reading: %s", error)
    finally:
        await socket.close(code=WSCloseCode.GOING_AWAY, drain=False)
