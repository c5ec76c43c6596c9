"""Regressions beside the closed form of what they are meant to compute."""

from __future__ import annotations

import numpy as np
import pytest

from subnet.scoring import regressions
from subnet.scoring.checks import Floats
from subnet.scoring.regressions import PRIOR, Regressions

UNIT = 2.0


def taught(steps: int, k: int, seed: int = 0) -> tuple[Regressions, Floats, Floats, Floats]:
    """Regressions after so many steps; the forecasts, constants appended (n, k + 1), truths (n,), precisions."""
    rng = np.random.default_rng(seed)
    model = Regressions(k)
    columns, truths = rng.normal(5, 2, (steps, k + 1)), rng.normal(5, 2, steps)
    precisions = rng.random((steps, k + 1))
    for row, truth, precision in zip(columns, truths, precisions, strict=True):
        means, _ = model.predict(row[:k], np.ones(k, dtype=bool), float(row[k]), UNIT)
        model.learn(truth - means, precision, np.ones(k + 1), UNIT)
    return model, columns, truths, precisions


def test_kalman_steps_are_bayesian_linear_regression(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regressions, "DRIFT", 0.0)
    k = 3
    model, columns, truths, precisions = taught(60, k)
    centres = np.concatenate([columns[:, :k], columns[:, :k].mean(1, keepdims=True)], axis=1)
    for j in range(k + 1):
        x = columns - centres[:, j : j + 1]
        weight = precisions[:, j, None] / UNIT**2
        information = PRIOR * np.eye(k + 1) + x.T @ (weight * x)
        np.testing.assert_allclose(model.covariance[j], np.linalg.inv(information), atol=1e-12)
        expected = np.linalg.solve(information, x.T @ (weight[:, 0] * (truths - centres[:, j])))
        np.testing.assert_allclose(model.coefficients[j], expected, atol=1e-10)


def test_one_step_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    # One forecaster, 1, constant 3, truth 2. Difference 2, prior variance 0.1: predicted variance 0.4.
    monkeypatch.setattr(regressions, "DRIFT", 0.0)
    model = Regressions(1)
    means, variances = model.predict(np.array([1.0]), np.array([True]), 3.0, 1.0)
    assert means == pytest.approx([1.0, 1.0])
    assert variances == pytest.approx([0.4, 0.4])
    # Precision 1: gain 0.1 * 2 / (1 + 0.4) = 1/7 for an error of 1; variance 0.1 / 1.4.
    model.learn(2 - means, np.ones(2), np.ones(2), 1.0)
    assert model.coefficients[:, 1] == pytest.approx([1 / 7, 1 / 7])
    assert model.covariance[:, 1, 1] == pytest.approx([0.1 / 1.4, 0.1 / 1.4])
    assert model.coefficients[:, 0] == pytest.approx([0.0, 0.0])


def test_where_nothing_is_learned_the_variance_stays_the_prior_s() -> None:
    model = Regressions(2)
    for _ in range(500):
        means, _ = model.predict(np.array([1.0, 1.0]), np.ones(2, dtype=bool), 1.0, 1.0)
        model.learn(2 - means, np.ones(3), np.ones(3), 1.0)
    np.testing.assert_allclose(model.covariance, Regressions(2).covariance, rtol=1e-9)


def test_who_leaves_is_taken_out_as_if_known_to_be_worth_nothing() -> None:
    model, *_ = taught(40, 3)
    j, keep, out = 2, [2, 0, 3], 1  # the one left out is 1; columns in the new order 2, 0, constant
    coefficients, covariance = model.coefficients[j], model.covariance[j]
    per = covariance[:, out] / covariance[out, out]
    expected = (coefficients - per * coefficients[out])[keep]
    spread = (covariance - np.outer(per, covariance[out]))[np.ix_(keep, keep)]
    model.resize(np.array([2, 0]), 1)
    assert model.coefficients.shape == (4, 4)
    np.testing.assert_allclose(model.coefficients[0, [0, 1, 3]], expected)
    np.testing.assert_allclose(model.covariance[0][np.ix_([0, 1, 3], [0, 1, 3])], spread)
    assert model.coefficients[0, 2] == 0  # the new one's
    np.testing.assert_array_equal(model.covariance[2], np.eye(4) / PRIOR)


def test_a_stored_state_of_another_size_is_refused() -> None:
    model, *_ = taught(5, 2)
    again = Regressions.stored(model.state(), 2)
    np.testing.assert_array_equal(again.covariance, model.covariance)
    with pytest.raises(ValueError, match="shape"):
        Regressions.stored(model.state(), 3)
    with pytest.raises(ValueError, match="below 0"):
        Regressions.stored(model.state() | {"covariance": -model.covariance}, 2)
