"""Truth that comes later: answers wait over restarts, count once, and only for who gave them."""

from __future__ import annotations

import asyncio
import logging
import math
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from subnet.dendrite import Failure, Ok, Reason
from subnet.errors import StoreError
from subnet.store import MAX_ANSWER, History, Kind, Ledger
from subnet.synapse import Message, Tensor
from subnet.types import Hotkey, Neuron, Uid
from subnet.validators import Question, Validator, truths
from tests.memory_chain import MemoryChain
from tests.validators.bench import Asks, Bench, Ping, Pong
from tests.waiting import until

A, B = Hotkey("5A"), Hotkey("5B")


class Forecasts(Asks):
    """Defers what it hears under the name of its round; ``truth`` says what each is worth, or raises."""

    truth: Any = None
    truth_retry = 0.001

    def load(self) -> None:
        super().load()
        self.judged: list[Question] = []

    async def round(self, peers: Sequence[Neuron]) -> Mapping[Uid, float]:
        self.rounds += 1
        replies = await self.query(peers, Ping(text="what will it be?"))
        await self.defer(f"q{self.rounds}", replies, due=time.time() - 1)
        return {}

    async def judge_deferred(self, question: Question) -> Mapping[Hotkey, float] | None:
        self.judged.append(question)
        truth = self.truth(self, question) if callable(self.truth) else self.truth
        return await truth if asyncio.iscoroutine(truth) else truth  # type: ignore[no-any-return]


async def forecasting(chain: MemoryChain, path: Path, truth: Any = None) -> tuple[Bench, Forecasts]:
    asks = Forecasts()
    asks.truth = truth
    return await Bench(chain, path, asks).begin(), asks


async def stepped(bench: Bench) -> None:
    """Pass after pass until the truth has moved a score."""
    async with asyncio.timeout(60):
        while not bench.values:
            await bench.truths.step()


async def test_a_truth_moves_the_scores_when_it_comes(
    chain: MemoryChain, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    bench, asks = await forecasting(chain, tmp_path / "v")
    await bench.one()
    assert bench.values == {}
    await bench.truths.step()
    assert len(asks.judged) == 1  # not known yet
    assert bench.values == {}
    asks.truth = lambda _self, question: {h: a.worth for h, a in question.answers(Pong).items()}
    await stepped(bench)
    assert bench.values == {"5A": 0.5, "5B": 0.25} == bench.on_disk()
    with History(bench.path) as seen:
        done = seen.rounds()[-1]
        assert (done.id, done.kind, done.subject, done.asked) == (2, Kind.TRUTH, "q1", 2)
        assert [(r.uid, r.score, r.moving) for r in seen.results(2)] == [(1, 1.0, 0.5), (2, 0.5, 0.25)]
        assert seen.open_count() == 0
    assert [r.question for r in caplog.records if r.getMessage() == "truth"] == ["q1"]  # type: ignore[attr-defined]
    judged = len(asks.judged)
    await bench.truths.step()
    assert len(asks.judged) == judged
    await bench.service.stop()


async def test_answers_wait_over_a_restart(chain: MemoryChain, tmp_path: Path) -> None:
    bench, _ = await forecasting(chain, tmp_path / "v")
    await bench.one()
    await bench.service.stop()
    bench, asks = await forecasting(chain, tmp_path / "v", lambda _self, question: dict.fromkeys(question.kept, 1.0))
    await bench.truths.step()
    assert bench.values == {"5A": 0.5, "5B": 0.5} == bench.on_disk()
    await bench.truths.step()
    assert bench.values == {"5A": 0.5, "5B": 0.5}
    question = asks.judged[0]
    assert (question.id, set(question.kept)) == ("q1", {"5A", "5B"})
    assert question.due < time.time()
    await bench.service.stop()


async def test_what_resolve_gave_counts_once(chain: MemoryChain, tmp_path: Path) -> None:
    bench, asks = await forecasting(chain, tmp_path / "v")
    await bench.one()
    given = await asyncio.gather(*(asks.resolve("q1", {A: 1.0}) for _ in range(4)))
    assert sorted(given) == [False, False, False, True]
    assert not await asks.resolve("q1", {A: 0.0})
    assert not await asks.resolve("unheard of", {A: 0.0})
    assert bench.values == {"5A": 0.5} == bench.on_disk()
    await bench.service.stop()


async def test_a_hook_and_resolve_at_once_count_once(chain: MemoryChain, tmp_path: Path) -> None:
    async def resolves_first(asks: Forecasts, question: Question) -> Mapping[Hotkey, float]:
        assert await asks.resolve(question.id, {A: 1.0})
        return {A: 0.0, B: 1.0}

    bench, _ = await forecasting(chain, tmp_path / "v", resolves_first)
    await bench.one()
    await bench.truths.step()
    assert bench.values == {"5A": 0.5} == bench.on_disk()
    await bench.service.stop()


async def test_the_first_answers_stand(chain: MemoryChain, tmp_path: Path) -> None:
    bench, asks = await forecasting(chain, tmp_path / "v")
    replies = [Ok(Uid(1), A, Pong(worth=1.0), 0.1, None), Failure(Uid(2), B, Reason.TIMEOUT, "", "", 0.1)]
    assert await asks.defer("q", replies, due=0.0)
    assert not await asks.defer("q", [Ok(Uid(1), A, Pong(worth=9.0), 0.1, None)], due=0.0)
    with History(bench.path) as seen:
        found = seen.deferred("q")
        assert found is not None
        assert list(found.answers) == ["5A"]  # a failure is no answer
        assert Question("q", 0.0, 0.0, found.answers).answers(Pong) == {"5A": Pong(worth=1.0)}
    await bench.service.stop()


async def test_a_replaced_or_returned_hotkey_gets_nothing_for_old_answers(chain: MemoryChain, tmp_path: Path) -> None:
    bench, asks = await forecasting(chain, tmp_path / "v")
    await bench.one()
    chain.change(1, hotkey="5New", block_at_registration=105)
    chain.change(2, block_at_registration=105)  # left and came back
    await bench.service.follower.refresh()
    assert await asks.resolve("q1", {A: 1.0, B: 1.0})
    assert bench.values == {} == bench.on_disk()
    with History(bench.path) as seen:
        assert [(r.uid, r.hotkey, r.score, r.moving) for r in seen.results(2)] == [
            (1, "5A", 1.0, None),
            (2, "5B", 1.0, None),
        ]
    await bench.one()
    assert await asks.resolve("q2", {Hotkey("5New"): 1.0, B: 1.0})
    assert bench.values["5B"] == 0.5
    await bench.service.stop()


async def test_an_old_answer_does_not_touch_the_score_of_a_new_life(chain: MemoryChain, tmp_path: Path) -> None:
    bench, asks = await forecasting(chain, tmp_path / "v")
    await bench.one()
    chain.change(2, block_at_registration=105)
    await bench.service.follower.refresh()
    await bench.one()
    assert await asks.resolve("q2", {B: 1.0})
    assert await asks.resolve("q1", {B: 0.0})
    assert bench.values == {"5B": 0.5} == bench.on_disk()
    await bench.service.stop()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
async def test_nan_and_inf_count_as_zero(chain: MemoryChain, tmp_path: Path, bad: float) -> None:
    bench, asks = await forecasting(chain, tmp_path / "v")
    await bench.one()
    assert await asks.resolve("q1", {A: bad, Hotkey("5Stranger"): 1.0})
    assert bench.values == {"5A": 0.0} == bench.on_disk()
    await bench.service.stop()


async def _hangs(*_: Any) -> Any:
    await asyncio.Event().wait()


async def _cancels_itself(*_: Any) -> Any:
    raise asyncio.CancelledError


async def _exits(*_: Any) -> Any:
    sys.exit(3)


@pytest.mark.parametrize(
    "trick", [lambda *_: 1 / 0, lambda *_: [1.0], lambda *_: {A: "good"}, _hangs, _cancels_itself, _exits]
)
async def test_a_truth_that_goes_wrong_is_told_and_asked_again(
    chain: MemoryChain, tmp_path: Path, trick: Any, caplog: pytest.LogCaptureFixture
) -> None:
    bench, asks = await forecasting(chain, tmp_path / "v", trick)
    asks.deadline = 5.0 if trick is not _hangs else 0.02
    await bench.one()
    await bench.truths.step()
    assert [r.question for r in caplog.records if r.getMessage() == "truth_failed"] == ["q1"]  # type: ignore[attr-defined]
    asks.truth, asks.deadline = {A: 1.0}, 60.0
    await stepped(bench)
    assert bench.values == {"5A": 0.5}
    await bench.service.stop()


async def test_one_unknown_truth_does_not_hold_up_the_others(chain: MemoryChain, tmp_path: Path) -> None:
    bench, asks = await forecasting(
        chain, tmp_path / "v", lambda _self, question: {A: 1.0} if question.id == "q2" else None
    )
    asks.truth_retry = 1e9
    await bench.one()
    await bench.one()
    await bench.truths.step()
    await bench.truths.step()
    assert [question.id for question in asks.judged] == ["q1", "q2"]  # q1 not again before truth_retry
    assert bench.values == {"5A": 0.5}
    await bench.service.stop()


async def test_a_question_without_a_truth_is_given_up(
    chain: MemoryChain, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bench, asks = await forecasting(chain, tmp_path / "v")
    asks.truth_days = 1.0
    await asks.defer("old", [Ok(Uid(1), A, Pong(worth=1.0), 0.1, None)], due=time.time() - 2 * 86_400)
    await bench.one()
    await bench.truths.step()
    told = [record for record in caplog.records if record.getMessage() == "truth_expired"]
    assert [record.questions for record in told] == [["old"]]  # type: ignore[attr-defined]
    assert not await asks.resolve("old", {A: 1.0})
    assert [question.id for question in asks.judged] == ["q1"]
    await bench.service.stop()


async def test_what_waits_is_bounded_and_one_miners_excess_is_its_own_loss(
    chain: MemoryChain, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bench, asks = await forecasting(chain, tmp_path / "v")
    asks.most_questions = 2
    await bench.one()
    await bench.one()
    with pytest.raises(StoreError, match="2 deferred questions wait already"):
        await asks.defer("q3", [], due=0.0)
    asks.most_questions = 3

    class Big(Message):
        data: Tensor

    big = Ok(Uid(1), A, Big(data=np.zeros(MAX_ANSWER, "uint8")), 0.1, None)
    assert await asks.defer("q3", [big, Ok(Uid(2), B, Pong(worth=1.0), 0.1, None)], due=0.0)
    with History(bench.path) as seen:
        assert list(seen.deferred("q3").answers) == ["5B"]  # type: ignore[union-attr]
    assert [r.hotkey for r in caplog.records if r.getMessage() == "answer_left_out"] == ["5A"]  # type: ignore[attr-defined]
    asks.most_questions = 4
    with pytest.raises(ValueError, match="never is"):
        await asks.defer("q4", [], due=math.inf)
    await bench.service.stop()


async def test_the_bytes_of_answers_are_bounded_and_each_miner_has_its_share(
    chain: MemoryChain, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, asks = await forecasting(chain, tmp_path / "v")
    asks.most_answer_mib = 1
    monkeypatch.setattr(truths, "SHARES", 2)  # beside three neurons: a third of a MiB each

    class Big(Message):
        data: Tensor

    def says(uid: int, hotkey: Hotkey, size: int) -> Ok[Any]:
        return Ok(Uid(uid), hotkey, Big(data=np.zeros(size, "uint8")), 0.1, None)

    for name in ("q1", "q2"):
        assert await asks.defer(name, [says(1, A, 200_000), says(2, B, 100)], due=0.0)
    with History(bench.path) as seen:
        held = seen.held()
        assert 200_000 < held[A] < 201_000  # of the second question it has none
        assert 200 < held[B] < 1_000
        assert list(seen.deferred("q2").answers) == [B]  # type: ignore[union-attr]
    (told,) = [record for record in caplog.records if record.getMessage() == "answers_left_out"]
    assert (told.question, told.count, told.hotkeys) == ("q2", 1, [A])  # type: ignore[attr-defined]
    assert "most_answer_mib" in told.remedy  # type: ignore[attr-defined]
    assert await asks.resolve("q1", {A: 1.0})
    assert await asks.defer("q3", [says(1, A, 200_000)], due=0.0)  # there is room again
    asks.most_answer_mib = 0.15
    with pytest.raises(StoreError, match=r"0\.15 MiB of answers wait already"):
        await asks.defer("q4", [says(2, B, 100)], due=0.0)
    await bench.service.stop()


async def test_a_full_disk_at_the_truth_loses_nothing(
    chain: MemoryChain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, _ = await forecasting(chain, tmp_path / "v", {A: 1.0})
    await bench.one()

    def full(*_: Any) -> bool:
        raise StoreError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "record", full)
        with pytest.raises(StoreError):
            await bench.truths.step()
    assert bench.values == {}
    await stepped(bench)
    assert bench.values == {"5A": 0.5} == bench.on_disk()
    await bench.service.stop()


async def test_answers_of_another_class_are_left_out_and_named(caplog: pytest.LogCaptureFixture, bench: Bench) -> None:
    class Other(Message):
        name: str

    await bench.asks.defer("q", [Ok(Uid(1), A, Pong(worth=1.0), 0.1, None)], due=0.0)
    with History(bench.path) as seen:
        found = seen.deferred("q")
    assert found is not None
    assert Question("q", 0.0, 0.0, found.answers).answers(Other) == {}
    assert [r.hotkey for r in caplog.records if r.getMessage() == "answer_unreadable"] == ["5A"]  # type: ignore[attr-defined]


async def test_without_a_service_there_is_nothing_to_defer_in() -> None:
    class Plain(Validator):
        async def round(self, peers: Sequence[Neuron]) -> Mapping[Uid, float]:
            return {}

    with pytest.raises(RuntimeError, match="nothing to keep answers in"):
        await Plain().defer("q", [], due=0.0)
    assert await Plain().judge_deferred(Question("q", 0.0, 0.0, {})) is None


async def test_the_whole_life_of_a_forecast(chain: MemoryChain, tmp_path: Path) -> None:
    """All loops at once: rounds defer, truths come, and a restart in between loses none."""
    stop, asks = asyncio.Event(), Forecasts()
    asks.interval = 0.01
    bench = Bench(chain, tmp_path / "v", asks)
    running = asyncio.create_task(bench.service.run(stop))
    await until(lambda: getattr(asks, "rounds", 0) >= 3)
    stop.set()
    await running
    with History(tmp_path / "v") as seen:
        waiting = {question.id for question in seen.open_questions()}
    assert len(waiting) >= 2
    stop, asks = asyncio.Event(), Forecasts()
    asks.truth = {A: 1.0}
    asks.interval = 1e6  # no further rounds but the first
    bench = Bench(chain, tmp_path / "v", asks)
    running = asyncio.create_task(bench.service.run(stop))
    await until(lambda: bench.service.scores and bench.service.scores[A].rounds >= len(waiting))
    stop.set()
    await running
    with History(tmp_path / "v") as seen:
        truths = [done.subject for done in seen.latest_rounds(1000, kind=Kind.TRUTH)]
        assert len(truths) == len(set(truths))
        assert waiting <= set(truths)
        assert seen.scores()[A].rounds == len(truths)
