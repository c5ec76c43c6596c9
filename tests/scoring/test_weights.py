"""Scores to u16 weights: the chain's own vectors, its limits, and what must never be paid."""

from __future__ import annotations

import itertools
import json
import math
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subnet.scoring.weights import max_upscale_u16, normalise, within_limit
from subnet.types import Uid

VECTORS = json.loads((Path(__file__).parent.parent / "data" / "yuma_golden.json").read_text())

u16s = st.lists(st.integers(0, 65535), max_size=40)
scores = st.dictionaries(st.integers(0, 300).map(Uid), st.floats(allow_nan=True, allow_infinity=True))
good_scores = st.dictionaries(
    st.integers(0, 300).map(Uid), st.floats(1e-9, 1e9, allow_subnormal=False), min_size=1, max_size=40
)


@pytest.mark.parametrize("vector", VECTORS["max_upscale_u16"], ids=lambda v: str(v["input"]))
def test_max_upscale_is_the_chains(vector: dict[str, list[int]]) -> None:
    assert max_upscale_u16(vector["input"]) == vector["output"]


@given(u16s)
def test_max_upscale_rounds_within_one_and_is_idempotent(values: list[int]) -> None:
    out = max_upscale_u16(values)
    assert max_upscale_u16(out) == out
    top = max(values, default=0)
    for value, scaled in zip(values, out, strict=True):
        assert abs(scaled - Fraction(value * 65535, top or 1)) <= Fraction(1, 2) + Fraction(1, 2**16)


@pytest.mark.parametrize("values", [[-1], [65536], [1, 70000]])
def test_max_upscale_refuses_what_is_no_u16(values: list[int]) -> None:
    with pytest.raises(ValueError, match="outside u16"):
        max_upscale_u16(values)


def test_limit_is_on_the_share() -> None:
    assert within_limit([65535, 65535], 32768)
    assert not within_limit([65535, 65535], 32767)
    assert not within_limit([65535], 65534)
    assert within_limit([65535], 65535)
    assert within_limit([], 0)
    assert within_limit([0, 0], 0)


def test_weights_are_in_proportion_to_scores() -> None:
    assert normalise({Uid(7): 1.0, Uid(2): 0.5, Uid(3): 0.25}) == ([2, 3, 7], [32768, 16384, 65535])


@pytest.mark.parametrize("nothing", [0.0, -1.0, math.nan, math.inf, -math.inf])
def test_nothing_is_paid_for_nothing(nothing: float) -> None:
    assert normalise({Uid(1): nothing, Uid(2): nothing}, min_allowed_weights=2) == ([], [])
    assert normalise({Uid(1): nothing, Uid(2): 0.1}) == ([2], [65535])
    assert normalise({}) == ([], [])


def test_own_uid_gets_no_weight() -> None:
    assert normalise({Uid(0): 9.0, Uid(1): 1.0}, own_uid=Uid(0)) == ([1], [65535])
    assert normalise({Uid(0): 9.0}, own_uid=Uid(0)) == ([], [])


def test_unscored_uids_fill_up_to_the_least_number_of_weights() -> None:
    given_scores = {Uid(5): 1.0, Uid(1): 0.0, Uid(2): math.nan, Uid(3): 0.0}
    assert normalise(given_scores, min_allowed_weights=3) == ([1, 2, 5], [0, 0, 65535])
    with pytest.raises(ValueError, match="4 uids are scored, the subnet wants 5"):
        normalise(given_scores, min_allowed_weights=5)


def test_a_share_above_the_limit_is_cut_and_shared_out() -> None:
    _, weights = normalise({Uid(0): 98.0, Uid(1): 1.0, Uid(2): 1.0}, max_weight_limit=32768)
    assert within_limit(weights, 32768)
    assert weights[0] == 65535
    assert weights[1] == weights[2] == pytest.approx(32767, abs=3)


def test_a_limit_that_cannot_hold_is_an_error() -> None:
    with pytest.raises(ValueError, match="2 uids can't share"):
        normalise({Uid(0): 1.0, Uid(1): 1.0}, max_weight_limit=20000)


@given(scores, st.integers(0, 20))
def test_whatever_the_scores_the_weights_are_fit_to_send(values: dict[Uid, float], least: int) -> None:
    least = min(least, len(values))
    uids, weights = normalise(values, min_allowed_weights=least)
    assert uids == sorted(set(uids))
    assert len(uids) == len(weights)
    if weights:
        assert len(weights) >= least
        assert max(weights) == 65535
        assert max_upscale_u16(weights) == weights
    for uid, weight in zip(uids, weights, strict=True):
        assert weight == 0 or (math.isfinite(values[uid]) and values[uid] > 0)


@given(good_scores, st.integers(1, 65535))
def test_the_limit_holds_or_is_refused_for_cause(values: dict[Uid, float], limit: int) -> None:
    try:
        _, weights = normalise(values, max_weight_limit=limit)
    except ValueError:
        assert Fraction(limit, 65535) < Fraction(1, len(values)) + Fraction(1, 2**31)
    else:
        assert within_limit(weights, limit)


@given(good_scores, st.integers(2000, 65535))
def test_a_limit_never_turns_the_order_round(values: dict[Uid, float], limit: int) -> None:
    values = dict(sorted(values.items()))
    if Fraction(limit, 65535) < Fraction(1, len(values)):
        return
    uids, weights = normalise(values, max_weight_limit=limit)
    got = dict(zip(uids, weights, strict=True))
    ranked = sorted(values, key=lambda uid: values[uid])
    assert all(got.get(a, 0) <= got.get(b, 0) for a, b in itertools.pairwise(ranked))
