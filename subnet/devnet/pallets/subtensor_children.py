"""Children: hotkeys that validate with a share of another hotkey's stake, and keep a take of what it earns.

A parent names its children with :func:`set_children`; once the subnet has started they wait for
PendingChildKeyCooldown and take effect at the next epoch (:func:`apply_pending`). Shares are of 2**64 - 1.
:func:`inherited` is the stake that a hotkey votes with, :func:`dividends_of` who earns its dividends.
"""

from __future__ import annotations

from typing import Annotated

from subnet.devnet.context import Context
from subnet.devnet.pallet import ensure
from subnet.devnet.pallets.subtensor import ROOT
from subnet.devnet.pallets.subtensor import SubtensorModule as S
from subnet.devnet.pallets.subtensor_errors import Error
from subnet.devnet.pallets.subtensor_limits import (
    SET_CHILDKEY_TAKE,
    SET_CHILDREN,
    SET_CHILDREN_EVERY,
    limit_key,
    record_key,
)
from subnet.devnet.pallets.subtensor_types import CHILDREN
from subnet.devnet.scale import account, u16, u64
from subnet.devnet.state import State

WHOLE = 2**64 - 1
MAX_CHILDREN = 5
FRACTION = 32  # bits after the point in the runtime's U96F32
Links = list[tuple[int, bytes]]
children_list = Annotated[Links, CHILDREN]


@S.call(67)
def set_children(ctx: Context, who: bytes, hotkey: account, netuid: u16, children: children_list) -> None:
    """Name a hotkey's children on a subnet: at most five (share, hotkey), shares of 2**64 - 1; none takes all back."""
    state = ctx.state
    limit_key(ctx, hotkey, netuid, SET_CHILDREN, SET_CHILDREN_EVERY, Error.TxRateLimitExceeded)
    ensure(netuid != ROOT, Error.RegistrationNotPermittedOnRootSubnet)
    ensure(state.get(S.NetworksAdded, netuid), Error.SubnetNotExists)
    ensure(state.has(S.Owner, hotkey) and state.get(S.Owner, hotkey) == who, Error.NonAssociatedColdKey)
    named = [child for _, child in children]
    ensure(len(set(named)) == len(named), Error.DuplicateChild)
    ensure(hotkey not in named, Error.InvalidChild)
    ensure(len(named) <= MAX_CHILDREN, Error.TooManyChildren)
    ensure(sum(share for share, _ in children) <= WHOLE, Error.ProportionOverflow)
    ensure(_apart(state, hotkey, netuid, children), Error.ChildParentInconsistency)
    enough = not children or total_stake(state, hotkey) >= state.get(S.StakeThreshold)
    owns = state.get(S.SubnetOwnerHotkey, netuid) == hotkey
    ensure(enough or owns, Error.NotEnoughStakeToSetChildkeys)
    record_key(ctx, hotkey, netuid, SET_CHILDREN)
    if not state.get(S.SubtokenEnabled, netuid):
        _apply(ctx, hotkey, netuid, children)
        return
    due = ctx.block + state.get(S.PendingChildKeyCooldown)
    state.put(S.PendingChildKeys, netuid, hotkey, to=(children, due))
    ctx.emit(S.SetChildrenScheduled, hotkey, netuid, due, children)


def _apart(state: State, hotkey: bytes, netuid: int, children: Links) -> bool:
    """Whether no child is a parent too."""
    parents = {parent for _, parent in state.get(S.ParentKeys, hotkey, netuid)}
    return not parents & {child for _, child in children}


def total_stake(state: State, hotkey: bytes) -> int:
    """All alpha on a hotkey, on all subnets, in RAO; one alpha is one TAO here."""
    return sum(state.get(S.TotalHotkeyAlpha, *key) for key in state.keys(S.TotalHotkeyAlpha, hotkey))


def _apply(ctx: Context, hotkey: bytes, netuid: int, children: Links) -> None:
    """Make them the hotkey's children, unless one has become its parent meanwhile."""
    state = ctx.state
    if not _apart(state, hotkey, netuid, children):
        return
    children = sorted(children, key=lambda link: link[1])
    for _, former in state.get(S.ChildKeys, hotkey, netuid):
        _link_parent(state, former, netuid, hotkey, None)
    for share, child in children:
        _link_parent(state, child, netuid, hotkey, share)
    if children:
        state.put(S.ChildKeys, hotkey, netuid, to=children)
    else:
        state.drop(S.ChildKeys, hotkey, netuid)
    ctx.emit(S.SetChildren, hotkey, netuid, children)


def _link_parent(state: State, child: bytes, netuid: int, parent: bytes, share: int | None) -> None:
    links = [link for link in state.get(S.ParentKeys, child, netuid) if link[1] != parent]
    if share is not None:
        links.append((share, parent))
    if links:
        state.put(S.ParentKeys, child, netuid, to=links)
    else:
        state.drop(S.ParentKeys, child, netuid)


def apply_pending(ctx: Context, netuid: int) -> None:
    """At an epoch: children whose cooldown is over take effect."""
    state = ctx.state
    for _, hotkey in state.keys(S.PendingChildKeys, netuid):
        children, due = state.get(S.PendingChildKeys, netuid, hotkey)
        if due < ctx.block or not state.get(S.SubtokenEnabled, netuid):
            state.drop(S.PendingChildKeys, netuid, hotkey)
            _apply(ctx, hotkey, netuid, children)


@S.call(75)
def set_childkey_take(ctx: Context, who: bytes, hotkey: account, netuid: u16, take: u16) -> None:
    """Set the share (u16) of its parents' dividends that a hotkey keeps on a subnet."""
    state = ctx.state
    ensure(state.has(S.Owner, hotkey) and state.get(S.Owner, hotkey) == who, Error.NonAssociatedColdKey)
    ensure(least_childkey_take(state, netuid) <= take <= state.get(S.MaxChildkeyTake), Error.InvalidChildkeyTake)
    if take > childkey_take(state, hotkey, netuid):
        wait = state.get(S.TxChildkeyTakeRateLimit)
        limit_key(ctx, hotkey, netuid, SET_CHILDKEY_TAKE, wait, Error.TxChildkeyTakeRateLimitExceeded)
    record_key(ctx, hotkey, netuid, SET_CHILDKEY_TAKE)
    state.put(S.ChildkeyTake, hotkey, netuid, to=take)
    ctx.emit(S.ChildKeyTakeSet, hotkey, take)


def least_childkey_take(state: State, netuid: int) -> int:
    """The least take (u16) that a subnet allows."""
    return max(state.get(S.MinChildkeyTake), state.get(S.MinChildkeyTakePerSubnet, netuid))


def childkey_take(state: State, hotkey: bytes, netuid: int) -> int:
    """The take (u16) that holds: what the hotkey set, or the least there may be."""
    return max(state.get(S.ChildkeyTake, hotkey, netuid), least_childkey_take(state, netuid))


@S.call(69, origin="root")
def sudo_set_tx_childkey_take_rate_limit(ctx: Context, who: None, tx_rate_limit: u64) -> None:
    """Set how many blocks must pass before a childkey take may rise again."""
    ctx.state.put(S.TxChildkeyTakeRateLimit, to=tx_rate_limit)


@S.call(76, origin="root")
def sudo_set_min_childkey_take(ctx: Context, who: None, take: u16) -> None:
    """Set the least childkey take."""
    ctx.state.put(S.MinChildkeyTake, to=take)


@S.call(77, origin="root")
def sudo_set_max_childkey_take(ctx: Context, who: None, take: u16) -> None:
    """Set the highest childkey take."""
    ctx.state.put(S.MaxChildkeyTake, to=take)


@S.call(109, origin="root")
def set_pending_childkey_cooldown(ctx: Context, who: None, cooldown: u64) -> None:
    """Set how many blocks children wait before they take effect."""
    ctx.state.put(S.PendingChildKeyCooldown, to=cooldown)


# what children do to stake and dividends, in the runtime's U96F32 (integers of 1/2**32)
def _share(share: int) -> int:
    return (share << FRACTION) // WHOLE


def inherited(state: State, hotkey: bytes, netuid: int, of: int) -> int:
    """Alpha of subnet ``of`` (RAO) that a hotkey votes with on ``netuid``: less its children's, plus its parents'."""
    stake = state.get(S.TotalHotkeyAlpha, hotkey, of)
    children = state.get(S.ChildKeys, hotkey, netuid)
    parents = state.get(S.ParentKeys, hotkey, netuid)
    if netuid == ROOT or not (children or parents):
        return stake
    lent = sum(stake * _share(share) for share, _ in children)
    borrowed = sum(state.get(S.TotalHotkeyAlpha, parent, of) * _share(share) for share, parent in parents)
    return (max(0, (stake << FRACTION) - lent) + borrowed) >> FRACTION


def dividends_of(state: State, hotkey: bytes, netuid: int, amount: int) -> tuple[Links, int]:
    """Who earns a hotkey's dividends (RAO): (amount, hotkey) of each parent and at last itself, and what is burned.

    Parents share by what they lent; of a parent that another coldkey owns, the hotkey keeps its take.
    """
    parents = state.get(S.ParentKeys, hotkey, netuid)
    if not parents:
        return [(amount, hotkey)], 0
    weight = (state.get(S.TaoWeight) << FRACTION) // WHOLE
    kept = max(0, (1 << FRACTION) - sum(_share(share) for share, _ in state.get(S.ChildKeys, hotkey, netuid)))
    own = _contribution(state, hotkey, netuid, kept, weight) >> FRACTION << FRACTION
    lent = [(parent, _contribution(state, parent, netuid, _share(share), weight)) for share, parent in parents]
    total = own + sum(part for _, part in lent)
    take = (childkey_take(state, hotkey, netuid) << FRACTION) // 65535
    burn = (state.get(S.CKBurn) << FRACTION) // WHOLE
    owner, whole = state.get(S.Owner, hotkey), amount << FRACTION
    remaining, taken, burned, found = whole, 0, 0, []
    for parent, part in lent:
        factor = (part << FRACTION) // total if total else 0
        earned = whole * factor >> FRACTION
        remaining = max(0, remaining - earned)
        if state.get(S.Owner, parent) != owner:
            to_burn, to_child = burn * earned >> FRACTION, take * earned >> FRACTION
            earned = max(0, earned - to_burn - to_child)
            taken += to_child
            burned += to_burn >> FRACTION
        found.append((earned >> FRACTION, parent))
    return [*found, (remaining + taken >> FRACTION, hotkey)], burned


def _contribution(state: State, hotkey: bytes, netuid: int, share: int, weight: int) -> int:
    """Alpha, and root TAO by its weight, of a share of a hotkey's stake."""
    alpha = state.get(S.TotalHotkeyAlpha, hotkey, netuid) * share
    root = state.get(S.TotalHotkeyAlpha, hotkey, ROOT) * share
    return alpha + (root * weight >> FRACTION)
