"""Robust centres and spreads against numbers of textbooks, and against the liars they are for."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from subnet.scoring import robust

# Copper in wholemeal flour, parts per million: Analytical Methods Committee, The Analyst 1989; `chem` in
# Venables and Ripley, Modern Applied Statistics with S, section 5.5, whose figures these are.
# fmt: off
CHEM = [
    2.9, 3.1, 3.4, 3.4, 3.7, 3.7, 2.8, 2.5, 2.4, 2.4, 2.7, 2.2,
    5.28, 3.37, 3.03, 3.03, 28.95, 3.77, 3.4, 2.2, 3.5, 3.6, 3.7, 3.7,
]
# fmt: on

values = hnp.arrays(np.float64, st.integers(1, 15), elements=st.floats(-1e6, 1e6))


def test_the_textbooks_numbers() -> None:
    assert np.mean(CHEM) == pytest.approx(4.2804, abs=5e-5)
    assert robust.median(CHEM) == pytest.approx(3.385)
    assert robust.mad(CHEM) == pytest.approx(0.526323, abs=1e-5)
    assert robust.trimmed_mean(CHEM, 0.1) == pytest.approx(3.205, abs=1e-9)
    assert robust.huber(CHEM, 1.5) == pytest.approx(3.206724, abs=1e-6)
    assert np.flatnonzero(robust.outliers(CHEM)).tolist() == [12, 16]


@settings(max_examples=30)
@given(values, st.floats(0, 0.49))
def test_trimmed_and_mad_are_scipys(data: np.ndarray, cut: float) -> None:
    assert robust.trimmed_mean(data, cut) == pytest.approx(stats.trim_mean(data, cut), abs=1e-6)
    assert robust.mad(data, scale=1.0) == pytest.approx(stats.median_abs_deviation(data), abs=1e-6)


@settings(max_examples=30)
@given(values)
def test_huber_solves_its_equation(data: np.ndarray) -> None:
    scale = robust.mad(data)
    centre = robust.huber(data, 1.345)
    if scale == 0:
        assert centre == robust.median(data)
    else:
        reach = 1.345 * scale
        assert abs(np.clip(data - centre, -reach, reach).mean()) <= 1e-7 * scale
    assert data.min() <= centre <= data.max()


def test_a_minority_of_liars_does_not_move_them() -> None:
    honest = np.linspace(0.4, 0.6, 51)
    told = np.concatenate([honest, np.full(49, 1e9)])
    for centre in (robust.median(told), robust.trimmed_mean(told, 0.49)):
        assert 0.4 <= centre <= 0.6
    assert robust.huber(np.concatenate([honest, np.full(10, 1e9)])) < 0.65


def test_axes() -> None:
    data = np.arange(24.0).reshape(2, 3, 4)
    for of in (robust.median, robust.mad, robust.trimmed_mean, robust.huber):
        assert of(data).shape == (2, 3)
        assert of(data, axis=0).shape == (3, 4)
        assert of(data, axis=1)[0, 0] == pytest.approx(float(of([0.0, 4.0, 8.0])))
    assert robust.outliers(data, axis=1).shape == data.shape


def test_where_half_are_equal_the_others_are_outliers() -> None:
    assert robust.outliers([1, 1, 1, 2]).tolist() == [False, False, False, True]
    assert robust.huber([1, 1, 1, 100]) == 1


@pytest.mark.parametrize("of", [robust.median, robust.mad, robust.trimmed_mean, robust.huber, robust.outliers])
@pytest.mark.parametrize("bad", [[], 1.0, [math.nan], [1.0, -math.inf], ["x"], [[1], [1, 2]]])
def test_bad_values_are_an_error(of, bad) -> None:
    with pytest.raises(ValueError, match="values "):
        of(bad)


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: robust.median([1.0], axis=1), "no axis 1"),
        (lambda: robust.trimmed_mean([1.0], 0.5), "cut is 0.5, expected 0 <= cut < 0.5"),
        (lambda: robust.huber([1.0], 0), "k is 0"),
        (lambda: robust.outliers([1.0], -1), "threshold is -1"),
    ],
)
def test_bad_parameters_are_named(call, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        call()
