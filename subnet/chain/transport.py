"""JSON-RPC over one websocket, with a deadline on every byte and a cap on every message.

:class:`Transport` is what substrate-interface takes for its transport. It belongs to one thread
(:mod:`subnet.chain.owner`), which sets ``deadline`` before each piece of work; the socket below it
(:mod:`subnet.chain.dial`) ends every operation by then. Requests are pipelined: all are sent before
the first reply is read. What a subscription sends meanwhile waits for :meth:`Transport.notice`.

A reply is taken apart in two steps, since JSON of a few bytes can stand for objects of many: first
its envelope; then its result, if it answers a question of ours and has not too many values.
"""

from __future__ import annotations

import json
import logging
import socket
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import msgspec

from subnet.chain.dial import DeadlineSocket, address, dial
from subnet.errors import ChainError, ChainMalformed, ChainRefused, ChainUnreachable

log = logging.getLogger(__name__)

MAX_MESSAGE = 32 * 1024 * 1024
"""Bytes of one message that we take from a node: twice what a Substrate node sends unless told otherwise."""
MAX_EXCHANGE = 2 * MAX_MESSAGE
"""Bytes of all answers to one batch; each of a batch's hundreds could have MAX_MESSAGE."""
MAX_VALUES = 1_000_000
"""JSON values in all answers to one batch; as Python objects they take up to a hundred bytes each."""
MAX_HANDSHAKE = 64 * 1024
"""Bytes of a websocket handshake."""
MAX_NOTICE = 64 * 1024
"""Bytes of a subscription's message; a header takes under 2 KiB."""
MAX_NOTICES = 64
"""Messages of a subscription that wait to be taken; beyond, the oldest is dropped."""

Call = tuple[str, Sequence[Any]]

_TEXT, _BINARY, _CLOSE = 1, 2, 8  # websocket opcodes
_NULL = msgspec.Raw(b"null")


class _Envelope(msgspec.Struct):
    """A message's outside. Everything that a node may fill at will stays undecoded."""

    id: msgspec.Raw = _NULL
    result: msgspec.Raw = _NULL
    error: msgspec.Raw = _NULL
    method: msgspec.Raw = _NULL
    params: msgspec.Raw = _NULL


class _Notice(msgspec.Struct):
    subscription: str | int
    result: Any


_ENVELOPE = msgspec.json.Decoder(_Envelope)
_NOTICE = msgspec.json.Decoder(_Notice)


class Transport:
    """One websocket to ``endpoint``; reopened by :meth:`open` after any failure. For one thread only."""

    def __init__(self, endpoint: str) -> None:
        address(endpoint)
        self.endpoint = endpoint  # may be set to another one before open()
        self.deadline = 0.0  # time.monotonic(); every operation below ends by it
        self._socket: DeadlineSocket | None = None
        self._websocket: Any = None
        self._next_id = 0
        self._answered = self._values = 0  # bytes and JSON values of the answers to one batch
        self.is_over = False
        self._notices: deque[bytes] = deque(maxlen=MAX_NOTICES)

    @property
    def is_open(self) -> bool:
        return self._websocket is not None

    def open(self) -> None:
        """Connect and shake hands. Raises ChainUnreachable, ChainTimeout, ChainMalformed."""
        from websocket import WebSocket

        self.close()
        self._notices.clear()
        wire = None if self.is_over else dial(self.endpoint, self.deadline, MAX_HANDSHAKE)
        self._socket = wire
        if wire is None or self.is_over:
            self.close()
            raise ChainUnreachable(f"the connection to {self.endpoint} was closed")
        try:
            websocket: Any = WebSocket(skip_utf8_validation=True)
            # A redirect would let whoever answers choose what we connect to next.
            websocket.connect(self.endpoint, socket=wire, redirect_limit=0, suppress_origin=True)
        except ChainError:
            self.close()
            raise
        except Exception as error:  # OSError and websocket-client's own
            self.close()
            raise ChainUnreachable(f"{self.endpoint} can't be reached: {_words(error)}") from error
        self._websocket = websocket

    def abort(self) -> None:
        """As :meth:`close`, and don't open again."""
        self.is_over = True
        self.close()

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
            results = [(_decode(reply.result), _decode(reply.error)) for reply in replies]
        except Exception as error:
            raise self._lost(error) from error
        for (method, _), (_, refused) in zip(batch, results, strict=True):
            if refused is not None:
                raise _refusal(method, refused)
        return [result for result, _ in results]

    def notice(self, seconds: float) -> Any:
        """What a subscription sent, the oldest first; None if nothing came within ``seconds``.

        Raises ChainUnreachable, ChainTimeout, ChainMalformed; the socket is closed then.
        """
        try:
            wire = self._wire()
            end = time.monotonic() + seconds
            self._answered = self._values = 0
            while not self._notices:
                if not wire.readable(max(end - time.monotonic(), 0)):
                    return None
                self._receive(wire)  # a notice is put aside; anything else here answers a call that was given up
            return _NOTICE.decode(self._notices.popleft()).result
        except (msgspec.DecodeError, RecursionError) as error:
            self.close()
            raise ChainMalformed(f"{self.endpoint} sends what is no subscription's message: {error}") from None
        except Exception as error:
            raise self._lost(error) from error

    def _lost(self, error: Exception) -> ChainError:
        """Drop the socket; the error as one of ours."""
        from websocket import WebSocketPayloadException, WebSocketProtocolException

        self.close()
        if isinstance(error, ChainError):
            return error
        if isinstance(error, (WebSocketProtocolException, WebSocketPayloadException)):
            return ChainMalformed(f"{self.endpoint} does not speak websocket: {_words(error)}")
        return ChainUnreachable(f"{self.endpoint} hung up: {_words(error)}")

    def _wire(self) -> DeadlineSocket:
        wire = self._socket
        if self._websocket is None or wire is None:
            raise ChainUnreachable(f"{self.endpoint} is not connected")
        wire.deadline, wire.limit = self.deadline, MAX_MESSAGE
        return wire

    def _exchange(self, batch: Sequence[Call]) -> list[_Envelope]:
        wire = self._wire()
        first = self._next_id
        self._next_id += len(batch)
        self._answered = self._values = 0
        for number, (method, params) in enumerate(batch, first):
            log.debug("-> %s", method)
            request = {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}
            self._websocket.send(json.dumps(request))
        replies: dict[int, _Envelope] = {}
        while len(replies) < len(batch):
            reply = self._receive(wire)
            answered = None if reply is None else _number(reply.id)
            if reply is not None and answered is not None and first <= answered < self._next_id:
                replies[answered] = reply  # anything else answers a call that was given up
        return [replies[number] for number in range(first, self._next_id)]

    def _receive(self, wire: DeadlineSocket) -> _Envelope | None:
        """One frame: a reply, or None for what is none (a ping, which was answered; a notice, which was kept)."""
        wire.received = 0
        opcode, data = self._websocket.recv_data(control_frame=True)
        if opcode == _CLOSE:
            raise ChainUnreachable(f"{self.endpoint} closed the connection")
        if opcode not in (_TEXT, _BINARY):
            return None
        self._weigh(data)
        try:
            envelope = _ENVELOPE.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ChainMalformed(f"{self.endpoint} answered something that is no JSON-RPC: {error}") from None
        if bytes(envelope.method) == b"null":
            return envelope
        notice = bytes(envelope.params)
        if len(notice) > MAX_NOTICE:
            raise ChainMalformed(f"{self.endpoint} sends a subscription {len(notice)} bytes at once")
        self._notices.append(notice)
        return None

    def _weigh(self, data: bytes) -> None:
        """Count a message before it is decoded. Raises ChainMalformed."""
        self._answered += len(data)
        self._values += sum(map(data.count, (b",", b"[", b"{")))
        if self._answered > MAX_EXCHANGE:
            raise ChainMalformed(f"{self.endpoint} answered one batch with more than {MAX_EXCHANGE} bytes")
        if self._values > MAX_VALUES:
            raise ChainMalformed(f"{self.endpoint} answered with more than {MAX_VALUES} values")

    def rpc_request(self, payload: dict[str, Any], result_handler: Any = None) -> dict[str, Any]:
        """The one door through which substrate-interface asks; subscriptions are not used here."""
        if result_handler is not None:
            raise ChainError("subscriptions would hold the connection's thread; poll instead")
        (result,) = self.calls([(payload["method"], payload["params"] or [])])
        return {"result": result}


def _decode(raw: msgspec.Raw) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ChainMalformed(f"an answer is not JSON: {error}") from None


def _number(raw: msgspec.Raw) -> int | None:
    """A reply's id, where it is one of a kind that we give."""
    text = bytes(raw)
    if len(text) > 64:
        raise ChainMalformed("an answer's id is longer than any that we give")
    return int(text) if text.isdigit() else None


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
