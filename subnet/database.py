"""SQLite files as this library keeps them: WAL, one writer, a version, errors that say what to do.

:func:`open_writer` takes a lock beside the file (it dies with its process, so ``kill -9`` leaves
none behind), checks the file or lays the schema in a new one, and gives a connection whose commits
survive power loss. :func:`open_reader` reads the same file meanwhile. Both connections may be used
from any thread, one at a time; statements run inside :func:`explained`.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Final

from subnet.errors import StoreError

_APPLICATION_ID: Final = 0x53424E54  # "SBNT" in the file's header tells our files from other programs'
_BUSY_S: Final = 5.0
_ROWS: Final = 512  # of one INSERT, if SQLite takes as many parameters: 32,766 since 3.32
DAMAGED: Final = "Move the file away (what it remembers starts anew), or restore a copy with its -wal file."
_REMEDIES: Final[Mapping[str, str]] = {
    "readonly": "Make the file and its folder writable for this user, or choose another --state.",
    "unable to open": "Make the file and its folder readable and writable for this user.",
    "locked": "Another program holds the file; close it and try again.",
    "full": "Free some space on the disk; the next write goes on by itself.",
    "not a database": DAMAGED,
    "malformed": DAMAGED,
    "***": DAMAGED,
}


def open_writer(path: Path, steps: Sequence[str], *, durable: bool = True) -> tuple[sqlite3.Connection, int]:
    """A connection for writing and the descriptor of its lock; the caller closes both.

    ``steps`` are scripts of SQL; a file's version is how many of them it has been through. An older file goes through
    the others now, each wholly or not at all. ``durable=False`` does not wait for the disk, for a file that nobody will
    need after a power loss. Raises StoreError for a file that is corrupt, read-only, another
    program's, of a newer version, or held by another process.
    """
    guard = _lock(path)
    db: sqlite3.Connection | None = None
    try:
        with explained(path):
            db = _connect(path, "rwc")
            if not _is_blank(db):
                _check_ours(db, path)
                _check_version(db, path, len(steps))
                verdict = db.execute("PRAGMA quick_check(1)").fetchone()[0]
                if verdict != "ok":
                    raise sqlite3.DatabaseError(f"malformed: {verdict}")
            db.execute("PRAGMA journal_mode = WAL")
            # FULL: a commit survives power loss, not only kill -9
            db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'OFF'}")
            with transaction(db):  # a read-only file opens without complaint and fails at the first write
                db.execute(f"PRAGMA user_version = {_pragma(db, 'user_version')}")
            _upgrade(db, steps)
            db.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        if db is not None:
            db.close()
        os.close(guard)
        raise
    return db, guard


def open_reader(path: Path, version: int) -> sqlite3.Connection:
    """A read-only connection to a file that exists; the caller closes it. Raises StoreError."""
    if not os.path.isfile(path):
        raise StoreError(f"{path} does not exist", remedy="It appears when its writer first starts.")
    with explained(path):
        db = _connect(path, "ro")
        try:
            if _is_blank(db):
                raise StoreError(f"{path} holds nothing yet", remedy="Try again when its writer has started.")
            _check_ours(db, path)
            _check_version(db, path, version)
            if _pragma(db, "user_version") < version:
                raise StoreError(
                    f"{path} was written by an older release",
                    remedy="Start its validator with this release: that upgrades it.",
                )
        except BaseException:
            db.close()
            raise
    return db


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All of the block's writes, or none: committed at its end, rolled back on any exception."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # after a full disk SQLite has rolled back by itself
            db.execute("ROLLBACK")
        raise


def insert_rows(db: sqlite3.Connection, into: str, rows: Iterable[Sequence[object]]) -> None:
    """Insert ``rows`` of like width; ``into`` is the statement up to its VALUES. Call inside :func:`transaction`.

    A step of a statement gives up the interpreter's lock and has to win it back from a busy event loop, twice for
    each row where rows go in one by one. So they go in by the 512, the rest by 256, by 128, and so on: few statements,
    and few texts of them to prepare. An iterator of rows costs the garbage collector less than a list of them.
    """
    coming, size, limit = iter(rows), _ROWS, db.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)
    while some := list(islice(coming, _ROWS)):
        while some:
            while size > len(some) or size * len(some[0]) > limit:
                size //= 2
            marks = f"({', '.join('?' * len(some[0]))})"
            values = [value for row in some[:size] for value in row]
            db.execute(f"{into} VALUES {', '.join([marks] * size)}", values)
            del some[:size]


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into StoreError with the remedy that fits."""
    try:
        yield
    except sqlite3.Error as error:
        text = str(error)
        remedy = next((remedy for sign, remedy in _REMEDIES.items() if sign in text), None)
        raise StoreError(f"{path}: {text}", remedy=remedy) from error
    except UnicodeDecodeError as error:  # sqlite3's own words quote what it met
        raise StoreError(f"{path} is malformed: {error.reason}", remedy=DAMAGED) from None


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=_BUSY_S,
        isolation_level=None,
        check_same_thread=False,
    )


def _is_blank(db: sqlite3.Connection) -> bool:
    marked = _pragma(db, "application_id") or _pragma(db, "user_version")
    return not marked and db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None


def _upgrade(db: sqlite3.Connection, steps: Sequence[str]) -> None:
    """Lead the file through the steps that it has not seen."""
    for number, step in enumerate(steps[_pragma(db, "user_version") :], _pragma(db, "user_version") + 1):
        db.executescript(
            f"BEGIN IMMEDIATE; {step}; PRAGMA application_id = {_APPLICATION_ID};"
            f" PRAGMA user_version = {number}; COMMIT"
        )


def _check_ours(db: sqlite3.Connection, path: Path) -> None:
    if _pragma(db, "application_id") != _APPLICATION_ID:
        raise StoreError(f"{path} is another program's database", remedy="Choose another file or --state.")


def _check_version(db: sqlite3.Connection, path: Path, known: int) -> None:
    found = _pragma(db, "user_version")
    if found > known:
        raise StoreError(
            f"{path} has schema version {found}; this release knows {known}",
            remedy="Run the release that wrote it, or move the file away to start anew.",
        )


def _pragma(db: sqlite3.Connection, name: str) -> int:
    return int(db.execute(f"PRAGMA {name}").fetchone()[0])


def _lock(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        guard = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"{path.parent} can't be written: {error.strerror}") from None
    try:
        fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(guard)
        raise StoreError(
            f"{path} is held by another process",
            remedy="The same program runs already; stop it, or give this one another --state.",
        ) from None
    return guard
