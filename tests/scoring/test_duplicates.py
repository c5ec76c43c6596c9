"""Duplicates: what is the same is found, what isn't is left alone, and the work is bounded first."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from subnet.scoring.duplicates import Matches, agreeing, aligned, identical


def listed(matches: Matches) -> list[tuple[int, int]]:
    return list(zip(matches.first.tolist(), matches.second.tolist(), strict=True))


def test_identical_is_to_the_bit_and_by_kind() -> None:
    one = np.array([1.0, math.nan], np.float32)
    assert identical([one, b"a", one.copy(), "a", b"a", one.astype(np.float64), one.reshape(2, 1), "b", "a"]) == [
        [0, 2],
        [1, 4],
        [3, 8],
    ]
    assert identical([]) == []


def test_agreeing_by_hand() -> None:
    answers = [[1, 2, 3, 4], [1, 2, 3, 9], [7, 7, 7, 7], [1, 2, 3, 4]]
    matches = agreeing(answers, 0.75)
    assert listed(matches) == [(0, 1), (0, 3), (1, 3)]
    assert matches.similarity.tolist() == [0.75, 1.0, 0.75]
    assert matches.groups() == [[0, 1, 3]]
    assert listed(agreeing(answers)) == [(0, 3)]
    assert listed(agreeing([[100.0], [101.0], [103.0]], relative=0.01)) == [(0, 1)]
    assert listed(agreeing([[0.0], [0.5], [1.5]], absolute=0.5)) == [(0, 1)]
    assert listed(agreeing([[math.nan, 1.0], [math.nan, 1.0], [math.inf, 1.0], [math.inf, 1.0]])) == []
    assert len(agreeing([[1.0]])) == 0


def test_aligned_by_hand() -> None:
    answers = [[1.0, 0.0], [5.0, 0.001], [0.0, 1.0], [0.0, 0.0], [math.nan, 1.0], [-1.0, 0.0], [1e-300, 0.0]]
    matches = aligned(answers)
    assert listed(matches) == [(0, 1), (0, 6), (1, 6)]
    assert matches.similarity == pytest.approx([1, 1, 1], abs=1e-6)
    assert listed(aligned([[1.0, 0.0], [0.6, 0.8]], 0.6)) == [(0, 1)]


@settings(max_examples=30)
@given(
    hnp.arrays(np.int64, st.tuples(st.integers(1, 8), st.integers(1, 4)), elements=st.integers(0, 2)), st.floats(0, 1)
)
def test_agreeing_is_every_pair_of_the_definition(answers: np.ndarray, threshold: float) -> None:
    expected = [
        (i, j)
        for i, j in itertools.combinations(range(len(answers)), 2)
        if (answers[i] == answers[j]).mean() >= threshold
    ]
    assert listed(agreeing(answers, threshold)) == expected


@settings(max_examples=30)
@given(st.lists(st.sampled_from([b"a", b"b", "a", "c"]), max_size=12))
def test_identical_partitions(answers: list[bytes | str]) -> None:
    groups = identical(answers)
    together = {i: n for n, group in enumerate(groups) for i in group}
    for i, j in itertools.combinations(range(len(answers)), 2):
        same = type(answers[i]) is type(answers[j]) and answers[i] == answers[j]
        assert same == (i in together and together[i] == together.get(j))


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: identical([b""] * 4097), "4097 answers, at most 4096"),
        (lambda: identical([None]), "an answer is NoneType"),
        (lambda: identical([np.array([None])]), "Python objects"),
        (lambda: agreeing([1.0]), "expected 2 dimension"),
        (lambda: agreeing(np.zeros((4097, 1))), "4097 answers"),
        (lambda: agreeing(np.zeros((2000, 600))), "take fewer columns"),
        (lambda: agreeing([[2**60], [2**60 + 1]]), "beyond 2"),
        (lambda: agreeing([[1.0]], 1.1), "threshold is 1.1"),
        (lambda: agreeing([[1.0]], relative=2), "relative is 2"),
        (lambda: aligned(np.zeros((4096, 1200))), "take fewer columns"),
        (lambda: aligned(np.zeros((0, 3))), "answers holds 0"),
        (lambda: aligned([[1.0]], math.nan), "threshold is nan"),
    ],
)
def test_bad_input_is_named(call, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        call()
