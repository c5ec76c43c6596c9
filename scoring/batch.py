"""Many Yuma epochs at once, on dense arrays: for sweeps and for long simulations.

:func:`epochs` takes a :class:`DenseInput`, whose vectors are (..., n) and whose matrices (..., r, n): any leading
axes are epochs that know nothing of each other, computed together; none is a single epoch. It
runs the same steps as :func:`subnet.scoring.yuma.epoch`, in either arithmetic, without the storage
maps: no entry is looked up, sorted or listed, so that 64 validators x 1,024 miners take about a
millisecond in float64. An epoch after another is ``replace(state, bonds=out.bonds)``::

    state = DenseInput(stake=stake, weights=weights, bonds=np.zeros(weights.shape, np.uint16))
    for _ in range(1000):
        out = epochs(state, rules)
        state = replace(state, weights=next_weights(out), bonds=out.bonds)

Bonds are cut to u16 between epochs, as on the chain.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from subnet.scoring import live, stakes
from subnet.scoring.arithmetic import Arithmetic, Integers, Variant
from subnet.scoring.dense import Ballot, run
from subnet.scoring.epoch import Bools, EpochParams, Shares
from subnet.scoring.stakes import Voters
from subnet.scoring.yuma import arithmetic, vectors_of

CELLS = 1 << 16
"""Cells of a matrix that are computed together: what a core's cache holds of the dozen that are alive."""

_LEFT_OUT: Any = None

U16s = npt.NDArray[np.uint16]
U64s = npt.NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class DenseInput:
    """Subnets of n neurons at one block, of which the r in ``uids`` may have weights and bonds.

    ``stake`` (..., n) int64 is RAO: alpha and root TAO times TaoWeight. ``weights`` (..., r, n) are u16 as
    stored (0: none), or, for the fast form, any numbers that aren't negative: rows are normalised. ``bonds``
    (..., r, n) are u16 as stored. ``uids`` (r,) int64 ascend; left out, they are 0..r-1.

    The rest may be left out. ``block``; ``last_update`` and ``block_at_registration`` (..., n), blocks: all
    updated at ``block`` and registered at 0. ``validator_permit`` (..., n), the stored permits: the rows'.
    ``last_step_block``: head's LastMechansimStepBlock (sic). ``rao_emission``: RAO, one or (...,) of them.

    Raises ValueError for shapes that don't fit, a negative number, a value that is no u16, or a stake
    of 2**63 - 1 and more.
    """

    stake: Integers
    weights: npt.NDArray[Any]
    bonds: npt.NDArray[Any]
    uids: Integers = _LEFT_OUT
    block: int = 1_000_000
    last_update: Integers = _LEFT_OUT
    block_at_registration: Integers = _LEFT_OUT
    validator_permit: Bools = _LEFT_OUT
    last_step_block: int | None = None
    rao_emission: Any = 0

    def __post_init__(self) -> None:
        shape = np.shape(self.stake)
        rows = np.shape(self.weights)[-2:-1]
        if not shape or not rows or rows[0] > shape[-1]:
            raise ValueError(f"stake has shape {shape}, weights {np.shape(self.weights)}: not (..., n) and (..., r, n)")
        _set(self, "stake", _whole("stake", self.stake, shape))
        _set(self, "uids", _uids(self.uids, rows[0], shape[-1]))
        for name, left_out in (("last_update", self.block), ("block_at_registration", 0)):
            given = getattr(self, name)
            _set(self, name, _whole(name, left_out if given is None else given, shape))
        permits: Any = self.validator_permit
        if permits is _LEFT_OUT:
            permits = np.isin(np.arange(shape[-1]), self.uids)
        _set(self, "validator_permit", np.broadcast_to(np.asarray(permits, dtype=np.bool_), shape))
        for name in ("weights", "bonds"):
            matrix = np.asarray(getattr(self, name))
            if matrix.shape != (*shape[:-1], *rows, shape[-1]):
                raise ValueError(f"{name} has shape {matrix.shape}, expected {(*shape[:-1], *rows, shape[-1])}")
            _check_cells(name, matrix, whole=name == "bonds")
            _set(self, name, matrix)
        rao = np.asarray(self.rao_emission)
        if rao.dtype.kind not in "iu" or rao.min(initial=0) < 0:
            raise ValueError("rao_emission must hold whole numbers that aren't negative")
        _set(self, "rao_emission", np.broadcast_to(rao.astype(np.uint64), shape[:-1]))

    @property
    def n(self) -> int:
        """How many neurons each has."""
        return int(self.stake.shape[-1])

    def flat(self) -> DenseInput:
        """With one leading axis."""
        count = int(np.prod(self.stake.shape[:-1]))
        return self._map(lambda a, behind: a.reshape(count, *a.shape[a.ndim - behind :]))

    def part(self, which: slice) -> DenseInput:
        """Some of the epochs along the first axis."""
        return self._map(lambda a, behind: a[which])

    def _map(self, change: Any) -> DenseInput:
        out = object.__new__(DenseInput)
        for field in fields(self):
            value = getattr(self, field.name)
            behind = _BEHIND.get(field.name)
            _set(out, field.name, value if behind is None else change(value, behind))
        return out


_BEHIND = {
    "stake": 1,
    "last_update": 1,
    "block_at_registration": 1,
    "validator_permit": 1,
    "weights": 2,
    "bonds": 2,
    "rao_emission": 0,
}
"""Axes of each array that aren't leading ones."""


def _set(target: DenseInput, name: str, value: Any) -> None:
    object.__setattr__(target, name, value)


def _whole(name: str, values: Any, shape: tuple[int, ...]) -> Integers:
    array = np.asarray(values)
    if array.size and (array.dtype.kind not in "iu" or array.min() < 0 or array.max() >= 2**63 - 1):
        raise ValueError(f"{name} must hold whole numbers in 0 .. 2**63 - 2")
    try:
        return np.broadcast_to(array.astype(np.int64), shape)
    except ValueError:
        raise ValueError(f"{name} has shape {array.shape}, expected {shape}") from None


def _uids(uids: Any, rows: int, n: int) -> Integers:
    found = np.arange(rows) if uids is None else np.asarray(uids)
    if found.shape != (rows,) or found.dtype.kind not in "iu" or (np.diff(found.astype(np.int64)) <= 0).any():
        raise ValueError(f"uids must be {rows} ascending uids, one a row")
    if rows and not 0 <= found[0] <= found[-1] < n:
        raise ValueError(f"uids must be below n = {n}")
    return found.astype(np.int64)


def _check_cells(name: str, matrix: npt.NDArray[Any], *, whole: bool) -> None:
    kind = matrix.dtype.kind
    if kind not in ("iu" if whole else "iuf"):
        raise ValueError(f"{name} are {matrix.dtype}, expected u16")
    if matrix.dtype == np.uint16 or not matrix.size:
        return
    low, high = matrix.min(), matrix.max()
    # not (low >= 0), since NaN is neither
    if not low >= 0 or (high > 65535 if kind in "iu" else not np.isfinite(high)):
        raise ValueError(f"{name} must hold u16, or, for the fast form's weights, finite numbers that aren't negative")


@dataclass(frozen=True, eq=False)
class DenseOutput:
    """What the chain would store, as :class:`~subnet.scoring.epoch.EpochOutput` has it: vectors (..., n).

    ``bonds`` (..., r, n) u16 are the new ones.
    """

    stake_weight: U16s
    active: Bools
    consensus: U16s
    incentive: U16s
    dividends: U16s
    validator_trust: U16s
    rank: U16s
    trust: U16s
    pruning_scores: U16s
    validator_permit: Bools
    server_emission: U64s
    validator_emission: U64s
    emission: U64s
    bonds: U16s
    floats: Shares


def epochs(
    state: DenseInput, params: EpochParams | None = None, variant: Variant = "head", *, exact: bool = False
) -> DenseOutput:
    """Run the epochs of ``state``, each by itself, all with the same ``params``; pure, thread-safe.

    Each comes out as it would alone, to the bit in either form. In the exact form that is also what
    :func:`~subnet.scoring.yuma.epoch` gives; in float64 the two add in different orders. A weight of 0 is
    one that isn't there: rows that name a uid with an explicit zero, which liquid alpha lets decay, need
    :func:`~subnet.scoring.yuma.epoch`, and so does the commit-reveal mask.

    Raises ValueError for an unknown variant, and for weights that are no integers in the exact form.
    """
    m, rules = arithmetic(variant, exact=exact), params or EpochParams()
    if exact and state.weights.dtype.kind == "f":
        raise ValueError("the exact form takes weights as u16, not as floating-point numbers")
    if state.stake.ndim == 1:
        return _together(m, state, rules, variant)
    lead, flat = state.stake.shape[:-1], state.flat()
    parts = [_together(m, part, rules, variant) for part in _parts(flat)]
    return _joined(parts, lead)


def _parts(flat: DenseInput) -> Iterator[DenseInput]:
    count = max(1, CELLS // max(1, flat.weights[0].size)) if len(flat.stake) else 1
    for first in range(0, max(1, len(flat.stake)), count):
        yield flat.part(slice(first, first + count))


def _joined(parts: list[DenseOutput], lead: tuple[int, ...]) -> DenseOutput:
    def join(name: str, of: Any) -> Any:
        together = np.concatenate([getattr(part, name) for part in of]) if len(of) > 1 else getattr(of[0], name)
        return together.reshape(*lead, *together.shape[1:])

    shares = Shares(**{field.name: join(field.name, [part.floats for part in parts]) for field in fields(Shares)})
    vectors = {field.name: join(field.name, parts) for field in fields(DenseOutput) if field.name != "floats"}
    return DenseOutput(**vectors, floats=shares)


def _together(m: Arithmetic, state: DenseInput, rules: EpochParams, variant: Variant) -> DenseOutput:
    who = stakes.voters(
        state.stake,
        None,
        0,
        state.last_update,
        state.validator_permit,
        state.block,
        rules,
        owner_is_exempt=variant == "head",
    )
    dates = live.Dates(
        last_update=state.last_update,
        registered=state.block_at_registration,
        last_tempo=live.last_tempo(state.block, state.last_step_block, rules, variant),
    )
    ballot = Ballot(
        uids=state.uids,
        stake=who.stake,
        active_stake=who.active_stake,
        weights=live.weights(state.weights.astype(m.dtype), state.uids, rules, who.permitted, dates),
        bonds=live.bonds(state.bonds.astype(m.dtype), dates),
    )
    result = run(m, rules, variant, ballot)
    vectors = vectors_of(m, who, result)
    rao = state.rao_emission[..., None]
    return DenseOutput(
        **{name: m.to_u16(v) for name, v in vectors.items()},
        active=who.active,
        validator_permit=who.new_permits,
        pruning_scores=m.upscale(result.combined),
        server_emission=m.times(result.server, rao),
        validator_emission=m.times(result.validator, rao),
        emission=m.times(result.combined, rao),
        bonds=_stored_bonds(m.to_u16(result.bonds.share), state, variant, who),
        floats=Shares(**{name: m.to_float(v) for name, v in vectors.items()}),
    )


def _stored_bonds(new: U16s, state: DenseInput, variant: Variant, who: Voters) -> U16s:
    """New rows where the new permit is given; 293 leaves rows of those who never had one as they were."""
    given = who.new_permits[..., state.uids]
    if given.all():
        return new
    new *= given[..., None]
    if variant == "293":
        untouched = ~(given | who.permitted[..., state.uids])
        new += state.bonds.astype(np.uint16) * untouched[..., None]
    return new
