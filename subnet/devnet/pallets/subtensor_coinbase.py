"""Emission and epochs: what each block earns every started subnet, and how an epoch shares it out.

A block adds one alpha to a started subnet, and one TAO that backs it; the owner's cut, the servers' and
the validators' halves wait in the Pending items. In an epoch consensus (:mod:`subtensor_epoch` beside
this) says who gets what, and stakes are credited.
"""

from __future__ import annotations

import logging
from typing import Any

from subnet.devnet.context import Context
from subnet.devnet.pallets.balances import Balances, mint_if_it_fits
from subnet.devnet.pallets.subtensor import SubtensorModule as S
from subnet.devnet.pallets.subtensor import subnet_account
from subnet.devnet.pallets.subtensor_children import apply_pending, dividends_of
from subnet.devnet.pallets.subtensor_epoch import consensus
from subnet.devnet.pallets.subtensor_networks import should_run_epoch, subnets
from subnet.devnet.pallets.subtensor_registration import settle_burns
from subnet.devnet.pallets.subtensor_staking import increase_stake, increase_stake_of_all
from subnet.devnet.state import State

logger = logging.getLogger(__name__)

U16_MAX = 65535
_FRACTION = 32  # bits after the point in the runtime's U96F32


@S.on_initialize
def run_coinbase(ctx: Context) -> None:
    """All that a block does on its own."""
    netuids = subnets(ctx.state)
    settle_burns(ctx, netuids)
    for netuid in netuids:
        started = ctx.state.get(S.FirstEmissionBlockNumber, netuid) is not None
        if started and ctx.state.get(S.SubnetEmissionEnabled, netuid):
            _emit(ctx, netuid)
    _run_epochs(ctx, netuids)
    ctx.state.put(S.TotalIssuance, to=ctx.state.get(Balances.TotalIssuance))


def _emit(ctx: Context, netuid: int) -> None:
    """One block's alpha, split as the runtime splits it (floors at each step; the rest is nobody's)."""
    state = ctx.state
    alpha = state.get(S.BlockEmission)
    left = alpha << _FRACTION
    if state.get(S.OwnerCutEnabled, netuid):
        cut = alpha * ((state.get(S.SubnetOwnerCut) << _FRACTION) // U16_MAX)
        left -= cut
        state.add(S.PendingOwnerCut, netuid, by=cut >> _FRACTION)
    server = left >> 1
    state.add(S.PendingServerEmission, netuid, by=server >> _FRACTION)
    state.add(S.PendingValidatorEmission, netuid, by=(left - server) >> _FRACTION)
    state.add(S.SubnetAlphaOut, netuid, by=alpha)
    state.put(S.SubnetAlphaOutEmission, netuid, to=alpha)
    state.put(S.SubnetTaoInEmission, netuid, to=alpha)
    if mint_if_it_fits(ctx, subnet_account(netuid), alpha):
        state.add(S.SubnetTAO, netuid, by=alpha)
        state.add(S.TotalStake, by=alpha)


def _run_epochs(ctx: Context, netuids: list[int]) -> None:
    state, most = ctx.state, ctx.state.get(S.MaxEpochsPerBlock)
    ran = 0
    for netuid in netuids:
        state.add(S.BlocksSinceLastStep, netuid, by=1)
        if not should_run_epoch(ctx, netuid):
            continue
        if ran >= most:
            state.put(S.PendingEpochAt, netuid, to=ctx.block + 1)
            ctx.emit(S.EpochDeferred, netuid, ctx.block, ctx.block + 1)
            continue
        ran += 1
        mark, events = state.mark(), len(ctx.events)
        try:
            run_epoch(ctx, netuid)
        except Exception:
            # one subnet's epoch must not stop the chain; what it would have paid stays pending
            state.rollback(mark)
            del ctx.events[events:]
            logger.exception("the epoch of subnet %d failed in block %d", netuid, ctx.block)
        state.put(S.LastEpochBlock, netuid, to=ctx.block)
        state.put(S.PendingEpochAt, netuid, to=0)
        state.add(S.SubnetEpochIndex, netuid, by=1)
        apply_pending(ctx, netuid)


def run_epoch(ctx: Context, netuid: int) -> None:
    """Drain what is pending, run consensus, store, pay: the stakes that vote are those of before."""
    state = ctx.state
    state.put(S.BlocksSinceLastStep, netuid, to=0)
    server, validator, owner = (
        _drain(state, item, netuid) for item in (S.PendingServerEmission, S.PendingValidatorEmission, S.PendingOwnerCut)
    )
    hotkeys, incentives, dividends = consensus(ctx, netuid, server + validator)
    # nobody served: validators get all
    to_validators = validator if any(incentives) else validator + server
    _pay_owner(ctx, netuid, owner)
    _pay_servers(ctx, netuid, hotkeys, incentives)
    _pay_validators(ctx, netuid, hotkeys, dividends, to_validators)
    state.put(S.LastMechansimStepBlock, netuid, to=ctx.block)


def _drain(state: State, item: Any, netuid: int) -> int:
    amount = int(state.get(item, netuid))
    state.put(item, netuid, to=0)
    return amount


def _pay_owner(ctx: Context, netuid: int, amount: int) -> None:
    state = ctx.state
    hotkey, coldkey = state.get(S.SubnetOwnerHotkey, netuid), state.get(S.SubnetOwner, netuid)
    increase_stake(ctx, hotkey, coldkey, netuid, amount)


def _pay_servers(ctx: Context, netuid: int, hotkeys: list[bytes], incentives: list[int]) -> None:
    state = ctx.state
    owner, coldkey = state.get(S.SubnetOwnerHotkey, netuid), state.get(S.SubnetOwner, netuid)
    for hotkey, amount in zip(hotkeys, incentives, strict=True):
        if hotkey == owner or state.get(S.Owner, hotkey) == coldkey:
            # what consensus gives the owner's own hotkeys for serving is nobody's: burned alpha stays issued
            if state.get(S.RecycleOrBurn, netuid)[0] == "Recycle":
                state.add(S.SubnetAlphaOut, netuid, by=-amount)
        else:
            increase_stake(ctx, hotkey, state.get(S.Owner, hotkey), netuid, amount)


def _pay_validators(ctx: Context, netuid: int, hotkeys: list[bytes], dividends: list[int], amount: int) -> None:
    """Share ``amount`` by dividends; of each share the hotkey's owner takes its take, its stakers the rest.

    A validator's dividends are its parents' too, by what they lent it.
    """
    state = ctx.state
    earned: dict[bytes, int] = {}
    for hotkey, dividend in zip(hotkeys, dividends, strict=True):
        parts, burned = dividends_of(state, hotkey, netuid, dividend)
        state.add(S.SubnetAlphaOut, netuid, by=-burned)
        for part, receiver in parts:
            earned[receiver] = earned.get(receiver, 0) + part
    total = sum(earned.values())
    state.clear(S.AlphaDividendsPerSubnet, netuid)
    for hotkey, dividend in earned.items():
        if not dividend:
            continue
        share = amount * dividend // total
        take = share * state.get(S.Delegates, hotkey) // U16_MAX
        increase_stake(ctx, hotkey, state.get(S.Owner, hotkey), netuid, take)
        increase_stake_of_all(ctx, hotkey, netuid, share - take)
        state.put(S.AlphaDividendsPerSubnet, netuid, hotkey, to=share - take)
        after = state.get(S.TotalHotkeyAlpha, hotkey, netuid)
        state.put(S.TotalHotkeyAlphaLastEpoch, hotkey, netuid, to=after)
