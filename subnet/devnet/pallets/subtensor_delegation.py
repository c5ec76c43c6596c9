"""Who owns a hotkey, and what it keeps of its stakers' dividends."""

from __future__ import annotations

from subnet.devnet.context import Context
from subnet.devnet.pallet import ensure
from subnet.devnet.pallets.subtensor import SubtensorModule as S
from subnet.devnet.pallets.subtensor_errors import Error
from subnet.devnet.pallets.subtensor_registration import associate
from subnet.devnet.scale import account, u16

LAST_TAKE = "LastTxBlockDelegateTake"


@S.call(91)
def try_associate_hotkey(ctx: Context, who: bytes, hotkey: account) -> None:
    """Make the caller's coldkey the owner of a hotkey that has none."""
    associate(ctx, who, hotkey)


def _check_take(ctx: Context, who: bytes, hotkey: bytes, take: int) -> None:
    state = ctx.state
    ensure(take >= state.get(S.MinDelegateTake), Error.DelegateTakeTooLow)
    ensure(take <= state.get(S.MaxDelegateTake), Error.DelegateTakeTooHigh)
    ensure(state.has(S.Owner, hotkey), Error.HotKeyAccountNotExists)
    ensure(state.get(S.Owner, hotkey) == who, Error.NonAssociatedColdKey)


def _never_set(ctx: Context, hotkey: bytes) -> bool:
    return not ctx.state.has(S.Delegates, hotkey)


def _set_take(ctx: Context, hotkey: bytes, take: int) -> None:
    ctx.state.put(S.Delegates, hotkey, to=take)
    ctx.state.put(S.LastRateLimitedBlock, (LAST_TAKE, hotkey), to=ctx.block)


@S.call(65, pays=False, check=_check_take)
def decrease_take(ctx: Context, who: bytes, hotkey: account, take: u16) -> None:
    """Lower the share (u16) of its stakers' dividends that a hotkey keeps."""
    _check_take(ctx, who, hotkey, take)
    ensure(_never_set(ctx, hotkey) or take < ctx.state.get(S.Delegates, hotkey), Error.DelegateTakeTooLow)
    _set_take(ctx, hotkey, take)
    ctx.emit(S.TakeDecreased, who, hotkey, take)


@S.call(66, pays=False, check=_check_take)
def increase_take(ctx: Context, who: bytes, hotkey: account, take: u16) -> None:
    """Raise the share (u16) of its stakers' dividends that a hotkey keeps; once in TxDelegateTakeRateLimit blocks."""
    state = ctx.state
    _check_take(ctx, who, hotkey, take)
    ensure(_never_set(ctx, hotkey) or take > state.get(S.Delegates, hotkey), Error.DelegateTakeTooLow)
    limit, last = state.get(S.TxDelegateTakeRateLimit), state.get(S.LastRateLimitedBlock, (LAST_TAKE, hotkey))
    ensure(limit == 0 or last == 0 or ctx.block - last > limit, Error.DelegateTxRateLimitExceeded)
    _set_take(ctx, hotkey, take)
    ctx.emit(S.TakeIncreased, who, hotkey, take)
