"""Utility (batches) and Sudo (calls as root): calls that hold calls."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Any

from subnet.devnet.context import Context
from subnet.devnet.pallet import Call, Event, Maybe, Pallet, ensure
from subnet.devnet.pallets.balances import account_of
from subnet.devnet.scale import ACCOUNT, U32, Lazy, Option, Scale, Vec, address
from subnet.devnet.shapes import DISPATCH_ERROR, DISPATCH_RESULT, WEIGHT

_call_type: list[Scale[Call]] = []
RUNTIME_CALL: Lazy[Call] = Lazy(lambda: _call_type[0])
runtime_call = Annotated[Call, RUNTIME_CALL]
runtime_calls = Annotated[list[Call], Vec(RUNTIME_CALL)]
weight = Annotated[dict[str, int], WEIGHT]
MAX_BATCH = 1000  # calls in one batch

UtilityError = IntEnum("UtilityError", "TooManyCalls", start=0)
SudoError = IntEnum("SudoError", "RequireSudo", start=0)


def set_call_type(scale: Scale[Call]) -> None:
    """Called by the runtime once it knows all pallets' calls."""
    _call_type[:] = [scale]


class InnerFailed(Exception):
    """batch_all's inner error, which becomes its own."""

    def __init__(self, error: tuple[str, Any]) -> None:
        super().__init__(error[0])
        self.error = error


class Utility(Pallet, index=11, rust="pallet_utility"):
    """Batches of calls."""

    errors = UtilityError

    BatchInterrupted = Event(0, index=U32, error=DISPATCH_ERROR)
    BatchCompleted = Event(1)
    BatchCompletedWithErrors = Event(2)
    ItemCompleted = Event(3)
    ItemFailed = Event(4, error=DISPATCH_ERROR)


@Utility.call(0, origin="any")
def batch(ctx: Context, who: bytes | None, calls: runtime_calls) -> None:
    """Send a batch of dispatch calls; it stops at the first that fails, without undoing the ones before."""
    ensure(len(calls) <= MAX_BATCH, UtilityError.TooManyCalls)
    for number, one in enumerate(calls):
        error = ctx.dispatch(ctx, one, who)
        if error:
            ctx.emit(Utility.BatchInterrupted, number, error)
            return
        ctx.emit(Utility.ItemCompleted)
    ctx.emit(Utility.BatchCompleted)


@Utility.call(2, origin="any")
def batch_all(ctx: Context, who: bytes | None, calls: runtime_calls) -> None:
    """Send a batch of dispatch calls and atomically execute them."""
    ensure(len(calls) <= MAX_BATCH, UtilityError.TooManyCalls)
    for one in calls:
        error = ctx.dispatch(ctx, one, who)
        if error:
            raise InnerFailed(error)
        ctx.emit(Utility.ItemCompleted)
    ctx.emit(Utility.BatchCompleted)


@Utility.call(4, origin="any")
def force_batch(ctx: Context, who: bytes | None, calls: runtime_calls) -> None:
    """Send a batch of dispatch calls; unlike batch, it goes on after a call that fails."""
    ensure(len(calls) <= MAX_BATCH, UtilityError.TooManyCalls)
    failed = False
    for one in calls:
        error = ctx.dispatch(ctx, one, who)
        failed |= error is not None
        if error:
            ctx.emit(Utility.ItemFailed, error)
        else:
            ctx.emit(Utility.ItemCompleted)
    ctx.emit(Utility.BatchCompletedWithErrors if failed else Utility.BatchCompleted)


def _require_sudo(ctx: Context, who: bytes) -> None:
    ensure(ctx.state.get(Sudo.Key) == who, SudoError.RequireSudo)
    ctx.free = True


def _sudo(ctx: Context, inner: Call, origin: bytes | None) -> tuple[str, Any]:
    error = ctx.dispatch(ctx, inner, origin)
    return ("Err", error) if error else ("Ok", ())


class Sudo(Pallet, index=12, rust="pallet_sudo"):
    """Calls as root, for the sudo key."""

    errors = SudoError

    Key = Maybe(ACCOUNT, docs="The `AccountId` of the sudo key.")

    Sudid = Event(0, sudo_result=DISPATCH_RESULT)
    KeyChanged = Event(1, old=Option(ACCOUNT), new=ACCOUNT)
    SudoAsDone = Event(3, sudo_result=DISPATCH_RESULT)


@Sudo.call(0)
def sudo(ctx: Context, who: bytes, call: runtime_call) -> None:
    """Authenticates the sudo key and dispatches a function call with `Root` origin."""
    _require_sudo(ctx, who)
    ctx.emit(Sudo.Sudid, _sudo(ctx, call, None))


@Sudo.call(1)
def sudo_unchecked_weight(ctx: Context, who: bytes, call: runtime_call, weight: weight) -> None:
    """As sudo, with the weight given by the caller."""
    _require_sudo(ctx, who)
    ctx.emit(Sudo.Sudid, _sudo(ctx, call, None))


@Sudo.call(2)
def set_key(ctx: Context, who: bytes, new: address) -> None:
    """Authenticates the current sudo key and sets the given AccountId as the new sudo key."""
    _require_sudo(ctx, who)
    ctx.state.put(Sudo.Key, to=account_of(new))
    ctx.emit(Sudo.KeyChanged, who, account_of(new))


@Sudo.call(3)
def sudo_as(ctx: Context, who: bytes, as_who: address, call: runtime_call) -> None:
    """Authenticates the sudo key and dispatches a function call with `Signed` origin from a given account."""
    _require_sudo(ctx, who)
    ctx.emit(Sudo.SudoAsDone, _sudo(ctx, call, account_of(as_who)))
