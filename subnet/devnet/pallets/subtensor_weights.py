"""Weights, set in the open. What is committed first is in :mod:`subtensor_commits` beside this."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any

from subnet.devnet.context import Context
from subnet.devnet.pallet import DispatchFailed, ensure
from subnet.devnet.pallets.subtensor import ROOT, storage_index
from subnet.devnet.pallets.subtensor import SubtensorModule as S
from subnet.devnet.pallets.subtensor_children import FRACTION, WHOLE, inherited
from subnet.devnet.pallets.subtensor_errors import Error
from subnet.devnet.pallets.subtensor_mechanisms import ensure_mechanism
from subnet.devnet.pallets.subtensor_networks import owner_uid
from subnet.devnet.pallets.subtensor_registration import set_last_update
from subnet.devnet.scale import U16, U64, Compact, Tuple, Vec, u8, u16, u64, vec_u16
from subnet.devnet.state import State
from subnet.scoring.weights import max_upscale_u16, within_limit

compact_u16s = Annotated[list[int], Vec(Compact(U16))]
compact_u64s = Annotated[list[int], Vec(Compact(U64))]
compact_rows = Annotated[list[list[tuple[int, int]]], Vec(Vec(Tuple(Compact(U16), Compact(U16))))]


def stake_weight(state: State, hotkey: bytes, netuid: int) -> int:
    """A hotkey's stake as the epoch counts it: alpha here, and root TAO times TaoWeight, in RAO.

    Both with what its parents lend it, without what it lends its children.
    """
    alpha, root = stakes(state, hotkey, netuid)
    return alpha + (root * ((state.get(S.TaoWeight) << FRACTION) // WHOLE) >> FRACTION)


def stakes(state: State, hotkey: bytes, netuid: int) -> tuple[int, int]:
    """The two that it is made of: alpha, and root TAO before TaoWeight; RAO."""
    return inherited(state, hotkey, netuid, of=netuid), inherited(state, hotkey, netuid, of=ROOT)


def has_min_stake(state: State, who: bytes, netuid: int) -> bool:
    threshold = state.get(S.StakeThreshold)
    return threshold == 0 or stake_weight(state, who, netuid) >= threshold


def passes_rate(ctx: Context, netuid: int, index: int, uid: int) -> bool:
    """Whether WeightsSetRateLimit blocks have passed since the neuron's last update in this mechanism."""
    updates = ctx.state.get(S.LastUpdate, index)
    last = updates[uid] if uid < len(updates) else 0
    return last == 0 or ctx.block - last >= ctx.state.get(S.WeightsSetRateLimit, netuid)


def _check_set(ctx: Context, who: bytes, netuid: int, mecid: int = 0, **rest: Any) -> None:
    state = ctx.state
    ensure(has_min_stake(state, who, netuid), Error.NotEnoughStakeToSetWeights)
    uid = state.get(S.Uids, netuid, who)
    if uid is not None and not state.get(S.CommitRevealWeightsEnabled, netuid):
        ensure(passes_rate(ctx, netuid, storage_index(netuid, mecid), uid), Error.SettingWeightsTooFast)


@S.call(0, pays=False, check=_check_set)
def set_weights(ctx: Context, who: bytes, netuid: u16, dests: vec_u16, weights: vec_u16, version_key: u64) -> None:
    """Set the calling hotkey's weights: dests are uids, weights their u16 shares; only without commit-reveal."""
    ensure(not ctx.state.get(S.CommitRevealWeightsEnabled, netuid), Error.CommitRevealEnabled)
    store_weights(ctx, who, netuid, dests, weights, version_key)


@S.call(119, pays=False, check=_check_set)
def set_mechanism_weights(
    ctx: Context, who: bytes, netuid: u16, mecid: u8, dests: vec_u16, weights: vec_u16, version_key: u64
) -> None:
    """As set_weights, in one of the subnet's mechanisms."""
    ensure(not ctx.state.get(S.CommitRevealWeightsEnabled, netuid), Error.CommitRevealEnabled)
    store_weights(ctx, who, netuid, dests, weights, version_key, mecid)


# batches: each item stands for itself, its failure is an event
Item = Callable[[], None]


def run_batch(ctx: Context, who: bytes, netuids: list[int], items: Sequence[Item]) -> None:
    """Run one item a netuid; those that fail leave nothing behind but their event."""
    failed = []
    for netuid, item in zip(netuids, items, strict=True):
        mark, events = ctx.state.mark(), len(ctx.events)
        try:
            item()
        except DispatchFailed as failure:
            ctx.state.rollback(mark)
            del ctx.events[events:]
            failed.append((netuid, ("Module", {"index": S.index, "error": bytes([failure.error, 0, 0, 0])})))
    if failed:
        ctx.emit(S.BatchCompletedWithErrors)
    for netuid, error in failed:
        ctx.emit(S.BatchWeightItemFailed, netuid, error)
    ctx.emit(S.BatchWeightsCompleted, netuids, who)


def check_batch(ctx: Context, who: bytes, netuids: list[int], *columns: list[Any], **named: list[Any]) -> None:
    lengths = {len(column) for column in (netuids, *columns, *named.values())}
    ensure(len(lengths) == 1, Error.InputLengthsUnequal)
    ensure(all(has_min_stake(ctx.state, who, netuid) for netuid in netuids), Error.NotEnoughStakeToSetWeights)


@S.call(80, pays=False, check=check_batch, each="netuids")
def batch_set_weights(
    ctx: Context, who: bytes, netuids: compact_u16s, weights: compact_rows, version_keys: compact_u64s
) -> None:
    """Set weights on several subnets: for each, pairs of uid and weight."""
    check_batch(ctx, who, netuids, weights, version_keys)
    items = [
        partial(set_weights, ctx, who, netuid, [uid for uid, _ in row], [value for _, value in row], key)
        for netuid, row, key in zip(netuids, weights, version_keys, strict=True)
    ]
    run_batch(ctx, who, netuids, items)


def store_weights(
    ctx: Context, who: bytes, netuid: int, uids: list[int], values: list[int], version_key: int, mecid: int = 0
) -> None:
    """All that the runtime checks of a weight vector, in its order, and the storing of it."""
    state, index = ctx.state, storage_index(netuid, mecid)
    ensure(netuid != ROOT, Error.CanNotSetRootNetworkWeights)
    ensure(len(uids) == len(values), Error.WeightVecNotEqualSize)
    ensure_mechanism(state, netuid, mecid)
    n = state.get(S.SubnetworkN, netuid)
    ensure(len(uids) <= n, Error.UidsLengthExceedUidsInSubNet)
    uid = state.get(S.Uids, netuid, who)
    ensure(uid is not None, Error.HotKeyNotRegisteredInSubNet)
    assert uid is not None  # noqa: S101 - ensured
    ensure(has_min_stake(state, who, netuid), Error.NotEnoughStakeToSetWeights)
    wanted = state.get(S.WeightsVersionKey, netuid)
    ensure(wanted == 0 or version_key >= wanted, Error.IncorrectWeightVersionKey)
    committed = state.get(S.CommitRevealWeightsEnabled, netuid)
    ensure(committed or passes_rate(ctx, netuid, index, uid), Error.SettingWeightsTooFast)
    on_itself = uids == [uid]
    permits = state.get(S.ValidatorPermit, netuid)
    permitted = uid < len(permits) and permits[uid]
    ensure(on_itself or owner_uid(state, netuid) == uid or permitted, Error.NeuronNoValidatorPermit)
    ensure(len(set(uids)) == len(uids), Error.DuplicateUids)
    ensure(all(one < n for one in uids), Error.UidVecContainInvalidOne)
    least = min(n, state.get(S.MinAllowedWeights, netuid))
    ensure(on_itself or len(uids) >= least, Error.WeightVecLengthIsLow)
    upscaled = max_upscale_u16(values)
    limit = state.get(S.MaxWeightsLimit, netuid)
    ensure(on_itself or limit == 65535 or within_limit(upscaled, limit), Error.MaxWeightExceeded)
    state.put(S.Weights, index, uid, to=list(zip(uids, upscaled, strict=True)))
    if not committed:
        set_last_update(state, index, uid, ctx.block)
    ctx.emit(S.WeightsSet, index, uid)
