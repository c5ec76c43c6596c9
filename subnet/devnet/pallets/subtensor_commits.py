"""Weights committed by their hash, and revealed in the one epoch that is for it.

Time-locked commits are opened by the chain itself, with drand's signatures; there is no drand offline, so
they are checked as the runtime checks them and then refused with CallDisabled.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from subnet.devnet.context import Context
from subnet.devnet.hashing import blake2_256
from subnet.devnet.pallet import DispatchFailed, ensure
from subnet.devnet.pallets.subtensor import SubtensorModule as S
from subnet.devnet.pallets.subtensor import storage_index
from subnet.devnet.pallets.subtensor_errors import Error
from subnet.devnet.pallets.subtensor_mechanisms import ensure_mechanism
from subnet.devnet.pallets.subtensor_networks import epoch_number
from subnet.devnet.pallets.subtensor_registration import set_last_update
from subnet.devnet.pallets.subtensor_types import COMMIT
from subnet.devnet.pallets.subtensor_weights import (
    check_batch,
    compact_u16s,
    has_min_stake,
    passes_rate,
    run_batch,
    store_weights,
)
from subnet.devnet.scale import ACCOUNT, H256, U16, U64, Vec, h256, u8, u16, u64, vec_u16, vec_u64, vec_vec_u16

MAX_OPEN_COMMITS = 10
_U16S = Vec(U16)
hashes = Annotated[list[bytes], Vec(H256)]
sealed = Annotated[bytes, COMMIT]
Entry = tuple[bytes, int, int, int]  # hash, epoch, block, nothing


def commit_hash(who: bytes, index: int, uids: list[int], values: list[int], salt: list[int], version_key: int) -> bytes:
    """What a commit must be for its reveal to match; ``index`` is the storage index (the netuid, for mechanism 0)."""
    body = ACCOUNT.encode(who) + U16.encode(index)
    body += _U16S.encode(uids) + _U16S.encode(values) + _U16S.encode(salt) + U64.encode(version_key)
    return blake2_256(body)


def due(ctx: Context, netuid: int, epoch: int) -> int:
    """Epochs until what was committed in ``epoch`` may be revealed; below 0 it is too late."""
    return epoch + ctx.state.get(S.RevealPeriodEpochs, netuid) - epoch_number(ctx, netuid)


# commit
def _check_commit(ctx: Context, who: bytes, netuid: int, mecid: int = 0, **rest: Any) -> None:
    ensure(has_min_stake(ctx.state, who, netuid), Error.NotEnoughStakeToSetWeights)
    uid = ctx.state.get(S.Uids, netuid, who)
    index = storage_index(netuid, mecid)
    ensure(uid is None or passes_rate(ctx, netuid, index, uid), Error.CommittingWeightsTooFast)


@S.call(96, pays=False, check=_check_commit)
def commit_weights(ctx: Context, who: bytes, netuid: u16, commit_hash: h256) -> None:
    """Commit to weights by their hash; they count once they are revealed, RevealPeriodEpochs later."""
    commit_mechanism_weights(ctx, who, netuid, 0, commit_hash)


@S.call(115, pays=False, check=_check_commit)
def commit_mechanism_weights(ctx: Context, who: bytes, netuid: u16, mecid: u8, commit_hash: h256) -> None:
    """As commit_weights, in one of the subnet's mechanisms."""
    state = ctx.state
    uid, index = _committer(ctx, who, netuid, mecid)
    kept = state.get(S.WeightCommits, index, who) or []
    while kept and due(ctx, netuid, kept[0][1]) < 0:
        kept = kept[1:]
    ensure(len(kept) < MAX_OPEN_COMMITS, Error.TooManyUnrevealedCommits)
    entry = (commit_hash, epoch_number(ctx, netuid), ctx.block, 0)
    state.put(S.WeightCommits, index, who, to=[*kept, entry])
    ctx.emit(S.WeightsCommitted, who, index, commit_hash)
    set_last_update(state, index, uid, ctx.block)


def _committer(ctx: Context, who: bytes, netuid: int, mecid: int, version: int | None = None) -> tuple[int, int]:
    """The uid and storage index of a hotkey that may commit now."""
    state = ctx.state
    ensure_mechanism(state, netuid, mecid)
    ensure(state.get(S.CommitRevealWeightsEnabled, netuid), Error.CommitRevealDisabled)
    ensure(version in (None, state.get(S.CommitRevealWeightsVersion)), Error.IncorrectCommitRevealVersion)
    uid, index = state.get(S.Uids, netuid, who), storage_index(netuid, mecid)
    if uid is None:
        raise DispatchFailed(Error.HotKeyNotRegisteredInSubNet)
    ensure(passes_rate(ctx, netuid, index, uid), Error.CommittingWeightsTooFast)
    return uid, index


@S.call(100, pays=False, check=check_batch, each="netuids")
def batch_commit_weights(ctx: Context, who: bytes, netuids: compact_u16s, commit_hashes: hashes) -> None:
    """Commit to weights on several subnets."""
    check_batch(ctx, who, netuids, commit_hashes)
    pairs = zip(netuids, commit_hashes, strict=True)
    run_batch(ctx, who, netuids, [partial(commit_weights, ctx, who, netuid, digest) for netuid, digest in pairs])


# reveal
def _check_reveal(
    ctx: Context,
    who: bytes,
    netuid: int,
    uids: list[int],
    values: list[int],
    salt: list[int],
    version_key: int,
    mecid: int = 0,
) -> None:
    ensure(has_min_stake(ctx.state, who, netuid), Error.NotEnoughStakeToSetWeights)
    index = storage_index(netuid, mecid)
    _ensure_due(ctx, who, netuid, index, commit_hash(who, index, uids, values, salt, version_key))


def _ensure_due(ctx: Context, who: bytes, netuid: int, index: int, wanted: bytes) -> None:
    epochs = [epoch for found, epoch, _, _ in ctx.state.get(S.WeightCommits, index, who) or () if found == wanted]
    ensure(epochs, Error.NoWeightsCommitFound)
    ensure(due(ctx, netuid, epochs[0]) == 0, Error.RevealTooEarly)


@S.call(97, pays=False, check=_check_reveal)
def reveal_weights(
    ctx: Context, who: bytes, netuid: u16, uids: vec_u16, values: vec_u16, salt: vec_u16, version_key: u64
) -> None:
    """Reveal committed weights, in the one epoch that is for it; older commits are dropped."""
    reveal_mechanism_weights(ctx, who, netuid, 0, uids, values, salt, version_key)


@S.call(116, pays=False, check=_check_reveal)
def reveal_mechanism_weights(
    ctx: Context, who: bytes, netuid: u16, mecid: u8, uids: vec_u16, values: vec_u16, salt: vec_u16, version_key: u64
) -> None:
    """As reveal_weights, in one of the subnet's mechanisms."""
    index = storage_index(netuid, mecid)
    kept, expired = _open_commits(ctx, who, netuid, index)
    wanted = commit_hash(who, index, uids, values, salt, version_key)
    ensure(wanted not in expired, Error.ExpiredWeightCommit)
    ensure(kept, Error.NoWeightsCommitFound)
    place = _place(kept, wanted)
    ensure(due(ctx, netuid, kept[place][1]) == 0, Error.RevealTooEarly)
    _keep(ctx, who, index, kept[place + 1 :])
    store_weights(ctx, who, netuid, uids, values, version_key, mecid)
    ctx.emit(S.WeightsRevealed, who, index, wanted)


def _open_commits(ctx: Context, who: bytes, netuid: int, index: int) -> tuple[list[Entry], list[bytes]]:
    """A hotkey's commits that can still be revealed, and the hashes of those that can't any more."""
    ensure(ctx.state.get(S.CommitRevealWeightsEnabled, netuid), Error.CommitRevealDisabled)
    commits = ctx.state.get(S.WeightCommits, index, who)
    if commits is None:
        raise DispatchFailed(Error.NoWeightsCommitFound)
    kept, expired = list(commits), []
    while kept and due(ctx, netuid, kept[0][1]) < 0:
        expired.append(kept.pop(0)[0])
    return kept, expired


def _place(commits: list[Entry], wanted: bytes) -> int:
    found = next((place for place, one in enumerate(commits) if one[0] == wanted), None)
    if found is None:
        raise DispatchFailed(Error.InvalidRevealCommitHashNotMatch)
    return found


def _keep(ctx: Context, who: bytes, index: int, commits: list[Entry]) -> None:
    if commits:
        ctx.state.put(S.WeightCommits, index, who, to=commits)
    else:
        ctx.state.drop(S.WeightCommits, index, who)


def _check_batch_reveal(
    ctx: Context,
    who: bytes,
    netuid: int,
    uids_list: list[list[int]],
    values_list: list[list[int]],
    salts_list: list[list[int]],
    version_keys: list[int],
) -> None:
    lengths = {len(column) for column in (uids_list, values_list, salts_list, version_keys)}
    ensure(len(lengths) == 1, Error.InputLengthsUnequal)
    ensure(has_min_stake(ctx.state, who, netuid), Error.NotEnoughStakeToSetWeights)
    for uids, values, salt, key in zip(uids_list, values_list, salts_list, version_keys, strict=True):
        _ensure_due(ctx, who, netuid, netuid, commit_hash(who, netuid, uids, values, salt, key))


@S.call(98, pays=False, check=_check_batch_reveal, each="uids_list")
def batch_reveal_weights(
    ctx: Context,
    who: bytes,
    netuid: u16,
    uids_list: vec_vec_u16,
    values_list: vec_vec_u16,
    salts_list: vec_vec_u16,
    version_keys: vec_u64,
) -> None:
    """Reveal several commits on one subnet, in order: all, or none if one fails."""
    lengths = {len(column) for column in (uids_list, values_list, salts_list, version_keys)}
    ensure(len(lengths) == 1, Error.InputLengthsUnequal)
    kept, expired = _open_commits(ctx, who, netuid, netuid)
    columns = list(zip(uids_list, values_list, salts_list, version_keys, strict=True))
    wanted = [commit_hash(who, netuid, uids, values, salt, key) for uids, values, salt, key in columns]
    for one in wanted:
        ensure(one not in expired, Error.ExpiredWeightCommit)
        ensure(due(ctx, netuid, kept[_place(kept, one)][1]) == 0, Error.RevealTooEarly)
    for one, (uids, values, _, key) in zip(wanted, columns, strict=True):
        del kept[_place(kept, one)]
        store_weights(ctx, who, netuid, uids, values, key)
    _keep(ctx, who, netuid, kept)
    ctx.emit(S.WeightsBatchRevealed, who, netuid, wanted)


# time-locked
def _check_min_stake(ctx: Context, who: bytes, netuid: int, **rest: Any) -> None:
    ensure(has_min_stake(ctx.state, who, netuid), Error.NotEnoughStakeToSetWeights)


@S.call(113, pays=False, check=_check_min_stake)
def commit_timelocked_weights(
    ctx: Context, who: bytes, netuid: u16, commit: sealed, reveal_round: u64, commit_reveal_version: u16
) -> None:
    """Refused with CallDisabled: there is no drand here that would open the commit."""
    commit_timelocked_mechanism_weights(ctx, who, netuid, 0, commit, reveal_round, commit_reveal_version)


@S.call(118, pays=False, check=_check_min_stake)
def commit_timelocked_mechanism_weights(
    ctx: Context, who: bytes, netuid: u16, mecid: u8, commit: sealed, reveal_round: u64, commit_reveal_version: u16
) -> None:
    """Refused with CallDisabled: there is no drand here that would open the commit."""
    _committer(ctx, who, netuid, mecid, commit_reveal_version)
    raise DispatchFailed(Error.CallDisabled)


@S.call(117, pays=False, check=_check_min_stake)
def commit_crv3_mechanism_weights(
    ctx: Context, who: bytes, netuid: u16, mecid: u8, commit: sealed, reveal_round: u64
) -> None:
    """Refused with CallDisabled: there is no drand here that would open the commit."""
    _committer(ctx, who, netuid, mecid)
    raise DispatchFailed(Error.CallDisabled)
