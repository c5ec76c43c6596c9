"""The images: scikit-learn's bundled digits, split so that the miners never see the hold-out's labels.

``digits()`` reads all 1,797 pictures; a fixed permutation cuts them into a training pool, of
which a miner fits one ``half``, and a ``hold_out`` that only validators open. An :class:`Exam`
draws what a validator asks in one round: a part that all miners get, and a part of its own for
each. Every picture goes out under fresh ``sensor_noise``, so that no question is ever asked twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

Pictures = npt.NDArray[np.uint8]  # (n, 8, 8), 0 to 16
Digits = npt.NDArray[np.int64]  # (n,), 0 to 9

TRAINING = 1200  # pictures in the miners' pool; the other 597 are the hold-out
NOISE = 2.0  # standard deviation of the noise, in the pictures' 17 grey levels
INK = 16  # the darkest level
_SPLIT_SEED = 1797  # one split for everybody: a miner that cut elsewhere would train on the hold-out


@dataclass(frozen=True)
class Batch:
    """Pictures (n, 8, 8) uint8 with their labels (n,) int64, in one order."""

    images: Pictures
    labels: Digits

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: npt.NDArray[np.intp]) -> Batch:
        """The pictures at ``index``, in its order."""
        return Batch(self.images[index], self.labels[index])


@cache
def digits() -> Batch:
    """All 1,797 pictures in the fixed order of the split."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    everything = Batch(bunch.images.astype(np.uint8), bunch.target.astype(np.int64))
    return everything.take(np.random.default_rng(_SPLIT_SEED).permutation(len(everything)))


def training_half(half: int) -> Batch:
    """Every second picture of the training pool: 600 pictures; halves 0 and 1 share none."""
    if half not in (0, 1):
        raise ValueError(f"half is 0 or 1, not {half}")
    return digits().take(np.arange(half, TRAINING, 2))


def hold_out() -> Batch:
    """The 597 pictures whose labels only validators look at."""
    return digits().take(np.arange(TRAINING, len(digits())))


def sensor_noise(images: Pictures, random: np.random.Generator) -> Pictures:
    """The same pictures through a worse scanner: normal noise of ``NOISE`` levels, clipped to 0..16."""
    noisy = images + random.normal(0.0, NOISE, images.shape)
    return np.clip(np.rint(noisy), 0, INK).astype(np.uint8)


class Exam:
    """Draws the questions of a round from ``held``: ``shared`` pictures for all, ``own`` for each miner.

    The shared part makes the scores of a round comparable; the own part makes a copied answer
    a wrong one. Own parts are dealt like cards: no two miners hold the same picture until the
    deck runs out (after 14 miners), and even then not under the same noise. Each miner's batch
    is shuffled, so that a place in it tells nothing.
    """

    def __init__(self, held: Batch, random: np.random.Generator, *, shared: int = 24, own: int = 40) -> None:
        if shared < 0 or own < 0 or not 0 < shared + own <= len(held):
            raise ValueError(f"{shared} shared and {own} own pictures don't fit {len(held)} held out")
        self.held = held
        self.random = random
        self.shared = shared
        self.own = own

    def draw(self, miners: int) -> list[Batch]:
        """One batch of ``shared + own`` pictures for each of ``miners``, in their order."""
        deck = self.random.permutation(len(self.held))
        common = self._noisy(deck[: self.shared])
        hands = self._deal(deck[self.shared :])
        return [self._shuffled(common, self._noisy(next(hands))) for _ in range(miners)]

    def _deal(self, deck: npt.NDArray[np.intp]) -> Iterator[npt.NDArray[np.intp]]:
        while True:
            deck = self.random.permutation(deck)
            for start in range(0, len(deck) - self.own + 1, max(self.own, 1)):
                yield deck[start : start + self.own]

    def _noisy(self, index: npt.NDArray[np.intp]) -> Batch:
        clean = self.held.take(index)
        return Batch(sensor_noise(clean.images, self.random), clean.labels)

    def _shuffled(self, common: Batch, own: Batch) -> Batch:
        both = Batch(np.concatenate([common.images, own.images]), np.concatenate([common.labels, own.labels]))
        return both.take(self.random.permutation(len(both)))
