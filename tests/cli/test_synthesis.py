"""``subnet synthesis``: two epochs in, the current one's columns out."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from subnet.cli import main

EPOCHS: dict[str, dict[str, float]] = json.loads(
    (Path(__file__).parent.parent / "data" / "allora_epochs.json").read_text()
)["epochs"]


def call(*args: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(["synthesis", *args])
    assert isinstance(end.value.code, int)
    return end.value.code


def document(previous: str, current: str) -> str:
    return json.dumps({"previous": EPOCHS[previous], "current": EPOCHS[current]})


@pytest.fixture
def case(tmp_path: Path) -> str:
    path = tmp_path / "case.json"
    path.write_text(document("300", "301"))
    return str(path)


def assert_golden(printed: dict[str, Any], current: str) -> None:
    assert len(printed) == 245
    for name, value in printed.items():
        assert value == pytest.approx(EPOCHS[current][name], rel=1e-10, abs=0), name


@pytest.mark.e2e
def test_the_command_prints_the_golden_columns(case: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "subnet", "synthesis", case, "--json"], capture_output=True, check=True, timeout=120
    )
    assert done.stderr == b""
    assert done.stdout.endswith(b"}\n")
    assert_golden(json.loads(done.stdout), "301")


def test_a_case_comes_by_stdin(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(document("301", "302").encode())))
    assert call("-", "--json") == 0
    assert_golden(json.loads(capsys.readouterr().out), "302")


def test_without_json_it_is_a_table(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(case) == 0
    out = capsys.readouterr().out
    assert "forecaster 2" in out
    assert "network  0.194506" in out
    assert "inferers 36.6%" in out


def test_the_other_scale_weighs_otherwise(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(case, "--normalisation", "mad", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["network_loss"] == pytest.approx(EPOCHS["301"]["network_loss"])
    assert printed["network_inference"] != pytest.approx(EPOCHS["301"]["network_inference"], rel=1e-6)


@pytest.mark.parametrize("content", ["", "{}", '{"previous": {}, "current": {"inference_0": 1}}'])
def test_a_file_without_epochs_is_told(tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "case.json"
    path.write_text(content)
    assert call(str(path), "--json") == 2
    told = json.loads(capsys.readouterr().out)["error"]
    assert told["code"] == "config"
    assert "holds no epochs" in told["message"]
    assert "synthesis.md" in told["remedy"]


def test_a_file_that_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(str(tmp_path / "none.json")) == 2
    assert "can't be read" in capsys.readouterr().err
