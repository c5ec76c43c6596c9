"""Stake: TAO in, alpha out, one for one. Each hotkey's alpha on a subnet is a pool that coldkeys have shares of.

What everything rests on: the TAO that a subnet's account holds is at least the alpha there is of it, so
that whatever is staked can be unstaked.
"""

from __future__ import annotations

from subnet.devnet.context import Context
from subnet.devnet.pallet import ensure
from subnet.devnet.pallets.balances import free, transfer
from subnet.devnet.pallets.subtensor import TAO, subnet_account
from subnet.devnet.pallets.subtensor import SubtensorModule as S
from subnet.devnet.pallets.subtensor_children import total_stake
from subnet.devnet.pallets.subtensor_errors import Error
from subnet.devnet.scale import account, boolean, u16, u64
from subnet.devnet.state import State

MIN_STAKE = 2_000_000  # RAO
_SCALE = 40  # decimal places that shares are reckoned with here
_MANTISSA = 10**21  # a SafeFloat keeps 21 digits
_FURTHEST = 60  # an exponent may be any i64, and a power of it would take for ever


def _to_int(number: dict[str, int]) -> int:
    """A SafeFloat as an integer with ``_SCALE`` decimal places."""
    shift = max(-_FURTHEST, min(number["exponent"] + _SCALE, _FURTHEST))
    return int(number["mantissa"] * 10**shift if shift >= 0 else number["mantissa"] // 10**-shift)


def _to_float(number: int) -> dict[str, int]:
    """Back to a SafeFloat, normalised as the runtime does: 10**20 < mantissa <= 10**21."""
    if number == 0:
        return {"mantissa": 0, "exponent": 0}
    exponent = -_SCALE
    while number > _MANTISSA:
        number, exponent = number // 10, exponent + 1
    while number <= _MANTISSA // 10:
        number, exponent = number * 10, exponent - 1
    return {"mantissa": number, "exponent": exponent}


def stake_of(state: State, hotkey: bytes, coldkey: bytes, netuid: int) -> int:
    """The coldkey's alpha (RAO) on the hotkey."""
    total_shares = _to_int(state.get(S.TotalHotkeySharesV2, hotkey, netuid))
    if not total_shares:
        return 0
    shares = _to_int(state.get(S.AlphaV2, hotkey, coldkey, netuid))
    # rounded to the nearest, since shares keep 21 digits of what can have more
    return (2 * shares * state.get(S.TotalHotkeyAlpha, hotkey, netuid) + total_shares) // (2 * total_shares)


def increase_stake(ctx: Context, hotkey: bytes, coldkey: bytes, netuid: int, amount: int) -> None:
    """Credit alpha to a coldkey on a hotkey."""
    if amount <= 0:
        return
    state = ctx.state
    total = state.get(S.TotalHotkeyAlpha, hotkey, netuid)
    total_shares = _to_int(state.get(S.TotalHotkeySharesV2, hotkey, netuid))
    new = amount * total_shares // total if total and total_shares else amount * 10**_SCALE
    own = _to_int(state.get(S.AlphaV2, hotkey, coldkey, netuid)) + new
    state.put(S.AlphaV2, hotkey, coldkey, netuid, to=_to_float(own))
    state.put(S.TotalHotkeySharesV2, hotkey, netuid, to=_to_float(total_shares + new))
    state.put(S.TotalHotkeyAlpha, hotkey, netuid, to=total + amount)
    staking = state.get(S.StakingHotkeys, coldkey)
    if hotkey not in staking:
        state.put(S.StakingHotkeys, coldkey, to=[*staking, hotkey])


def increase_stake_of_all(ctx: Context, hotkey: bytes, netuid: int, amount: int) -> None:
    """Credit alpha to all who staked on the hotkey, by their shares; to its owner if nobody did."""
    if amount <= 0:
        return
    state = ctx.state
    if not _to_int(state.get(S.TotalHotkeySharesV2, hotkey, netuid)):
        increase_stake(ctx, hotkey, state.get(S.Owner, hotkey), netuid, amount)
        return
    state.add(S.TotalHotkeyAlpha, hotkey, netuid, by=amount)


def decrease_stake(ctx: Context, hotkey: bytes, coldkey: bytes, netuid: int, amount: int) -> None:
    """Take alpha from a coldkey on a hotkey; it must have that much."""
    state = ctx.state
    total = state.get(S.TotalHotkeyAlpha, hotkey, netuid)
    total_shares = _to_int(state.get(S.TotalHotkeySharesV2, hotkey, netuid))
    own = _to_int(state.get(S.AlphaV2, hotkey, coldkey, netuid))
    whole = amount >= stake_of(state, hotkey, coldkey, netuid)
    gone = own if whole else min(own, -(-amount * total_shares // total))
    left, others = own - gone, total_shares - gone
    if left:
        state.put(S.AlphaV2, hotkey, coldkey, netuid, to=_to_float(left))
    else:
        state.drop(S.AlphaV2, hotkey, coldkey, netuid)
    if total == amount:
        state.drop(S.TotalHotkeySharesV2, hotkey, netuid)
    else:
        state.put(S.TotalHotkeySharesV2, hotkey, netuid, to=_to_float(others))
    state.put(S.TotalHotkeyAlpha, hotkey, netuid, to=total - amount)


def stake(ctx: Context, hotkey: bytes, coldkey: bytes, netuid: int, amount: int) -> None:
    """Turn a coldkey's TAO into alpha on a hotkey, one for one."""
    state = ctx.state
    transfer(ctx, coldkey, subnet_account(netuid), amount, keep_alive=False)
    increase_stake(ctx, hotkey, coldkey, netuid, amount)
    for item in (S.SubnetTAO, S.SubnetAlphaOut, S.SubnetVolume):
        state.add(item, netuid, by=amount)
    state.add(S.TotalStake, by=amount)
    ctx.emit(S.StakeAdded, coldkey, hotkey, amount, amount, netuid, 0)


def unstake(ctx: Context, hotkey: bytes, coldkey: bytes, netuid: int, amount: int) -> None:
    """Turn a coldkey's alpha on a hotkey back into TAO, one for one."""
    state = ctx.state
    decrease_stake(ctx, hotkey, coldkey, netuid, amount)
    transfer(ctx, subnet_account(netuid), coldkey, amount, keep_alive=False)
    state.add(S.SubnetVolume, netuid, by=amount)
    for item in (S.SubnetTAO, S.SubnetAlphaOut):
        state.add(item, netuid, by=-amount)
    state.add(S.TotalStake, by=-amount)
    ctx.emit(S.StakeRemoved, coldkey, hotkey, amount, amount, netuid, 0)


def ensure_unstakable(ctx: Context, hotkey: bytes, coldkey: bytes, netuid: int, amount: int) -> None:
    """What is checked before alpha is unstaked: all of it may always go, a part must be MIN_STAKE or more."""
    state = ctx.state
    ensure(state.get(S.NetworksAdded, netuid), Error.SubnetNotExists)
    ensure(amount > 0, Error.AmountTooLow)
    ensure(amount == stake_of(state, hotkey, coldkey, netuid) or amount >= MIN_STAKE, Error.AmountTooLow)
    ensure(state.has(S.Owner, hotkey), Error.HotKeyAccountNotExists)
    ensure(free(state, subnet_account(netuid)) >= amount, Error.InsufficientLiquidity)


@S.call(2)
def add_stake(ctx: Context, who: bytes, hotkey: account, netuid: u16, amount_staked: u64) -> None:
    """Stake TAO of the caller's coldkey on a hotkey: alpha of the subnet, one for one."""
    state = ctx.state
    ensure(state.get(S.NetworksAdded, netuid), Error.SubnetNotExists)
    ensure(state.get(S.SubtokenEnabled, netuid), Error.SubtokenDisabled)
    ensure(amount_staked >= MIN_STAKE, Error.AmountTooLow)
    ensure(free(state, who) >= amount_staked, Error.NotEnoughBalanceToStake)
    ensure(state.has(S.Owner, hotkey), Error.HotKeyAccountNotExists)
    stake(ctx, hotkey, who, netuid, amount_staked)


@S.call(3)
def remove_stake(ctx: Context, who: bytes, hotkey: account, netuid: u16, amount_unstaked: u64) -> None:
    """Take the caller's alpha off a hotkey and turn it into TAO, one for one; more than there is means all."""
    state = ctx.state
    ensure(state.get(S.SubtokenEnabled, netuid), Error.SubtokenDisabled)
    amount = min(amount_unstaked, stake_of(state, hotkey, who, netuid))
    ensure_unstakable(ctx, hotkey, who, netuid, amount)
    unstake(ctx, hotkey, who, netuid, amount)
    clear_small_nomination(ctx, hotkey, who, netuid)
    if total_stake(state, hotkey) < state.get(S.StakeThreshold):
        for (one,) in state.keys(S.NetworksAdded):
            state.drop(S.PendingChildKeys, one, hotkey)


def clear_small_nomination(ctx: Context, hotkey: bytes, coldkey: bytes, netuid: int) -> None:
    """Unstake what is left of a nominator's stake, if it is below NominatorMinRequiredStake."""
    state = ctx.state
    left = stake_of(state, hotkey, coldkey, netuid)
    if state.get(S.Owner, hotkey) != coldkey and 0 < left < state.get(S.NominatorMinRequiredStake):
        unstake(ctx, hotkey, coldkey, netuid, left)


def clear_small_nominations(ctx: Context) -> None:
    """The same for all stake there is."""
    for hotkey, coldkey, netuid in ctx.state.keys(S.AlphaV2):
        clear_small_nomination(ctx, hotkey, coldkey, netuid)


@S.call(88)
def add_stake_limit(
    ctx: Context,
    who: bytes,
    hotkey: account,
    netuid: u16,
    amount_staked: u64,
    limit_price: u64,
    allow_partial: boolean,
) -> None:
    """As add_stake, if one alpha costs at most limit_price (RAO); here it always costs one TAO."""
    ensure(limit_price >= TAO, Error.SlippageTooHigh)
    add_stake(ctx, who, hotkey, netuid, amount_staked)


@S.call(89)
def remove_stake_limit(
    ctx: Context,
    who: bytes,
    hotkey: account,
    netuid: u16,
    amount_unstaked: u64,
    limit_price: u64,
    allow_partial: boolean,
) -> None:
    """As remove_stake, if one alpha brings at least limit_price (RAO); here it always brings one TAO."""
    ensure(limit_price <= TAO, Error.SlippageTooHigh)
    remove_stake(ctx, who, hotkey, netuid, amount_unstaked)
