"""The user's own Validator and Miner in the lab, unchanged: what is played, and how it is named.

::

    from subnet.lab import simulate
    from subnet.lab.live import LiveScenario, Recipe
    from subnet.lab.live_actors import Copier, Lazy

    scenario = LiveScenario(Recipe(DigitsValidator), [Recipe(DigitsMiner, {"half": "1"})], attacks=[Lazy(), Copier()])
    print(simulate(scenario, seeds=2, search=False)["copier"].gain)

A :class:`LiveScenario` goes where a :class:`subnet.lab.Scenario` does: :func:`subnet.lab.simulate` plays each attack
beside its honest counterpart and gives the same Report. What happens in a run is :mod:`subnet.lab.live_run`'s.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from subnet.errors import ConfigError, DeclarationError
from subnet.lab import live_actors as live
from subnet.lab.actors import Actor
from subnet.lab.actors_validators import Poisoner, SelfWeighting, WeightCopier
from subnet.lab.cast import make, parsed
from subnet.lab.scenario import Playable, check_seats
from subnet.lab.settings import converted
from subnet.loading import find
from subnet.miners import Miner
from subnet.scoring.yuma import EpochParams, Variant
from subnet.validators import Validator

if TYPE_CHECKING:
    from subnet.lab.record import Run

MAX_NEURONS: Final = 4096
MAX_ROUNDS: Final = 10_000_000
"""Rounds of all validators in all epochs."""

_CLASSES: Final[tuple[type[Actor], ...]] = (
    live.Lazy,
    live.Copier,
    live.Sybil,
    live.Sandbagger,
    live.ModelSwapper,
    live.Intermittent,
    live.Slow,
    live.PoisonedReplies,
    live.Cabal,
    WeightCopier,
    SelfWeighting,
    Poisoner,
)
LIVE_ATTACKS: Final[dict[str, type[Actor]]] = {kind().name: kind for kind in _CLASSES}


@dataclass(frozen=True)
class Recipe:
    """How a neuron is made: the user's class and its options, the command line's ``-o name=value``.

    The lab adds the option ``seed``, another one for each neuron and run, unless it stands here.
    """

    kind: type[Validator] | type[Miner]
    options: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str, base: type[Validator] | type[Miner]) -> Recipe:
        """``module:Class``, or ``module:Class=OPTION=VALUE,...``. Raises ConfigError or DeclarationError."""
        name, options = parsed(text)
        found = find(name, f"my_subnet:My{base.__name__}")
        if not isinstance(found, type) or not issubclass(found, base):
            raise DeclarationError(
                f"{name} is no {base.__name__}", remedy=f"Make it a subclass of subnet.{base.__name__}."
            )
        return cls(found, options)

    def make(self, seed: int) -> Any:
        """A new one. Raises what its class raises: ConfigError for an option, DeclarationError."""
        return self.kind({"seed": str(seed)} | dict(self.options))


@dataclass(frozen=True)
class LiveScenario(Playable):
    """What is played. An epoch is one tempo, in which each validator makes ``rounds`` rounds.

    ``validator`` judges in every validator's seat (what an attack's validators make of it is theirs), and the
    recipes of ``miner`` sit in the miners' seats by turns, an attack's too: there they are what it would be if it were
    honest. ``attacks`` sit on the highest uids of ``validators`` and ``miners``. ``latency`` is the median of the
    seconds until a request has arrived (log-normal, sigma 0.5); computing takes no virtual time, but ``time.sleep``
    does. With ``receipts`` replies are signed and checked. ``reveal``, ``skew``, ``params`` and ``variant`` are as in
    :class:`subnet.lab.Scenario`. Raises ConfigError for what can't be played.
    """

    validator: Recipe
    miner: Sequence[Recipe]
    attacks: Sequence[Actor] = ()
    validators: int = 3
    miners: int = 8
    epochs: int = 20
    rounds: int = 1
    reveal: int = 0
    skew: float = 0.0
    latency: float = 0.1
    receipts: bool = False
    params: EpochParams = field(default_factory=EpochParams)
    variant: Variant = "head"

    def __post_init__(self) -> None:
        rules = {
            f"epochs is {self.epochs}, expected 1..100,000": 1 <= self.epochs <= 100_000,
            f"rounds is {self.rounds}, expected 1..100,000": 1 <= self.rounds <= 100_000,
            f"validators is {self.validators}, expected 1..64": 1 <= self.validators <= 64,
            f"miners is {self.miners}, expected 1..{MAX_NEURONS}": 1 <= self.miners <= MAX_NEURONS,
            f"reveal is {self.reveal}, expected 0..100 tempos": 0 <= self.reveal <= 100,
            f"skew is {self.skew}, expected 0 or more": 0 <= self.skew < math.inf,
            f"latency is {self.latency}, expected seconds, 0 or more": 0 <= self.latency < math.inf,
            f"variant is {self.variant!r}, expected head or 293": self.variant in ("head", "293"),
            "there is no miner, expected at least one recipe": len(self.miner) > 0,
            f"{self.validators} x {self.epochs} x {self.rounds} rounds are more than {MAX_ROUNDS:,}": (
                self.validators * self.epochs * self.rounds <= MAX_ROUNDS
            ),
        }
        for wrong, holds in rules.items():
            if not holds:
                raise ConfigError(wrong)
        for attack in self.attacks:
            if attack.miners and not isinstance(attack, live.LiveActor):
                raise ConfigError(
                    f"{attack.name} answers with arrays, and here miners answer with messages",
                    remedy=f"Known here: {', '.join(LIVE_ATTACKS)}; your own is a subnet.lab.live_actors.LiveActor.",
                )
            check_seats(self, [attack])

    @property
    def title(self) -> str:
        return self.validator.kind.__name__

    @property
    def honest(self) -> bool:
        """Whether nobody in it deviates."""
        return all(type(one) in (Actor, live.LiveActor) for one in self.attacks)

    def play(self, seed: int, progress: Callable[[], object] | None = None) -> Run:
        from subnet.lab.live_run import run

        if self.honest and progress is None:
            return _remembered(_Named(repr(self), self), seed)  # many attacks have the same counterpart
        return run(self, seed, progress)


class _Named:
    """A scenario under its name, so that a cache can hold it."""

    def __init__(self, name: str, scenario: LiveScenario) -> None:
        self.name, self.scenario = name, scenario

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Named) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)


@lru_cache(maxsize=64)
def _remembered(named: _Named, seed: int) -> Run:
    from subnet.lab.live_run import run

    return run(named.scenario, seed)


def zoo() -> list[Actor]:
    """One of each attack, as it is by default; the lazy in its three ways."""
    lazy: list[Actor] = [live.Lazy(how=how) for how in ("random", "constant", "cached")]
    return lazy + [kind() for kind in _CLASSES[1:]]


def parse_attack(text: str) -> Actor:
    """``NAME``, ``NAME=PARAM=VALUE,...``, or ``module:Class=...`` of an actor or another Miner. Raises ConfigError."""
    name, values = parsed(text)
    return attack_of(name, values, strict=False)


def attack_of(name: str, values: Mapping[str, Any], *, strict: bool) -> Actor:
    """The attack of this name with these settings; those of a Miner are its options, but for ``miners``."""
    if ":" in name:
        found = find(name, "zoo:MyAttack")
        if isinstance(found, type) and issubclass(found, Miner):
            options = {key: str(value) for key, value in values.items() if key != "miners"}
            given = {key: value for key, value in values.items() if key == "miners"}
            return live.OwnMiner(**converted(live.OwnMiner, given, name, strict=strict), kind=found, options=options)
    return make(name, values, strict=strict, known=LIVE_ATTACKS)
