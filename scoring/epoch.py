"""What goes into a Yuma epoch and what comes out of it, under the chain's names and in its units.

``EpochInput`` (state of a subnet at one block) and ``EpochParams`` (its hyperparameters, as
raw storage integers) go into :func:`subnet.scoring.yuma.epoch`; ``EpochOutput`` comes back:
the integers that the chain stores, with the same shares as floats beside them. Matrices
(Weights, Bonds) travel as ``Sparse``, entry by entry as stored, because an explicit zero and
an absent entry are different things to liquid alpha.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

U16_MAX = 65535


@dataclass(frozen=True, slots=True)
class EpochParams:
    """A subnet's hyperparameters as raw storage integers; the defaults are the runtime's.

    u16 shares (65535 = 1.0): ``kappa``, ``bonds_penalty``, ``alpha_low``, ``alpha_high``.
    ``bonds_moving_average`` counts millionths, ``tempo`` and ``activity_cutoff`` blocks,
    ``stake_threshold`` RAO, ``alpha_sigmoid_steepness`` hundredths. ``liquid_alpha`` acts
    only together with ``yuma3``.
    """

    tempo: int = 360
    kappa: int = 32767
    bonds_penalty: int = U16_MAX
    bonds_moving_average: int = 900_000
    yuma3: bool = False
    liquid_alpha: bool = False
    alpha_low: int = 45875
    alpha_high: int = 58982
    alpha_sigmoid_steepness: int = 1000
    max_allowed_validators: int = 64
    activity_cutoff: int = 5000
    stake_threshold: int = 0
    owner_uid: int | None = None

    def __post_init__(self) -> None:
        for name in ("kappa", "bonds_penalty", "alpha_low", "alpha_high"):
            if not 0 <= getattr(self, name) <= U16_MAX:
                raise ValueError(f"{name} is {getattr(self, name)}, expected a u16")
        if not 0 <= self.bonds_moving_average <= 1_000_000:
            raise ValueError(f"bonds_moving_average is {self.bonds_moving_average}, expected 0..1000000")


@dataclass(frozen=True, eq=False)
class Sparse:
    """A u16 matrix as the chain stores it, entry by entry: rows ascending, each row in its stored order.

    ``row``, ``column`` and ``value`` are (m,) int64; a value of 0 is an entry too.
    Raises ValueError for a value outside u16, a negative index, or a cell that is given twice.
    """

    row: Integers
    column: Integers
    value: Integers

    def __post_init__(self) -> None:
        row, column, value = (np.asarray(a, dtype=np.int64) for a in (self.row, self.column, self.value))
        if not row.shape == column.shape == value.shape or row.ndim != 1:
            raise ValueError("row, column and value must be vectors of one length")
        if row.size:
            if value.min() < 0 or value.max() > U16_MAX:
                raise ValueError("a value is outside u16")
            if min(row.min(), column.min()) < 0 or max(row.max(), column.max()) > U16_MAX:
                raise ValueError("a uid is outside u16")
            cells = np.sort(row << 16 | column)
            if (cells[1:] == cells[:-1]).any():
                raise ValueError("a cell is given twice")
        if (row[1:] < row[:-1]).any():
            order = np.argsort(row, kind="stable")
            row, column, value = row[order], column[order], value[order]
        for name, array in (("row", row), ("column", column), ("value", value)):
            object.__setattr__(self, name, array)

    @classmethod
    def of(cls, rows: Mapping[int, Sequence[tuple[int, int]]]) -> Sparse:
        """From ``{uid: [(uid, u16), ...]}``, the shape of the storage maps Weights and Bonds."""
        uids = sorted(rows)
        pairs: list[Any] = [pair for uid in uids for pair in rows[uid]]
        entries = np.array(pairs, dtype=np.int64).reshape(-1, 2)
        row = np.repeat(np.array(uids, dtype=np.int64), [len(rows[uid]) for uid in uids])
        return cls(row, entries[:, 0], entries[:, 1])

    @classmethod
    def trusted(cls, row: Integers, column: Integers, value: Integers) -> Sparse:
        """Without the checks, which cost a sort: for entries that are known to keep the rules above."""
        entries = object.__new__(cls)
        for name, array in (("row", row), ("column", column), ("value", value)):
            object.__setattr__(entries, name, array)
        return entries

    def rows(self) -> dict[int, list[tuple[int, int]]]:
        """Back to ``{uid: [(uid, u16), ...]}``; rows without entries are left out."""
        out: dict[int, list[tuple[int, int]]] = {}
        for i, j, v in zip(self.row.tolist(), self.column.tolist(), self.value.tolist(), strict=True):
            out.setdefault(i, []).append((j, v))
        return out

    def where(self, keep: Bools) -> Sparse:
        """Only the entries where ``keep`` (m,) holds."""
        if keep.all():
            return self
        return Sparse.trusted(self.row[keep], self.column[keep], self.value[keep])

    def inside(self, n: int) -> Sparse:
        """Only the entries of and on uids below n."""
        if max(self.row.max(initial=-1), self.column.max(initial=-1)) < n:
            return self
        return self.where((self.row < n) & (self.column < n))

    def counts(self, n: int) -> Integers:
        """How many entries each of n uids has (n,), all uids being below n."""
        return np.diff(np.searchsorted(self.row, np.arange(n + 1)))

    def ascends(self) -> bool:
        """Whether uids ascend in each row."""
        return bool(((self.column[1:] > self.column[:-1]) | (self.row[1:] != self.row[:-1])).all())

    def mask(self, shape: tuple[int, ...]) -> Bools:
        """Where there are entries, zeros too, in a matrix of ``shape``."""
        out = np.zeros(shape, dtype=np.bool_)
        out[self.row, self.column] = True
        return out

    def joined(self, other: Sparse) -> Sparse:
        """The entries of both; raises ValueError if they share a cell."""
        return Sparse(
            np.concatenate((self.row, other.row)),
            np.concatenate((self.column, other.column)),
            np.concatenate((self.value, other.value)),
        )

    def dense(self, n: int) -> npt.NDArray[np.uint16]:
        """(n, n), absent entries 0; entries beyond n are left out."""
        out = np.zeros((n, n), dtype=np.uint16)
        entries = self.inside(n)
        out[entries.row, entries.column] = entries.value
        return out


def _no_entries() -> Sparse:
    return Sparse.of({})


@dataclass(frozen=True, eq=False)
class EpochInput:
    """A subnet of n neurons at the block in which its epoch runs. Vectors are (n,).

    ``stake`` is RAO, below 2**63 - 1: alpha, inherited through children and parents. Root TAO
    counts too: either added to it, cut to whole RAO, or, to the last bit as the runtime adds
    it, as ``tao_stake`` (RAO, inherited alike) with ``tao_weight``, the storage item TaoWeight (u64,
    2**64 - 1 = 1.0). ``weights`` and ``bonds`` are as stored, ``validator_permit`` are the
    stored permits (the new ones come out). ``last_update`` and ``block_at_registration`` are
    block numbers. ``last_step_block`` is head's LastMechansimStepBlock (sic; None or 0: never).
    ``oldest_commit`` is the block of each uid's oldest open weight commit, the largest u64 where
    there is none; give it on a head chain with commit-reveal on. ``rao_emission`` is what
    the epoch shares out, RAO. Raises ValueError for vectors of unequal length, a negative
    number or a stake of 2**63 and more.
    """

    block: int
    stake: Integers
    weights: Sparse
    bonds: Sparse
    last_update: Integers
    block_at_registration: Integers
    validator_permit: Bools
    last_step_block: int | None = None
    rao_emission: int = 0
    oldest_commit: Integers | None = None
    tao_stake: Integers | None = None
    tao_weight: int = 0

    def __post_init__(self) -> None:
        for name in ("stake", "last_update", "block_at_registration", "oldest_commit", "tao_stake"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _whole_numbers(name, getattr(self, name)))
        object.__setattr__(self, "validator_permit", np.asarray(self.validator_permit, dtype=np.bool_))
        for name in ("last_update", "block_at_registration", "validator_permit", "oldest_commit", "tao_stake"):
            column = getattr(self, name)
            if column is not None and column.shape != (self.n,):
                raise ValueError(f"{name} has shape {column.shape}, expected ({self.n},)")
        for stake in (self.stake, self.tao_stake):
            if stake is not None and stake.max(initial=0) == _LARGEST:
                raise ValueError("a stake is not below 2**63 - 1")
        for name in ("rao_emission", "tao_weight"):
            if not 0 <= getattr(self, name) < 2**64:
                raise ValueError(f"{name} is {getattr(self, name)}, expected a u64")

    @property
    def n(self) -> int:
        """How many neurons there are."""
        return int(self.stake.size)


_LARGEST = 2**63 - 1


def _whole_numbers(name: str, values: npt.ArrayLike) -> Integers:
    """As (n,) int64; a u64 beyond that (the runtime's "never") becomes the largest int64."""
    # numpy makes float64 of a list that mixes small integers with u64
    array = values if isinstance(values, np.ndarray) else np.array(values, dtype=object)
    if array.ndim != 1:
        raise ValueError(f"{name} has shape {array.shape}, expected (n,)")
    whole = array.dtype.kind in "iu" or all(isinstance(v, (int, np.integer)) for v in array.tolist())
    if array.size and (not whole or array.min() < 0):
        raise ValueError(f"{name} must hold whole numbers that aren't negative")
    return np.asarray(np.minimum(array, _LARGEST), dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Shares:
    """The epoch's vectors (n,) as float64 in 0..1, before they are cut to u16."""

    stake_weight: Floats
    consensus: Floats
    incentive: Floats
    dividends: Floats
    validator_trust: Floats
    rank: Floats
    trust: Floats


@dataclass(frozen=True, eq=False)
class EpochOutput:
    """What the chain stores after the epoch. Vectors are (n,); uint16 shares have 65535 = 1.0.

    ``validator_permit`` are the new permits, ``bonds`` the whole new map Bonds (rows without
    entries left out). ``server_emission`` (by incentive) and ``validator_emission`` (by
    dividends) are the RAO paid; ``emission`` is what the map Emission says, RAO.
    ``rank``, ``trust`` and ``pruning_scores`` are stored up to 293 only.
    """

    stake_weight: npt.NDArray[np.uint16]
    active: Bools
    consensus: npt.NDArray[np.uint16]
    incentive: npt.NDArray[np.uint16]
    dividends: npt.NDArray[np.uint16]
    validator_trust: npt.NDArray[np.uint16]
    rank: npt.NDArray[np.uint16]
    trust: npt.NDArray[np.uint16]
    pruning_scores: npt.NDArray[np.uint16]
    validator_permit: Bools
    server_emission: npt.NDArray[np.uint64]
    validator_emission: npt.NDArray[np.uint64]
    emission: npt.NDArray[np.uint64]
    bonds: Sparse = field(default_factory=_no_entries)
    floats: Shares = field(repr=False, kw_only=True)


def in_order(row: Integers, column: Integers) -> Bools:
    """Which entries (m,) stand after no higher column of their row; rows ascending. All, in a sorted row."""
    keys = row << 16 | column
    before = np.maximum.accumulate(keys)
    out = np.ones(keys.size, dtype=np.bool_)
    out[1:] = keys[1:] > before[:-1]
    return out
