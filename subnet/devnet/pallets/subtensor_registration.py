"""Neurons: how they get on a subnet, what that costs, and who makes room when it is full."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from subnet.devnet.context import Context
from subnet.devnet.hashing import keccak_256
from subnet.devnet.pallet import Item, ensure
from subnet.devnet.pallets.balances import free, transfer
from subnet.devnet.pallets.subtensor import ROOT, is_subnet_account, mechanism_indexes, subnet_account
from subnet.devnet.pallets.subtensor import SubtensorModule as S
from subnet.devnet.pallets.subtensor_errors import Error
from subnet.devnet.pallets.system import System
from subnet.devnet.scale import account, octets, u16, u64
from subnet.devnet.state import State

Q32 = 1 << 32
WORK_BLOCKS = 3  # blocks that proof of work is good for
COLUMNS: tuple[tuple[Item[Any], Any], ...] = (
    (S.Active, True),
    (S.Rank, 0),
    (S.Trust, 0),
    (S.Consensus, 0),
    (S.Dividends, 0),
    (S.Emission, 0),
    (S.ValidatorTrust, 0),
    (S.PruningScores, 65535),
    (S.ValidatorPermit, False),
    (S.StakeWeight, 0),
)


def associate(ctx: Context, coldkey: bytes, hotkey: bytes) -> None:
    """Make the coldkey the hotkey's owner, if the hotkey has none."""
    state = ctx.state
    ensure(not is_subnet_account(hotkey), Error.CannotUseSystemAccount)
    if state.has(S.Owner, hotkey):
        return
    state.put(S.Owner, hotkey, to=coldkey)
    for item in (S.OwnedHotkeys, S.StakingHotkeys):
        hotkeys = state.get(item, coldkey)
        if hotkey not in hotkeys:
            state.put(item, coldkey, to=[*hotkeys, hotkey])


def append_neuron(ctx: Context, netuid: int, hotkey: bytes) -> int:
    """A new uid at the end of the subnet."""
    state = ctx.state
    uid = state.get(S.SubnetworkN, netuid)
    state.put(S.SubnetworkN, netuid, to=uid + 1)
    for column, initial in COLUMNS:
        values = state.get(column, netuid)
        state.put(column, netuid, to=[*values[:uid], *[initial] * (uid + 1 - len(values[:uid]))])
    for index in mechanism_indexes(state, netuid):
        values = state.get(S.Incentive, index)
        state.put(S.Incentive, index, to=[*values[:uid], *[0] * (uid + 1 - len(values[:uid]))])
    _move_in(ctx, netuid, uid, hotkey)
    return uid


def _move_in(ctx: Context, netuid: int, uid: int, hotkey: bytes) -> None:
    state = ctx.state
    state.put(S.Keys, netuid, uid, to=hotkey)
    state.put(S.Uids, netuid, hotkey, to=uid)
    state.put(S.BlockAtRegistration, netuid, uid, to=ctx.block)
    state.put(S.IsNetworkMember, hotkey, netuid, to=True)
    # a new validator is rate limited from its registration on
    for index in mechanism_indexes(state, netuid):
        set_last_update(state, index, uid, ctx.block)


def set_last_update(state: State, index: int, uid: int, block: int) -> None:
    values = state.get(S.LastUpdate, index)
    values += [0] * (uid + 1 - len(values))
    values[uid] = block
    state.put(S.LastUpdate, index, to=values)


def replace_neuron(ctx: Context, netuid: int, uid: int, hotkey: bytes) -> None:
    """Give the uid to another hotkey; nothing of the old one stays on the subnet but its stake."""
    state = ctx.state
    move_out(state, netuid, uid)
    for column, initial in COLUMNS:
        values = state.get(column, netuid)
        if uid < len(values):
            values[uid] = initial
            state.put(column, netuid, to=values)
    for index in mechanism_indexes(state, netuid):
        _clear_weights(state, index, uid)
    _move_in(ctx, netuid, uid, hotkey)


def move_out(state: State, netuid: int, uid: int) -> None:
    """Take a uid's hotkey off the subnet: what is kept by its name. What is kept by uid is the caller's."""
    hotkey = state.get(S.Keys, netuid, uid)
    state.drop(S.Uids, netuid, hotkey)
    state.drop(S.IsNetworkMember, hotkey, netuid)
    for item in (S.Axons, S.NeuronCertificates, S.Prometheus):
        state.drop(item, netuid, hotkey)


def _clear_weights(state: State, index: int, uid: int) -> None:
    """Take the neuron out of a mechanism: its weights, bonds and incentive, and others' weights on it."""
    incentive = state.get(S.Incentive, index)
    if uid < len(incentive):
        incentive[uid] = 0
        state.put(S.Incentive, index, to=incentive)
    state.drop(S.Bonds, index, uid)
    state.drop(S.Weights, index, uid)
    for _, other in state.keys(S.Weights, index):
        row = state.get(S.Weights, index, other)
        if any(column == uid and weight for column, weight in row):
            cleared = [(column, 0 if column == uid else weight) for column, weight in row]
            state.put(S.Weights, index, other, to=cleared)


def immortal(state: State, netuid: int) -> set[bytes]:
    """The owner's hotkeys that are never pruned: its own, then its coldkey's oldest, ImmuneOwnerUidsLimit in all."""
    owner, coldkey = state.get(S.SubnetOwnerHotkey, netuid), state.get(S.SubnetOwner, netuid)
    uids = [(hotkey, state.get(S.Uids, netuid, hotkey)) for hotkey in state.get(S.OwnedHotkeys, coldkey)]
    there = [(state.get(S.BlockAtRegistration, netuid, uid), uid, hotkey) for hotkey, uid in uids if uid is not None]
    limit = state.get(S.ImmuneOwnerUidsLimit, netuid)
    found = [hotkey for _, _, hotkey in sorted(there)[:limit]]
    if owner not in found and state.has(S.Uids, netuid, owner):
        found = [owner, *found][:limit]
    return set(found)


def neuron_to_prune(ctx: Context, netuid: int) -> int | None:
    """The uid that makes room: least emission, then oldest, then lowest uid; not immune unless all are.

    The subnet owner's hotkey is never pruned. None if nobody can be.
    """
    state = ctx.state
    spared = immortal(state, netuid)
    emission = state.get(S.Emission, netuid)
    immunity = state.get(S.ImmunityPeriod, netuid)
    free_ones: list[tuple[int, int, int]] = []
    immune: list[tuple[int, int, int]] = []
    for _, uid in state.keys(S.Keys, netuid):
        if state.get(S.Keys, netuid, uid) in spared:
            continue
        registered = state.get(S.BlockAtRegistration, netuid, uid)
        rank = (emission[uid] if uid < len(emission) else 0, registered, uid)
        (immune if ctx.block - registered < immunity else free_ones).append(rank)
    if len(free_ones) > state.get(S.MinNonImmuneUids, netuid):
        return min(free_ones)[2]
    return min(immune)[2] if immune else None


@S.call(7)
def burned_register(ctx: Context, who: bytes, netuid: u16, hotkey: account) -> None:
    """Register a hotkey on a subnet for its burn, paid by the caller's coldkey."""
    _register(ctx, who, netuid, hotkey)


@S.call(134)
def register_limit(ctx: Context, who: bytes, netuid: u16, hotkey: account, limit_price: u64) -> None:
    """As burned_register, if the burn is at most limit_price (RAO)."""
    ensure(netuid != ROOT, Error.RegistrationNotPermittedOnRootSubnet)
    ensure(ctx.state.get(S.NetworksAdded, netuid), Error.SubnetNotExists)
    ensure(ctx.state.get(S.Burn, netuid) <= limit_price, Error.RegistrationPriceLimitExceeded)
    _register(ctx, who, netuid, hotkey)


@S.call(6)
def register(
    ctx: Context,
    who: bytes,
    netuid: u16,
    _block_number: u64,
    _nonce: u64,
    _work: octets,
    hotkey: account,
    _coldkey: account,
) -> None:
    """As burned_register; on a chain of the legacy tempo rule by proof of work, sent by the hotkey itself."""
    if not ctx.spec.legacy:
        _register(ctx, who, netuid, hotkey)
        return
    state = ctx.state
    ensure(who == hotkey, Error.TransactorAccountShouldBeHotKey)
    _ensure_open(ctx, netuid, hotkey, S.NetworkPowRegistrationAllowed)
    ensure(0 <= ctx.block - _block_number < WORK_BLOCKS, Error.InvalidWorkBlock)
    ensure(len(_work) == 32 and meets(_work, state.get(S.Difficulty, netuid)), Error.InvalidDifficulty)
    ensure(_work == seal(state.get(System.BlockHash, _block_number), hotkey, _nonce), Error.InvalidSeal)
    state.put(S.UsedWork, _work, to=ctx.block)
    associate(ctx, _coldkey, hotkey)
    ensure(state.get(S.Owner, hotkey) == _coldkey, Error.NonAssociatedColdKey)
    _take_place(ctx, netuid, hotkey)


def seal(block_hash: bytes, hotkey: bytes, nonce: int) -> bytes:
    """The work (32 bytes) that a nonce makes for a hotkey and a block."""
    inner = keccak_256(block_hash + hotkey)
    return keccak_256(sha256(nonce.to_bytes(8, "little") + inner).digest())


def meets(work: bytes, difficulty: int) -> bool:
    """Whether the work, as a little-endian number, times the difficulty fits in 256 bits."""
    return int.from_bytes(work, "little") * difficulty < 1 << 256


def _register(ctx: Context, coldkey: bytes, netuid: int, hotkey: bytes) -> None:
    state = ctx.state
    _ensure_open(ctx, netuid, hotkey, S.NetworkRegistrationAllowed)
    cost = state.get(S.Burn, netuid)
    ensure(free(state, coldkey) >= cost, Error.NotEnoughBalanceToStake)
    associate(ctx, coldkey, hotkey)
    ensure(state.get(S.Owner, hotkey) == coldkey, Error.NonAssociatedColdKey)
    # the alpha that the burn would buy is burned: the TAO stays in the subnet
    transfer(ctx, coldkey, subnet_account(netuid), cost, keep_alive=False)
    state.add(S.SubnetTAO, netuid, by=cost)
    state.add(S.TotalStake, by=cost)
    state.add(S.RAORecycledForRegistration, netuid, by=cost)
    _take_place(ctx, netuid, hotkey)
    _raise_burn(state, netuid)


def _ensure_open(ctx: Context, netuid: int, hotkey: bytes, allowed: Item[bool]) -> None:
    """Refuse who may not register now."""
    state = ctx.state
    ensure(netuid != ROOT, Error.RegistrationNotPermittedOnRootSubnet)
    ensure(state.get(S.NetworksAdded, netuid), Error.SubnetNotExists)
    ensure(state.get(allowed, netuid), Error.SubNetRegistrationDisabled)
    this_block = state.get(S.RegistrationsThisBlock, netuid)
    ensure(this_block < state.get(S.MaxRegistrationsPerBlock, netuid), Error.TooManyRegistrationsThisBlock)
    if ctx.spec.legacy:
        _ensure_interval(state, netuid)
    ensure(state.get(S.Uids, netuid, hotkey) is None, Error.HotKeyAlreadyRegisteredInSubNet)


def _ensure_interval(state: State, netuid: int) -> None:
    most = 3 * state.get(S.TargetRegistrationsPerInterval, netuid)
    ensure(state.get(S.RegistrationsThisInterval, netuid) < most, Error.TooManyRegistrationsThisInterval)


def _take_place(ctx: Context, netuid: int, hotkey: bytes) -> None:
    """Give the hotkey a uid: a new one, or the pruned neuron's."""
    state = ctx.state
    full = state.get(S.SubnetworkN, netuid) >= state.get(S.MaxAllowedUids, netuid)
    uid = neuron_to_prune(ctx, netuid) if full else None
    ensure(not full or uid is not None, Error.NoNeuronIdAvailable)
    if uid is None:
        uid = append_neuron(ctx, netuid, hotkey)
    else:
        replace_neuron(ctx, netuid, uid, hotkey)
    _count(ctx, netuid, uid, hotkey)


def _count(ctx: Context, netuid: int, uid: int, hotkey: bytes) -> None:
    ctx.state.add(S.RegistrationsThisBlock, netuid, by=1)
    if ctx.spec.legacy or netuid == ROOT:
        ctx.state.add(S.RegistrationsThisInterval, netuid, by=1)
    ctx.emit(S.NeuronRegistered, netuid, uid, hotkey)


@S.call(62)
def root_register(ctx: Context, who: bytes, hotkey: account) -> None:
    """Register a hotkey on the root network: it is free; of a full one, whoever has the least stake goes."""
    state = ctx.state
    this_block = state.get(S.RegistrationsThisBlock, ROOT)
    ensure(this_block < state.get(S.MaxRegistrationsPerBlock, ROOT), Error.TooManyRegistrationsThisBlock)
    _ensure_interval(state, ROOT)
    ensure(state.get(S.Uids, ROOT, hotkey) is None, Error.HotKeyAlreadyRegisteredInSubNet)
    associate(ctx, who, hotkey)
    if state.get(S.SubnetworkN, ROOT) < state.get(S.MaxAllowedUids, ROOT):
        uid = append_neuron(ctx, ROOT, hotkey)
    else:
        hotkeys = [(uid, state.get(S.Keys, ROOT, uid)) for _, uid in state.keys(S.Keys, ROOT)]
        least, uid = min((state.get(S.TotalHotkeyAlpha, one, ROOT), uid) for uid, one in hotkeys)
        ensure(least < state.get(S.TotalHotkeyAlpha, hotkey, ROOT), Error.StakeTooLowForRoot)
        replace_neuron(ctx, ROOT, uid, hotkey)
    _count(ctx, ROOT, uid, hotkey)


def _raise_burn(state: State, netuid: int) -> None:
    bits = max(state.get(S.BurnIncreaseMult, netuid)["bits"], 1 << 64)
    _set_burn(state, netuid, state.get(S.Burn, netuid) * bits >> 64)


def _set_burn(state: State, netuid: int, burn: int) -> None:
    low, high = state.get(S.MinBurn, netuid), state.get(S.MaxBurn, netuid)
    state.put(S.Burn, netuid, to=min(max(burn, low), high))


def decay_factor(half_life: int) -> int:
    """What the burn is multiplied by each block, in 1/2**32: its half_life-th power is at most a half."""
    low, high = 0, Q32
    while low + 1 < high:
        middle = (low + high) // 2
        if _power(middle, half_life) > Q32 // 2:
            high = middle
        else:
            low = middle
    return low


def _power(base: int, exponent: int) -> int:
    result = Q32
    while exponent:
        if exponent & 1:
            result = result * base >> 32
        base = base * base >> 32
        exponent >>= 1
    return result


_factors: dict[int, int] = {}


def settle_burns(ctx: Context, netuids: list[int]) -> None:
    """At the start of a block: the burns decay, the counts of registrations begin anew."""
    state = ctx.state
    for netuid in netuids:
        half_life = state.get(S.BurnHalfLife, netuid)
        if half_life and ctx.block > 1:
            factor = _factors.setdefault(half_life, 0) or decay_factor(half_life)
            _factors[half_life] = factor
            _set_burn(state, netuid, state.get(S.Burn, netuid) * factor >> 32)
    for netuid in (ROOT, *netuids):
        if state.get(S.RegistrationsThisBlock, netuid):
            state.put(S.RegistrationsThisBlock, netuid, to=0)
        if ctx.block - state.get(S.LastAdjustmentBlock, netuid) >= state.get(S.AdjustmentInterval, netuid):
            state.put(S.LastAdjustmentBlock, netuid, to=ctx.block)
            if state.get(S.RegistrationsThisInterval, netuid):
                state.put(S.RegistrationsThisInterval, netuid, to=0)
