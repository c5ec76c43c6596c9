"""What the APIs say of a subnet, each value declared once: its name, its SCALE type and where it is read.

SubnetInfo, the hyperparameters and the metagraph are lists of these names; their SCALE structs and their
values are made from those lists. Amounts are RAO, times and delays blocks, shares u16 (65535 = 1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from subnet.devnet.pallet import Item
from subnet.devnet.pallets.subtensor import SubtensorModule as S
from subnet.devnet.pallets.subtensor_children import least_childkey_take
from subnet.devnet.pallets.subtensor_networks import activity_cutoff
from subnet.devnet.pallets.subtensor_types import CHAIN_IDENTITY, FIXED_I128, FIXED_U128, SUBNET_IDENTITY
from subnet.devnet.runtime_api.declare import View
from subnet.devnet.runtime_api.types import (
    C_ALPHA,
    C_NET_UID,
    C_TAO,
    C_U8,
    C_U16,
    C_U32,
    C_U64,
    FIXED_I64,
)
from subnet.devnet.scale import ACCOUNT, BOOL, U16, U128, Compact, Option, Scale, Struct, Tuple, Vec
from subnet.devnet.state import State


@dataclass(frozen=True)
class Subnet:
    """One subnet, or one mechanism of it, at a block."""

    view: View
    netuid: int

    @property
    def state(self) -> State:
        return self.view.state

    def get(self, item: Item[Any], *keys: Any) -> Any:
        return self.state.get(item, self.netuid, *keys)

    @cached_property
    def identity(self) -> dict[str, bytes] | None:
        return self.state.get(S.SubnetIdentitiesV3, self.netuid)

    @cached_property
    def name(self) -> bytes:
        """From its identity; the root network has one of its own."""
        own = (self.identity or {}).get("subnet_name")
        return own or (b"unknown" if self.netuid else b"root")

    @cached_property
    def hotkeys(self) -> list[bytes]:
        return [self.get(S.Keys, uid) for uid in range(self.get(S.SubnetworkN))]

    @cached_property
    def coldkeys(self) -> list[bytes]:
        return [self.state.get(S.Owner, hotkey) for hotkey in self.hotkeys]


def exists(view: View, netuid: int) -> bool:
    return view.state.get(S.NetworksAdded, netuid)


def netuids(view: View) -> list[int]:
    """All subnets, root too, ascending."""
    return sorted(netuid for (netuid,) in view.state.keys(S.NetworksAdded) if exists(view, netuid))


@dataclass(frozen=True)
class Value:
    scale: Scale[Any]
    read: Callable[[Subnet], Any]


def of(scale: Scale[Any], item: Item[Any]) -> Value:
    """The value of a storage item that is keyed by the netuid."""
    return Value(scale, lambda subnet: subnet.get(item))


def always(scale: Scale[Any], value: Any) -> Value:
    """What the real runtime still names and no longer fills, or what a local chain has no use for."""
    return Value(scale, lambda subnet: value)


def _steepness(subnet: Subnet) -> dict[str, int]:
    return {"bits": subnet.get(S.AlphaSigmoidSteepness) << 32}


def _pending(subnet: Subnet) -> int:
    return sum(subnet.get(item) for item in (S.PendingValidatorEmission, S.PendingServerEmission))


def _since_step(subnet: Subnet) -> int:
    return max(0, subnet.view.block - int(subnet.get(S.LastMechansimStepBlock)))


_TEXT = Vec(C_U8)  # text whose bytes are compact integers, as the runtime has it
VALUES: dict[str, Value] = {
    # the subnet
    "netuid": Value(C_NET_UID, lambda subnet: subnet.netuid),
    "name": Value(_TEXT, lambda subnet: subnet.name),
    "subnet_name": Value(_TEXT, lambda subnet: subnet.name),
    "symbol": of(_TEXT, S.TokenSymbol),
    "token_symbol": of(_TEXT, S.TokenSymbol),
    "identity": Value(Option(SUBNET_IDENTITY), lambda subnet: subnet.identity),
    "subnet_identity": Value(Option(SUBNET_IDENTITY), lambda subnet: subnet.identity),
    "network_registered_at": of(C_U64, S.NetworkRegisteredAt),
    "owner": of(ACCOUNT, S.SubnetOwner),
    "owner_hotkey": of(ACCOUNT, S.SubnetOwnerHotkey),
    "owner_coldkey": of(ACCOUNT, S.SubnetOwner),
    "network_modality": always(C_U16, 0),
    "network_connect": always(Vec(Tuple(U16, U16)), []),
    "scaling_law_power": always(C_U16, 50),
    # time
    "block": Value(C_U64, lambda subnet: subnet.view.block),
    "tempo": of(C_U16, S.Tempo),
    "last_step": of(C_U64, S.LastMechansimStepBlock),
    "blocks_since_last_step": Value(C_U64, _since_step),
    # emission
    "subnet_emission": always(C_U64, 0),
    "emission": always(C_U64, 0),
    "emission_value": always(C_U64, 0),
    "emission_values": always(C_U64, 0),
    "alpha_in": of(C_ALPHA, S.SubnetAlphaIn),
    "alpha_out": of(C_ALPHA, S.SubnetAlphaOut),
    "tao_in": of(C_TAO, S.SubnetTAO),
    "alpha_out_emission": of(C_ALPHA, S.SubnetAlphaOutEmission),
    "alpha_in_emission": of(C_ALPHA, S.SubnetAlphaInEmission),
    "tao_in_emission": of(C_TAO, S.SubnetTaoInEmission),
    "pending_alpha_emission": Value(C_ALPHA, _pending),
    "pending_root_emission": always(C_TAO, 0),
    "subnet_volume": of(Compact(U128), S.SubnetVolume),
    "moving_price": of(FIXED_I128, S.SubnetMovingPrice),
    # consensus
    "rho": of(C_U16, S.Rho),
    "kappa": of(C_U16, S.Kappa),
    "bonds_moving_avg": of(C_U64, S.BondsMovingAverage),
    "bonds_reset_enabled": of(BOOL, S.BondsResetOn),
    "liquid_alpha_enabled": of(BOOL, S.LiquidAlphaOn),
    "alpha_low": Value(C_U16, lambda subnet: subnet.get(S.AlphaValues)[0]),
    "alpha_high": Value(C_U16, lambda subnet: subnet.get(S.AlphaValues)[1]),
    "alpha_sigmoid_steepness": Value(FIXED_I64, _steepness),
    "yuma_version": Value(C_U16, lambda subnet: 3 if subnet.get(S.Yuma3On) else 2),
    # weights
    "min_allowed_weights": of(C_U16, S.MinAllowedWeights),
    "max_weights_limit": of(C_U16, S.MaxWeightsLimit),
    "weights_version": of(C_U64, S.WeightsVersionKey),
    "weights_rate_limit": of(C_U64, S.WeightsSetRateLimit),
    "commit_reveal_period": of(C_U64, S.RevealPeriodEpochs),
    "commit_reveal_weights_enabled": of(BOOL, S.CommitRevealWeightsEnabled),
    "activity_cutoff": Value(C_U64, lambda subnet: activity_cutoff(subnet.view, subnet.netuid)),
    "activity_cutoff_factor": of(C_U32, S.ActivityCutoffFactorMilli),
    "max_validators": of(C_U16, S.MaxAllowedValidators),
    "max_allowed_validators": of(C_U16, S.MaxAllowedValidators),
    # registration
    "num_uids": of(C_U16, S.SubnetworkN),
    "subnetwork_n": of(C_U16, S.SubnetworkN),
    "max_uids": of(C_U16, S.MaxAllowedUids),
    "max_allowed_uids": of(C_U16, S.MaxAllowedUids),
    "burn": of(C_TAO, S.Burn),
    "min_burn": of(C_TAO, S.MinBurn),
    "max_burn": of(C_TAO, S.MaxBurn),
    "burn_half_life": of(C_U16, S.BurnHalfLife),
    "burn_increase_mult": of(FIXED_U128, S.BurnIncreaseMult),
    "difficulty": of(C_U64, S.Difficulty),
    "min_difficulty": of(C_U64, S.MinDifficulty),
    "max_difficulty": of(C_U64, S.MaxDifficulty),
    "registration_allowed": of(BOOL, S.NetworkRegistrationAllowed),
    "pow_registration_allowed": of(BOOL, S.NetworkPowRegistrationAllowed),
    "immunity_period": of(C_U16, S.ImmunityPeriod),
    "adjustment_alpha": of(C_U64, S.AdjustmentAlpha),
    "adjustment_interval": of(C_U16, S.AdjustmentInterval),
    "target_regs_per_interval": of(C_U16, S.TargetRegistrationsPerInterval),
    "max_regs_per_block": of(C_U16, S.MaxRegistrationsPerBlock),
    "serving_rate_limit": of(C_U64, S.ServingRateLimit),
    # switches
    "subnet_is_active": of(BOOL, S.SubtokenEnabled),
    "transfers_enabled": of(BOOL, S.TransferToggle),
    "owner_cut_enabled": of(BOOL, S.OwnerCutEnabled),
    "owner_cut_auto_lock_enabled": always(BOOL, False),
    "user_liquidity_enabled": always(BOOL, False),
    "min_childkey_take": Value(C_U16, lambda subnet: least_childkey_take(subnet.state, subnet.netuid)),
}
IDENTITIES = Vec(Option(CHAIN_IDENTITY))


def record(path: str, names: str) -> Struct:
    """A struct of these values, named with spaces between."""
    return Struct(path, **{name: VALUES[name].scale for name in names.split()})


def read(subnet: Subnet, names: str) -> dict[str, Any]:
    """The struct's value."""
    return {name: VALUES[name].read(subnet) for name in names.split()}
