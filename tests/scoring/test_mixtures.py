"""Quantiles of mixtures: against one component's own, and against the mixture's distribution function."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from subnet.scoring.mixtures import t_mixture_quantiles

LEVELS = np.array([0.001, 0.025, 0.3, 0.5, 0.975])


def test_of_one_component_they_are_its_own() -> None:
    found = t_mixture_quantiles(LEVELS, np.ones(1), np.array([3.0]), np.array([2.0]), 5.0)
    assert found == pytest.approx(3 + 2 * stats.t(5).ppf(LEVELS))


def test_below_a_quantile_lies_its_level() -> None:
    rng = np.random.default_rng(0)
    weights, centres, scales = rng.dirichlet(np.ones(7)), rng.normal(0, 10, 7), rng.lognormal(0, 2, 7)
    found = t_mixture_quantiles(LEVELS, weights, centres, scales, 16.0)
    below = [float(weights @ stats.t(16).cdf((quantile - centres) / scales)) for quantile in found]
    assert below == pytest.approx(LEVELS, abs=1e-6)
