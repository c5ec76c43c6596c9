"""Children: who lends its stake to whom, from when on, and who earns what of it."""

from __future__ import annotations

import pytest

from subnet.devnet.pallets.subtensor import SubtensorModule as S
from subnet.devnet.pallets.subtensor_children import WHOLE, dividends_of, inherited
from tests.devnet.conftest import TAO, Bench

HALF = WHOLE // 2


def set_children(bench: Bench, who: bytes, hotkey: bytes, *children: tuple[int, bytes]) -> str | None:
    args = {"hotkey": hotkey, "netuid": 1, "children": list(children)}
    return bench.send(who, "SubtensorModule", "set_children", **args)


def test_children_wait_for_the_cooldown_and_then_for_an_epoch(bench: Bench) -> None:
    parent, child = bench.subnet(2)
    assert set_children(bench, bench.bob, parent, (HALF, child)) is None
    due = bench.chain.head.number + bench.state.get(S.PendingChildKeyCooldown)
    assert bench.events("SubtensorModule") == [("SetChildrenScheduled", (parent, 1, due, [(HALF, child)]))]
    while bench.chain.head.number <= due:
        assert bench.state.get(S.ChildKeys, parent, 1) == []
        bench.blocks(1)
    bench.blocks(5)
    assert bench.state.get(S.ChildKeys, parent, 1) == [(HALF, child)]
    assert bench.state.get(S.ParentKeys, child, 1) == [(HALF, parent)]
    assert bench.state.keys(S.PendingChildKeys, 1) == []


def test_before_the_start_they_take_effect_at_once(bench: Bench) -> None:
    parent, child, other = bench.subnet(3, started=False)
    assert set_children(bench, bench.bob, parent, (HALF, child)) is None
    assert bench.state.get(S.ParentKeys, child, 1) == [(HALF, parent)]
    bench.blocks(150)
    assert set_children(bench, bench.bob, parent, (7, other)) is None
    assert bench.state.get(S.ParentKeys, child, 1) == []
    assert bench.state.get(S.ParentKeys, other, 1) == [(7, parent)]
    assert ("SetChildren", (parent, 1, [(7, other)])) in bench.events("SubtensorModule")


def test_what_is_refused(bench: Bench) -> None:
    parent, child = bench.subnet(2, started=False)
    assert set_children(bench, bench.charlie, parent, (1, child)) == "NonAssociatedColdKey"
    assert set_children(bench, bench.bob, parent, (1, parent)) == "InvalidChild"
    assert set_children(bench, bench.bob, parent, (1, child), (2, child)) == "DuplicateChild"
    six = [(1, bench.key(f"child {number}")) for number in range(6)]
    assert set_children(bench, bench.bob, parent, *six) == "TooManyChildren"
    assert set_children(bench, bench.bob, parent, (WHOLE, child), (1, six[0][1])) == "ProportionOverflow"
    assert bench.sudo("sudo_set_stake_threshold", min_stake=1) is None
    assert set_children(bench, bench.bob, parent, (1, child)) == "NotEnoughStakeToSetChildkeys"
    assert bench.sudo("sudo_set_stake_threshold", min_stake=0) is None
    assert set_children(bench, bench.bob, parent, (1, child)) is None
    assert set_children(bench, bench.bob, child, (1, parent)) == "ChildParentInconsistency"
    assert set_children(bench, bench.bob, parent) == "TxRateLimitExceeded"
    bench.blocks(149)
    assert set_children(bench, bench.bob, parent) is None


def test_the_childkey_take_has_bounds_and_a_rate_limit(bench: Bench) -> None:
    (hotkey,) = bench.subnet(1)

    def take(value: int) -> str | None:
        args = {"hotkey": hotkey, "netuid": 1, "take": value}
        return bench.send(bench.bob, "SubtensorModule", "set_childkey_take", **args)

    assert take(11_797) == "InvalidChildkeyTake"
    assert take(1000) is None
    assert bench.events("SubtensorModule") == [("ChildKeyTakeSet", (hotkey, 1000))]
    assert take(2000) == "TxChildkeyTakeRateLimitExceeded"
    assert take(500) is None  # lowering is free
    assert bench.sudo_call("SubtensorModule", "sudo_set_tx_childkey_take_rate_limit", tx_rate_limit=0) is None
    assert take(2000) is None
    assert bench.sudo_call("SubtensorModule", "sudo_set_min_childkey_take", take=100) is None
    assert take(99) == "InvalidChildkeyTake"


@pytest.fixture
def family(bench: Bench) -> tuple[Bench, bytes, bytes]:
    """A child of Bob's with 300 alpha, and a parent of Charlie's with 100 that lends it a half."""
    (child,) = bench.subnet(1)
    parent = bench.key("parent")
    assert bench.send(bench.charlie, "SubtensorModule", "burned_register", netuid=1, hotkey=parent) is None
    for who, hotkey, amount in ((bench.bob, child, 300), (bench.charlie, parent, 100)):
        args = {"hotkey": hotkey, "netuid": 1, "amount_staked": amount * TAO}
        assert bench.send(who, "SubtensorModule", "add_stake", **args) is None
    bench.write(S.ChildKeys, parent, 1, to=[(HALF, child)])
    bench.write(S.ParentKeys, child, 1, to=[(HALF, parent)])
    return bench, parent, child


def test_stake_is_lent(family: tuple[Bench, bytes, bytes]) -> None:
    bench, parent, child = family
    assert inherited(bench.state, parent, 1, of=1) == pytest.approx(50 * TAO, abs=100)
    assert inherited(bench.state, child, 1, of=1) == pytest.approx(350 * TAO, abs=100)


def test_dividends_go_to_parents_less_the_take(family: tuple[Bench, bytes, bytes]) -> None:
    bench, parent, child = family
    bench.write(S.ChildkeyTake, child, 1, to=6553)  # a tenth
    parts, burned = dividends_of(bench.state, child, 1, 7 * TAO)
    # the parent lent 50 of 350: a seventh, of which the child keeps a tenth
    assert [hotkey for _, hotkey in parts] == [parent, child]
    assert [part for part, _ in parts] == [
        pytest.approx(0.9 * TAO, rel=1e-4),
        pytest.approx(6.1 * TAO, rel=1e-4),
    ]
    assert burned == 0
    assert sum(part for part, _ in parts) <= 7 * TAO


def test_an_epoch_pays_the_parent(family: tuple[Bench, bytes, bytes]) -> None:
    bench, parent, child = family
    bench.blocks(6)  # permits
    before = bench.state.get(S.TotalHotkeyAlpha, parent, 1)
    uid = bench.state.get(S.Uids, 1, child)
    target = bench.state.get(S.Uids, 1, parent)
    args = {"netuid": 1, "dests": [target], "weights": [1], "version_key": 0}
    assert bench.send(child, "SubtensorModule", "set_weights", **args) is None
    bench.blocks(12)
    assert bench.state.get(S.Dividends, 1)[uid] > 0
    assert bench.state.get(S.AlphaDividendsPerSubnet, 1, parent) > 0
    assert bench.state.get(S.TotalHotkeyAlpha, parent, 1) > before
