"""AdminUtils: hyperparameters, by the real chain's names and numbers, as a table.

A row is a call: its number, its name, the storage item it sets, who may send it ("owner" is the subnet's
owner or root), the event it ends with and the name under which an owner's changes are rate limited. A
setter with a rule of its own has one; one with more than a value to set is a function at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, Any, Literal

from subnet.devnet.context import Context
from subnet.devnet.pallet import CallSpec, Event, Item, Pallet, ensure
from subnet.devnet.pallets.subtensor import ROOT
from subnet.devnet.pallets.subtensor import SubtensorModule as S
from subnet.devnet.pallets.subtensor_errors import Error as SubtensorError
from subnet.devnet.pallets.subtensor_limits import (
    MECHANISM_COUNT,
    MECHANISM_EMISSION,
    MECHANISMS_EVERY,
    SET_WEIGHTS_VERSION_KEY,
    SN_OWNER_HOTKEY_EVERY,
    TRIM_EVERY,
    TRIM_UIDS,
    limit_key,
    limit_owner,
    passes,
    record_key,
    record_owner,
)
from subnet.devnet.pallets.subtensor_mechanisms import ensure_uids_fit, set_count, set_max_count, set_split
from subnet.devnet.pallets.subtensor_networks import apply_tempo, ensure_open, ensure_owner_or_root, exists
from subnet.devnet.pallets.subtensor_staking import clear_small_nominations
from subnet.devnet.pallets.subtensor_trim import trim
from subnet.devnet.pallets.subtensor_types import FIXED_U128
from subnet.devnet.scale import BOOL, U16, Option, Scale, Vec, account, boolean, i16, u8, u16, u64

Error = IntEnum(
    "Error",
    "SubnetDoesNotExist MaxValidatorsLargerThanMaxUIds MaxAllowedUIdsLessThanCurrentUIds "
    "BondsMovingAverageMaxReached NegativeSigmoidSteepness ValueNotInBounds "
    "MinAllowedUidsGreaterThanCurrentUids MinAllowedUidsGreaterThanMaxAllowedUids "
    "MaxAllowedUidsLessThanMinAllowedUids MaxAllowedUidsGreaterThanDefaultMaxAllowedUids InvalidValue "
    "NotPermittedOnRootSubnet POWRegistrationDisabled Deprecated",
    start=0,
)
split = Annotated[list[int] | None, Option(Vec(U16))]


class AdminUtils(Pallet, index=19, rust="pallet_admin_utils"):
    """Hyperparameters, set by root or by a subnet's owner."""

    errors = Error

    Yuma3EnableToggled = Event(1, netuid=U16, enabled=BOOL)
    BondsResetToggled = Event(2, netuid=U16, enabled=BOOL)
    BurnHalfLifeSet = Event(3, netuid=U16, burn_half_life=U16)
    BurnIncreaseMultSet = Event(4, netuid=U16, burn_increase_mult=FIXED_U128)
    SubnetEmissionEnabledSet = Event(5, netuid=U16, enabled=BOOL)


Who = Literal["root", "owner"]
Rule = Callable[[Context, bytes | None, int, Any], None]


@dataclass(frozen=True)
class Setter:
    """One row of the table: ``sudo_set_<name>(netuid, <argument>)``, without netuid for a network-wide item.

    ``window`` is whether the call is refused in the last blocks before an epoch.
    """

    index: int
    name: str
    item: Item[Any]
    who: Who
    argument: str = ""
    rule: Rule | None = None
    event: Event | None = None
    limit: str = ""
    window: bool = True

    def declare(self) -> None:
        argument = self.argument or self.name
        per_subnet = bool(self.item.keys)
        args: dict[str, Scale[Any]] = {"netuid": U16} if per_subnet else {}
        args[argument] = self.item.value
        docs = f"Set {self.item.name}" + (" of a subnet." if per_subnet else ".")
        origin: Literal["root", "any"] = "root" if self.who == "root" else "any"
        call_name = f"sudo_set_{self.name}"
        AdminUtils.add_call(CallSpec(self.index, self.run, True, origin, call_name, docs, args))

    def run(self, ctx: Context, who: bytes | None, netuid: int | None = None, **args: Any) -> None:
        (value,) = args.values()
        if netuid is None:
            if self.rule is not None:
                self.rule(ctx, who, ROOT, value)
            ctx.state.put(self.item, to=value)
            if self.event is not None:
                ctx.emit(self.event, value)
            return
        ensure_owner_or_root(ctx, who, netuid)
        if who is not None and self.limit:
            limit_owner(ctx, netuid, self.limit)
        if self.window:
            ensure_open(ctx, netuid)
        ensure(exists(ctx.state, netuid), Error.SubnetDoesNotExist)
        if self.rule is not None:
            self.rule(ctx, who, netuid, value)
        ctx.state.put(self.item, netuid, to=value)
        if who is not None and self.limit:
            record_owner(ctx, netuid, self.limit)
        if self.event is not None:
            ctx.emit(self.event, netuid, value)


def _max_uids(ctx: Context, who: bytes | None, netuid: int, value: int) -> None:
    state = ctx.state
    ensure(value >= state.get(S.MinAllowedUids, netuid), Error.MaxAllowedUidsLessThanMinAllowedUids)
    ensure(state.get(S.SubnetworkN, netuid) <= value, Error.MaxAllowedUIdsLessThanCurrentUIds)
    ensure(value <= S.MaxAllowedUids.default(), Error.MaxAllowedUidsGreaterThanDefaultMaxAllowedUids)
    ensure_uids_fit(value, state.get(S.MechanismCountCurrent, netuid))


def _max_validators(ctx: Context, who: bytes | None, netuid: int, value: int) -> None:
    ensure(value <= ctx.state.get(S.MaxAllowedUids, netuid), Error.MaxValidatorsLargerThanMaxUIds)


def _min_burn(ctx: Context, who: bytes | None, netuid: int, value: int) -> None:
    ensure(value < 10**9 and value < ctx.state.get(S.MaxBurn, netuid), Error.ValueNotInBounds)


def _max_burn(ctx: Context, who: bytes | None, netuid: int, value: int) -> None:
    ensure(value > 10**8 and value > ctx.state.get(S.MinBurn, netuid), Error.ValueNotInBounds)


def _half_life(ctx: Context, who: bytes | None, netuid: int, value: int) -> None:
    _not_root(ctx, who, netuid, value)
    ensure(0 < value <= 36_100, Error.InvalidValue)


def _multiplier(ctx: Context, who: bytes | None, netuid: int, value: dict[str, int]) -> None:
    _not_root(ctx, who, netuid, value)
    ensure(1 << 64 <= value["bits"] <= 3 << 64, Error.InvalidValue)


def _bonds(ctx: Context, who: bytes | None, netuid: int, value: int) -> None:
    # the runtime bounds only the owner; above a million consensus has no meaning for it
    ensure(value <= (975_000 if who is not None else 1_000_000), Error.BondsMovingAverageMaxReached)


def _min_uids(ctx: Context, who: bytes | None, netuid: int, value: int) -> None:
    state = ctx.state
    ensure(value < state.get(S.MaxAllowedUids, netuid), Error.MinAllowedUidsGreaterThanMaxAllowedUids)
    ensure(value < state.get(S.SubnetworkN, netuid), Error.MinAllowedUidsGreaterThanCurrentUids)


def _interval(ctx: Context, who: bytes | None, netuid: int, value: int) -> None:
    ensure(value >= 1, SubtensorError.RevealPeriodTooSmall)
    ensure(value <= 100, SubtensorError.RevealPeriodTooLarge)


def _cutoff(ctx: Context, who: bytes | None, netuid: int, value: int) -> None:
    ensure(value >= ctx.state.get(S.MinActivityCutoff), SubtensorError.ActivityCutoffTooLow)


def _immune_owners(ctx: Context, who: bytes | None, netuid: int, value: int) -> None:
    ensure(1 <= value <= 10, SubtensorError.InvalidValue)


def _childkey_take(ctx: Context, who: bytes | None, netuid: int, value: int) -> None:
    low, high = ctx.state.get(S.MinChildkeyTake), ctx.state.get(S.MaxChildkeyTake)
    ensure(low <= value <= high, Error.InvalidValue)


def _not_root(ctx: Context, who: bytes | None, netuid: int, value: Any) -> None:
    ensure(netuid != ROOT, Error.NotPermittedOnRootSubnet)


def _positive(ctx: Context, who: bytes | None, netuid: int, value: int) -> None:
    ensure(value >= 1, Error.ValueNotInBounds)


def _root(
    index: int,
    name: str,
    item: Item[Any],
    event: Event | None = None,
    argument: str = "",
    rule: Rule | None = None,
    window: bool = True,
) -> Setter:
    return Setter(index, name, item, "root", argument or name, rule, event, window=window)


def _owner(
    index: int,
    name: str,
    item: Item[Any],
    limit: str,
    event: Event | None = None,
    argument: str = "",
    rule: Rule | None = None,
) -> Setter:
    return Setter(index, name, item, "owner", argument or name, rule, event, limit)


SETTERS = (
    # the whole network's
    _root(1, "default_take", S.MaxDelegateTake, S.MaxDelegateTakeSet),
    _root(2, "tx_rate_limit", S.TxRateLimit, S.TxRateLimitSet),
    _root(28, "subnet_owner_cut", S.SubnetOwnerCut, S.SubnetOwnerCutSet),
    _root(29, "network_rate_limit", S.NetworkRateLimit, S.NetworkRateLimitSet, "rate_limit"),
    _root(35, "network_immunity_period", S.NetworkImmunityPeriod, S.NetworkImmunityPeriodSet, "immunity_period"),
    _root(36, "network_min_lock_cost", S.NetworkMinLockCost, S.NetworkMinLockCostSet, "lock_cost"),
    _root(37, "subnet_limit", S.SubnetLimit, S.SubnetLimitSet, "max_subnets"),
    _root(38, "lock_reduction_interval", S.NetworkLockReductionInterval, S.LockReductionIntervalSet, "interval"),
    _root(42, "stake_threshold", S.StakeThreshold, S.StakeThresholdSet, "min_stake"),
    _root(45, "tx_delegate_take_rate_limit", S.TxDelegateTakeRateLimit, S.TxDelegateTakeRateLimitSet, "tx_rate_limit"),
    _root(46, "min_delegate_take", S.MinDelegateTake, S.MinDelegateTakeSet, "take"),
    _root(71, "commit_reveal_version", S.CommitRevealWeightsVersion, S.CommitRevealVersionSet, "version"),
    _root(73, "ck_burn", S.CKBurn, None, "burn"),
    _root(74, "admin_freeze_window", S.AdminFreezeWindow, S.AdminFreezeWindowSet, "window"),
    _root(75, "owner_hparam_rate_limit", S.OwnerHyperparamRateLimit, S.OwnerHyperparamRateLimitSet, "epochs"),
    _root(85, "start_call_delay", S.StartCallDelay, S.StartCallDelaySet, "delay"),
    _root(96, "max_epochs_per_block", S.MaxEpochsPerBlock, S.MaxEpochsPerBlockSet, rule=_positive),
    # a subnet's, by root
    _root(4, "min_difficulty", S.MinDifficulty, S.MinDifficultySet),
    _root(7, "weights_set_rate_limit", S.WeightsSetRateLimit, S.WeightsSetRateLimitSet, window=False),
    _root(8, "adjustment_interval", S.AdjustmentInterval, S.AdjustmentIntervalSet, window=False),
    _root(16, "kappa", S.Kappa, S.KappaSet, window=False),
    _root(
        19,
        "network_registration_allowed",
        S.NetworkRegistrationAllowed,
        S.RegistrationAllowed,
        "registration_allowed",
        window=False,
    ),
    _root(21, "target_registrations_per_interval", S.TargetRegistrationsPerInterval, S.RegistrationPerIntervalSet),
    _root(24, "difficulty", S.Difficulty, S.DifficultySet),
    _root(25, "max_allowed_validators", S.MaxAllowedValidators, S.MaxAllowedValidatorsSet, rule=_max_validators),
    _root(27, "max_registrations_per_block", S.MaxRegistrationsPerBlock, S.MaxRegistrationsPerBlockSet),
    _root(39, "rao_recycled", S.RAORecycledForRegistration, S.RAORecycledForRegistrationSet, window=False),
    _root(66, "subtoken_enabled", S.SubtokenEnabled),
    _root(79, "min_allowed_uids", S.MinAllowedUids, S.MinAllowedUidsSet, rule=_min_uids),
    _root(84, "min_non_immune_uids", S.MinNonImmuneUids, S.MinNonImmuneUidsSet, "min", window=False),
    _root(
        94,
        "subnet_emission_enabled",
        S.SubnetEmissionEnabled,
        AdminUtils.SubnetEmissionEnabledSet,
        "enabled",
        _not_root,
    ),
    # a subnet's, by its owner too
    _owner(3, "serving_rate_limit", S.ServingRateLimit, "ServingRateLimit", S.ServingRateLimitSet),
    _owner(5, "max_difficulty", S.MaxDifficulty, "MaxDifficulty", S.MaxDifficultySet),
    _owner(9, "adjustment_alpha", S.AdjustmentAlpha, "AdjustmentAlpha", S.AdjustmentAlphaSet),
    # gone at head, where nothing sets its item any more; kept so that the item can be tried
    _owner(12, "max_weight_limit", S.MaxWeightsLimit, "MaxWeightLimit", S.MaxWeightLimitSet),
    _owner(13, "immunity_period", S.ImmunityPeriod, "ImmunityPeriod", S.ImmunityPeriodSet),
    _owner(14, "min_allowed_weights", S.MinAllowedWeights, "MinAllowedWeights", S.MinAllowedWeightSet),
    _owner(15, "max_allowed_uids", S.MaxAllowedUids, "MaxAllowedUids", S.MaxAllowedUidsSet, rule=_max_uids),
    _owner(17, "rho", S.Rho, "Rho"),
    _owner(18, "activity_cutoff", S.ActivityCutoff, "ActivityCutoff", S.ActivityCutoffSet, rule=_cutoff),
    _owner(22, "min_burn", S.MinBurn, "MinBurn", S.MinBurnSet, rule=_min_burn),
    _owner(23, "max_burn", S.MaxBurn, "MaxBurn", S.MaxBurnSet, rule=_max_burn),
    _owner(26, "bonds_moving_average", S.BondsMovingAverage, "BondsMovingAverage", S.BondsMovingAverageSet, "", _bonds),
    _owner(
        49,
        "commit_reveal_weights_enabled",
        S.CommitRevealWeightsEnabled,
        "CommitRevealEnabled",
        S.CommitRevealSet,
        "enabled",
    ),
    _owner(50, "liquid_alpha_enabled", S.LiquidAlphaOn, "LiquidAlphaEnabled", None, "enabled"),
    _owner(
        57,
        "commit_reveal_weights_interval",
        S.RevealPeriodEpochs,
        "WeightCommitInterval",
        S.CommitRevealPeriodsSet,
        "interval",
        _interval,
    ),
    _owner(60, "bonds_penalty", S.BondsPenalty, "BondsPenalty", S.BondsPenaltySet),
    _owner(61, "toggle_transfer", S.TransferToggle, "TransferEnabled", S.TransferToggled, "toggle"),
    _owner(69, "yuma3_enabled", S.Yuma3On, "Yuma3Enabled", AdminUtils.Yuma3EnableToggled, "enabled"),
    _owner(70, "bonds_reset_enabled", S.BondsResetOn, "BondsResetEnabled", AdminUtils.BondsResetToggled, "enabled"),
    _owner(
        72,
        "owner_immune_neuron_limit",
        S.ImmuneOwnerUidsLimit,
        "ImmuneNeuronLimit",
        None,
        "immune_neurons",
        _immune_owners,
    ),
    _owner(80, "recycle_or_burn", S.RecycleOrBurn, "RecycleOrBurn"),
    _owner(89, "burn_half_life", S.BurnHalfLife, "BurnHalfLife", AdminUtils.BurnHalfLifeSet, "", _half_life),
    _owner(
        90,
        "burn_increase_mult",
        S.BurnIncreaseMult,
        "BurnIncreaseMult",
        AdminUtils.BurnIncreaseMultSet,
        "",
        _multiplier,
    ),
    _owner(92, "owner_cut_enabled", S.OwnerCutEnabled, "", None, "enabled", _not_root),
    _owner(
        93,
        "min_childkey_take_per_subnet",
        S.MinChildkeyTakePerSubnet,
        "MinChildkeyTake",
        S.MinChildKeyTakePerSubnetSet,
        "take",
        _childkey_take,
    ),
)
for _setter in SETTERS:
    _setter.declare()


def _ensure_may(ctx: Context, who: bytes | None, netuid: int, limit: str) -> None:
    """What every setter of a subnet checks first; ``limit`` is the name of its rate limit."""
    ensure_owner_or_root(ctx, who, netuid)
    if who is not None:
        limit_owner(ctx, netuid, limit)
    ensure_open(ctx, netuid)
    ensure(exists(ctx.state, netuid), Error.SubnetDoesNotExist)


def _record(ctx: Context, who: bytes | None, netuid: int, limit: str) -> None:
    if who is not None:
        record_owner(ctx, netuid, limit)


@AdminUtils.call(30, origin="root")
def sudo_set_tempo(ctx: Context, who: None, netuid: u16, tempo: u16) -> None:
    """Set the tempo of a subnet, in blocks, and begin a new cycle."""
    ensure_open(ctx, netuid)
    ensure(exists(ctx.state, netuid), Error.SubnetDoesNotExist)
    apply_tempo(ctx, netuid, tempo)


@AdminUtils.call(43, origin="root")
def sudo_set_nominator_min_required_stake(ctx: Context, who: None, min_stake: u64) -> None:
    """Set NominatorMinRequiredStake; if it rises, the stakes of nominators that are below it are unstaked."""
    before = ctx.state.get(S.NominatorMinRequiredStake)
    ctx.state.put(S.NominatorMinRequiredStake, to=min_stake)
    if min_stake > before:
        clear_small_nominations(ctx)


@AdminUtils.call(6, origin="any")
def sudo_set_weights_version_key(ctx: Context, who: bytes | None, netuid: u16, weights_version_key: u64) -> None:
    """Set WeightsVersionKey of a subnet; its owner once in WeightsVersionKeyRateLimit tempos."""
    state = ctx.state
    ensure_owner_or_root(ctx, who, netuid)
    if who is not None:
        wait = state.get(S.WeightsVersionKeyRateLimit) * state.get(S.Tempo, netuid)
        limit_key(ctx, who, netuid, SET_WEIGHTS_VERSION_KEY, wait, SubtensorError.TxRateLimitExceeded)
    ensure_open(ctx, netuid)
    ensure(exists(state, netuid), Error.SubnetDoesNotExist)
    if who is not None:
        record_key(ctx, who, netuid, SET_WEIGHTS_VERSION_KEY)
    state.put(S.WeightsVersionKey, netuid, to=weights_version_key)
    ctx.emit(S.WeightsVersionKeySet, netuid, weights_version_key)


@AdminUtils.call(20, origin="any")
def sudo_set_network_pow_registration_allowed(
    ctx: Context, who: bytes | None, _netuid: u16, _registration_allowed: boolean
) -> None:
    """Set NetworkPowRegistrationAllowed of a subnet, on a chain of the legacy tempo rule; head has no proof of work."""
    ensure(ctx.spec.legacy, Error.POWRegistrationDisabled)
    _ensure_may(ctx, who, _netuid, "PowRegistrationAllowed")
    ctx.state.put(S.NetworkPowRegistrationAllowed, _netuid, to=_registration_allowed)
    _record(ctx, who, _netuid, "PowRegistrationAllowed")
    ctx.emit(S.PowRegistrationAllowed, _netuid, _registration_allowed)


@AdminUtils.call(51, origin="any")
def sudo_set_alpha_values(ctx: Context, who: bytes | None, netuid: u16, alpha_low: u16, alpha_high: u16) -> None:
    """Set the bounds of liquid alpha, which must be on."""
    _ensure_may(ctx, who, netuid, "AlphaValues")
    ensure(ctx.state.get(S.LiquidAlphaOn, netuid), SubtensorError.LiquidAlphaDisabled)
    ensure(alpha_high >= 1638, SubtensorError.AlphaHighTooLow)
    ensure(1638 <= alpha_low <= alpha_high, SubtensorError.AlphaLowOutOfRange)
    ctx.state.put(S.AlphaValues, netuid, to=(alpha_low, alpha_high))
    _record(ctx, who, netuid, "AlphaValues")


@AdminUtils.call(68, origin="any")
def sudo_set_alpha_sigmoid_steepness(ctx: Context, who: bytes | None, netuid: u16, steepness: i16) -> None:
    """Set the steepness of liquid alpha's sigmoid, in hundredths; negative only by root."""
    _ensure_may(ctx, who, netuid, "AlphaSigmoidSteepness")
    ensure(who is None or steepness >= 0, Error.NegativeSigmoidSteepness)
    ctx.state.put(S.AlphaSigmoidSteepness, netuid, to=steepness)
    _record(ctx, who, netuid, "AlphaSigmoidSteepness")
    ctx.emit(S.AlphaSigmoidSteepnessSet, netuid, steepness)


@AdminUtils.call(67, origin="any")
def sudo_set_sn_owner_hotkey(ctx: Context, who: bytes | None, netuid: u16, hotkey: account) -> None:
    """Set the owner's hotkey of a subnet; once in 50,400 blocks."""
    state, key = ctx.state, ("SetSNOwnerHotkey", netuid)
    ensure_owner_or_root(ctx, who, netuid)
    ensure(exists(state, netuid), SubtensorError.SubnetNotExists)
    last = state.get(S.LastRateLimitedBlock, key)
    ensure(passes(ctx, last, SN_OWNER_HOTKEY_EVERY), SubtensorError.TxRateLimitExceeded)
    state.put(S.LastRateLimitedBlock, key, to=ctx.block)
    state.put(S.SubnetOwnerHotkey, netuid, to=hotkey)
    ctx.emit(S.SubnetOwnerHotkeySet, netuid, hotkey)


@AdminUtils.call(64, origin="any")
def sudo_set_subnet_owner_hotkey(ctx: Context, who: bytes | None, netuid: u16, hotkey: account) -> None:
    """As sudo_set_sn_owner_hotkey."""
    sudo_set_sn_owner_hotkey(ctx, who, netuid, hotkey)


@AdminUtils.call(76, origin="any")
def sudo_set_mechanism_count(ctx: Context, who: bytes | None, netuid: u16, mechanism_count: u8) -> None:
    """Set how many mechanisms a subnet has: up to MaxMechanismCount, with 256 uids in all."""
    _limit_changes(ctx, who, netuid, MECHANISM_COUNT, MECHANISMS_EVERY)
    set_count(ctx, netuid, mechanism_count)


@AdminUtils.call(77, origin="any")
def sudo_set_mechanism_emission_split(ctx: Context, who: bytes | None, netuid: u16, maybe_split: split) -> None:
    """Set each mechanism's share (u16, 65535 in all) of a subnet's emission; none shares it evenly."""
    _limit_changes(ctx, who, netuid, MECHANISM_EMISSION, MECHANISMS_EVERY)
    set_split(ctx, netuid, maybe_split)


def _limit_changes(ctx: Context, who: bytes | None, netuid: int, kind: int, every: int) -> None:
    ensure_owner_or_root(ctx, who, netuid)
    if who is not None:
        limit_key(ctx, who, netuid, kind, every, SubtensorError.TxRateLimitExceeded)
        record_key(ctx, who, netuid, kind)
    ensure_open(ctx, netuid)


@AdminUtils.call(78, origin="any")
def sudo_trim_to_max_allowed_uids(ctx: Context, who: bytes | None, netuid: u16, max_n: u16) -> None:
    """Make a subnet smaller at once: those with the least emission go, and uids change."""
    _limit_changes(ctx, who, netuid, TRIM_UIDS, TRIM_EVERY)
    trim(ctx, netuid, max_n)


@AdminUtils.call(88, origin="root")
def sudo_set_max_mechanism_count(ctx: Context, who: None, max_mechanism_count: u8) -> None:
    """Set how many mechanisms a subnet may have: 1 to 16."""
    set_max_count(ctx, max_mechanism_count)
