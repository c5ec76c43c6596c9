"""Edit distances: the textbook's pairs, bounds on the work, and what a missing extra says."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subnet.errors import MissingExtra
from subnet.scoring.text import character_error_rate, edit_distance, word_error_rate

short = st.text("abé ", max_size=8)


@pytest.mark.parametrize(
    ("one", "other", "edits"),
    # Wagner and Fischer's algorithm by hand; the second pair is the one of Gusfield's and Jurafsky's books
    [("kitten", "sitting", 3), ("intention", "execution", 5), ("", "abc", 3), ("flaw", "lawn", 2), ("é", "e", 1)],
)
def test_the_textbooks_pairs(one: str, other: str, edits: int) -> None:
    assert edit_distance(one, other) == edit_distance(other, one) == edits


def test_rates_by_hand() -> None:
    assert character_error_rate("kitten", "sitting") == pytest.approx(3 / 7)
    assert character_error_rate("", "abc") == 1
    assert character_error_rate("abcabc", "abc") == 1
    assert word_error_rate("the cat sat  mat", "the cat sat on the mat") == pytest.approx(2 / 6)
    assert word_error_rate("a b c d", "x") == 4


def wagner_fischer(a: str, b: str) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        above, row = row, [i]
        for j, y in enumerate(b, 1):
            row.append(min(row[-1] + 1, above[j] + 1, above[j - 1] + (x != y)))
    return row[-1]


@settings(max_examples=30)
@given(short, short)
def test_the_distance_is_the_tables(one: str, other: str) -> None:
    assert edit_distance(one, other) == wagner_fischer(one, other)


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: edit_distance("a" * 11, "b", most=10), "answer has 11 characters, at most 10"),
        (lambda: edit_distance("a", "b" * 100_001), "reference has 100001"),
        (lambda: character_error_rate("a", ""), "reference is empty"),
        (lambda: word_error_rate("a", " \n"), "holds no word"),
        (lambda: edit_distance(b"a", "a"), "answer is bytes"),  # type: ignore[arg-type]
    ],
)
def test_bad_input_is_named(call, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        call()


def test_without_the_extra_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rapidfuzz.distance", None)
    with pytest.raises(MissingExtra, match="rapidfuzz") as caught:
        edit_distance("a", "b")
    assert "subnetkit[scoring]" in caught.value.remedy
