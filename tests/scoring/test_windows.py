"""Windows and fading means by hotkey: who wasn't asked keeps what it has, nothing unscorable enters."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subnet.scoring.windows import Decayed, decayed_means, means, observe, push, quantiles
from subnet.types import Hotkey

A, B = Hotkey("5A"), Hotkey("5B")


def test_a_window_holds_the_last_scores() -> None:
    held = push({A: (1.0, 2.0), B: (5.0,)}, {A: 3.0}, 2)
    assert held == {A: (2.0, 3.0), B: (5.0,)}
    assert means(held) == {A: 2.5, B: 5.0}
    assert quantiles({A: (3.0, 1.0, 8.0, 2.0)}, 0.25) == {A: 1.75}
    assert means({A: ()}) == {}


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_cannot_be_scored_counts_as_zero(bad: float) -> None:
    assert push({}, {A: bad}, 3) == {A: (0.0,)}
    assert observe({}, {A: bad}, now=0, half_life=1) == {A: Decayed(0.0, 1.0, 0.0)}


def test_a_newcomer_earns_its_mean() -> None:
    assert means({A: (1.0,)}, least=4) == {A: 0.25}
    assert quantiles({A: (1.0,)}, least=4) == {A: 0.0}


def test_a_fading_mean_by_hand() -> None:
    held = observe({}, {A: 1.0}, now=0, half_life=10)
    held = observe(held, {A: 2.0}, now=10, half_life=10)
    held = observe(held, {A: 4.0}, now=30, half_life=10)
    assert held == {A: Decayed(0.125 + 0.5 + 4, 0.125 + 0.25 + 1, 30.0)}
    assert decayed_means(held, prior_weight=0) == {A: pytest.approx(4.625 / 1.375)}
    assert decayed_means(held, prior=1.0, prior_weight=2.0) == {A: pytest.approx(6.625 / 3.375)}
    assert decayed_means({A: Decayed(0.0, 0.0, 0.0)}, prior_weight=0) == {}


def test_who_was_not_asked_keeps_the_mean_for_ever() -> None:
    held = observe({}, {A: 0.9, B: 0.5}, now=0, half_life=1)
    held = observe(held, {B: 0.5}, now=1e12, half_life=1)
    assert decayed_means(held)[A] == 0.45


def test_a_clock_put_back_gives_no_score_a_weight_above_one() -> None:
    held = observe({A: Decayed(1.0, 1.0, 100.0)}, {A: 0.0}, now=50, half_life=1)
    assert held == {A: Decayed(1.0, 2.0, 100.0)}


def test_a_memory_survives_json() -> None:
    held = observe({}, {A: 0.1}, now=3, half_life=7)
    assert {hotkey: Decayed(*value) for hotkey, value in json.loads(json.dumps(held)).items()} == held


@settings(max_examples=30)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 50)), min_size=1, max_size=20), st.floats(0.5, 100))
def test_a_fading_mean_is_the_weighted_mean(rounds: list[tuple[float, int]], half_life: float) -> None:
    held: dict[Hotkey, Decayed] = {}
    now, when = 0, []
    for score, gap in rounds:
        now += gap
        when.append(now)
        held = observe(held, {A: score}, now=now, half_life=half_life)
    weights = [2 ** ((t - now) / half_life) for t in when]
    expected = sum(w * score for w, (score, _) in zip(weights, rounds, strict=True)) / sum(weights)
    assert decayed_means(held, prior_weight=0)[A] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: push({}, {}, 0), "length is 0"),
        (lambda: means({}, least=0), "least is 0"),
        (lambda: means({A: (math.nan,)}), "the window of 5A"),
        (lambda: quantiles({}, 2), "level is 2"),
        (lambda: observe({}, {}, now=math.nan, half_life=1), "now is nan"),
        (lambda: observe({}, {}, now=0, half_life=0), "half_life is 0"),
        (lambda: decayed_means({}, prior=math.inf), "prior is inf"),
        (lambda: decayed_means({}, prior_weight=-1), "prior_weight is -1"),
    ],
)
def test_bad_input_is_named(call, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        call()
