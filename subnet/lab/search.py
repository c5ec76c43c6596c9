"""The smallest stake at which an attack pays, by bisection over the stake's share.

"Pays" means that the mean gain over the first :data:`SEEDS` seeds is above zero. Every stake is tried under the same
ones, so that the answer is as steady as the dice allow; it assumes that more stake never makes an attack pay less.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from subnet.lab.scenario import Playable
from subnet.lab.trials import Trial, measure
from subnet.lab.workers import Workers

LOWEST, HIGHEST = 0.01, 0.95
TOLERANCE = 0.01
SEEDS = 3
"""How many seeds each stake is tried under, at most: the threshold is sharp, and the search is most of a simulation."""
STEPS = 2 + math.ceil(math.log2((HIGHEST - LOWEST) / TOLERANCE))
"""How many stakes are tried at the most."""


def smallest_stake(
    scenario: Playable, index: int, seeds: Sequence[int], workers: Workers, done: Callable[[], object] = lambda: None
) -> float:
    """The share of all stake from which attack ``index`` pays, to 0.01; 0.01 if it pays from there on, infinite if
    never.

    Stake of the other attacks stays as it is; what is left is honest.
    """
    tried_under = seeds[:SEEDS]
    highest = min(HIGHEST, 1 - 0.05 - (scenario.attacking_stake - scenario.attacks[index].stake))

    def pays(stake: float) -> bool:
        attacks = list(scenario.attacks)
        attacks[index] = replace(attacks[index], stake=stake)
        tried = scenario.but_with(attacks)
        outcomes = workers.map(measure, [Trial(tried, index, seed) for seed in tried_under], done)
        return float(np.mean([o.gain for o in outcomes])) > 0

    if highest <= LOWEST or pays(LOWEST):
        return LOWEST
    if not pays(highest):
        return math.inf
    low, high = LOWEST, highest
    while high - low > TOLERANCE:
        middle = (low + high) / 2
        low, high = (low, middle) if pays(middle) else (middle, high)
    return high
