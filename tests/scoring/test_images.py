"""Overlap and structural similarity, by hand and by the paper's formula."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.ndimage import correlate1d

from subnet.scoring.images import box_iou, mask_iou, ssim

corners = hnp.arrays(np.float64, (5, 4), elements=st.floats(-100, 100))


def test_boxes_by_hand() -> None:
    assert box_iou([0, 0, 2, 2], [1, 1, 3, 3]) == pytest.approx(1 / 7)
    pairs = box_iou(np.array([[0, 0, 2, 2], [5, 5, 6, 6]])[:, None], np.array([[0, 0, 2, 1], [0, 0, 2, 2]])[None])
    assert pairs == pytest.approx(np.array([[0.5, 1], [0, 0]]))
    assert box_iou([1, 1, 1, 1], [1, 1, 1, 1]) == 0
    assert box_iou([0, 0, 2e-200, 2e-200], [0, 0, 1e-200, 2e-200]) == pytest.approx(0.5)
    assert box_iou([0, 0, 2e149, 2e149], [0, 0, 1e149, 2e149]) == pytest.approx(0.5)


@settings(max_examples=30)
@given(corners, corners)
def test_box_iou_is_symmetric_and_bounded(a: np.ndarray, b: np.ndarray) -> None:
    a, b = (np.concatenate([np.sort(x.reshape(5, 2, 2), axis=1)], axis=1).reshape(5, 4) for x in (a, b))
    out = box_iou(a, b)
    assert ((out >= 0) & (out <= 1)).all()
    assert out == pytest.approx(box_iou(b, a))


def test_masks_by_hand() -> None:
    a, b = np.array([[True, True], [False, False]]), np.array([[True, False], [True, False]])
    assert mask_iou(a, b) == pytest.approx(1 / 3)
    assert mask_iou(a, a) == 1
    assert mask_iou(a & False, b & False) == 1
    assert mask_iou(a, ~a) == 0


def test_ssim_of_flat_pictures_is_the_formulas() -> None:
    one, other = np.full((16, 16), 100.0), np.full((16, 16), 150.0)
    c1 = (0.01 * 255) ** 2
    assert ssim(one, other, data_range=255) == pytest.approx((2 * 100 * 150 + c1) / (100**2 + 150**2 + c1), rel=1e-9)
    assert ssim(one, one, data_range=255) == pytest.approx(1)


def test_ssim_of_noise_is_the_papers() -> None:
    random = np.random.default_rng(0)
    one, other = random.uniform(0, 255, (2, 20, 24))
    half = np.arange(-5, 6)
    window = np.exp(-(half**2) / (2 * 1.5**2))
    window /= window.sum()

    def local(x: np.ndarray) -> np.ndarray:
        return correlate1d(correlate1d(x, window, 0), window, 1)

    mx, my = local(one), local(other)
    vx, vy, vxy = local(one**2) - mx**2, local(other**2) - my**2, local(one * other) - mx * my
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    paper = (2 * mx * my + c1) * (2 * vxy + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    # the mean over windows that lie wholly in the picture
    assert ssim(one, other, data_range=255) == pytest.approx(paper[5:-5, 5:-5].mean(), rel=1e-6)
    colours = np.stack([one, other, one], axis=-1)
    assert ssim(colours, colours, data_range=255, channels=True) == pytest.approx(1)


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: box_iou([0, 0, 1], [0, 0, 1, 1]), r"expected \(\.\.\., 4\)"),
        (lambda: box_iou([1, 0, 0, 1], [0, 0, 1, 1]), "right or bottom is below"),
        (lambda: box_iou([0, 0, math.nan, 1], [0, 0, 1, 1]), "boxes holds NaN"),
        (lambda: box_iou(np.zeros((2, 4)), np.zeros((3, 4))), "don't go together"),
        (lambda: mask_iou(np.ones(2, bool), np.ones(3, bool)), "mask is bool of shape"),
        (lambda: mask_iou(np.ones(2), np.ones(2)), "expected bool"),
        (lambda: ssim(np.zeros((5, 20)), np.zeros((5, 20)), data_range=1), "of 11 x 11 or more"),
        (lambda: ssim(np.zeros((20, 20)), np.zeros((20, 21)), data_range=1), "expected one shape"),
        (lambda: ssim(np.zeros((20, 20, 3)), np.zeros((20, 20, 3)), data_range=1), r"expected 2 dimension"),
        (lambda: ssim(np.zeros((20, 20)), np.zeros((20, 20)), data_range=0), "data_range is 0"),
        (lambda: ssim(np.full((20, 20), 1e9), np.zeros((20, 20)), data_range=1), "a million times"),
        (lambda: ssim(np.zeros((1 << 24) + 1, np.int8), np.zeros(1), data_range=1), "at most 16777216"),
    ],
)
def test_bad_input_is_named(call, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        call()
