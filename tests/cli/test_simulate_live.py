"""``subnet simulate --validator``: the user's own classes from the command line, a file, or another process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from subnet.cli import main

BENCH = "tests.lab.bench_live"
OWN = ("--validator", f"{BENCH}:Fair", "--miner", f"{BENCH}:Doubler")
SMALL = ("--validators", "2", "--miners", "5", "--epochs", "4", "--seeds", "1", "--workers", "1")


def call(*args: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(["simulate", *args])
    assert isinstance(end.value.code, int)
    return end.value.code


@pytest.mark.slow
def test_every_attack_has_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(*OWN, *SMALL[:-6], "--epochs", "2", "--seeds", "1", "--workers", "1") == 0
    out = capsys.readouterr().out
    assert "Fair: 2 validators, 5 miners, 2 epochs, 1 seed" in " ".join(out.split())
    for name in ("lazy", "copier", "sybil", "poisoned-replies", "weight-copier", "cabal", "slow"):
        assert name in out


@pytest.mark.parametrize("second", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_json_a_gate_and_another_process(second: str, capsys: pytest.CaptureFixture[str]) -> None:
    attacks = ("-a", "lazy", "-a", f"{BENCH}:Guesser=miners=1", "-s", "rounds=2", "-s", "latency=0.3", "--json")
    printed = []
    for workers in ("1", second):
        assert call(*OWN, *SMALL[:-1], workers, *attacks, "--gate", "honest_share=0.9") == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    found = json.loads(printed[0])
    assert found["rule"] == "Fair"
    assert {one["attack"] for one in found["attacks"]} == {"lazy", "guesser(miners=1)"}
    assert all(one["gain"]["mean"] < -0.8 and one["failed_rounds"] == 0 for one in found["attacks"])
    assert call(*OWN, *SMALL, "-a", "sybil", "--gate", "gain=0.1") == 9


def test_a_scenario_file_and_rounds_that_fail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "live.toml"
    file.write_text(
        f'validator = "{BENCH}:Credulous=alpha=0.2"\nminer = ["{BENCH}:Doubler"]\nvalidators = 2\nminers = 4\n'
        '[params]\nyuma3 = true\n[[attacks]]\nname = "poisoned-replies"\nhow = "nan"\nminers = 1\n'
        f'[[attacks]]\nname = "{BENCH}:Guesser"\nminers = 1\n'
    )
    assert call("--scenario", str(file), "--epochs", "3", "--seeds", "1", "--workers", "1") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "3 epochs" in out
    assert "poisoned-replies(miners=1, how=nan): 100.0% of the honest validators' rounds failed" in out


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("rules:score", *OWN), "two ways to judge"),
        (OWN[2:], "a Miner needs a Validator"),
        (OWN[:2], "needs somebody to ask"),
        (("--validator", f"{BENCH}:Doubler", *OWN[2:]), "is no Validator"),
        (("--validator", f"{BENCH}:Fair=alpha=many", *OWN[2:]), "alpha='many' is no float"),
        (("--validator", f"{BENCH}:Fair=alpha=7", *OWN[2:]), "alpha can't be 7"),
        ((*OWN, "-a", "overfitter"), "no attack 'overfitter'"),
        ((*OWN, "-s", "questions=3"), "no setting 'questions'"),
    ],
)
def test_what_cannot_be_is_told(args: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(*args, *SMALL) not in (0, 1)
    assert said in " ".join(capsys.readouterr().err.split())
