"""What the page shows, by topic, and the pages that are told of each change.

A topic's newest value is all that counts: a page that reads slowly gets the latest and skips what was in between, so
that no queue grows.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterable
from typing import Any, Final

TOPICS: Final = ("chain", "weights", "emission", "ledger", "health")


class Board:
    """The newest value of each topic as JSON text; used on one event loop."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}
        self._readers: set[Reader] = set()

    def __len__(self) -> int:
        """How many pages listen."""
        return len(self._readers)

    def put(self, topic: str, value: Any) -> None:
        """Show ``value`` under ``topic``, one of TOPICS; pages hear of it only if it changed."""
        if topic not in TOPICS:
            raise KeyError(topic)
        text = as_json(value)
        if self._values.get(topic) == text:
            return
        self._values[topic] = text
        for reader in self._readers:
            reader.tell(topic)

    def text(self, topic: str) -> str:
        """The topic's JSON; ``null`` before the first."""
        return self._values.get(topic, "null")

    def all(self) -> str:
        """One JSON object of all topics."""
        return "{" + ",".join(f"{json.dumps(topic)}:{self.text(topic)}" for topic in TOPICS) + "}"

    def reader(self) -> Reader:
        """A new listener, to which all that is known is news; it must be closed."""
        made = Reader(self, self._values)
        self._readers.add(made)
        return made

    def drop(self, reader: Reader) -> None:
        """Tell it no more; idempotent."""
        self._readers.discard(reader)


class Reader:
    """One page's view: which topics changed since it was last told."""

    def __init__(self, board: Board, known: Iterable[str]) -> None:
        self._board, self._news = board, dict.fromkeys(known)
        self._woken = asyncio.Event()
        if self._news:
            self._woken.set()

    def tell(self, topic: str) -> None:
        self._news[topic] = None
        self._woken.set()

    async def next(self, timeout: float) -> list[tuple[str, str]]:
        """Topics that changed and their JSON; empty after ``timeout`` seconds without any."""
        try:
            await asyncio.wait_for(self._woken.wait(), timeout)
        except TimeoutError:
            return []
        self._woken.clear()
        topics, self._news = list(self._news), {}
        return [(topic, self._board.text(topic)) for topic in topics]

    def close(self) -> None:
        self._board.drop(self)


def as_json(value: Any) -> str:
    """JSON that every browser reads: what is no number (NaN, infinities) is null."""
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"))
    except ValueError:
        return json.dumps(_finite(value), allow_nan=False, separators=(",", ":"))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return value
