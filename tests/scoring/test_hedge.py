"""Fixed-share Hedge: a step by hand, the theorem, sleepers, and what must not matter."""

from __future__ import annotations

import io
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from subnet.scoring.aggregator import Aggregator
from subnet.scoring.checks import Floats
from subnet.scoring.hedge import CLIP, FixedShareHedge
from tests.scoring.streams import close, feed, regimes, to_best


def plain(k: int, rate: float, share: float) -> FixedShareHedge:
    return FixedShareHedge(k, rates=(rate,), shares=(share,), loss_range=1.0)


def test_two_steps_by_hand() -> None:
    # rate ln 2 halves the weight for a loss of 1: (1/2, 1/2) -> (2/3, 1/3), and 0.9 of that + 0.05 -> (0.65, 0.35)
    hedge = plain(2, math.log(2), 0.1)
    hedge.observe([0.0, 1.0])
    assert hedge.weights == pytest.approx([0.65, 0.35])
    # halved for the first now: (0.325, 0.35) / 0.675, shared: 0.9 * 0.325 / 0.675 + 0.05
    hedge.observe([1.0, 0.0])
    assert hedge.weights == pytest.approx([0.9 * 0.325 / 0.675 + 0.05, 0.9 * 0.35 / 0.675 + 0.05])


def best_sequences(losses: Floats, changes: int) -> Floats:
    """(changes + 1,): the least loss of a sequence of forecasters that changes at most so many times."""
    least = np.tile(losses[0], (changes + 1, 1))
    for row in losses[1:]:
        moved = np.concatenate([np.full((1, 1), np.inf), least[:-1].min(1, keepdims=True)])
        least = np.minimum(least, moved) + row
    return least.min(1)


def heaviest(weights: Floats, t: int) -> Floats:
    return (weights == weights.max()).astype(float)


def lightest_wins(weights: Floats, t: int) -> Floats:
    return (np.arange(len(weights)) != weights.argmin()).astype(float)


def blocks(weights: Floats, t: int) -> Floats:
    return (np.arange(len(weights)) != t // 40 % len(weights)).astype(float)


def noise(weights: Floats, t: int) -> Floats:
    return np.random.default_rng(t).random(len(weights))


@pytest.mark.parametrize("adversary", [heaviest, lightest_wins, blocks, noise])
@pytest.mark.parametrize(("rate", "share"), [(0.1, 0.01), (0.5, 0.02), (2.0, 0.2)])
def test_no_adversary_breaks_the_tracking_bound(
    adversary: Callable[[Floats, int], Floats], rate: float, share: float
) -> None:
    steps, k = 300, 4
    hedge, own, losses = plain(k, rate, share), 0.0, []
    for t in range(steps):
        weights = hedge.weights
        loss = adversary(weights, t)
        own += float(weights @ loss)
        losses.append(loss)
        hedge.observe(loss)
    for m, best in enumerate(best_sequences(np.array(losses), 12)):
        told = (m + 1) * math.log(k) - m * math.log(share) - (steps - m - 1) * math.log(1 - share)
        assert own <= best + told / rate + rate * steps / 8


def test_without_shares_it_can_not_follow_a_change() -> None:
    lost = {}
    for share in (0.0, 0.02):
        hedge, lost[share] = plain(2, 1.0, share), 0.0
        for t in range(200):
            loss = np.array([0.0, 1.0] if t < 100 else [1.0, 0.0])
            lost[share] += float(hedge.weights @ loss)
            hedge.observe(loss)
    assert lost[0.0] > 90
    assert lost[0.02] < 15


def test_a_sleeper_keeps_its_weight_and_the_others_move_within_theirs() -> None:
    hedge = plain(3, 1.0, 0.0)
    hedge.observe([0.0, 0.5, 1.0])
    before = hedge.weights
    hedge.observe([0.0, math.nan, 1.0])
    after = hedge.weights
    assert after[1] == pytest.approx(before[1])
    assert after[0] + after[2] == pytest.approx(before[0] + before[2])
    assert after[0] / after[2] == pytest.approx(math.e * before[0] / before[2])
    hedge.observe([math.nan] * 3)
    assert (hedge.weights == after).all()


def test_a_sleeper_has_no_part_in_the_forecast() -> None:
    hedge = FixedShareHedge(3)
    assert hedge.predict([1.0, math.nan, 3.0]) == pytest.approx(2.0)
    hedge.learn(1.0)
    assert hedge.predict([math.inf, -math.inf, 5.0]) == 5.0
    hedge.learn(4.0)
    assert hedge.predict([math.nan] * 3) == 4.0  # the last truth


@given(
    arrays(np.float64, (12, 4), elements=st.floats(-100, 100)),
    st.sampled_from([1e-6, 0.125, 3.0, 1e7]),
    st.permutations(range(4)),
)
@settings(max_examples=30)
def test_unit_and_order_do_not_matter(forecasts: Floats, factor: float, order: list[int]) -> None:
    truths = forecasts[:, 0] / 2 + 1
    expected = feed(FixedShareHedge(4), truths, forecasts)
    other = feed(FixedShareHedge(4), truths * factor, forecasts[:, order] * factor)
    assert close(other / factor, expected)


def test_it_follows_regimes() -> None:
    truths, forecasts = regimes(3, 800)
    assert to_best(feed(FixedShareHedge(5), truths, forecasts), truths, forecasts) < 0.85


def test_one_outlier_throws_nobody_out() -> None:
    hedge = FixedShareHedge(2, rates=(1.0,), shares=(0.0,))
    for _ in range(20):
        hedge.observe([1.0, 1.0])
    hedge.observe([1e12, 0.0])
    assert hedge.weights[0] / hedge.weights[1] == pytest.approx(math.exp(-CLIP))
    hedge.observe([math.inf, 1.0])
    assert np.isfinite(hedge.weights).all()


def test_an_absurd_forecast_counts_as_missing_but_a_changed_world_does_not() -> None:
    hedge: Aggregator = FixedShareHedge(3)
    for t in range(20):
        hedge.predict([t % 3, t % 3 + 0.5, 1.0])
        hedge.learn(t % 3)
    assert abs(hedge.predict([1.0, 1.5, 1e9])) < 2
    hedge.learn(1.0)
    assert hedge.predict([1e9, 1.1e9, 1.0]) > 1e8


def test_killed_and_restored_is_as_if_never_killed() -> None:
    truths, forecasts = regimes(1, 120)
    expected = feed(FixedShareHedge(5), truths, forecasts)
    hedge = FixedShareHedge(5)
    for t in range(120):
        prediction = hedge.predict(forecasts[t])
        assert prediction == expected[t]
        if t % 7 == 0:  # between a prediction and its truth, too
            kept = io.BytesIO()
            np.savez(kept, **hedge.state())
            kept.seek(0)
            hedge = FixedShareHedge(2)
            hedge.restore(np.load(kept))
        hedge.learn(truths[t])


def test_who_leaves_and_who_comes() -> None:
    hedge = plain(3, 1.0, 0.1)
    hedge.observe([0.0, 0.3, 1.0])
    before = hedge.weights
    hedge.resize([2, 0], new=1)
    after = hedge.weights
    assert after[0] / after[1] == pytest.approx(before[2] / before[0])
    assert after[2] == pytest.approx(0.1 / 3)
    assert after.sum() == pytest.approx(1)
    hedge.resize([], new=2)
    assert hedge.weights == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize(
    "arguments", [{"k": 0}, {"rates": ()}, {"rates": (0.0,)}, {"shares": (1.0,)}, {"shares": ()}, {"loss_range": 0.0}]
)
def test_parameters_out_of_range(arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        FixedShareHedge(**({"k": 2} | arguments))  # type: ignore[arg-type]


def test_bad_input_is_refused_and_changes_nothing() -> None:
    hedge = FixedShareHedge(2)
    with pytest.raises(ValueError, match="before it"):
        hedge.learn(1.0)
    with pytest.raises(ValueError, match="no forecast"):
        hedge.predict([math.nan, math.inf])
    with pytest.raises(ValueError, match="shape"):
        hedge.predict([1.0, 2.0, 3.0])
    hedge.predict([1.0, 2.0])
    for truth in (math.nan, math.inf, 1e200):
        with pytest.raises(ValueError, match="truth"):
            hedge.learn(truth)
    hedge.learn(1.0)
    before = hedge.weights
    for losses in ([1.0], [-1.0, 0.0], [[1.0, 1.0]]):
        with pytest.raises(ValueError, match="loss"):
            hedge.observe(losses)
    for keep, new in (([0, 0], 0), ([2], 0), ([-1], 1), ([], 0), ([0.5], 0), ([0], -1)):
        with pytest.raises(ValueError, match=r"keep|kept"):
            hedge.resize(keep, new)
    assert (hedge.weights == before).all()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("weights", np.zeros((16, 2))),
        ("weights", np.full((16, 2), [-1.0, 2.0])),
        ("weights", np.full((3, 2), 0.5)),
        ("weights", np.full((16, 2), "x")),
        ("pairs", np.full(16, np.nan)),
        ("losses", np.array([-1.0, 3.0])),
        ("truths", np.array([3.0, 1.0, 0.0, 0.5, 0.5])),
        ("pending", np.zeros(3)),
        ("pending", None),
    ],
)
def test_a_state_that_can_not_be_is_refused(name: str, value: Floats | None) -> None:
    hedge = FixedShareHedge(2)
    state = hedge.state()
    if value is None:
        del state[name]
    else:
        state[name] = value
    with pytest.raises(ValueError, match=name if name != "losses" else "losses|pending"):
        hedge.restore(state)
