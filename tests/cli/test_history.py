"""``subnet history`` and ``subnet explain-score``: what a ledger tells, for people and as JSON, while it is written."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from subnet.cli import main
from subnet.cli.ledgers import moment
from subnet.errors import ConfigError, StoreError
from subnet.store import Commit, Kind, Ledger, Result, Round, Score, WeightsSet, ledger_path
from subnet.types import Block, Hotkey, Netuid, Uid

ME = "5Validator"
NOW = time.time()


@pytest.fixture
def state(tmp_path: Path) -> Any:
    """A state folder whose one ledger is held open by its validator: four rounds, one of them organic, one failed."""
    path = ledger_path(tmp_path, 2, ME)
    with Ledger(path, genesis_hash="0x" + "11" * 32, netuid=Netuid(2), validator=Hotkey(ME)) as book:
        for number, worth in enumerate((1.0, 0.0, 0.5, None), 1):
            moving = {1: 0.5, 2: 0.25, 3: 0.375}.get(number)
            results = [
                Result(Hotkey("5A"), Uid(1), worth, elapsed=0.2, moving=moving),
                Result(Hotkey("5B"), Uid(2), None, reason="timeout: [bold]now\x1b[2J", elapsed=5.0),
            ]
            score = Score(Hotkey("5A"), Uid(1), moving or 0.375, 3, Block(5), Block(9), NOW, 1, 0.5, 0.25)
            kind = Kind.ORGANIC if number == 2 else Kind.SYNTHETIC
            error = None if worth is not None else "ValueError: oh"
            ended = NOW - 3600 * (4 - number)
            book.record(Round(number, Block(9), ended - 1, ended, 2, 1, error, kind, "ema 0.5"), results, [score])
        book.add_weights(WeightsSet(Block(30), (Uid(1), Uid(2)), (65535, 0), "0xaa", NOW))
        first = Commit("0xaa", 0, (1, 2), (9, 9), (1, 2), 0, Block(29), NOW - 3600, Block(30), Block(40), "revealed")
        book.keep_commit(first)
        book.update_commit("0xaa", block=Block(30), due=Block(40), outcome="revealed")
        book.keep_commit(Commit("timelock:bb", 1, (1,), (7,), (), 0, Block(44), NOW))
        yield tmp_path


def call(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main(args)
    said = capsys.readouterr()
    return int(end.value.code or 0), said.out, said.err


def data(capsys: pytest.CaptureFixture[str], *args: str) -> Any:
    code, out, err = call(capsys, *args, "--json")
    assert code == 0, out + err
    return json.loads(out)


def test_rounds_scores_weights_and_failures(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def history(*args: str) -> Any:
        return data(capsys, "history", *args, "--state", str(state))

    assert [row["round"] for row in history()] == [1, 2, 3, 4]
    assert [row["round"] for row in history("--last", "2")] == [3, 4]
    assert [row["round"] for row in history("--kind", "organic")] == [2]
    assert [row["error"] for row in history("--failed")] == ["ValueError: oh"]
    assert [row["round"] for row in history("--since", "90m")] == [3, 4]
    assert [row["round"] for row in history("--until", "90m")] == [1, 2]
    assert [row["moving"] for row in history("scores", "--uid", "1")] == [0.5, 0.25, 0.375]
    assert [row["score"] for row in history("--uid", "5A")] == [1.0, 0.0, 0.5, None]
    assert [(row["uid"], row["moving"], row["mean"], row["deviation"]) for row in history("scores")] == [
        (1, 0.375, 0.5, 0.5)
    ]
    assert [row["weights"] for row in history("weights")] == [{"1": 65535}]
    assert [(row["block"], row["due"], row["form"], row["outcome"]) for row in history("commits")] == [
        (30, 40, "hash", "revealed"),
        (None, None, "timelock", "open"),
    ]
    assert [row["weights"] for row in history("commits", "--last", "1")] == [{"1": 7}]
    assert [row["share"] for row in history("commits", "--uid", "2", "--until", "30m")] == [0.5]
    assert all("salt" not in row for row in history("commits"))
    assert [(row["weight"], row["share"]) for row in history("weights", "-u", "1")] == [(65535, 1.0)]
    assert [row["weight"] for row in history("weights", "-u", "5B")] == [0]
    assert [(row["round"], row["uid"]) for row in history("failures", "--last", "2")] == [(3, 2), (4, 2)]
    assert history("failures", "--uid", "1") == []
    assert [(row["uid"], row["reason"] is None) for row in history("--round", "1")] == [(1, True), (2, False)]
    assert [row["uid"] for row in history("--round", "1", "--uid", "2")] == [2]


def test_tables_are_for_people_and_a_miners_words_are_harmless(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for what in ((), ("scores",), ("weights",), ("failures",), ("--round", "1"), ("--uid", "1")):
        code, out, _ = call(capsys, "history", *what, "--state", str(state))
        assert code == 0
        assert "\x1b" not in out
        assert len(out.splitlines()) > 2
    _, out, _ = call(capsys, "history", "failures", "--state", str(state))
    assert "timeout: [bold]now\\x1b[2J" in out


def test_a_score_is_explained(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = data(capsys, "explain-score", "1", "--state", str(state), "--offline")
    assert (found["uid"], found["hotkey"], found["holds"]) == (1, "5A", True)
    assert found["score"]["value"] == 0.375
    assert [(one["round"], one["weight"], one["part"]) for one in found["contributions"]] == [
        (1, 0.125, 0.125),
        (2, 0.25, 0.0),
        (3, 0.5, 0.25),
    ]
    assert found["weights"]["weight"] == 65535
    assert found["chain"] == {"asked": False, "problem": "not asked (--offline)"}
    code, out, _ = call(capsys, "explain-score", "5A", "--state", str(state), "--offline", "--rounds", "2")
    assert code == 0
    for words in ("Score 0.375", "50.00%", "earlier", "follows from the one before", "65535 of 65535, 100.00%"):
        assert words in out
    code, out, _ = call(capsys, "explain-score", "2", "--state", str(state), "--offline")
    assert code == 0
    assert "It has no score" in out
    assert "timeout: [bold]now\\x1b[2J" in out


def test_a_chain_that_does_not_answer_is_said_and_no_error(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = data(capsys, "explain-score", "1", "--state", str(state), "--endpoint", "ws://127.0.0.1:1")
    assert found["chain"]["asked"] is False
    assert "127.0.0.1" in found["chain"]["problem"]


def test_the_ledger_is_found_or_it_is_said_why_not(
    state: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path_factory.mktemp("empty")
    code, _, err = call(capsys, "history", "--state", str(empty))
    assert (code, "holds no validator's ledger" in err) == (ConfigError.exit_code, True)
    other = ledger_path(state, 3, ME)
    Ledger(other, genesis_hash="0x" + "11" * 32, netuid=Netuid(3), validator=Hotkey(ME)).close()
    code, _, err = call(capsys, "history", "--state", str(state))
    assert (code, "holds 2 ledgers" in err) == (ConfigError.exit_code, True)
    assert len(data(capsys, "history", "--state", str(state), "--netuid", "2")) == 4
    assert data(capsys, "history", "--ledger", str(other)) == []
    code, _, err = call(capsys, "history", "--ledger", str(state / "none"))
    assert (code, "does not exist" in err) == (StoreError.exit_code, True)


@pytest.mark.parametrize(
    "args",
    [
        ("scores", "--failed"),
        ("weights", "--round", "1"),
        ("--kind", "truth", "--uid", "1"),
        ("--since", "yesterday"),
        ("--round", "99"),
        ("--uid", "9"),
        ("scores", "--uid", "5Nobody"),
    ],
)
def test_what_makes_no_sense_is_refused(state: Path, capsys: pytest.CaptureFixture[str], args: tuple[str, ...]) -> None:
    code, _, err = call(capsys, "history", *args, "--state", str(state))
    assert code != 0
    assert err.startswith("error[")


def test_times_are_read_as_people_write_them() -> None:
    assert moment(None, "--since") is None
    assert moment("2h", "--since") == pytest.approx(time.time() - 7200, abs=60)
    assert moment("1.5d", "--since") == pytest.approx(time.time() - 129_600, abs=60)
    assert moment("2026-01-31T08:00+00:00", "--since") == 1769846400.0
    for bad in ("2 hours", "-1h", "tomorrow", "", "9" * 400 + "h", "٣h"):
        with pytest.raises(ConfigError):
            moment(bad, "--since")
