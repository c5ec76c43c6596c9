"""Whole steps of the validator, from the question to the score, with real miners and a clock that the test moves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from subnet.examples.forecast.miner import (
    BoostingMiner,
    HashCopier,
    LossForecaster,
    NaiveMiner,
    SealingMiner,
    SeasonalMiner,
    StaleCopier,
)
from subnet.examples.forecast.protocol import Commit, Opened, Report, Reveal
from subnet.examples.forecast.topic import Topic, write_topic
from subnet.examples.forecast.validator import ForecastValidator
from subnet.types import Hotkey
from subnet.validators.truths import Question
from tests.examples.forecasting import ME, ORIGIN, OTHER, SECONDS, Clock, Kept, Wire, made, peers_of, subnet_of

TOPIC = Topic(origin=ORIGIN, seconds=SECONDS)
CAST: dict[str, tuple[type[SealingMiner], str]] = {
    "5Boosting": (BoostingMiner, "tap"),
    "5Seasonal": (SeasonalMiner, ""),
    "5Naive": (NaiveMiner, ""),
    "5Losses": (LossForecaster, ""),
    "5Stale": (StaleCopier, "of"),
    "5Hash": (HashCopier, "of"),
}


class Bench:
    """One validator and its miners."""

    def __init__(self, folder: Path, clock: Clock, names: list[str]) -> None:
        write_topic(folder / "topic.json", TOPIC)
        self.folder, self.clock, self.metagraph = folder, clock, subnet_of(names)
        self.miners = {}
        for name in names:
            kind, tap = CAST[name]
            taps = {tap: folder / "tap"} if tap else {}
            self.miners[Hotkey(name)] = made(name, kind, self.metagraph, topic=folder / "topic.json", **taps)
        self.wire, self.kept = Wire(dict(self.miners)), Kept()
        self.validator = self.started()

    def started(self) -> ForecastValidator:
        files = {"topic": "topic.json", "memory": "memory.npz", "record": "record.jsonl"}
        one = ForecastValidator({name: str(self.folder / file) for name, file in files.items()})
        one.attach(ME, self.metagraph)
        one.load()
        one.check()
        one.use(self.wire, self.kept)
        return one

    async def step(self) -> dict[str, float]:
        """One round; who was absent, with its score."""
        absent = await self.validator.round(peers_of(self.metagraph))
        return {self.metagraph.hotkeys[uid]: score for uid, score in absent.items()}

    def lines(self, kind: str) -> list[dict[str, object]]:
        lines = [json.loads(line) for line in (self.folder / "record.jsonl").read_text().splitlines()]
        return [line for line in lines if line["kind"] == kind]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def scores(bench: Bench, step: int) -> dict[str, float]:
    return {str(hotkey): score for hotkey, score in bench.kept.scored[f"{ORIGIN:.0f} {step}"].items()}


async def test_models_are_paid_copiers_are_not_and_a_copied_hash_is_absent(clock: Clock, tmp_path: Path) -> None:
    bench = Bench(tmp_path, clock, list(CAST))
    absent = [await bench.step() for _ in range(14)]
    assert [one for one in absent[2:] if one != {"5Hash": 0.0}] == []
    assert scores(bench, 3) == {}  # all are new: nobody is judged yet
    last = scores(bench, 12)
    assert last["5Boosting"] > max(last["5Naive"], last["5Stale"], last["5Losses"])
    assert last["5Stale"] < 0.05 * last["5Boosting"]
    assert "5Hash" not in last
    assert sum(last.values()) == pytest.approx(1.0)
    assert [line["step"] for line in bench.lines("truth")] == list(range(13))
    assert [line["step"] for line in bench.lines("forecast")] == list(range(14))


async def test_a_step_asks_while_the_window_is_open_and_reveals_when_it_has_closed(
    clock: Clock, tmp_path: Path
) -> None:
    bench = Bench(tmp_path, clock, ["5Naive"])
    times: list[tuple[str, float]] = []
    query = bench.wire.query

    async def noted(peers, request, *, timeout=None):  # type: ignore[no-untyped-def]
        times.append((type(request).__name__, clock.now - ORIGIN))
        return await query(peers, request, timeout=timeout)

    bench.wire.query = noted  # type: ignore[method-assign]
    await bench.step()
    await bench.step()
    assert times[0] == ("Commit", 0.0)
    assert ("Reveal", 5.0) in times
    assert ("Commit", 10.0) in times
    assert next(at for name, at in times if name == "Report") == 10.0
    assert clock.now == ORIGIN + 15.0
    commits = [one for one in bench.wire.asked if isinstance(one, Commit)]
    assert [len(one.history) for one in commits] == [552, 553]


async def test_late_and_mismatching_reveals_count_as_absent(clock: Clock, tmp_path: Path) -> None:
    bench = Bench(tmp_path, clock, ["5Naive", "5Seasonal"])
    naive = bench.miners[Hotkey("5Naive")]
    honest = naive.reveal

    def changed(request: Reveal, caller: object) -> Opened:
        opened = honest(request, caller)  # type: ignore[arg-type]
        return Opened(salt=opened.salt, value=(opened.value or 0.0) + 0.01)

    naive.handlers[Reveal] = changed  # type: ignore[index]
    assert await bench.step() == {"5Naive": 0.0}
    bench.wire.away = {"5Seasonal"}  # so late that the reply is a timeout
    assert await bench.step() == {"5Naive": 0.0, "5Seasonal": 0.0}


async def test_the_losses_of_another_validator_count_beside_ours(clock: Clock, tmp_path: Path) -> None:
    bench = Bench(tmp_path, clock, ["5Naive", "5Seasonal"])
    other = Wire(dict(bench.miners), caller=OTHER)
    query = bench.wire.query

    async def both(peers, request, *, timeout=None):  # type: ignore[no-untyped-def]
        if isinstance(request, Report):
            await other.query(peers, request)  # the other found the same
        return await query(peers, request, timeout=timeout)

    bench.wire.query = both  # type: ignore[method-assign]
    await bench.step()
    await bench.step()
    (truth,) = bench.lines("truth")
    assert truth["reputers"] == {ME: 1.0, OTHER: 1.0}
    assert clock.now < TOPIC.opens(2)


async def test_another_validator_that_says_nothing_is_waited_for_no_longer_than_the_window(
    clock: Clock, tmp_path: Path
) -> None:
    bench = Bench(tmp_path, clock, ["5Naive", "5Seasonal"])
    await bench.step()
    await bench.step()
    (truth,) = bench.lines("truth")
    assert truth["reputers"] == {ME: 1.0}
    assert await bench.step() == {}


async def test_after_a_restart_what_was_open_is_settled_and_it_goes_on(clock: Clock, tmp_path: Path) -> None:
    bench = Bench(tmp_path, clock, ["5Naive", "5Seasonal", "5Boosting"])
    for _ in range(13):
        await bench.step()
    bench.validator = bench.started()
    clock.now = TOPIC.known(12) + 1.0
    kept = bench.kept.open[f"{ORIGIN:.0f} 12"]

    class Kept12(Question):
        def answers(self, kind: type[Opened]) -> dict[Hotkey, Opened]:  # type: ignore[override]
            return {reply.hotkey: reply.value for reply in kept}

    question = Kept12(f"{ORIGIN:.0f} 12", TOPIC.known(12), TOPIC.opens(12), {})
    settled = await bench.validator.judge_deferred(question)
    assert settled is not None
    assert settled[Hotkey("5Boosting")] > settled[Hotkey("5Naive")]
    assert await bench.validator.judge_deferred(question) == settled  # learned once, told again
    assert await bench.step() == {}


async def test_a_truth_before_its_time_is_none(clock: Clock, tmp_path: Path) -> None:
    bench = Bench(tmp_path, clock, ["5Naive"])
    await bench.step()
    bench.validator = bench.started()
    question = Question(f"{ORIGIN:.0f} 0", TOPIC.known(0), ORIGIN, {})
    assert await bench.validator.judge_deferred(question) is None


async def test_a_record_that_can_not_be_written_costs_no_round(clock: Clock, tmp_path: Path) -> None:
    bench = Bench(tmp_path, clock, ["5Naive"])
    (tmp_path / "record.jsonl").mkdir()
    assert await bench.step() == {}
