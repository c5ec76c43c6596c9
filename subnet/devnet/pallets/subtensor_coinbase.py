"""Emission and epochs: what each block earns every started subnet, and how an epoch shares it out.

A block adds one alpha to a started subnet, and one TAO that backs it; the owner's cut, the servers' and
the validators' halves wait in the Pending items. In an epoch Yuma consensus
(:func:`subnet.scoring.yuma.epoch`) says who gets what; stakes and the neurons' columns are written.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from subnet.devnet.context import Context
from subnet.devnet.pallets.balances import Balances, mint
from subnet.devnet.pallets.subtensor import SubtensorModule as S
from subnet.devnet.pallets.subtensor import subnet_account
from subnet.devnet.pallets.subtensor_children import apply_pending, dividends_of
from subnet.devnet.pallets.subtensor_networks import owner_uid, should_run_epoch, subnets
from subnet.devnet.pallets.subtensor_registration import settle_burns
from subnet.devnet.pallets.subtensor_staking import increase_stake, increase_stake_of_all
from subnet.devnet.pallets.subtensor_weights import stake_weight
from subnet.devnet.state import State

if TYPE_CHECKING:
    from subnet.scoring.yuma import EpochInput, EpochOutput, EpochParams

logger = logging.getLogger(__name__)

U16_MAX = 65535
NEVER = 2**63 - 1
_FRACTION = 32  # bits after the point in the runtime's U96F32


@S.on_initialize
def run_coinbase(ctx: Context) -> None:
    """All that a block does on its own."""
    netuids = subnets(ctx.state)
    settle_burns(ctx, netuids)
    for netuid in netuids:
        started = ctx.state.get(S.FirstEmissionBlockNumber, netuid) is not None
        if started and ctx.state.get(S.SubnetEmissionEnabled, netuid):
            _emit(ctx, netuid)
    _run_epochs(ctx, netuids)
    ctx.state.put(S.TotalIssuance, to=ctx.state.get(Balances.TotalIssuance))


def _emit(ctx: Context, netuid: int) -> None:
    """One block's alpha, split as the runtime splits it (floors at each step; the rest is nobody's)."""
    state = ctx.state
    alpha = state.get(S.BlockEmission)
    left = alpha << _FRACTION
    if state.get(S.OwnerCutEnabled, netuid):
        cut = alpha * ((state.get(S.SubnetOwnerCut) << _FRACTION) // U16_MAX)
        left -= cut
        state.add(S.PendingOwnerCut, netuid, by=cut >> _FRACTION)
    server = left >> 1
    state.add(S.PendingServerEmission, netuid, by=server >> _FRACTION)
    state.add(S.PendingValidatorEmission, netuid, by=(left - server) >> _FRACTION)
    state.add(S.SubnetAlphaOut, netuid, by=alpha)
    state.put(S.SubnetAlphaOutEmission, netuid, to=alpha)
    state.put(S.SubnetTaoInEmission, netuid, to=alpha)
    mint(ctx, subnet_account(netuid), alpha)
    state.add(S.SubnetTAO, netuid, by=alpha)
    state.add(S.TotalStake, by=alpha)


def _run_epochs(ctx: Context, netuids: list[int]) -> None:
    state, most = ctx.state, ctx.state.get(S.MaxEpochsPerBlock)
    ran = 0
    for netuid in netuids:
        state.add(S.BlocksSinceLastStep, netuid, by=1)
        if not should_run_epoch(ctx, netuid):
            continue
        if ran >= most:
            state.put(S.PendingEpochAt, netuid, to=ctx.block + 1)
            continue
        ran += 1
        mark, events = state.mark(), len(ctx.events)
        try:
            run_epoch(ctx, netuid)
        except Exception:
            # one subnet's epoch must not stop the chain; what it would have paid stays pending
            state.rollback(mark)
            del ctx.events[events:]
            logger.exception("the epoch of subnet %d failed in block %d", netuid, ctx.block)
        state.put(S.LastEpochBlock, netuid, to=ctx.block)
        state.put(S.PendingEpochAt, netuid, to=0)
        state.add(S.SubnetEpochIndex, netuid, by=1)
        apply_pending(ctx, netuid)


def run_epoch(ctx: Context, netuid: int) -> None:
    """Drain what is pending, run consensus, store, pay: the stakes that vote are those of before."""
    state = ctx.state
    state.put(S.BlocksSinceLastStep, netuid, to=0)
    server, validator, owner = (
        _drain(state, item, netuid) for item in (S.PendingServerEmission, S.PendingValidatorEmission, S.PendingOwnerCut)
    )
    from subnet.scoring.yuma import epoch

    # a subnet has at least its owner's neuron, from its registration on
    hotkeys = [state.get(S.Keys, netuid, uid) for uid in range(state.get(S.SubnetworkN, netuid))]
    inputs = _inputs(ctx, netuid, hotkeys, server + validator)
    output = epoch(inputs, _params(ctx, netuid), "head", exact=True)
    _store(ctx, netuid, output)
    incentives = [int(amount) for amount in output.server_emission]
    dividends = [int(amount) for amount in output.validator_emission]
    # nobody served: validators get all
    to_validators = validator if any(incentives) else validator + server
    _pay_owner(ctx, netuid, owner)
    _pay_servers(ctx, netuid, hotkeys, incentives)
    _pay_validators(ctx, netuid, hotkeys, dividends, to_validators)
    state.put(S.LastMechansimStepBlock, netuid, to=ctx.block)


def _drain(state: State, item: Any, netuid: int) -> int:
    amount = int(state.get(item, netuid))
    state.put(item, netuid, to=0)
    return amount


def _params(ctx: Context, netuid: int) -> EpochParams:
    from subnet.scoring.yuma import EpochParams

    state = ctx.state
    low, high = state.get(S.AlphaValues, netuid)
    return EpochParams(
        tempo=state.get(S.Tempo, netuid),
        kappa=state.get(S.Kappa, netuid),
        bonds_penalty=state.get(S.BondsPenalty, netuid),
        bonds_moving_average=min(state.get(S.BondsMovingAverage, netuid), 1_000_000),
        yuma3=state.get(S.Yuma3On, netuid),
        liquid_alpha=state.get(S.LiquidAlphaOn, netuid),
        alpha_low=low,
        alpha_high=high,
        alpha_sigmoid_steepness=state.get(S.AlphaSigmoidSteepness, netuid),
        max_allowed_validators=state.get(S.MaxAllowedValidators, netuid),
        activity_cutoff=activity_cutoff(ctx, netuid),
        stake_threshold=state.get(S.StakeThreshold),
        owner_uid=owner_uid(state, netuid),
    )


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


def _inputs(ctx: Context, netuid: int, hotkeys: list[bytes], emission: int) -> EpochInput:
    from subnet.scoring.yuma import EpochInput, Sparse

    state, n = ctx.state, len(hotkeys)
    weights = {uid: state.get(S.Weights, netuid, uid) for _, uid in state.keys(S.Weights, netuid)}
    bonds = {uid: state.get(S.Bonds, netuid, uid) for _, uid in state.keys(S.Bonds, netuid)}
    oldest = None
    if state.get(S.CommitRevealWeightsEnabled, netuid):
        commits = [state.get(S.WeightCommits, netuid, hotkey) for hotkey in hotkeys]
        oldest = [min((one[2] for one in own or ()), default=NEVER) for own in commits]
    return EpochInput(
        block=ctx.block,
        stake=[stake_weight(state, hotkey, netuid) for hotkey in hotkeys],  # type: ignore[arg-type]
        weights=Sparse.of(weights),
        bonds=Sparse.of(bonds),
        last_update=_column(state, S.LastUpdate, netuid, n, 0),
        block_at_registration=[state.get(S.BlockAtRegistration, netuid, uid) for uid in range(n)],  # type: ignore[arg-type]
        validator_permit=_column(state, S.ValidatorPermit, netuid, n, False),
        last_step_block=state.get(S.LastMechansimStepBlock, netuid) or None,
        rao_emission=emission,
        oldest_commit=oldest,  # type: ignore[arg-type]
    )


def _column(state: State, item: Any, netuid: int, n: int, initial: Any) -> Any:
    values = state.get(item, netuid)
    return [*values[:n], *[initial] * (n - len(values))]


def _store(ctx: Context, netuid: int, output: EpochOutput) -> None:
    state = ctx.state
    columns: tuple[tuple[Any, Any], ...] = (
        (S.Active, output.active),
        (S.Rank, output.rank),
        (S.Trust, output.trust),
        (S.Consensus, output.consensus),
        (S.Incentive, output.incentive),
        (S.Dividends, output.dividends),
        (S.Emission, output.emission),
        (S.ValidatorTrust, output.validator_trust),
        (S.PruningScores, output.pruning_scores),
        (S.ValidatorPermit, output.validator_permit),
        (S.StakeWeight, output.stake_weight),
    )
    for item, values in columns:
        state.put(item, netuid, to=values.tolist())
    rows = output.bonds.rows()
    for uid in range(output.active.size):
        state.put(S.Bonds, netuid, uid, to=rows.get(uid, []))
    emissions = [int(amount) for amount in output.server_emission]
    ctx.emit(S.IncentiveAlphaEmittedToMiners, netuid, emissions)


def _pay_owner(ctx: Context, netuid: int, amount: int) -> None:
    state = ctx.state
    hotkey, coldkey = state.get(S.SubnetOwnerHotkey, netuid), state.get(S.SubnetOwner, netuid)
    increase_stake(ctx, hotkey, coldkey, netuid, amount)


def _pay_servers(ctx: Context, netuid: int, hotkeys: list[bytes], incentives: list[int]) -> None:
    state = ctx.state
    owner = state.get(S.SubnetOwnerHotkey, netuid)
    for hotkey, amount in zip(hotkeys, incentives, strict=True):
        if hotkey == owner:
            # what consensus gives the owner's own hotkey for serving is burned
            state.add(S.SubnetAlphaOut, netuid, by=-amount)
        else:
            increase_stake(ctx, hotkey, state.get(S.Owner, hotkey), netuid, amount)


def _pay_validators(ctx: Context, netuid: int, hotkeys: list[bytes], dividends: list[int], amount: int) -> None:
    """Share ``amount`` by dividends; of each share the hotkey's owner takes its take, its stakers the rest.

    A validator's dividends are its parents' too, by what they lent it.
    """
    state = ctx.state
    earned: dict[bytes, int] = {}
    for hotkey, dividend in zip(hotkeys, dividends, strict=True):
        parts, burned = dividends_of(state, hotkey, netuid, dividend)
        state.add(S.SubnetAlphaOut, netuid, by=-burned)
        for part, receiver in parts:
            earned[receiver] = earned.get(receiver, 0) + part
    total = sum(earned.values())
    state.clear(S.AlphaDividendsPerSubnet, netuid)
    for hotkey, dividend in earned.items():
        if not dividend:
            continue
        share = amount * dividend // total
        take = share * state.get(S.Delegates, hotkey) // U16_MAX
        increase_stake(ctx, hotkey, state.get(S.Owner, hotkey), netuid, take)
        increase_stake_of_all(ctx, hotkey, netuid, share - take)
        state.put(S.AlphaDividendsPerSubnet, netuid, hotkey, to=share - take)
        after = state.get(S.TotalHotkeyAlpha, hotkey, netuid)
        state.put(S.TotalHotkeyAlphaLastEpoch, hotkey, netuid, to=after)
