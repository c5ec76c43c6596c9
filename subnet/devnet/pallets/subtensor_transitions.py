"""Stake on the move: to another hotkey, coldkey or subnet, or all of it back into TAO."""

from __future__ import annotations

from typing import Annotated

from subnet.devnet.context import Context
from subnet.devnet.pallet import DispatchFailed, ensure
from subnet.devnet.pallets.balances import free, transfer
from subnet.devnet.pallets.subtensor import ROOT, TAO, subnet_account
from subnet.devnet.pallets.subtensor import SubtensorModule as S
from subnet.devnet.pallets.subtensor_errors import Error
from subnet.devnet.pallets.subtensor_staking import (
    MIN_STAKE,
    decrease_stake,
    ensure_unstakable,
    increase_stake,
    remove_stake,
    remove_stake_limit,
    stake,
    stake_of,
    unstake,
)
from subnet.devnet.scale import U64, Option, account, boolean, u16, u64

optional_price = Annotated[int | None, Option(U64)]


@S.call(83)
def unstake_all(ctx: Context, who: bytes, hotkey: account) -> None:
    """Take the caller's alpha off a hotkey on all subnets."""
    _unstake_all(ctx, who, hotkey, root=True)


@S.call(84)
def unstake_all_alpha(ctx: Context, who: bytes, hotkey: account) -> None:
    """Take the caller's alpha off a hotkey on all subnets but root, and stake what it brings on root."""
    brought = _unstake_all(ctx, who, hotkey, root=False)
    ensure(brought > 0, Error.AmountTooLow)
    stake(ctx, hotkey, who, ROOT, brought)


def _unstake_all(ctx: Context, who: bytes, hotkey: bytes, *, root: bool) -> int:
    state, brought = ctx.state, 0
    ensure(state.has(S.Owner, hotkey), Error.HotKeyAccountNotExists)
    for (netuid,) in state.keys(S.NetworksAdded):
        have = stake_of(state, hotkey, who, netuid)
        if not state.get(S.SubtokenEnabled, netuid) or (netuid == ROOT and not root):
            continue
        try:
            ensure_unstakable(ctx, hotkey, who, netuid, have)
        except DispatchFailed:
            continue  # what can't go stays, as on the real chain
        unstake(ctx, hotkey, who, netuid, have)
        brought += have
    return brought


@S.call(103)
def remove_stake_full_limit(
    ctx: Context, who: bytes, hotkey: account, netuid: u16, limit_price: optional_price
) -> None:
    """Take all of the caller's alpha off a hotkey, if one alpha brings at least limit_price (RAO) where it is given."""
    everything = stake_of(ctx.state, hotkey, who, netuid)
    if limit_price is None:
        remove_stake(ctx, who, hotkey, netuid, everything)
    else:
        remove_stake_limit(ctx, who, hotkey, netuid, everything, limit_price, False)


@S.call(85)
def move_stake(
    ctx: Context,
    who: bytes,
    origin_hotkey: account,
    destination_hotkey: account,
    origin_netuid: u16,
    destination_netuid: u16,
    alpha_amount: u64,
) -> None:
    """Move the caller's alpha to another hotkey, on the same subnet or another."""
    places = (origin_hotkey, origin_netuid), (destination_hotkey, destination_netuid)
    moved = _transition(ctx, (who, who), *places, alpha_amount)
    ctx.emit(S.StakeMoved, who, origin_hotkey, origin_netuid, destination_hotkey, destination_netuid, moved)


@S.call(86)
def transfer_stake(
    ctx: Context,
    who: bytes,
    destination_coldkey: account,
    hotkey: account,
    origin_netuid: u16,
    destination_netuid: u16,
    alpha_amount: u64,
) -> None:
    """Give the caller's alpha on a hotkey to another coldkey; both subnets must allow it (TransferToggle)."""
    places = (hotkey, origin_netuid), (hotkey, destination_netuid)
    moved = _transition(ctx, (who, destination_coldkey), *places, alpha_amount, given=True)
    ctx.emit(S.StakeTransferred, who, destination_coldkey, hotkey, origin_netuid, destination_netuid, moved)


@S.call(87)
def swap_stake(
    ctx: Context, who: bytes, hotkey: account, origin_netuid: u16, destination_netuid: u16, alpha_amount: u64
) -> None:
    """Move the caller's alpha on a hotkey to another subnet, one for one."""
    moved = _transition(ctx, (who, who), (hotkey, origin_netuid), (hotkey, destination_netuid), alpha_amount)
    ctx.emit(S.StakeSwapped, who, hotkey, origin_netuid, destination_netuid, moved)


@S.call(90)
def swap_stake_limit(
    ctx: Context,
    who: bytes,
    hotkey: account,
    origin_netuid: u16,
    destination_netuid: u16,
    alpha_amount: u64,
    limit_price: u64,
    allow_partial: boolean,
) -> None:
    """As swap_stake, if one alpha brings at least limit_price (RAO) of the other; here it always brings one."""
    ensure(limit_price <= TAO, Error.SlippageTooHigh)
    swap_stake(ctx, who, hotkey, origin_netuid, destination_netuid, alpha_amount)


Place = tuple[bytes, int]  # hotkey and netuid


def _transition(
    ctx: Context, coldkeys: tuple[bytes, bytes], origin: Place, goal: Place, wanted: int, *, given: bool = False
) -> int:
    """Move up to ``wanted`` RAO of alpha from one coldkey's place to another's; returns how much it was."""
    state, (giver, taker) = ctx.state, coldkeys
    ensure(giver != taker or origin != goal, Error.SameNetuid)
    for _, netuid in (origin, goal):
        ensure(state.get(S.NetworksAdded, netuid), Error.SubnetNotExists)
    for _, netuid in (origin, goal):
        ensure(state.get(S.SubtokenEnabled, netuid), Error.SubtokenDisabled)
    for hotkey, _ in (origin, goal):
        ensure(state.has(S.Owner, hotkey), Error.HotKeyAccountNotExists)
    amount = min(wanted, stake_of(state, origin[0], giver, origin[1]))
    across = origin[1] != goal[1]
    ensure(amount > MIN_STAKE if across else amount >= MIN_STAKE, Error.AmountTooLow)
    for _, netuid in (origin, goal) if given else ():
        ensure(state.get(S.TransferToggle, netuid), Error.TransferDisallowed)
    if across:
        ensure(free(state, subnet_account(origin[1])) >= amount, Error.InsufficientLiquidity)
        unstake(ctx, origin[0], giver, origin[1], amount)
        if giver != taker:
            transfer(ctx, giver, taker, amount, keep_alive=False)
        stake(ctx, goal[0], taker, goal[1], amount)
        return amount
    decrease_stake(ctx, origin[0], giver, origin[1], amount)
    increase_stake(ctx, goal[0], taker, goal[1], amount)
    ctx.emit(S.StakeRemoved, giver, origin[0], amount, amount, origin[1], 0)
    ctx.emit(S.StakeAdded, taker, goal[0], amount, amount, goal[1], 0)
    return amount
