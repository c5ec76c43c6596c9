"""Plain functions as a backend: of many texts at once, run in a thread, or of one prompt, streaming."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from subnet.errors import BackendFailed
from subnet.miners.backends.base import GREEDY, Backend, Classes, Sampling, TextEnd, Vectors
from subnet.miners.batches import Batches
from subnet.threads import Threads

R = TypeVar("R")
_DONE = object()


class FunctionBackend(Backend):
    """``generate(prompt, sampling)`` gives the text, or its pieces one by one; ``embed(texts)`` a row for each
    text; ``classify(texts)`` the labels' probabilities for each. Each is optional.

    Texts of requests that come within ``max_wait`` seconds of each other are embedded or classified in one call of
    at most ``max_batch``. ``streams`` prompts are worked on at a time, each in a thread.
    """

    def __init__(
        self,
        *,
        generate: Callable[[str, Sampling], str | Iterable[str]] | None = None,
        embed: Callable[[list[str]], npt.ArrayLike] | None = None,
        classify: Callable[[list[str]], Sequence[Mapping[str, float]]] | None = None,
        max_batch: int = 32,
        max_wait: float = 0.005,
        streams: int = 8,
    ) -> None:
        self._generate = generate
        self._threads = Threads(streams, "generate")
        if generate is not None:
            self._threads.start()

        def rows(texts: list[str]) -> list[Any]:
            assert embed is not None  # noqa: S101 - else there is no batch of it
            return list(np.atleast_2d(np.asarray(embed(texts), np.float32)))

        def labels(texts: list[str]) -> list[Classes | Exception]:
            assert classify is not None  # noqa: S101
            return [dict(one) for one in classify(texts)]

        self._embeds: Batches[str, Any] | None = Batches(rows, max_batch, max_wait) if embed else None
        self._classifies = Batches(labels, max_batch, max_wait) if classify else None

    async def stream(self, prompt: str, sampling: Sampling = GREEDY) -> AsyncGenerator[str, None]:
        """Stops the function's iteration after the piece that it is at, where the caller has gone."""
        if self._generate is None:
            raise self._lacks("generate text")
        made = await self._threads.submit(self._generate, prompt, sampling)
        pieces, end = iter((made,) if isinstance(made, str) else made), TextEnd(sampling.stop)
        while not end.over and (piece := await self._threads.submit(next, pieces, _DONE)) is not _DONE:
            if text := end.add(_text(piece)):
                yield text
        if text := end.add("", last=True):
            yield text

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """The rows as the function gives them: their length is its own affair."""
        if self._embeds is None:
            raise self._lacks("embed")
        return np.stack(await all_of(self._embeds, texts)) if texts else np.zeros((0, 0), np.float32)

    async def classify(self, texts: Sequence[str]) -> list[Classes]:
        if self._classifies is None:
            raise self._lacks("classify")
        return await all_of(self._classifies, texts)

    async def close(self) -> None:
        for one in (self._embeds, self._classifies, self._threads):
            if one is not None:
                one.stop()


async def all_of(batches: Batches[str, R], texts: Sequence[str]) -> list[R]:
    """The outcome of each text; the first exception ends the waiting for the others."""
    try:
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(batches.ask(text)) for text in texts]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in asked]


def _text(piece: object) -> str:
    if not isinstance(piece, str):
        raise BackendFailed(f"the function generated a {type(piece).__name__}, not text")
    return piece
