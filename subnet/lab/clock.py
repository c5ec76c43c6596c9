"""Virtual time: an event loop that jumps to its next timer, and the clocks that user code reads.

:class:`VirtualLoop` is asyncio's own loop with another idea of waiting: where nothing is ready it sets its clock to
the next timer and goes on, so that a round with deadlines takes as long as its computing does. In :func:`virtual_time`
the module :mod:`time` tells the loop's time to the thread that runs it (and to no other): ``time``, ``monotonic``,
``perf_counter``, their ``_ns`` forms, and ``sleep``. So ``asyncio.to_thread``, too, runs what it is given at once, in
that thread.

What is not virtual: ``datetime.now()``, names bound before (``from time import time``), sockets and subprocesses.
"""

from __future__ import annotations

import asyncio
import selectors
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any, Final, TypeVar

T = TypeVar("T")

UPTIME: Final = 1000.0
"""Seconds on the monotonic clocks at the beginning: there is code that takes 0 for "not yet"."""
BEGINNING: Final = 1_767_225_600.0
"""The wall clock at that time: 2026-01-01 00:00 UTC."""
_WALL: Final = ("time", "time_ns")
_CLOCKS: Final = (*_WALL, "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "sleep")
_patching = threading.RLock()


class Clock:
    """Seconds on the monotonic clocks; ``owed`` are those that plain code has slept and the loop has still to go on."""

    def __init__(self) -> None:
        self.now = UPTIME
        self.owed = 0.0
        self._charging = False

    def read(self) -> float:
        return self.now + self.owed

    def sleep(self, seconds: float) -> None:
        """What ``time.sleep`` does: a handler's own time goes on, of the loop's caller everybody's."""
        if seconds < 0:
            raise ValueError("sleep length must be non-negative")
        if self._charging:
            self.owed += seconds
        else:
            self.now += seconds

    def charge(self, work: Callable[[], T]) -> tuple[T, float]:
        """Call ``work``; its result and the seconds that it slept, for which the caller has to wait."""
        outer, self._charging = self._charging, True
        try:
            result = work()
        finally:
            slept, self.owed, self._charging = self.owed, 0.0, outer
        return result, slept


class Deadlocked(RuntimeError):
    """Nothing is ready and no timer is set: what is waited for will never come."""


class _Selector(selectors.SelectSelector):
    """Looks at what is ready now and never waits: time passes instead."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise Deadlocked("the simulation waits for something outside of it (a thread or a socket?)")
            self._clock.now += max(timeout, 0.0)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on a virtual clock."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        super().__init__(_Selector(self.clock))

    def time(self) -> float:
        return self.clock.read()

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Run it here and now: a thread would make the order of things a matter of luck."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except (Exception, SystemExit) as error:
            failed = RuntimeError(f"it raised {error!r}") if isinstance(error, StopIteration | SystemExit) else error
            future.set_exception(failed)
        return future


@contextmanager
def virtual_time(clock: Clock) -> Iterator[None]:
    """Have this thread read ``clock`` where it asks :mod:`time`; one at a time in a process."""
    with _patching:
        owner, real = threading.get_ident(), {name: getattr(time, name) for name in _CLOCKS}
        try:
            for name in _CLOCKS:
                setattr(time, name, _told(name, real[name], clock, owner))
            yield
        finally:
            for name, function in real.items():
                setattr(time, name, function)


def _told(name: str, real: Callable[..., Any], clock: Clock, owner: int) -> Callable[..., Any]:
    start = BEGINNING - UPTIME if name in _WALL else 0.0
    if name == "sleep":
        ours: Callable[..., Any] = clock.sleep
    elif name.endswith("_ns"):
        ours = lambda: round((start + clock.read()) * 1e9)  # noqa: E731
    else:
        ours = lambda: start + clock.read()  # noqa: E731

    def function(*args: Any) -> Any:
        return ours(*args) if threading.get_ident() == owner else real(*args)

    return function
