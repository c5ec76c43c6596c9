"""``subnet simulate``: a table, JSON, a picture, and a gate with an exit code of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from subnet.cli import main

SMALL = ("--validators", "5", "--miners", "12", "--epochs", "8", "--seeds", "2", "--workers", "1")
CABAL = ("-a", "cabal=stake=0.3,miners=2")


def call(*args: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(["simulate", *args])
    assert isinstance(end.value.code, int)
    return end.value.code


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_every_attack_has_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(*SMALL, "--no-search", "--epochs", "3", "--seeds", "1") == 0
    out = capsys.readouterr().out
    for name in ("lazy", "copier", "sybil", "sandbagger", "cabal", "weight-copier", "self-weighting", "poisoner"):
        assert name in out
    assert "5 validators, 12 miners, 3 epochs, 1 seed, commit-reveal off" in " ".join(out.split())


def test_json_has_every_figure(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(*SMALL, *CABAL, "--commit-reveal", "1", "--seed", "3", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["seeds"] == [3, 4]
    assert printed["commit_reveal_tempos"] == 1
    (attack,) = printed["attacks"]
    assert attack["attack"] == "cabal(miners=2, stake=0.3)"
    assert attack["gain"]["low"] <= attack["gain"]["mean"] <= attack["gain"]["high"] < 0
    assert attack["smallest_stake"] == pytest.approx(0.5, abs=0.06)
    assert 0 < attack["honest_share"]["mean"] <= 1
    assert attack["pays"] is False


def test_workers_change_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    printed = []
    for workers in ("1", "2"):
        assert call(*SMALL[:-1], workers, *CABAL, "-a", "copier", "--no-search", "--json") == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]


def test_a_gate_that_fails_ends_with_9_and_names_the_attack(capsys: pytest.CaptureFixture[str]) -> None:
    args = (*SMALL, "--no-search", "-a", "sybil", "-a", "lazy")
    assert call(*args, "--gate", "gain=0.5", "--gate", "honest_share=0") == 9
    said = capsys.readouterr()
    assert "error[lab.gate]: sybil: gain is" in said.err
    assert "lazy: gain" not in said.err
    assert "honest" in said.out
    assert call(*args, "--gate", "gain<=100") == 0


def test_a_rule_and_an_attack_of_ones_own(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "my_subnet_rules.py").write_text(
        "import numpy as np\n"
        "from subnet.lab import Actor\n"
        "def score(seen):\n    return 1 / (1 + np.nan_to_num(abs(seen.errors), nan=9).mean(axis=2))\n"
        "class Silent(Actor):\n    def answer(self, asked):\n        return asked.silence()\n"
    )
    args = ("my_subnet_rules:score", *SMALL, "--no-search", "-a", "my_subnet_rules:Silent=miners=3", "--json")
    assert call(*args) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["rule"] == "score"
    assert printed["attacks"][0]["attack"] == "silent(miners=3)"
    assert printed["attacks"][0]["gain"]["mean"] < -0.5


def test_a_rule_that_breaks_is_told_with_its_line_from_a_worker_too(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "my_broken_rules.py").write_text("def score(seen):\n    return 1 / 0\nnameless = lambda seen: 1\n")
    for workers in ("1", "2"):
        assert call("my_broken_rules:score", *SMALL[:-1], workers, "-a", "lazy", "--no-search") == 4
        assert "epoch 0, my_broken_rules.py line 2: ZeroDivisionError" in capsys.readouterr().err
    assert call("my_broken_rules:nameless", *SMALL[:-1], "2", "-a", "lazy", "--no-search") == 4
    assert "no lambda" in capsys.readouterr().err


def test_a_scenario_file_and_flags_before_it(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = here / "scenario.toml"
    file.write_text(
        "validators = 4\nminers = 12\nepochs = 500\nreveal = 2\nquestions = 2\n"
        '[task]\nkind = "labels"\nclasses = 3\n[honest]\nskill = 0.9\n[params]\nyuma3 = true\n'
        '[[attacks]]\nname = "lazy"\nminers = 2\n[gates]\nhonest_share = 0.999\n'
    )
    args = ("--scenario", str(file), "--epochs", "8", "--seeds", "1", "--workers", "1", "-s", "alpha=0.3")
    assert call(*args, "--json") == 9
    printed = json.loads(capsys.readouterr().out.splitlines()[0])
    assert (printed["validators"], printed["epochs"], printed["commit_reveal_tempos"]) == (4, 8, 2)
    assert [one["attack"] for one in printed["attacks"]] == ["lazy(miners=2)"]
    assert call(*args, "--json", "--gate", "honest_share=0.1", "-a", "slow") == 0
    assert json.loads(capsys.readouterr().out)["attacks"][0]["attack"] == "slow"


def test_a_picture(here: Path) -> None:
    pytest.importorskip("matplotlib")
    assert call(*SMALL, *CABAL, "-a", "sybil", "--no-search", "--seeds", "1", "--epochs", "3", "--plot", "out.png") == 0
    assert (here / "out.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (("-a", "cabbal"), 2, "cabal"),
        (("-a", "cabal=stak=1"), 2, "has no 'stak'"),
        (("-a", "cabal=stake=much"), 2, "stake can't be 'much'"),
        (("-a", "cabal=stake=2"), 2, "stake is 2"),
        (("-a", "cabal=stake"), 2, "PARAM=VALUE"),
        (("-a", "os:path"), 4, "no attack"),
        (("no_such_rules:score",), 2, "no module"),
        (("subnet.lab:scor",), 2, "has no scor"),
        (("subnet.lab",), 2, "MODULE:NAME"),
        (("--gate", "honesty=1"), 2, "no gate"),
        (("--gate", "gain>=1"), 2, "no gate"),
        (("--gate", "gain=nan"), 2, "no number"),
        (("--set", "alpha"), 2, "NAME=VALUE"),
        (("--set", "alhpa=1"), 2, "no setting"),
        (("--set", "kappa=99999"), 2, "u16"),
        (("--set", "yuma3=perhaps"), 2, "yuma3"),
        (("--miners", "3", "-a", "cabal=miners=3"), 2, "nobody honest"),
        (("--workers", "-3"), 2, "workers is"),
        (("--scenario", "/nowhere/at/all.toml"), 2, "can't be read"),
        (("--no-search", "--gate", "smallest_stake=0.4"), 2, "needs the search"),
        (("--commit-reveal", "100", "--validators", "1000", "--miners", "9000"), 2, "too many to keep"),
        (("--plot", "/nowhere/at/all.png"), 2, "no folder"),
    ],
)
def test_what_can_t_be_played_is_told_before_it_is_played(
    args: tuple[str, ...], code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(*args) == code
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    [
        "validators = ",
        "validaters = 3",
        "rule = 3",
        "task = 3",
        '[task]\nkind = "poems"',
        "attacks = 3",
        "attacks = [3]",
        "[[attacks]]\nstake = 0.1",
        "[params]\nkappa = 70000",
        "[params]\nkapa = 1",
        "[honest]\nskill = 2.0",
        "[honest]\nminers = true",
        "gates = 1",
        '[gates]\nhonest_share = "high"',
        "a = " + "[" * 100_000,
        "\xff",
    ],
)
def test_a_file_that_is_no_scenario_is_told(here: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "broken.toml").write_text(text, encoding="latin-1")
    assert call("--scenario", "broken.toml") == 2
    assert "error[config]" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(("signal_", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -15), (signal.SIGKILL, -9)])
def test_however_it_ends_its_workers_end_with_it(signal_: signal.Signals, code: int) -> None:
    import psutil

    args = [sys.executable, "-m", "subnet.cli", "simulate", "--epochs", "50000", "--workers", "2", "-a", "lazy"]
    process = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    workers: list[psutil.Process] = []
    deadline = time.monotonic() + 60
    # each worker has come so far that it watches its parent once it has spent CPU on its trial
    while len(workers) < 2 or min(w.cpu_times().user for w in workers) < 2:
        assert time.monotonic() < deadline
        workers = [c for c in psutil.Process(process.pid).children() if "spawn_main" in " ".join(c.cmdline())]
        time.sleep(0.05)
    process.send_signal(signal_)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == code
    assert out == b""
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert not alive
