"""``subnet consensus``: one epoch in, what the chain would have paid out."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from subnet.cli import main

REAL = json.loads((Path(__file__).parent.parent / "data" / "real_epochs.json").read_text())["cases"]
EPOCH: dict[str, Any] = REAL["yuma3_liquid_8x16"][2]


def call(*args: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(["consensus", *args])
    assert isinstance(end.value.code, int)
    return end.value.code


@pytest.fixture
def case(tmp_path: Path) -> str:
    path = tmp_path / "case.json"
    path.write_text(json.dumps(EPOCH["input"]))
    return str(path)


def test_the_exact_form_prints_what_the_runtime_wrote(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(case, "--variant", "293", "--exact", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert {name: printed[name] for name in EPOCH["output"]} == EPOCH["output"]


def test_the_fast_form_is_close(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(case, "--variant", "293", "--fast", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert max(abs(a - b) for a, b in zip(printed["Incentive"], EPOCH["output"]["Incentive"], strict=True)) <= 1


def test_without_json_it_is_a_table(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(case, "--variant", "293") == 0
    out = capsys.readouterr().out
    assert "Yuma 3, 293, exact" in out
    assert f"{EPOCH['output']['Emission'][0]:,}" in out


def test_both_forms_are_compared(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(case, "--variant", "293", "--compare") == 0
    out = capsys.readouterr().out
    assert "off by" in out
    assert "ValidatorTrust" in out
    assert call(case, "--variant", "293", "--compare", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert set(printed) >= set(EPOCH["output"]) - {"Active", "ValidatorPermit", "Rank"}
    assert all(one["largest"] <= one["bound"] for one in printed.values())


def test_a_case_comes_by_stdin(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(EPOCH).encode())))
    assert call("-", "--variant", "293", "--json") == 0
    assert json.loads(capsys.readouterr().out)["Bonds"] == EPOCH["output"]["Bonds"]


@pytest.mark.parametrize("content", ["", "{}", "no json"])
def test_a_file_without_an_epoch_is_told(tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "case.json"
    path.write_text(content)
    assert call(str(path)) == 2
    assert "holds no epoch" in capsys.readouterr().err


def test_a_file_that_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(str(tmp_path / "none.json")) == 2
    assert "can't be read" in capsys.readouterr().err
