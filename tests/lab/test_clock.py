"""Virtual time: an hour is over at once, in one thread only, and what waits for nothing is told."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine
from typing import Any

import pytest

from subnet.lab.clock import BEGINNING, UPTIME, Clock, Deadlocked, VirtualLoop, virtual_time


def play(main: Coroutine[Any, Any, Any], clock: Clock | None = None) -> Any:
    clock = clock or Clock()
    with virtual_time(clock), asyncio.Runner(loop_factory=lambda: VirtualLoop(clock)) as runner:
        return runner.run(main)


def test_an_hour_is_over_at_once_by_every_clock() -> None:
    async def main() -> tuple[float, ...]:
        before = (time.time(), time.monotonic(), time.perf_counter(), time.time_ns())
        await asyncio.sleep(3600)
        after = (time.time(), time.monotonic(), time.perf_counter(), time.time_ns())
        assert before[0] == BEGINNING
        assert before[1] == UPTIME == asyncio.get_running_loop().time() - 3600
        return tuple(b - a for a, b in zip(before, after, strict=True))

    real = time.time
    assert play(main()) == (3600, 3600, 3600, 3600 * 10**9)
    assert time.time is real


def test_deadlines_come_in_order() -> None:
    async def late(seconds: float, order: list[float]) -> None:
        await asyncio.sleep(seconds)
        order.append(seconds)

    async def main() -> list[float]:
        order: list[float] = []
        tasks = [asyncio.ensure_future(late(s, order)) for s in (5, 1, 3, 100)]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(50):
                await asyncio.gather(*tasks)
        assert time.monotonic() == UPTIME + 50
        return order

    assert play(main()) == [1, 3, 5]


def test_other_threads_keep_the_real_time() -> None:
    seen: list[float] = []
    go, done = threading.Event(), threading.Event()

    def look() -> None:
        go.wait(60)
        seen.append(time.time())
        done.set()

    thread = threading.Thread(target=look)
    thread.start()

    async def main() -> float:
        await asyncio.sleep(10)
        go.set()
        done.wait(60)
        return time.time()

    assert play(main()) == BEGINNING + 10
    thread.join()
    assert abs(seen[0] - time.time()) < 3600


def test_a_handler_that_sleeps_is_charged_and_a_coroutine_that_does_stops_everybody() -> None:
    clock = Clock()

    def work() -> float:
        time.sleep(2.5)
        return time.monotonic()

    async def main() -> None:
        assert clock.charge(work) == (UPTIME + 2.5, 2.5)
        assert time.monotonic() == UPTIME
        time.sleep(4)  # noqa: ASYNC251
        assert time.monotonic() == UPTIME + 4
        with pytest.raises(ValueError, match="non-negative"):
            time.sleep(-1)  # noqa: ASYNC251

    play(main(), clock)


def test_threads_of_the_loop_are_this_thread() -> None:
    def fail() -> None:
        raise KeyError("x")

    async def main() -> None:
        assert await asyncio.to_thread(threading.get_ident) == threading.get_ident()
        with pytest.raises(KeyError):
            await asyncio.to_thread(fail)
        with pytest.raises(RuntimeError, match="StopIteration"):
            await asyncio.to_thread(next, iter(()))

    play(main())


def test_what_waits_for_nothing_is_told() -> None:
    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    clock = Clock()
    loop = VirtualLoop(clock)
    with pytest.raises(Deadlocked, match="something outside"):
        loop.run_until_complete(main())
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
