"""Which weights and bonds count in an epoch: of permitted rows, and on neurons that were there in time.

Matrices are (..., r, n), vectors (..., n), ``uids`` (r,) the rows' uids. They are changed in place; masks of
bool go through as numbers do.

Source: ``epoch`` and ``epoch_mechanism`` of github.com/opentensor/subtensor, pallets/subtensor/src/epoch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from subnet.scoring.arithmetic import Integers, Variant
from subnet.scoring.epoch import Bools, EpochParams

Matrix = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Dates:
    """Blocks that decide it. ``last_tempo``: of the epoch before; ``oldest_commit``: None without the mask."""

    last_update: Integers
    registered: Integers
    last_tempo: int
    oldest_commit: Integers | None = None


def last_tempo(block: int, last_step_block: int | None, rules: EpochParams, variant: Variant) -> int:
    """The block of the epoch before ``block``."""
    if variant == "head" and last_step_block:
        return last_step_block + 1
    return max(block - rules.tempo, 0)


def weights(matrix: Matrix, uids: Integers, rules: EpochParams, permitted: Bools, dates: Dates) -> Matrix:
    """Those of permitted rows, off the diagonal (but the owner's), to neurons that were there when they were set."""
    own = np.flatnonzero(uids != (-1 if rules.owner_uid is None else rules.owner_uid))
    matrix[..., own, uids[own]] = 0
    if not permitted[..., uids].all():
        matrix *= permitted[..., uids][..., None]
    updated, registered = dates.last_update[..., uids], dates.registered
    if updated.min(initial=_NEVER) <= registered.max(initial=-1):
        matrix *= updated[..., None] > registered[..., None, :]
    if dates.oldest_commit is not None:
        matrix *= dates.oldest_commit[..., uids][..., None] >= registered[..., None, :]
    return matrix


_NEVER = 2**63 - 1


def bonds(matrix: Matrix, dates: Dates) -> Matrix:
    """Those on neurons that were there in the epoch before."""
    stays = dates.registered < dates.last_tempo
    if not stays.all():
        matrix *= stays[..., None, :]
    return matrix
