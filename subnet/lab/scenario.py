"""A :class:`Scenario`: one subnet with its rule, its honest part and the attacks on it, ready to be run."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

from subnet.errors import ConfigError
from subnet.lab.actors import Actor, Honest
from subnet.lab.rules import Rule, accuracy
from subnet.lab.tasks import Numbers, Task
from subnet.scoring.yuma import EpochParams, Variant

if TYPE_CHECKING:
    from subnet.lab.record import Run

MAX_CELLS = 2**26
"""Answers of one epoch, at most: validators x miners x questions."""
MAX_EPOCHS = 100_000
MAX_HISTORY = 2**28
"""Weights of past epochs that are kept, at most: validators x neurons x epochs."""


class Playable(ABC):
    """What can be simulated: some honest neurons and some attacks in one subnet. Subclasses are frozen dataclasses."""

    attacks: Sequence[Actor]
    validators: int
    miners: int
    epochs: int
    reveal: int

    @property
    @abstractmethod
    def title(self) -> str:
        """What is judged by."""

    @abstractmethod
    def play(self, seed: int, progress: Callable[[], object] | None = None) -> Run:
        """One run; the same seed gives the same. ``progress`` is called after each epoch."""

    def check_together(self) -> None:
        """Raise ConfigError unless all attacks fit into one subnet, beside somebody honest."""
        check_seats(self, self.attacks)

    @property
    def honest_miners(self) -> int:
        return self.miners - sum(a.miners for a in self.attacks)

    @property
    def honest_validators(self) -> int:
        return self.validators - sum(a.validators for a in self.attacks)

    @property
    def attacking_stake(self) -> float:
        return math.fsum(a.stake for a in self.attacks)

    def but_with(self, attacks: Sequence[Actor]) -> Self:
        """The same with other attacks."""
        return replace(self, attacks=attacks)  # type: ignore[type-var]

    def but_honest(self, index: int) -> Self:
        """The same with attack ``index`` replaced by honest neurons on its seats and stake."""
        attacks = list(self.attacks)
        attacks[index] = attacks[index].honestly()
        return self.but_with(attacks)

    def with_only(self, index: int) -> Self:
        """The same with attack ``index`` alone; the others' seats are honest."""
        return self.but_with([self.attacks[index]])


@dataclass(frozen=True)
class Scenario(Playable):
    """What is played. An epoch is one tempo.

    ``rule`` scores (:mod:`subnet.lab.rules`); ``attacks`` sit on the highest uids of ``validators`` and ``miners``,
    honest neurons on the rest. ``questions`` are asked by each validator of each miner an epoch, drawn from ``pool``
    (0: always new). ``alpha`` is the weight of the new in the moving score. ``reveal`` is the commit-reveal period in
    tempos; 0: off. ``registrations`` is how many miners register an epoch, on average: each takes the seat of the one
    that earned least and is past ``immunity`` epochs. ``skew`` is the exponent of Zipf's law over the honest
    validators' stake (0: equal). ``growth`` is what validators are paid in an epoch and keep as stake, as a share of
    all stake. ``timeout`` is in seconds. ``params`` and ``variant`` are the chain's. Raises ConfigError for what
    can't be played.
    """

    rule: Rule = accuracy
    attacks: Sequence[Actor] = ()
    honest: Honest = field(default_factory=Honest)
    task: Task = field(default_factory=Numbers)
    validators: int = 16
    miners: int = 64
    epochs: int = 200
    questions: int = 4
    pool: int = 0
    alpha: float = 0.1
    reveal: int = 0
    registrations: float = 0.0
    immunity: int = 10
    skew: float = 0.0
    growth: float = 0.0
    timeout: float = 10.0
    params: EpochParams = field(default_factory=EpochParams)
    variant: Variant = "head"

    def __post_init__(self) -> None:
        rules = {
            f"epochs is {self.epochs}, expected 1..{MAX_EPOCHS:,}": 1 <= self.epochs <= MAX_EPOCHS,
            f"validators is {self.validators}, expected 1..4096": 1 <= self.validators <= 4096,
            f"miners is {self.miners}, expected 1..65535": 1 <= self.miners <= 65535 - self.validators,
            f"questions is {self.questions}, expected at least 1": self.questions >= 1,
            f"pool is {self.pool}, expected 0..{MAX_CELLS:,}": 0 <= self.pool * self.miners <= MAX_CELLS,
            f"alpha is {self.alpha}, expected 0 < alpha <= 1": 0 < self.alpha <= 1,
            f"reveal is {self.reveal}, expected 0..100 tempos": 0 <= self.reveal <= 100,
            f"registrations is {self.registrations}, expected 0 or more": 0 <= self.registrations < self.miners,
            f"immunity is {self.immunity}, expected 0 or more epochs": self.immunity >= 0,
            f"skew is {self.skew}, expected 0 or more": 0 <= self.skew < math.inf,
            f"growth is {self.growth}, expected 0..1": 0 <= self.growth <= 1,
            f"timeout is {self.timeout}, expected seconds above 0": 0 < self.timeout < math.inf,
            f"variant is {self.variant!r}, expected head or 293": self.variant in ("head", "293"),
        }
        for wrong, holds in rules.items():
            if not holds:
                raise ConfigError(wrong)
        if self.validators * self.miners * self.questions > MAX_CELLS:
            raise ConfigError(
                f"{self.validators} x {self.miners} x {self.questions} answers an epoch are more than {MAX_CELLS:,}",
                remedy="Ask fewer questions, or of fewer miners.",
            )
        kept = 1 + self.reveal + max((a.looks_back for a in self.attacks), default=0)
        if kept * self.validators * (self.validators + self.miners) > MAX_HISTORY:
            raise ConfigError(
                f"{kept} epochs of weights of {self.validators} validators are too many to keep",
                remedy="Shorten the reveal period or the attack's look back, or make the subnet smaller.",
            )
        for attack in self.attacks:
            check_seats(self, [attack])

    @property
    def title(self) -> str:
        return getattr(self.rule, "__name__", type(self.rule).__name__)

    def play(self, seed: int, progress: Callable[[], object] | None = None) -> Run:
        from subnet.lab.engine import run

        return run(self, seed, progress)


def check_seats(scenario: Playable, attacks: Sequence[Actor]) -> None:
    """Raise ConfigError unless these attacks leave somebody honest in the scenario's seats."""
    miners, validators = sum(a.miners for a in attacks), sum(a.validators for a in attacks)
    if miners >= scenario.miners or validators >= scenario.validators:
        raise ConfigError(
            f"{', '.join(a.name for a in attacks)}: {miners} of {scenario.miners} miners and {validators} of "
            f"{scenario.validators} validators; nobody honest is left",
            remedy="Give the subnet more --miners and --validators, or the attack fewer.",
        )
    stake = math.fsum(a.stake for a in attacks)
    if stake >= 1:
        raise ConfigError(f"the attacks hold {stake:.3g} of all stake", remedy="Keep it below 1.")
