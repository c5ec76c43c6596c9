"""What one run leaves: a few numbers for each epoch and group (0 is the honest, then the attacks in their order)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from subnet.lab.actors import Uids
from subnet.lab.tasks import Floats

if TYPE_CHECKING:
    from subnet.lab.scenario import Playable
    from subnet.lab.settlement import Paid


@dataclass(frozen=True, eq=False)
class Run:
    """Arrays (T, G) of T epochs and G groups, shares of an epoch's emission where they are pay.

    ``server`` and ``validator`` are what was paid to a group's miners by incentive and to its validators by
    dividends; all of an epoch's together are 1. ``vtrust`` is its validators' validator trust, weighed by stake;
    ``seats`` how many miners it had; ``stake`` its share of all stake.
    ``failed_rounds`` is the share of the honest validators' rounds that ended in an error, where there are rounds.
    """

    server: Floats
    validator: Floats
    vtrust: Floats
    seats: Uids
    stake: Floats
    rows: Uids
    failed_rounds: float = 0.0

    @classmethod
    def empty(cls, scenario: Playable, groups: int) -> Run:
        shape = (scenario.epochs, groups)
        counts = [scenario.honest_validators, *(a.validators for a in scenario.attacks)]
        rows = np.repeat(np.arange(groups), counts)
        return cls(
            np.zeros(shape), np.zeros(shape), np.zeros(shape), np.zeros(shape, dtype=np.int64), np.zeros(shape), rows
        )

    def note(self, t: int, paid: Paid, owner: Uids, stake: Floats) -> None:
        """Add up epoch ``t`` by group; ``owner`` (M,) says whose each miner's seat is, ``stake`` is (V,)."""
        groups, validators = self.server.shape[1], self.rows.size
        whose = np.concatenate((self.rows, owner))
        self.server[t] = np.bincount(whose, paid.server, groups)
        self.validator[t] = np.bincount(whose, paid.validator, groups)
        self.seats[t] = np.bincount(owner, minlength=groups)
        self.stake[t] = held = np.bincount(self.rows, stake, groups)
        self.vtrust[t] = np.bincount(self.rows, stake * paid.vtrust[:validators], groups) / np.where(held > 0, held, 1)

    @property
    def income(self) -> Floats:
        """What each group was paid in each epoch (T, G), as a share of its emission."""
        return self.server + self.validator

    @property
    def honest_share(self) -> float:
        """The honest miners' part of all that was paid for work (incentive), 0..1; 1 where nothing was."""
        total = float(self.server.sum())
        return float(self.server[:, 0].sum()) / total if total else 1.0
