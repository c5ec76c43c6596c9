"""Moving averages: who wasn't asked keeps a score, nothing unscorable enters, newcomers start low."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subnet.scoring.averages import retain, update
from subnet.types import Hotkey

hotkeys = st.sampled_from([Hotkey(f"5{c}") for c in "ABCDEFGH"])
finite = st.dictionaries(hotkeys, st.floats(-1e300, 1e300))
anything = st.dictionaries(hotkeys, st.floats())
alphas = st.floats(0.001, 1.0)
A, B, C = Hotkey("5A"), Hotkey("5B"), Hotkey("5C")


def test_one_step() -> None:
    assert update({A: 1.0, B: 0.5}, {A: 0.0, C: 1.0}, alpha=0.25) == {A: 0.75, B: 0.5, C: 0.25}


def test_a_first_score_counts_in_full_only_if_asked_for() -> None:
    assert update({}, {A: 0.8}, alpha=0.5, start=None) == {A: 0.8}
    assert update({}, {A: 0.8}, alpha=0.5) == {A: 0.4}


def test_a_newcomer_stands_below_one_that_has_worked_as_well_for_longer() -> None:
    averages: dict[Hotkey, float] = {}
    for _ in range(10):
        averages = update(averages, {A: 0.9})
    averages = update(averages, {A: 0.9, B: 1.0})
    assert averages[B] < averages[A]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_score_that_cannot_be_counts_as_zero(bad: float) -> None:
    assert update({A: 1.0}, {A: bad, B: bad}, alpha=0.5) == {A: 0.5, B: 0.0}
    assert update({}, {A: bad}, start=None) == {A: 0.0}
    assert update({A: bad}, {}) == {}


@pytest.mark.parametrize("alpha", [0.0, -0.1, 1.1, math.nan])
def test_alpha_is_checked(alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha is"):
        update({}, {}, alpha=alpha)


def test_start_is_checked() -> None:
    with pytest.raises(ValueError, match="start is"):
        update({}, {}, start=math.nan)


@given(finite, anything, alphas, st.sampled_from([None, 0.0, 0.5]))
def test_only_the_asked_change_and_all_stay_finite(
    averages: dict[Hotkey, float], scores: dict[Hotkey, float], alpha: float, start: float | None
) -> None:
    before = dict(averages)
    new = update(averages, scores, alpha=alpha, start=start)
    assert averages == before
    assert set(new) == set(averages) | set(scores)
    assert all(math.isfinite(value) for value in new.values())
    assert all(new[hotkey] == averages[hotkey] for hotkey in averages if hotkey not in scores)


@given(st.dictionaries(hotkeys, st.floats(0, 1)), st.dictionaries(hotkeys, st.floats(0, 1)), alphas)
def test_an_average_stays_between_old_and_new(
    averages: dict[Hotkey, float], scores: dict[Hotkey, float], alpha: float
) -> None:
    for hotkey, value in update(averages, scores, alpha=alpha).items():
        old, new = averages.get(hotkey, 0.0), scores.get(hotkey, averages.get(hotkey, 0.0))
        assert min(old, new) - 1e-12 <= value <= max(old, new) + 1e-12


@given(st.dictionaries(hotkeys, st.floats(0, 1)), st.sets(hotkeys))
def test_retain_keeps_exactly_who_is_there(averages: dict[Hotkey, float], present: set[Hotkey]) -> None:
    kept = retain(averages, present)
    assert set(kept) == set(averages) & present
    assert all(kept[hotkey] == averages[hotkey] for hotkey in kept)
