"""Loops go on, options read as what they are."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading

import pytest

from subnet import service
from subnet.errors import ChainUnreachable, ConfigError, StoreError
from subnet.health import IN_A_ROW, Health
from subnet.service import Actor, Loops, unless, until_signalled, warn_unread
from subnet.telemetry import Metrics
from subnet.threads import in_thread
from tests.waiting import until


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(service, "LONGEST_PAUSE", 0.01)


class Demanding(Actor):
    tunables = (*Actor.tunables, "rate", "loud")
    rate: float = 0.5
    loud: bool = False


def test_options_replace_tunables_by_type() -> None:
    actor = Demanding({"rate": "2", "loud": "yes", "refresh_blocks": "9"})
    assert (actor.rate, actor.loud, actor.refresh_blocks) == (2.0, True, 9)
    assert (Demanding.rate, Demanding.loud, Demanding.refresh_blocks) == (0.5, False, 5)


@pytest.mark.parametrize("options", [{"rate": "quick"}, {"loud": "perhaps"}, {"refresh_blocks": "1.5"}])
def test_a_wrong_option_names_itself_and_its_type(options: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        Demanding(options)


def test_option_gives_the_default_its_type() -> None:
    actor = Actor({"n": "3", "name": "x", "share": "0.25"})
    assert actor.option("n", 1) == 3
    assert actor.option("name", "y") == "x"
    assert actor.option("share", 1.0) == 0.25
    assert actor.option("absent", 7) == 7
    with pytest.raises(RuntimeError, match="no metagraph"):
        _ = actor.metagraph


def test_unread_options_are_named(caplog: pytest.LogCaptureFixture) -> None:
    actor = Actor({"images": "3", "imges": "4"})
    actor.option("images", 1)
    warn_unread(actor.options, "Actor")
    assert caplog.records[0].options == ["imges"]  # type: ignore[attr-defined]
    caplog.clear()
    assert dict(actor.options) == {"images": "3", "imges": "4"}
    warn_unread(actor.options, "Actor")
    assert not caplog.records


async def test_a_loop_goes_on_after_any_exception(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    seen: list[int] = []

    async def one_pass() -> float:
        seen.append(len(seen))
        if len(seen) == 1:
            raise ZeroDivisionError("mine")
        if len(seen) == 2:
            raise ChainUnreachable("away")
        if len(seen) == 3:
            raise asyncio.CancelledError  # somebody's task inside the pass was cancelled, not the loop
        return 0.001

    loops = Loops()
    loops.start("work", one_pass)
    await until(lambda: len(seen) >= 6)
    await loops.stop()
    count = len(seen)
    await asyncio.sleep(0.02)
    assert len(seen) == count
    assert loops.failures == {"work": 3}
    first, second, third = caplog.records
    assert "ZeroDivisionError" in (first.exc_text or "")
    assert second.exc_info is None
    assert second.remedy == ChainUnreachable.remedy  # type: ignore[attr-defined]
    assert third.getMessage() == "loop_failed"


async def test_health_hears_of_a_loop_that_goes_on_failing_until_a_pass_is_well() -> None:
    health, metrics, broken = Health(), Metrics(netuid=2, hotkey="5Me", role="validator"), [True]

    async def one_pass() -> float:
        if broken:
            raise StoreError("the disk is full", remedy="Make room.")
        return 0.001

    async def away() -> float:
        raise ChainUnreachable("nobody is there")

    loops = Loops(health, metrics)
    loops.start("rounds", one_pass)
    loops.start("metagraph", away)
    await until(lambda: loops.failures["metagraph"] > IN_A_ROW and health.troubles)
    assert [(one.name, one.remedy) for one in health.troubles] == [("loop rounds", "Make room.")]
    assert "the disk is full" in health.troubles[0].reason
    broken.clear()
    await until(lambda: not health.troubles)
    await loops.stop()
    assert b'subnet_loop_failures_total{hotkey="5Me",loop="rounds"' in metrics.render()[0]


async def test_pauses_grow_and_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "FIRST_PAUSE", 0.5)
    monkeypatch.setattr(service, "LONGEST_PAUSE", 10.0)
    loops = Loops()
    pauses = [loops._failed("x", i, ChainUnreachable("away")) for i in (0, 1, 2, 5, 50, 5000)]
    assert pauses[0] <= 0.5 * 1.25
    assert pauses[0] * 1.2 < pauses[2]
    assert max(pauses) <= 12.5
    assert min(pauses[3:]) >= 7.5


async def test_user_code_that_exits_ends_its_pass_and_not_the_process() -> None:
    passes = 0

    async def exits() -> float:
        nonlocal passes
        passes += 1
        if passes == 1:
            raise SystemExit(3)
        return 0.01

    loops = Loops()
    loops.start("work", exits)
    await until(lambda: passes >= 2)
    await loops.stop()
    assert loops.failures == {"work": 1}


async def test_in_thread_runs_off_the_loop_and_raises_here() -> None:
    names: list[str] = []
    await in_thread(lambda: names.append(threading.current_thread().name), "load")
    assert names == ["load"]
    with pytest.raises(ZeroDivisionError):
        await in_thread(lambda: 1 / 0, "load")
    for order in (SystemExit(3), StopIteration()):

        def ends(order: BaseException = order) -> None:
            raise order

        with pytest.raises(RuntimeError, match="load ended with"):
            await in_thread(ends, "load")


async def test_a_stop_ends_waiting_for_a_thread_that_does_not_end() -> None:
    stop, never = asyncio.Event(), threading.Event()
    asyncio.get_running_loop().call_later(0.01, stop.set)
    assert not await unless(stop, in_thread(lambda: never.wait() and None, "load"))
    never.set()


async def test_unless_gives_the_works_own_error() -> None:
    async def fails() -> None:
        raise ConfigError("mine")

    with pytest.raises(ConfigError, match="mine"):
        await unless(asyncio.Event(), fails())
    assert await unless(asyncio.Event(), asyncio.sleep(0))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_first_signal_sets_the_event_and_gives_the_handlers_back(number: int) -> None:
    before = signal.getsignal(signal.SIGTERM)
    async with until_signalled() as stop:
        assert not stop.is_set()
        os.kill(os.getpid(), number)
        await asyncio.wait_for(stop.wait(), 60)
        assert signal.getsignal(signal.SIGTERM) == before
