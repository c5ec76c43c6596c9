"""How well regions and pictures agree: intersection over union of boxes and masks, structural similarity.

SSIM is scikit-image's (extra ``scoring``); sizes are bounded first.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from subnet.scoring import checks
from subnet.scoring.checks import Floats

MOST_PIXELS: Final = 1 << 24
"""Largest picture, height times width times channels, that :func:`ssim` compares: 4096 x 4096 grey."""

_WINDOW: Final = 11


def box_iou(boxes: npt.ArrayLike, others: npt.ArrayLike) -> Floats:
    """Intersection over union of boxes ``[left, top, right, bottom]``: (..., 4) and (..., 4), broadcast, to (...).

    ``box_iou(a[:, None], b[None])`` gives all pairs of (n, 4) and (m, 4). Two boxes of no area get 0.
    Raises ValueError for a right below its left or a bottom below its top, NaN and infinities.

    Source: Everingham et al., "The Pascal Visual Object Classes (VOC) Challenge", IJCV 2010, section 4.2.
    """
    a, b = _boxes("boxes", boxes), _boxes("others", others)
    checks.alike(boxes=a, others=b)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    # areas in units of the largest side: those of boxes far from 1 would over- or underflow
    unit = np.maximum((a[..., 2:] - a[..., :2]).max(axis=-1), (b[..., 2:] - b[..., :2]).max(axis=-1))
    unit = np.where(unit > 0, unit, 1.0)
    shared = np.prod(np.maximum(sides, 0.0) / unit[..., None], axis=-1)
    union = _area(a, unit) + _area(b, unit) - shared
    return np.asarray(shared / np.where(union > 0, union, 1.0))


def mask_iou(mask: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    """Intersection over union of two bool arrays of one shape. Two empty masks agree: 1.

    Source: Jaccard, "The Distribution of the Flora in the Alpine Zone", New Phytologist 1912.
    """
    a = checks.mask("mask", np.asarray(mask), np.shape(other))
    b = checks.mask("other", np.asarray(other), a.shape)
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 1.0


def ssim(picture: npt.ArrayLike, other: npt.ArrayLike, *, data_range: float, channels: bool = False) -> float:
    """Mean structural similarity of two pictures (h, w), or (h, w, c) with ``channels``: -1 to 1, 1 is equal.

    ``data_range`` is the largest value a pixel may have less the smallest (255 for uint8). The paper's Gaussian
    window of 11 pixels, deviation 1.5; h and w at least 11. Raises ValueError for other shapes, NaN, infinities or
    more than ``MOST_PIXELS`` numbers, MissingExtra without scikit-image.

    Source: Wang, Bovik, Sheikh and Simoncelli, "Image Quality Assessment: From Error Visibility to
    Structural Similarity", IEEE Transactions on Image Processing 2004.
    """
    dimensions = 3 if channels else 2
    for name, given in (("picture", picture), ("other", other)):
        if np.size(given) > MOST_PIXELS:
            raise ValueError(f"{name} has {np.size(given)} numbers, at most {MOST_PIXELS} are compared")
    a = checks.floats("picture", picture, ndim=dimensions)
    b = checks.floats("other", other, ndim=dimensions)
    if a.shape != b.shape or min(a.shape[:2]) < _WINDOW:
        raise ValueError(f"pictures are {a.shape} and {b.shape}, expected one shape of {_WINDOW} x {_WINDOW} or more")
    checks.between("data_range", data_range, 0, checks.LARGEST, open_at="low")
    compare = checks.optional("skimage.metrics", "scikit-image").structural_similarity
    # in units of the range: float64 squares of anything up to 1e150 are finite, their squares are not
    return float(
        compare(
            _scaled(a, data_range),
            _scaled(b, data_range),
            data_range=1.0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            channel_axis=-1 if channels else None,
        )
    )


def _scaled(picture: Floats, data_range: float) -> Floats:
    scaled = picture / data_range
    if np.abs(scaled).max() > 1e6:
        raise ValueError("a pixel lies more than a million times data_range from 0")
    return np.asarray(scaled)


def _boxes(name: str, boxes: npt.ArrayLike) -> Floats:
    array = checks.floats(name, boxes)
    if array.ndim == 0 or array.shape[-1] != 4:
        raise ValueError(f"{name} has shape {array.shape}, expected (..., 4)")
    if (array[..., 2:] < array[..., :2]).any():
        raise ValueError(f"{name} holds a box whose right or bottom is below its left or top")
    return array


def _area(boxes: Floats, unit: Floats) -> Floats:
    return np.asarray(np.prod((boxes[..., 2:] - boxes[..., :2]) / unit[..., None], axis=-1))
