"""The page's server: static files, the board as server-sent events, one miner or round on demand. GET only.

It answers to the names that it is known by alone (a DNS name that was turned to loopback is refused), to pages of
its own origin alone, and sends no CORS headers. Nothing it serves changes anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
from collections.abc import Awaitable, Callable, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urlsplit

from aiohttp import web

from subnet.dashboard.board import as_json
from subnet.errors import ConfigError, StoreError, SubnetError

if TYPE_CHECKING:
    from subnet.dashboard.board import Board
    from subnet.dashboard.records import LedgerSource

log = logging.getLogger(__name__)

MOST_PAGES: Final = 64
"""Pages that may listen at once; further ones are told 503, and try again by themselves."""
BEAT: Final = 15.0
"""Seconds after which a silent stream says that it is still there."""
SENDING: Final = 30.0
"""Seconds that a page may take to accept what it is sent."""
LOOKS: Final = 4
"""Reads of the ledger on demand at once."""

_TYPES = {
    "js": "text/javascript",
    "css": "text/css",
    "html": "text/html",
    "txt": "text/plain",
    "svg": "image/svg+xml",
}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Dashboard:
    """Serves a board on ``host``:``port`` (0 takes any free one); an async context manager.

    ``names`` are further host names that it may be asked by; one is needed where ``host`` is every address.
    """

    def __init__(
        self, board: Board, ledger: LedgerSource, *, host: str = "127.0.0.1", port: int = 0, names: Sequence[str] = ()
    ) -> None:
        self._board, self._ledger, self._host, self._port = board, ledger, host, port
        self._names = known_names(host, names)
        self._files = _static()
        self._looks = asyncio.Semaphore(LOOKS)
        self._closing = asyncio.Event()
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Where it is served."""
        host = self._host if ":" not in self._host else f"[{self._host}]"
        return f"http://{host}:{self._port}/"

    async def __aenter__(self) -> Self:
        """Bind and serve. Raises ConfigError if the address can't be bound."""
        app = web.Application(middlewares=[self._guard], client_max_size=1024)
        app.router.add_get("/api/state", self._state)
        app.router.add_get("/api/events", self._events)
        app.router.add_get("/api/miner/{who}", self._miner)
        app.router.add_get("/api/round/{number:[0-9]{1,12}}", self._round)
        app.router.add_get("/{name:[A-Za-z0-9._-]*}", self._file)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise ConfigError(
                f"can't listen on {self._host}:{self._port}: {error.strerror}",
                remedy="Choose another --port (0 takes any free one) or stop what holds it.",
            ) from None
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing.set()
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        refusal = self._refused(request)
        if refusal is not None:
            return _told(403, refusal)
        try:
            return await handler(request)
        except web.HTTPException as error:
            return _told(error.status, error.reason)
        except SubnetError as error:
            status = 404 if isinstance(error, StoreError) else 503
            return _told(status, error.message, error.remedy)

    def _refused(self, request: web.Request) -> str | None:
        """Why a request is none of ours: a foreign name (DNS rebinding), or a foreign page."""
        if request.method not in ("GET", "HEAD"):
            return "this page is read only"
        try:
            asked = urlsplit(f"//{request.headers.get('Host', '')}").hostname
        except ValueError:
            asked = None
        if asked not in self._names:
            return "this name is not served here; --allow-host adds one"
        origin = request.headers.get("Origin")
        if origin is not None and origin.partition("://")[2] != request.headers.get("Host"):
            return "pages of other origins are not answered"
        if request.headers.get("Sec-Fetch-Site", "none") == "cross-site" and request.path != "/":
            return "pages of other origins are not answered"
        return None

    async def _file(self, request: web.Request) -> web.Response:
        name = request.match_info["name"] or "index.html"
        found = self._files.get(name)
        if found is None:
            raise web.HTTPNotFound
        body, kind = found
        return web.Response(body=body, content_type=kind, charset="utf-8", headers=_HEADERS)

    async def _state(self, _: web.Request) -> web.Response:
        return _json(200, self._board.all())

    async def _miner(self, request: web.Request) -> web.Response:
        who = request.match_info["who"][:100]
        number = who.isascii() and who.isdigit() and len(who) < 6
        async with self._looks:
            return _json(200, as_json(await self._ledger.miner(int(who) if number else who)))

    async def _round(self, request: web.Request) -> web.Response:
        async with self._looks:
            return _json(200, as_json(await self._ledger.round(int(request.match_info["number"]))))

    async def _events(self, request: web.Request) -> web.StreamResponse:
        if len(self._board) >= MOST_PAGES:
            return _told(503, f"{MOST_PAGES} pages listen already")
        response = web.StreamResponse(headers=_HEADERS | {"Content-Type": "text/event-stream"})
        reader = self._board.reader()
        closing = asyncio.create_task(self._closing.wait())
        try:
            await response.prepare(request)
            await _send(response, "retry: 2000\n\n")
            while not self._closing.is_set():
                news = asyncio.create_task(reader.next(BEAT))
                await asyncio.wait({news, closing}, return_when=asyncio.FIRST_COMPLETED)
                if not news.done():
                    news.cancel()
                    break
                for topic, text in news.result():
                    await _send(response, f"event: {topic}\ndata: {text}\n\n")  # JSON has no line breaks
                if not news.result():
                    await _send(response, ": here\n\n")
        except (ConnectionError, TimeoutError):
            pass  # the page is gone, or takes nothing any more
        finally:
            reader.close()
            closing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await closing
        return response


async def _send(response: web.StreamResponse, text: str) -> None:
    await asyncio.wait_for(response.write(text.encode()), SENDING)


def known_names(host: str, more: Sequence[str]) -> frozenset[str]:
    """The host names by which a server at ``host`` may be asked. Raises ConfigError where there is none."""
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        raise ConfigError(f"--host {host!r} is no IP address", remedy="Write for instance 127.0.0.1.") from None
    names = {name.strip("[]").lower() for name in more}
    if address.is_loopback:
        names.update(_LOOPBACK)
    if not address.is_unspecified:
        names.add(str(address))
    if not names:
        raise ConfigError(
            f"--host {host} is every address of this machine",
            remedy="Say by which name it is asked: --allow-host NAME.",
        )
    return frozenset(names)


def _static() -> dict[str, tuple[bytes, str]]:
    """The page's files, which are all that is ever served as files."""
    folder = resources.files("subnet.dashboard") / "static"
    found = {}
    for file in folder.iterdir():
        kind = _TYPES.get(file.name.rpartition(".")[2])
        if kind is not None:
            found[file.name] = (file.read_bytes(), kind)
    return found


def _json(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text, content_type="application/json", headers=_HEADERS)


def _told(status: int, message: str, remedy: str = "") -> web.Response:
    return _json(status, as_json({"error": message, "remedy": remedy}))
