from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from subnet.cli import main
from subnet.demo import checks
from subnet.demo.checks import EPOCHS
from subnet.demo.record import Record
from subnet.demo.settings import BLOCK_TIME, FEWEST_ROUNDS, INTERVAL, ROUNDS, tempo_for
from subnet.demo.show import Outcome, compare, new_folder
from subnet.errors import DemoError

Lived = Callable[..., Record]


def outcome(record: Record) -> Outcome:
    return Outcome(record, checks.run(record), {"plot": Path("demo.png")}, 60.0)


def test_the_data_are_json_and_hold_verdict_pay_checks_and_record(lived: Lived) -> None:
    data = json.loads(json.dumps(outcome(lived()).as_data()))
    assert data["holds"] is True
    assert data["earned_rao"]["good-a"] > data["earned_rao"]["weak"] > data["earned_rao"]["random"] > 0
    assert {check["name"] for check in data["checks"]} >= {"books agree", "copier below good-a"}
    assert data["record"]["epochs"][-1]["shares"][3]["incentive"] > 0
    assert data["record"]["rounds"][0]["scores"]["3"] == pytest.approx(0.9)


def test_one_failed_check_is_enough(lived: Lived) -> None:
    assert outcome(lived(weak=0.8)).as_data()["holds"] is False


def test_seeds_are_compared_in_one_table(lived: Lived) -> None:
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(compare([outcome(lived()), outcome(lived(copier=0.9))]))
    text = console.export_text()
    assert "10 hold" in text
    assert "copier below good-a" in " ".join(text.split())
    assert "21.92" in text


def test_two_folders_made_in_one_second_are_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first, second = new_folder(here=True), new_folder(here=True)
    assert first != second
    assert first.parent == second.parent == tmp_path
    assert first.name.startswith("subnet-demo-")


@pytest.mark.parametrize("rounds", [FEWEST_ROUNDS, ROUNDS, 100])
def test_more_than_six_epochs_go_by_while_the_rounds_do(rounds: int) -> None:
    assert rounds * INTERVAL / (tempo_for(rounds) * BLOCK_TIME) >= EPOCHS + 1 or tempo_for(rounds) == 10


@pytest.mark.parametrize("options", [["--rounds", "3"], ["--miners", "5"], ["--miners", "17"]])
def test_settings_that_can_not_work_are_refused(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["demo", *options])
    assert ended.value.code == 2
    assert options[0] in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(DemoError, match="no folder"):
        new_folder(here=True)
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/dev/null")
    with pytest.raises(DemoError, match="can't be made"):
        new_folder(here=False)
