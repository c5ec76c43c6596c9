"""Was everybody paid for what their forecasts were worth, and was the network as good as it should be?

Pure functions of a :class:`~subnet.demo.forecast_record.ForecastRecord`, as :mod:`subnet.demo.checks` of the digits'.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from subnet.demo.checks import Check, above, books_agree, epochs_passed, in_alpha, percent
from subnet.demo.forecast_record import ForecastRecord, Step
from subnet.demo.record import Actor, Role

MODEL_OVER_NAIVE = 3.0  # each model earns at least so many times what the naive miner does
COPIER_BELOW = 0.05  # a copier earns at most this part of what the one it copies does
USELESS_BELOW = 0.3  # a forecaster who guesses, of what the models earn on average
WARM_UP = 5  # steps before the network knows anybody
NEAR_BEST = 1.15  # the network's RMSE against that of the best single miner, known afterwards
COVERED = 0.8  # part of the truths within the 95% interval; few steps leave chance some room
REPORTED = 0.8  # part of the steps in which both validators' losses counted


def run(record: ForecastRecord) -> list[Check]:
    """All checks, in the order in which they are shown."""
    (naive,) = record.of_role(Role.WEAK)
    return [
        epochs_passed(record),
        *[above(record, model, naive, MODEL_OVER_NAIVE) for model in record.of_role(Role.GOOD)],
        *[_copier_gains_nothing(record, copier) for copier in record.of_role(Role.COPIER)],
        *[_useless_below_models(record, useless) for useless in record.of_role(Role.USELESS)],
        *_network(record),
        _reports(record),
        books_agree(record),
    ]


def rmse(steps: Sequence[Step], miner: str | None = None) -> float:
    """Root mean squared error of a miner's inferences, or the network's forecasts, in °C; NaN where it has none."""
    errors = []
    for step in steps:
        value = step.value if miner is None else step.inferences.get(miner)
        if value is not None and step.truth is not None:
            errors.append((value - step.truth) ** 2)
    return math.sqrt(sum(errors) / len(errors)) if errors else math.nan


def _copier_gains_nothing(record: ForecastRecord, copier: Actor) -> Check:
    mine, theirs = record.emission(copier.name), record.emission(copier.copies)
    return Check(
        f"{copier.name} gains nothing",
        theirs > 0 and mine <= COPIER_BELOW * theirs,
        f"{in_alpha(mine)} against {copier.copies}'s {in_alpha(theirs)}: "
        f"{percent(mine, theirs)} (at most {COPIER_BELOW:.0%})",
    )


def _useless_below_models(record: ForecastRecord, useless: Actor) -> Check:
    models = record.of_role(Role.GOOD)
    usual = sum(record.emission(model.name) for model in models) // len(models)
    mine = record.emission(useless.name)
    return Check(
        f"{useless.name} forecasts earn little",
        usual > 0 and mine <= USELESS_BELOW * usual,
        f"{in_alpha(mine)} against a model's {in_alpha(usual)}: {percent(mine, usual)} (at most {USELESS_BELOW:.0%})",
    )


def _network(record: ForecastRecord) -> list[Check]:
    steps = record.settled()[WARM_UP:]
    network = rmse(steps)
    each = {a.name: rmse(steps, a.name) for a in record.miners if a.role in (Role.GOOD, Role.WEAK)}
    known = {name: error for name, error in each.items() if not math.isnan(error)}
    if not known or math.isnan(network):
        return [Check("network forecast", False, "no forecasts to judge")]
    best = min(known, key=known.__getitem__)
    within = [s.interval[0] <= s.truth <= s.interval[-1] for s in steps if s.interval and s.truth is not None]
    covered = sum(within) / max(len(within), 1)
    return [
        Check(
            "network near the best",
            network <= NEAR_BEST * known[best],
            f"RMSE {network:.3f} °C; the best single miner, {best}, {known[best]:.3f} (at most x{NEAR_BEST:g})",
        ),
        Check(
            "95% interval holds the truth",
            covered >= COVERED,
            f"in {sum(within)} of {len(within)} steps (at least {COVERED:.0%})",
        ),
    ]


def _reports(record: ForecastRecord) -> Check:
    steps = [step for validator in record.of_role(Role.VALIDATOR) for step in record.settled(validator.name)]
    wanted = len(record.of_role(Role.VALIDATOR))
    both = sum(step.reputers >= wanted for step in steps)
    return Check(
        "validators hear each other's losses",
        bool(steps) and both >= REPORTED * len(steps),
        f"in {both} of {len(steps)} steps (at least {REPORTED:.0%})",
    )
