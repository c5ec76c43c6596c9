"""A ledger, read only: what ``subnet history``, the dashboard and the demo look at while the validator writes."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import msgspec

from subnet.database import DAMAGED, explained, open_reader
from subnet.errors import StoreError
from subnet.store.records import Answer, Commit, Deferred, Kind, Result, Round, Score, WeightsSet
from subnet.store.schema import SCHEMA_VERSION
from subnet.types import Hotkey, Netuid

T = TypeVar("T")

ASKED_ROUNDS: Final = 5_000
"""Rounds back that :meth:`History.last_asked` and :meth:`History.last_at` look for whom they asked."""

_ROUNDS: Final = """
SELECT id, block, started, ended, asked, answered, error, kind, rule, subject FROM round WHERE ledger = ?1
"""
_RESULTS: Final = "SELECT hotkey, uid, score, reason, elapsed, moving FROM result WHERE ledger = ?1"
_ROUND_WIDTH: Final = 10
_RESULTS_IN_ROUNDS: Final = """
SELECT id, block, started, ended, asked, answered, error, kind, rule, subject,
    hotkey, uid, score, reason, elapsed, moving
FROM round CROSS JOIN result ON result.ledger = round.ledger AND result.round = round.id WHERE round.ledger = ?1
"""  # CROSS: rounds outside, newest first, so that a LIMIT ends it early


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

    @contextmanager
    def at_one_moment(self) -> Iterator[None]:
        """What is read inside is the ledger as it was at one moment, however much is written meanwhile."""
        with self._lock:
            with explained(self.path):
                self._db.execute("BEGIN")
            try:
                yield
            finally:
                with explained(self.path):
                    self._db.execute("COMMIT")

    # Scores.

    def scores(self) -> dict[Hotkey, Score]:
        """The scores as the last recorded round left them, by hotkey."""
        rows = self._all(
            "SELECT hotkey, uid, value, rounds, registered, block, time, since, mean, variance FROM score"
            " WHERE ledger = ? ORDER BY uid",
            (self._id,),
        )
        return {Hotkey(row[0]): self._made(Score, row) for row in rows}

    def samples(self) -> dict[Hotkey, list[float]]:
        """Each miner's scores in its last rounds, oldest first: what a window's mean is made of."""
        rows = self._all("SELECT hotkey, score FROM sample WHERE ledger = ? ORDER BY hotkey, round", (self._id,))
        samples: dict[Hotkey, list[float]] = {}
        for hotkey, score in rows:
            samples.setdefault(Hotkey(hotkey), []).append(self._made(float, score))
        return samples

    # Rounds.

    def rounds(self, after: int = 0, limit: int = 1000) -> list[Round]:
        """Rounds with a number above ``after``, oldest first, at most ``limit``."""
        rows = self._all(_ROUNDS + " AND id > ?2 ORDER BY id LIMIT ?3", (self._id, after, limit))
        return [self._made(Round, row) for row in rows]

    def latest_rounds(
        self,
        limit: int,
        *,
        kind: Kind | None = None,
        failed: bool = False,
        begin: float | None = None,
        end: float | None = None,
    ) -> list[Round]:
        """The last ``limit`` rounds, oldest first: of one ``kind``, only those that ``failed``, ended from unix
        time ``begin`` to ``end``."""
        rows = self._all(
            _ROUNDS + " AND (?2 IS NULL OR kind = ?2)"
            " AND (NOT ?3 OR error IS NOT NULL) AND ended >= ?4 AND ended <= ?5 ORDER BY id DESC LIMIT ?6",
            (self._id, kind, failed, *_span(begin, end), limit),
        )
        return [self._made(Round, row) for row in reversed(rows)]

    def round(self, number: int) -> Round | None:
        """One round; None if it is not, or no longer, here."""
        rows = self._all(_ROUNDS + " AND id = ?2", (self._id, number))
        return self._made(Round, rows[0]) if rows else None

    def last_round(self) -> Round | None:
        """The newest recorded round, or None before the first."""
        rows = self._all(_ROUNDS + " ORDER BY id DESC LIMIT 1", (self._id,))
        return self._made(Round, rows[0]) if rows else None

    def results(self, round_id: int) -> list[Result]:
        """What each miner got in a round, by uid; its receipts are read with :meth:`receipts`."""
        rows = self._all(_RESULTS + " AND round = ?2 ORDER BY uid", (self._id, round_id))
        return [self._made(Result, row) for row in rows]

    def results_of(
        self,
        hotkey: str,
        limit: int,
        *,
        after: int = 0,
        moved: bool = False,
        failed: bool = False,
        begin: float | None = None,
        end: float | None = None,
    ) -> list[tuple[Round, Result]]:
        """What one miner got in the last ``limit`` rounds it was part of, oldest first.

        Only rounds with a number above ``after``; those that ``moved`` its score; those whose queries ``failed``;
        ended from unix time ``begin`` to ``end``.
        """
        rows = self._all(
            _RESULTS_IN_ROUNDS + " AND hotkey = ?2 AND round.id > ?3 AND (NOT ?4 OR reason IS NOT NULL)"
            " AND ended >= ?5 AND ended <= ?6 AND (NOT ?8 OR moving IS NOT NULL) ORDER BY round.id DESC LIMIT ?7",
            (self._id, hotkey, after, failed, *_span(begin, end), limit, moved),
        )
        return [self._in_round(row) for row in reversed(rows)]

    def failures(
        self, limit: int, *, begin: float | None = None, end: float | None = None
    ) -> list[tuple[Round, Result]]:
        """The last ``limit`` queries that failed, of all miners, oldest first."""
        rows = self._all(
            _RESULTS_IN_ROUNDS + " AND reason IS NOT NULL AND ended >= ?2 AND ended <= ?3"
            " ORDER BY round.id DESC, uid DESC LIMIT ?4",
            (self._id, *_span(begin, end), limit),
        )
        return [self._in_round(row) for row in reversed(rows)]

    def last_at(self, uid: int) -> Hotkey | None:
        """Who held a uid when it was last asked or judged, as far as the last 5,000 rounds tell."""
        rows = self._all(
            "SELECT hotkey FROM round CROSS JOIN result ON result.ledger = round.ledger AND round = id"
            " WHERE round.ledger = ?1 AND uid = ?2 AND id > (SELECT next_round FROM ledger WHERE id = ?1) - ?3"
            " ORDER BY id DESC LIMIT 1",
            (self._id, uid, ASKED_ROUNDS),
        )
        return Hotkey(rows[0][0]) if rows else None

    def last_asked(self) -> dict[Hotkey, float]:
        """When each miner was asked last (unix time), as far as the last 5,000 rounds tell."""
        rows = self._all(
            "SELECT hotkey, max(started) FROM round JOIN result ON result.ledger = round.ledger AND round = id"
            " WHERE round.ledger = ?1 AND kind = 'synthetic' AND elapsed IS NOT NULL"
            " AND id > (SELECT next_round FROM ledger WHERE id = ?1) - ?2 GROUP BY hotkey",
            (self._id, ASKED_ROUNDS),
        )
        return {Hotkey(hotkey): float(started) for hotkey, started in rows}

    # Receipts.

    def receipt_counts(self, limit: int = 1000) -> dict[int, int]:
        """How many receipts are kept of each round that has any, the last ``limit`` rounds, oldest first."""
        rows = self._all(
            "SELECT round, count(*) FROM receipt WHERE ledger = ? GROUP BY round ORDER BY round DESC LIMIT ?",
            (self._id, limit),
        )
        return {int(number): int(count) for number, count in reversed(rows)}

    def receipts(self, round_id: int, hotkey: str) -> list[bytes]:
        """The receipts that a miner's replies carried in a round, as they were handed in."""
        rows = self._all(
            "SELECT body FROM receipt WHERE ledger = ? AND round = ? AND hotkey = ? ORDER BY rowid",
            (self._id, round_id, hotkey),
        )
        return [self._made(bytes, row[0]) for row in rows]

    # What waits for the truth.

    def open_questions(self, limit: int = 1000, *, due: float | None = None) -> list[Deferred]:
        """Deferred questions without their truth yet, the earliest due first; those due by ``due`` (unix time).

        Their answers are read with :meth:`deferred`.
        """
        rows = self._all(
            "SELECT id, due, made FROM deferred WHERE ledger = ?1 AND closed IS NULL AND (?2 IS NULL OR due <= ?2)"
            " ORDER BY due, id LIMIT ?3",
            (self._id, due, limit),
        )
        return [self._made(Deferred, row) for row in rows]

    def open_count(self) -> int:
        """How many deferred questions wait for their truth."""
        return int(self._all("SELECT count(*) FROM deferred WHERE ledger = ? AND closed IS NULL", (self._id,))[0][0])

    def held(self) -> dict[Hotkey, int]:
        """The bytes that each miner's deferred answers take, with their receipts, while they wait."""
        rows = self._all("SELECT hotkey, bytes FROM held WHERE ledger = ?", (self._id,))
        return {Hotkey(hotkey): int(size) for hotkey, size in rows}

    def deferred(self, id_: str) -> Deferred | None:
        """A deferred question that waits, with its answers; None if there is none of this id."""
        rows = self._all(
            "SELECT id, due, made FROM deferred WHERE ledger = ? AND id = ? AND closed IS NULL", (self._id, id_)
        )
        if not rows:
            return None
        answers = self._all(
            "SELECT hotkey, uid, registered, body, receipt FROM answer WHERE ledger = ? AND deferred = ? ORDER BY uid",
            (self._id, id_),
        )
        question = self._made(Deferred, rows[0])
        return replace(question, answers={Hotkey(row[0]): self._made(Answer, row) for row in answers})

    # Weights and notes.

    def weights(self, limit: int = 1000, *, mechanism: int | None = 0) -> list[WeightsSet]:
        """The last ``limit`` sets of weights of a mechanism (None: of all), oldest first."""
        rows = self._all(
            "SELECT block, uids, weights, extrinsic, time, mechanism FROM weights WHERE ledger = ?"
            " AND mechanism = ifnull(?, mechanism) ORDER BY id DESC LIMIT ?",
            (self._id, mechanism, limit),
        )
        return [
            self._made(WeightsSet, (block, *map(self._numbers, (uids, weights)), *rest))
            for block, uids, weights, *rest in reversed(rows)
        ]

    def mechanisms(self) -> list[int]:
        """The mechanisms that weights are kept of, ascending."""
        rows = self._all("SELECT DISTINCT mechanism FROM weights WHERE ledger = ? ORDER BY mechanism", (self._id,))
        return [self._made(int, row[0]) for row in rows]

    def commits(self, mechanism: int | None = 0, *, ended: bool | None = False, limit: int = 1000) -> list[Commit]:
        """The last ``limit`` weight commits of a mechanism (None: of all) that are open, or that have ended (None:
        both); oldest first."""
        rows = self._all(
            "SELECT hash, mechanism, uids, weights, salt, version_key, head, made, block, due, outcome FROM commitment"
            " WHERE ledger = ? AND mechanism = ifnull(?, mechanism)"
            " AND (outcome IS NOT NULL) = ifnull(?, outcome IS NOT NULL) ORDER BY made DESC, hash LIMIT ?",
            (self._id, mechanism, ended, limit),
        )
        return [self._commit(row) for row in reversed(rows)]

    def other_chains(self) -> list[str]:
        """Genesis hashes of the other chains for which the file has a ledger of the same validator and subnet; the one
        that was opened last comes first."""
        rows = self._all(
            "SELECT other.genesis FROM ledger AS me JOIN ledger AS other USING (netuid, validator)"
            " WHERE me.id = ? AND other.id != me.id ORDER BY other.opened DESC",
            (self._id,),
        )
        return [str(row[0]) for row in rows]

    def notes(self) -> dict[str, str]:
        """What the engine noted for its next life, by name."""
        return dict(self._all("SELECT name, value FROM note WHERE ledger = ?", (self._id,)))

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

    def _in_round(self, row: Sequence[Any]) -> tuple[Round, Result]:
        return self._made(Round, row[:_ROUND_WIDTH]), self._made(Result, row[_ROUND_WIDTH:])

    def _commit(self, row: Sequence[Any]) -> Commit:
        version_key = self._made(int, row[5], strict=False)  # a u64 is kept as text
        return self._made(Commit, (*row[:2], *map(self._numbers, row[2:5]), version_key, *row[6:]))

    def _numbers(self, text: object) -> list[int]:
        """A vector as the file keeps it."""
        with self._sound():
            return msgspec.json.decode(self._made(str, text), type=list[int])

    def _made(self, kind: type[T], values: Any, *, strict: bool = True) -> T:
        """A record of a row's values, checked: SQLite holds anything in any column, and files get damaged."""
        fields = getattr(kind, "__match_args__", None)
        with self._sound():
            plain = values if fields is None else dict(zip(fields, values, strict=False))
            return msgspec.convert(plain, kind, strict=strict)

    @contextmanager
    def _sound(self) -> Iterator[None]:
        try:
            yield
        except msgspec.MsgspecError as error:
            raise StoreError(f"{self.path} holds what no validator wrote: {error}", remedy=DAMAGED) from None


def _span(begin: float | None, end: float | None) -> tuple[float, float]:
    return (float("-inf") if begin is None else begin, float("inf") if end is None else end)
