"""The lab: a scoring rule against a zoo of attackers, on a virtual clock.

::

    from subnet.lab import Cabal, Round, Scenario, WeightCopier, simulate

    def score(seen: Round):
        return 1 / (1 + abs(seen.errors).mean(axis=2))

    report = simulate(Scenario(rule=score, attacks=[Cabal(stake=0.3), WeightCopier()], reveal=2), seeds=5)
    print(report["cabal"].gain, report["weight-copier"].pays)

A :class:`Scenario` says who takes part, :func:`simulate` plays it (:mod:`subnet.lab.engine`), and a :class:`Report`
says which attacks pay. ``docs/how-to/attack-your-subnet.md`` goes through it.
"""

from subnet.lab.actors import Actor, Asked, Honest, Seen
from subnet.lab.actors_miners import Copier, Intermittent, Lazy, ModelSwapper, Overfitter, Sandbagger, Slow, Sybil
from subnet.lab.actors_validators import Cabal, Poisoner, SelfWeighting, WeightCopier
from subnet.lab.cast import ATTACKS, zoo
from subnet.lab.gates import Gate, check
from subnet.lab.report import Estimate, Report, Verdict
from subnet.lab.rules import Round, accuracy
from subnet.lab.scenario import Scenario
from subnet.lab.simulate import simulate
from subnet.lab.tasks import Labels, Numbers, Task

__all__ = [
    "ATTACKS",
    "Actor",
    "Asked",
    "Cabal",
    "Copier",
    "Estimate",
    "Gate",
    "Honest",
    "Intermittent",
    "Labels",
    "Lazy",
    "ModelSwapper",
    "Numbers",
    "Overfitter",
    "Poisoner",
    "Report",
    "Round",
    "Sandbagger",
    "Scenario",
    "Seen",
    "SelfWeighting",
    "Slow",
    "Sybil",
    "Task",
    "Verdict",
    "WeightCopier",
    "accuracy",
    "check",
    "simulate",
    "zoo",
]
