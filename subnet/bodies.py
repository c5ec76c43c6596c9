"""Large bodies written a slice at a time, so that a slow peer costs a buffer and not a second copy of the body."""

from __future__ import annotations

from typing import Final

from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload

SLICE: Final = 256 * 1024
"""Bytes handed to the socket at a time; what is smaller goes at once."""


def outgoing(body: bytes) -> bytes | LargeBody:
    """``body`` as aiohttp is to send it."""
    return body if len(body) <= SLICE else LargeBody(body)


class LargeBody(Payload):
    """Bytes that are in memory anyway; each slice waits until the one before has left for the socket."""

    _value: bytes
    _autoclose = True

    def __init__(self, value: bytes) -> None:
        super().__init__(value, content_type="application/octet-stream")
        self._size = len(value)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return self._value.decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        view = memoryview(self._value)
        for start in range(0, len(view), SLICE):
            await writer.write(view[start : start + SLICE])

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        await self.write(writer)  # which is the length: the body is whole
