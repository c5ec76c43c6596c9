"""What a simulation found, with how sure it is: one :class:`Verdict` an attack, all of them in a :class:`Report`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from subnet.lab.tasks import Floats
from subnet.lab.trials import Outcome
from subnet.scoring.intervals import bootstrap

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and its bootstrap interval of 95%; of one seed the interval is the mean itself."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Estimate:
        """By the percentile bootstrap (Efron 1979)."""
        sample = np.asarray(values, dtype=np.float64)
        mean = float(sample.mean())
        if sample.size < 2 or not np.isfinite(sample).all():
            return cls(mean, mean, mean)
        return cls(*bootstrap(sample, confidence=CONFIDENCE, method="percentile", resamples=9999))

    def as_dict(self) -> dict[str, float | None]:
        return {"mean": finite(self.mean), "low": finite(self.low), "high": finite(self.high)}


@dataclass(frozen=True, eq=False)
class Verdict:
    """One attack over all seeds; the fields are those of :class:`subnet.lab.trials.Outcome`.

    ``detection`` is the median over seeds. ``smallest_stake`` is the share of all stake from which the attack pays,
    infinite if it never does, None if it has no validators or was not searched. ``paid``, ``honest`` and
    ``honest_series`` are means over seeds.
    """

    attack: str
    honest_share: Estimate
    gain: Estimate
    harm: Estimate
    detection: float
    vtrust: Estimate
    own_vtrust: float
    smallest_stake: float | None
    paid: Floats
    honest: Floats
    honest_series: Floats
    failed_rounds: float = 0.0

    @classmethod
    def of(cls, attack: str, outcomes: Sequence[Outcome], smallest_stake: float | None) -> Verdict:
        def estimate(value: Callable[[Outcome], float]) -> Estimate:
            return Estimate.of([value(o) for o in outcomes])

        return cls(
            attack=attack,
            honest_share=estimate(lambda o: o.honest_share),
            gain=estimate(lambda o: o.gain),
            harm=estimate(lambda o: o.harm),
            detection=float(np.quantile([o.detection for o in outcomes], 0.5, method="higher")),
            vtrust=estimate(lambda o: o.vtrust),
            own_vtrust=float(np.mean([o.own_vtrust for o in outcomes])),
            smallest_stake=smallest_stake,
            paid=np.mean([o.paid for o in outcomes], axis=0),
            honest=np.mean([o.honest for o in outcomes], axis=0),
            honest_series=np.mean([o.honest_series for o in outcomes], axis=0),
            failed_rounds=float(np.mean([o.failed_rounds for o in outcomes])),
        )

    @property
    def pays(self) -> bool:
        """Whether the whole interval of the gain is above 0."""
        return self.gain.low > 0

    def as_dict(self) -> dict[str, Any]:
        """For JSON: what never happens is null."""
        return {
            "attack": self.attack,
            "pays": self.pays,
            **{name: getattr(self, name).as_dict() for name in ("honest_share", "gain", "harm", "vtrust")},
            "own_vtrust": finite(self.own_vtrust),
            "detection_epochs": finite(self.detection),
            "smallest_stake": finite(self.smallest_stake),
            "failed_rounds": self.failed_rounds,
        }


@dataclass(frozen=True, eq=False)
class Report:
    """All verdicts, worst first by gain, and what was played."""

    verdicts: tuple[Verdict, ...]
    rule: str
    validators: int
    miners: int
    epochs: int
    seeds: tuple[int, ...]
    reveal: int

    def __getitem__(self, attack: str) -> Verdict:
        """The first verdict whose attack is called so (``cabal``); KeyError if there is none."""
        for verdict in self.verdicts:
            if attack in (verdict.attack, verdict.attack.partition("(")[0]):
                return verdict
        raise KeyError(attack)

    def as_dict(self) -> dict[str, Any]:
        """As ``subnet simulate --json`` prints it."""
        return {
            "rule": self.rule,
            "validators": self.validators,
            "miners": self.miners,
            "epochs": self.epochs,
            "seeds": list(self.seeds),
            "commit_reveal_tempos": self.reveal,
            "attacks": [verdict.as_dict() for verdict in self.verdicts],
        }


def finite(value: float | None) -> float | None:
    """JSON has no infinity and no NaN: null."""
    return value if value is not None and math.isfinite(value) else None
