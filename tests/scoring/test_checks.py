"""Whatever is passed in: a ValueError or numbers, never NaN, a warning or another error."""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subnet.scoring import checks, closeness, duplicates, entropy, images, moving, proper, robust, shares, speed

ODD = [0.0, -0.0, 1.0, 0.5, -1.0, 1e150, -1e150, 1e151, 5e-324, 1e-200, math.nan, math.inf, -math.inf]
NO_ARRAYS: list[Any] = [
    [], None, "x", {}, [[1], [1, 2]], [1j], [None], 10**400, b"ab", np.datetime64("2020"), [[[]]], True,
    np.array([1], object), np.array([1], np.longdouble) * np.longdouble("1e4000"),
]  # fmt: skip
arrays = st.one_of(
    st.sampled_from(NO_ARRAYS),
    st.lists(st.sampled_from(ODD), min_size=1, max_size=4),
    st.lists(st.floats(0, 1), min_size=3, max_size=3),
    st.lists(st.sampled_from([0.0, 1.0, 0.5]), min_size=4, max_size=4).map(lambda v: np.array(v, ml_dtypes.bfloat16)),
    st.lists(st.lists(st.sampled_from(ODD), min_size=2, max_size=2), min_size=1, max_size=3),
)
numbers = st.sampled_from([*ODD, 0, 1, 2, -3, 10**400, True])

CALLS = [
    lambda a, b, c, x, y: shares.by_sum(a),
    lambda a, b, c, x, y: shares.by_softmax(a, x),
    lambda a, b, c, x, y: shares.by_rank(a),
    lambda a, b, c, x, y: shares.by_power(a, x),
    lambda a, b, c, x, y: shares.by_top_k(a, x),
    lambda a, b, c, x, y: shares.clip_quantiles(a, x, y),
    lambda a, b, c, x, y: robust.huber(a, x),
    lambda a, b, c, x, y: robust.trimmed_mean(a, x),
    lambda a, b, c, x, y: robust.outliers(a, x),
    lambda a, b, c, x, y: proper.crps_ensemble(a, b),
    lambda a, b, c, x, y: proper.crps_gaussian(a, b, c),
    lambda a, b, c, x, y: proper.interval_score(a, b, c, x),
    lambda a, b, c, x, y: proper.pinball(a, b, x),
    lambda a, b, c, x, y: proper.brier_binary(a, b),
    lambda a, b, c, x, y: proper.skill(a, b),
    lambda a, b, c, x, y: closeness.within_tolerance(a, b, relative=x, absolute=y),
    lambda a, b, c, x, y: closeness.cosine(a, b),
    lambda a, b, c, x, y: images.box_iou(a, b),
    lambda a, b, c, x, y: speed.by_deadline(a, grace=x, deadline=y),
    lambda a, b, c, x, y: speed.by_half_life(a, x, grace=y),
    lambda a, b, c, x, y: speed.throughput(a, b, target=x),
    lambda a, b, c, x, y: entropy.effective_number(a, order=x),
    lambda a, b, c, x, y: moving.ema(a, x),
    lambda a, b, c, x, y: duplicates.agreeing(a, x, relative=y).similarity,
    lambda a, b, c, x, y: duplicates.aligned(a, x).similarity,
]


@settings(max_examples=60)
@given(arrays, arrays, arrays, numbers, numbers)
def test_a_value_error_or_numbers(a: Any, b: Any, c: Any, x: Any, y: Any) -> None:
    for call in CALLS:
        try:
            out = call(a, b, c, x, y)
        except ValueError:
            continue
        assert not np.isnan(np.asarray(out, np.float64)).any()


def test_the_largest_number_bounds_its_square_and_sums_of_them() -> None:
    assert math.isfinite(1e8 * checks.LARGEST**2)


def test_a_message_names_the_argument_and_stays_short() -> None:
    with pytest.raises(ValueError, match="level is 1000") as caught:
        checks.between("level", 10**400, 0, 1)
    assert len(str(caught.value)) < 120
