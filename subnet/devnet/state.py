"""State of the chain: the head in memory, every block's changes in SQLite.

Pallets read and write through :class:`State`; a block's writes gather in memory with an undo log (a
failed extrinsic is rolled back, so is a failed block) and reach :class:`Store` as one transaction with
the block itself. Whatever moment the process dies at, the file holds whole blocks only.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from subnet.devnet.pallet import PREFIX, Item
from subnet.devnet.scale import Int
from subnet.errors import DevnetError

T = TypeVar("T")
SCHEMA = 2
MAX_SNAPSHOTS = 1000

_TABLES = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS blocks (
    number INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, header BLOB NOT NULL, extrinsics BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS state (
    key BLOB NOT NULL, block INTEGER NOT NULL, value BLOB, PRIMARY KEY (key, block)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS snapshots (
    id INTEGER PRIMARY KEY AUTOINCREMENT, block INTEGER NOT NULL, clock INTEGER NOT NULL);
"""


class State:
    """The state that the next block is built on, as nested dictionaries: item prefix, then the rest of the key."""

    def __init__(self) -> None:
        self.items: dict[bytes, dict[bytes, bytes]] = {}
        self._before: dict[bytes, bytes | None] = {}  # what each key held before this block
        self._undo: list[tuple[bytes, bytes | None]] = []

    # raw keys
    def read(self, key: bytes) -> bytes | None:
        return self.items.get(key[:PREFIX], {}).get(key[PREFIX:])

    def write(self, key: bytes, value: bytes | None) -> None:
        rows = self.items.setdefault(key[:PREFIX], {})
        rest = key[PREFIX:]
        old = rows.get(rest)
        if old == value:
            return
        self._before.setdefault(key, old)
        self._undo.append((key, old))
        if value is None:
            del rows[rest]
        else:
            rows[rest] = value

    # declared items
    def get(self, item: Item[T], *keys: Any) -> T:
        """The item's value, its default where it was never written."""
        data = self.read(item.key(*keys))
        return item.default() if data is None else item.value.decode(data)

    def put(self, item: Item[T], *keys: Any, to: T) -> None:
        self.write(item.key(*keys), item.value.encode(to))

    def drop(self, item: Item[Any], *keys: Any) -> None:
        self.write(item.key(*keys), None)

    def has(self, item: Item[Any], *keys: Any) -> bool:
        return self.read(item.key(*keys)) is not None

    def add(self, item: Item[int], *keys: Any, by: int) -> int:
        """Add to a number, never below zero nor above its type's highest; returns the new value."""
        value = max(0, self.get(item, *keys) + by)
        if isinstance(item.value, Int):
            value = min(value, item.value.highest)
        self.put(item, *keys, to=value)
        return value

    def keys(self, item: Item[Any], *first: Any) -> list[tuple[Any, ...]]:
        """The keys of a map that are present, in the order of their storage keys."""
        rest = item.key(*first)[PREFIX:]
        rows = self.items.get(item.prefix, {})
        return [item.split(item.prefix + one) for one in sorted(rows) if one.startswith(rest)]

    def clear(self, item: Item[Any], *first: Any) -> None:
        rest = item.key(*first)[PREFIX:]
        for one in [one for one in self.items.get(item.prefix, {}) if one.startswith(rest)]:
            self.write(item.prefix + one, None)

    # rollback
    def mark(self) -> int:
        return len(self._undo)

    def rollback(self, mark: int) -> None:
        """Undo every write since ``mark``."""
        while len(self._undo) > mark:
            key, old = self._undo.pop()
            rows = self.items[key[:PREFIX]]
            if old is None:
                rows.pop(key[PREFIX:], None)
            else:
                rows[key[PREFIX:]] = old

    def changes(self) -> dict[bytes, bytes | None]:
        """What this block changed: key to new value, None where the key is gone."""
        found = {}
        for key in sorted(self._before):
            value = self.read(key)
            if value != self._before[key]:
                found[key] = value
        return found

    def settle(self) -> None:
        """The block stands: forget how to undo it."""
        self._before.clear()
        self._undo.clear()

    def page(self, prefix: bytes, start: bytes | None, limit: int) -> list[bytes]:
        """Up to ``limit`` keys at the head that begin with ``prefix`` and come after ``start``."""
        if len(prefix) >= PREFIX:
            head = prefix[:PREFIX]
            keys: Iterator[bytes] = (head + rest for rest in self.items.get(head, {}))
        else:
            keys = (head + rest for head, rows in self.items.items() for rest in rows)
        chosen = (key for key in keys if key.startswith(prefix) and (start is None or key > start))
        return sorted(chosen)[:limit]


@dataclass(frozen=True)
class StoredBlock:
    number: int
    hash: bytes
    header: bytes
    extrinsics: bytes


@dataclass(frozen=True)
class Snapshot:
    """A block to return to, and how far the chain's clock was ahead of the machine's then (milliseconds)."""

    id: int
    block: int
    clock: int


class Store:
    """The chain on disk: blocks, and each key's value from the block that set it on.

    Without a path it is in a file that SQLite removes by itself: history grows on the disk, not in memory.
    """

    def __init__(self, path: str | Path | None) -> None:
        self.path = "a temporary file" if path is None else str(path)
        try:
            name = "" if path is None else str(path)
            self._db = sqlite3.connect(name, isolation_level=None, check_same_thread=False, timeout=0.2)
        except sqlite3.Error as error:
            raise _unusable(self.path, error) from error
        try:
            if path is not None:
                self._claim()
            self._db.executescript(_TABLES)
            self._check_schema()
        except sqlite3.Error as error:
            self._db.close()
            raise _unusable(self.path, error) from error
        except DevnetError:
            self._db.close()
            raise

    def _claim(self) -> None:
        """Take the file for this process alone: a second node on it would fork the chain."""
        self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute("COMMIT")

    def _check_schema(self) -> None:
        found = self.meta("schema")
        if found is None:
            self.set_meta("schema", str(SCHEMA).encode())
        elif found != str(SCHEMA).encode():
            raise DevnetError(
                f"{self.path} was written by another version of the local chain (schema {found.decode()})",
                remedy="Start from a fresh file: --state NEWFILE.",
            )

    def meta(self, name: str) -> bytes | None:
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else bytes(row[0])

    def set_meta(self, name: str, value: bytes) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def keep_clock(self, clock: int) -> None:
        """Remember how far the chain's clock is ahead of the machine's, in milliseconds."""
        try:
            self.set_meta("clock", str(clock).encode())
        except sqlite3.Error as error:
            raise _unchanged("set the clock", self.path, error) from error

    def take_snapshot(self, block: int, clock: int) -> int:
        """Remember a block to return to; its number among the snapshots, never given twice."""
        (count,) = self._db.execute("SELECT COUNT(*) FROM snapshots").fetchone()
        if count >= MAX_SNAPSHOTS:
            raise DevnetError(
                f"{MAX_SNAPSHOTS} snapshots are kept, and no more",
                remedy="Return to an early one with dev_revert: the later ones go.",
            )
        try:
            row = self._db.execute("INSERT INTO snapshots (block, clock) VALUES (?, ?)", (block, clock)).lastrowid
        except sqlite3.Error as error:
            raise _unchanged("take a snapshot", self.path, error) from error
        assert row is not None  # noqa: S101 - an INSERT has one
        return row

    def snapshot(self, number: int) -> Snapshot | None:
        row = self._db.execute("SELECT id, block, clock FROM snapshots WHERE id = ?", (number,)).fetchone()
        return None if row is None else Snapshot(*row)

    def revert(self, to: Snapshot, meta: dict[str, bytes]) -> dict[bytes, bytes | None]:
        """Forget all blocks and snapshots after ``to``, in one transaction that writes ``meta`` too.

        Returns what each key that those blocks set holds now.
        """
        try:
            self._db.execute("BEGIN IMMEDIATE")
            keys = self._db.execute("SELECT DISTINCT key FROM state WHERE block > ?", (to.block,)).fetchall()
            self._db.execute("DELETE FROM state WHERE block > ?", (to.block,))
            self._db.execute("DELETE FROM blocks WHERE number > ?", (to.block,))
            self._db.execute("DELETE FROM snapshots WHERE id > ?", (to.id,))
            for name, value in meta.items():
                self.set_meta(name, value)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise _unchanged(f"return to block {to.block}", self.path, error) from error
        return {bytes(key): self.value(bytes(key), to.block) for (key,) in keys}

    def fill(self, blocks: list[StoredBlock], state: dict[bytes, bytes], meta: dict[str, bytes]) -> None:
        """Put a whole chain in, in one transaction: blocks, the last one's state, and what is known about it."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(
                "INSERT INTO blocks VALUES (?, ?, ?, ?)",
                [(one.number, one.hash, one.header, one.extrinsics) for one in blocks],
            )
            head = blocks[-1].number
            self._db.executemany("INSERT INTO state VALUES (?, ?, ?)", [(k, head, v) for k, v in state.items()])
            for name, value in meta.items():
                self.set_meta(name, value)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise _unusable(self.path, error) from error

    def commit(self, block: StoredBlock, changes: dict[bytes, bytes | None]) -> None:
        """One block and its changes, in one transaction."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute(
                "INSERT INTO blocks VALUES (?, ?, ?, ?)", (block.number, block.hash, block.header, block.extrinsics)
            )
            self._db.executemany(
                "INSERT OR REPLACE INTO state VALUES (?, ?, ?)",
                [(key, block.number, value) for key, value in changes.items()],
            )
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise DevnetError(
                f"can't write block {block.number} to {self.path}: {error}",
                remedy="Free disk space and start the chain again: the blocks before this one are safe.",
            ) from error

    def head(self) -> StoredBlock | None:
        row = self._db.execute("SELECT * FROM blocks ORDER BY number DESC LIMIT 1").fetchone()
        return None if row is None else StoredBlock(*row)

    def block(self, number: int) -> StoredBlock | None:
        row = self._db.execute("SELECT * FROM blocks WHERE number = ?", (number,)).fetchone()
        return None if row is None else StoredBlock(*row)

    def block_by_hash(self, block_hash: bytes) -> StoredBlock | None:
        row = self._db.execute("SELECT * FROM blocks WHERE hash = ?", (block_hash,)).fetchone()
        return None if row is None else StoredBlock(*row)

    def value(self, key: bytes, block: int) -> bytes | None:
        """The key's value at the end of ``block``."""
        row = self._db.execute(
            "SELECT value FROM state WHERE key = ? AND block <= ? ORDER BY block DESC LIMIT 1", (key, block)
        ).fetchone()
        return None if row is None or row[0] is None else bytes(row[0])

    def page(self, prefix: bytes, start: bytes | None, limit: int, block: int) -> list[bytes]:
        """Up to ``limit`` keys present at the end of ``block`` that begin with ``prefix``, after ``start``."""
        end = _after(prefix)
        rows = self._db.execute(
            "SELECT key, value, MAX(block) FROM state WHERE key >= ? AND key > ? AND (? IS NULL OR key < ?) "
            "AND block <= ? GROUP BY key HAVING value IS NOT NULL ORDER BY key LIMIT ?",
            (prefix, start or b"", end, end, block, limit),
        )
        return [bytes(row[0]) for row in rows]

    def load(self, state: State) -> None:
        """Fill ``state`` with the head's."""
        rows = self._db.execute("SELECT key, value, MAX(block) FROM state GROUP BY key HAVING value IS NOT NULL")
        for key, value, _ in rows:
            state.items.setdefault(key[:PREFIX], {})[key[PREFIX:]] = bytes(value)

    def close(self) -> None:
        self._db.close()


def _after(prefix: bytes) -> bytes | None:
    """The least key greater than all that begin with ``prefix``; None where there is none."""
    trimmed = prefix.rstrip(b"\xff")
    return trimmed[:-1] + bytes([trimmed[-1] + 1]) if trimmed else None


def _unchanged(wish: str, path: str, error: sqlite3.Error) -> DevnetError:
    return DevnetError(
        f"can't {wish} of {path}: {error}", remedy="Free disk space and ask again: the chain is as it was."
    )


def _unusable(path: str, error: sqlite3.Error) -> DevnetError:
    if "locked" in str(error):
        return DevnetError(
            f"another node holds {path}",
            remedy="Stop that node, or start this one on a file of its own: --state NEWFILE.",
        )
    return DevnetError(
        f"can't open the chain's state {path}: {error}",
        remedy="Check that the folder exists and is writable and that the file is a state file of this command; "
        "or name another file with --state.",
    )
