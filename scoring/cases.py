"""An epoch as a JSON document: what ``subnet consensus`` reads and prints.

A case holds the state and the hyperparameters of one epoch under one roof, matrices as
``{"uid": [[uid, u16], ...]}``; the outcome carries the storage items' own names (``Incentive``,
``Bonds`` ...), in the same shapes. Nothing here reads files; sizes are checked before arrays are made.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import numpy as np

from subnet.scoring.epoch import EpochInput, EpochOutput, EpochParams, Sparse

MAX_NEURONS = 65_536
"""Uids are u16."""
MAX_ENTRIES = 16_000_000
"""Weights or bonds of one case: 4,096 x 4,096 dense."""
MAX_CELLS = 4096 * 4096
"""Neurons times uids that have weights or bonds: what is worked on is a matrix of so many."""

U16 = Annotated[int, msgspec.Meta(ge=0, le=65535)]
I16 = Annotated[int, msgspec.Meta(ge=-32768, le=32767)]
I64 = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
U64 = Annotated[int, msgspec.Meta(ge=0)]  # the chain's "never" is the largest u64: EpochInput cuts it down
Matrix = dict[str, list[tuple[U16, U16]]]

_DEFAULTS = EpochParams()

VECTORS = {
    "StakeWeight": "stake_weight",
    "Active": "active",
    "Rank": "rank",
    "Trust": "trust",
    "Consensus": "consensus",
    "Incentive": "incentive",
    "Dividends": "dividends",
    "ValidatorTrust": "validator_trust",
    "PruningScores": "pruning_scores",
    "ValidatorPermit": "validator_permit",
    "Emission": "emission",
    "ServerEmission": "server_emission",
    "ValidatorEmission": "validator_emission",
}
"""Names in the outcome, and the :class:`EpochOutput` field behind each."""

NAMES = {field: name for name, field in VECTORS.items()} | {"bonds": "Bonds"}
"""The other way round."""


class EpochCase(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One epoch's input. Vectors are of length ``n``; RAO for ``total_stake``, ``tao_stake``, ``stake_threshold``
    and ``rao_emission``, block numbers for ``block``, ``last_update``, ``block_at_registration`` and
    ``last_step_block``, blocks for ``tempo`` and ``activity_cutoff``; the rest is as stored
    (:class:`~subnet.scoring.epoch.EpochParams`). What has a default may be left out.
    """

    n: Annotated[int, msgspec.Meta(ge=0, le=MAX_NEURONS)]
    block: I64
    total_stake: list[U64]
    weights: Matrix
    last_update: list[U64]
    block_at_registration: list[U64]
    validator_permit: list[bool]
    bonds: Matrix = msgspec.field(default_factory=dict)
    rao_emission: U64 = 0
    last_step_block: I64 | None = None
    oldest_commit: list[U64] | None = None
    tao_stake: list[U64] | None = None
    tao_weight: U64 = 0
    tempo: I64 = _DEFAULTS.tempo
    kappa: U16 = _DEFAULTS.kappa
    bonds_penalty: U16 = _DEFAULTS.bonds_penalty
    bonds_moving_average: U64 = _DEFAULTS.bonds_moving_average
    yuma3: bool = _DEFAULTS.yuma3
    liquid_alpha: bool = _DEFAULTS.liquid_alpha
    alpha_low: U16 = _DEFAULTS.alpha_low
    alpha_high: U16 = _DEFAULTS.alpha_high
    alpha_sigmoid_steepness: I16 = _DEFAULTS.alpha_sigmoid_steepness
    max_allowed_validators: I64 = _DEFAULTS.max_allowed_validators
    activity_cutoff: I64 = _DEFAULTS.activity_cutoff
    stake_threshold: I64 = _DEFAULTS.stake_threshold
    owner_uid: U16 | None = _DEFAULTS.owner_uid


def read_case(data: bytes) -> tuple[EpochInput, EpochParams]:
    """A case's JSON as what :func:`~subnet.scoring.yuma.epoch` takes. ValueError says what is wrong and where.

    A document ``{"input": {...}, ...}`` is taken for its input.
    """
    try:
        case = msgspec.json.decode(data, type=_Document).input or msgspec.json.decode(data, type=EpochCase)
        return _state(case), EpochParams(**{name: getattr(case, name) for name in EpochParams.__slots__})
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(str(error)) from None


class _Document(msgspec.Struct):
    input: EpochCase | None = None


_COLUMNS = ("total_stake", "last_update", "block_at_registration", "validator_permit", "oldest_commit", "tao_stake")


def _state(case: EpochCase) -> EpochInput:
    for name in _COLUMNS:
        column = getattr(case, name)
        if column is not None and len(column) != case.n:
            raise ValueError(f"`$.{name}` has {len(column)} elements, expected n = {case.n}")
    rows = len(case.weights.keys() | case.bonds.keys())
    if rows * case.n > MAX_CELLS:
        raise ValueError(f"{rows} uids have weights or bonds on {case.n} neurons, more than {MAX_CELLS} in all")
    return EpochInput(
        block=case.block,
        stake=_whole(case.total_stake),
        weights=_sparse("weights", case.weights),
        bonds=_sparse("bonds", case.bonds),
        last_update=_whole(case.last_update),
        block_at_registration=_whole(case.block_at_registration),
        validator_permit=np.array(case.validator_permit, dtype=np.bool_),
        last_step_block=case.last_step_block,
        rao_emission=case.rao_emission,
        oldest_commit=None if case.oldest_commit is None else _whole(case.oldest_commit),
        tao_stake=None if case.tao_stake is None else _whole(case.tao_stake),
        tao_weight=case.tao_weight,
    )


def _whole(values: list[int]) -> Any:
    return np.array(values, dtype=object)  # u64 and beyond; EpochInput bounds them


def _sparse(name: str, rows: Matrix) -> Sparse:
    if sum(map(len, rows.values())) > MAX_ENTRIES:
        raise ValueError(f"`$.{name}` has more than {MAX_ENTRIES} entries")
    by_uid: dict[int, list[tuple[int, int]]] = {}
    for uid, row in rows.items():
        if not uid.isascii() or not uid.isdigit() or len(uid) > 5:
            raise ValueError(f"`$.{name}` has the key {uid[:20]!r}, expected a uid")
        if by_uid.setdefault(int(uid), row) is not row:
            raise ValueError(f"`$.{name}` gives uid {int(uid)} twice")
    try:
        return Sparse.of(by_uid)
    except ValueError as error:
        raise ValueError(f"`$.{name}`: {error}") from None


def outcome(out: EpochOutput) -> dict[str, Any]:
    """An epoch's outcome as plain data, under the storage items' names.

    Vectors are lists of length n (u16 shares; RAO for the emissions); ``Bonds`` is the whole new map,
    ``{"uid": [[uid, u16], ...]}``, rows without entries left out. Rank, Trust and PruningScores are
    stored up to spec 293 only.
    """
    vectors: dict[str, Any] = {name: getattr(out, field).tolist() for name, field in VECTORS.items()}
    return vectors | {"Bonds": {str(uid): [list(pair) for pair in row] for uid, row in out.bonds.rows().items()}}
