"""The engine: rounds side by side, their scores in the order in which they began; windows; sampling over restarts."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subnet.errors import ConfigError, StoreError
from subnet.scoring import averages
from subnet.store import History, Ledger
from subnet.types import Hotkey, Neuron, Uid
from subnet.validators import rounds as under_test
from subnet.validators.scorebook import Judgement
from tests.memory_chain import MemoryChain, neuron
from tests.validators.bench import ME, Asks, Bench
from tests.waiting import until

HOTKEYS = {1: Hotkey("5A"), 2: Hotkey("5B")}


class Gated(Asks):
    """Its n-th round returns what ``script[n]`` says once gate n is open."""

    def load(self) -> None:
        super().load()
        self.gates = [asyncio.Event() for _ in range(20)]
        self.script: list[Any] = [{Uid(1): 0.0}] * 20
        self.begun: list[list[str]] = []

    async def round(self, peers: Sequence[Neuron]) -> Mapping[Uid, float]:
        number = len(self.begun)
        self.begun.append([peer.hotkey for peer in peers])
        await self.gates[number].wait()
        if isinstance(self.script[number], Exception):
            raise self.script[number]
        return self.script[number]  # type: ignore[no-any-return]


async def gated(chain: MemoryChain, path: Path, options: Mapping[str, str] | None = None) -> tuple[Bench, Gated]:
    asks = Gated({"rounds_at_once": "3", **(options or {})})
    return await Bench(chain, path, asks).begin(), asks


def lanes(bench: Bench) -> list[asyncio.Task[float]]:
    return [asyncio.create_task(bench.rounds.one()) for _ in range(bench.asks.rounds_at_once)]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
async def test_rounds_count_in_the_order_in_which_they_began(
    chain: MemoryChain, tmp_path: Path, order: Sequence[int]
) -> None:
    bench, asks = await gated(chain, tmp_path / "v")
    asks.script[:3] = [{Uid(1): 1.0}, {Uid(1): 0.0}, {Uid(1): 0.5, Uid(2): 1.0}]
    running = lanes(bench)
    await until(lambda: len(asks.begun) == 3)
    for number in order:
        asks.gates[number].set()
        await asyncio.sleep(0)
    await asyncio.gather(*running)
    assert bench.values == {"5A": 0.375, "5B": 0.5} == bench.on_disk()  # ((0 + 1) / 2 + 0) / 2 + 0.5) / 2
    with History(bench.path) as seen:
        assert [seen.results(number)[0].score for number in (1, 2, 3)] == [1.0, 0.0, 0.5]
    await bench.service.stop()


async def test_a_round_that_fails_lets_the_later_ones_count(
    chain: MemoryChain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, asks = await gated(chain, tmp_path / "v")
    asks.script[:3] = [ValueError("oh"), {Uid(1): 1.0}, {Uid(2): 1.0}]
    running = lanes(bench)
    await until(lambda: len(asks.begun) == 3)
    for gate in asks.gates:
        gate.set()
    record, failed = Ledger.record, []

    def once(*arguments: Any) -> bool:
        if not failed and arguments[1].error is None:
            failed.append(arguments[1])
            raise StoreError("disk full")
        return record(*arguments)

    monkeypatch.setattr(Ledger, "record", once)
    first, second, third = await asyncio.gather(*running, return_exceptions=True)
    assert (first, third) == (0.0, 0.0)
    assert isinstance(second, StoreError)
    assert bench.values == {"5B": 0.5} == bench.on_disk()
    with History(bench.path) as seen:
        assert [(r.id, r.error) for r in seen.rounds()] == [(1, "ValueError: oh"), (2, None)]
    await bench.service.stop()


async def test_no_more_rounds_run_at_once_than_were_allowed(chain: MemoryChain, tmp_path: Path) -> None:
    bench, asks = await gated(chain, tmp_path / "v")
    await bench.service.stop()
    asks, stop = Gated({"rounds_at_once": "3"}), asyncio.Event()
    bench = Bench(chain, tmp_path / "w", asks)
    running = asyncio.create_task(bench.service.run(stop))
    await until(lambda: hasattr(asks, "begun") and len(asks.begun) == 3)
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(asks.begun) == 3
    asks.gates[0].set()
    await until(lambda: len(asks.begun) == 4)
    stop.set()
    await running


async def test_the_next_round_does_not_wait_for_the_disk(
    chain: MemoryChain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, record, loop = asyncio.Event(), Ledger.record, asyncio.get_running_loop()

    def slow(*arguments: Any) -> bool:
        asyncio.run_coroutine_threadsafe(go.wait(), loop).result(60)
        return record(*arguments)

    monkeypatch.setattr(Ledger, "record", slow)
    asks, stop = Gated({"rounds_at_once": "1"}), asyncio.Event()
    bench = Bench(chain, tmp_path / "v", asks)
    running = asyncio.create_task(bench.service.run(stop))
    await until(lambda: hasattr(asks, "begun") and len(asks.begun) == 1)
    asks.gates[0].set()
    await until(lambda: len(asks.begun) == 2)  # while the first is still being written
    asks.gates[1].set()
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(asks.begun) == 2  # but no more than that
    assert bench.values == {}
    go.set()
    await until(lambda: bench.service.scores and bench.service.scores[Hotkey("5A")].rounds == 2)
    stop.set()
    await running


async def test_after_a_failure_the_next_round_waits_a_little(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(under_test, "IDLE", 9.0)
    await bench.one(lambda _asks, _peers: 1 / 0)
    monkeypatch.setattr(under_test.asyncio, "sleep", sleep)
    await bench.one()
    assert 8.0 < slept[0] <= 9.0


async def test_a_round_that_is_cancelled_while_it_records_is_recorded_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go, record = asyncio.Event(), asyncio.Event(), Ledger.record
    loop = asyncio.get_running_loop()

    def slow(*arguments: Any) -> bool:
        loop.call_soon_threadsafe(begun.set)
        asyncio.run_coroutine_threadsafe(go.wait(), loop).result(60)
        return record(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "record", slow)
        lane = asyncio.create_task(bench.rounds.one())
        await begun.wait()
        lane.cancel()
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await lane
    await bench.one()
    assert bench.values == {"5A": 0.75, "5B": 0.375} == bench.on_disk()
    assert bench.book.next_round == 3


async def test_a_round_hears_only_its_own_queries(chain: MemoryChain, tmp_path: Path) -> None:
    class Both(Gated):
        async def round(self, peers: Sequence[Neuron]) -> Mapping[Uid, float]:
            mine = [peers[len(self.begun) % 2]]
            self.begun.append([])
            await self.gates[len(self.begun) - 1].wait()
            return await self.honest(mine)

    both = Both({"rounds_at_once": "2"})
    bench = await Bench(chain, tmp_path / "v", both).begin()
    running = lanes(bench)
    await until(lambda: len(both.begun) == 2)
    for gate in both.gates:
        gate.set()
    await asyncio.gather(*running)
    with History(bench.path) as seen:
        assert [[r.hotkey for r in seen.results(number)] for number in (1, 2)] == [["5A"], ["5B"]]
    await bench.service.stop()


async def test_starts_are_an_interval_apart_whichever_lane_they_are_in(
    chain: MemoryChain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, asks = await gated(chain, tmp_path / "v", {"interval": "7"})
    now, slept = [1000.0], []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    monkeypatch.setattr(under_test.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(under_test.asyncio, "sleep", sleep)
    asks.gates[0].set()
    asks.gates[1].set()
    await bench.rounds.one()
    await bench.rounds.one()
    turns = [0.0] * under_test.TURNS
    assert slept == [0.0, *turns, 7.0, *turns]
    await bench.service.stop()


async def test_the_next_round_asks_before_the_last_one_is_recorded(
    chain: MemoryChain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, asks = await gated(chain, tmp_path / "v", {"rounds_at_once": "1", "interval": "0"})
    begun: list[int] = []
    record = bench.rounds._book.record

    async def noting(judgement: Judgement) -> bool:
        begun.append(len(asks.begun))
        return await record(judgement)

    monkeypatch.setattr(bench.rounds._book, "record", noting)
    asks.gates[0].set()
    both = [asyncio.create_task(bench.rounds.one()) for _ in range(bench.rounds.lanes)]
    await until(lambda: bool(begun))
    asks.gates[1].set()
    await asyncio.gather(*both)
    assert begun == [2, 2]
    await bench.service.stop()


async def test_a_window_is_the_mean_of_the_last_scores_over_restarts(chain: MemoryChain, tmp_path: Path) -> None:
    given = [1.0, 0.5, 0.0, 1.0, 0.25]
    for number, score in enumerate(given):
        bench = await Bench(chain, tmp_path / "v", Asks({"window": "3"})).begin()
        await bench.one(lambda _asks, _peers, score=score: {Uid(1): score})  # type: ignore[misc]
        expected = sum(given[max(0, number - 2) : number + 1]) / 3
        assert bench.values["5A"] == pytest.approx(expected, abs=1e-15)
        await bench.one(lambda _asks, _peers: {})  # not judged: kept
        assert bench.on_disk()["5A"] == pytest.approx(expected, abs=1e-15)
        await bench.service.stop()
    with History(tmp_path / "v") as seen:
        assert seen.last_round().rule == "window 3"  # type: ignore[union-attr]
        assert seen.samples() == {"5A": given[-3:]}


async def test_a_window_that_is_switched_on_begins_with_what_there_is(chain: MemoryChain, tmp_path: Path) -> None:
    bench = await Bench(chain, tmp_path / "v").begin()
    for _ in range(4):
        await bench.one(lambda _asks, _peers: {Uid(1): 0.8})
    await bench.service.stop()
    bench = await Bench(chain, tmp_path / "v", Asks({"window": "3"})).begin()
    await bench.one(lambda _asks, _peers: {Uid(1): 0.5})
    assert bench.values["5A"] == pytest.approx(0.7)
    await bench.service.stop()


async def test_a_replaced_hotkey_begins_its_window_anew(chain: MemoryChain, tmp_path: Path) -> None:
    bench = await Bench(chain, tmp_path / "v", Asks({"window": "2"})).begin()
    for _ in range(2):
        await bench.one()
    chain.change(1, block_at_registration=105)  # left and came back, to the same axon
    await bench.service.follower.refresh()
    await bench.one()
    assert bench.values == {"5A": 0.5, "5B": 0.5}
    await bench.service.stop()
    bench = await Bench(chain, tmp_path / "v", Asks({"window": "2"})).begin()
    assert bench.asks.recent == {"5A": [1.0], "5B": [0.5, 0.5]}
    await bench.one(lambda _asks, _peers: {Uid(1): 0.5})
    assert bench.values == {"5A": 0.75, "5B": 0.5}
    await bench.service.stop()


async def test_a_sampling_turn_goes_on_after_a_restart(chain: MemoryChain, tmp_path: Path) -> None:
    chain.neurons += [neuron(f"5Extra{i}") for i in range(4)]
    asked = []
    for _ in range(6):
        bench = await Bench(chain, tmp_path / "v", Asks({"sampling": "uniform", "sample_size": "2"})).begin()
        await bench.one()
        asked += bench.answers.asked
        await bench.service.stop()
    turns = [sorted(hotkey for one in asked[i : i + 3] for hotkey in one) for i in (0, 3)]
    assert turns == [["5A", "5B", "5Extra0", "5Extra1", "5Extra2", "5Extra3"]] * 2


async def test_the_uncertain_policy_knows_how_scores_vary(bench: Bench) -> None:
    bench.answers.worth["5B"] = 0.5
    for worth in (1.0, 0.0, 1.0):
        bench.answers.worth["5A"] = worth
        await bench.one()
    score = bench.service.scores[Hotkey("5A")]
    assert (score.rounds, score.mean) == (3, pytest.approx(2 / 3))
    assert score.variance == pytest.approx(2 / 9)
    assert bench.asks.errors() == {"5A": pytest.approx(math.sqrt(2 / 27)), "5B": 0.0}


@pytest.mark.parametrize(
    "options",
    [
        {"sampling": "some"},
        {"sampling": "stale"},
        {"sample_size": "3"},
        {"rounds_at_once": "0"},
        {"window": "-1"},
        {"truth_days": "0"},
    ],
)
def test_settings_that_can_not_work_are_refused(options: Mapping[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"Asks"):
        Asks(options).check()
    Asks({"sampling": "stale", "sample_size": "3", "window": "5", "rounds_at_once": "2"}).check()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
async def test_what_a_rule_of_ones_own_makes_of_a_score_is_finite(
    chain: MemoryChain, tmp_path: Path, bad: float
) -> None:
    class Own(Asks):
        def move(self, moving: Mapping[Hotkey, float], scores: Mapping[Hotkey, float]) -> Mapping[Hotkey, float]:
            return {**moving, **scores, Hotkey("5A"): bad}

    bench = await Bench(chain, tmp_path / "v", Own()).begin()
    await bench.one()
    assert bench.values == {"5A": 0.0, "5B": 0.5} == bench.on_disk()
    with History(bench.path) as seen:
        assert seen.rounds()[0].rule == "Own.move"
    await bench.service.stop()


async def test_enormous_scores_break_nothing(bench: Bench) -> None:
    for score in (1.7e308, -1.7e308, 1.0):
        await bench.one(lambda _asks, _peers, score=score: {Uid(1): score})  # type: ignore[misc]
    assert bench.service.failed_rounds == 0
    assert math.isfinite(bench.values["5A"])
    assert math.isfinite(bench.service.scores[Hotkey("5A")].variance)


async def test_failures_by_kind_are_in_the_log(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    bench.answers.worth = {"5A": None, "5B": None}
    await bench.one()
    told = [record for record in caplog.records if record.getMessage() == "round"][-1]
    assert told.failures == {"unreachable": 2}  # type: ignore[attr-defined]


@given(
    judged=st.lists(st.dictionaries(st.sampled_from([1, 2]), st.floats(-10, 10)), max_size=8),
    order=st.randoms(use_true_random=False),
)
@settings(max_examples=6, deadline=None)
def test_any_order_of_endings_gives_the_scores_of_one_by_one(
    tmp_path_factory: pytest.TempPathFactory, judged: list[dict[int, float]], order: Any
) -> None:
    async def play() -> dict[str, float]:
        chain = MemoryChain([neuron(ME, validator_permit=True, axon=None), neuron("5A"), neuron("5B")])
        bench, asks = await gated(chain, tmp_path_factory.mktemp("rounds") / "v", {"rounds_at_once": "9"})
        asks.script[: len(judged)] = [{Uid(uid): score for uid, score in one.items()} for one in judged]
        running = [asyncio.create_task(bench.rounds.one()) for _ in judged]
        await until(lambda: len(asks.begun) == len(judged))
        ends = list(range(len(judged)))
        order.shuffle(ends)
        for number in ends:
            asks.gates[number].set()
            await asyncio.sleep(0)
        await asyncio.gather(*running)
        await bench.service.stop()
        assert bench.book.next_round == len(judged) + 1
        return bench.on_disk()

    expected: dict[Hotkey, float] = {}
    for one in judged:
        expected = averages.update(expected, {HOTKEYS[uid]: score for uid, score in one.items()}, alpha=0.5)
    assert asyncio.run(play()) == expected
