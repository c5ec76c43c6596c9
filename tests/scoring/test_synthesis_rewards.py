"""Scores, fractions, entropy and the split, against numbers by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from subnet.scoring.synthesis_rewards import (
    Split,
    reputer_fractions,
    smooth,
    split,
    task_entropy,
    worker_fractions,
    worker_scores,
)
from subnet.scoring.synthesis_state import ValueBundle
from subnet.scoring.synthesis_weights import Params

PARAMS = Params()
NAN = np.nan


def losses(**given: object) -> ValueBundle:
    """Two inferers and two forecasters."""
    values = {
        "network": -2.0,
        "naive": -1.5,
        "inferers": [-1.0, -1.2],
        "forecasters": [-1.8, -1.9],
        "forecasters_one_out": [[NAN, NAN], [NAN, NAN]],
        "one_out": [-1.7, -2.1, -1.9, -1.6],
        "one_in": [-1.6, -1.4],
    } | given
    return ValueBundle(**{name: np.array(value, dtype=np.float64) for name, value in values.items()})


def test_scores_by_hand() -> None:
    inferers, forecasters = worker_scores(losses())
    assert inferers == pytest.approx([0.3, -0.1])
    assert forecasters == pytest.approx([0.5 * 0.1 + 0.5 * 0.1, 0.5 * -0.1 + 0.5 * 0.4])  # f = 2^-(2 - 1)


def test_somebody_alone_scores_nothing() -> None:
    inferers, forecasters = worker_scores(losses(inferers=[-1.0, NAN], forecasters=[NAN, -1.9]))
    assert inferers == pytest.approx([0.0, NAN], nan_ok=True)
    assert forecasters == pytest.approx([NAN, 0.0], nan_ok=True)


def test_fractions_by_hand() -> None:
    scores = np.array([1.0, 0.0])
    sigma = np.std([1.0, 0.0, 0.5, 0.5], ddof=1)
    mapped = [math.log1p(math.exp(3 * (score / (sigma + 0.01) - 0.75))) for score in scores]
    found = worker_fractions(scores, np.array([[0.5, 0.5], scores]), 3.0, PARAMS)
    assert found == pytest.approx(np.array(mapped) / sum(mapped))


def test_scores_that_hardly_differ_are_paid_alike() -> None:
    scores = np.array([1.0, NAN, 1.001])
    assert worker_fractions(scores, scores[np.newaxis], 3.0, PARAMS) == pytest.approx([0.5, NAN, 0.5], nan_ok=True)


def test_scores_far_below_are_paid_alike_too() -> None:
    scores = np.full(2, -1e6)
    recent = np.array([[1.0, -1.0], scores])
    assert worker_fractions(scores, recent * 1e-3, 300.0, PARAMS) == pytest.approx([0.5, 0.5])


def test_reputers_are_paid_by_stake_and_score() -> None:
    stakes, scores = np.array([1.0, 2.0, 3.0]), np.array([30.0, 30.0, NAN])
    assert reputer_fractions(stakes, scores, PARAMS) == pytest.approx([1 / 3, 2 / 3, NAN], nan_ok=True)
    cubed = reputer_fractions(stakes * 1e120, scores, Params(p_reward_reputer=3.0))
    assert cubed == pytest.approx([1 / 9, 8 / 9, NAN], nan_ok=True)
    assert np.isnan(reputer_fractions(stakes, np.full(3, NAN), PARAMS)).all()


def test_averages_begin_with_the_first_and_wait_for_who_is_away() -> None:
    found = smooth(np.array([0.5, 0.5, NAN]), np.array([0.2, NAN, 0.8]), 0.1)
    assert found == pytest.approx([0.23 / 0.73, 0.5 / 0.73, 0.8])


def test_entropy_by_hand() -> None:
    assert task_entropy(np.full(4, 0.25), PARAMS) == pytest.approx(math.log(4))
    assert task_entropy(np.array([0.9, 0.1]), PARAMS) == pytest.approx(
        -(0.9 * math.log(0.9) + 0.1 * math.log(0.1)) * (1 / 0.82 / 2) ** 0.25
    )
    assert task_entropy(np.array([1.0, NAN]), PARAMS) == 0.173286795139986
    assert task_entropy(np.array([1.0, 0.0]), PARAMS) == 0.0
    assert math.isnan(task_entropy(np.array([NAN]), PARAMS))


def share(naive: float, entropies: tuple[float, float, float] = (1.0, 1.0, 1.0), ratio: float = 0.0) -> Split:
    return split(losses(naive=naive), np.array([0.3, -0.1]), entropies, ratio, PARAMS)


def test_the_split_by_hand() -> None:
    found = share(-1.5)
    ratio = 0.1 * 0.5 / 0.3
    assert (found.task_score, found.score_ratio) == pytest.approx((0.5, ratio))
    assert found.utility == pytest.approx(0.4 * ratio + 0.1)
    assert (found.inferers, found.forecasters) == pytest.approx(((1 - found.utility) * 2 / 3, found.utility * 2 / 3))
    assert found.reputers == pytest.approx(1 / 3)


def test_useless_forecasters_fall_to_the_floor() -> None:
    ratio = 1.0
    for _ in range(60):
        found = share(-2.2, ratio=ratio)
        ratio = found.score_ratio
    assert found.utility == 0.1


def test_indispensable_forecasters_reach_the_half() -> None:
    assert share(3.0, ratio=1.0).utility == 0.5


def test_a_task_that_nobody_does_has_no_share() -> None:
    found = share(-1.5, (1.0, 0.0, NAN))
    assert (found.inferers, found.forecasters, found.reputers) == pytest.approx((1.0, 0.0, 0.0))
    assert share(-1.5, (0.0, 0.0, 1.0)).reputers == 1.0
    assert share(-1.5, (NAN, 0.0, 1.0)).inferers == 0.0
    assert share(-1.5, (0.0, 0.0, 0.0)).inferers == 1.0


def test_all_inferers_worse_than_nobody() -> None:
    """The best score, negative, is the measure and the floor at once: (s - T) / |T|."""
    found = split(losses(naive=-1.9), np.array([-0.5, -0.2]), (1.0, 1.0, 1.0), 0.0, PARAMS)
    assert found.score_ratio == pytest.approx(0.1 * (0.1 + 0.2) / 0.2)


def test_scores_of_zero_are_no_division() -> None:
    for naive, expected in ((-2.0, 0.0), (-1.0, 0.1), (-3.0, -0.1)):
        found = split(losses(naive=naive), np.zeros(2), (1.0, 1.0, 1.0), 0.0, PARAMS)
        assert found.score_ratio == pytest.approx(expected)
