"""A race of peers: who is asked when, and that nobody's result is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from subnet import Message, Neuron, Ok
from subnet.race import Race, cancel
from subnet.results import Failure, Reason
from subnet.types import Hotkey, Uid
from tests.waiting import leap, until

PEERS = [Neuron(Uid(uid), Hotkey(f"5{uid}")) for uid in range(3)]


class Said(Message):
    pass


class Track:
    """Peers that answer when a test says so."""

    def __init__(self, peers: Sequence[Neuron] = PEERS) -> None:
        self.asked: list[int] = []
        self.answers = [asyncio.get_running_loop().create_future() for _ in peers]

    async def ask(self, peer: Neuron) -> Ok[Said] | Failure:
        self.asked.append(int(peer.uid))
        answer: Ok[Said] | Failure = await self.answers[peer.uid]
        return answer

    def good(self, uid: int) -> None:
        self.answers[uid].set_result(Ok(PEERS[uid].uid, PEERS[uid].hotkey, Said(), 1.0, None))

    def bad(self, uid: int, reason: Reason = Reason.REFUSED) -> None:
        self.answers[uid].set_result(Failure(PEERS[uid].uid, PEERS[uid].hotkey, reason, "", "", 1.0))


def uids(results: Sequence[Ok[Said] | Failure]) -> list[int]:
    return [int(result.uid) for result in results]


async def test_failures_are_kept_and_who_runs_still_is_told() -> None:
    track = Track()
    race = Race(track.ask, PEERS, hedge=0.001)
    running = asyncio.create_task(race.run())
    await until(lambda: len(track.asked) == 3)
    track.bad(1)
    await until(lambda: len(race.running) == 2)
    track.good(2)
    result = await running
    assert isinstance(result, Ok)
    assert (result.uid, uids(race.others)) == (2, [1])
    assert [peer.uid for peer, _ in race.running.values()] == [0]
    await cancel(race.running)


async def test_of_two_that_come_at_once_the_one_that_was_asked_first_wins() -> None:
    track = Track()
    race = Race(track.ask, PEERS, hedge=0.001)
    running = asyncio.create_task(race.run())
    await until(lambda: len(track.asked) == 3)
    for uid in (2, 1):
        track.good(uid)
    track.bad(0)
    result = await running
    assert isinstance(result, Ok)
    assert (result.uid, uids(race.others), race.running) == (1, [0, 2], {})


async def test_if_all_fail_the_last_failure_is_the_result_and_the_others_are_told() -> None:
    track = Track()
    for uid in range(3):
        track.bad(uid)
    race = Race(track.ask, PEERS, hedge=None)
    result = await race.run()
    assert isinstance(result, Failure)
    assert (result.uid, uids(race.others), track.asked) == (2, [0, 1], [0, 1, 2])


async def test_after_a_failure_that_may_have_had_an_effect_nobody_else_is_asked() -> None:
    track = Track()
    track.bad(0, Reason.BUSY)
    track.bad(1)
    race = Race(track.ask, PEERS, hedge=None, again=lambda failure: failure.reason is Reason.BUSY)
    result = await race.run()
    assert isinstance(result, Failure)
    assert (result.uid, uids(race.others), track.asked) == (1, [0], [0, 1])


async def test_it_ends_at_its_time_with_what_is_known() -> None:
    track = Track()
    track.bad(0)
    race = Race(track.ask, PEERS[:2], hedge=None)
    running = asyncio.create_task(race.run(until=asyncio.get_running_loop().time() + 100.0))
    await until(lambda: len(track.asked) == 2)
    with leap(101.0):
        await until(running.done)
    assert (running.result(), uids(race.others)) == (None, [0])
    assert len(race.running) == 1
    await cancel(race.running)


async def test_cancelled_or_failing_it_leaves_nobody_running() -> None:
    track = Track()
    race = Race(track.ask, PEERS, hedge=0.001)
    running = asyncio.create_task(race.run())
    await until(lambda: len(track.asked) == 3)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert all(task.cancelled() for task in race.running)
    track = Track()
    race = Race(track.ask, PEERS, hedge=0.001)
    running = asyncio.create_task(race.run())
    await until(lambda: len(track.asked) == 3)
    track.answers[1].set_exception(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        await running
    assert all(task.done() for task in race.running)
