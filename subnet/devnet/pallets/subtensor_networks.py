"""Subnets: their registration, their start, and who may change them."""

from __future__ import annotations

from subnet.devnet.context import Context
from subnet.devnet.pallet import BadOrigin, ensure
from subnet.devnet.pallets.balances import free, transfer
from subnet.devnet.pallets.subtensor import ROOT, TAO, subnet_account
from subnet.devnet.pallets.subtensor import SubtensorModule as S
from subnet.devnet.pallets.subtensor_errors import Error
from subnet.devnet.pallets.subtensor_limits import TEMPO, limit_key, limit_owner, record_key, record_owner
from subnet.devnet.pallets.subtensor_registration import append_neuron, associate
from subnet.devnet.pallets.subtensor_types import LAST_REGISTERED
from subnet.devnet.scale import account, u16, u32
from subnet.devnet.state import State

DYNAMIC = 1  # SubnetMechanism of every subnet but root
MIN_TEMPO, MAX_TEMPO = 360, 50_400  # of set_tempo; sudo_set_tempo is free
MIN_FACTOR, MAX_FACTOR = 1_000, 50_000


def add_root(ctx: Context) -> None:
    """The root network, at genesis."""
    state = ctx.state
    state.put(S.NetworksAdded, ROOT, to=True)
    state.put(S.TotalNetworks, to=1)
    state.put(S.SubnetworkN, ROOT, to=0)
    state.put(S.Tempo, ROOT, to=100)
    state.put(S.MaxAllowedUids, ROOT, to=64)
    state.put(S.SubtokenEnabled, ROOT, to=True)
    state.put(S.TokenSymbol, ROOT, to="Τ".encode())
    state.put(S.NetworkRegistrationAllowed, ROOT, to=False)


def exists(state: State, netuid: int) -> bool:
    return state.get(S.NetworksAdded, netuid)


def subnets(state: State) -> list[int]:
    """Netuids of all subnets but root, ascending."""
    found = sorted(netuid for (netuid,) in state.keys(S.NetworksAdded))
    return [netuid for netuid in found if netuid != ROOT]


def ensure_owner(ctx: Context, who: bytes | None, netuid: int) -> None:
    """BadOrigin unless ``who`` owns the subnet."""
    if who is None or not exists(ctx.state, netuid) or ctx.state.get(S.SubnetOwner, netuid) != who:
        raise BadOrigin


def ensure_owner_or_root(ctx: Context, who: bytes | None, netuid: int) -> None:
    if who is not None:
        ensure_owner(ctx, who, netuid)


def owner_uid(state: State, netuid: int) -> int | None:
    """The uid of the owner's hotkey, if it is on the subnet."""
    return state.get(S.Uids, netuid, state.get(S.SubnetOwnerHotkey, netuid))


def should_run_epoch(ctx: Context, netuid: int) -> bool:
    """Whether an epoch is due in this block; also if the owner asked for one, or one was put off."""
    if ctx.state.get(S.Tempo, netuid) == 0:
        return False
    return 0 < ctx.state.get(S.PendingEpochAt, netuid) <= ctx.block or blocks_until_epoch(ctx, netuid) == 0


def blocks_until_epoch(ctx: Context, netuid: int) -> int:
    """Blocks until the next epoch that nobody asked for; 0 if it is due. The tempo must not be 0.

    Head: ``block - LastEpochBlock >= tempo``. Legacy: ``(block + netuid + 2) % (tempo + 1) == 0``.
    """
    tempo = ctx.state.get(S.Tempo, netuid)
    if ctx.spec.legacy:
        return -(ctx.block + netuid + 2) % (tempo + 1)
    return max(0, ctx.state.get(S.LastEpochBlock, netuid) + tempo - ctx.block)


def epoch_number(ctx: Context, netuid: int) -> int:
    """The number of the epoch under way, by which commits are revealed and commitments limited."""
    if ctx.spec.legacy:
        return (ctx.block + netuid + 1) // (ctx.state.get(S.Tempo, netuid) + 1)
    return ctx.state.get(S.SubnetEpochIndex, netuid) + should_run_epoch(ctx, netuid)


def activity_cutoff(ctx: Context, netuid: int) -> int:
    """Blocks without an update after which a validator is inactive.

    At head it follows the tempo (factor x tempo / 1000); ActivityCutoff still rules here where
    sudo_set_activity_cutoff set it to anything but its default.
    """
    state = ctx.state
    explicit = state.get(S.ActivityCutoff, netuid)
    if ctx.spec.legacy or explicit != S.ActivityCutoff.default():
        return explicit
    return max(1, state.get(S.ActivityCutoffFactorMilli, netuid) * state.get(S.Tempo, netuid) // 1000)


def ensure_open(ctx: Context, netuid: int) -> None:
    """Refuse in the last AdminFreezeWindow blocks before an epoch (0 here unless set: tempos are short)."""
    state = ctx.state
    if state.get(S.Tempo, netuid):
        asked = state.get(S.PendingEpochAt, netuid) > ctx.block
        closed = asked or blocks_until_epoch(ctx, netuid) < state.get(S.AdminFreezeWindow)
        ensure(not closed, Error.AdminActionProhibitedDuringWeightsWindow)


def lock_cost(ctx: Context) -> int:
    """RAO that the next register_network locks: twice the last, falling over the reduction interval."""
    state = ctx.state
    last = state.get(S.NetworkLastLockCost)
    last_block = state.get(S.LastRateLimitedBlock, LAST_REGISTERED)
    interval = state.get(S.NetworkLockReductionInterval)
    reduction = last // interval * (ctx.block - last_block) if interval else 0
    return max(last * (2 if last_block else 1) - reduction, state.get(S.NetworkMinLockCost))


def _check_rate(ctx: Context, who: bytes, hotkey: bytes) -> None:
    last = ctx.state.get(S.LastRateLimitedBlock, LAST_REGISTERED)
    passes = last == 0 or ctx.block - last >= ctx.state.get(S.NetworkRateLimit)
    ensure(passes, Error.NetworkTxRateLimitExceeded)


@S.call(59, check=_check_rate)
def register_network(ctx: Context, who: bytes, hotkey: account) -> None:
    """Register a new subnet; the caller's coldkey becomes its owner, the hotkey its uid 0."""
    register_subnet(ctx, who, hotkey)


def register_subnet(ctx: Context, who: bytes, hotkey: bytes) -> int:
    """All that register_network does; returns the new netuid."""
    state = ctx.state
    known = state.has(S.Owner, hotkey)
    ensure(not known or state.get(S.Owner, hotkey) == who, Error.NonAssociatedColdKey)
    _check_rate(ctx, who, hotkey)
    ensure(len(subnets(state)) < state.get(S.SubnetLimit), Error.SubnetLimitReached)
    cost = lock_cost(ctx)
    ensure(free(state, who) >= cost, Error.CannotAffordLockCost)
    netuid = _next_netuid(state)
    _init_network(ctx, netuid)
    transfer(ctx, who, subnet_account(netuid), cost, keep_alive=False)
    state.put(S.NetworkLastLockCost, to=cost)
    state.put(S.LastRateLimitedBlock, LAST_REGISTERED, to=ctx.block)
    associate(ctx, who, hotkey)
    append_neuron(ctx, netuid, hotkey)
    state.put(S.SubnetMechanism, netuid, to=DYNAMIC)
    state.put(S.NetworkRegisteredAt, netuid, to=ctx.block)
    state.put(S.TokenSymbol, netuid, to=f"{netuid}".encode())
    state.put(S.SubnetTAO, netuid, to=cost)
    state.put(S.SubnetAlphaIn, netuid, to=cost)
    state.put(S.SubnetOwner, netuid, to=who)
    state.put(S.SubnetOwnerHotkey, netuid, to=hotkey)
    state.put(S.SubnetLocked, netuid, to=cost)
    state.add(S.TotalStake, by=cost)
    ctx.emit(S.NetworkAdded, netuid, DYNAMIC)
    return netuid


def _next_netuid(state: State) -> int:
    taken = set(subnets(state))
    return next(netuid for netuid in range(1, 65536) if netuid not in taken)


def _init_network(ctx: Context, netuid: int) -> None:
    """A new subnet's values, as the runtime sets them explicitly; all others are the items' defaults."""
    state, tempo = ctx.state, ctx.spec.tempo
    state.put(S.SubnetworkN, netuid, to=0)
    state.put(S.NetworksAdded, netuid, to=True)
    state.put(S.Tempo, netuid, to=tempo)
    state.put(S.LastEpochBlock, netuid, to=max(0, ctx.block - netuid % max(tempo, 1)))
    state.add(S.TotalNetworks, by=1)
    state.put(S.NetworkRegistrationAllowed, netuid, to=True)
    state.put(S.MaxAllowedUids, netuid, to=256)
    state.put(S.MaxAllowedValidators, netuid, to=64)
    state.put(S.MinAllowedWeights, netuid, to=1)
    state.put(S.ImmunityPeriod, netuid, to=5000)
    state.put(S.Yuma3On, netuid, to=True)
    state.put(S.Burn, netuid, to=TAO)
    state.put(S.Kappa, netuid, to=S.Kappa.default())
    state.put(S.ActivityCutoff, netuid, to=S.ActivityCutoff.default())
    state.put(S.RegistrationsThisInterval, netuid, to=0)


@S.call(92)
def start_call(ctx: Context, who: bytes, netuid: u16) -> None:
    """Start a subnet's emission; for its owner, once StartCallDelay blocks have passed since its registration."""
    state = ctx.state
    ensure(exists(state, netuid), Error.SubnetNotExists)
    ensure_owner(ctx, who, netuid)
    ensure(state.get(S.FirstEmissionBlockNumber, netuid) is None, Error.FirstEmissionBlockNumberAlreadySet)
    earliest = state.get(S.NetworkRegisteredAt, netuid) + state.get(S.StartCallDelay)
    ensure(ctx.block >= earliest, Error.NeedWaitingMoreBlocksToStarCall)
    state.put(S.FirstEmissionBlockNumber, netuid, to=ctx.block + 1)
    state.put(S.SubtokenEnabled, netuid, to=True)
    ctx.emit(S.FirstEmissionBlockNumberSet, netuid, ctx.block + 1)


def apply_tempo(ctx: Context, netuid: int, tempo: int) -> None:
    """Set the tempo and begin a new cycle at this block."""
    ctx.state.put(S.Tempo, netuid, to=tempo)
    ctx.state.put(S.LastEpochBlock, netuid, to=ctx.block)
    ctx.emit(S.TempoSet, netuid, tempo)


@S.call(139)
def set_tempo(ctx: Context, who: bytes, netuid: u16, tempo: u16) -> None:
    """Set a subnet's tempo, as its owner: 360 to 50,400 blocks, once in 360. Not on a chain of the legacy rule."""
    ensure(not ctx.spec.legacy, Error.CallDisabled)
    ensure_owner(ctx, who, netuid)
    ensure(MIN_TEMPO <= tempo <= MAX_TEMPO, Error.TempoOutOfBounds)
    ensure_open(ctx, netuid)
    limit_key(ctx, who, netuid, TEMPO, MIN_TEMPO, Error.TxRateLimitExceeded)
    apply_tempo(ctx, netuid, tempo)
    record_key(ctx, who, netuid, TEMPO)


@S.call(140, origin="any")
def set_activity_cutoff_factor(ctx: Context, who: bytes | None, netuid: u16, factor_milli: u32) -> None:
    """Set after how many tempos (in thousandths, 1,000 to 50,000) without an update a validator is inactive."""
    ensure_owner_or_root(ctx, who, netuid)
    ensure(MIN_FACTOR <= factor_milli <= MAX_FACTOR, Error.ActivityCutoffFactorMilliOutOfBounds)
    if who is not None:
        ensure_open(ctx, netuid)
        limit_owner(ctx, netuid, "ActivityCutoffFactorMilli")
        record_owner(ctx, netuid, "ActivityCutoffFactorMilli")
    ctx.state.put(S.ActivityCutoffFactorMilli, netuid, to=factor_milli)
    ctx.emit(S.ActivityCutoffFactorMilliSet, netuid, factor_milli)


@S.call(141)
def trigger_epoch(ctx: Context, who: bytes, netuid: u16) -> None:
    """Ask for an epoch after AdminFreezeWindow blocks, as the subnet's owner; not with commit-reveal on."""
    state = ctx.state
    ensure(not ctx.spec.legacy, Error.CallDisabled)
    ensure_owner(ctx, who, netuid)
    ensure(not state.get(S.CommitRevealWeightsEnabled, netuid), Error.DynamicTempoBlockedByCommitReveal)
    ensure(state.get(S.PendingEpochAt, netuid) == 0, Error.EpochTriggerAlreadyPending)
    window = state.get(S.AdminFreezeWindow)
    idle = state.get(S.Tempo, netuid) == 0
    ensure(idle or blocks_until_epoch(ctx, netuid) >= window, Error.AutoEpochAlreadyImminent)
    limit_owner(ctx, netuid, "TriggerEpoch")
    record_owner(ctx, netuid, "TriggerEpoch")
    # the epochs of this block have run
    due = ctx.block + max(window, 1)
    state.put(S.PendingEpochAt, netuid, to=due)
    ctx.emit(S.EpochTriggered, netuid, who, due)
