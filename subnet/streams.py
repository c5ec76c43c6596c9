"""A streamed reply on the asking side: messages as they come, and the receipt at the end.

    async with dendrite.stream(peer, Generate(prompt="…")) as tokens:
        async for token in tokens:
            print(token.text, end="")
    tokens.receipt            # the miner's signature over all of them

Nothing is read ahead of the consumer but what fits in the socket's buffers, so a slow one holds the miner;
its time counts too. Leaving the block early closes the connection, and the miner stops.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, Generic, NamedTuple, Self, TypeVar

from subnet import codec
from subnet.errors import StreamFailed
from subnet.frames import CHUNK, CONTENT_TYPE, END, Frame, FrameReader
from subnet.http_client import Connection
from subnet.receipts import Receipt
from subnet.results import Failure, Reason, Refusal, failure, refusal_of
from subnet.synapse import Declaration, Message, Synapse, check_reply
from subnet.types import Neuron

R = TypeVar("R", bound=Message, covariant=True)

TURN: Final = 64
"""Messages that are taken in a row from what has arrived, before others on the loop, deadlines too, have a turn."""


class Opened(NamedTuple):
    """A stream's connection, what gives its slot back, and what checks its receipt (header, digest)."""

    source: Connection
    release: Callable[[], None]
    check: Callable[[str, str], Receipt | None]


class Stream(Generic[R]):
    """One streamed reply: an async context manager and an async iterator of ``R``.

    Whatever goes wrong raises StreamFailed, with a :class:`~subnet.results.Failure` as its ``failure``;
    messages that came before it were checked and stand. ``receipt`` is there once the iteration has ended;
    until then nothing is proved.
    """

    def __init__(
        self,
        peer: Neuron,
        request: Synapse[R],
        declared: Declaration,
        opening: Callable[[float], Awaitable[Opened]],
        *,
        timeout: float,
        chunk_timeout: float,
    ) -> None:
        self.receipt: Receipt | None = None
        """The miner's signature over the whole stream, verified; None before its end, or with receipts off."""
        self.chunks = 0
        """Messages received."""
        self.ended = False
        """Whether it was read to its end, and the end was good."""
        self.failure: Failure | None = None
        """Why the stream broke off, once StreamFailed was raised."""
        self.elapsed = 0.0
        """Seconds that it was open, the consumer's own time included; set when it ends."""
        self._peer, self._request, self._declared, self._opening = peer, request, declared, opening
        self._timeout, self._chunk_timeout = timeout, chunk_timeout
        self._deadline = self._started = 0.0
        self._opened: Opened | None = None
        self._reader = FrameReader(declared.max_chunk, declared.max_reply)
        self._frames: deque[Frame] = deque()
        self._digest = hashlib.sha256()
        self._said: Refusal | None = None
        self._over = False

    async def __aenter__(self) -> Self:
        self._started = time.perf_counter()
        self._deadline = asyncio.get_running_loop().time() + self._timeout
        try:
            self._opened = await self._opening(self._deadline)
            kind = self._opened.source.headers.get("content-type", "").partition(";")[0]
            if kind != CONTENT_TYPE:
                raise Refusal(Reason.BAD_REPLY, "dendrite.no-stream", f"{kind[:80]!r} is no stream")
        except Exception as error:
            self._close()
            raise self._failed(error) from None
        except BaseException:
            self._close()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> R:
        if self._over:
            raise StopAsyncIteration
        if self._opened is None:
            raise RuntimeError("a stream is read inside `async with dendrite.stream(...)`")
        try:
            message = await self._next(self._opened)
        except Exception as error:
            self._close()
            raise self._failed(error) from None
        if message is None:
            self.ended = True
            self._close()
            raise StopAsyncIteration
        self.chunks += 1
        return message

    async def _next(self, opened: Opened) -> R | None:
        """The next message; None at a good end."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout_at(min(self._deadline, loop.time() + self._chunk_timeout)):
            if self.chunks % TURN == TURN - 1:
                await asyncio.sleep(0)
            while True:
                frame = await self._frame(opened.source)
                if self._said is not None and frame.kind != END:
                    raise Refusal(Reason.BAD_REPLY, "dendrite.cut-short", "the stream goes on after its error")
                if frame.kind == CHUNK:
                    self._digest.update(frame.raw)
                    message: Any = codec.decode(self._declared.response, frame.payload)
                    check_reply(self._request, message)
                    return message  # type: ignore[no-any-return]
                if frame.kind == END:
                    await self._finish(frame, opened)
                    return None
                self._digest.update(frame.raw)
                self._said = refusal_of(frame.payload)

    async def _frame(self, source: Connection) -> Frame:
        while not self._frames:
            data = await source.piece()
            if not data:
                raise Refusal(Reason.BAD_REPLY, "dendrite.cut-short", "the stream broke off before its end")
            self._frames += self._reader.feed(data)
        return self._frames.popleft()

    async def _finish(self, frame: Frame, opened: Opened) -> None:
        more = self._frames or self._reader.pending or await opened.source.piece()
        closing = codec.decode_data(frame.payload)
        if not isinstance(closing, dict) or closing.get("chunks") != self.chunks or more:
            raise Refusal(Reason.BAD_REPLY, "dendrite.cut-short", "the stream's end does not fit what came before")
        self.receipt = opened.check(str(closing.get("receipt", "")), self._digest.hexdigest())
        if self._said is not None:
            raise self._said

    def _close(self) -> None:
        """Let go of the connection: kept if the reply was read to its end, else closed, which stops the miner."""
        if not self._over:
            self.elapsed = time.perf_counter() - self._started
        self._over = True
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.source.close()
            opened.release()

    def _failed(self, error: Exception) -> StreamFailed:
        found = self.failure = failure(self._peer, error, self.elapsed)
        return StreamFailed(f"{found.reason} ({found.code}): {found.message}", failure=found)
