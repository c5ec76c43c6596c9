"""Bodies that arrive, read within bounds: each in size and time, all of them together and one address's in bytes."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Final

from subnet.errors import BodyTooLarge, Busy, Malformed, SlowRequest
from subnet.http_messages import BrokenBody, Request

SHARE: Final = 4
"""One address may have one part in so many of all under way: what is slow there leaves room for everybody else."""


class Intake:
    """Reads bodies, at most ``most`` bytes of all of them together, each within ``patience`` seconds."""

    def __init__(self, most: int, patience: float) -> None:
        self._most, self._patience = most, patience
        self.held = 0
        """Bytes that have arrived and were not given back yet."""
        self._arriving: Counter[str] = Counter()

    async def read(self, request: Request, cap: int, address: str) -> bytes | bytearray:
        """The raw body, at most ``cap`` bytes, held until :meth:`give_back`. Raises the WireError that fits.

        One body may be more than its address's share, if it comes alone.
        """
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
                    if self.held + len(piece) > self._most or self._is_greedy(address, len(body), len(piece)):
                        raise Busy("too many bodies are arriving at once", retry_after=1.0)
                    self.held += len(piece)
                    self._arriving[address] += len(piece)
                    body += piece
        except BaseException as error:
            self.held -= len(body)
            if isinstance(error, TimeoutError):
                raise SlowRequest(f"the body took over {self._patience:g}s") from None
            if isinstance(error, BrokenBody):
                raise Malformed("the body broke off") from None
            raise
        finally:
            self._arriving[address] -= len(body)
            if not self._arriving[address]:
                del self._arriving[address]
        return body

    def _is_greedy(self, address: str, so_far: int, more: int) -> bool:
        """Whether a body's next piece is too much beside the other bodies of its address."""
        theirs = self._arriving[address]
        return theirs > so_far and theirs + more > self._most // SHARE

    def give_back(self, body: bytes | bytearray) -> None:
        """The body has been dealt with: verified, decoded, or refused."""
        self.held -= len(body)
