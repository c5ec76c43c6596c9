"""Bodies that arrive, read within bounds: each in size and time, and all of them together in bytes."""

from __future__ import annotations

import asyncio

from subnet.errors import BodyTooLarge, Busy, Malformed, SlowRequest
from subnet.http_server import BrokenBody, Request


class Intake:
    """Reads bodies, at most ``most`` bytes of all of them together, each within ``patience`` seconds."""

    def __init__(self, most: int, patience: float) -> None:
        self._most, self._patience = most, patience
        self.held = 0
        """Bytes that have arrived and were not given back yet."""

    async def read(self, request: Request, cap: int) -> bytes | bytearray:
        """The raw body, at most ``cap`` bytes, held until :meth:`give_back`. Raises the WireError that fits."""
        if request.complete:  # as small bodies are
            whole = request.body_so_far()
            if len(whole) > cap:
                raise BodyTooLarge(f"more than the {cap} bytes that are accepted")
            self.held += len(whole)
            return whole
        body = bytearray()
        try:
            async with asyncio.timeout(self._patience):
                while piece := await request.piece():
                    if len(body) + len(piece) > cap:
                        raise BodyTooLarge(f"more than the {cap} bytes that are accepted")
                    if self.held + len(piece) > self._most:
                        raise Busy("too many bodies are arriving at once", retry_after=1.0)
                    self.held += len(piece)
                    body += piece
        except BaseException as error:
            self.held -= len(body)
            if isinstance(error, TimeoutError):
                raise SlowRequest(f"the body took over {self._patience:g}s") from None
            if isinstance(error, BrokenBody):
                raise Malformed("the body broke off") from None
            raise
        return body

    def give_back(self, body: bytes | bytearray) -> None:
        """The body has been dealt with: verified, decoded, or refused."""
        self.held -= len(body)
