from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from subnet.dendrite import Failure, Ok, Reason
from subnet.examples.digits.data import hold_out
from subnet.examples.digits.protocol import Classify, Labels
from subnet.examples.digits.validator import DEADLINE, GRACE, DigitsValidator, accuracy, promptness, score
from subnet.types import Hotkey, Neuron, Uid

PEERS = [Neuron(Uid(uid), Hotkey(f"hotkey-{uid}")) for uid in (3, 4, 5)]


def test_accuracy_is_the_part_that_is_right() -> None:
    assert accuracy(np.array([1, 2, 3, 4]), np.array([1, 2, 3, 9])) == 0.75


@pytest.mark.parametrize(
    ("elapsed", "left"),
    [(0.0, 1.0), (GRACE, 1.0), ((GRACE + DEADLINE) / 2, 0.5), (DEADLINE, 0.0), (DEADLINE + 9, 0.0)],
)
def test_lateness_costs_nothing_in_the_grace_and_all_at_the_deadline(elapsed: float, left: float) -> None:
    assert promptness(elapsed) == pytest.approx(left)


def test_a_score_is_the_cube_of_accuracy_times_promptness() -> None:
    labels = np.arange(10)
    half_right = np.where(labels < 5, labels, 9 - labels + 100)
    assert score(labels, labels, 0.1) == 1.0
    assert score(half_right, labels, 0.1) == pytest.approx(0.125)
    assert score(half_right, labels, (GRACE + DEADLINE) / 2) == pytest.approx(0.0625)


class Miners:
    """Stands in for the dendrite: answers by rule, out of order, one of them not at all."""

    def __init__(self) -> None:
        known = hold_out()
        self.images, self.labels = known.images.astype(float), known.labels

    async def query(self, peers: Sequence[Neuron], request: Any, *, timeout: float | None = None) -> list[Any]:
        results: list[Any] = []
        for peer, asked in zip(peers, request, strict=True):
            assert isinstance(asked, Classify)
            digits = np.array([self._true(image) for image in asked.images])
            wrong = (digits + 1) % 10
            if peer.uid == 5:
                results.append(Failure(peer.uid, peer.hotkey, Reason.TIMEOUT, "", "too late", DEADLINE))
            else:
                value = Labels(digits=digits if peer.uid == 3 else wrong)
                results.append(Ok(peer.uid, peer.hotkey, value, 0.01, None))
        return results[::-1]

    def _true(self, image: np.ndarray) -> int:
        return int(self.labels[((self.images - image) ** 2).sum((1, 2)).argmin()])


async def test_a_round_scores_each_peer_by_its_own_pictures_and_a_failure_with_nothing() -> None:
    validator = DigitsValidator({"seed": "3"})
    validator.load()
    validator.use(Miners())
    assert await validator.round(PEERS) == {3: 1.0, 4: 0.0, 5: 0.0}


async def test_a_round_without_peers_scores_nobody() -> None:
    validator = DigitsValidator()
    validator.load()
    validator.use(Miners())
    assert await validator.round([]) == {}
