"""State and store: rollback, history, and a file that outlives its process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subnet.devnet.hashing import TWOX64_CONCAT
from subnet.devnet.pallet import Item, Maybe
from subnet.devnet.scale import U16, U32
from subnet.devnet.state import State, Store, StoredBlock
from subnet.errors import DevnetError

NUMBERS: Item[int] = Item(U32, (TWOX64_CONCAT, U16), default=7)
NUMBERS.bind("Test", "Numbers")
CHOICE = Maybe(U32)
CHOICE.bind("Test", "Choice")


def block(number: int) -> StoredBlock:
    return StoredBlock(number, number.to_bytes(32, "big"), b"header", b"\0")


def test_items_read_as_their_default_until_written() -> None:
    state = State()
    assert state.get(NUMBERS, 1) == 7
    assert state.get(CHOICE) is None
    state.put(NUMBERS, 1, to=9)
    state.put(CHOICE, to=3)
    assert (state.get(NUMBERS, 1), state.get(NUMBERS, 2), state.get(CHOICE)) == (9, 7, 3)
    assert state.keys(NUMBERS) == [(1,)]
    state.drop(NUMBERS, 1)
    assert state.get(NUMBERS, 1) == 7
    assert not state.has(NUMBERS, 1)


def test_rollback_goes_back_to_the_mark_only() -> None:
    state = State()
    state.put(NUMBERS, 1, to=1)
    mark = state.mark()
    state.put(NUMBERS, 1, to=2)
    state.put(NUMBERS, 2, to=2)
    state.drop(NUMBERS, 1)
    state.rollback(mark)
    assert state.get(NUMBERS, 1) == 1
    assert not state.has(NUMBERS, 2)
    assert list(state.changes()) == [NUMBERS.key(1)]


def test_a_change_undone_within_the_block_is_no_change() -> None:
    state = State()
    state.put(NUMBERS, 1, to=1)
    state.settle()
    state.put(NUMBERS, 1, to=2)
    state.put(NUMBERS, 1, to=1)
    assert state.changes() == {}


Steps = st.lists(st.lists(st.tuples(st.integers(0, 5), st.none() | st.integers(0, 99)), max_size=6), max_size=12)


@given(Steps)
def test_any_block_reads_as_it_was(steps: list[list[tuple[int, int | None]]]) -> None:
    state, store = State(), Store(None)
    snapshots: list[dict[bytes, bytes]] = []
    for number, writes in enumerate(steps):
        for key, value in writes:
            if value is None:
                state.drop(NUMBERS, key)
            else:
                state.put(NUMBERS, key, to=value)
        store.commit(block(number), state.changes())
        state.settle()
        snapshots.append({NUMBERS.prefix + rest: data for rest, data in state.items.get(NUMBERS.prefix, {}).items()})
    for number, expected in enumerate(snapshots):
        for key in range(6):
            assert store.value(NUMBERS.key(key), number) == expected.get(NUMBERS.key(key))
        assert store.page(NUMBERS.prefix, None, 100, number) == sorted(expected)
        first = store.page(NUMBERS.prefix, None, 2, number)
        rest = store.page(NUMBERS.prefix, first[-1], 100, number) if first else []
        assert first + rest == sorted(expected)
    again = State()
    store.load(again)
    assert {key: rows for key, rows in again.items.items() if rows} == {
        key: rows for key, rows in state.items.items() if rows
    }
    assert state.page(NUMBERS.prefix, None, 100) == (sorted(snapshots[-1]) if snapshots else [])
    store.close()


def test_pages_are_bounded_by_prefix_and_start() -> None:
    state, store = State(), Store(None)
    for key in range(5):
        state.put(NUMBERS, key, to=key)
    state.put(CHOICE, to=1)
    store.commit(block(0), state.changes())
    everything = sorted([CHOICE.key(), *(NUMBERS.key(key) for key in range(5))])
    assert store.page(b"", None, 100, 0) == state.page(b"", None, 100) == everything
    assert state.page(NUMBERS.prefix, NUMBERS.prefix, 3) == store.page(NUMBERS.prefix, NUMBERS.prefix, 3, 0)
    store.close()


def test_the_file_holds_what_was_committed(tmp_path: Path) -> None:
    path = tmp_path / "chain.db"
    store = Store(path)
    store.commit(block(0), {b"k" * 40: b"v"})
    store.close()
    again = Store(path)
    head = again.head()
    assert head is not None
    assert head == block(0)
    assert again.value(b"k" * 40, 0) == b"v"
    again.close()


def test_a_second_node_on_the_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "chain.db"
    store = Store(path)
    with pytest.raises(DevnetError, match="another node holds") as caught:
        Store(path)
    assert "--state" in caught.value.remedy
    store.close()
    Store(path).close()


@pytest.mark.parametrize("content", [b"not a database" * 100, b"SQLite format 3\0" + b"\xff" * 4000])
def test_a_file_that_is_no_chain_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "chain.db"
    path.write_bytes(content)
    with pytest.raises(DevnetError):
        Store(path)
    assert path.read_bytes() == content


def test_a_folder_that_is_missing_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(DevnetError, match="can't open"):
        Store(tmp_path / "missing" / "chain.db")


def test_another_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "chain.db"
    store = Store(path)
    store.set_meta("schema", b"999")
    store.close()
    with pytest.raises(DevnetError, match="another version"):
        Store(path)


def test_a_block_is_stored_whole_or_not_at_all() -> None:
    store = Store(None)
    store.commit(block(0), {b"a": b"1"})
    bad: dict[Any, Any] = {b"a": b"2", b"b": object()}
    with pytest.raises(DevnetError, match="can't write block 1"):
        store.commit(block(1), bad)
    head = store.head()
    assert head is not None
    assert head.number == 0
    assert store.value(b"a", 5) == b"1"
    store.commit(block(1), {b"a": b"3"})
    assert store.value(b"a", 1) == b"3"
    store.close()
