"""The simulated wire: the real dendrite's results, with every reason, by the virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from subnet.dendrite import Failure, Ok, Reason
from subnet.errors import DeclarationError, StreamFailed
from subnet.lab.clock import Clock, VirtualLoop, virtual_time
from subnet.lab.live import LiveScenario, Recipe
from subnet.lab.live_actors import LiveActor, PoisonedReplies, Slow
from subnet.lab.live_run import _Subnet
from subnet.miners import Miner
from tests.lab.bench_live import Broken, Count, Double, Doubler, Fair, Guesser

REQUEST = Double(numbers=np.arange(64.0))


def asked(tmp_path: Any, ask: Callable[[_Subnet], Any], *miners: type[Miner] | Recipe, **settings: Any) -> Any:
    """What ``ask`` gives in a subnet of these miners, each in the seat of its number."""
    recipes = [one if isinstance(one, Recipe) else Recipe(one) for one in miners]
    scenario = LiveScenario(Recipe(Fair), recipes, miners=settings.pop("seats", len(recipes)), **settings)
    clock = Clock()
    with virtual_time(clock), asyncio.Runner(loop_factory=lambda: VirtualLoop(clock)) as runner:
        world = _Subnet(scenario, 0, clock, tmp_path)
        for judge in world.judges:
            judge.validator.use(judge.dendrite)
        try:
            return runner.run(ask(world))
        finally:
            world.close()


async def everybody(world: _Subnet) -> list[Any]:
    judge = world.judges[0]
    peers = judge.validator.sample(world.snapshot)
    return await judge.validator.query(list(reversed(peers)), REQUEST)


def test_every_reason_in_the_order_of_uid(tmp_path: Any) -> None:
    results = asked(
        tmp_path,
        everybody,
        Doubler,
        Recipe(Doubler, {"short": "yes"}),
        Recipe(Doubler, {"sleep": "1.5"}),
        Recipe(Doubler, {"sleep": "60"}),
        Broken,
        latency=0.0,
    )
    assert [r.uid for r in results] == [3, 4, 5, 6, 7]
    good, short, slow, late, broken = results
    assert isinstance(good, Ok)
    assert (good.value.numbers == 2 * np.arange(64)).all()
    assert good.elapsed == 0
    assert good.receipt is None
    assert isinstance(short, Failure)
    assert (short.reason, short.code) == (Reason.REFUSED, "wire.handler-failed")  # its own axon sees that
    assert isinstance(slow, Ok)
    assert slow.elapsed == pytest.approx(1.5)
    assert (late.reason, late.elapsed) == (Reason.TIMEOUT, pytest.approx(2.0))
    assert broken.reason == Reason.REFUSED


@pytest.mark.parametrize(
    ("how", "code"), [("short", "wire.bad-tensor"), ("reshaped", "wire.bad-tensor"), ("garbage", None)]
)
def test_63_of_64_is_a_bad_reply(tmp_path: Any, how: Any, code: str | None) -> None:
    attack = PoisonedReplies(miners=1, how=how)
    good, bad = asked(tmp_path, everybody, Doubler, seats=2, attacks=[attack])
    assert isinstance(good, Ok)
    assert bad.reason == Reason.BAD_REPLY
    assert code in (bad.code, None)


def test_nan_is_a_float_and_arrives(tmp_path: Any) -> None:
    _, nan = asked(tmp_path, everybody, Doubler, seats=2, attacks=[PoisonedReplies(miners=1, how="nan")])
    assert np.isnan(nan.value.numbers).all()


def test_receipts_are_real(tmp_path: Any) -> None:
    (result,) = asked(tmp_path, everybody, Doubler, receipts=True)
    result.receipt.verify()
    assert result.receipt.receiver == result.hotkey


def test_results_come_as_they_are_there_and_a_hedge_wins(tmp_path: Any) -> None:
    async def ask(world: _Subnet) -> list[int]:
        dendrite, peers = world.judges[0].dendrite, world.judges[0].validator.sample(world.snapshot)
        order = []
        async with dendrite.as_completed(peers, REQUEST) as results:
            async for result in results:
                order.append(int(result.uid))
        with pytest.raises(DeclarationError, match="not declared idempotent"):
            await dendrite.first(peers, REQUEST, hedge=0.1)
        return order

    slow, quick = Recipe(Doubler, {"sleep": "1"}), Recipe(Doubler)
    assert asked(tmp_path, ask, slow, quick, latency=0.0) == [4, 3]


def test_streams_come_by_the_clock_with_one_receipt(tmp_path: Any) -> None:
    async def ask(world: _Subnet) -> tuple[list[float], float, Any]:
        validator, (peer,) = world.judges[0].validator, world.judges[0].validator.sample(world.snapshot)
        async with validator.stream(peer, Count(to=4)) as counted:
            got = [float(message.numbers[0]) async for message in counted]
        async with validator.stream(peer, Count(to=4)) as left:
            await anext(left)
        return got, counted.elapsed, counted.receipt

    got, elapsed, receipt = asked(tmp_path, ask, Doubler, latency=0.0, receipts=True)
    assert got == [0, 1, 2, 3]
    assert elapsed == pytest.approx(0.8)
    receipt.verify()


def test_a_stream_that_stalls_or_is_not_there_fails(tmp_path: Any) -> None:
    async def ask(world: _Subnet) -> list[str]:
        validator, reasons = world.judges[0].validator, []
        for peer in validator.sample(world.snapshot):
            try:
                async with validator.stream(peer, Count(to=3)) as counted:
                    reasons += [f"got {len(message.numbers)}" async for message in counted]
            except StreamFailed as failed:
                reasons.append(str(failed.failure.reason))
        return reasons

    slow = Slow(miners=1, seconds=1.5)
    assert asked(tmp_path, ask, Guesser, Doubler, seats=2, attacks=[slow]) == ["refused", "timeout"]


def test_who_may_not_ask_is_refused(tmp_path: Any) -> None:
    async def ask(world: _Subnet) -> Any:
        world.snapshot.validator_permit.flags.writeable = True
        world.snapshot.validator_permit[0] = False
        world.snapshot.__dict__.pop("neurons", None)
        world.snapshot.stake.flags.writeable = True
        world.snapshot.stake[0] = 0
        world.miners[0].miner.attach(world.hotkeys[3], world.snapshot)
        return await everybody(world)

    (result,) = asked(tmp_path, ask, Doubler)
    assert (result.reason, result.code) == (Reason.REFUSED, "wire.not-permitted")


def test_who_is_away_often_is_left_alone(tmp_path: Any) -> None:
    class Away(LiveActor):
        async def reply(self, asked: Any) -> Any:
            raise ConnectionError("away")

    async def ask(world: _Subnet) -> list[str]:
        return [(await everybody(world))[1].code for _ in range(6)]

    codes = asked(tmp_path, ask, Doubler, seats=2, attacks=[Away(miners=1)])
    assert codes == ["dendrite.unreachable"] * 5 + ["dendrite.circuit-open"]
