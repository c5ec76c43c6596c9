"""Commitments: a few bytes, or hashes, that a hotkey publishes on a subnet.

Names, types, limits and events as subtensor's pallet of June 2026; a deposit is kept, and is zero, as there.
Time-locked fields are refused: there is no drand here that would ever open them.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Any

from subnet.devnet.context import Context
from subnet.devnet.hashing import TWOX64_CONCAT
from subnet.devnet.pallet import Constant, Event, Item, Maybe, Pallet, ensure
from subnet.devnet.pallets.subtensor import SubtensorModule as S
from subnet.devnet.pallets.subtensor import mechanism_indexes
from subnet.devnet.pallets.subtensor_errors import Error as SubtensorError
from subnet.devnet.pallets.subtensor_networks import epoch_number
from subnet.devnet.scale import (
    ACCOUNT,
    BYTES,
    U16,
    U32,
    U64,
    Bounded,
    Enum,
    FixedBytes,
    Struct,
    Tuple,
    Variant,
    Vec,
    u16,
    u32,
)
from subnet.devnet.shapes import NETUID

MAX_FIELDS = 3
MAX_RAW = 128  # bytes of a RawN field
MIN_SPACE = 100  # bytes that a commitment counts for at least
MAX_SPACE = 3100  # bytes a hotkey may commit in an epoch
HASHES = ("BlakeTwo256", "Sha256", "Keccak256", "ShaThree256")

DATA = Enum(
    "pallet_commitments::types::Data",
    [
        Variant("None", 0),
        *(Variant(f"Raw{size}", size + 1, [(None, FixedBytes(size))]) for size in range(MAX_RAW + 1)),
        *(Variant(name, 130 + place, [(None, FixedBytes(32))]) for place, name in enumerate(HASHES)),
        Variant("TimelockEncrypted", 134, [("encrypted", Bounded(BYTES, 1024)), ("reveal_round", U64)]),
        Variant("ResetBondsFlag", 135),
        Variant("BigRaw", 136, [(None, Bounded(BYTES, 512))]),
    ],
)
INFO = Struct("pallet_commitments::types::CommitmentInfo", fields=Bounded(Vec(DATA), MAX_FIELDS))
REGISTRATION = Struct("pallet_commitments::types::Registration", deposit=U64, block=U32, info=INFO)
USAGE = Struct("pallet_commitments::types::UsageTracker", last_epoch=U64, used_space=U64)
HOTKEY = (TWOX64_CONCAT, ACCOUNT)
commitment_info = Annotated[dict[str, Any], INFO]

Error = IntEnum(
    "Error",
    "TooManyFieldsInCommitmentInfo AccountNotAllowedCommit SpaceLimitExceeded UnexpectedUnreserveLeftover",
    start=0,
)


class Commitments(Pallet, index=18, rust="pallet_commitments"):
    """A few bytes, or hashes, that a hotkey publishes on a subnet."""

    errors = Error

    CommitmentOf = Maybe(REGISTRATION, NETUID, HOTKEY, docs="Identity data by account")
    LastCommitment = Maybe(U32, NETUID, HOTKEY)
    LastBondsReset = Maybe(U32, NETUID, HOTKEY)
    RevealedCommitments = Maybe(Vec(Tuple(BYTES, U64)), NETUID, HOTKEY)
    UsedSpaceOf = Maybe(USAGE, NETUID, HOTKEY)
    MaxSpace = Item(U32, default=MAX_SPACE)

    Commitment = Event(0, netuid=U16, who=ACCOUNT)
    TimelockCommitment = Event(1, netuid=U16, who=ACCOUNT, reveal_round=U64)
    CommitmentRevealed = Event(2, netuid=U16, who=ACCOUNT)

    MaxFields = Constant(U32, MAX_FIELDS)
    InitialDeposit = Constant(U64, 0)
    FieldDeposit = Constant(U64, 0)


def space(field: tuple[str, Any]) -> int:
    """Bytes that a field counts for."""
    _, content = field
    return len(content) if isinstance(content, bytes) else 0


@Commitments.call(0, pays=False)
def set_commitment(ctx: Context, who: bytes, netuid: u16, info: commitment_info) -> None:
    """Set the calling hotkey's commitment on a subnet where it is registered: up to three fields."""
    state, fields = ctx.state, info["fields"]
    ensure(state.get(S.Uids, netuid, who) is not None, Error.AccountNotAllowedCommit)
    ensure(all(name != "TimelockEncrypted" for name, _ in fields), SubtensorError.CallDisabled)
    required = max(MIN_SPACE, sum(map(space, fields)))
    epoch = epoch_number(ctx, netuid)
    usage = state.get(Commitments.UsedSpaceOf, netuid, who)
    used = usage["used_space"] if usage and usage["last_epoch"] == epoch else 0
    ensure(used + required <= state.get(Commitments.MaxSpace), Error.SpaceLimitExceeded)
    if any(name == "ResetBondsFlag" for name, _ in fields):
        state.put(Commitments.LastBondsReset, netuid, who, to=ctx.block)
        _reset_bonds(ctx, netuid, who)
    state.put(Commitments.UsedSpaceOf, netuid, who, to={"last_epoch": epoch, "used_space": used + required})
    state.put(Commitments.CommitmentOf, netuid, who, to={"deposit": 0, "block": ctx.block, "info": info})
    state.put(Commitments.LastCommitment, netuid, who, to=ctx.block)
    ctx.emit(Commitments.Commitment, netuid, who)


@Commitments.call(2, origin="root")
def set_max_space(ctx: Context, who: None, new_limit: u32) -> None:
    """Set how many bytes a hotkey may commit in an epoch."""
    ctx.state.put(Commitments.MaxSpace, to=new_limit)


def _reset_bonds(ctx: Context, netuid: int, who: bytes) -> None:
    """Take the hotkey out of everybody's bonds, where the subnet has BondsResetOn."""
    state = ctx.state
    uid = state.get(S.Uids, netuid, who)
    if not state.get(S.BondsResetOn, netuid):
        return
    for index in mechanism_indexes(state, netuid):
        for _, row in state.keys(S.Bonds, index):
            bonds = state.get(S.Bonds, index, row)
            state.put(S.Bonds, index, row, to=[pair for pair in bonds if pair[0] != uid])
