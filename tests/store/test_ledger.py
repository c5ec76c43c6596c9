"""The ledger: what is acknowledged stays, nothing counts twice, damage is told from absence."""

from __future__ import annotations

import math
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from subnet.errors import StoreError
from subnet.store import (
    MAX_ANSWER,
    MAX_RECEIPT,
    Answer,
    Deferred,
    History,
    Kind,
    Ledger,
    Result,
    Round,
    Score,
    WeightsSet,
    ledger_path,
)
from subnet.types import Block, Hotkey, Netuid, Uid

GENESIS = "0x" + "11" * 32
ME = Hotkey("5Validator")


def ledger(path: Path, **options: Any) -> Ledger:
    chosen = {"genesis_hash": GENESIS, "netuid": Netuid(2), "validator": ME, **options}
    window = chosen.pop("window", 0)
    made = Ledger(path, **chosen)
    made.keep_window(window)
    return made


def round_of(number: int, **fields: Any) -> Round:
    return Round(
        **{
            "id": number,
            "block": Block(10 * number),
            "started": 100.0,
            "ended": 101.0,
            "asked": 1,
            "answered": 1,
        }
        | fields
    )


def score_of(hotkey: str, value: float, uid: int = 0, rounds: int = 1) -> Score:
    return Score(Hotkey(hotkey), Uid(uid), value, rounds, Block(5), Block(10), 101.0)


def result_of(hotkey: str, score: float | None, uid: int = 0, **fields: Any) -> Result:
    return Result(Hotkey(hotkey), Uid(uid), score, **fields)


def test_a_round_and_all_that_belongs_to_it_come_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "v.sqlite"
    results = [
        result_of("a", 0.5, 3, elapsed=0.25, moving=0.05, receipts=(b"one", b"two")),
        result_of("b", 0.0, 1, reason="timeout", elapsed=5.0),
        result_of("c", None, 2),
    ]
    with ledger(path) as book:
        assert book.next_round() == 1
        assert book.record(round_of(1, asked=2, error="oh"), results, [score_of("a", 0.5, 3), score_of("b", 0.0, 1)])
    with History(path) as seen:
        assert seen.rounds() == [round_of(1, asked=2, error="oh")]
        assert seen.last_round() == round_of(1, asked=2, error="oh")
        assert [r.hotkey for r in seen.results(1)] == ["b", "c", "a"]
        assert seen.results(1)[0] == result_of("b", 0.0, 1, reason="timeout", elapsed=5.0)
        assert seen.results(1)[2] == result_of("a", 0.5, 3, elapsed=0.25, moving=0.05)
        assert seen.receipts(1, "a") == [b"one", b"two"]
        assert seen.receipts(1, "b") == []
        assert list(seen.scores()) == ["b", "a"]  # by uid
        assert seen.scores()[Hotkey("a")] == score_of("a", 0.5, 3)


def test_the_same_round_twice_counts_once(tmp_path: Path) -> None:
    with ledger(tmp_path / "v") as book:
        assert book.record(round_of(1), [result_of("a", 1.0)], [score_of("a", 1.0)])
        assert not book.record(round_of(1), [result_of("a", 1.0)], [score_of("a", 2.0)])
        assert not book.record(round_of(3), [], [])  # nor one from the future
        assert book.scores()[Hotkey("a")].value == 1.0
        assert book.next_round() == 2


def test_a_round_number_is_not_used_again_after_pruning(tmp_path: Path) -> None:
    with ledger(tmp_path / "v", keep_days=1.0) as book:
        book.record(round_of(1, ended=0.0), [result_of("a", 1.0, receipts=(b"r",))], [score_of("a", 1.0)])
        book.add_weights(WeightsSet(Block(3), (Uid(1),), (65535,), "0xaa", 0.0))
        book.prune(now=10 * 86_400.0)
        assert book.rounds() == []
        assert book.results(1) == []
        assert book.receipts(1, "a") == []
        assert book.weights() == []
        assert book.next_round() == 2
        assert book.scores()[Hotkey("a")].value == 1.0  # a score has no age: who is not asked keeps it


def test_rounds_are_pruned_by_themselves(tmp_path: Path) -> None:
    with ledger(tmp_path / "v", keep_days=1.0) as book:
        for number in range(1, 129):
            book.record(round_of(number, ended=number * 3600.0), [], [])
        ended = [r.ended for r in book.rounds()]
    assert min(ended) >= 128 * 3600.0 - 86_400.0
    assert len(ended) == 25


def test_rounds_are_found_by_kind_failure_and_time(tmp_path: Path) -> None:
    with ledger(tmp_path / "v") as book:
        for number in range(1, 9):
            kind = Kind.ORGANIC if number % 2 else Kind.SYNTHETIC
            book.record(round_of(number, kind=kind, error="oh" if number > 5 else None, ended=float(number)), [], [])

        def found(limit: int = 9, **filters: Any) -> list[int]:
            return [r.id for r in book.latest_rounds(limit, **filters)]

        assert found(3) == [6, 7, 8]
        assert found(kind=Kind.ORGANIC) == [1, 3, 5, 7]
        assert found(failed=True) == [6, 7, 8]
        assert found(begin=2.0, end=4.0) == [2, 3, 4]
        assert found(2, kind=Kind.SYNTHETIC, failed=True, end=7.5) == [6]
        assert book.round(4) == round_of(4, ended=4.0)
        assert book.round(99) is None


def test_a_miners_results_are_found_newest_first_but_told_oldest_first(tmp_path: Path) -> None:
    with ledger(tmp_path / "v") as book:
        for number in range(1, 7):
            reason = "timeout" if number == 4 else None
            results = [result_of("a", float(number), reason=reason), result_of("b", 0.0, 1, reason="busy", elapsed=0.1)]
            book.record(round_of(number, started=number + 0.5), results[number % 3 == 0 :], [])
        assert [(r.id, x.score) for r, x in book.results_of("a", 3)] == [(2, 2.0), (4, 4.0), (5, 5.0)]
        assert [r.id for r, _ in book.results_of("a", 9, after=2)] == [4, 5]
        assert [r.id for r, _ in book.results_of("a", 9, failed=True)] == [4]
        assert [(r.id, x.hotkey) for r, x in book.failures(4)] == [(4, "a"), (4, "b"), (5, "b"), (6, "b")]
        assert book.last_asked() == {"b": 6.5}  # "a" was scored without being asked


def test_a_window_keeps_its_last_scores_whatever_their_age(tmp_path: Path) -> None:
    with ledger(tmp_path / "v", window=3, keep_days=1.0) as book:
        for number in range(1, 6):
            book.record(round_of(number), [result_of("a", float(number), moving=0.0), result_of("b", 9.0)], [])
        book.prune(now=1e9)
        assert book.samples() == {"a": [3.0, 4.0, 5.0]}  # "b" was not moved
    with ledger(tmp_path / "v", window=2) as book:
        book.record(round_of(6), [result_of("a", 6.0, moving=0.0)], [])
        assert book.samples() == {"a": [5.0, 6.0]}
        book.record(round_of(7), [], [], gone=[Hotkey("a")])
        assert book.samples() == {}


def question(id_: str, *hotkeys: str, due: float = 50.0, body: bytes = b"said") -> Deferred:
    answers = [Answer(Hotkey(hotkey), Uid(uid), Block(5), body, b"receipt") for uid, hotkey in enumerate(hotkeys)]
    return Deferred(id_, due, 10.0, {answer.hotkey: answer for answer in answers})


def test_answers_wait_for_their_truth_over_restarts(tmp_path: Path) -> None:
    with ledger(tmp_path / "v") as book:
        assert book.defer(question("late", "a", due=90.0))
        assert book.defer(question("soon", "a", "b"))
    with ledger(tmp_path / "v") as book:
        assert [(q.id, q.due, q.made) for q in book.open_questions()] == [("soon", 50.0, 10.0), ("late", 90.0, 10.0)]
        assert [q.id for q in book.open_questions(due=50.0)] == ["soon"]
        assert [q.id for q in book.open_questions(1)] == ["soon"]
        assert book.open_count() == 2
        assert book.deferred("soon") == question("soon", "a", "b")
        assert book.deferred("never") is None


def test_a_truth_counts_once(tmp_path: Path) -> None:
    with ledger(tmp_path / "v", keep_days=1.0) as book:
        book.defer(question("q", "a"))
        truth = round_of(1, kind=Kind.TRUTH, subject="q")
        assert book.record(truth, [result_of("a", 1.0)], [score_of("a", 1.0)])
        again = round_of(2, kind=Kind.TRUTH, subject="q")
        assert not book.record(again, [result_of("a", 1.0)], [score_of("a", 2.0)])
        assert not book.record(round_of(2, kind=Kind.TRUTH, subject="unknown"), [], [score_of("a", 2.0)])
        assert not book.defer(question("q", "b"))  # nor is it asked a second time
        assert book.deferred("q") is None
        assert book.scores()[Hotkey("a")].value == 1.0
        assert book.next_round() == 2
        assert book.rounds() == [truth]
        book.prune(now=10 * 86_400.0)
        assert book.defer(question("q", "b"))


def test_a_truth_of_a_wrong_round_number_leaves_its_question_open(tmp_path: Path) -> None:
    with ledger(tmp_path / "v") as book:
        book.defer(question("q", "a"))
        assert not book.record(round_of(7, kind=Kind.TRUTH, subject="q"), [], [])
        assert book.open_count() == 1


def test_the_first_answers_to_a_question_stand(tmp_path: Path) -> None:
    with ledger(tmp_path / "v") as book:
        assert book.defer(question("q", "a", body=b"first"))
        assert not book.defer(question("q", "a", "b", body=b"second"))
        found = book.deferred("q")
        assert found is not None
        assert {k: a.body for k, a in found.answers.items()} == {"a": b"first"}


def test_a_question_that_never_got_its_truth_expires(tmp_path: Path) -> None:
    with ledger(tmp_path / "v") as book:
        for number, due in enumerate((10.0, 20.0, 30.0)):
            book.defer(question(f"q{number}", "a", due=due))
        assert book.expire(due_before=25.0, now=100.0) == ["q0", "q1"]
        assert book.expire(due_before=25.0, now=100.0) == []
        assert [q.id for q in book.open_questions()] == ["q2"]
        assert not book.record(round_of(1, kind=Kind.TRUTH, subject="q0"), [], [])
        assert not book.defer(question("q0", "a"))


def test_what_each_miners_answers_take_is_known(tmp_path: Path) -> None:
    with ledger(tmp_path / "v", keep_days=1.0) as book:
        for name in ("q1", "q2", "q3"):
            book.defer(question(name, "a", "b"))
        book.defer(question("q4", "a", body=b"x" * 1000))
        assert not book.defer(question("q4", "a", "b"))
        one = len(b"said") + len(b"receipt")
        assert book.held() == {"a": 3 * one + 1000 + len(b"receipt"), "b": 3 * one}
        book.record(round_of(1, kind=Kind.TRUTH, subject="q4"), [], [])
        assert book.held() == {"a": 3 * one, "b": 3 * one}
        with pytest.raises(StoreError):
            book.record(round_of(2, kind=Kind.TRUTH, subject="q1"), [result_of("a", 1.0), result_of("a", 1.0)], [])
        assert book.held() == {"a": 3 * one, "b": 3 * one}  # as the question stayed open
    with ledger(tmp_path / "v") as book:
        assert book.held() == {"a": 3 * one, "b": 3 * one}
        book.expire(due_before=90.0, now=100.0)
        assert book.held() == {}


def test_what_other_chains_left_in_the_file_is_pruned_too(tmp_path: Path) -> None:
    day, other = 86_400.0, {"genesis_hash": "0x" + "22" * 32}
    with ledger(tmp_path / "v", keep_days=1.0) as book:
        for number, ended in ((1, 0.0), (2, 9.5 * day)):
            results = [result_of("a", 1.0, receipts=(b"r",))]
            book.record(round_of(number, ended=ended), results, [score_of("a", 1.0)])
        book.add_weights(WeightsSet(Block(3), (Uid(1),), (65535,), "0xaa", 0.0))
        book.defer(question("closed", "a"))
        book.expire(due_before=60.0, now=60.0)
        book.defer(question("old", "a"))
        book.defer(question("late", "a", due=9.5 * day))
    with ledger(tmp_path / "v", keep_days=1.0, **other) as book:
        book.defer(question("mine", "a"))
        book.prune(now=10 * day)
        assert [one.id for one in book.open_questions()] == ["mine"]  # its truth may come yet
    with ledger(tmp_path / "v") as book:
        assert [r.id for r in book.rounds()] == [2]
        assert book.receipts(1, "a") == []
        assert book.weights() == []
        assert [one.id for one in book.open_questions()] == ["late"]  # nobody will judge the other
        assert book.defer(question("closed", "a"))
        assert book.scores()[Hotkey("a")].value == 1.0
        assert book.next_round() == 3


@pytest.mark.parametrize(
    "bad",
    [
        question("", "a"),
        question("x" * 201, "a"),
        question("q", "a", due=math.nan),
        question("q", "a", due=math.inf),
        question("q", "a", body=b"x" * (MAX_ANSWER + 1)),
    ],
)
def test_a_question_that_can_not_be_kept_is_refused(tmp_path: Path, bad: Deferred) -> None:
    with ledger(tmp_path / "v") as book:
        with pytest.raises(ValueError, match=r"question|answer"):
            book.defer(bad)
        assert book.open_count() == 0


def test_notes_are_part_of_their_round(tmp_path: Path) -> None:
    with ledger(tmp_path / "v") as book:
        assert book.record(round_of(1), [], [], notes={"turn": "1"})
        assert not book.record(round_of(1), [], [], notes={"turn": "2"})
        assert book.notes() == {"turn": "1"}


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_nan_and_inf_never_enter(tmp_path: Path, bad: float) -> None:
    with ledger(tmp_path / "v") as book:
        with pytest.raises(ValueError, match="can't be recorded"):
            book.record(round_of(1), [], [score_of("a", bad)])
        with pytest.raises(ValueError, match="can't be recorded"):
            book.record(round_of(1), [result_of("a", bad)], [])
        assert book.scores() == {}
        assert book.next_round() == 1


def test_a_round_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    with ledger(tmp_path / "v") as book:
        twice = [result_of("a", 1.0), result_of("a", 1.0)]
        with pytest.raises(StoreError):
            book.record(round_of(1), twice, [score_of("a", 1.0)])
        assert book.rounds() == []
        assert book.next_round() == 1
        assert book.record(round_of(1), twice[:1], [])


def test_an_oversize_receipt_is_left_out_and_text_is_bounded(tmp_path: Path) -> None:
    with ledger(tmp_path / "v") as book:
        big = result_of("a", None, reason="x" * 10_000, receipts=(b"x" * (MAX_RECEIPT + 1), b"y"))
        book.record(round_of(1, error="e" * 10_000), [big], [])
        assert book.receipts(1, "a") == [b"y"]
        assert len(book.results(1)[0].reason or "") == 2000
        assert len(book.rounds()[0].error or "") == 2000


def test_gone_hotkeys_lose_their_scores(tmp_path: Path) -> None:
    with ledger(tmp_path / "v") as book:
        book.record(round_of(1), [], [score_of("a", 1.0), score_of("b", 2.0), score_of("c", 3.0)])
        book.record(round_of(2), [], [score_of("b", 2.5)], gone=[Hotkey("a")])
        book.drop([Hotkey("c")])
        assert {k: v.value for k, v in book.scores().items()} == {"b": 2.5}


def test_weights_are_kept_once_each_in_order(tmp_path: Path) -> None:
    first = WeightsSet(Block(7), (Uid(1), Uid(2)), (65535, 1), "0xaa", 1.0)
    second = WeightsSet(Block(9), (Uid(2),), (65535,), "0xbb", 2.0)
    with ledger(tmp_path / "v") as book:
        for weights in (first, first, second):
            book.add_weights(weights)
        assert book.weights() == [first, second]
        assert book.weights(limit=1) == [second]


def test_other_chains_are_those_of_the_same_validator_and_subnet(tmp_path: Path) -> None:
    for genesis, netuid, validator in (("0x1", 1, "5A"), ("0x2", 1, "5A"), ("0x3", 2, "5A"), ("0x4", 1, "5B")):
        Ledger(
            tmp_path / "v", genesis_hash=genesis, netuid=Netuid(netuid), validator=Hotkey(validator), durable=False
        ).close()
    with Ledger(tmp_path / "v", genesis_hash="0x5", netuid=Netuid(1), validator=Hotkey("5A"), durable=False) as ledger:
        assert ledger.other_chains() == ["0x2", "0x1"]


def test_another_chain_subnet_or_validator_inherits_nothing(tmp_path: Path) -> None:
    path = tmp_path / "v"
    with ledger(path) as book:
        book.record(round_of(1), [], [score_of("a", 1.0)])
    for other in (
        {"genesis_hash": "0x" + "22" * 32},
        {"netuid": Netuid(3)},
        {"validator": Hotkey("5Other")},
    ):
        with ledger(path, **other) as book:
            assert book.scores() == {}
            assert book.next_round() == 1
        with History(path, **other) as seen:
            assert seen.rounds() == []
    with ledger(path) as book:
        assert book.scores()[Hotkey("a")].value == 1.0
    with History(path) as seen:  # opened last
        assert len(seen.rounds()) == 1


def test_readers_see_rounds_while_the_writer_works(tmp_path: Path) -> None:
    path = tmp_path / "v"
    with ledger(path) as book, History(path) as seen:
        seen_before = seen.rounds()
        writer = threading.Thread(target=lambda: book.record(round_of(1), [], [score_of("a", 1.0)]))
        writer.start()
        writer.join()
        assert seen_before == []
        assert [r.id for r in seen.rounds()] == [1]
        assert seen.rounds(after=1) == []
        assert seen.scores()[Hotkey("a")].value == 1.0


def test_a_second_writer_is_refused_until_the_first_closes(tmp_path: Path) -> None:
    path = tmp_path / "v"
    with ledger(path), pytest.raises(StoreError, match="held by another process") as caught:
        ledger(path)
    assert "--state" in caught.value.remedy
    ledger(path).close()


def test_a_missing_or_empty_file_can_not_be_read(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="does not exist"):
        History(tmp_path / "none")
    (tmp_path / "empty").touch()
    with pytest.raises(StoreError, match="holds nothing yet"):
        History(tmp_path / "empty")
    ledger(tmp_path / "v").close()
    with pytest.raises(StoreError, match="has no ledger of netuid 9"):
        History(tmp_path / "v", netuid=9)


def test_a_closed_ledger_says_so(tmp_path: Path) -> None:
    book = ledger(tmp_path / "v")
    book.close()
    book.close()
    with pytest.raises(StoreError, match="closed"):
        book.scores()


def test_damage_is_told_with_a_remedy(tmp_path: Path) -> None:
    path = tmp_path / "v"
    path.write_bytes(b"this is no database, " * 200)
    with pytest.raises(StoreError, match="not a database") as caught:
        ledger(path)
    assert "Move the file away" in caught.value.remedy


def test_a_torn_page_is_found_on_opening(tmp_path: Path) -> None:
    path = tmp_path / "v"
    with ledger(path) as book:
        for number in range(1, 60):
            book.record(round_of(number), [result_of(f"k{n}", 1.0, n) for n in range(20)], [])
    size = path.stat().st_size
    with path.open("r+b") as file:
        for page in range(5, size // 4096, 2):
            file.seek(page * 4096)
            file.write(b"\xff" * 4096)
    with pytest.raises(StoreError, match="malformed") as caught:
        ledger(path)
    assert "restore a copy" in caught.value.remedy


@pytest.mark.parametrize(
    ("damage", "read"),
    [
        ("UPDATE score SET value = 'much'", lambda history: history.scores()),
        ("UPDATE round SET started = 'soon'", lambda history: history.latest_rounds(9)),
        ("UPDATE round SET kind = 'none'", lambda history: history.last_round()),
        ("UPDATE result SET moving = x'00ff'", lambda history: history.results(1)),
        ("UPDATE result SET uid = 'x'", lambda history: history.results_of("5A", 9)),
        ("UPDATE weights SET uids = '[['", lambda history: history.weights()),
        ("UPDATE weights SET weights = '{}'", lambda history: history.weights()),
        ("UPDATE receipt SET body = '?'", lambda history: history.receipts(1, "5A")),
    ],
)
def test_rows_that_no_validator_wrote_are_told_with_a_remedy(
    tmp_path: Path, damage: str, read: Callable[[History], Any]
) -> None:
    path = tmp_path / "v.sqlite"
    with ledger(path) as book:
        result = result_of("5A", 0.5, uid=1, moving=0.5, receipts=(b"r",))
        book.record(round_of(1), [result], [score_of("5A", 0.5)])
        book.add_weights(WeightsSet(Block(30), (Uid(1),), (65535,), "0xaa", 1e9))
    with sqlite3.connect(path) as file:
        file.execute("PRAGMA ignore_check_constraints = 1")
        assert file.execute(damage).rowcount == 1
    file.close()
    with History(path) as history, pytest.raises(StoreError, match="no validator wrote") as caught:
        read(history)
    assert "Move the file away" in caught.value.remedy


def test_a_file_that_was_taken_away_is_written_no_more_until_it_is_back(tmp_path: Path) -> None:
    path, away = tmp_path / "v.sqlite", tmp_path / "away"
    with ledger(path) as book:
        assert book.record(round_of(1), [result_of("5A", 0.5)], [score_of("5A", 0.5)])
        path.rename(away)
        for _ in range(2):
            with pytest.raises(StoreError, match="deleted") as caught:
                book.record(round_of(2), [result_of("5A", 0.5)], [score_of("5A", 0.7)])
        assert "start the validator again" in caught.value.remedy
        path.write_bytes(away.read_bytes())  # a copy is not what we have open
        with pytest.raises(StoreError, match="replaced"):
            book.record(round_of(2), [result_of("5A", 0.5)], [score_of("5A", 0.7)])
        away.replace(path)
        assert book.record(round_of(2), [result_of("5A", 0.5)], [score_of("5A", 0.7)])
    with History(path) as history:
        assert [one.id for one in history.rounds()] == [1, 2]


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "v"
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE theirs (x)")
    db.commit()
    db.close()
    for opening in (ledger, History):
        with pytest.raises(StoreError, match="another program's database"):
            opening(path)


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "v"
    ledger(path).close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    for opening in (ledger, History):
        with pytest.raises(StoreError, match="schema version 99"):
            opening(path)


def test_a_locked_database_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("subnet.database._BUSY_S", 0.05)
    path = tmp_path / "v"
    with ledger(path) as book:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked") as caught:
            book.record(round_of(1), [], [])
        other.execute("ROLLBACK")
        other.close()
        assert "Another program" in caught.value.remedy
        assert book.record(round_of(1), [], [])


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind root")
def test_a_read_only_folder_is_explained(tmp_path: Path) -> None:
    folder = tmp_path / "fixed"
    folder.mkdir(mode=0o500)
    with pytest.raises(StoreError, match="can't be written"):
        ledger(folder / "v")


def test_a_read_only_connection_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "v"
    with ledger(path) as book:
        book._db.execute("PRAGMA query_only = ON")
        with pytest.raises(StoreError, match="readonly") as caught:
            book.record(round_of(1), [], [])
        assert "writable" in caught.value.remedy


def test_a_folder_that_is_a_file_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="can't be written"):
        ledger(tmp_path / "file" / "v")


def test_two_validators_of_one_state_folder_have_files_of_their_own(tmp_path: Path) -> None:
    assert ledger_path(tmp_path, 2, "5A") != ledger_path(tmp_path, 2, "5B")
    assert ledger_path(tmp_path, 2, "5A") != ledger_path(tmp_path, 3, "5A")
    assert ledger_path(tmp_path, 2, "5A").parent == tmp_path


@given(st.floats(allow_nan=False, allow_infinity=False))
@settings(max_examples=25, deadline=None)
def test_any_finite_score_comes_back_exact(value: float) -> None:
    with tempfile.TemporaryDirectory() as folder, ledger(Path(folder) / "v") as book:
        book.record(round_of(1), [], [score_of("a", value)])
        assert book.scores()[Hotkey("a")].value == value


HOTKEYS = st.sampled_from([Hotkey(name) for name in "abcd"])
FLOATS = st.floats(-1e6, 1e6)
QUESTIONS = st.sampled_from(["q1", "q2", "q3"])


class LedgerMachine(RuleBasedStateMachine):
    """Any order of rounds, repeats, departures, weights, closings and crashes leaves what a dict would."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.crashes = 0
        self.scores: dict[Hotkey, float] = {}
        self.rounds: list[int] = []
        self.results: dict[int, dict[Hotkey, float]] = {}
        self.weights: list[str] = []
        self.open: set[str] = set()
        self.closed: set[str] = set()
        self.samples: dict[Hotkey, list[float]] = {}

    @initialize()
    def begin(self) -> None:
        self.book = ledger(self.folder / "0", window=2)

    @rule(got=st.dictionaries(HOTKEYS, FLOATS), gone=st.sets(HOTKEYS), kind=st.sampled_from(list(Kind)[:2]))
    def round(self, got: dict[Hotkey, float], gone: set[Hotkey], kind: Kind) -> None:
        assert self.record(got, gone, kind=kind)

    @rule(got=st.dictionaries(HOTKEYS, FLOATS), name=QUESTIONS)
    def truth(self, got: dict[Hotkey, float], name: str) -> None:
        assert self.record(got, set(), kind=Kind.TRUTH, subject=name) == (name in self.open)
        if name in self.open:
            self.open.remove(name)
            self.closed.add(name)

    @rule(name=QUESTIONS)
    def defer(self, name: str) -> None:
        assert self.book.defer(question(name, "a", "b")) == (name not in self.open | self.closed)
        self.open |= {name} - self.closed

    def record(self, got: dict[Hotkey, float], gone: set[Hotkey], **fields: Any) -> bool:
        number = self.book.next_round()
        kept = {hotkey: value for hotkey, value in got.items() if hotkey not in gone}
        results = [
            result_of(hotkey, value, uid, moving=value if hotkey in kept else None)
            for uid, (hotkey, value) in enumerate(got.items())
        ]
        scores = [score_of(hotkey, value) for hotkey, value in kept.items()]
        if not self.book.record(round_of(number, **fields), results, scores, gone):
            return False
        self.scores = {k: v for k, v in self.scores.items() if k not in gone} | kept
        self.samples = {k: v for k, v in self.samples.items() if k not in gone}
        for hotkey, value in kept.items():
            self.samples[hotkey] = [*self.samples.get(hotkey, []), value][-2:]
        self.rounds.append(number)
        self.results[number] = got
        return True

    @rule(value=FLOATS)
    def repeat_the_last_round(self, value: float) -> None:
        if self.rounds:
            assert not self.book.record(round_of(self.rounds[-1]), [], [score_of("a", value)])

    @rule(gone=st.sets(HOTKEYS))
    def leave(self, gone: set[Hotkey]) -> None:
        self.book.drop(gone)
        self.scores = {k: v for k, v in self.scores.items() if k not in gone}
        self.samples = {k: v for k, v in self.samples.items() if k not in gone}

    @rule(name=st.sampled_from(["0x1", "0x2", "0x3"]))
    def set_weights(self, name: str) -> None:
        self.book.add_weights(WeightsSet(Block(1), (Uid(0),), (65535,), name, 1.0))
        if name not in self.weights:
            self.weights.append(name)

    @rule()
    def reopen(self) -> None:
        self.book.close()
        self.book = ledger(self.book.path, window=2)

    @rule()
    def crash(self) -> None:
        """What ``kill -9`` leaves: the files as they are now, the write-ahead log not folded in."""
        self.crashes += 1
        target = self.folder / str(self.crashes)
        for suffix in ("", "-wal"):
            source = Path(f"{self.book.path}{suffix}")
            if source.exists():
                shutil.copy(source, f"{target}{suffix}")
        self.book.close()
        self.book = ledger(target, window=2)

    @invariant()
    def as_the_model(self) -> None:
        if not hasattr(self, "book"):
            return
        with History(self.book.path) as seen:
            for view in (self.book, seen):
                assert {k: s.value for k, s in view.scores().items()} == self.scores
                assert [r.id for r in view.rounds()] == self.rounds
                assert [w.extrinsic_hash for w in view.weights()] == self.weights
                assert view.samples() == self.samples
                assert {q.id for q in view.open_questions()} == self.open
        for number in self.rounds[-1:]:
            assert {r.hotkey: r.score for r in self.book.results(number)} == self.results[number]

    def teardown(self) -> None:
        if hasattr(self, "book"):
            self.book.close()
        shutil.rmtree(self.folder)


LedgerMachine.TestCase.settings = settings(max_examples=20, stateful_step_count=15, deadline=None)
TestLedgerMachine = LedgerMachine.TestCase


WRITER = """
import sys
from subnet.store import Ledger, Result, Round, Score
book = Ledger(sys.argv[1], genesis_hash="0x11", netuid=2, validator="5V")
count = book.scores()["a"].rounds if "a" in book.scores() else 0
while True:
    number = book.next_round()
    count += 1
    score = Score("a", 0, count * 0.5, count, 0, number, 1.0)
    book.record(Round(number, number, 1.0, 2.0, 1, 1), [Result("a", 0, 0.5)], [score])
    print(number, flush=True)
"""


@pytest.mark.e2e
def test_kill_9_loses_no_acknowledged_round_and_counts_none_twice(tmp_path: Path) -> None:
    """Each life adds rounds until it is killed at a moment of its own; the sum must be exact."""
    path, acknowledged, dice = tmp_path / "v", 0, random.Random(7)
    for _ in range(5):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for _ in range(dice.randint(1, 40)):
            acknowledged = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        unread = process.stdout.read().split()
        process.stdout.close()
        process.wait()
        acknowledged = int(unread[-1]) if unread else acknowledged
        with History(path) as seen:
            last = seen.last_round()
            score = seen.scores()[Hotkey("a")]
            assert last is not None
            assert acknowledged <= last.id <= acknowledged + 1
            assert score.rounds == last.id == len(seen.rounds(limit=last.id + 1))
            assert score.value == last.id * 0.5
