from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from subnet.auth import Caller
from subnet.errors import NotPermitted
from subnet.examples.forecast.miner import (
    HELD,
    REMEMBERED,
    HashCopier,
    LossForecaster,
    NaiveMiner,
    SealingMiner,
    SeasonalMiner,
    StaleCopier,
    UselessForecaster,
)
from subnet.examples.forecast.protocol import Commit, Losses, Opened, Report, Reveal, holds
from subnet.examples.forecast.topic import KNOWN, Topic, series, write_topic
from subnet.types import Hotkey
from tests.examples.forecasting import ME, ORIGIN, OTHER, SECONDS, Clock, made, subnet_of

CALLER, SECOND = Caller(ME, 1, "sr25519"), Caller(OTHER, 1, "sr25519")
TOPIC = Topic(origin=ORIGIN, seconds=SECONDS)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_topic(tmp_path / "topic.json", TOPIC)
    return tmp_path / "topic.json"


def question(step: int, workers: list[str] | None = None, losses: np.ndarray | None = None) -> Commit:
    names = workers or []
    table = np.empty((0, len(names))) if losses is None else losses
    return Commit(step=step, history=TOPIC.history(step), workers=names, losses=table)


def one(kind: type[SealingMiner], name: str = "5M", **options: object) -> SealingMiner:
    return made(name, kind, subnet_of([name]), **options)


@pytest.mark.parametrize("kind", [NaiveMiner, SeasonalMiner])
def test_a_miner_opens_what_it_sealed_when_the_window_has_closed(
    kind: type[SealingMiner], clock: Clock, file: Path
) -> None:
    miner = one(kind, topic=file)
    sealed = miner.commit(question(0), CALLER)
    with pytest.raises(NotPermitted, match="still open"):
        miner.reveal(Reveal(step=0), CALLER)
    clock.now = TOPIC.closes(0)
    opened = miner.reveal(Reveal(step=0), CALLER)
    assert holds(Hotkey("5M"), 0, sealed.digest, opened)
    assert opened.value is not None
    assert abs(opened.value - series()[KNOWN]) < 2.0


def test_who_asks_again_gets_the_same_and_another_a_hash_of_its_own(clock: Clock, file: Path) -> None:
    miner = one(NaiveMiner, topic=file)
    first = miner.commit(question(0), CALLER).digest
    assert miner.commit(question(0), CALLER).digest == first
    assert miner.commit(question(0), SECOND).digest != first
    clock.now = TOPIC.closes(0)
    assert miner.reveal(Reveal(step=0), CALLER).value == miner.reveal(Reveal(step=0), SECOND).value


@pytest.mark.parametrize("step", [-1, 1, 7])
def test_no_other_step_takes_commits(step: int, clock: Clock, file: Path) -> None:
    with pytest.raises(NotPermitted, match="no commits now"):
        one(NaiveMiner, topic=file).commit(question(step), CALLER)


def test_a_closed_window_takes_no_commits_and_to_strangers_nothing_is_opened(clock: Clock, file: Path) -> None:
    miner = one(NaiveMiner, topic=file)
    clock.now = TOPIC.closes(0)
    with pytest.raises(NotPermitted, match="no commits now"):
        miner.commit(question(0), CALLER)
    with pytest.raises(NotPermitted, match="nothing was committed"):
        miner.reveal(Reveal(step=0), CALLER)


def test_what_a_miner_remembers_is_bounded(clock: Clock, file: Path) -> None:
    miner = one(NaiveMiner, topic=file)
    for i in range(REMEMBERED + 5):
        miner.remember((Hotkey(f"5V{i}"), 0), b"", None)
    assert len(miner._committed) == REMEMBERED


def test_a_forecaster_of_losses_opens_losses_and_no_value(clock: Clock, file: Path) -> None:
    miner = one(LossForecaster, topic=file)
    losses = np.array([[-1.0, 0.5, np.nan]] * 20)
    miner.commit(question(0, ["5A", "5B", "5C"], losses), CALLER)
    clock.now = TOPIC.closes(0)
    opened = miner.reveal(Reveal(step=0), CALLER)
    assert opened.value is None
    assert opened.losses == {"5A": pytest.approx(-1.0), "5B": pytest.approx(0.5)}
    assert one(UselessForecaster, topic=file, seed=1)._answer(question(0, ["5A"])).losses.keys() == {"5A"}


def report(number: float) -> Losses:
    return Losses(inferers=["5A"], forecasters=[], losses=np.full(4, number))


def test_a_miner_passes_on_what_other_validators_reported_the_first_time(clock: Clock, file: Path) -> None:
    miner = one(NaiveMiner, topic=file)
    clock.now = TOPIC.opens(5)
    assert miner.report(Report(step=4, mine=report(1.0)), CALLER).reports == {}
    assert miner.report(Report(step=4, mine=report(2.0)), SECOND).reports == {ME: report(1.0)}
    miner.report(Report(step=4, mine=report(3.0)), CALLER)
    assert miner.report(Report(step=4, mine=report(2.0)), SECOND).reports == {ME: report(1.0)}
    assert miner.report(Report(step=3, mine=report(2.0)), SECOND).reports == {}


@pytest.mark.parametrize("step", [6, 5 - HELD - 1])
def test_reports_of_other_times_are_refused(step: int, clock: Clock, file: Path) -> None:
    miner = one(NaiveMiner, topic=file)
    clock.now = TOPIC.opens(5)
    with pytest.raises(NotPermitted, match="none of the last"):
        miner.report(Report(step=step, mine=report(1.0)), CALLER)
    large = Losses(inferers=[], forecasters=[], losses=np.zeros(1000))
    with pytest.raises(NotPermitted):
        miner.report(Report(step=4, mine=large), CALLER)


def heard(clock: Clock, file: Path, tmp_path: Path, step: int) -> tuple[SealingMiner, Opened]:
    """A miner with a tap, one step of it."""
    miner = one(NaiveMiner, "5Copied", topic=file, tap=tmp_path / "tap")
    clock.now = TOPIC.opens(step)
    miner.commit(question(step), CALLER)
    clock.now = TOPIC.closes(step)
    return miner, miner.reveal(Reveal(step=step), CALLER)


def test_a_copier_has_the_last_forecast_at_best(clock: Clock, file: Path, tmp_path: Path) -> None:
    _, last = heard(clock, file, tmp_path, 0)
    copier = one(StaleCopier, "5Copier", topic=file, of=tmp_path / "tap")
    clock.now = TOPIC.opens(1)
    assert copier._answer(question(1)).value == last.value
    clock.now = TOPIC.opens(9)
    assert copier._answer(question(9)).value == TOPIC.history(9)[-1]


def test_a_copied_hash_opens_to_nothing_even_with_the_right_salt(clock: Clock, file: Path, tmp_path: Path) -> None:
    copied = one(NaiveMiner, "5Copied", topic=file, tap=tmp_path / "tap")
    copier = one(HashCopier, "5Copier", topic=file, of=tmp_path / "tap")
    digest = copied.commit(question(0), CALLER).digest
    assert copier.commit(question(0), CALLER).digest == digest
    clock.now = TOPIC.closes(0)
    opened = copied.reveal(Reveal(step=0), CALLER)
    assert copier.reveal(Reveal(step=0), CALLER) == opened
    assert holds(Hotkey("5Copied"), 0, digest, opened)
    assert not holds(Hotkey("5Copier"), 0, digest, opened)


def test_a_copier_that_hears_nothing_hands_in_nothing(clock: Clock, file: Path, tmp_path: Path) -> None:
    copier = one(HashCopier, "5Copier", topic=file, of=tmp_path / "tap")
    assert copier.commit(question(0), CALLER).digest == b""
    assert clock.now < TOPIC.closes(0)
    with pytest.raises(NotPermitted, match="nothing was heard"):
        copier.reveal(Reveal(step=0), CALLER)
