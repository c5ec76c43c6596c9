"""Daemon threads that run plain functions for an event loop.

Unlike the loop's own pool they never keep a process alive: a handler that hangs for ever ends with the
process that is told to stop.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

Job = tuple[Callable[..., Any], tuple[Any, ...], "asyncio.Future[Any]"]


class Threads:
    """``count`` threads and one queue; :meth:`submit` from the loop that waits for the results."""

    def __init__(self, count: int, name: str) -> None:
        self._count, self._name = count, name
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()

    def start(self) -> None:
        for i in range(self._count):
            threading.Thread(target=_work, args=(self._jobs,), name=f"{self._name}-{i}", daemon=True).start()

    def stop(self) -> None:
        """End the threads as they become free; nobody waits for one that hangs."""
        for _ in range(self._count):
            self._jobs.put(None)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> asyncio.Future[Any]:
        """What ``function`` returns or raises, on the running loop; SystemExit and its like as RuntimeError."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._jobs.put((function, arguments, future))
        return future


def _work(jobs: SimpleQueue[Job | None]) -> None:
    """One thread's life: job after job, until None."""
    while (job := jobs.get()) is not None:
        function, arguments, future = job
        result, failure = None, None
        try:
            result = function(*arguments)
        except Exception as error:
            failure = error
        except BaseException as error:
            failure = RuntimeError(f"the handler ended with {error!r}")
        if isinstance(failure, StopIteration):  # a future can't carry it: it would never be done
            failure = RuntimeError("the handler raised StopIteration")
        del job, function, arguments  # else they live until the next job
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            future.get_loop().call_soon_threadsafe(_settle, future, result, failure)
        del future, result, failure


def _settle(future: asyncio.Future[Any], result: Any, failure: Exception | None) -> None:
    if future.done():
        return
    if failure is None:
        future.set_result(result)
    else:
        future.set_exception(failure)


async def in_thread(work: Callable[[], Any], name: str) -> None:
    """Run ``work`` in a thread of its own and wait for it.

    Unlike the loop's own pool, the thread never keeps the process alive: a signal that arrives
    during a model's long loading ends the process at once.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def settle(error: BaseException | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(None)
        elif isinstance(error, Exception) and not isinstance(error, StopIteration):
            done.set_exception(error)
        else:  # a SystemExit (a future can't carry StopIteration either) is a failure, no order to us
            done.set_exception(RuntimeError(f"{name} ended with {error!r}"))

    def run() -> None:
        error: BaseException | None = None
        try:
            work()
        except BaseException as raised:
            error = raised
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, error)

    threading.Thread(target=run, name=name, daemon=True).start()
    await done
