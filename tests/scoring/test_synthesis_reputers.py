"""Reputers: what their stake says, and who is listened to."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subnet.scoring.synthesis_reputers import Reputation, reputers, stake_weighted
from subnet.scoring.synthesis_weights import Floats, Params

SEEDS = st.integers(0, 10**6)
STILL = Params(gradient_descent_max_iters=0)
"""No ascent: scores under the coefficients as they are."""


def reports(seed: int, count: int = 5, columns: int = 8) -> tuple[Floats, Floats]:
    """Reports that agree but for noise, and stakes."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(-2, 1, columns)
    return truth + rng.normal(0, 0.1, (count, columns)), rng.uniform(1, 10, count)


def judged(losses: Floats, stakes: Floats, rounds: int = 1, params: Params | None = None) -> Reputation:
    """After so many epochs of the same reports, from full listening."""
    listening = np.ones(len(stakes))
    for _ in range(rounds):
        found = reputers(losses, stakes, listening, params or Params())
        listening = found.listening
    return found


def test_losses_are_means_by_stake_of_those_who_reported() -> None:
    losses = np.array([[-1.0, -2.0, np.nan], [-3.0, np.nan, np.nan]])
    assert stake_weighted(losses, np.array([3.0, 1.0])) == pytest.approx([-1.5, -2.0, np.nan], nan_ok=True)


def test_scores_by_hand() -> None:
    """Two reputers of equal stake, one number: the consensus is the middle."""
    found = judged(np.array([[-1.0], [-3.0]]), np.array([5.0, 5.0]), params=STILL)
    assert found.scores == pytest.approx([1 / (1 / 2 + 0.01)] * 2)
    assert found.adjusted_stakes == pytest.approx([1.0, 1.0])


def test_who_stands_alone_is_listened_to_less() -> None:
    losses, _ = reports(0)
    losses[2] += 3.0
    found = judged(losses, np.ones(5), rounds=30)
    assert found.listening.argmin() == 2
    assert found.scores.argmin() == 2
    assert found.listening[2] < 0.5 < np.delete(found.listening, 2).min()


def test_half_of_the_stake_is_listened_to_at_least() -> None:
    losses, _ = reports(1, count=2)
    losses[1] += 5.0
    stakes = np.array([1.0, 10.0])  # the liar holds most of it
    found = judged(losses, stakes, rounds=200)
    assert found.listening @ stakes / stakes.sum() >= 0.5 - 1e-9


def test_a_report_left_out_counts_as_the_farthest() -> None:
    losses, stakes = reports(2)
    losses[3, 0] = np.nan
    missing = judged(losses, stakes, params=STILL).scores
    others = np.delete(losses[:, 0], 3)
    consensus = stake_weighted(losses, judged(losses, stakes, params=STILL).adjusted_stakes)
    told = losses.copy()
    told[3, 0] = others[np.abs(others - consensus[0]).argmax()]
    away = np.sqrt(((told - consensus)[3] ** 2).sum() / (consensus**2).sum())
    assert missing[3] == pytest.approx(1 / (away + 0.01))


def test_a_lone_reputer_is_the_consensus() -> None:
    found = judged(*reports(3, count=1))
    assert found.scores == pytest.approx([100.0])
    assert found.listening == pytest.approx([1.0])


def test_who_is_absent_keeps_what_it_had() -> None:
    losses, stakes = reports(4)
    losses[1] = np.nan
    stakes[2] = np.nan
    found = reputers(losses, stakes, np.array([1.0, 0.7, 0.6, 1.0, 1.0]), Params())
    assert np.isnan(found.scores[1:3]).all()
    assert np.isnan(found.adjusted_stakes[1:3]).all()
    assert found.listening[1:3] == pytest.approx([0.7, 0.6])
    assert np.isfinite(found.scores[[0, 3, 4]]).all()


def test_nobody_there_is_no_error() -> None:
    found = reputers(np.full((2, 3), np.nan), np.array([1.0, 0.0]), np.ones(2), Params())
    assert np.isnan(found.scores).all()
    assert found.listening == pytest.approx([1.0, 1.0])


def test_nobody_listened_to_is_everybody_alike() -> None:
    losses, stakes = reports(5)
    assert np.isfinite(reputers(losses, stakes, np.zeros(5), Params()).scores).all()


@settings(max_examples=20)
@given(SEEDS, st.floats(1e-6, 1e12))
def test_the_unit_of_stake_does_not_matter(seed: int, unit: float) -> None:
    losses, stakes = reports(seed)
    found, other = judged(losses, stakes), judged(losses, stakes * unit)
    assert other.scores == pytest.approx(found.scores, rel=1e-7)
    assert other.listening == pytest.approx(found.listening, rel=1e-7)


@settings(max_examples=20)
@given(SEEDS)
def test_the_numbering_of_reputers_changes_nothing(seed: int) -> None:
    losses, stakes = reports(seed)
    order = np.random.default_rng(seed).permutation(5)
    found, other = judged(losses, stakes), judged(losses[order], stakes[order])
    assert other.scores == pytest.approx(found.scores[order], rel=1e-7)
    assert other.listening == pytest.approx(found.listening[order], rel=1e-7)
