"""JSON-RPC over one websocket, with a deadline on every byte and a cap on every message.

:class:`Transport` is what substrate-interface takes for its transport. It belongs to one thread
(:mod:`subnet.chain.connection`), which sets ``deadline`` before each piece of work; below it a
:class:`_DeadlineSocket` arms the real socket with the time that is left, so that a node which
hangs, or sends a byte a second, ends in ChainTimeout at the deadline and not later. Requests are
pipelined: all are sent before the first reply is read.
"""

from __future__ import annotations

import json
import logging
import socket
import ssl
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec

from subnet.errors import (
    ChainError,
    ChainMalformed,
    ChainRefused,
    ChainTimeout,
    ChainUnreachable,
    ConfigError,
)

log = logging.getLogger(__name__)

MAX_MESSAGE = 64 * 1024 * 1024
"""Bytes of one message that we take from a node; the metadata of a full runtime is under 2 MiB of hex."""

Call = tuple[str, Sequence[Any]]

_DATA = (1, 2)  # websocket opcodes of text and binary messages


class _DeadlineSocket:
    """A socket whose every operation ends by ``deadline`` and which counts what one message costs."""

    def __init__(self, raw: socket.socket, deadline: float) -> None:
        self._raw = raw
        self.deadline = deadline  # time.monotonic()
        self.received = 0

    def _arm(self) -> None:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise ChainTimeout("the node did not answer in time")
        self._raw.settimeout(left)

    def recv(self, size: int) -> bytes:
        self._arm()
        try:
            data = self._raw.recv(size)
        except TimeoutError:
            raise ChainTimeout("the node did not answer in time") from None
        self.received += len(data)
        if self.received > MAX_MESSAGE:
            raise ChainMalformed(f"the node sent more than {MAX_MESSAGE} bytes in one message")
        return data

    def send(self, data: bytes) -> int:
        self._arm()
        try:
            return self._raw.send(data)
        except TimeoutError:
            raise ChainTimeout("the node does not take our request") from None

    def fileno(self) -> int:
        return self._raw.fileno()

    def gettimeout(self) -> float | None:
        return self._raw.gettimeout()

    def settimeout(self, timeout: float | None) -> None:
        """websocket-client's own wish; the deadline rules."""

    def shutdown(self, how: int) -> None:
        self._raw.shutdown(how)

    def close(self) -> None:
        self._raw.close()


class Transport:
    """One websocket to one endpoint; reopened by :meth:`open` after any failure. For one thread only."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.deadline = 0.0  # time.monotonic(); every operation below ends by it
        self._host, self._port, self._secure = _address(endpoint)
        self._socket: _DeadlineSocket | None = None
        self._websocket: Any = None
        self._next_id = 0

    @property
    def is_open(self) -> bool:
        return self._websocket is not None

    def open(self) -> None:
        """Connect and shake hands. Raises ChainUnreachable, ChainTimeout."""
        from websocket import WebSocket

        self.close()
        try:
            self._socket = self._dial()
            websocket: Any = WebSocket(skip_utf8_validation=True)
            # A redirect would let whoever answers choose what we connect to next.
            websocket.connect(self.endpoint, socket=self._socket, redirect_limit=0, suppress_origin=True)
        except ChainError:
            self.close()
            raise
        except TimeoutError:
            self.close()
            raise ChainTimeout(f"{self.endpoint} does not accept a connection in time") from None
        except Exception as error:  # OSError, ssl, and websocket-client's own
            self.close()
            raise ChainUnreachable(f"{self.endpoint} can't be reached: {_words(error)}") from error
        self._websocket = websocket

    def _dial(self) -> _DeadlineSocket:
        left = max(self.deadline - time.monotonic(), 0.001)
        raw = socket.create_connection((self._host, self._port), timeout=left)
        try:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if self._secure:
                raw = ssl.create_default_context().wrap_socket(raw, server_hostname=self._host)
        except BaseException:
            raw.close()
            raise
        return _DeadlineSocket(raw, self.deadline)

    def close(self) -> None:
        """Drop the socket at once; safe from any thread, and wakes a thread that waits on it."""
        held, self._socket, self._websocket = self._socket, None, None
        if held is None:
            return
        try:
            held.shutdown(socket.SHUT_RDWR)
        except OSError:
            log.debug("%s had hung up already", self.endpoint)
        held.close()

    def calls(self, batch: Sequence[Call]) -> list[Any]:
        """The results of several JSON-RPC calls, pipelined, in order.

        Raises ChainRefused for the first call that the node refuses (after all replies are in),
        ChainTimeout, ChainUnreachable, ChainMalformed; after these three the socket is closed.
        """
        try:
            replies = self._exchange(batch)
        except ChainError:
            self.close()
            raise
        except Exception as error:  # OSError and websocket-client's own
            self.close()
            raise ChainUnreachable(f"{self.endpoint} hung up: {_words(error)}") from error
        for (method, _), reply in zip(batch, replies, strict=True):
            if "error" in reply:
                raise _refusal(method, reply["error"])
        return [reply.get("result") for reply in replies]

    def _exchange(self, batch: Sequence[Call]) -> list[dict[str, Any]]:
        if self._websocket is None or self._socket is None:
            raise ChainUnreachable(f"{self.endpoint} is not connected")
        self._socket.deadline = self.deadline
        first = self._next_id
        self._next_id += len(batch)
        for number, (method, params) in enumerate(batch, first):
            log.debug("-> %s", method)
            request = {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}
            self._websocket.send(json.dumps(request))
        replies: dict[int, dict[str, Any]] = {}
        while len(replies) < len(batch):
            reply = self._receive()
            answered: Any = reply.get("id")
            if isinstance(answered, int) and first <= answered < first + len(batch):
                replies[answered] = reply  # anything else answers a call that was given up
        return [replies[number] for number in range(first, first + len(batch))]

    def _receive(self) -> dict[str, Any]:
        assert self._socket is not None  # noqa: S101 - _exchange checked it
        self._socket.received = 0
        opcode, data = self._websocket.recv_data()
        if opcode not in _DATA:
            raise ChainUnreachable(f"{self.endpoint} closed the connection")
        try:
            reply = msgspec.json.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ChainMalformed(f"{self.endpoint} answered something that is not JSON: {error}") from None
        if not isinstance(reply, dict):
            raise ChainMalformed(f"{self.endpoint} answered JSON that is no JSON-RPC reply")
        return reply

    def rpc_request(self, payload: dict[str, Any], result_handler: Any = None) -> dict[str, Any]:
        """The one door through which substrate-interface asks; subscriptions are not used here."""
        if result_handler is not None:
            raise ChainError("subscriptions would hold the connection's thread; poll instead")
        (result,) = self.calls([(payload["method"], payload["params"] or [])])
        return {"result": result}


def _address(endpoint: str) -> tuple[str, int, bool]:
    host: str | None = None
    port: int | None = None
    try:
        parts = urlsplit(endpoint)
        if parts.scheme in ("ws", "wss"):
            host, port = parts.hostname, parts.port
    except ValueError:
        log.debug("%r is no URL", endpoint)
    if not host:
        raise ConfigError(
            f"{endpoint!r} is no websocket endpoint", remedy="Write it as ws://host:port or wss://host:port."
        )
    secure = endpoint.lower().startswith("wss:")
    return host, port or (443 if secure else 80), secure


def _refusal(method: str, error: Any) -> ChainRefused:
    fields: dict[str, Any] = error if isinstance(error, dict) else {"message": error}
    code: Any = fields.get("code")
    data: Any = fields.get("data")
    details = "" if data is None else str(data)[:500]
    return ChainRefused(
        f"{method}: {str(fields.get('message', ''))[:500]}{f' ({details})' if details else ''}",
        rpc_code=code if isinstance(code, int) else 0,
        data=details,
    )


def _words(error: Exception) -> str:
    status = getattr(error, "status_code", None)  # websocket-client's words hold the whole answer
    if status is not None:
        return f"HTTP {status} instead of a websocket"
    return " ".join(str(error).split())[:200] or type(error).__name__
