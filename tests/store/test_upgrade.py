"""A file of an older release goes on: nothing it holds is lost, and it gets what it lacks or stays as it was."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from subnet.errors import StoreError
from subnet.store import (
    SCHEMA_VERSION,
    Answer,
    Deferred,
    History,
    Kind,
    Ledger,
    Result,
    Round,
    Score,
    WeightsSet,
    ledger,
    schema,
)
from subnet.types import Block, Hotkey, Netuid, Uid

GENESIS, ME = "0x" + "11" * 32, Hotkey("5Validator")
FIRST = (Path(__file__).parent / "version1.sql").read_text()


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A ledger as the first release left it: two rounds, their receipts, scores and weights."""
    path = tmp_path / "old.sqlite"
    db = sqlite3.connect(path)
    db.executescript(FIRST)
    db.close()
    return path


def opened(path: Path) -> Ledger:
    made = Ledger(path, genesis_hash=GENESIS, netuid=Netuid(2), validator=ME)
    made.keep_window(2)
    return made


def test_what_an_old_file_holds_is_all_there(old: Path) -> None:
    with opened(old) as book:
        assert book.next_round() == 3
        assert book.rounds() == [
            Round(1, Block(10), 100.0, 101.0, 2, 1, None, Kind.SYNTHETIC, "", None),
            Round(2, Block(20), 110.0, 111.0, 2, 2, "ValueError: oh", Kind.SYNTHETIC, "", None),
        ]
        assert book.results(1) == [
            Result(Hotkey("5A"), Uid(1), 1.0, None, 0.25, 0.5),
            Result(Hotkey("5B"), Uid(2), 0.0, "timeout: dendrite.timeout", 5.0, 0.0),
        ]
        assert book.receipts(1, "5A") == [b"receipt"]
        assert book.scores() == {
            "5A": Score(Hotkey("5A"), Uid(1), 0.5, 1, Block(5), Block(10), 101.0, 1, 0.5, 0.0),
            "5B": Score(Hotkey("5B"), Uid(2), 0.0, 1, Block(5), Block(10), 101.0, 1, 0.0, 0.0),
        }
        assert book.weights() == [WeightsSet(Block(30), (Uid(1), Uid(2)), (65535, 0), "0xaa", 120.0)]
        second = WeightsSet(Block(30), (Uid(1),), (65535,), "0xaa", 130.0, mechanism=1)
        book.add_weights(second)
        book.add_weights(second)
        assert (book.mechanisms(), book.weights(mechanism=1)) == ([0, 1], [second])
        assert book.weights(mechanism=None)[1:] == [second]


def test_an_old_file_goes_on_with_what_is_new(old: Path) -> None:
    with opened(old) as book:
        score = Score(Hotkey("5A"), Uid(1), 0.75, 2, Block(5), Block(40), 131.0, 1, 0.75, 0.0625)
        moved = Result(Hotkey("5A"), Uid(1), 1.0, moving=0.75)
        organic = Round(3, Block(40), 130.0, 131.0, 1, 1, kind=Kind.ORGANIC, rule="ema 0.5")
        assert book.record(organic, [moved], [score], notes={"turn": "130"})
    with History(old) as seen:
        assert seen.last_round() == organic
        assert seen.scores()[Hotkey("5A")] == score
        assert seen.samples() == {"5A": [1.0, 1.0], "5B": [0.0]}  # what the old rounds hold is taken over
        assert seen.notes() == {"turn": "130"}


def test_an_upgraded_file_has_the_tables_of_a_new_one(old: Path, tmp_path: Path) -> None:
    opened(old).close()
    opened(tmp_path / "new").close()

    def shape(path: Path) -> dict[str, list[tuple[object, ...]]]:
        db = sqlite3.connect(path)
        names = [row[0] for row in db.execute("SELECT name FROM sqlite_master ORDER BY name")]
        shapes = {name: db.execute(f"PRAGMA table_xinfo({name})").fetchall() for name in names}
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        assert db.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
        db.close()
        return shapes

    assert shape(old) == shape(tmp_path / "new")


def test_what_answers_take_is_counted_when_a_file_gets_to_know_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "STEPS", schema.STEPS[:5])
        with opened(tmp_path / "v") as book:
            for name in ("q1", "q2"):
                answer = Answer(Hotkey("5A"), Uid(1), Block(5), b"said", b"receipt")
                book.defer(Deferred(name, 50.0, 10.0, {answer.hotkey: answer}))
    with opened(tmp_path / "v") as book:
        assert book.held() == {"5A": 22}
        book.expire(due_before=60.0, now=60.0)
        assert book.held() == {}


def test_a_step_that_breaks_off_leaves_the_file_as_it_was(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = dump(old)
    broken = (*schema.STEPS[:1], "CREATE TABLE extra (x); CREATE TABLE extra (x)")
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "STEPS", broken)
        with pytest.raises(StoreError, match="already exists"):
            opened(old)
    assert dump(old) == before
    opened(old).close()


def test_a_reader_says_how_an_old_file_is_upgraded(old: Path) -> None:
    with pytest.raises(StoreError, match="older release") as caught:
        History(old)
    assert "Start its validator" in caught.value.remedy


def dump(path: Path) -> list[str]:
    db = sqlite3.connect(path)
    lines = [*db.iterdump(), str(db.execute("PRAGMA user_version").fetchone())]
    db.close()
    return lines
