"""Mechanisms: a subnet may have several sets of weights, bonds and incentives, which share its emission.

Mechanism 0 is there from the start. The owner, or root, sets their number and their shares by AdminUtils.
"""

from __future__ import annotations

from subnet.devnet.context import Context
from subnet.devnet.pallet import ensure
from subnet.devnet.pallets.subtensor import SubtensorModule as S
from subnet.devnet.pallets.subtensor import storage_index
from subnet.devnet.pallets.subtensor_errors import Error
from subnet.devnet.state import State

MOST = 16  # mechanisms of a subnet, whatever MaxMechanismCount says
WHOLE = 65535


def ensure_mechanism(state: State, netuid: int, mecid: int) -> None:
    """MechanismDoesNotExist unless the subnet has this mechanism."""
    exists = state.get(S.NetworksAdded, netuid) and mecid < state.get(S.MechanismCountCurrent, netuid)
    ensure(exists, Error.MechanismDoesNotExist)


def ensure_uids_fit(max_uids: int, count: int) -> None:
    """The uids of all mechanisms together are bounded by the default MaxAllowedUids."""
    ensure(max_uids * count <= S.MaxAllowedUids.default(), Error.TooManyUIDsPerMechanism)


def set_max_count(ctx: Context, count: int) -> None:
    ensure(0 < count <= MOST, Error.InvalidValue)
    ctx.state.put(S.MaxMechanismCount, to=count)


def set_count(ctx: Context, netuid: int, count: int) -> None:
    """Set how many mechanisms a subnet has; what the ones that go had is gone, and so is the split."""
    state = ctx.state
    ensure(state.get(S.NetworksAdded, netuid), Error.MechanismDoesNotExist)
    ensure(0 < count <= state.get(S.MaxMechanismCount), Error.InvalidValue)
    ensure_uids_fit(state.get(S.MaxAllowedUids, netuid), count)
    before = state.get(S.MechanismCountCurrent, netuid)
    if count == before:
        return
    for mecid in range(count, before):
        index = storage_index(netuid, mecid)
        for rows in (S.Weights, S.Bonds, S.WeightCommits):
            state.clear(rows, index)
        for column in (S.Incentive, S.LastUpdate):
            state.drop(column, index)
    state.put(S.MechanismCountCurrent, netuid, to=count)
    state.drop(S.MechanismEmissionSplit, netuid)


def set_split(ctx: Context, netuid: int, split: list[int] | None) -> None:
    """Set each mechanism's share (u16, 65535 in all) of the emission; None shares it evenly."""
    state = ctx.state
    ensure(state.get(S.NetworksAdded, netuid), Error.MechanismDoesNotExist)
    if split is None:
        state.drop(S.MechanismEmissionSplit, netuid)
        return
    ensure(0 < len(split) <= state.get(S.MechanismCountCurrent, netuid), Error.InvalidValue)
    ensure(sum(split) == WHOLE, Error.InvalidValue)
    state.put(S.MechanismEmissionSplit, netuid, to=split)


def split_emission(state: State, netuid: int, amount: int) -> list[int]:
    """Each mechanism's part of an amount; the first has what rounding leaves."""
    count = state.get(S.MechanismCountCurrent, netuid)
    split = state.get(S.MechanismEmissionSplit, netuid)
    parts = [amount * share // WHOLE for share in split] if split else [amount // count] * count
    parts += [0] * (count - len(parts))
    parts[0] += amount - sum(parts)
    return parts
