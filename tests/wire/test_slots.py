"""Places and the queue before them: by priority, bounded, and none is ever lost."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subnet.errors import Busy
from subnet.slots import Slots


async def asking(slots: Slots, priority: float, served: list[float]) -> None:
    await slots.take(priority)
    served.append(priority)


async def test_the_highest_priority_goes_first_and_of_equals_the_first() -> None:
    slots, served = Slots(1, 10), list[float]()
    await slots.take()
    tasks = [asyncio.create_task(asking(slots, priority, served)) for priority in (1.0, 3.0, 2.0, 3.5)]
    await asyncio.sleep(0)
    for _ in tasks:
        slots.release()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert served == [3.5, 3.0, 2.0, 1.0]


async def test_a_full_queue_refuses_the_lowest() -> None:
    slots, served = Slots(1, 2), list[float]()
    await slots.take()
    low, high = (asyncio.create_task(asking(slots, priority, served)) for priority in (1.0, 3.0))
    await asyncio.sleep(0)
    with pytest.raises(Busy):
        await slots.take(1.0)  # no higher than the lowest that waits
    middle = asyncio.create_task(asking(slots, 2.0, served))
    with pytest.raises(Busy):
        await low
    slots.release()
    slots.release()
    await asyncio.gather(middle, high)
    assert served == [3.0, 2.0]


async def test_without_a_queue_there_is_no_waiting() -> None:
    slots = Slots(1, 0)
    await slots.take()
    with pytest.raises(Busy):
        await slots.take(1e30)
    slots.release()
    await slots.take()


@given(st.lists(st.tuples(st.sampled_from(["ask", "leave", "release"]), st.integers(0, 5)), max_size=60))
async def test_no_place_is_lost_or_made(steps: list[tuple[str, int]]) -> None:
    slots = Slots(2, 3)
    held, waiting = 0, list[asyncio.Task[None]]()

    async def settle() -> None:
        nonlocal held, waiting
        for _ in range(3):
            await asyncio.sleep(0)
        done = [task for task in waiting if task.done()]
        waiting = [task for task in waiting if not task.done()]
        held += sum(not task.cancelled() and task.exception() is None for task in done)

    for step, number in steps:
        if step == "ask":
            waiting.append(asyncio.create_task(slots.take(float(number))))
        elif step == "leave" and waiting:
            waiting[number % len(waiting)].cancel()
        elif step == "release" and held:
            held -= 1
            slots.release()
            if number == 0 and waiting:  # whoever was just given the place leaves before it knows
                for task in waiting:
                    task.cancel()
        await settle()
        assert held <= 2
        assert slots.waiting == len(waiting) <= 3
        assert held == 2 or not waiting  # nobody waits while a place is free
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    for _ in range(held):
        slots.release()
    await asyncio.gather(slots.take(), slots.take())  # exactly two are free
    third = asyncio.create_task(slots.take())
    await asyncio.sleep(0)
    assert not third.done()
    third.cancel()
