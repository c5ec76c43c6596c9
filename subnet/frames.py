"""A streamed reply as frames: one for each message, and a last one with the miner's receipt over all of them.

The body of a streamed reply (HTTP chunked) is a row of frames::

    kind (u8) | length of the payload (u32 LE) | payload

Kind 1 is a message (msgpack), kind 2 an error that ended the stream (``{code, message, remedy}``), kind 3 the
end: ``{"chunks": how many, "receipt": the value of X-Subnet-Receipt, or ""}``. The receipt's "response's sha256"
is over every byte before the end frame. A stream without its end broke off. Who asked in JSON gets lines instead,
each one of ``{"message": …}``, ``{"error": …}``, ``{"end": …}``.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Awaitable, Callable, Iterator
from struct import Struct
from typing import Any, Final, NamedTuple

from subnet import codec
from subnet.errors import BodyTooLarge, HandlerFailed, Malformed, WireError
from subnet.synapse import Declaration, Message

log = logging.getLogger(__name__)

CONTENT_TYPE: Final = "application/x-subnet-frames"
LINES: Final = "application/x-ndjson"
CHUNK, ERROR, END = 1, 2, 3
MAX_CLOSING: Final = 16_384
"""Bytes of an error's or the end's payload."""

_HEAD: Final = Struct("<BI")
_NAMES: Final = {CHUNK: b"message", ERROR: b"error", END: b"end"}


class Frame(NamedTuple):
    kind: int
    payload: bytes
    raw: bytes
    """The whole frame, as the receipt's hash takes it."""


def frame(kind: int, payload: bytes) -> bytes:
    """A frame's bytes."""
    return _HEAD.pack(kind, len(payload)) + payload


class FrameWriter:
    """Writes a stream's frames within its declaration's limits, and hashes all but the last.

    ``write`` takes bytes and returns when the caller may send more.
    """

    def __init__(self, write: Callable[[bytes], Awaitable[Any]], declared: Declaration, *, json: bool = False) -> None:
        self._write, self._declared, self._json = write, declared, json
        self._digest = hashlib.sha256()
        self.sent = self.chunks = 0

    @property
    def digest(self) -> str:
        """sha256 of all frames so far, but the end."""
        return self._digest.hexdigest()

    async def message(self, message: Message) -> None:
        """One message. Raises HandlerFailed for one that can't be sent; the log says why."""
        declared = self._declared
        try:
            body = codec.encode(message, json=self._json)
        except WireError as error:
            log.error("a message of %s can't be encoded: %s", declared.name, error)
            raise HandlerFailed("the handler's message can't be encoded") from None
        if len(body) > declared.max_chunk:
            log.error("a message of %s has %d bytes; %d are allowed", declared.name, len(body), declared.max_chunk)
            raise HandlerFailed("the handler's message is larger than its synapse allows")
        made = self._made(CHUNK, body)
        if self.sent + len(made) > declared.max_reply:
            log.error("the stream of %s is larger than the %d bytes allowed", declared.name, declared.max_reply)
            raise HandlerFailed("the handler's stream is larger than its synapse allows")
        self.chunks += 1
        await self._send(made)

    async def error(self, error: WireError) -> None:
        await self._send(self._made(ERROR, codec.encode_data(error.as_dict(), json=self._json)))

    async def end(self, receipt: str) -> None:
        """The last frame; ``receipt`` as in its header, or ""."""
        closing = {"chunks": self.chunks, "receipt": receipt}
        made = self._made(END, codec.encode_data(closing, json=self._json))
        self.sent += len(made)
        await self._write(made)

    def _made(self, kind: int, body: bytes) -> bytes:
        return b'{"%s":%s}\n' % (_NAMES[kind], body) if self._json else frame(kind, body)

    async def _send(self, made: bytes) -> None:
        self._digest.update(made)
        self.sent += len(made)
        await self._write(made)


class FrameReader:
    """Takes bytes as they arrive and gives whole frames; holds at most one frame and what was fed last.

    ``max_chunk`` bounds the payload of a message in bytes, ``max_total`` all frames together.
    """

    def __init__(self, max_chunk: int, max_total: int) -> None:
        self._max_chunk, self._max_total = max_chunk, max_total
        self._buffer = bytearray()
        self._total = 0

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that ``data`` completes. Raises Malformed or BodyTooLarge before their bytes are held."""
        self._buffer += data
        while len(self._buffer) >= _HEAD.size:
            kind, length = _HEAD.unpack_from(self._buffer)
            if kind not in (CHUNK, ERROR, END):
                raise Malformed(f"a stream's frame has the unknown kind {kind}")
            cap = self._max_chunk if kind == CHUNK else MAX_CLOSING
            if length > cap:
                raise BodyTooLarge(f"a frame of {length} bytes; {cap} are accepted")
            end = _HEAD.size + length
            if len(self._buffer) < end:
                return
            raw = bytes(self._buffer[:end])
            del self._buffer[:end]
            if kind != END:
                self._total += end
                if kind == CHUNK and self._total > self._max_total:
                    raise BodyTooLarge(f"the stream is larger than {self._max_total} bytes")
            yield Frame(kind, raw[_HEAD.size :], raw)

    @property
    def pending(self) -> int:
        """Bytes of a frame that has not arrived whole."""
        return len(self._buffer)
