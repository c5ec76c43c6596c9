"""``subnet simulate-placement``: a table, JSON and a picture of the same day for each policy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from subnet.cli import main

SMALL = ("--nodes", "200", "--hours", "3", "-s", "step=300")


def call(*args: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(["simulate-placement", *args])
    assert isinstance(end.value.code, int)
    return end.value.code


def test_a_line_for_each_policy(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(*SMALL) == 0
    out = capsys.readouterr().out
    assert "200 nodes, 3 hours in steps of 300 s" in out
    for name in ("random, quorum 2", "4 choices, quorum 2", "adaptive"):
        assert name in out


@pytest.mark.slow
def test_a_picture(tmp_path: Path) -> None:
    assert call(*SMALL, "--plot", str(tmp_path / "day.png")) == 0
    assert (tmp_path / "day.png").read_bytes().startswith(b"\x89PNG")
    assert call(*SMALL, "--plot", str(tmp_path / "nowhere" / "day.png")) not in (0, 1)


def test_json_has_every_figure_and_a_seed_repeats_it(capsys: pytest.CaptureFixture[str]) -> None:
    printed = []
    for seed in ("3", "3", "4"):
        assert call(*SMALL, "--seed", seed, "-p", "adaptive", "-p", "random", "--json") == 0
        printed.append(json.loads(capsys.readouterr().out))
    assert printed[0] == printed[1] != printed[2]
    assert printed[0]["scenario"]["nodes"] == 200
    adaptive, random = printed[0]["policies"]
    assert adaptive["created"] == random["created"] == adaptive["done"] + adaptive["open"]
    assert adaptive["latency_s"]["p50"] <= adaptive["latency_s"]["p99"]
    assert random["replicas_per_unit"] >= 2


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("-p", "best"), "no policy 'best'"),
        (("-s", "cheaters"), "is not NAME=VALUE"),
        (("-s", "colour=1"), "has no 'colour'"),
        (("-s", "cheaters=many"), "cheaters can't be 'many'"),
        (("--nodes", "0"), "nodes is 0"),
        (("-s", "load=nan"), "load is nan"),
    ],
)
def test_what_cannot_be_is_told(args: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(*SMALL, *args) not in (0, 1)
    assert said in capsys.readouterr().err
