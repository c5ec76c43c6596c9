"""Nodes that misbehave: a websocket peer that answers by a script, and a raw TCP one that need not even do that.

A hanging, lying or dying node is a peer like any other; what is scripted here is its side of the
wire, never ours.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ssl import SSLContext
from typing import Any

from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, web

GENESIS = "0x" + "ab" * 32


class Hang(Exception):
    """Raised by a script: never answer this request."""


class HangUp(Exception):
    """Raised by a script: drop the connection."""


class Raw(Exception):
    """Raised by a script: send these words as they are, each text as a message of its own; ``$id`` is the request's."""

    def __init__(self, *texts: str) -> None:
        super().__init__(*texts)
        self.texts = texts


class Refuse(Exception):
    """Raised by a script: answer with a JSON-RPC error."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.error = {"code": code, "message": message, "data": data}


Script = Callable[[str, list[Any]], Any]


class Peer:
    """A websocket server whose answers come from ``script(method, params)``; counts what it was asked."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.asked: list[str] = []
        self.connections = 0
        self.url = ""
        self._open: set[web.WebSocketResponse] = set()

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=0)
        await socket.prepare(request)
        self.connections += 1
        self._open.add(socket)
        try:
            async for message in socket:
                if message.type == WSMsgType.TEXT:
                    await self._answer(socket, json.loads(message.data))
        finally:
            self._open.discard(socket)
        return socket

    async def _answer(self, socket: web.WebSocketResponse, request: dict[str, Any]) -> None:
        self.asked.append(request["method"])
        reply: dict[str, Any] = {"jsonrpc": "2.0", "id": request["id"]}
        try:
            result = self.script(request["method"], request["params"])
            if isinstance(result, Awaitable):
                result = await result
            await socket.send_str(json.dumps({**reply, "result": result}))
        except Hang:
            return
        except HangUp:
            await socket.close()
        except Raw as raw:
            for text in raw.texts:
                await socket.send_str(text.replace("$id", str(request["id"])))
        except Refuse as refusal:
            await socket.send_str(json.dumps({**reply, "error": refusal.error}))

    async def push(self, method: str, result: Any) -> None:
        """Tell every connection, as a subscription does."""
        notice = {"jsonrpc": "2.0", "method": method, "params": {"subscription": "s1", "result": result}}
        for socket in list(self._open):
            await socket.send_str(json.dumps(notice))

    async def drop_all(self) -> None:
        for socket in list(self._open):
            await socket.close()


@asynccontextmanager
async def peer(script: Script, tls: SSLContext | None = None) -> AsyncIterator[Peer]:
    """A :class:`Peer` on loopback for the time of the block; with ``tls`` as wss://localhost."""
    served = Peer(script)
    app = web.Application()
    app.router.add_get("/", served.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    where = "wss://localhost" if tls else "ws://127.0.0.1"
    served.url = f"{where}:{runner.addresses[0][1]}"
    try:
        yield served
    finally:
        await served.drop_all()
        await runner.cleanup()


@asynccontextmanager
async def tcp(behave: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[str]:
    """A raw TCP server on loopback; yields its ws:// URL."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await behave(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass  # the client hung up, or the test is over: both are what these peers are for
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


def polite(method: str, params: list[Any]) -> Any:
    """What every peer answers unless its script says otherwise: a genesis hash."""
    if method == "chain_getBlockHash":
        return GENESIS
    raise Refuse(-32601, "Method not found")


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread brings about; fails the test if it never does."""
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


class Held:
    """A script that keeps its caller waiting for the answer to ``method`` until :meth:`release`; polite otherwise."""

    def __init__(self, method: str) -> None:
        self.method = method
        self.asked = asyncio.Event()
        self._released = asyncio.Event()

    async def __call__(self, method: str, params: list[Any]) -> Any:
        if method == self.method:
            self.asked.set()
            await self._released.wait()
            return GENESIS
        return polite(method, params)

    def release(self) -> None:
        self._released.set()


async def beats(count: int = 20) -> None:
    """Returns after so many turns of the event loop, 10 ms apart; never, where something blocks it."""
    for _ in range(count):
        await asyncio.sleep(0.01)


class Altered:
    """Returned by a script of :func:`between`: ask the node, and pass its answer through ``change``."""

    def __init__(self, change: Callable[[Any], Any]) -> None:
        self.change = change


TRUTH = Altered(lambda answer: answer)


class _Behind:
    """The real node behind a liar: one socket, one question at a time."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self._socket = socket
        self._turn = asyncio.Lock()
        self._asked = 0

    async def ask(self, method: str, params: list[Any]) -> Any:
        async with self._turn:
            self._asked += 1
            number = self._asked
            await self._socket.send_json({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
            while (reply := await self._socket.receive_json())["id"] != number:
                pass  # the answer to a question whose asker hung up
        if "error" in reply:
            raise Refuse(**{key: reply["error"].get(key) for key in ("code", "message", "data")})
        return reply["result"]


@asynccontextmanager
async def between(url: str, lie: Script) -> AsyncIterator[Peer]:
    """A peer in front of the node at ``url`` that answers what ``lie`` returns; Altered is asked of the node."""
    async with ClientSession() as session, session.ws_connect(url, max_msg_size=0) as socket:
        behind = _Behind(socket)

        async def script(method: str, params: list[Any]) -> Any:
            answer = lie(method, params)
            return answer.change(await behind.ask(method, params)) if isinstance(answer, Altered) else answer

        async with peer(script) as served:
            yield served
