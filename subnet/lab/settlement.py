"""The chain's side of the lab: weights go in, are revealed when their time has come, and Yuma consensus pays.

Block ``(t + 1) * tempo`` runs epoch t; weights of epoch t are set (or committed) in the block before, miners register
in the block after the last epoch. Of N = V + M neurons the V validators come first; matrices are (V, N).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from subnet.lab.actors import Uids
from subnet.lab.tasks import Floats
from subnet.scoring.batch import DenseInput, epochs
from subnet.scoring.yuma import EpochParams, Variant

U16 = 65535
STAKE = 10**15
"""RAO that all stake together is at the beginning."""


@dataclass(frozen=True, eq=False)
class Paid:
    """What one epoch paid, as shares of its emission (N,): ``server`` by incentive, ``validator`` by dividends.
    Together 1."""

    server: Floats
    validator: Floats
    incentive: Floats
    consensus: Floats
    vtrust: Floats


class Settlement:
    """Weights, bonds, stake and registrations of one subnet."""

    def __init__(
        self, stake: Floats, miners: int, params: EpochParams, variant: Variant, *, reveal: int, history: int
    ) -> None:
        self.validators, self.n = stake.size, stake.size + miners
        self.stake = stake  # (V,) shares of all stake at the beginning
        self.consensus = np.zeros(self.n)
        self.incentive = np.zeros(self.n)
        self._params, self._variant, self._reveal = params, variant, reveal
        self._epoch = 0
        self._registered = np.zeros(self.n, dtype=np.int64)
        self._permit = np.arange(self.n) < self.validators
        self._bonds = np.zeros((self.validators, self.n), dtype=np.uint16)
        self._committed: deque[npt.NDArray[np.uint16]] = deque(maxlen=reveal + history + 1)

    @property
    def _block(self) -> int:
        return (self._epoch + 1) * self._params.tempo

    def register(self, uids: Uids) -> None:
        """Give seats to new miners: their bonds and the weights that were set for who sat there before are gone."""
        self._registered[uids] = self._block - self._params.tempo + 1
        self.incentive[uids] = self.consensus[uids] = 0.0

    def published(self, late: int) -> Floats | None:
        """The newest weights (V, N) that can be read before this epoch's are all set, or those ``late`` epochs
        older."""
        back = self._reveal + late
        return self._committed[-1 - back].astype(np.float64) if back < len(self._committed) else None

    def commit(self, weights: Floats) -> None:
        """Take this epoch's weights (V, N), each row upscaled to u16; :meth:`amend` may still replace rows."""
        self._committed.append(_upscaled(weights))

    def amend(self, rows: Uids, weights: Floats) -> None:
        """Replace rows of what was committed last."""
        self._committed[-1][rows] = _upscaled(weights)

    def settle(self) -> Paid:
        """Run the epoch on the weights that have been revealed by now, and go on to the next."""
        out = epochs(
            DenseInput(
                stake=self._rao(),
                weights=self._revealed(),
                bonds=self._bonds,
                block=self._block,
                last_update=np.full(self.n, self._block - 1),  # of the last commit
                block_at_registration=self._registered,
                validator_permit=self._permit,
            ),
            self._params,
            self._variant,
        )
        self._bonds, self._permit = out.bonds, out.validator_permit
        self._epoch += 1
        shares = out.floats
        server, validator = _shared(shares.incentive, shares.dividends, shares.stake_weight)
        self.consensus, self.incentive = shares.consensus, shares.incentive
        return Paid(server, validator, shares.incentive, shares.consensus, shares.validator_trust[: self.validators])

    def _revealed(self) -> npt.NDArray[np.uint16]:
        """What counts of the weights that are revealed by now: nothing for who registered after they were committed."""
        if self._reveal >= len(self._committed):
            return np.zeros_like(self._bonds)
        weights = self._committed[-1 - self._reveal]
        newer = self._registered > self._block - 1 - self._reveal * self._params.tempo
        return np.where(newer, np.uint16(0), weights) if newer.any() else weights

    def _rao(self) -> npt.NDArray[np.int64]:
        rao = np.zeros(self.n, dtype=np.int64)
        rao[: self.validators] = self.stake * STAKE
        return rao


def _upscaled(weights: Floats) -> npt.NDArray[np.uint16]:
    """Each row so that its largest is 65535, as a validator sends it; NaN and negative count as 0."""
    positive = np.where(weights > 0, weights, 0.0)
    largest = positive.max(axis=1, keepdims=True)
    positive *= U16 / np.where(largest == 0, 1.0, largest)
    return np.rint(positive).astype(np.uint16)


def _shared(incentive: Floats, dividends: Floats, stake: Floats) -> tuple[Floats, Floats]:
    """Of one epoch's emission: what goes to servers and to validators; all by stake where nobody earned anything."""
    total = incentive.sum() + dividends.sum()
    if total == 0:
        return np.zeros_like(incentive), stake / stake.sum()
    return incentive / total, dividends / total
