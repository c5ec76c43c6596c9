"""The account of a score: its parts add up, its arithmetic is gone over again, its receipts are verified."""

from __future__ import annotations

import math
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from substrateinterface import Keypair

from subnet.account import Account, explain
from subnet.errors import StoreError
from subnet.receipts import Receipt, signed
from subnet.scoring import averages, windows
from subnet.store import History, Kind, Ledger, Result, Round, Score, WeightsSet
from subnet.types import Block, Hotkey, Netuid, Uid

GENESIS = "0x" + "ab" * 32
VALIDATOR = Hotkey(Keypair.create_from_uri("//Validator").ss58_address)
MINER = Keypair.create_from_uri("//Miner0")
A, B = Hotkey(MINER.ss58_address), Hotkey("5B")


class Book:
    """A ledger that is filled round by round, by a rule."""

    def __init__(self, path: Path) -> None:
        self.ledger = Ledger(path, genesis_hash=GENESIS, netuid=Netuid(2), validator=VALIDATOR)
        self.recent: dict[Hotkey, tuple[float, ...]] = {}

    def round(self, scores: dict[Hotkey, float], rule: str = "ema 0.5", **fields: Any) -> None:
        """A round by ``rule``; ``receipts`` are A's, ``reason`` is why B failed, ``since`` begins a life anew."""
        number, held = self.ledger.next_round(), self.ledger.scores()
        receipts, reason, since = fields.pop("receipts", ()), fields.pop("reason", None), fields.pop("since", False)
        before = {} if since else {hotkey: score.value for hotkey, score in held.items()}
        moved = _moved(rule, before, scores, self.recent)
        new = [
            Score(
                hotkey,
                Uid(1 + (hotkey == B)),
                moved[hotkey],
                1 + (held[hotkey].rounds if hotkey in before else 0),
                Block(5),
                Block(9),
                1e9,
                held[hotkey].since if hotkey in before else number,
                mean=score,
            )
            for hotkey, score in scores.items()
        ]
        results = [
            Result(h, Uid(1 + (h == B)), s, moving=moved[h], receipts=receipts if h == A else ())
            for h, s in scores.items()
        ]
        if reason:
            results.append(Result(B, Uid(2), None, reason=reason, elapsed=5.0))
        done = Round(number, Block(9), 1e9, 1e9 + number, 2, 1, rule=rule, **fields)
        assert self.ledger.record(done, results, new, gone=list(held) if since else ())

    def account(self, who: int | str = 1, rounds: int = 20) -> Account:
        with History(self.ledger.path) as history:
            return explain(history, who, rounds=rounds)


def _moved(rule: str, before: Any, scores: Any, recent: dict[Hotkey, tuple[float, ...]]) -> dict[Hotkey, float]:
    name, _, number = rule.partition(" ")
    if name == "ema":
        return averages.update(before, scores, alpha=float(number))
    if name == "window":
        recent |= windows.push(recent, scores, int(number))
        return windows.means(recent, least=int(number))
    return dict(scores)


@pytest.fixture
def book(tmp_path: Path) -> Any:
    made = Book(tmp_path / "v.sqlite")
    yield made
    made.ledger.close()


def receipt(nonce: int, **changes: Any) -> bytes:
    fields: dict[str, Any] = {
        "genesis_hash": GENESIS,
        "netuid": 2,
        "path": "/Classify",
        "request_digest": "11" * 32,
        "nonce_ns": nonce,
        "sender": VALIDATOR,
        "receiver": A,
        "status": 200,
        "response_digest": "22" * 32,
        "artifact": "-",
        "time_ns": 1_760_000_000_100_000_000,
        "scheme": "sr25519",
    }
    return signed(MINER, Receipt(**fields | changes)).to_bytes()


def test_an_average_is_told_round_by_round(book: Book) -> None:
    for score in (1.0, 0.0, 0.5):
        book.round({A: score, B: 1.0})
    account = book.account()
    assert (account.hotkey, account.uid, account.validator, account.netuid) == (A, 1, VALIDATOR, 2)
    assert account.score is not None
    assert account.score.value == 0.375
    assert [(c.round, c.score, c.weight, c.part, c.moving) for c in account.contributions] == [
        (1, 1.0, 0.125, 0.125, 0.5),
        (2, 0.0, 0.25, 0.0, 0.25),
        (3, 0.5, 0.5, 0.25, 0.375),
    ]
    assert account.earlier == 0.0
    assert account.holds is True
    assert account.share == pytest.approx(0.375 / (0.375 + 0.875))


def test_a_window_is_told_round_by_round(book: Book) -> None:
    for score in (1.0, 0.5, 0.0, 0.25):
        book.round({A: score}, rule="window 2")
    account = book.account(rounds=3)
    assert [(c.round, c.weight) for c in account.contributions] == [(2, 0.0), (3, 0.5), (4, 0.5)]
    assert account.score is not None
    assert account.score.value == 0.125
    assert (account.earlier, account.holds) == (0.0, True)


def test_a_rule_of_ones_own_is_told_as_far_as_it_goes(book: Book) -> None:
    book.round({A: 1.0}, rule="Mine.move")
    account = book.account()
    assert [(c.weight, c.part, c.moving) for c in account.contributions] == [(None, None, 1.0)]
    assert (account.earlier, account.holds) == (None, None)
    book.round({A: 0.0})
    account = book.account()
    assert [c.weight for c in account.contributions] == [None, 0.5]
    assert account.earlier == 0.5


def test_only_the_present_life_counts(book: Book) -> None:
    book.round({A: 1.0})
    book.round({A: 1.0})
    book.round({A: 0.5}, since=True)
    account = book.account()
    assert [c.round for c in account.contributions] == [3]
    assert account.holds is True
    assert account.earlier == 0.0


def test_an_organic_round_and_a_truth_are_named(book: Book) -> None:
    book.round({A: 1.0}, kind=Kind.ORGANIC)
    assert book.account().contributions[0].kind is Kind.ORGANIC
    from subnet.store import Answer, Deferred

    book.ledger.defer(Deferred("q1", 1.0, 1.0, {A: Answer(A, Uid(1), Block(5), b"")}))
    book.round({A: 1.0}, kind=Kind.TRUTH, subject="q1")
    assert (book.account().contributions[1].kind, book.account().contributions[1].subject) == (Kind.TRUTH, "q1")


@pytest.mark.parametrize("column", ["moving", "score"])
def test_a_number_that_was_changed_is_found(book: Book, column: str) -> None:
    for score in (1.0, 0.0, 0.5, 0.25):
        book.round({A: score})
    assert book.account().holds is True
    db = sqlite3.connect(book.ledger.path)
    with db:
        db.execute(f"UPDATE result SET {column} = 0.9 WHERE round = 3")
    db.close()
    assert book.account().holds is False


def test_receipts_are_verified_and_what_is_wrong_with_them_is_said(book: Book) -> None:
    good, old = receipt(1), receipt(2)
    forged = msgspec.structs.replace(Receipt.from_bytes(old), status=500).to_bytes()
    elsewhere, other = receipt(3, netuid=3), Keypair.create_from_uri("//Miner1")
    theirs = signed(
        other, msgspec.structs.replace(Receipt.from_bytes(old), receiver=Hotkey(other.ss58_address))
    ).to_bytes()
    book.round({A: 1.0}, receipts=(good, forged, elsewhere, theirs, b"\xff\x00"))
    problems = [one.problem for one in book.account().receipts]
    assert problems[0] is None
    assert "signature" in problems[1]  # type: ignore[operator]
    assert "another chain, subnet or validator" in problems[2]  # type: ignore[operator]
    assert "it is of" in problems[3]  # type: ignore[operator]
    assert "no receipt" in problems[4]  # type: ignore[operator]
    assert book.account().receipts[0].response == "22" * 32


def test_failures_and_weights_are_part_of_it(book: Book) -> None:
    book.round({A: 1.0}, reason="timeout: dendrite.timeout")
    book.ledger.add_weights(WeightsSet(Block(30), (Uid(1), Uid(2)), (65535, 21845), "0xaa", 1.0))
    account = book.account()
    assert account.weight == (65535, 0.75)
    assert account.failures == ()
    other = book.account(2)
    assert other.score is None
    assert [result.reason for _, result in other.failures] == ["timeout: dendrite.timeout"]
    assert other.weight == (21845, 0.25)
    assert book.account(A).hotkey == A


@pytest.mark.parametrize("who", [7, "5Nobody"])
def test_a_miner_that_the_ledger_does_not_know_is_refused(book: Book, who: int | str) -> None:
    book.round({A: 1.0})
    with pytest.raises(StoreError, match="knows no miner"):
        book.account(who)


RULES = st.sampled_from(["ema 0.1", "ema 1", "ema 0.7", "window 1", "window 4"])


@given(rule=RULES, scores=st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=12), told=st.integers(1, 14))
@settings(max_examples=12, deadline=None)
def test_the_parts_add_up_to_the_score(rule: str, scores: list[float], told: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        book = Book(Path(folder) / "v.sqlite")
        for score in scores:
            book.round({A: score}, rule=rule)
        account = book.account(rounds=told)
        book.ledger.close()
    assert account.holds is True
    assert account.score is not None
    assert account.earlier is not None
    assert len(account.contributions) == min(told, len(scores))
    parts = math.fsum(c.part for c in account.contributions if c.part is not None) + account.earlier
    assert parts == pytest.approx(account.score.value, abs=1e-9)
    if told >= len(scores):  # all told: the rest is the start, which is 0
        assert account.earlier == pytest.approx(0.0, abs=1e-9)
    weights = [c.weight for c in account.contributions if c.weight is not None]
    assert sum(weights) <= 1 + 1e-12
