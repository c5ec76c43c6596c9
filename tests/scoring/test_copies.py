"""Late copies: who was first among like answers, and what chance can do."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from subnet.scoring.copies import LateCopy, coincidence, late_copies
from subnet.scoring.duplicates import agreeing


def test_by_hand() -> None:
    answers = [[1, 1, 1, 1], [1, 1, 1, 2], [5, 6, 7, 8], [1, 1, 1, 1], [1, 1, 1, 1]]
    found = late_copies(agreeing(answers, 0.75), [100, 103, 90, 101, 100])
    assert found == [
        LateCopy(copier=1, original=0, late=3.0, similarity=0.75),
        LateCopy(copier=3, original=0, late=1.0, similarity=1.0),
    ]
    assert late_copies(agreeing(answers, 0.75), [100, 103, 90, 101, 100], margin=2) == found[:1]
    assert late_copies(agreeing([[1], [2]]), [0, 9]) == []


@settings(max_examples=30)
@given(hnp.arrays(np.int64, (6, 2), elements=st.integers(0, 1)), st.lists(st.integers(0, 3), min_size=6, max_size=6))
def test_nobody_copies_from_the_future_and_each_late_match_is_told_once(answers: np.ndarray, blocks: list[int]) -> None:
    found = late_copies(agreeing(answers), blocks)
    assert [copy.copier for copy in found] == sorted({copy.copier for copy in found})
    accused = {copy.copier for copy in found}
    for i in range(6):
        earlier = [blocks[j] for j in range(6) if j != i and (answers[i] == answers[j]).all() and blocks[j] < blocks[i]]
        assert (i in accused) == bool(earlier)
    for copy in found:
        assert copy.late == blocks[copy.copier] - blocks[copy.original] > 0
        assert (answers[copy.copier] == answers[copy.original]).all()


def test_coincidence_by_hand() -> None:
    assert coincidence(3, 3, 0.5) == pytest.approx(0.125)
    assert coincidence(2, 3, 0.5) == pytest.approx(0.5)
    assert coincidence(0, 0, 0.5) == 1
    assert coincidence(1, 4, 0.0) == 0
    assert coincidence(2, 4, 1.0) == 1


@settings(max_examples=30)
@given(st.integers(1, 50), st.data(), st.floats(0, 1))
def test_coincidence_is_the_binomial_tail(cases: int, data, chance: float) -> None:
    matched = data.draw(st.integers(0, cases))
    assert coincidence(matched, cases, chance) == pytest.approx(stats.binom.sf(matched - 1, cases, chance), abs=1e-12)


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: late_copies(agreeing([[1], [1]]), [1]), "committed has 1 numbers, there are 2 answers"),
        (lambda: late_copies(agreeing([[1], [1]]), [1, math.nan]), "committed holds NaN"),
        (lambda: late_copies(agreeing([[1], [1]]), [1, 2], margin=0), "margin is 0"),
        (lambda: coincidence(2, 1, 0.5), "matched is 2"),
        (lambda: coincidence(1, 2, 1.5), "chance is 1.5"),
    ],
)
def test_bad_input_is_named(call, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        call()
