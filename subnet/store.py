"""What a validator remembers: its rounds, what each miner got in them, the scores, the weights set.

One SQLite file holds any number of ledgers; a ledger is what one validator (hotkey) knows of one
subnet (netuid) of one chain (genesis hash), so a local chain started afresh inherits nothing. The
validator opens its :class:`Ledger`, loads its scores, and hands each finished round to
:meth:`Ledger.record` together with the scores that it leads to: one transaction a round, under the
round's number, so that ``kill -9`` loses a round or keeps it, never half of it, and none counts
twice. Anybody else reads the same file through :class:`History`, also while the validator writes
(SQLite's WAL). A lock beside the file keeps a second writer out; the lock dies with its process.
"""

from __future__ import annotations

import json
import math
import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from subnet.database import explained, open_reader, open_writer, transaction
from subnet.errors import StoreError
from subnet.types import Block, Hotkey, Netuid, Uid

SCHEMA_VERSION: Final = 1
MAX_RECEIPT: Final = 16_384
"""Bytes of one receipt; a larger one is not kept."""
MAX_TEXT: Final = 2_000
"""Characters of an error or reason that are kept."""

_PRUNE_EVERY: Final = 128  # rounds
_DAY: Final = 86_400.0

_SCHEMA: Final = """
CREATE TABLE ledger (
    id INTEGER PRIMARY KEY, genesis TEXT NOT NULL, netuid INTEGER NOT NULL, validator TEXT NOT NULL,
    opened REAL NOT NULL, next_round INTEGER NOT NULL DEFAULT 1, UNIQUE (genesis, netuid, validator));
CREATE TABLE score (
    ledger INTEGER NOT NULL REFERENCES ledger, hotkey TEXT NOT NULL, uid INTEGER NOT NULL,
    value REAL NOT NULL CHECK (abs(value) <= 1.7976931348623157e308), rounds INTEGER NOT NULL,
    registered INTEGER NOT NULL, block INTEGER NOT NULL, time REAL NOT NULL,
    PRIMARY KEY (ledger, hotkey)) WITHOUT ROWID;
CREATE TABLE round (
    ledger INTEGER NOT NULL REFERENCES ledger, id INTEGER NOT NULL, block INTEGER NOT NULL,
    started REAL NOT NULL, ended REAL NOT NULL, asked INTEGER NOT NULL, answered INTEGER NOT NULL, error TEXT,
    PRIMARY KEY (ledger, id)) WITHOUT ROWID;
CREATE TABLE result (
    ledger INTEGER NOT NULL, round INTEGER NOT NULL, uid INTEGER NOT NULL, hotkey TEXT NOT NULL,
    score REAL, reason TEXT, elapsed REAL, moving REAL, PRIMARY KEY (ledger, round, hotkey),
    FOREIGN KEY (ledger, round) REFERENCES round (ledger, id) ON DELETE CASCADE) WITHOUT ROWID;
CREATE TABLE receipt (
    ledger INTEGER NOT NULL, round INTEGER NOT NULL, hotkey TEXT NOT NULL,
    body BLOB NOT NULL, time REAL NOT NULL);
CREATE INDEX receipt_of ON receipt (ledger, round, hotkey);
CREATE INDEX receipt_age ON receipt (ledger, time);
CREATE TABLE weights (
    id INTEGER PRIMARY KEY AUTOINCREMENT, ledger INTEGER NOT NULL REFERENCES ledger, block INTEGER NOT NULL,
    uids TEXT NOT NULL, weights TEXT NOT NULL, extrinsic TEXT NOT NULL, time REAL NOT NULL);
CREATE INDEX weights_of ON weights (ledger, id);
"""


@dataclass(frozen=True, slots=True)
class Score:
    """A hotkey's moving score.

    ``rounds`` counts the rounds that moved it; ``registered`` is the block at which the hotkey took
    its uid (another number means that it left and came back, and its score is void); ``block`` and
    ``time`` (unix seconds) tell when it moved last.
    """

    hotkey: Hotkey
    uid: Uid
    value: float
    rounds: int
    registered: Block
    block: Block
    time: float


@dataclass(frozen=True, slots=True)
class Result:
    """What one miner got in one round.

    ``score`` is None if it was not scored; ``reason`` says why its query failed (None: it answered, or
    was not asked); ``elapsed`` is in seconds; ``moving`` is its moving score after the round (None:
    not moved); ``receipts`` are those of its replies.
    """

    hotkey: Hotkey
    uid: Uid
    score: float | None
    reason: str | None = None
    elapsed: float | None = None
    moving: float | None = None
    receipts: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Round:
    """One round: its number, the metagraph's ``block`` that it was asked by, unix times, how many miners
    were ``asked`` and ``answered``, and the ``error`` that ended it early (None: it went well)."""

    id: int
    block: Block
    started: float
    ended: float
    asked: int
    answered: int
    error: str | None = None


@dataclass(frozen=True, slots=True)
class WeightsSet:
    """Weights that the chain holds: the ``block`` they came in, u16 ``weights`` of ``uids``, hash, time."""

    block: Block
    uids: tuple[Uid, ...]
    weights: tuple[int, ...]
    extrinsic_hash: str
    time: float


def ledger_path(state: str | os.PathLike[str], netuid: int, hotkey: str) -> Path:
    """Where ``subnet run`` keeps a validator's file below its --state folder."""
    return Path(state).expanduser() / f"validator-{int(netuid)}-{hotkey}.sqlite"


class History:
    """A ledger, read only. Every method may be called from any thread, also while its validator writes.

    ``genesis_hash``, ``netuid`` and ``validator`` choose the ledger; of several that match, the one
    opened last by its validator. Raises StoreError if the file or the ledger does not exist.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        genesis_hash: str | None = None,
        netuid: int | None = None,
        validator: str | None = None,
    ) -> None:
        self.path = Path(path).expanduser()
        self._lock = threading.RLock()
        self._db = open_reader(self.path, SCHEMA_VERSION)
        try:
            self._id = self._choose(genesis_hash, netuid, validator)
        except BaseException:
            self._db.close()
            raise

    def _choose(self, genesis_hash: str | None, netuid: int | None, validator: str | None) -> int:
        rows = self._all(
            "SELECT id FROM ledger WHERE (?1 IS NULL OR genesis = ?1) AND (?2 IS NULL OR netuid = ?2)"
            " AND (?3 IS NULL OR validator = ?3) ORDER BY opened DESC, id DESC LIMIT 1",
            (genesis_hash, netuid, validator),
        )
        if not rows:
            raise StoreError(
                f"{self.path} has no ledger of netuid {netuid}, validator {validator}, chain {genesis_hash}",
                remedy="Leave a filter out; the ledger appears when its validator first starts.",
            )
        return int(rows[0][0])

    def identity(self) -> tuple[str, Netuid, Hotkey]:
        """Whose ledger this is: genesis hash, netuid, validator's hotkey."""
        rows = self._all("SELECT genesis, netuid, validator FROM ledger WHERE id = ?", (self._id,))
        genesis, netuid, validator = rows[0]
        return str(genesis), Netuid(netuid), Hotkey(validator)

    def receipt_counts(self, limit: int = 1000) -> dict[int, int]:
        """How many receipts are kept of each round that has any, the last ``limit`` rounds, oldest first."""
        rows = self._all(
            "SELECT round, count(*) FROM receipt WHERE ledger = ? GROUP BY round ORDER BY round DESC LIMIT ?",
            (self._id, limit),
        )
        return {int(number): int(count) for number, count in reversed(rows)}

    def scores(self) -> dict[Hotkey, Score]:
        """The scores as the last recorded round left them, by hotkey."""
        rows = self._all(
            "SELECT hotkey, uid, value, rounds, registered, block, time FROM score WHERE ledger = ? ORDER BY uid",
            (self._id,),
        )
        return {Hotkey(row[0]): Score(*row) for row in rows}

    def rounds(self, after: int = 0, limit: int = 1000) -> list[Round]:
        """Rounds with a number above ``after``, oldest first, at most ``limit``."""
        rows = self._all(
            "SELECT id, block, started, ended, asked, answered, error FROM round"
            " WHERE ledger = ? AND id > ? ORDER BY id LIMIT ?",
            (self._id, after, limit),
        )
        return [Round(*row) for row in rows]

    def last_round(self) -> Round | None:
        """The newest recorded round, or None before the first."""
        rows = self._all(
            "SELECT id, block, started, ended, asked, answered, error FROM round"
            " WHERE ledger = ? ORDER BY id DESC LIMIT 1",
            (self._id,),
        )
        return Round(*rows[0]) if rows else None

    def results(self, round_id: int) -> list[Result]:
        """What each miner got in a round, by uid; its receipts are read with :meth:`receipts`."""
        rows = self._all(
            "SELECT hotkey, uid, score, reason, elapsed, moving FROM result"
            " WHERE ledger = ? AND round = ? ORDER BY uid",
            (self._id, round_id),
        )
        return [Result(*row) for row in rows]

    def receipts(self, round_id: int, hotkey: str) -> list[bytes]:
        """The receipts that a miner's replies carried in a round, as they were handed in."""
        rows = self._all(
            "SELECT body FROM receipt WHERE ledger = ? AND round = ? AND hotkey = ? ORDER BY rowid",
            (self._id, round_id, hotkey),
        )
        return [bytes(row[0]) for row in rows]

    def weights(self, limit: int = 1000) -> list[WeightsSet]:
        """The last ``limit`` sets of weights, oldest first."""
        rows = self._all(
            "SELECT block, uids, weights, extrinsic, time FROM weights WHERE ledger = ? ORDER BY id DESC LIMIT ?",
            (self._id, limit),
        )
        return [
            WeightsSet(Block(b), tuple(json.loads(u)), tuple(json.loads(w)), e, t) for b, u, w, e, t in reversed(rows)
        ]

    def close(self) -> None:
        """Let go of the file; idempotent."""
        with self._lock:
            self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _all(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self._lock, explained(self.path):
            return self._db.execute(sql, values).fetchall()


class Ledger(History):
    """A validator's own ledger, open for writing; made where it does not exist yet.

    Methods block for a disk write (milliseconds), so a loop calls them through a thread; they may
    be called from any. Raises StoreError for a file that is corrupt, read-only, another program's,
    of a newer version, or held by another process.

    ``keep_days`` and ``keep_receipts_days`` bound how long rounds, weights and receipts are kept, and so
    the file: a result takes about 100 bytes, a receipt 900; 256 miners asked every 12 s are 190 MB of
    results and 1.7 GB of receipts a day.
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
    ) -> None:
        self.path = Path(path).expanduser()
        self.keep_days, self.keep_receipts_days = keep_days, keep_receipts_days
        self._lock = threading.RLock()
        self._db, self._guard = open_writer(self.path, _SCHEMA, SCHEMA_VERSION)
        try:
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

    def next_round(self) -> int:
        """The number that the next round will be recorded under; numbers are never used twice."""
        return int(self._all("SELECT next_round FROM ledger WHERE id = ?", (self._id,))[0][0])

    def record(
        self,
        round_: Round,
        results: Iterable[Result],
        scores: Iterable[Score],
        gone: Iterable[Hotkey] = (),
    ) -> bool:
        """Keep a finished round: its results, the scores it leads to, and the hotkeys whose scores are void.

        All of it or nothing, durable when this returns (also against power loss). A round whose
        number is not :meth:`next_round` changes nothing and gives False, so that handing one in
        again is harmless. Raises ValueError for a score that is NaN or infinite.
        """
        results, scores = list(results), list(scores)
        numbers = [(r.score, r.moving) for r in results] + [(s.value, None) for s in scores]
        for item in (number for pair in numbers for number in pair):
            if item is not None and not math.isfinite(item):
                raise ValueError(f"a score of {item} can't be recorded")
        with self._write():
            moved = self._db.execute(
                "UPDATE ledger SET next_round = ?2 + 1 WHERE id = ?1 AND next_round = ?2",
                (self._id, round_.id),
            )
            if moved.rowcount == 0:
                return False
            self._insert_round(round_, results)
            self._db.executemany(
                "DELETE FROM score WHERE ledger = ? AND hotkey = ?", [(self._id, hotkey) for hotkey in gone]
            )
            self._db.executemany(
                "INSERT OR REPLACE INTO score VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        self._id,
                        s.hotkey,
                        int(s.uid),
                        float(s.value),
                        s.rounds,
                        int(s.registered),
                        int(s.block),
                        s.time,
                    )
                    for s in scores
                ],
            )
            if round_.id % _PRUNE_EVERY == 0:
                self._prune(round_.ended)
        return True

    def _insert_round(self, r: Round, results: Sequence[Result]) -> None:
        self._db.execute(
            "INSERT INTO round VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (self._id, r.id, int(r.block), r.started, r.ended, r.asked, r.answered, _bounded(r.error)),
        )
        self._db.executemany(
            "INSERT INTO result VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [(self._id, r.id, int(x.uid), x.hotkey, x.score, _bounded(x.reason), x.elapsed, x.moving) for x in results],
        )
        self._db.executemany(
            "INSERT INTO receipt (ledger, round, hotkey, body, time) VALUES (?, ?, ?, ?, ?)",
            [
                (self._id, r.id, x.hotkey, body, r.ended)
                for x in results
                for body in x.receipts
                if len(body) <= MAX_RECEIPT
            ],
        )

    def drop(self, hotkeys: Iterable[Hotkey]) -> None:
        """Forget the scores of hotkeys that left the subnet; one that comes back starts anew."""
        with self._write():
            self._db.executemany(
                "DELETE FROM score WHERE ledger = ? AND hotkey = ?",
                [(self._id, hotkey) for hotkey in hotkeys],
            )

    def add_weights(self, weights: WeightsSet) -> None:
        """Keep a set of weights that was read back from the chain; the same block and hash count once."""
        with self._write():
            self._db.execute(
                "INSERT INTO weights (ledger, block, uids, weights, extrinsic, time)"
                " SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE NOT EXISTS"
                " (SELECT 1 FROM weights WHERE ledger = ?1 AND block = ?2 AND extrinsic = ?5)",
                (
                    self._id,
                    int(weights.block),
                    json.dumps([int(uid) for uid in weights.uids]),
                    json.dumps([int(weight) for weight in weights.weights]),
                    weights.extrinsic_hash,
                    weights.time,
                ),
            )

    def prune(self, now: float) -> None:
        """Delete rounds, weights and receipts that are past their age at unix time ``now``.

        Happens by itself every 128 rounds.
        """
        with self._write():
            self._prune(now)

    def _prune(self, now: float) -> None:
        old = now - self.keep_days * _DAY
        old_receipts = max(old, now - self.keep_receipts_days * _DAY)
        self._db.execute("DELETE FROM receipt WHERE ledger = ? AND time < ?", (self._id, old_receipts))
        self._db.execute("DELETE FROM round WHERE ledger = ? AND ended < ?", (self._id, old))
        self._db.execute("DELETE FROM weights WHERE ledger = ? AND time < ?", (self._id, old))

    def close(self) -> None:
        """Let go of the file and its lock; idempotent."""
        with self._lock:
            self._db.close()
            if self._guard >= 0:
                os.close(self._guard)
                self._guard = -1

    @contextmanager
    def _write(self) -> Iterator[None]:
        with self._lock, explained(self.path), transaction(self._db):
            yield


def _bounded(text: str | None) -> str | None:
    return None if text is None else text[:MAX_TEXT]
