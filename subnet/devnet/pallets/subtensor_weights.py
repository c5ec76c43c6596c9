"""Weights: set in the open, or committed by their hash and revealed an epoch later."""

from __future__ import annotations

from typing import Any

from subnet.devnet.context import Context
from subnet.devnet.hashing import blake2_256
from subnet.devnet.pallet import ensure
from subnet.devnet.pallets.subtensor import ROOT
from subnet.devnet.pallets.subtensor import SubtensorModule as S
from subnet.devnet.pallets.subtensor_children import inherited
from subnet.devnet.pallets.subtensor_errors import Error
from subnet.devnet.pallets.subtensor_networks import epoch_number, owner_uid
from subnet.devnet.pallets.subtensor_registration import set_last_update
from subnet.devnet.scale import ACCOUNT, U16, U64, Vec, h256, u8, u16, u64, vec_u16
from subnet.devnet.state import State
from subnet.scoring.weights import max_upscale_u16, within_limit

MAX_OPEN_COMMITS = 10
MAIN = 0  # the one mechanism that there is here
_U16S = Vec(U16)


def stake_weight(state: State, hotkey: bytes, netuid: int) -> int:
    """A hotkey's stake as the epoch counts it: alpha here, and root TAO times TaoWeight, in RAO.

    Both with what its parents lend it, without what it lends its children.
    """
    alpha = inherited(state, hotkey, netuid, of=netuid)
    root = inherited(state, hotkey, netuid, of=ROOT)
    return alpha + (root * state.get(S.TaoWeight) // (2**64 - 1) if root else 0)


def _has_min_stake(state: State, who: bytes, netuid: int) -> bool:
    threshold = state.get(S.StakeThreshold)
    return threshold == 0 or stake_weight(state, who, netuid) >= threshold


def _passes_rate(ctx: Context, netuid: int, uid: int) -> bool:
    updates = ctx.state.get(S.LastUpdate, netuid)
    last = updates[uid] if uid < len(updates) else 0
    return last == 0 or ctx.block - last >= ctx.state.get(S.WeightsSetRateLimit, netuid)


def _check_set(ctx: Context, who: bytes, netuid: int, **rest: Any) -> None:
    state = ctx.state
    ensure(_has_min_stake(state, who, netuid), Error.NotEnoughStakeToSetWeights)
    uid = state.get(S.Uids, netuid, who)
    if uid is not None and not state.get(S.CommitRevealWeightsEnabled, netuid):
        ensure(_passes_rate(ctx, netuid, uid), Error.SettingWeightsTooFast)


@S.call(0, pays=False, check=_check_set)
def set_weights(ctx: Context, who: bytes, netuid: u16, dests: vec_u16, weights: vec_u16, version_key: u64) -> None:
    """Set the calling hotkey's weights: dests are uids, weights their u16 shares; only without commit-reveal."""
    ensure(not ctx.state.get(S.CommitRevealWeightsEnabled, netuid), Error.CommitRevealEnabled)
    store_weights(ctx, who, netuid, dests, weights, version_key)


@S.call(119, pays=False, check=_check_set)
def set_mechanism_weights(
    ctx: Context, who: bytes, netuid: u16, mecid: u8, dests: vec_u16, weights: vec_u16, version_key: u64
) -> None:
    """As set_weights; this chain has mechanism 0 only."""
    ensure(mecid == MAIN, Error.MechanismDoesNotExist)
    set_weights(ctx, who, netuid, dests, weights, version_key)


def store_weights(ctx: Context, who: bytes, netuid: int, uids: list[int], values: list[int], version_key: int) -> None:
    """All that the runtime checks of a weight vector, in its order, and the storing of it."""
    state = ctx.state
    ensure(netuid != ROOT, Error.CanNotSetRootNetworkWeights)
    ensure(len(uids) == len(values), Error.WeightVecNotEqualSize)
    ensure(state.get(S.NetworksAdded, netuid), Error.MechanismDoesNotExist)
    n = state.get(S.SubnetworkN, netuid)
    ensure(len(uids) <= n, Error.UidsLengthExceedUidsInSubNet)
    uid = state.get(S.Uids, netuid, who)
    ensure(uid is not None, Error.HotKeyNotRegisteredInSubNet)
    assert uid is not None  # noqa: S101 - ensured
    ensure(_has_min_stake(state, who, netuid), Error.NotEnoughStakeToSetWeights)
    wanted = state.get(S.WeightsVersionKey, netuid)
    ensure(wanted == 0 or version_key >= wanted, Error.IncorrectWeightVersionKey)
    committed = state.get(S.CommitRevealWeightsEnabled, netuid)
    ensure(committed or _passes_rate(ctx, netuid, uid), Error.SettingWeightsTooFast)
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
    state.put(S.Weights, netuid, uid, to=list(zip(uids, upscaled, strict=True)))
    if not committed:
        set_last_update(state, netuid, uid, ctx.block)
    ctx.emit(S.WeightsSet, netuid, uid)


# commit and reveal
def commit_hash(who: bytes, index: int, uids: list[int], values: list[int], salt: list[int], version_key: int) -> bytes:
    """What a commit must be for its reveal to match; ``index`` is the storage index (the netuid, for mechanism 0)."""
    body = ACCOUNT.encode(who) + U16.encode(index)
    body += _U16S.encode(uids) + _U16S.encode(values) + _U16S.encode(salt) + U64.encode(version_key)
    return blake2_256(body)


def _expired(ctx: Context, netuid: int, epoch: int) -> bool:
    return epoch_number(ctx, netuid) > epoch + ctx.state.get(S.RevealPeriodEpochs, netuid)


def _check_commit(ctx: Context, who: bytes, netuid: int, **rest: Any) -> None:
    state = ctx.state
    ensure(_has_min_stake(state, who, netuid), Error.NotEnoughStakeToSetWeights)
    uid = state.get(S.Uids, netuid, who)
    ensure(uid is None or _passes_rate(ctx, netuid, uid), Error.CommittingWeightsTooFast)


def _check_reveal(
    ctx: Context, who: bytes, netuid: int, uids: list[int], values: list[int], salt: list[int], version_key: int
) -> None:
    state = ctx.state
    ensure(_has_min_stake(state, who, netuid), Error.NotEnoughStakeToSetWeights)
    wanted = commit_hash(who, netuid, uids, values, salt, version_key)
    epochs = [epoch for found, epoch, _, _ in state.get(S.WeightCommits, netuid, who) or () if found == wanted]
    ensure(epochs, Error.NoWeightsCommitFound)
    ensure(epoch_number(ctx, netuid) == epochs[0] + state.get(S.RevealPeriodEpochs, netuid), Error.RevealTooEarly)


@S.call(96, pays=False, check=_check_commit)
def commit_weights(ctx: Context, who: bytes, netuid: u16, commit_hash: h256) -> None:
    """Commit to weights by their hash; they count once they are revealed, RevealPeriodEpochs later."""
    state = ctx.state
    ensure(state.get(S.NetworksAdded, netuid), Error.MechanismDoesNotExist)
    ensure(state.get(S.CommitRevealWeightsEnabled, netuid), Error.CommitRevealDisabled)
    uid = state.get(S.Uids, netuid, who)
    ensure(uid is not None, Error.HotKeyNotRegisteredInSubNet)
    assert uid is not None  # noqa: S101 - ensured
    ensure(_passes_rate(ctx, netuid, uid), Error.CommittingWeightsTooFast)
    kept = state.get(S.WeightCommits, netuid, who) or []
    while kept and _expired(ctx, netuid, kept[0][1]):
        kept = kept[1:]
    ensure(len(kept) < MAX_OPEN_COMMITS, Error.TooManyUnrevealedCommits)
    entry = (commit_hash, epoch_number(ctx, netuid), ctx.block, 0)
    state.put(S.WeightCommits, netuid, who, to=[*kept, entry])
    ctx.emit(S.WeightsCommitted, who, netuid, commit_hash)
    set_last_update(state, netuid, uid, ctx.block)


@S.call(97, pays=False, check=_check_reveal)
def reveal_weights(
    ctx: Context, who: bytes, netuid: u16, uids: vec_u16, values: vec_u16, salt: vec_u16, version_key: u64
) -> None:
    """Reveal committed weights, in the one epoch that is for it; older commits are dropped."""
    state = ctx.state
    ensure(state.get(S.CommitRevealWeightsEnabled, netuid), Error.CommitRevealDisabled)
    commits = state.get(S.WeightCommits, netuid, who)
    ensure(commits is not None, Error.NoWeightsCommitFound)
    wanted = commit_hash(who, netuid, uids, values, salt, version_key)
    kept, expired = list(commits or ()), []
    while kept and _expired(ctx, netuid, kept[0][1]):
        expired.append(kept.pop(0)[0])
    ensure(wanted not in expired, Error.ExpiredWeightCommit)
    ensure(kept, Error.NoWeightsCommitFound)
    place = next((place for place, one in enumerate(kept) if one[0] == wanted), None)
    ensure(place is not None, Error.InvalidRevealCommitHashNotMatch)
    assert place is not None  # noqa: S101 - ensured
    due = kept[place][1] + state.get(S.RevealPeriodEpochs, netuid)
    ensure(epoch_number(ctx, netuid) == due, Error.RevealTooEarly)
    rest = kept[place + 1 :]
    if rest:
        state.put(S.WeightCommits, netuid, who, to=rest)
    else:
        state.drop(S.WeightCommits, netuid, who)
    store_weights(ctx, who, netuid, uids, values, version_key)
    ctx.emit(S.WeightsRevealed, who, netuid, wanted)
