"""The search through reorganised blocks, and outcomes read from events: without a node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest

from subnet.chain import extrinsic, following
from subnet.chain.events import Event
from subnet.chain.extrinsic import Pace
from subnet.chain.following import Watch, errors_in, look
from subnet.chain.sending import PERIOD, Included, Prepared
from subnet.chain.session import Entry, Session
from subnet.errors import ChainMalformed
from subnet.keys import load_key
from subnet.types import Block, Rao

DATA = "0x1234"
ALICE = load_key("//Alice").ss58_address


def hash_of(number: int, fork: str = "a") -> str:
    return "0x" + f"{number:x}{fork}".zfill(64)


class Ledger:
    """A chain of blocks that a Session would fetch: hashes by number, extrinsics by hash, one account's nonce."""

    def __init__(self, head: int, final: int = 0) -> None:
        self.hashes = {number: hash_of(number) for number in range(head + 1)}
        self.final = final
        self.extrinsics: dict[str, list[str]] = {}
        self.fetched: list[str] = []
        self.nonce = 0

    def fork(self, numbers: range, fork: str = "b") -> None:
        self.hashes.update({number: hash_of(number, fork) for number in numbers})

    def calls(self, batch: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        return [self.call(method, *params) for method, params in batch]

    def call(self, method: str, *params: Any) -> Any:
        if method == "chain_getBlockHash":
            return self.hashes.get(params[0] if params else max(self.hashes))
        if method == "chain_getFinalizedHead":
            return self.hashes[self.final]
        (found,) = params
        if method == "chain_getHeader":
            return {"number": hex(next(number for number, h in self.hashes.items() if h == found))}
        self.fetched.append(found)
        return {"block": {"extrinsics": self.extrinsics.get(found, [])}}

    def read(self, entries: Sequence[Entry], at: str) -> dict[Entry, bytes]:
        (account,) = entries
        return {account: self.nonce.to_bytes(4, "little") + bytes(44)}


def seek(ledger: Ledger, watch: Watch) -> tuple[int, str, int] | None:
    look(cast(Session, ledger), watch=watch)
    return watch.place


def watch_from(start: int, dies: int | None = None) -> Watch:
    last = Block(start + PERIOD if dies is None else dies)
    return Watch.of(Prepared("Balances.transfer", DATA, ALICE, 0, Block(start), last, "0x"))


def test_each_block_is_fetched_once() -> None:
    ledger, seeking = Ledger(10), watch_from(8)
    assert seek(ledger, seeking) is None
    assert ledger.fetched == [hash_of(8), hash_of(9), hash_of(10)]
    assert seek(ledger, seeking) is None
    ledger.hashes[11] = hash_of(11)
    ledger.extrinsics[hash_of(11)] = ["0xother", DATA.upper().replace("X", "x")]
    assert seek(ledger, seeking) == (11, hash_of(11), 1)
    assert ledger.fetched[3:] == [hash_of(11)]


def test_a_block_replaced_by_a_fork_is_looked_at_again() -> None:
    ledger, seeking = Ledger(10), watch_from(8)
    assert seek(ledger, seeking) is None
    ledger.fork(range(9, 12))
    ledger.extrinsics[hash_of(9, "b")] = [DATA]
    assert seek(ledger, seeking) == (9, hash_of(9, "b"), 0)


def test_a_head_far_ahead_is_reached_in_bounded_steps() -> None:
    ledger, seeking = Ledger(200), watch_from(1, dies=1000)
    steps = 0
    while seeking.number < 200:
        assert seek(ledger, seeking) is None
        steps += 1
        assert len(ledger.fetched) <= steps * (following._WINDOW + 1)
    assert sorted(ledger.fetched) == sorted(hash_of(number) for number in range(1, 201))


def test_a_node_behind_the_start_is_waited_for() -> None:
    ledger, seeking = Ledger(3), watch_from(20)
    assert seek(ledger, seeking) is None
    assert ledger.fetched == []
    assert seeking.number == 3


@pytest.mark.parametrize("answer", [None, [], {}, {"block": None}, {"block": {"extrinsics": [7]}}])
def test_a_block_that_is_none_is_malformed(answer: Any) -> None:
    with pytest.raises(ChainMalformed):
        following._index_in(answer, DATA)


def test_a_block_replaced_before_it_is_final_is_left_for_the_one_that_holds_it_now() -> None:
    ledger, seeking = Ledger(10, final=7), watch_from(8)
    ledger.extrinsics[hash_of(9)] = [DATA]
    assert seek(ledger, seeking) == (9, hash_of(9), 0)
    assert not seeking.is_final
    ledger.fork(range(9, 13))
    assert seek(ledger, seeking) is None  # gone: it is in the pool again, or lost
    ledger.hashes[13] = hash_of(13, "b")
    ledger.extrinsics[hash_of(13, "b")] = ["0xother", DATA]
    assert seek(ledger, seeking) == (13, hash_of(13, "b"), 1)
    ledger.final = 13
    assert seek(ledger, seeking) == (13, hash_of(13, "b"), 1)
    assert seeking.is_final


def test_what_a_fork_moved_to_another_block_is_found_there() -> None:
    ledger, seeking = Ledger(10, final=7), watch_from(8)
    ledger.extrinsics[hash_of(10)] = [DATA]
    assert seek(ledger, seeking) == (10, hash_of(10), 0)
    ledger.fork(range(8, 12))
    ledger.extrinsics[hash_of(8, "b")] = [DATA]
    assert seek(ledger, seeking) == (8, hash_of(8, "b"), 0)


def test_finalised_blocks_are_done_with() -> None:
    ledger, seeking = Ledger(30, final=20), watch_from(1)
    assert seek(ledger, seeking) is None
    ledger.fork(range(1, 21))  # only a liar's chain does this
    ledger.extrinsics[hash_of(15, "b")] = [DATA]
    ledger.hashes[31] = hash_of(31)
    assert seek(ledger, seeking) is None
    assert max(seeking.seen) == 31
    assert min(seeking.seen) == 21


def test_over_only_when_its_last_block_is_settled_or_deep_below_the_head() -> None:
    ledger, seeking = Ledger(12, final=0), watch_from(1, dies=10)
    assert seek(ledger, seeking) is None
    assert not seeking.is_over
    ledger.final = 10
    assert seek(ledger, seeking) is None
    assert seeking.is_over
    ledger, seeking = Ledger(10 + following.DEPTH + 1, final=0), watch_from(1, dies=10)
    assert seek(ledger, seeking) is None
    assert seeking.is_over
    assert seeking.next == 11


def test_a_nonce_used_by_another_is_believed_once_that_is_final() -> None:
    ledger, seeking = Ledger(10, final=9), watch_from(8)
    assert seek(ledger, seeking) is None
    assert not seeking.usurped
    ledger.nonce = 1
    ledger.hashes[11] = hash_of(11)
    assert seek(ledger, seeking) is None
    assert seeking.usurped


def test_a_used_nonce_is_its_own_where_it_is_in_a_block() -> None:
    ledger, seeking = Ledger(10, final=9), watch_from(8)
    ledger.nonce = 1
    ledger.extrinsics[hash_of(9)] = [DATA]
    assert seek(ledger, seeking) == (9, hash_of(9), 0)
    assert not seeking.usurped


def test_a_block_that_came_between_two_questions_is_looked_into_before_its_nonce_is_believed() -> None:
    """The head is asked for first: the finalised block may be one later, and hold the extrinsic."""

    class Racing(Ledger):
        def call(self, method: str, *params: Any) -> Any:
            return hash_of(9) if (method, params) == ("chain_getBlockHash", ()) else super().call(method, *params)

    ledger, seeking = Racing(10, final=10), watch_from(8)
    ledger.extrinsics[hash_of(10)] = [DATA]
    ledger.nonce = 1
    assert seek(ledger, seeking) == (10, hash_of(10), 0)
    assert not seeking.usurped


def test_a_block_that_the_node_can_t_name_is_asked_for_again() -> None:
    """Else what is in it would be missed, and its nonce look used by another."""
    ledger, seeking = Ledger(10, final=10), watch_from(8)
    ledger.extrinsics[hash_of(9)] = [DATA]
    ledger.nonce = 1
    hidden = ledger.hashes.pop(9)
    assert seek(ledger, seeking) is None
    assert not seeking.usurped
    ledger.hashes[9] = hidden
    assert seek(ledger, seeking) == (9, hidden, 0)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (Event("System", "ExtrinsicSuccess", {"dispatch_info": {}}), None),
        (Event("System", "ExtrinsicFailed", {"dispatch_error": "BadOrigin"}), ("BadOrigin", "block", None)),
        (Event("System", "ExtrinsicFailed", ({"Token": "Frozen"}, {})), ({"Token": "Frozen"}, "block", None)),
        (Event("Sudo", "Sudid", {"sudo_result": {"Ok": ()}}), None),
        (Event("Sudo", "Sudid", {"sudo_result": {"Err": "BadOrigin"}}), ("BadOrigin", "sudo", None)),
        (Event("Sudo", "Sudid", {"Err": "BadOrigin"}), ("BadOrigin", "sudo", None)),
        (Event("Sudo", "Sudid", ({"Err": "BadOrigin"},)), ("BadOrigin", "sudo", None)),
        (Event("Sudo", "Sudid", ({"Ok": ()},)), None),
        (Event("Sudo", "SudoAsDone", {"sudo_result": {"Err": "Other"}}), ("Other", "sudo", None)),
        (Event("Utility", "BatchInterrupted", {"index": 1, "error": "Other"}), ("Other", "batch", 1)),
        (Event("Utility", "BatchInterrupted", (1, "Other")), ("Other", "batch", 1)),
        (Event("Utility", "BatchCompleted", None), None),
        (Event("Utility", "ItemFailed", {"error": "Other"}), ("Other", "batch", 0)),
        (Event("Utility", "ItemFailed", ("Other",)), ("Other", "batch", 0)),
        (Event("Proxy", "ProxyExecuted", {"result": {"Err": "BadOrigin"}}), ("BadOrigin", "proxy", None)),
        (Event("Proxy", "ProxyExecuted", {"result": {"Ok": ()}}), None),
        (
            Event("Multisig", "MultisigExecuted", {"approving": "5A", "result": {"Err": "Other"}}),
            ("Other", "multisig", None),
        ),
        (
            Event("Multisig", "MultisigExecuted", ("5A", {"height": 1}, "5B", "0x", {"Err": "Other"})),
            ("Other", "multisig", None),
        ),
    ],
)
def test_failures_are_read_from_events(event: Event, expected: tuple[Any, str, int | None] | None) -> None:
    assert errors_in([event]) == ([] if expected is None else [expected])


def test_each_failed_call_of_a_batch_has_its_place() -> None:
    done, failed = Event("Utility", "ItemCompleted", None), Event("Utility", "ItemFailed", {"error": "Other"})
    found = errors_in([done, failed, done, failed, Event("Utility", "BatchCompletedWithErrors", None)])
    assert found == [("Other", "batch", 1), ("Other", "batch", 3)]


def test_the_new_subnet_s_number() -> None:
    def included(*events: Event) -> Included:
        return Included(Block(1), hash_of(1), "0x", Rao(0), events)

    assert included(Event("SubtensorModule", "NetworkAdded", (7, 0))).netuid == 7
    assert included(Event("SubtensorModule", "NetworkAdded", {"netuid": 7, "mechanism": 0})).netuid == 7
    with pytest.raises(ChainMalformed, match="created no subnet"):
        _ = included().netuid


def test_pace_follows_the_block_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(extrinsic.time, "monotonic", lambda: now[0])
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
