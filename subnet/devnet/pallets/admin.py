"""AdminUtils: hyperparameters, by the real chain's names and numbers, as a table.

A row is a call: its number, its name, the storage item it sets, its argument, and who may send it
("owner" is the subnet's owner or root). A setter with a rule of its own is a function at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Literal

from subnet.devnet.context import Context
from subnet.devnet.pallet import CallSpec, Item, Pallet, ensure
from subnet.devnet.pallets.subtensor import ROOT
from subnet.devnet.pallets.subtensor import SubtensorModule as S
from subnet.devnet.pallets.subtensor_errors import Error as SubtensorError
from subnet.devnet.pallets.subtensor_networks import apply_tempo, blocks_until_epoch, ensure_owner_or_root, exists
from subnet.devnet.scale import U16, Scale, account, i16, u16

Error = IntEnum(
    "Error",
    "SubnetDoesNotExist MaxValidatorsLargerThanMaxUIds MaxAllowedUIdsLessThanCurrentUIds "
    "BondsMovingAverageMaxReached NegativeSigmoidSteepness ValueNotInBounds "
    "MinAllowedUidsGreaterThanCurrentUids MinAllowedUidsGreaterThanMaxAllowedUids "
    "MaxAllowedUidsLessThanMinAllowedUids MaxAllowedUidsGreaterThanDefaultMaxAllowedUids InvalidValue "
    "NotPermittedOnRootSubnet POWRegistrationDisabled Deprecated",
    start=0,
)


class AdminUtils(Pallet, index=19, rust="pallet_admin_utils"):
    errors = Error


Who = Literal["root", "owner"]
Rule = Callable[[Context, int, Any], None]


@dataclass(frozen=True)
class Setter:
    """One row of the table: ``sudo_set_<name>(netuid, <argument>)``, without netuid for a network-wide item."""

    index: int
    name: str
    item: Item[Any]
    who: Who
    argument: str = ""
    rule: Rule | None = None

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
            ctx.state.put(self.item, to=value)
            return
        ensure_owner_or_root(ctx, who, netuid)
        ensure_open(ctx, netuid)
        ensure(exists(ctx.state, netuid), Error.SubnetDoesNotExist)
        if self.rule is not None:
            self.rule(ctx, netuid, value)
        ctx.state.put(self.item, netuid, to=value)


def ensure_open(ctx: Context, netuid: int) -> None:
    """Refuse in the last AdminFreezeWindow blocks before an epoch (0 here unless set: tempos are short)."""
    state = ctx.state
    if state.get(S.Tempo, netuid):
        asked = state.get(S.PendingEpochAt, netuid) > ctx.block
        closed = asked or blocks_until_epoch(ctx, netuid) < state.get(S.AdminFreezeWindow)
        ensure(not closed, SubtensorError.AdminActionProhibitedDuringWeightsWindow)


def _max_uids(ctx: Context, netuid: int, value: int) -> None:
    state = ctx.state
    ensure(value >= state.get(S.MinAllowedUids, netuid), Error.MaxAllowedUidsLessThanMinAllowedUids)
    ensure(state.get(S.SubnetworkN, netuid) <= value, Error.MaxAllowedUIdsLessThanCurrentUIds)
    ensure(value <= S.MaxAllowedUids.default(), Error.MaxAllowedUidsGreaterThanDefaultMaxAllowedUids)


def _max_validators(ctx: Context, netuid: int, value: int) -> None:
    ensure(value <= ctx.state.get(S.MaxAllowedUids, netuid), Error.MaxValidatorsLargerThanMaxUIds)


def _min_burn(ctx: Context, netuid: int, value: int) -> None:
    ensure(value < 10**9 and value < ctx.state.get(S.MaxBurn, netuid), Error.ValueNotInBounds)


def _max_burn(ctx: Context, netuid: int, value: int) -> None:
    ensure(value > 10**8 and value > ctx.state.get(S.MinBurn, netuid), Error.ValueNotInBounds)


def _half_life(ctx: Context, netuid: int, value: int) -> None:
    ensure(netuid != ROOT, Error.NotPermittedOnRootSubnet)
    ensure(value > 0, Error.InvalidValue)


def _multiplier(ctx: Context, netuid: int, value: dict[str, int]) -> None:
    ensure(netuid != ROOT, Error.NotPermittedOnRootSubnet)
    ensure(1 << 64 <= value["bits"] <= 3 << 64, Error.InvalidValue)


def _bonds_average(ctx: Context, netuid: int, value: int) -> None:
    ensure(value <= 1_000_000, Error.BondsMovingAverageMaxReached)


def _min_uids(ctx: Context, netuid: int, value: int) -> None:
    state = ctx.state
    ensure(value < state.get(S.MaxAllowedUids, netuid), Error.MinAllowedUidsGreaterThanMaxAllowedUids)
    ensure(value < state.get(S.SubnetworkN, netuid), Error.MinAllowedUidsGreaterThanCurrentUids)


def _interval(ctx: Context, netuid: int, value: int) -> None:
    ensure(value >= 1, SubtensorError.RevealPeriodTooSmall)
    ensure(value <= 100, SubtensorError.RevealPeriodTooLarge)


SETTERS = (
    Setter(1, "default_take", S.MaxDelegateTake, "root"),
    Setter(2, "tx_rate_limit", S.TxRateLimit, "root"),
    Setter(3, "serving_rate_limit", S.ServingRateLimit, "owner"),
    Setter(4, "min_difficulty", S.MinDifficulty, "root"),
    Setter(5, "max_difficulty", S.MaxDifficulty, "owner"),
    Setter(6, "weights_version_key", S.WeightsVersionKey, "owner"),
    Setter(7, "weights_set_rate_limit", S.WeightsSetRateLimit, "root"),
    Setter(8, "adjustment_interval", S.AdjustmentInterval, "root"),
    Setter(9, "adjustment_alpha", S.AdjustmentAlpha, "owner"),
    Setter(13, "immunity_period", S.ImmunityPeriod, "owner"),
    Setter(14, "min_allowed_weights", S.MinAllowedWeights, "owner"),
    Setter(15, "max_allowed_uids", S.MaxAllowedUids, "owner", rule=_max_uids),
    Setter(16, "kappa", S.Kappa, "root"),
    Setter(17, "rho", S.Rho, "owner"),
    Setter(18, "activity_cutoff", S.ActivityCutoff, "owner"),
    Setter(19, "network_registration_allowed", S.NetworkRegistrationAllowed, "root", "registration_allowed"),
    Setter(21, "target_registrations_per_interval", S.TargetRegistrationsPerInterval, "root"),
    Setter(22, "min_burn", S.MinBurn, "owner", rule=_min_burn),
    Setter(23, "max_burn", S.MaxBurn, "owner", rule=_max_burn),
    Setter(24, "difficulty", S.Difficulty, "root"),
    Setter(25, "max_allowed_validators", S.MaxAllowedValidators, "root", rule=_max_validators),
    Setter(26, "bonds_moving_average", S.BondsMovingAverage, "owner", rule=_bonds_average),
    Setter(27, "max_registrations_per_block", S.MaxRegistrationsPerBlock, "root"),
    Setter(28, "subnet_owner_cut", S.SubnetOwnerCut, "root"),
    Setter(29, "network_rate_limit", S.NetworkRateLimit, "root", "rate_limit"),
    Setter(35, "network_immunity_period", S.NetworkImmunityPeriod, "root", "immunity_period"),
    Setter(36, "network_min_lock_cost", S.NetworkMinLockCost, "root", "lock_cost"),
    Setter(37, "subnet_limit", S.SubnetLimit, "root", "max_subnets"),
    Setter(38, "lock_reduction_interval", S.NetworkLockReductionInterval, "root", "interval"),
    Setter(39, "rao_recycled", S.RAORecycledForRegistration, "root"),
    Setter(42, "stake_threshold", S.StakeThreshold, "root", "min_stake"),
    Setter(43, "nominator_min_required_stake", S.NominatorMinRequiredStake, "root", "min_stake"),
    Setter(46, "min_delegate_take", S.MinDelegateTake, "root", "take"),
    Setter(49, "commit_reveal_weights_enabled", S.CommitRevealWeightsEnabled, "owner", "enabled"),
    Setter(50, "liquid_alpha_enabled", S.LiquidAlphaOn, "owner", "enabled"),
    Setter(57, "commit_reveal_weights_interval", S.RevealPeriodEpochs, "owner", "interval", _interval),
    Setter(60, "bonds_penalty", S.BondsPenalty, "owner"),
    Setter(61, "toggle_transfer", S.TransferToggle, "owner", "toggle"),
    Setter(66, "subtoken_enabled", S.SubtokenEnabled, "root"),
    Setter(69, "yuma3_enabled", S.Yuma3On, "owner", "enabled"),
    Setter(70, "bonds_reset_enabled", S.BondsResetOn, "owner", "enabled"),
    Setter(71, "commit_reveal_version", S.CommitRevealWeightsVersion, "root", "version"),
    Setter(72, "owner_immune_neuron_limit", S.ImmuneOwnerUidsLimit, "owner", "immune_neurons"),
    Setter(74, "admin_freeze_window", S.AdminFreezeWindow, "root", "window"),
    Setter(79, "min_allowed_uids", S.MinAllowedUids, "root", rule=_min_uids),
    Setter(84, "min_non_immune_uids", S.MinNonImmuneUids, "root", "min"),
    Setter(85, "start_call_delay", S.StartCallDelay, "root", "delay"),
    Setter(89, "burn_half_life", S.BurnHalfLife, "owner", rule=_half_life),
    Setter(90, "burn_increase_mult", S.BurnIncreaseMult, "owner", rule=_multiplier),
    Setter(92, "owner_cut_enabled", S.OwnerCutEnabled, "owner", "enabled"),
    Setter(94, "subnet_emission_enabled", S.SubnetEmissionEnabled, "root", "enabled"),
    Setter(96, "max_epochs_per_block", S.MaxEpochsPerBlock, "root"),
)
for _setter in SETTERS:
    _setter.declare()


@AdminUtils.call(30, origin="root")
def sudo_set_tempo(ctx: Context, who: None, netuid: u16, tempo: u16) -> None:
    """Set the tempo of a subnet, in blocks, and begin a new cycle."""
    ensure_open(ctx, netuid)
    ensure(exists(ctx.state, netuid), Error.SubnetDoesNotExist)
    apply_tempo(ctx, netuid, tempo)


@AdminUtils.call(51, origin="any")
def sudo_set_alpha_values(ctx: Context, who: bytes | None, netuid: u16, alpha_low: u16, alpha_high: u16) -> None:
    """Set the bounds of liquid alpha, which must be on."""
    ensure_owner_or_root(ctx, who, netuid)
    ensure_open(ctx, netuid)
    ensure(ctx.state.get(S.LiquidAlphaOn, netuid), SubtensorError.LiquidAlphaDisabled)
    ensure(alpha_high >= 1638, SubtensorError.AlphaHighTooLow)
    ensure(1638 <= alpha_low <= alpha_high, SubtensorError.AlphaLowOutOfRange)
    ctx.state.put(S.AlphaValues, netuid, to=(alpha_low, alpha_high))


@AdminUtils.call(68, origin="any")
def sudo_set_alpha_sigmoid_steepness(ctx: Context, who: bytes | None, netuid: u16, steepness: i16) -> None:
    """Set the steepness of liquid alpha's sigmoid, in hundredths; negative only by root."""
    ensure_owner_or_root(ctx, who, netuid)
    ensure_open(ctx, netuid)
    ensure(exists(ctx.state, netuid), Error.SubnetDoesNotExist)
    ensure(who is None or steepness >= 0, Error.NegativeSigmoidSteepness)
    ctx.state.put(S.AlphaSigmoidSteepness, netuid, to=steepness)


@AdminUtils.call(67, origin="any")
def sudo_set_sn_owner_hotkey(ctx: Context, who: bytes | None, netuid: u16, hotkey: account) -> None:
    """Set the owner's hotkey of a subnet."""
    ensure_owner_or_root(ctx, who, netuid)
    ensure(exists(ctx.state, netuid), SubtensorError.SubnetNotExists)
    ctx.state.put(S.SubnetOwnerHotkey, netuid, to=hotkey)
