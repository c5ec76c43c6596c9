"""How tests wait: for a condition, never for a time; and how they let time pass without waiting."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

PATIENCE = 60.0
"""Seconds after which what has not come will not come, on however slow a machine."""


async def until(condition: Callable[[], Any], *, seconds: float = PATIENCE) -> None:
    """Wait until ``condition()`` holds; fails the test if it never does."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


@contextmanager
def leap(seconds: float) -> Iterator[None]:
    """The running loop's clock is so many seconds ahead: its timers that lie within them are due at once.

    The processor's clocks and the system's go on as they are.
    """
    loop = asyncio.get_running_loop()
    real = loop.time
    loop.time = lambda: real() + seconds  # type: ignore[method-assign]
    try:
        yield
    finally:
        loop.time = real  # type: ignore[method-assign]


@contextmanager
def dead_port() -> Iterator[int]:
    """A port of loopback that refuses connections, and that nobody else can take meanwhile."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield int(bound.getsockname()[1])
