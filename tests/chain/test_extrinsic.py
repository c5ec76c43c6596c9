"""Pace, search through reorganised blocks, and outcomes read from events: without a node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest

from subnet.chain import extrinsic as module
from subnet.chain.extrinsic import Event, Included, Pace, _error_in, _look, _Signed, _Watch
from subnet.chain.session import Session
from subnet.errors import ChainMalformed
from subnet.types import Block, Rao

DATA = "0x1234"


def hash_of(number: int, fork: str = "a") -> str:
    return "0x" + f"{number:x}{fork}".zfill(64)


class Ledger:
    """A chain of blocks that a Session would fetch: hashes by number, extrinsics by hash."""

    def __init__(self, head: int) -> None:
        self.hashes = {number: hash_of(number) for number in range(head + 1)}
        self.extrinsics: dict[str, list[str]] = {}
        self.fetched: list[str] = []

    def calls(self, batch: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        return [self.call(method, *params) for method, params in batch]

    def call(self, method: str, *params: Any) -> Any:
        if method == "chain_getBlockHash":
            return self.hashes.get(params[0] if params else max(self.hashes))
        (found,) = params
        if method == "chain_getHeader":
            return {"number": hex(next(number for number, h in self.hashes.items() if h == found))}
        self.fetched.append(found)
        return {"block": {"extrinsics": self.extrinsics.get(found, [])}}


def look(ledger: Ledger, watch: _Watch) -> Any:
    return _look(cast(Session, ledger), watch=watch)


def watch(start: int) -> _Watch:
    signed = _Signed("Balances.transfer", DATA, "0xhash", "5Alice", 0, start=start, dies=start + module.PERIOD)
    return _Watch(signed, start)


def test_each_block_is_fetched_once() -> None:
    ledger, seeking = Ledger(10), watch(8)
    assert look(ledger, seeking) is None
    assert ledger.fetched == [hash_of(8), hash_of(9), hash_of(10)]
    assert look(ledger, seeking) is None
    ledger.hashes[11] = hash_of(11)
    ledger.extrinsics[hash_of(11)] = ["0xother", DATA.upper().replace("X", "x")]
    assert look(ledger, seeking) == (11, hash_of(11), 1)
    assert ledger.fetched[3:] == [hash_of(11)]


def test_a_block_replaced_by_a_fork_is_looked_at_again() -> None:
    ledger, seeking = Ledger(10), watch(8)
    assert look(ledger, seeking) is None
    for number in (9, 10, 11):
        ledger.hashes[number] = hash_of(number, "b")
    ledger.extrinsics[hash_of(9, "b")] = [DATA]
    assert look(ledger, seeking) == (9, hash_of(9, "b"), 0)


def test_a_head_far_ahead_is_reached_in_bounded_steps() -> None:
    ledger, seeking = Ledger(200), watch(1)
    steps = 0
    while seeking.number < 200:
        assert look(ledger, seeking) is None
        steps += 1
        assert len(ledger.fetched) <= steps * (module._WINDOW + 1)
    assert sorted(ledger.fetched) == sorted(hash_of(number) for number in range(1, 201))


def test_a_node_behind_the_start_is_waited_for() -> None:
    ledger, seeking = Ledger(3), watch(20)
    assert look(ledger, seeking) is None
    assert ledger.fetched == []
    assert seeking.number == 3


@pytest.mark.parametrize("answer", [None, [], {}, {"block": None}, {"block": {"extrinsics": [7]}}])
def test_a_block_that_is_none_is_malformed(answer: Any) -> None:
    with pytest.raises(ChainMalformed):
        module._index_in(answer, DATA)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (Event("System", "ExtrinsicSuccess", {"dispatch_info": {}}), (None, "")),
        (Event("System", "ExtrinsicFailed", {"dispatch_error": "BadOrigin"}), ("BadOrigin", "block")),
        (Event("System", "ExtrinsicFailed", ({"Token": "Frozen"}, {})), ({"Token": "Frozen"}, "block")),
        (Event("Sudo", "Sudid", {"sudo_result": {"Ok": ()}}), (None, "")),
        (Event("Sudo", "Sudid", {"sudo_result": {"Err": "BadOrigin"}}), ("BadOrigin", "sudo")),
        (Event("Sudo", "Sudid", {"Err": "BadOrigin"}), ("BadOrigin", "sudo")),
        (Event("Sudo", "Sudid", ({"Err": "BadOrigin"},)), ("BadOrigin", "sudo")),
        (Event("Utility", "BatchInterrupted", {"index": 1, "error": "Other"}), ("Other", "block")),
        (Event("Utility", "BatchCompleted", None), (None, "")),
    ],
)
def test_failures_are_read_from_events(event: Event, expected: tuple[Any, str]) -> None:
    assert _error_in(event) == expected


def test_the_new_subnet_s_number() -> None:
    def included(*events: Event) -> Included:
        return Included(Block(1), hash_of(1), "0x", Rao(0), events)

    assert included(Event("SubtensorModule", "NetworkAdded", (7, 0))).netuid == 7
    assert included(Event("SubtensorModule", "NetworkAdded", {"netuid": 7, "mechanism": 0})).netuid == 7
    with pytest.raises(ChainMalformed, match="created no subnet"):
        _ = included().netuid


def test_pace_follows_the_block_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    pace = Pace()
    first = pace.saw(1)
    now[0] += 12.0
    assert pace.saw(2) == 2.0  # a real network: not asked more than every other second
    now[0] += 0.01
    assert pace.saw(3) == 0.05  # a fast local chain: not asked without pause
    now[0] += 1.0
    assert pace.saw(3) == 0.05
    now[0] += 2.0
    assert pace.saw(8) == pytest.approx(0.15)
    assert 0.05 <= first <= 2.0
