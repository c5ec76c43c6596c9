"""Rows that go in by few statements are the rows that were given, whatever their number."""

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subnet.database import insert_rows, transaction


@given(st.lists(st.tuples(st.floats(allow_nan=False), st.text(max_size=3), st.binary(max_size=3)), max_size=700))
def test_all_rows_go_in_once_and_to_the_bit(rows: list[tuple[float, str, bytes]]) -> None:
    db = sqlite3.connect(":memory:", isolation_level=None)
    try:
        db.execute("CREATE TABLE t (number REAL, name TEXT, body BLOB)")
        insert_rows(db, "INSERT INTO t", rows)
        assert db.execute("SELECT * FROM t ORDER BY rowid").fetchall() == rows
    finally:
        db.close()


def test_a_library_of_few_parameters_gets_more_statements() -> None:
    db = sqlite3.connect(":memory:", isolation_level=None)
    try:
        db.execute("CREATE TABLE t (a, b, c)")
        db.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 10)
        insert_rows(db, "INSERT INTO t", ((n, n, n) for n in range(100)))
        assert db.execute("SELECT count(*), sum(a) FROM t").fetchone() == (100, 4950)
    finally:
        db.close()


def test_a_row_that_is_refused_leaves_none_of_its_transaction() -> None:
    db = sqlite3.connect(":memory:", isolation_level=None)
    try:
        db.execute("CREATE TABLE t (number INTEGER PRIMARY KEY)")
        with pytest.raises(sqlite3.IntegrityError), transaction(db):
            insert_rows(db, "INSERT INTO t", [(n,) for n in (*range(700), 7)])
        assert db.execute("SELECT count(*) FROM t").fetchone() == (0,)
    finally:
        db.close()
