"""The forecast demo's cast, record, checks and picture, without its processes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from subnet.cli import main
from subnet.demo import forecast_checks
from subnet.demo.forecast import FEWEST_STEPS, SECONDS, ForecastDemo, cast
from subnet.demo.forecast_checks import rmse
from subnet.demo.forecast_record import ForecastRecord, Step
from subnet.demo.record import Epoch, Role, Share
from subnet.examples.forecast.topic import KNOWN, read_topic, series

PAY = {Role.GOOD: 0.9, Role.WEAK: 0.01, Role.COPIER: 0.01, Role.FORECASTER: 0.1, Role.USELESS: 0.05}
ERROR = {Role.GOOD: 0.4, Role.WEAK: 1.2, Role.COPIER: 1.3}
STEPS = 24

Lived = Callable[..., ForecastRecord]


def step(record: ForecastRecord, number: int, network: float, width: float) -> Step:
    truth = float(series()[KNOWN + number])
    sign = 1.0 if number % 2 else -1.0
    said = {a.name: truth + sign * ERROR[a.role] for a in record.miners if a.role in ERROR and a.name != "hash-copier"}
    value = truth + sign * network
    interval = None if number == 0 else tuple(value + k * width for k in (-2.0, -1.0, 0.0, 1.0, 2.0))
    return Step(number, value, interval, value, value, said, {}, truth, 0.1, reputers=2)


@pytest.fixture
def lived(tmp_path: Path) -> Lived:
    """``lived(copier=0.5)``: a record in which the roles named were paid otherwise than they should be."""

    def make(*, network: float = 0.4, width: float = 0.4, reputers: int = 2, **pay: float) -> ForecastRecord:
        record = ForecastRecord(seed=1, rounds_wanted=STEPS, netuid=2, tempo=20)
        record.actors = cast(tmp_path, seed=1)
        for validator in record.of_role(Role.VALIDATOR):
            steps = [step(record, number, network, width) for number in range(STEPS)]
            record.steps[validator.name] = {
                one.number: msgspec.structs.replace(one, reputers=reputers) for one in steps
            }
        for number in range(1, 9):
            shares = [
                Share(
                    a.uid, int(1e9 * pay.get(a.role.value, PAY[a.role])) if number > 3 else 0, 0.1, 0.1, 0.0, 0.0, False
                )
                for a in record.miners
            ]
            record.epochs.append(Epoch(number, 20 * number, 5.0 * number, shares))
        record.balances_before = {actor.uid: 5 for actor in record.miners}
        record.balances_after = {actor.uid: 5 + record.emission(actor.name) for actor in record.miners}
        return record

    return make


def failed(record: ForecastRecord) -> list[str]:
    return [check.name for check in forecast_checks.run(record) if not check.passed]


def test_a_demo_as_it_should_be_passes_all_checks(lived: Lived) -> None:
    assert failed(lived()) == []


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ({"copier": 0.5}, ["old-copier gains nothing", "hash-copier gains nothing"]),
        ({"useless": 0.5}, ["useless forecasts earn little"]),
        ({"weak": 0.5}, ["boosting above naive", "arima above naive", "smoothing above naive"]),
        ({"network": 0.5}, ["network near the best"]),
        ({"width": 0.1}, ["95% interval holds the truth"]),
        ({"reputers": 1}, ["validators hear each other's losses"]),
    ],
)
def test_each_check_fails_for_what_it_is_there_for(lived: Lived, change: dict[str, float], check: list[str]) -> None:
    names = failed(lived(**change))
    assert [name for name in names if name != "torch above naive"] == check


def test_a_demo_that_saw_nothing_fails_and_says_so(lived: Lived) -> None:
    record = lived()
    record.steps, record.epochs, record.balances_after = {}, [], {}
    assert {"epochs", "network forecast", "books agree"} <= set(failed(record))


def test_an_error_is_a_root_mean_square_of_those_who_spoke(lived: Lived) -> None:
    steps = lived().settled()
    assert rmse(steps, "boosting") == pytest.approx(0.4)
    assert rmse(steps) == pytest.approx(0.4)
    assert rmse(steps, "hash-copier") != rmse(steps, "hash-copier")  # NaN: never opened


def test_the_picture_is_a_png_also_before_anything_happened(lived: Lived, tmp_path: Path) -> None:
    demo = ForecastDemo(tmp_path)
    assert demo.draw(tmp_path / "empty.png").read_bytes().startswith(b"\x89PNG")
    demo.record = lived()
    picture = demo.draw(tmp_path / "demo.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 50_000


def test_a_validators_lines_become_steps(tmp_path: Path) -> None:
    demo = ForecastDemo(tmp_path)
    demo.record.actors = [msgspec.structs.replace(a, hotkey=f"5{a.name}") for a in demo.record.actors]
    first, second = demo.record.of_role(Role.VALIDATOR)
    forecast = {"kind": "forecast", "step": 3, "value": 20.0, "interval": None, "synthesis": 20.1, "naive": 20.2}
    forecast |= {"weights": {"5arima": 1.0}, "inferences": {"5arima": 20.0, "5stranger": 1.0}}
    truth = {"kind": "truth", "step": 3, "truth": 21.0, "utility": 0.1, "reputers": {"5validator-a": 1.0}}
    truth |= {"scores": {"5arima": 1.0}}
    path = Path(first.options["record"])
    path.write_text(json.dumps(forecast) + "\n" + json.dumps(truth)[:20])  # the second is being written
    for line in demo._new_lines(first):
        demo._take(first, line)
    assert demo.record.settled() == []
    path.write_text(json.dumps(forecast) + "\n" + json.dumps(truth) + "\n")
    for line in demo._new_lines(first):
        demo._take(first, line)
    (settled,) = demo.record.settled()
    assert settled.inferences == {"arima": 20.0}
    assert (settled.truth, settled.scores, settled.reputers) == (21.0, {"arima": 1.0}, 1)
    assert demo._new_lines(second) == []
    assert demo.record.rounds_done() == 0  # the other validator has not seen it


def test_a_machine_that_is_slow_to_start_gets_slower_steps(tmp_path: Path) -> None:
    demo = ForecastDemo(tmp_path)
    assert demo._clock(1.0).seconds == SECONDS[0]
    assert demo._clock(25.0).seconds == 5.0
    assert demo._clock(1000.0).seconds == SECONDS[1]
    assert read_topic(tmp_path / "topic.json").seconds == SECONDS[1]


def test_too_few_steps_and_an_unknown_play_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["forecast", "--rounds", str(FEWEST_STEPS - 1)], ["chess"], ["forecast", "--rounds", "501"]):
        with pytest.raises(SystemExit) as ended:
            main(["demo", *words])
        assert ended.value.code == 2
    assert "20<=x<=500" in capsys.readouterr().err
