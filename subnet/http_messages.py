"""What a server's connection and its handler pass each other: a request as it arrives, and the response to it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Protocol


class Connection(Protocol):
    """What a request came by (:class:`subnet.http_server.Connection`), as far as its handler is concerned."""

    address: str
    transport: asyncio.Transport | None
    cancel_when_lost: bool

    def stream(self, request: Request, headers: dict[str, str]) -> Callable[[bytes], Awaitable[None]]: ...
    def wants_body(self, request: Request) -> None: ...


class BrokenBody(Exception):
    """A request's body did not come to its end."""


@dataclass(slots=True)
class Response:
    """What a handler answers; Content-Length, Date and Connection are added."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    close: bool = False
    """Whether the connection ends with it."""
    done: Callable[[], None] | None = None
    """Called once it has left, or can't any more."""


class Request:
    """A request's head, and its body as it arrives."""

    __slots__ = ("_pieces", "_size", "_waiter", "complete", "connection", "headers", "keep_alive", "method", "path")

    def __init__(self, connection: Connection, method: str, path: str, headers: dict[str, str]) -> None:
        self.connection, self.method = connection, method
        self.path = path
        """The target exactly as it was sent, query included."""
        self.headers = headers
        """By lowercase name; of a header that comes twice the first counts, but for X-Forwarded-For, a list."""
        self.keep_alive = False
        self.complete = False
        """Whether the whole body is there."""
        self._pieces: list[bytes] = []
        self._size = 0
        self._waiter: asyncio.Future[None] | None = None

    @property
    def content_length(self) -> int:
        """As declared; 0 where nothing is."""
        return int(self.headers.get("content-length", 0))

    def body_so_far(self) -> bytes:
        """What has arrived and was not taken."""
        pieces, self._pieces, self._size = self._pieces, [], 0
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def piece(self) -> bytes:
        """The next part of the body, at least a byte; nothing at its end. Raises BrokenBody."""
        if not (self._pieces or self.complete):
            self.connection.wants_body(self)
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self.body_so_far()

    def feed(self, data: bytes) -> int:
        """More of the body: how many bytes of it now wait."""
        self._pieces.append(data)
        self._size += len(data)
        self.wake()
        return self._size

    def wake(self, error: Exception | None = None) -> None:
        if self._waiter is not None and not self._waiter.done():
            if error is None:
                self._waiter.set_result(None)
            else:
                self._waiter.set_exception(error)


def response_head(status: int, headers: dict[str, str], framing: str, *, closes: bool) -> bytes:
    """A response's bytes up to its body; ``framing`` is the header that says where that ends."""
    lines = [f"HTTP/1.1 {status} {_phrase(status)}", framing, f"Date: {_date(int(time.time()))}", "Server: subnet"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if closes:
        lines.append("Connection: close")
    text = "\r\n".join(lines)
    if text.count("\n") + 1 != len(lines) or text.count("\r") + 1 != len(lines):
        raise ValueError("a reply's headers can't hold line breaks")
    return f"{text}\r\n\r\n".encode("latin-1")


@lru_cache(maxsize=64)
def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


@lru_cache(maxsize=4)
def _date(seconds: int) -> str:
    return formatdate(seconds, usegmt=True)
