"""From scores to weights, and when: pure functions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subnet.store import Score
from subnet.types import U16_MAX, Block, Hotkey, Uid
from subnet.validators.weights import as_weights, burned, by_uid, current, window
from tests.memory_chain import metagraph_of, neuron

GRAPH = metagraph_of([neuron("5Me"), neuron("5A"), neuron("5B", block_at_registration=7), neuron("5C")])


def score(hotkey: str, value: float, registered: int = 1, uid: int = 0) -> tuple[Hotkey, Score]:
    return Hotkey(hotkey), Score(Hotkey(hotkey), Uid(uid), value, 1, Block(registered), Block(9), 0.0)


def test_only_scores_of_the_same_registration_hold() -> None:
    scores = dict([score("5A", 0.5), score("5B", 0.7), score("5Left", 0.9)])
    assert current(scores, GRAPH) == {"5A": 0.5}  # 5B came back at block 7
    assert current(dict([score("5B", 0.7, 7)]), GRAPH) == {"5B": 0.7}


def test_a_score_follows_its_hotkey_to_another_uid() -> None:
    assert by_uid({Hotkey("5C"): 0.4, Hotkey("5Left"): 1.0}, GRAPH) == {0: 0, 1: 0, 2: 0, 3: 0.4}


def test_own_uid_and_zeros_get_no_weight() -> None:
    shares = {Uid(0): 9.0, Uid(1): 0.5, Uid(2): 0.0, Uid(3): 0.25}
    assert as_weights(shares, own_uid=Uid(0)) == ([1, 3], [65535, 32768])


def test_nobody_is_paid_when_all_scores_are_zero() -> None:
    assert as_weights({Uid(0): 0.0, Uid(1): 0.0, Uid(2): -1.0}, own_uid=Uid(0)) == ([], [])


def test_the_minimum_is_filled_with_zeros_but_never_beyond_the_subnet() -> None:
    shares = {Uid(0): 0.0, Uid(1): 1.0, Uid(2): 0.0}
    assert as_weights(shares, own_uid=Uid(0), min_allowed_weights=2) == ([1, 2], [65535, 0])
    assert as_weights(shares, own_uid=Uid(0), min_allowed_weights=50) == ([1, 2], [65535, 0])


def test_a_limit_that_can_not_be_kept_is_an_error() -> None:
    with pytest.raises(ValueError, match="can't share"):
        as_weights({Uid(0): 0.0, Uid(1): 1.0}, own_uid=Uid(0), max_weights_limit=6553)


@given(st.lists(st.floats(0, 1e9), min_size=2, max_size=40), st.integers(0, 60))
def test_weights_fit_the_chains_rules(values: list[float], minimum: int) -> None:
    shares = {Uid(i): value for i, value in enumerate(values)}
    uids, weights = as_weights(shares, own_uid=Uid(0), min_allowed_weights=minimum)
    assert len(uids) == len(weights) == len(set(uids))
    assert 0 not in uids
    if uids:
        assert max(weights) == U16_MAX
        assert len(uids) >= min(minimum, len(values) - 1)


@given(st.integers(0, 10**6), st.integers(1, 7200))
def test_the_window_opens_late_but_inside_the_epoch(last: int, tempo: int) -> None:
    epoch = last + tempo
    opens = window(epoch, tempo)
    assert last <= opens < epoch
    if tempo >= 20:
        assert opens >= last + tempo // 2  # late: fresh scores
        assert epoch - opens >= 6  # early: time to try again


def test_the_window_of_a_real_subnet() -> None:
    assert window(1360, 360) == 1315
    assert window(110, 10) == 104
    assert window(2, 2) == 1


@given(st.lists(st.floats(allow_nan=True), min_size=3, max_size=20), st.floats(0, 1))
def test_what_is_burned_is_the_owners_and_the_rest_keeps_its_proportions(values: list[float], burn: float) -> None:
    shares = {Uid(i): value for i, value in enumerate(values)}
    found = burned(shares, burn, Uid(0), Uid(1))
    paid = {uid for uid, value in shares.items() if uid > 1 and 0 < value < float("inf")}
    assert found.keys() == shares.keys()
    assert sum(found.values()) == pytest.approx(1)
    assert found[Uid(0)] == (burn if paid else 1.0)
    assert found[Uid(1)] == 0
    assert {uid for uid in shares if uid > 1 and found[uid] > 0} <= paid


def test_half_is_burned() -> None:
    shares = {Uid(0): 9.0, Uid(1): 5.0, Uid(2): 1.0, Uid(3): 3.0}
    assert burned(shares, 0.5, Uid(0), Uid(1)) == {0: 0.5, 1: 0, 2: 0.125, 3: 0.375}
