"""What the soak says of what it measured: each bound of benchmarks/_soak_verdict.py can be broken.

Rounds that went wrong are held here by the soak's own validator and the library's scorebook, which is spoiled, and
compared with the soak's run without faults.
"""

from __future__ import annotations

import asyncio
import importlib
import math
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from subnet.store import History
from subnet.types import Hotkey
from subnet.validators.scorebook import Judgement, Scorebook

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


GOOD = {"rounds": 60, "failed": 0, "pace": 1.0, "scores": 64, "firm": 1.0, "off": 1e-12, "wrong": []}
SEED, ALPHA, ROUNDS, MINERS = 7, 0.1, 40, 5


@pytest.fixture
def bounds(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("_soak_verdict")


def measured(bounds: Any) -> Any:
    """A run in which all went well, but for an epoch whose weights were due when the chain was killed."""
    soak = bounds.Soak(seconds=90.0, warm=30.0)
    soak.epochs = [bounds.Epoch(12, {0: True}, False), bounds.Epoch(24, {0: False}, True)]
    soak.hits = [12]
    soak.sealed = [bounds.Epoch(block, {0: True}, False) for block in range(13, 73, 12)]
    soak.commits = {"revealed": 4, "superseded": 1, "never-landed": 1, "open": 1}
    soak.samples["validator-0"] = [bounds.Sample(float(at), 100 + at // 30, 80 + at % 3) for at in range(90)]
    return soak


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda s, m: None, []),
        (lambda s, m: s.epochs.append(m.Epoch(36, {0: False}, False)), ["missed the epochs of blocks [36]"]),
        (lambda s, m: s.commits.update({"expired": 1}), ["1 commits were lost: expired"]),
        (
            lambda s, m: s.sealed.append(m.Epoch(37, {0: False}, False)),
            ["nothing was committed for the epochs of blocks [37]"],
        ),
        (lambda s, m: s.sealed.append(m.Epoch(37, {0: False}, True)), []),
        (lambda s, m: s.commits.update({"revealed": 2}), ["of 5 epochs' commits 2 were revealed"]),
        (lambda s, m: s.hits.clear(), ["never killed while weights were due"]),
        (lambda s, m: s.hits.append(24), ["the epoch of block 24"]),
        (lambda s, m: s.epochs[0].took.update({0: False}), ["missed the epochs of blocks [12]"]),
        (
            lambda s, m: s.troubles.update({"miners-1": ["chain: away"]}),
            ["miners-1 is not well at the end: chain: away"],
        ),
        (lambda s, m: s.samples["validator-0"].append(m.Sample(90.0, 1, 1)), []),
        (lambda s, m: [setattr(one, "rss", 120) for one in s.samples["validator-0"][60:]], ["memory grew by 18.8%"]),
        (lambda s, m: [setattr(one, "files", 99) for one in s.samples["validator-0"][60:]], ["18 more open files"]),
        (lambda s, m: [setattr(one, "files", 86) for one in s.samples["validator-0"][60:]], ["5 more open files"]),
        (
            lambda s, m: [
                s.processes.update({"validator-0": 2}),
                *[setattr(one, "files", 86) for one in s.samples["validator-0"][60:]],
            ],
            [],
        ),
    ],
)
def test_what_was_seen(bounds: Any, spoil: Callable[[Any, Any], None], says: list[str]) -> None:
    soak = measured(bounds)
    spoil(soak, bounds)
    found = bounds.verdict(soak, [bounds.Ledger(**GOOD)])
    assert len(found) == len(says)
    assert all(words in line for words, line in zip(says, found, strict=True))


@pytest.mark.parametrize(
    ("spoiled", "says"),
    [({"failed": 2}, "2 rounds failed"), ({"pace": 0.2}, "0.20 times"), ({"off": 1e-6}, "1e-06 off"),
     ({"off": math.nan}, "nan off"), ({"wrong": ["round numbers have gaps"]}, "gaps"), ({"pace": math.nan}, None)],
)  # fmt: skip
def test_what_a_ledger_says(bounds: Any, spoiled: dict[str, Any], says: str | None) -> None:
    found = bounds.verdict(measured(bounds), [bounds.Ledger(**GOOD | spoiled)])
    assert [says in line for line in found] == [True] * (says is not None)


class Losing(Scorebook):
    """The third round never comes to the ledger, and nobody says so."""

    async def record(self, judgement: Judgement) -> bool:
        self.calls = getattr(self, "calls", 0) + 1
        return True if self.calls == 3 else await super().record(judgement)


class Doubling(Scorebook):
    """The third round counts twice."""

    async def record(self, judgement: Judgement) -> bool:
        self.calls = getattr(self, "calls", 0) + 1
        if self.calls == 3:
            await super().record(judgement)
        return await super().record(judgement)


class Forgetting(Scorebook):
    """After the third round one score is what it was after the second: a write was lost in between."""

    async def record(self, judgement: Judgement) -> bool:
        before = dict(self.scores)
        done = await super().record(judgement)
        self.calls = getattr(self, "calls", 0) + 1
        if self.calls == 3:
            old = next(iter(before.values()))
            self.scores = {**self.scores, old.hotkey: old}
        return done


class Bench:
    """A soak of 5 miners and one validator, without what is around: rounds as told, ledgers, comparison."""

    def __init__(self, bounds: Any, folder: Path) -> None:
        self.twin, self.neurons = (importlib.import_module(name) for name in ("_soak_twin", "_soak_neurons"))
        self.bounds, self.folder = bounds, folder
        keys = [Hotkey(self.neurons.miner_key(i).ss58_address) for i in range(MINERS + 1)]
        self.seats = [self.twin.Seat(key, i, i, 0) for i, key in enumerate(keys[:MINERS])]
        self.absences = [self.twin.Absence(seat.hotkey, 0.0, 9000 + seat.index, 0.5) for seat in self.seats]
        self.met: dict[int, dict[str, int]] = {1: {seat.hotkey: 9000 + seat.index for seat in self.seats}}
        self.newcomer = self.twin.Seat(keys[MINERS], MINERS, 2, 17)
        self.rounds = [[self.twin.Part(seat) for seat in self.seats] for _ in range(ROUNDS)]

    def replace_by_newcomer(self, at: int) -> None:
        """From round ``at`` on; nobody knows for two rounds before."""
        gone = self.seats[self.newcomer.uid]
        self.seats = [*self.seats, self.newcomer]
        since = at - 2.0
        self.absences += [
            self.twin.Absence(gone.hotkey, since),
            self.twin.Absence(self.newcomer.hotkey, since, 9900, since),
        ]
        self.met[at] = {self.newcomer.hotkey: 9900}
        for parts in self.rounds[at - 1 :]:
            parts[gone.uid] = self.twin.Part(self.newcomer)

    def silence(self, index: int, *numbers: int) -> None:
        """A miner does not answer in these rounds."""
        for number in numbers:
            self.rounds[number - 1][index] = replace(self.rounds[number - 1][index], answers=False)

    def hold(self, book: type[Scorebook] = Scorebook) -> None:
        """The rounds of the soak, whatever goes wrong in them."""
        self._hold("ours", self.rounds, book)

    def _hold(self, name: str, rounds: Any, book: type[Scorebook] = Scorebook) -> None:
        judge, key = self.neurons.Judge(ALPHA), self.neurons.validator_key(0)
        asyncio.run(self.twin.without_faults(self.folder / name, key, judge, SEED, rounds, book))

    def spoil(self, sql: str) -> None:
        with closing(sqlite3.connect(self.folder / "ours")) as db:
            db.execute(sql)
            db.commit()

    def verdict(self) -> list[str]:
        """Beside a run without faults."""
        diary = [self.twin.Held(n, n, n + 0.5, self.met.get(n, {})) for n in range(1, ROUNDS + 1)]
        with History(self.folder / "ours") as history:
            parts = self.twin.plan(self.seats, self.absences, diary, self.twin.results_of(history))
        self._hold("theirs", parts)
        soak = measured(self.bounds)
        soak.seats, soak.absences = self.seats, self.absences
        self.read = self.bounds.read_ledger(self.folder / "ours", self.folder / "theirs", soak, diary, 0.0)
        found: list[str] = self.bounds.verdict(soak, [replace(self.read, pace=1.0)])
        return found


@pytest.fixture
def bench(bounds: Any, tmp_path: Path) -> Bench:
    return Bench(bounds, tmp_path)


def test_a_run_without_faults_is_equal(bench: Bench) -> None:
    bench.hold()
    assert bench.verdict() == []
    assert (bench.read.rounds, bench.read.off, bench.read.firm) == (ROUNDS, 0.0, 1.0)
    assert bench.read.scores == ROUNDS * MINERS + MINERS


@pytest.mark.parametrize(
    ("book", "says"),
    [(Losing, "round 3: "), (Doubling, "round 4: "), (Forgetting, "round 4: ")],
)
def test_a_round_that_is_lost_or_counts_twice_early_on(bench: Bench, book: type[Scorebook], says: str) -> None:
    bench.hold(book)
    off, *wrong = bench.verdict()
    assert "off that of a run without faults" in off
    assert says in next(line for line in wrong if "without faults" in line)


def test_a_last_round_that_is_lost(bench: Bench) -> None:
    bench.rounds = bench.rounds[:-3]
    bench.hold()
    assert bench.verdict() == ["validator 0: it held 40 rounds, and its ledger has 37"]


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("UPDATE result SET moving = moving + 1e-6 WHERE round = 2 AND uid = 1", "round 2: "),
        ("DELETE FROM result WHERE round = 2 AND uid = 1", "round 2: "),
        ("UPDATE score SET value = value + 1e-6 WHERE uid = 1", "the end: "),
        ("DELETE FROM score WHERE uid = 1", "the end: "),
        ("UPDATE score SET rounds = rounds + 1 WHERE uid = 1", "the end: "),
    ],
)
def test_books_that_are_damaged(bench: Bench, sql: str, says: str) -> None:
    bench.hold()
    bench.spoil(sql)
    assert any(says in line for line in bench.verdict())


def test_what_a_miner_that_was_up_did_not_answer(bench: Bench) -> None:
    bench.silence(3, 11)
    bench.hold()
    assert any("round 11: " in line and "was up and did not answer (unreachable" in line for line in bench.verdict())


@pytest.mark.parametrize(("silent", "says"), [([11, 12, 13], None), ([10, 11], "round 10"), ([12, 14], "round 14")])
def test_what_a_miner_that_was_away_did_not_answer(bench: Bench, silent: list[int], says: str | None) -> None:
    """It was stopped in round 11, and asked again in round 14."""
    away = bench.seats[3].hotkey
    bench.absences.append(bench.twin.Absence(away, 11.2, 9903, 12.0))
    bench.met[14] = {away: 9903}
    bench.silence(3, *silent)
    bench.hold()
    found = bench.verdict()
    assert [says in line for line in found[1:2]] == [True] * (says is not None)
    assert bench.read.firm == pytest.approx(1 - 3 / bench.read.scores)


def test_a_miner_that_is_never_asked_again(bench: Bench) -> None:
    away = bench.seats[3].hotkey
    bench.absences.append(bench.twin.Absence(away, 11.2, 9903, 12.0))
    bench.hold()
    assert bench.verdict() == [f"validator 0: {away} was back, and asked never again"]


@pytest.mark.parametrize("silent", [[], [18, 19]])
def test_a_miner_that_is_replaced(bench: Bench, silent: list[int]) -> None:
    bench.replace_by_newcomer(at=20)
    bench.silence(bench.newcomer.uid, *silent)
    bench.hold()
    assert bench.verdict() == []


def test_who_is_gone_has_no_score(bench: Bench) -> None:
    gone = bench.seats[bench.newcomer.uid].hotkey
    bench.replace_by_newcomer(at=20)
    bench.hold()
    bench.spoil("INSERT INTO score SELECT ledger, '" + gone + "', 2, 0.5, 9, 0, 9, 9.0, 1, 0.5, 0.0 FROM score LIMIT 1")
    assert any("the end: " + gone in line for line in bench.verdict())
