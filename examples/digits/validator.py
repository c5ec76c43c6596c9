"""The digits subnet's scoring rule, and the validator that asks by it.

A round draws an :class:`Exam`: some pictures for everybody, some for each miner alone, all from
the hold-out whose labels the miners never see. A reply is worth ``accuracy ** SHARPNESS`` times its
``promptness``; a failure is worth 0. Withstood: guessing (0.1 cubed is nothing), copying (wrong on
one's own pictures, and late), looking up (no picture is asked twice). Not withstood: a miner that
asks a better one for each of its own pictures, in time: it pays for that answer, and so earns it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from subnet.dendrite import Ok
from subnet.examples.digits.data import Digits, Exam, hold_out
from subnet.examples.digits.protocol import Classify
from subnet.scoring import speed
from subnet.synapse import declaration
from subnet.types import Neuron, Uid
from subnet.validators import Validator

SHARPNESS = 3  # right in 95, 70 and 50 of 100 pays 0.86, 0.34 and 0.13
GRACE = 1.0  # seconds that cost nothing: several times what an honest answer takes on a busy machine
DEADLINE = declaration(Classify).timeout  # seconds; an answer that takes so long is worth nothing


def accuracy(answers: Digits, labels: Digits) -> float:
    """The part of the answers that is right, 0 to 1."""
    return float((answers == labels).mean())


def promptness(elapsed: float) -> float:
    """What lateness leaves of a score: 1 up to GRACE seconds, then in a straight line to 0 at DEADLINE."""
    return float(speed.by_deadline(elapsed, grace=GRACE, deadline=DEADLINE))


def score(answers: Digits, labels: Digits, elapsed: float) -> float:
    """A reply's worth, 0 to 1, from its answers, the true labels and the seconds it took."""
    return float(accuracy(answers, labels) ** SHARPNESS * promptness(elapsed))


class DigitsValidator(Validator):
    """Asks every miner to read digits. Options: ``seed`` (what it draws), ``shared`` and ``own`` (pictures)."""

    alpha = 0.3  # rounds are short here: a miner that dies is felt within a few of them

    def load(self) -> None:
        self.exam = Exam(
            hold_out(),
            np.random.default_rng(self.option("seed", 0)),
            shared=self.option("shared", 24),
            own=self.option("own", 40),
        )

    async def round(self, peers: Sequence[Neuron]) -> Mapping[Uid, float]:
        batches = dict(zip(peers, self.exam.draw(len(peers)), strict=True))
        replies = await self.query(peers, [Classify(images=batch.images) for batch in batches.values()])
        labels = {peer.uid: batch.labels for peer, batch in batches.items()}
        return {
            reply.uid: score(reply.value.digits, labels[reply.uid], reply.elapsed) if isinstance(reply, Ok) else 0.0
            for reply in replies
        }
