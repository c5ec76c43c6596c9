"""Balances: who has how much TAO, in RAO (u64 here, as on the real chain).

The functions at the end are how other pallets move TAO; all of them keep TotalIssuance equal to the
sum of all accounts.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from subnet.devnet.context import Context
from subnet.devnet.pallet import Constant, Event, Item, Pallet, TokenFailed
from subnet.devnet.pallets.system import System
from subnet.devnet.scale import ACCOUNT, U64, address, boolean, compact_u64
from subnet.devnet.state import State

EXISTENTIAL_DEPOSIT = 500  # RAO
U64_MAX = 2**64 - 1

Error = IntEnum(
    "Error",
    "VestingBalance LiquidityRestrictions InsufficientBalance ExistentialDeposit Expendability "
    "ExistingVestingSchedule DeadAccount TooManyReserves TooManyHolds TooManyFreezes IssuanceDeactivated "
    "DeltaZero",
    start=0,
)


def account_of(dest: tuple[str, Any]) -> bytes:
    """The account that a MultiAddress names; other kinds than Id and Address32 can't be looked up here."""
    kind, value = dest
    if kind not in ("Id", "Address32"):
        raise TokenFailed("CannotCreate")
    return bytes(value)


class Balances(Pallet, index=5, rust="pallet_balances"):
    """TAO of accounts, in RAO."""

    errors = Error

    TotalIssuance = Item(U64, docs="The total units issued in the system.")
    InactiveIssuance = Item(U64)

    Endowed = Event(0, account=ACCOUNT, free_balance=U64)
    DustLost = Event(1, account=ACCOUNT, amount=U64)
    Transfer = Event(2, from_=ACCOUNT, to=ACCOUNT, amount=U64)
    BalanceSet = Event(3, who=ACCOUNT, free=U64)
    Deposit = Event(7, who=ACCOUNT, amount=U64)
    Withdraw = Event(8, who=ACCOUNT, amount=U64)

    ExistentialDeposit = Constant(U64, EXISTENTIAL_DEPOSIT)


@Balances.call(0)
def transfer_allow_death(ctx: Context, who: bytes, dest: address, value: compact_u64) -> None:
    """Transfer some liquid free balance to another account."""
    transfer(ctx, who, account_of(dest), value, keep_alive=False)


@Balances.call(2, origin="root")
def force_transfer(ctx: Context, origin: None, source: address, dest: address, value: compact_u64) -> None:
    """Exactly as transfer_allow_death, except the origin must be root and the source may be specified."""
    transfer(ctx, account_of(source), account_of(dest), value, keep_alive=False)


@Balances.call(3)
def transfer_keep_alive(ctx: Context, who: bytes, dest: address, value: compact_u64) -> None:
    """Same as transfer_allow_death, but with a check that the transfer will not kill the origin account."""
    transfer(ctx, who, account_of(dest), value, keep_alive=True)


@Balances.call(4)
def transfer_all(ctx: Context, who: bytes, dest: address, keep_alive: boolean) -> None:
    """Transfer the entire transferable balance from the caller account."""
    amount = free(ctx.state, who) - (EXISTENTIAL_DEPOSIT if keep_alive else 0)
    transfer(ctx, who, account_of(dest), max(0, amount), keep_alive=keep_alive)


@Balances.call(8, origin="root")
def force_set_balance(ctx: Context, origin: None, who: address, new_free: compact_u64) -> None:
    """Set the regular balance of a given account; it also adjusts the total issuance."""
    target = account_of(who)
    old = free(ctx.state, target)
    if new_free > old:
        mint(ctx, target, new_free - old)
    else:
        burn(ctx.state, target, old - new_free)
    ctx.emit(Balances.BalanceSet, target, new_free)


def free(state: State, who: bytes) -> int:
    """The account's free balance in RAO."""
    return int(state.get(System.Account, who)["data"]["free"])


def _set_free(state: State, who: bytes, amount: int) -> None:
    info = state.get(System.Account, who)
    info["data"]["free"] = amount
    info["providers"] = 1 if amount else 0
    if amount == 0 and info["nonce"] == 0:
        state.drop(System.Account, who)
    else:
        state.put(System.Account, who, to=info)


def mint(ctx: Context, who: bytes, amount: int) -> None:
    """New TAO into an account."""
    if ctx.state.get(Balances.TotalIssuance) + amount > U64_MAX:
        raise TokenFailed("BelowMinimum")
    _credit(ctx, who, amount)
    ctx.state.add(Balances.TotalIssuance, by=amount)


def mint_if_it_fits(ctx: Context, who: bytes, amount: int) -> bool:
    """As :func:`mint`, where all TAO and the account's stay below 2**64; otherwise False, and nothing is changed."""
    if max(ctx.state.get(Balances.TotalIssuance), free(ctx.state, who)) + amount > U64_MAX:
        return False
    mint(ctx, who, amount)
    return True


def burn(state: State, who: bytes, amount: int) -> None:
    """TAO out of an account and out of existence; TokenFailed if it has less."""
    have = free(state, who)
    if have < amount:
        raise TokenFailed("FundsUnavailable")
    _set_free(state, who, have - amount)
    state.add(Balances.TotalIssuance, by=-amount)


def _credit(ctx: Context, who: bytes, amount: int) -> None:
    have = free(ctx.state, who)
    if have + amount > U64_MAX:
        raise TokenFailed("BelowMinimum")
    _set_free(ctx.state, who, have + amount)
    if have == 0 and amount:
        ctx.emit(System.NewAccount, who)
        ctx.emit(Balances.Endowed, who, amount)


def transfer(ctx: Context, source: bytes, dest: bytes, amount: int, *, keep_alive: bool) -> None:
    """Move TAO; what would be left below the existential deposit is refused (keep_alive) or lost as dust."""
    state = ctx.state
    have = free(state, source)
    if have < amount:
        raise TokenFailed("FundsUnavailable")
    left = have - amount
    if left < EXISTENTIAL_DEPOSIT and keep_alive:
        raise TokenFailed("NotExpendable")
    if source != dest:
        if free(state, dest) + amount < EXISTENTIAL_DEPOSIT:
            raise TokenFailed("BelowMinimum")
        _set_free(state, source, left)
        _credit(ctx, dest, amount)
        if 0 < left < EXISTENTIAL_DEPOSIT:
            burn(state, source, left)
            ctx.emit(Balances.DustLost, source, left)
        if left < EXISTENTIAL_DEPOSIT:
            ctx.emit(System.KilledAccount, source)
    ctx.emit(Balances.Transfer, source, dest, amount)
