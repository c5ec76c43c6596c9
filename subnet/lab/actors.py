"""Who takes part in the lab: an :class:`Actor` is a group of neurons with one mind.

An actor holds miners and validators (with a share of all stake). Each epoch the engine asks its miners by
:meth:`Actor.answer` and its validators by :meth:`Actor.weigh`; the base class does honest work in both, and an
attack overrides what it does otherwise. What an actor remembers stands in attributes that :meth:`Actor.start` makes:
each run has copies of its own.

The views :class:`Asked` and :class:`Seen` hold what a neuron of that kind may know, and what an attacker could steal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from subnet.lab.tasks import Answers, Floats, Task

Uids = npt.NDArray[np.int64]


@dataclass(eq=False)
class Asked:
    """What miners see in an epoch. V validators ask K questions each; M miners, of whom ``seats`` (m,) are the actor's.

    ``truth`` (V, K) is what the question is about: an honest miner sees it through its ``skill`` (m,). ``ids`` (V, K)
    tells questions apart (of ``pool`` questions, or always new where that is 0). ``answers`` (V, M, K) and
    ``elapsed`` (V, M) are what others have handed in so far, NaN where nothing. ``incentive`` (M,) is what the last
    epoch said.
    """

    epoch: int
    rng: np.random.Generator
    task: Task
    truth: Answers
    ids: Uids
    pool: int
    seats: Uids
    skill: Floats
    answers: Answers
    elapsed: Answers
    incentive: Floats
    stake: Floats
    timeout: float

    @property
    def shape(self) -> tuple[int, int, int]:
        """(V, m, K): the shape of the actor's own answers."""
        return (self.truth.shape[0], self.seats.size, self.truth.shape[1])

    def attempt(self, skill: Floats | float | None = None) -> Answers:
        """Honest work: answers (V, m, K) at ``skill`` (m,) or one number, by default the actor's own."""
        able = self.skill if skill is None else np.broadcast_to(np.asarray(skill, dtype=np.float64), self.skill.shape)
        return self.task.attempt(self.rng, self.truth, able)

    def silence(self) -> Answers:
        """No answers at all: NaN (V, m, K)."""
        return np.full(self.shape, np.nan, dtype=np.float32)


@dataclass(eq=False)
class Seen:
    """What validators see before they set weights. N = V + M neurons, validators first; ``rows`` (v,) are the actor's.

    ``judged`` (v, N) are the weights that honest work gives them. ``published(late)`` is the newest weight matrix
    (V, N) that all can read, or the one ``late`` epochs older; None where there is none yet. With commit-reveal off
    the newest is what the others have just set; with it on, what was last revealed. ``members`` are the columns of the
    actor's own miners, ``miners`` those of all; ``consensus`` (N,) is the last epoch's, ``stake`` (V,) shares of all.
    """

    epoch: int
    rng: np.random.Generator
    rows: Uids
    members: Uids
    miners: Uids
    judged: Floats
    stake: Floats
    consensus: Floats
    published: Callable[[int], Floats | None]


@dataclass
class Actor:
    """A group of neurons that does honest work, and the base of those that don't.

    ``miners`` and ``validators`` are how many neurons it has; ``stake`` is its validators' share of all stake, evenly
    divided. ``skill`` (0..1) is what its miners are able to do, on average; None: as the honest.
    """

    miners: int = 0
    validators: int = 0
    stake: float = 0.0
    skill: float | None = None

    after_others: ClassVar[bool] = False
    """Whether its miners answer when the others' answers are there to see."""

    def __post_init__(self) -> None:
        if self.miners < 0 or self.validators < 0 or self.miners + self.validators == 0:
            raise ValueError("miners and validators can't be negative, and there must be one")
        if not 0 <= self.stake < 1:
            raise ValueError(f"stake is {self.stake}, expected a share of all: 0 <= stake < 1")
        if bool(self.validators) != bool(self.stake):
            raise ValueError("validators and stake go together")
        if self.skill is not None and not 0 <= self.skill <= 1:
            raise ValueError(f"skill is {self.skill}, expected 0..1")

    @property
    def looks_back(self) -> int:
        """The largest ``late`` that its validators ask :attr:`Seen.published` for, in epochs."""
        return 0

    def start(self, validators: int, miners: int, pool: int, rng: np.random.Generator) -> None:
        """Called once before the first epoch, with the whole subnet's sizes."""

    def answer(self, asked: Asked) -> Answers:
        """Answers (V, m, K) of its miners; NaN where none is given."""
        return asked.attempt()

    def elapse(self, asked: Asked, usual: Answers) -> Answers:
        """Seconds (m,) until its miners answer; ``usual`` (m,) is how long the work takes."""
        return usual

    def weigh(self, seen: Seen) -> Floats:
        """Weights (v, N) of its validators, not negative; any scale."""
        return seen.judged

    def honestly(self) -> Actor:
        """Who would sit there if it were honest: its gain is measured against that."""
        return Actor(self.miners, self.validators, self.stake)

    @property
    def begins(self) -> int:
        """The epoch in which it stops being honest."""
        return 0

    @property
    def name(self) -> str:
        """As the table calls it: ``WeightCopier`` is weight-copier."""
        return kebab(type(self).__name__)

    def described(self) -> str:
        """Its name and the settings that aren't the class's own."""
        changed = [
            f"{f.name}={getattr(self, f.name)}" for f in fields(self) if f.init and getattr(self, f.name) != f.default
        ]
        return f"{self.name}({', '.join(changed)})" if changed else self.name


@dataclass
class Honest(Actor):
    """Honest work. ``skill`` differs from miner to miner by ``spread`` and in time by ``drift`` (both standard
    deviations); ``memory`` (0..1) is how much of the drift is still there an epoch later."""

    skill: float | None = 0.7
    spread: float = 0.1
    drift: float = 0.05
    memory: float = 0.9

    def __post_init__(self) -> None:
        if self.spread < 0 or self.drift < 0 or not 0 <= self.memory < 1:
            raise ValueError("spread and drift can't be negative, memory is in 0..1")
        if self.skill is None or not 0 <= self.skill <= 1:
            raise ValueError(f"skill is {self.skill}, expected 0..1")

    def honestly(self) -> Actor:
        return self


def kebab(name: str) -> str:
    """``WeightCopier`` as weight-copier."""
    return "".join(f"-{c.lower()}" if c.isupper() and i else c.lower() for i, c in enumerate(name))
