"""A validator's own ledger, open for writing: one transaction a round, so that it happened or did not."""

from __future__ import annotations

import json
import math
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from subnet.database import explained, insert_rows, open_writer, transaction
from subnet.errors import StoreError
from subnet.store.history import History
from subnet.store.records import (
    MAX_ANSWER,
    MAX_ID,
    MAX_RECEIPT,
    MAX_TEXT,
    Commit,
    Deferred,
    Result,
    Round,
    Score,
    WeightsSet,
)
from subnet.store.schema import STEPS
from subnet.types import Block, Hotkey, Netuid

_PRUNE_EVERY: Final = 128  # rounds
_DAY: Final = 86_400.0
_GONE: Final = "Put it back where it was, with its -wal file; or start the validator again, and its scores start anew."


class Ledger(History):
    """A validator's own ledger, open for writing; made where it does not exist yet.

    Methods block for a disk write (milliseconds), so a loop calls them through a thread; they may
    be called from any. Raises StoreError for a file that is corrupt, read-only, another program's,
    of a newer version, or held by another process.

    ``keep_days`` and ``keep_receipts_days`` bound how long rounds, weights and receipts are kept, and so
    the file: a result takes about 100 bytes, a receipt 700; 256 miners asked every 12 s are 190 MB of
    results and 1.3 GB of receipts a day.
    ``durable=False`` is for the lab: what was written may be lost with the machine's power.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        genesis_hash: str,
        netuid: Netuid,
        validator: Hotkey,
        keep_days: float = 7.0,
        keep_receipts_days: float = 1.0,
        durable: bool = True,
    ) -> None:
        self.path = Path(path).expanduser().absolute()  # the user's code may change the folder
        self.keep_days, self.keep_receipts_days, self.window = keep_days, keep_receipts_days, 0
        self._lock = threading.RLock()
        self._db, self._guard = open_writer(self.path, STEPS, durable=durable)
        try:
            self._file = self._stamp()
            self._id = self._enter(genesis_hash, netuid, validator)
        except BaseException:
            self.close()
            raise

    def _enter(self, genesis_hash: str, netuid: Netuid, validator: Hotkey) -> int:
        with self._write():
            key = (genesis_hash, int(netuid), validator)
            self._db.execute(
                "INSERT INTO ledger (genesis, netuid, validator, opened) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (genesis, netuid, validator) DO UPDATE SET opened = excluded.opened",
                (*key, time.time()),
            )
            row = self._db.execute(
                "SELECT id FROM ledger WHERE genesis = ? AND netuid = ? AND validator = ?", key
            ).fetchone()
            return int(row[0])

    def keep_window(self, window: int) -> None:
        """From now on keep the last ``window`` scores of each miner apart, whatever their age.

        What the rounds in the ledger hold of them is taken over, so that a window that is switched on, or made longer,
        does not begin empty.
        """
        self.window = window
        with self._write():
            for score in self.scores().values() if window else ():
                told = self.results_of(score.hotkey, min(window, score.rounds), after=score.since - 1, moved=True)
                self._db.executemany(
                    "INSERT OR IGNORE INTO sample VALUES (?, ?, ?, ?)",
                    [(self._id, score.hotkey, r.id, result.score) for r, result in told],
                )
            self._db.execute(
                "DELETE FROM sample WHERE ledger = ?1 AND (hotkey, round) IN (SELECT hotkey, round FROM (SELECT *,"
                " row_number() OVER (PARTITION BY hotkey ORDER BY round DESC) AS age FROM sample WHERE ledger = ?1)"
                " WHERE age > ?2)",
                (self._id, window),
            )

    def next_round(self) -> int:
        """The number that the next round will be recorded under; numbers are never used twice."""
        return int(self._all("SELECT next_round FROM ledger WHERE id = ?", (self._id,))[0][0])

    def record(
        self,
        round_: Round,
        results: Iterable[Result],
        scores: Iterable[Score],
        gone: Iterable[Hotkey] = (),
        notes: Mapping[str, str] | None = None,
    ) -> bool:
        """Keep a finished round: its results, the scores it leads to, the hotkeys whose scores are void, and what is
        noted for the next life.

        All of it or nothing, durable when this returns (also against power loss). A round whose
        number is not :meth:`next_round` changes nothing and gives False, so that handing one in
        again is harmless; so does one whose ``subject`` is no open question, which it closes.
        Raises ValueError for a score that is NaN or infinite.
        """
        results, scores, gone = list(results), list(scores), list(gone)
        _check_finite(results, scores)
        with self._write():
            if round_.subject is not None and not self._is_open(round_.subject):
                return False
            moved = self._db.execute(
                "UPDATE ledger SET next_round = ?2 + 1 WHERE id = ?1 AND next_round = ?2",
                (self._id, round_.id),
            )
            if moved.rowcount == 0:
                return False
            if round_.subject is not None:
                self._close_questions([round_.subject], round_.ended, round_.id)
            self._insert_round(round_, results)
            self._forget(gone)
            self._insert_scores(scores)
            if self.window:
                self._insert_samples(round_.id, results)
            self._db.executemany(
                "INSERT OR REPLACE INTO note VALUES (?, ?, ?)",
                [(self._id, name, value) for name, value in (notes or {}).items()],
            )
            if round_.id % _PRUNE_EVERY == 0:
                self._prune(round_.ended)
        return True

    def _insert_round(self, r: Round, results: Sequence[Result]) -> None:
        texts = (_bounded(r.error), str(r.kind), r.rule[:MAX_ID], r.subject)
        self._db.execute(
            "INSERT INTO round VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (self._id, r.id, int(r.block), r.started, r.ended, r.asked, r.answered, *texts),
        )
        insert_rows(
            self._db,
            "INSERT INTO result",
            ((self._id, r.id, int(x.uid), x.hotkey, x.score, _bounded(x.reason), x.elapsed, x.moving) for x in results),
        )
        insert_rows(
            self._db,
            "INSERT INTO receipt (ledger, round, hotkey, body, time)",
            (
                (self._id, r.id, x.hotkey, body, r.ended)
                for x in results
                for body in x.receipts
                if len(body) <= MAX_RECEIPT
            ),
        )

    def _insert_scores(self, scores: Iterable[Score]) -> None:
        insert_rows(
            self._db,
            "INSERT OR REPLACE INTO score",
            (
                (
                    self._id,
                    s.hotkey,
                    int(s.uid),
                    float(s.value),
                    s.rounds,
                    int(s.registered),
                    int(s.block),
                    s.time,
                    s.since,
                    s.mean,
                    s.variance,
                )
                for s in scores
            ),
        )

    def _insert_samples(self, number: int, results: Iterable[Result]) -> None:
        """Add the round's scores to the window, and drop the one of each miner that has fallen out of it."""
        counted = [(self._id, r.hotkey, number, r.score) for r in results if r.moving is not None]
        insert_rows(self._db, "INSERT INTO sample", counted)
        self._db.execute(
            "DELETE FROM sample WHERE ledger = ?1 AND (hotkey, round) IN (SELECT value, (SELECT round FROM sample"
            " WHERE ledger = ?1 AND hotkey = value ORDER BY round DESC LIMIT 1 OFFSET ?2) FROM json_each(?3))",
            (self._id, self.window, json.dumps([row[1] for row in counted])),
        )

    def drop(self, hotkeys: Iterable[Hotkey]) -> None:
        """Forget the scores of hotkeys that left the subnet; one that comes back starts anew."""
        with self._write():
            self._forget(list(hotkeys))

    def _forget(self, hotkeys: Sequence[Hotkey]) -> None:
        for table in ("score", "sample"):
            self._db.executemany(
                f"DELETE FROM {table} WHERE ledger = ? AND hotkey = ?",  # noqa: S608 - two names of ours
                [(self._id, hotkey) for hotkey in hotkeys],
            )

    def defer(self, question: Deferred) -> bool:
        """Keep a question's answers until its truth comes; on disk when this returns.

        An id that is known, open or closed, changes nothing and gives False: the first answers stand. Closed
        ones are known for ``keep_days``. Raises ValueError for an id, a time or an answer that can't be kept.
        """
        _check_question(question)
        with self._write():
            new = self._db.execute(
                "INSERT OR IGNORE INTO deferred (ledger, id, due, made) VALUES (?, ?, ?, ?)",
                (self._id, question.id, question.due, question.made),
            )
            if new.rowcount == 0:
                return False
            self._db.executemany(
                "INSERT INTO answer VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (self._id, question.id, a.hotkey, int(a.uid), int(a.registered), a.body, a.receipt)
                    for a in question.answers.values()
                ],
            )
        return True

    def expire(self, due_before: float, now: float) -> list[str]:
        """Close the questions that were due before a unix time and never got their truth; their ids."""
        with self._write():
            rows = self._db.execute(
                "SELECT id FROM deferred WHERE ledger = ? AND closed IS NULL AND due < ? ORDER BY due",
                (self._id, due_before),
            ).fetchall()
            ids = [str(row[0]) for row in rows]
            self._close_questions(ids, now)
        return ids

    def _is_open(self, id_: str) -> bool:
        sql = "SELECT 1 FROM deferred WHERE ledger = ? AND id = ? AND closed IS NULL"
        return self._db.execute(sql, (self._id, id_)).fetchone() is not None

    def _close_questions(self, ids: Sequence[str], now: float, number: int | None = None) -> None:
        self._db.executemany(
            "UPDATE deferred SET closed = ?, round = ? WHERE ledger = ? AND id = ?",
            [(now, number, self._id, id_) for id_ in ids],
        )
        self._db.executemany("DELETE FROM answer WHERE ledger = ? AND deferred = ?", [(self._id, id_) for id_ in ids])

    def add_weights(self, weights: WeightsSet) -> None:
        """Keep a set of weights that was read back from the chain; the same mechanism, block and hash count once."""
        with self._write():
            self._db.execute(
                "INSERT INTO weights (ledger, block, uids, weights, extrinsic, time, mechanism)"
                " SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 WHERE NOT EXISTS"
                " (SELECT 1 FROM weights WHERE ledger = ?1 AND block = ?2 AND extrinsic = ?5 AND mechanism = ?7)",
                (
                    self._id,
                    int(weights.block),
                    json.dumps([int(uid) for uid in weights.uids]),
                    json.dumps([int(weight) for weight in weights.weights]),
                    weights.extrinsic_hash,
                    weights.time,
                    weights.mechanism,
                ),
            )

    def keep_commit(self, commit: Commit) -> None:
        """Keep a commit before it is sent; on disk when this returns. Raises StoreError if its hash is known."""
        vectors = [json.dumps([int(n) for n in vector]) for vector in (commit.uids, commit.weights, commit.salt)]
        with self._write():
            self._db.execute(
                "INSERT INTO commitment (ledger, hash, mechanism, uids, weights, salt, version_key, head, made)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    self._id,
                    commit.hash,
                    commit.mechanism,
                    *vectors,
                    str(commit.version_key),  # a u64 is more than SQLite's integers hold
                    int(commit.head),
                    commit.made,
                ),
            )

    def update_commit(
        self, hash_: str, *, block: Block | None = None, due: Block | None = None, outcome: str | None = None
    ) -> None:
        """Note what became of a commit; what is None stays as it was."""
        with self._write():
            self._db.execute(
                "UPDATE commitment SET block = coalesce(?, block), due = coalesce(?, due),"
                " outcome = coalesce(?, outcome) WHERE ledger = ? AND hash = ?",
                (block, due, outcome, self._id, hash_),
            )

    def unsee_commit(self, hash_: str, head: Block) -> None:
        """Take back that a commit was seen in a block: the chain has gone back to ``head``, and may not have it."""
        with self._write():
            self._db.execute(
                "UPDATE commitment SET block = NULL, due = NULL, head = ? WHERE ledger = ? AND hash = ?",
                (int(head), self._id, hash_),
            )

    def reopen_commit(self, hash_: str) -> None:
        """Take back how a commit ended: the chain waits for its reveal again."""
        with self._write():
            self._db.execute("UPDATE commitment SET outcome = NULL WHERE ledger = ? AND hash = ?", (self._id, hash_))

    def prune(self, now: float) -> None:
        """Delete rounds, weights, receipts and closed questions that are past their age at unix time ``now``, also
        those that the file holds of other chains; of these, questions that nobody judged by then as well.

        Happens by itself every 128 rounds.
        """
        with self._write():
            self._prune(now)

    def _prune(self, now: float) -> None:
        old = now - self.keep_days * _DAY
        old_receipts = max(old, now - self.keep_receipts_days * _DAY)
        self._db.execute("DELETE FROM deferred WHERE ledger != ? AND due < ?", (self._id, old))
        for (ledger,) in self._db.execute("SELECT id FROM ledger").fetchall():
            self._db.execute(
                "DELETE FROM receipt WHERE ledger = ?1 AND round <="
                " (SELECT id FROM round WHERE ledger = ?1 AND ended < ?2 ORDER BY id DESC LIMIT 1)",
                (ledger, old_receipts),
            )
            self._db.execute("DELETE FROM round WHERE ledger = ? AND ended < ?", (ledger, old))
            self._db.execute("DELETE FROM weights WHERE ledger = ? AND time < ?", (ledger, old))
            self._db.execute(
                "DELETE FROM commitment WHERE ledger = ? AND made < ? AND outcome IS NOT NULL", (ledger, old)
            )
            self._db.execute("DELETE FROM deferred WHERE ledger = ? AND closed < ?", (ledger, old))

    def close(self) -> None:
        """Let go of the file and its lock; idempotent."""
        with self._lock:
            self._db.close()
            if self._guard >= 0:
                os.close(self._guard)
                self._guard = -1

    @contextmanager
    def _write(self) -> Iterator[None]:
        with self._lock, explained(self.path):
            if self._guard >= 0 and self._stamp() != self._file:
                raise StoreError(f"{self.path} was moved, replaced or deleted", remedy=_GONE)
            with transaction(self._db):
                yield

    def _stamp(self) -> tuple[int, int] | None:
        """Which file is there now; None where there is none. SQLite would write on to one that nobody finds again."""
        try:
            found = os.stat(self.path)
        except OSError:
            return None
        return found.st_dev, found.st_ino


def _bounded(text: str | None) -> str | None:
    return None if text is None else text[:MAX_TEXT]


def _check_finite(results: Iterable[Result], scores: Iterable[Score]) -> None:
    numbers = [number for r in results for number in (r.score, r.moving) if number is not None]
    numbers += [number for s in scores for number in (s.value, s.mean, s.variance)]
    if not all(map(math.isfinite, numbers)):
        wrong = next(number for number in numbers if not math.isfinite(number))
        raise ValueError(f"a score of {wrong} can't be recorded")


def _check_question(question: Deferred) -> None:
    if not 0 < len(question.id) <= MAX_ID:
        raise ValueError(f"a question's id has {len(question.id)} characters; 1 to {MAX_ID} can be kept")
    if not math.isfinite(question.due):
        raise ValueError(f"a question due at {question.due} never is")
    for answer in question.answers.values():
        if len(answer.body) > MAX_ANSWER or len(answer.receipt) > MAX_RECEIPT:
            raise ValueError(f"{answer.hotkey}'s answer has {len(answer.body)} bytes; {MAX_ANSWER} can be kept")
