"""MinHash: the estimate is the Jaccard similarity within its own error."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subnet.scoring.minhash import similar_texts, sketch

FOX = "The quick brown fox jumps over the lazy dog while the miner sleeps and the validator counts every single vote."


def jaccard(a: str, b: str, size: int) -> float:
    one, other = ({t[i : i + size] for i in range(len(t) - size + 1)} for t in (a, b))
    return len(one & other) / len(one | other)


@pytest.mark.parametrize("cut", [0, 200, 500, 900])
def test_the_estimate_is_within_four_standard_errors(cut: int) -> None:
    letters = random.Random(1)
    base = "".join(letters.choices("abcdefghijklmnopqrstuvwxyz", k=1000))
    other = base[cut:] + "".join(letters.choices("abcdefghijklmnopqrstuvwxyz", k=cut))
    truth = jaccard(base, other, 5)
    one, two = sketch([base, other], seed=9, permutations=1024)
    assert (one == two).mean() == pytest.approx(truth, abs=4 * math.sqrt(truth * (1 - truth) / 1024) + 1e-12)


def test_copies_are_found_and_others_are_not() -> None:
    texts = [
        FOX,
        f"  {FOX.upper()}\n ".replace("FOX", " fox "),
        FOX + " Indeed.",
        "Proof of work needs nothing but electricity, and of that more than anybody should like to pay for.",
        "",
        "   ",
        "ab",
        "AB",
    ]
    matches = similar_texts(texts, 0.7, seed=1)
    assert matches.groups() == [[0, 1, 2], [6, 7]]
    assert matches.similarity[0] == 1
    assert len(similar_texts([], seed=0)) == 0


@settings(max_examples=40)
@given(st.text("abB \n", max_size=12), st.text("abcé ", max_size=12), st.integers(1, 6))
def test_a_sketch_depends_on_the_set_of_runs_alone(one: str, other: str, shingle: int) -> None:
    first, second = sketch([one, other], seed=3, shingle=shingle, permutations=16)
    a, b = (" ".join(text.casefold().split()) for text in (one, other))
    if a == b:
        assert (first == second).all()
    elif len(a) >= shingle and len(b) >= shingle and jaccard(a, b, shingle) == 0:
        assert (first != second).all()


def test_another_seed_is_another_sketch() -> None:
    assert (sketch([FOX], seed=1) != sketch([FOX], seed=2)).all()
    assert (sketch([FOX], seed=1) == sketch([FOX], seed=1)).all()


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: sketch([""] * 4097, seed=0), "4097 texts"),
        (lambda: sketch(["a" * 9_000_000] * 2, seed=0), "18000000 characters in all"),
        (lambda: sketch([b"a"], seed=0), "something else than str"),  # type: ignore[list-item]
        (lambda: sketch(["a"], seed=-1), "seed is -1"),
        (lambda: sketch(["a"], seed=0, shingle=0), "shingle is 0"),
        (lambda: sketch(["a"], seed=0, permutations=2000), "permutations is 2000"),
        (lambda: similar_texts(["a"], 2, seed=0), "threshold is 2"),
    ],
)
def test_bad_input_is_named(call, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        call()


def test_surrogates_and_wide_characters_pass() -> None:
    assert similar_texts(["\ud800\U0001f600 abc", "\ud800\U0001f600 ABC"], seed=0).similarity.tolist() == [1.0]
    assert sketch(["x"], seed=0).dtype == np.uint64
