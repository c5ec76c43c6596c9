"""Who is judged by a user's request: everybody who was asked, by what came of it, whether the user waited or not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from subnet import Neuron, Ok
from subnet.dendrite import Failure
from subnet.errors import Busy, HandlerTimeout
from subnet.race import Race
from subnet.results import Reason
from subnet.validators import organic, stragglers
from subnet.validators.organic import Organic
from subnet.validators.places import MOST_EACH
from tests.validators.organic_bench import Count, Double, Echo, Judge, Place, place
from tests.waiting import leap, until


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(organic, "TICK", 0.005)
    monkeypatch.setattr(Judge, "interval", 0.005)


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Place]:
    async with place(tmp_path / "v.sqlite") as made:
        made.judge.organic_hedge = 0.01
        yield made


def told(here: Place) -> dict[int, Ok[Any] | Failure]:
    """What was judged, by uid."""
    return {int(result.uid): result for _, result in here.judge.seen}


def following(here: Place) -> int:
    assert here.service.gateway is not None
    return len(here.service.gateway._organic._stragglers)


async def overtaken(here: Place) -> None:
    """A user's request to which the first miner has given nothing when the second has replied."""
    here.speakers[0].gate.clear()
    assert (await here.post("Echo", {"text": "x"}))[:2] == (200, {"text": "1: x"})
    assert following(here) == 1


async def test_a_miner_that_hangs_is_a_failure_once_its_time_is_over(here: Place) -> None:
    await overtaken(here)
    await here.judged()
    assert list(told(here)) == [2]  # nothing is held against it yet
    with leap(31.0):
        await until(lambda: 1 in told(here))
    failure = told(here)[1]
    assert isinstance(failure, Failure)
    assert failure.reason is Reason.TIMEOUT
    await here.judged(2)
    assert (here.value(0), here.value(1)) == (0.0, 0.5)
    assert following(here) == 0
    here.speakers[0].gate.set()


async def test_a_miner_that_was_second_but_in_time_is_judged_by_its_reply(here: Place) -> None:
    await overtaken(here)
    here.speakers[0].gate.set()
    await here.judged(2)
    assert isinstance(told(here)[1], Ok)
    assert (here.value(0), here.value(1)) == (0.5, 0.5)


async def test_a_miner_that_failed_before_another_replied_is_judged_too(here: Place) -> None:
    here.judge.organic_hedge = 1e6
    here.speakers[0].mood = "broken"
    assert (await here.post("Echo", {"text": "x"}))[:2] == (200, {"text": "1: x"})
    await here.judged(2)
    assert (here.value(0), here.value(1)) == (0.0, 0.5)


async def test_all_that_failed_are_judged_once_each(here: Place) -> None:
    for speaker in here.speakers:
        speaker.mood = "broken"
    assert (await here.post("Echo", {"text": "x"}))[0] == 502
    await here.judged(2)
    assert sorted(int(result.uid) for _, result in here.judge.seen) == [1, 2]


@pytest.mark.parametrize("name", ["Echo", "Spend"])
async def test_who_has_not_answered_when_the_users_time_is_over_is_a_failure(here: Place, name: str) -> None:
    for speaker in here.speakers:
        speaker.gate.clear()
    asked = asyncio.create_task(here.post(name, {"text": "x"}))
    await until(lambda: here.speakers[0].asked)
    with leap(31.0):
        await until(asked.done)
        status, reply, _ = asked.result()
        assert (status, reply["code"]) == (504, "wire.handler-timeout")
        await until(lambda: 1 in told(here))
    failure = told(here)[1]
    assert isinstance(failure, Failure)
    assert failure.reason is Reason.TIMEOUT


async def test_who_was_asked_just_before_another_replied_is_let_go(here: Place) -> None:
    made = Organic(here.judge, here.service._book, lambda: here.service.follower.snapshot)  # type: ignore[arg-type]
    peers, loop = here.service.follower.snapshot.neurons[1:3], asyncio.get_running_loop()
    late, early = (loop.create_task(asyncio.Event().wait()) for _ in range(2))
    race: Any = Race(lambda _: asyncio.sleep(0), [], hedge=None)  # type: ignore[arg-type, return-value]
    race.running = {early: (peers[0], 10.0), late: (peers[1], 10.5)}
    await made._let_run(race, Echo(text="x"), 10, 10.0)
    assert late.cancelled()
    assert len(made._stragglers) == 1
    await made.close()
    assert early.cancelled()
    assert made.waiting == 0


async def test_who_was_never_asked_for_want_of_a_connection_is_not_judged(here: Place) -> None:
    made = Organic(here.judge, here.service._book, lambda: here.service.follower.snapshot)  # type: ignore[arg-type]
    peer = here.service.follower.snapshot.neurons[1]
    made._note(Echo(text="x"), Failure(peer.uid, peer.hotkey, Reason.TIMEOUT, "dendrite.timeout", "", 0.0), 9)
    assert made.waiting == 0
    made._note(Echo(text="x"), Failure(peer.uid, peer.hotkey, Reason.TIMEOUT, "dendrite.timeout", "", 5.0), 9)
    assert made.waiting == 1


@pytest.mark.parametrize(("bound", "most"), [("MOST", 1), ("MOST_EACH", 1), ("MOST_BYTES", 20)])
async def test_those_that_are_followed_are_bounded(
    here: Place, monkeypatch: pytest.MonkeyPatch, bound: str, most: int
) -> None:
    monkeypatch.setattr(stragglers, bound, most)
    await overtaken(here)
    await overtaken(here)
    assert here.speakers[0].asked == 2
    here.speakers[0].gate.set()
    await here.judged(3)
    assert [int(result.uid) for _, result in here.judge.seen].count(1) == 1


async def test_a_validator_that_stops_waits_for_none_of_them(here: Place) -> None:
    await overtaken(here)
    await here.service.stop()
    assert [task for task in asyncio.all_tasks() if task.get_name() == "organic_straggler"] == []
    here.speakers[0].gate.set()


async def test_a_stream_that_the_user_leaves_is_judged_by_what_came(here: Place) -> None:
    here.speakers[0].mood = "stalls"
    async with here.http.post(f"{here.url}/v1/Count", json={"to": 9}) as reply:
        assert [json.loads(await reply.content.readline())["message"]["text"] for _ in range(2)] == ["0", "1"]
        reply.close()
    await asyncio.wait_for(here.speakers[0].left.wait(), 60)
    await here.judged()
    result = told(here)[1]
    assert isinstance(result, Ok)
    assert [message.text for message in result.value] == ["0", "1"]
    assert (result.partial, result.receipt) == (True, None)
    assert result.elapsed > 0


@pytest.mark.parametrize("comes", [True, False])
async def test_a_stream_that_the_user_leaves_before_it_began_is_followed_until_it_does(
    here: Place, *, comes: bool
) -> None:
    here.speakers[0].gate.clear()
    asked = asyncio.create_task(here.post("Count", {"to": 9}))
    await until(lambda: here.speakers[0].asked)
    asked.cancel()
    await until(lambda: following(here))
    if comes:
        here.speakers[0].gate.set()
        await here.judged()
        result = told(here)[1]
        assert isinstance(result, Ok)
        assert ([message.text for message in result.value], result.partial) == (["0"], True)
        await asyncio.wait_for(here.speakers[0].left.wait(), 60)
    else:
        with leap(31.0):
            await here.judged()
        failure = told(here)[1]
        assert isinstance(failure, Failure)
        assert failure.reason is Reason.TIMEOUT
        here.speakers[0].gate.set()


async def test_a_user_who_uses_up_a_streams_time_costs_the_miner_nothing(
    here: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: seconds[0])
    made = Organic(here.judge, here.service._book, lambda: here.service.follower.snapshot)  # type: ignore[arg-type]
    for held, judged in ((4.0, Ok), (2.0, Failure)):
        here.speakers[0].mood, seconds[0] = "stalls", 0.0
        async with made.stream(Count(to=9), size=10) as messages:
            await anext(messages)
            seconds[0] = held  # until the user takes the next
            await anext(messages)
            asyncio.get_running_loop().call_soon(seconds.__setitem__, 0, 30.0)  # while the miner is waited for
            with leap(31.0), pytest.raises(HandlerTimeout, match="uid 1: timeout"):
                await anext(messages)
        result = made._waiting.pop().result
        assert isinstance(result, judged), held
        assert not isinstance(result, Ok) or result.partial


async def test_rounds_hear_of_those_that_failed_in_a_race(here: Place) -> None:
    from subnet.validators.journal import begin_journal

    here.speakers[0].mood = "broken"
    peers: Sequence[Neuron] = here.service.follower.snapshot.neurons[1:3]
    journal = begin_journal()
    result = await here.judge.first(peers, Echo(text="x"), hedge=1e6)
    assert isinstance(result, Ok)
    assert [(int(heard.uid), heard.answered) for heard in journal.values()] == [(1, False), (2, True)]


async def held_streams(here: Place, count: int) -> list[asyncio.Task[Any]]:
    """So many streams of users that the first miner has not begun to answer."""
    here.judge.order = (1,)
    here.speakers[0].gate.clear()
    users = [asyncio.create_task(here.post("Count", {"to": 1})) for _ in range(count)]
    await until(lambda: here.speakers[0].asked == MOST_EACH)
    return users


async def test_streams_that_users_hold_keep_no_round_from_the_miner(here: Place) -> None:
    users = await held_streams(here, 20)
    peer = here.service.follower.snapshot.neurons[1]
    (result,) = await here.judge.query([peer], Double(values=np.arange(2)))
    assert isinstance(result, Ok)
    assert here.speakers[0].asked == MOST_EACH
    here.speakers[0].gate.set()
    assert [status for status, *_ in await asyncio.gather(*users)] == [200] * 20


async def test_where_a_miner_has_no_place_another_is_asked(here: Place) -> None:
    users = await held_streams(here, MOST_EACH)
    here.judge.order = (1, 2)
    assert (await here.post("Spend", {"text": "x"}))[:2] == (200, {"text": "1: x"})
    here.speakers[0].gate.set()
    await asyncio.gather(*users)


async def test_a_miner_is_not_asked_for_who_left_before_there_was_a_place(here: Place) -> None:
    users = await held_streams(here, MOST_EACH)
    made = here.service.gateway._organic  # type: ignore[union-attr]

    async def wait() -> None:
        async with made.stream(Count(to=1), size=10):
            raise AssertionError("it has no place")

    last = asyncio.create_task(wait())
    for _ in range(5):
        await asyncio.sleep(0)
    last.cancel()
    await asyncio.gather(last, return_exceptions=True)
    assert following(here) == 0
    here.speakers[0].gate.set()
    await asyncio.gather(*users)
    assert here.speakers[0].asked == MOST_EACH


async def test_a_stream_is_busy_where_no_place_came_free_in_time(here: Place) -> None:
    here.judge.order = (1,)
    made = here.service.gateway._organic  # type: ignore[union-attr]
    peer = here.service.follower.snapshot.neurons[1]

    async def wait() -> None:
        async with made.stream(Count(to=1), size=10):
            raise AssertionError("it has no place")

    async with AsyncExitStack() as stack:
        for _ in range(MOST_EACH):
            await stack.enter_async_context(made._places.one(peer))
        last = asyncio.create_task(wait())
        for _ in range(5):
            await asyncio.sleep(0)
        with leap(31.0), pytest.raises(Busy, match="no place"):
            await last
    assert not made._places.are_taken(peer)
    assert here.speakers[0].asked == 0
