"""Trimming: a subnet made smaller at once. Those with the least emission go; the rest move up to lower uids."""

from __future__ import annotations

from typing import Any

from subnet.devnet.context import Context
from subnet.devnet.pallet import ensure
from subnet.devnet.pallets.subtensor import SubtensorModule as S
from subnet.devnet.pallets.subtensor import mechanism_indexes
from subnet.devnet.pallets.subtensor_errors import Error
from subnet.devnet.pallets.subtensor_registration import COLUMNS, immortal, move_out
from subnet.devnet.state import State

MOST_IMMUNE = 80  # per cent of those that are to stay


def trim(ctx: Context, netuid: int, most: int) -> None:
    """Lower MaxAllowedUids to ``most``, and the number of neurons with it."""
    state = ctx.state
    ensure(state.get(S.NetworksAdded, netuid), Error.SubnetNotExists)
    ensure(state.get(S.MinAllowedUids, netuid) <= most <= state.get(S.MaxAllowedUids, netuid), Error.InvalidValue)
    # the runtime divides by it
    ensure(most > 0, Error.InvalidValue)
    state.put(S.MaxAllowedUids, netuid, to=most)
    n = state.get(S.SubnetworkN, netuid)
    if n > most:
        gone = _who_goes(ctx, netuid, n, most)
        places = {old: new for new, old in enumerate(uid for uid in range(n) if uid not in gone)}
        for uid in gone:
            move_out(state, netuid, uid)
        _move_up(state, netuid, places)
        state.put(S.SubnetworkN, netuid, to=most)


def _who_goes(ctx: Context, netuid: int, n: int, most: int) -> set[int]:
    """The uids with the least emission, the highest first among equals, but neither immune ones nor the owner's."""
    state = ctx.state
    spared, immunity = immortal(state, netuid), state.get(S.ImmunityPeriod, netuid)
    stays = {
        uid
        for uid in range(n)
        if state.get(S.Keys, netuid, uid) in spared
        or ctx.block - state.get(S.BlockAtRegistration, netuid, uid) < immunity
    }
    ensure(len(stays) * 100 // most < MOST_IMMUNE, Error.TrimmingWouldExceedMaxImmunePercentage)
    emission = state.get(S.Emission, netuid)
    ranked = sorted((uid for uid in range(n) if uid not in stays), key=lambda uid: (emission[uid], -uid))
    return set(ranked[: n - most])


def _move_up(state: State, netuid: int, places: dict[int, int]) -> None:
    """Give each neuron that stays its new uid; ``places`` ascends, and none is above the old one."""
    for column, _ in COLUMNS:
        _keep(state, column, netuid, places)
    for old, new in places.items():
        hotkey = state.get(S.Keys, netuid, old)
        state.put(S.Keys, netuid, new, to=hotkey)
        state.put(S.Uids, netuid, hotkey, to=new)
        state.put(S.BlockAtRegistration, netuid, new, to=state.get(S.BlockAtRegistration, netuid, old))
    for index in mechanism_indexes(state, netuid):
        for column in (S.Incentive, S.LastUpdate):
            _keep(state, column, index, places)
        for rows in (S.Weights, S.Bonds):
            kept = {places[uid]: state.get(rows, index, uid) for _, uid in state.keys(rows, index) if uid in places}
            state.clear(rows, index)
            for uid, row in kept.items():
                state.put(rows, index, uid, to=[(places[other], one) for other, one in row if other in places])
    for uid in range(len(places), max(places) + 1):
        for item in (S.Keys, S.BlockAtRegistration):
            state.drop(item, netuid, uid)


def _keep(state: State, column: Any, index: int, places: dict[int, int]) -> None:
    values = state.get(column, index)
    state.put(column, index, to=[values[uid] for uid in places if uid < len(values)])
