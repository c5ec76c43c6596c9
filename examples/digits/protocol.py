"""What a digits validator asks and what a miner answers."""

from __future__ import annotations

from typing import Annotated

from subnet.synapse import Message, Spec, Synapse, Tensor


class Labels(Message):
    """One digit, 0 to 9, for each image that was asked about, in the same order."""

    digits: Annotated[Tensor, Spec("int64", ("n",))]


class Classify(Synapse[Labels], timeout=3.0):
    """Which digit is in each image? ``images`` holds n pictures of 8 x 8 pixels, 0 (paper) to 16 (ink)."""

    images: Annotated[Tensor, Spec("uint8", ("n", 8, 8))]
