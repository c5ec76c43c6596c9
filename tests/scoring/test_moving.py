"""Moving averages over series: published numbers, and the same rules as the averages by hotkey."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from subnet.scoring import averages, moving, windows
from subnet.types import Hotkey

# NIST/SEMATECH e-Handbook of Statistical Methods, 6.3.2.4: lambda = 0.3, target 50
# fmt: off
NIST = [
    52.0, 47.0, 53.0, 49.3, 50.1, 47.0, 51.0, 50.1, 51.2, 50.5,
    49.6, 47.6, 49.9, 51.3, 47.8, 51.2, 52.6, 52.4, 53.6, 52.1,
]
# fmt: on
# fmt: off
NIST_EWMA = [
    50.60, 49.52, 50.56, 50.18, 50.16, 49.21, 49.75, 49.85, 50.26, 50.33,
    50.11, 49.36, 49.52, 50.05, 49.38, 49.92, 50.73, 51.23, 51.94, 51.99,
]
# fmt: on

A, B, C = Hotkey("5A"), Hotkey("5B"), Hotkey("5C")
HOTKEYS = [A, B, C]
series = hnp.arrays(np.float64, (7, 3), elements=st.floats(-1e6, 1e6) | st.just(math.nan) | st.just(math.inf))
masks = hnp.arrays(np.bool_, (7, 3))


def test_ema_is_the_handbooks() -> None:
    assert moving.ema(NIST, 0.3, start=50.0) == pytest.approx(NIST_EWMA, abs=0.0051)


def test_unbiased_is_the_weighted_mean_by_hand() -> None:
    # weights 1/4, 1/2, 1 from the oldest on
    assert moving.ema_unbiased([1.0, 2.0, 4.0], 0.5) == pytest.approx([1.0, 5 / 3, (0.25 + 1 + 4) / 1.75])
    assert moving.ema_unbiased([3.0, 5.0], 1.0).tolist() == [3.0, 5.0]


def test_by_time_is_the_weighted_mean_by_hand() -> None:
    out = moving.ema_by_time([1.0, 2.0, 4.0], [0, 10, 30], 10)
    assert out == pytest.approx([1.0, (0.5 + 2) / 1.5, (0.125 + 0.5 + 4) / (0.125 + 0.25 + 1)])


def test_at_even_spacing_by_time_and_unbiased_agree() -> None:
    scores = np.sin(np.arange(20.0))
    alpha = 1 - 2 ** (-1 / 3)  # halves in three rounds
    assert moving.ema_by_time(scores, np.arange(20), 3) == pytest.approx(moving.ema_unbiased(scores, alpha))


def test_sliding_by_hand() -> None:
    scores = [3.0, 1.0, 8.0, 2.0]
    assert moving.sliding_mean(scores, 3).tolist() == [3.0, 2.0, 4.0, 11 / 3]
    assert moving.sliding_quantile(scores, 3).tolist() == [3.0, 2.0, 3.0, 2.0]
    # Hyndman and Fan's definition 7: 1 + 0.25 * (n - 1) places up the sorted window
    assert moving.sliding_quantile(scores, 4, 0.25)[-1] == 1.75


def test_who_was_not_asked_keeps_the_average() -> None:
    scores = np.array([[1.0], [99.0], [3.0]])
    asked = np.array([[True], [False], [True]])
    assert moving.sliding_mean(scores, 2, asked=asked)[:, 0].tolist() == [1.0, 1.0, 2.0]
    assert moving.ema(scores, 0.5, start=None, asked=asked)[:, 0].tolist() == [1.0, 1.0, 2.0]
    assert moving.ema_by_time(scores, [0, 1e9, 1e9], 1.0, asked=asked)[:, 0].tolist() == [1.0, 1.0, 3.0]


def test_before_the_first_score_there_is_no_average() -> None:
    asked = np.array([False, True])
    for out in (
        moving.ema([1.0, 2.0], 0.5, start=None, asked=asked),
        moving.ema_unbiased([1.0, 2.0], 0.5, asked=asked),
        moving.ema_by_time([1.0, 2.0], [0, 1], 1, asked=asked),
        moving.sliding_mean([1.0, 2.0], 2, asked=asked),
    ):
        assert np.isnan(out[0])
        assert out[1] == 2.0
    assert moving.ema([1.0, 2.0], 0.5, asked=asked).tolist() == [0.0, 1.0]


@settings(max_examples=30)
@given(series, masks, st.floats(0.01, 1.0), st.sampled_from([0.0, None, 0.5]))
def test_ema_is_the_average_by_hotkey_round_by_round(
    scores: np.ndarray, asked: np.ndarray, alpha: float, start: float | None
) -> None:
    out = moving.ema(scores, alpha, start=start, asked=asked)
    held: dict[Hotkey, float] = {}
    for t in range(len(scores)):
        heard = {hotkey: scores[t, i] for i, hotkey in enumerate(HOTKEYS) if asked[t, i]}
        held = averages.update(held, heard, alpha=alpha, start=start)
        for i, hotkey in enumerate(HOTKEYS):
            if hotkey in held:
                assert out[t, i] == pytest.approx(held[hotkey], rel=1e-12, abs=1e-9)


@settings(max_examples=30)
@given(series, masks, st.integers(1, 9), st.floats(0, 1))
def test_sliding_is_the_window_by_hotkey(scores: np.ndarray, asked: np.ndarray, length: int, level: float) -> None:
    mean = moving.sliding_mean(scores, length, asked=asked)
    quantile = moving.sliding_quantile(scores, length, level, asked=asked)
    held: dict[Hotkey, tuple[float, ...]] = {}
    for t in range(len(scores)):
        held = windows.push(held, {h: scores[t, i] for i, h in enumerate(HOTKEYS) if asked[t, i]}, length)
        means, quantiles = windows.means(held), windows.quantiles(held, level)
        for i, hotkey in enumerate(HOTKEYS):
            if hotkey in held:
                assert mean[t, i] == pytest.approx(means[hotkey], rel=1e-12, abs=1e-6)
                assert quantile[t, i] == pytest.approx(quantiles[hotkey], rel=1e-12, abs=1e-6)
            else:
                assert np.isnan(mean[t, i])


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: moving.ema([], 0.5), "holds 0 number"),
        (lambda: moving.ema(1.0, 0.5), "expected a series"),
        (lambda: moving.ema([1.0], 0.0), "alpha is 0"),
        (lambda: moving.ema([1.0], math.nan), "alpha is nan"),
        (lambda: moving.ema([1.0], 0.5, start=math.inf), "start is inf"),
        (lambda: moving.ema([1.0, 2.0], 0.5, asked=[True]), "expected bool of shape"),
        (lambda: moving.ema([1.0, 2.0], 0.5, asked=[1, 0]), "expected bool"),
        (lambda: moving.ema(["a"], 0.5), "expected real numbers"),
        (lambda: moving.ema([[1.0], [1.0, 2.0]], 0.5), "is no array"),
        (lambda: moving.ema_by_time([1.0, 2.0], [2, 1], 1), "never fall"),
        (lambda: moving.ema_by_time([1.0, 2.0], [1], 1), "must be 2 numbers"),
        (lambda: moving.ema_by_time([1.0], [1], 0), "half_life is 0"),
        (lambda: moving.sliding_mean([1.0], 0), "length is 0"),
        (lambda: moving.sliding_mean([1.0], True), "length is True"),
        (lambda: moving.sliding_quantile([1.0], 1, 1.5), "level is 1.5"),
    ],
)
def test_bad_input_is_named(call, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        call()
