from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from subnet.demo import checks
from subnet.demo.record import Record

Lived = Callable[..., Record]


def failed(record: Record) -> set[str]:
    return {check.name for check in checks.run(record) if not check.passed}


def test_a_demo_that_went_well_passes_every_check(lived: Lived) -> None:
    assert failed(lived()) == set()


@pytest.mark.parametrize(
    ("scores", "names"),
    [
        ({"weak": 0.7}, {"good-a above weak", "good-b above weak"}),
        ({"random": 0.2}, {"weak above random"}),
        ({"copier": 0.6}, {"copier below good-a"}),
        ({"good": 0.0}, {"good-a above weak", "good-b above weak", "copier below good-a"}),
    ],
)
def test_pay_out_of_order_fails_the_check_that_names_it(
    lived: Lived, scores: dict[str, float], names: set[str]
) -> None:
    assert names <= failed(lived(**scores))


def test_a_miner_that_never_came_back_fails(lived: Lived) -> None:
    record = lived()
    record.events = [event for event in record.events if event.what == "killed"]
    assert failed(record) == {"reborn came back"}


def test_a_reborn_that_is_not_paid_again_fails(lived: Lived) -> None:
    record = lived()
    uid = record.actor("reborn").uid
    last = record.epochs[-1]
    poor = [msgspec.structs.replace(s, emission=0) if s.uid == uid else s for s in last.shares]
    record.epochs[-1] = msgspec.structs.replace(last, shares=poor)
    record.balances_after[uid] = 5 + record.emission("reborn")
    assert failed(record) == {"reborn paid after its return"}


def test_pay_for_time_away_fails(lived: Lived) -> None:
    names = failed(lived(reborn=0.9))
    assert "reborn paid less while gone" in names


def test_too_few_epochs_fail(lived: Lived) -> None:
    assert "epochs" in failed(lived(epochs=5))


def test_stake_that_differs_from_the_emissions_seen_fails_and_names_the_miner(lived: Lived) -> None:
    record = lived()
    record.balances_after[record.actor("weak").uid] += 1
    (books,) = [check for check in checks.run(record) if not check.passed]
    assert books.name == "books agree"
    assert books.detail == "off: weak by 1 rao"


def test_a_record_of_nothing_passes_nothing_but_does_not_raise(lived: Lived) -> None:
    record = lived(epochs=0)
    record.rounds, record.events = [], []
    assert all(not check.passed for check in checks.run(record))
