"""The round loop: it survives everything, moves the right scores, and has them on disk before in memory."""

from __future__ import annotations

import asyncio
import logging
import math
import sqlite3
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from subnet.errors import MissingExtra, NotRegistered, StoreError
from subnet.keys import load_key
from subnet.store import History, Ledger
from subnet.types import Hotkey, Neuron, Uid
from subnet.validators import ValidatorService, commits
from tests.memory_chain import NETUID, MemoryChain, neuron
from tests.validators.bench import KEY, Answers, Asks, Bench, Trick
from tests.waiting import until


def events(caplog: pytest.LogCaptureFixture, name: str) -> list[Any]:
    return [record for record in caplog.records if record.getMessage() == name]


async def test_rounds_move_scores_and_are_on_disk(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    await bench.one()
    assert bench.values == {"5A": 0.5, "5B": 0.25} == bench.on_disk()
    await bench.one()
    assert bench.values == {"5A": 0.75, "5B": 0.375} == bench.on_disk()
    with History(bench.path) as seen:
        first = seen.rounds()[0]
        assert (first.id, first.block, first.asked, first.answered, first.error) == (1, 100, 2, 2, None)
        a, b = seen.results(2)
        assert (a.uid, a.score, a.moving, a.reason, a.elapsed) == (1, 1.0, 0.75, None, 0.2)
        assert (b.uid, b.score, b.moving) == (2, 0.5, 0.375)
        assert seen.scores()[Hotkey("5A")].rounds == 2
    told = events(caplog, "round")[-1]
    assert (told.round, told.block, told.asked, told.answered, told.scored) == (2, 100, 2, 2, 2)
    assert bench.answers.asked == [["5A", "5B"]] * 2
    text = bench.metrics.render()[0].decode()
    assert 'subnet_rounds_total{hotkey="' in text
    assert 'peer="5A"' in text


async def test_a_failure_is_recorded_with_its_reason(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    bench.answers.worth["5B"] = None
    await bench.one()
    assert events(caplog, "round")[-1].failures == {"unreachable": 1}
    with History(bench.path) as seen:
        result = seen.results(1)[1]
        assert (result.hotkey, result.score, result.reason) == ("5B", 0.0, "unreachable")
        assert seen.rounds()[0].answered == 1


async def test_a_miner_that_was_not_judged_keeps_its_score(bench: Bench) -> None:
    await bench.one()
    before = bench.service.scores[Hotkey("5B")]
    await bench.one(lambda _asks, _peers: {Uid(1): 1.0})
    assert bench.service.scores[Hotkey("5B")] is before
    assert bench.on_disk() == {"5A": 0.75, "5B": 0.25}


async def test_a_replaced_hotkey_starts_anew_even_on_the_same_axon(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await bench.one()
    bench.chain.change(2, hotkey=Hotkey("5New"), block_at_registration=101)
    await bench.service.follower.refresh()
    bench.answers.worth["5New"] = 1.0
    await bench.one()
    assert bench.values == {"5A": 0.75, "5New": 0.5} == bench.on_disk()
    assert [record.hotkey for record in events(caplog, "score_dropped")] == ["5B"]


async def test_a_hotkey_that_left_and_came_back_starts_anew(bench: Bench) -> None:
    await bench.one()
    bench.chain.change(2, block_at_registration=105)
    await bench.service.follower.refresh()
    await bench.one()
    assert bench.values == {"5A": 0.75, "5B": 0.25} == bench.on_disk()
    assert bench.service.scores[Hotkey("5B")].rounds == 1


async def test_results_for_a_hotkey_that_left_during_the_round_are_ignored(bench: Bench) -> None:
    async def meanwhile(asks: Asks, peers: Sequence[Neuron]) -> Mapping[Uid, float]:
        scores = await asks.honest(peers)
        bench.chain.change(2, hotkey=Hotkey("5New"), block_at_registration=101)
        bench.chain.change(1, block_at_registration=101)
        await bench.service.follower.refresh()
        return scores

    await bench.one(meanwhile)
    assert bench.values == {} == bench.on_disk()
    with History(bench.path) as seen:
        assert [(r.hotkey, r.score, r.moving) for r in seen.results(1)] == [
            ("5A", 1.0, None),
            ("5B", 0.5, None),
        ]


async def test_a_score_follows_its_hotkey_to_another_uid(bench: Bench) -> None:
    await bench.one()
    bench.chain.neurons.insert(1, neuron("5Extra"))
    await bench.service.follower.refresh()
    await bench.one(lambda _asks, _peers: {})
    assert bench.service.scores[Hotkey("5A")].uid == 2
    assert bench.values == {"5A": 0.5, "5B": 0.25}


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
async def test_nan_and_inf_count_as_zero(bench: Bench, bad: float, caplog: pytest.LogCaptureFixture) -> None:
    await bench.one()
    await bench.one(lambda _asks, _peers: {Uid(1): bad})
    assert bench.values == {"5A": 0.25, "5B": 0.25} == bench.on_disk()
    assert events(caplog, "score_ignored")[0].uid == 1


async def test_scores_for_nobody_and_for_oneself_are_ignored(bench: Bench) -> None:
    await bench.one(lambda _asks, _peers: {Uid(0): 1.0, Uid(99): 1.0, Uid(-1): 1.0, Uid(1): 1.0})
    assert bench.values == {"5A": 0.5}


async def _cancels_itself(asks: Asks, peers: Sequence[Neuron]) -> Any:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(1)


async def _awaits_a_cancelled_task(asks: Asks, peers: Sequence[Neuron]) -> Any:
    task = asyncio.create_task(asyncio.sleep(10))
    task.cancel()
    await task


async def _exits(asks: Asks, peers: Sequence[Neuron]) -> Any:
    sys.exit(3)


@pytest.mark.parametrize(
    ("trick", "error"),
    [
        (lambda _asks, _peers: 1 / 0, "ZeroDivisionError"),
        (lambda _asks, _peers: [1.0], "TypeError: round() returned list"),
        (lambda _asks, _peers: None, "TypeError"),
        (lambda _asks, _peers: {Uid(1): "good"}, "ValueError"),
        (lambda _asks, _peers: {"5A": 1.0}, "ValueError"),
        (_cancels_itself, "CancelledError"),
        (_awaits_a_cancelled_task, "CancelledError"),
        (_exits, "SystemExit: 3"),
    ],
)
async def test_a_round_that_fails_is_recorded_counted_and_moves_nothing(
    bench: Bench, trick: Trick, error: str, caplog: pytest.LogCaptureFixture
) -> None:
    await bench.one()
    before = bench.values
    await bench.one(trick)
    assert bench.values == before == bench.on_disk()
    assert bench.service.failed_rounds == 1
    with History(bench.path) as seen:
        assert (seen.rounds()[1].error or "").startswith(error)
    told = events(caplog, "round_failed")
    assert len(told) == 1
    assert told[0].exc_info is not None
    await bench.one()
    assert bench.values["5A"] == 0.75
    assert 'outcome="failed"' in bench.metrics.render()[0].decode()


async def test_what_a_failed_round_heard_is_kept(bench: Bench) -> None:
    async def late(asks: Asks, peers: Sequence[Neuron]) -> Any:
        await asks.honest(peers)
        raise ValueError("after asking")

    await bench.one(late)
    with History(bench.path) as seen:
        assert (seen.rounds()[0].asked, seen.rounds()[0].answered) == (2, 2)
        assert [r.score for r in seen.results(1)] == [None, None]


async def test_a_round_past_its_deadline_is_cancelled(bench: Bench) -> None:
    ended: list[str] = []

    async def hangs(asks: Asks, peers: Sequence[Neuron]) -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    bench.asks.deadline = 0.02
    await bench.one(hangs)
    assert ended == ["cancelled"]
    with History(bench.path) as seen:
        assert "took more than 0.02 s" in (seen.rounds()[0].error or "")


async def test_a_round_that_will_not_end_does_not_hold_up_the_next(bench: Bench) -> None:
    gate, tasks = asyncio.Event(), list[asyncio.Task[Any]]()

    async def stubborn(asks: Asks, peers: Sequence[Neuron]) -> Any:
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        while not gate.is_set():
            try:
                await gate.wait()
            except asyncio.CancelledError:
                continue
        return {Uid(1): 100.0}

    bench.asks.deadline = 0.02
    await bench.one(stubborn)
    bench.asks.deadline = 60.0
    await bench.one()
    assert bench.values == {"5A": 0.5, "5B": 0.25} == bench.on_disk()
    assert not tasks[0].done()
    gate.set()
    await until(tasks[0].done)  # now it has returned its 100; a round later that would be in the ledger
    await bench.one()
    assert bench.values == {"5A": 0.75, "5B": 0.375} == bench.on_disk()
    with History(bench.path) as seen:
        assert [bool(row.error) for row in sorted(seen.rounds(), key=lambda row: row.id)] == [True, False, False]


async def test_scores_do_not_move_in_memory_unless_they_did_on_disk(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.one()

    def full(*_: Any) -> bool:
        raise StoreError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "record", full)
        with pytest.raises(StoreError):
            await bench.one()
    assert bench.values == {"5A": 0.5, "5B": 0.25} == bench.on_disk()
    await bench.one()
    assert bench.values == {"5A": 0.75, "5B": 0.375} == bench.on_disk()
    with History(bench.path) as seen:
        assert [r.id for r in seen.rounds()] == [1, 2]


async def test_without_peers_no_round_is_held(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    bench.chain.change(1, axon=None)
    bench.chain.change(2, axon=None)
    await bench.service.follower.refresh()
    await bench.one()
    await bench.one()
    assert bench.asks.rounds == 0
    assert len(events(caplog, "no_peers")) == 1


async def test_a_restart_goes_on_from_the_ledger(chain: MemoryChain, tmp_path: Path) -> None:
    for life in range(1, 4):
        bench = await Bench(chain, tmp_path / "v").begin()
        await bench.one()
        assert bench.service.scores[Hotkey("5A")].rounds == life
        await bench.service.stop()
    assert bench.values["5A"] == 0.875


async def test_a_fresh_chain_inherits_no_scores(chain: MemoryChain, tmp_path: Path) -> None:
    bench = await Bench(chain, tmp_path / "v").begin()
    await bench.one()
    await bench.service.stop()
    chain.genesis_hash = "0x" + "78" * 32
    bench = await Bench(chain, tmp_path / "v").begin()
    assert bench.values == {}
    await bench.service.stop()


async def test_it_refuses_to_start_unregistered(chain: MemoryChain, tmp_path: Path) -> None:
    service = ValidatorService(Asks(), chain, load_key("//Nobody"), NETUID, path=tmp_path / "v")
    with pytest.raises(NotRegistered):
        await service.run(asyncio.Event())
    assert not (tmp_path / "v").exists()


async def test_it_refuses_time_locks_that_it_can_not_make(
    chain: MemoryChain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits, "_has_drand", lambda: False)
    service = ValidatorService(Asks({"commit": "timelock"}), chain, KEY, NETUID, path=tmp_path / "v")
    with pytest.raises(MissingExtra) as refused:
        await service.run(asyncio.Event())
    assert "drand" in refused.value.remedy


async def test_it_is_told_at_once_that_it_has_no_uid_any_more(
    chain: MemoryChain, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bench = await Bench(chain, tmp_path / "v").begin()
    mine, chain.neurons[0] = chain.neurons[0], neuron("5New")
    for _ in range(2):
        await bench.service.follower.refresh()
    assert [record.getMessage() for record in caplog.records].count("deregistered") == 1
    (trouble,) = bench.service.health.troubles
    assert (trouble.name, "subnet register" in trouble.remedy) == ("registration", True)
    chain.neurons[0] = mine
    await bench.service.follower.refresh()
    assert bench.service.health.troubles == []
    await bench.service.stop()


async def test_the_trouble_of_a_missing_uid_is_over_before_the_next_weights(chain: MemoryChain, tmp_path: Path) -> None:
    bench = Bench(chain, tmp_path / "v", Asks({"refresh_blocks": "1"}))
    await bench.service.start()
    mine, chain.neurons[0] = chain.neurons[0], neuron("5New")
    chain.advance(4)
    await until(lambda: {one.name for one in bench.service.health.troubles} == {"registration", "weights"})
    chain.neurons[0] = replace(mine, validator_permit=False)  # so that no weights go out
    chain.advance()
    await until(lambda: not bench.service.health.troubles)
    assert chain.calls == []
    await bench.service.stop()


async def test_rounds_that_go_on_failing_are_a_trouble_until_one_is_well(bench: Bench) -> None:
    for _ in range(2):
        await bench.one(lambda _asks, _peers: 1 / 0)
    assert bench.service.health.troubles == []
    await bench.one(lambda _asks, _peers: 1 / 0)
    (trouble,) = bench.service.health.troubles
    assert (trouble.name, "ZeroDivisionError" in trouble.reason) == ("rounds", True)
    await bench.one()
    assert bench.service.health.troubles == []


async def test_a_whole_life(chain: MemoryChain, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Rounds, an exception among them, an outage of the chain, weights, a clean stop; all loops at once."""
    caplog.set_level(logging.INFO)
    bench = Bench(chain, tmp_path / "v")
    bench.asks.interval = 0.01
    stop = asyncio.Event()
    running = asyncio.create_task(bench.service.run(stop))
    await until(lambda: len(bench.service.scores) == 2)
    bench.asks.tricks.append(lambda _asks, _peers: 1 / 0)
    await until(lambda: bench.service.failed_rounds == 1)
    chain.down, chain.stale_for = True, 500.0
    chain.advance(4)
    await until(lambda: "chain head" in [one.name for one in bench.service.health.troubles])
    failures = bench.service.loops.failures
    await until(lambda: failures["metagraph"] > 1 and failures["weights"] > 1)
    held = bench.asks.rounds
    await until(lambda: bench.asks.rounds > held + 3)  # the chain is away, scoring goes on
    assert chain.calls == []
    chain.down, chain.stale_for = False, 0.0
    await until(lambda: events(caplog, "weights_set"))
    assert chain.named("set_weights")[0][0] == [1, 2]
    stop.set()
    await running
    assert failures["rounds"] == 0
    assert {"validating", "round", "round_failed", "weights_set", "stopped"} <= {
        record.getMessage() for record in caplog.records
    }
    with History(tmp_path / "v") as seen:
        assert len(seen.weights()) == 1
        last = seen.last_round()
        assert last is not None
        assert seen.rounds(limit=100_000)[-1] == last


async def test_a_stop_gives_up_the_round_under_way(chain: MemoryChain, tmp_path: Path) -> None:
    class Hangs(Asks):
        async def round(self, peers: Sequence[Neuron]) -> Mapping[Uid, float]:
            self.rounds += 1
            await asyncio.Event().wait()
            return {}

    hangs, stop = Hangs(), asyncio.Event()
    service = ValidatorService(hangs, chain, KEY, NETUID, path=tmp_path / "v", querier=Answers())
    running = asyncio.create_task(service.run(stop))
    await until(lambda: getattr(hangs, "rounds", 0) == 1)
    stop.set()
    await asyncio.wait_for(running, 60)
    db = sqlite3.connect(tmp_path / "v")
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()
