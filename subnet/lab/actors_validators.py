"""Validators that would be paid for judging they don't do, and those who vote for their own.

A validator's gain is measured against honest judging with the same stake.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from subnet.lab.actors import Actor, Asked, Seen
from subnet.lab.tasks import Answers, Floats


@dataclass
class WeightCopier(Actor):
    """Sets the weights that others have published, ``late`` epochs after they could be read.

    ``of="consensus"`` is the stake-weighted mean of the others' rows, which no honest validator is nearer to;
    ``"best"`` the row of the validator with the most stake. Under commit-reveal it only sees what has been revealed;
    until there is something to copy it judges honestly, so that its start is not held against it.
    """

    validators: int = 1
    stake: float = 0.05
    of: Literal["consensus", "best"] = "consensus"
    late: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.of not in ("consensus", "best"):
            raise ValueError(f"of is {self.of!r}, expected consensus or best")
        if not 0 <= self.late <= 1000:
            raise ValueError("late is in epochs, 0..1000")

    @property
    def looks_back(self) -> int:
        return self.late

    def weigh(self, seen: Seen) -> Floats:
        read = seen.published(self.late)
        if read is None:
            return seen.judged
        stake = seen.stake.copy()
        stake[seen.rows] = 0.0
        total = read.sum(axis=1)
        stake[total == 0] = 0.0
        if not stake.any():
            return seen.judged
        if self.of == "best":
            row = read[np.argmax(stake)]
        else:
            row = stake @ (read / np.where(total == 0, 1.0, total)[:, None])
        return np.broadcast_to(row, seen.judged.shape)


@dataclass
class SelfWeighting(Actor):
    """Gives all its weight to itself. The chain drops the diagonal, unless the validator is the subnet's owner."""

    validators: int = 1
    stake: float = 0.1

    def weigh(self, seen: Seen) -> Floats:
        weights = np.zeros_like(seen.judged)
        weights[np.arange(seen.rows.size), seen.rows] = 1.0
        return weights


@dataclass
class Cabal(Actor):
    """Miners that don't work, and validators who vote for them with a share ``part`` of their weight.

    The rest of the weight is what they honestly judge, to be harder to see.
    """

    miners: int = 4
    validators: int = 1
    stake: float = 0.2
    part: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.part <= 1:
            raise ValueError(f"part is {self.part}, expected 0..1")

    def answer(self, asked: Asked) -> Answers:
        return asked.task.guess(asked.rng, asked.shape)

    def weigh(self, seen: Seen) -> Floats:
        own = np.zeros_like(seen.judged)
        if not seen.members.size:
            return seen.judged
        own[:, seen.members] = 1.0 / seen.members.size
        total = seen.judged.sum(axis=1, keepdims=True)
        return self.part * own + (1 - self.part) * seen.judged / np.where(total == 0, 1.0, total)


@dataclass
class Poisoner(Actor):
    """Votes to bend consensus: its weight goes to the miners that published consensus likes least.

    It seldom pays; what it costs the others is the question. Under commit-reveal it aims at what was revealed.
    """

    validators: int = 1
    stake: float = 0.3

    def weigh(self, seen: Seen) -> Floats:
        read = seen.published(0)
        liked = seen.judged.mean(axis=0) if read is None else seen.stake @ read
        weights = np.zeros_like(seen.judged)
        weights[:, seen.miners] = liked[seen.miners].max() - liked[seen.miners]
        return weights
