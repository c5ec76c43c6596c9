"""Batches: one call for many requests, and to each its own reply, error or time-out."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from subnet.admission import Limits
from subnet.auth import Caller
from subnet.errors import Busy, DeclarationError, HandlerFailed, HandlerTimeout, NotPermitted
from subnet.miners import Miner, batched
from subnet.routes import route
from subnet.synapse import Message, Synapse
from subnet.types import Hotkey
from subnet.workers import Workers

CALLER = Caller(Hotkey("5A"), 1, "sr25519")


class Square(Message):
    number: int


class Ask(Synapse[Square], timeout=30.0):
    number: int


class Hasty(Synapse[Square], timeout=0.05):
    number: int


class Squares(Miner):
    """Notes the size of each batch; the first call waits until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []
        self.entered, self.go = threading.Event(), threading.Event()

    @batched(max_size=4, max_wait=0.0)
    def square(self, requests: list[Ask], callers: list[Caller]) -> list[Square | ValueError]:
        self.sizes.append(len(requests))
        self.entered.set()
        assert self.go.wait(60)
        return [ValueError("odd") if one.number % 2 else Square(number=one.number**2) for one in requests]


async def until(condition: Any) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.001)


async def test_what_comes_while_a_call_runs_is_one_batch_up_to_its_size() -> None:
    miner = Squares()
    asked = [asyncio.ensure_future(miner.square(Ask(number=0), CALLER))]
    await until(miner.entered.is_set)
    asked += [asyncio.ensure_future(miner.square(Ask(number=i), CALLER)) for i in (2, 4, 6, 8, 10)]
    await asyncio.sleep(0)  # each has asked
    miner.go.set()
    replies = await asyncio.gather(*asked)
    assert [reply.number for reply in replies] == [0, 4, 16, 36, 64, 100]
    assert miner.sizes == [1, 4, 1]


async def test_each_gets_its_own_error() -> None:
    miner = Squares()
    miner.go.set()
    results = await asyncio.gather(*(miner.square(Ask(number=i), CALLER) for i in range(4)), return_exceptions=True)
    assert [type(result) for result in results] == [Square, ValueError, Square, ValueError]


async def test_a_full_batch_does_not_wait() -> None:
    class Patient(Miner):
        @batched(max_size=3, max_wait=3600.0)
        async def square(self, requests: list[Ask], callers: Sequence[Caller]) -> Sequence[Square]:
            return [Square(number=len(requests))] * len(requests)

    miner = Patient()
    async with asyncio.timeout(60):
        replies = await asyncio.gather(*(miner.square(Ask(number=i), CALLER) for i in range(3)))
    assert [reply.number for reply in replies] == [3, 3, 3]


async def test_one_whose_time_is_over_leaves_and_the_others_go_on() -> None:
    miner = Squares()
    first = asyncio.ensure_future(miner.square(Ask(number=0), CALLER))
    await until(miner.entered.is_set)
    leaves, stays = (asyncio.ensure_future(miner.square(Ask(number=i), CALLER)) for i in (2, 4))
    await asyncio.sleep(0)
    leaves.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaves
    miner.go.set()
    assert [(await first).number, (await stays).number] == [0, 16]
    assert miner.sizes == [1, 1]  # nothing is computed for whoever left


async def test_the_axon_s_timeout_is_each_caller_s_own() -> None:
    go = asyncio.Event()

    class Slow(Miner):
        @batched(max_size=4, max_wait=0.0)
        async def square(self, requests: list[Hasty], callers: list[Caller]) -> list[Square]:
            await go.wait()
            return [Square(number=1) for _ in requests]

    workers = Workers(Limits())
    found = route(Slow().square)
    request = Hasty(number=1)
    with pytest.raises(HandlerTimeout):
        await workers.run(found, request, (request, CALLER))
    go.set()


@pytest.mark.parametrize("kind", [NotPermitted, Busy])
async def test_a_refusal_of_the_whole_batch_is_everybody_s(kind: type[NotPermitted | Busy]) -> None:
    class Refuses(Miner):
        @batched(max_size=4, max_wait=0.0)
        def square(self, requests: list[Ask], callers: list[Caller]) -> list[Square]:
            raise kind("no")

    workers, found, request = Workers(Limits()), route(Refuses().square), Ask(number=1)
    with pytest.raises(kind):
        await workers.run(found, request, (request, CALLER))


@pytest.mark.parametrize("outcome", [[], [Square(number=1)] * 3, None, Square(number=1), SystemExit(3)])
async def test_another_number_of_replies_fails_all_and_the_next_batch_is_served(outcome: Any) -> None:
    answers: list[Any] = [outcome, [Square(number=9)]]

    class Miscounts(Miner):
        @batched(max_size=4, max_wait=0.0)
        async def square(self, requests: list[Ask], callers: list[Caller]) -> list[Square]:
            answer = answers.pop(0)
            if isinstance(answer, BaseException):
                raise answer
            return answer  # type: ignore[no-any-return]

    workers, found, request = Workers(Limits()), route(Miscounts().square), Ask(number=1)
    with pytest.raises(HandlerFailed):
        await workers.run(found, request, (request, CALLER))
    assert await workers.run(found, request, (request, CALLER)) == Square(number=9)


async def test_a_miner_is_served_by_its_batched_method_and_its_thread_ends_with_it() -> None:
    class Mortal(Miner):
        @batched(max_size=4, max_wait=0.0)
        def mortal(self, requests: list[Ask], callers: list[Caller]) -> list[Square]:
            return [Square(number=one.number**2) for one in requests]

    miner = Mortal()
    assert list(miner.handlers) == [Ask]
    assert (await miner.handlers[Ask](Ask(number=2), CALLER)).number == 4
    (thread,) = [one for one in threading.enumerate() if one.name == "batch-mortal-0"]
    assert thread.is_alive()
    del miner
    for _ in range(10):
        gc.collect()
        await asyncio.to_thread(thread.join, 1.0)
        if not thread.is_alive():
            break
    assert not thread.is_alive()


def test_what_can_t_work_is_refused_when_it_is_declared() -> None:
    with pytest.raises(DeclarationError):
        batched(max_size=0, max_wait=0.1)
    with pytest.raises(DeclarationError):
        batched(max_size=1, max_wait=float("nan"))

    def one(self: Any, request: Ask, callers: list[Caller]) -> list[Square]: ...
    def no_reply(self: Any, requests: list[Ask], callers: list[Caller]) -> list[int]: ...
    def not_many(self: Any, requests: list[Ask], callers: list[Caller]) -> Square: ...
    def no_callers(self: Any, requests: list[Ask]) -> list[Square]: ...
    def unknown(self: Any, requests: list[Nowhere], callers: list[Caller]) -> list[Square]: ...  # type: ignore[name-defined] # noqa: F821

    decorate: Any = batched(max_size=2, max_wait=0.1)
    for function in (one, no_reply, not_many, no_callers, unknown):
        with pytest.raises(DeclarationError, match=function.__name__):
            decorate(function)
