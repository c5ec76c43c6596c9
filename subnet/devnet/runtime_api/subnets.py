"""SubnetInfoRuntimeApi: what a subnet is and how it is set. Its metagraph stands in :mod:`.metagraph`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from subnet.devnet.pallets.subtensor import SubtensorModule as S
from subnet.devnet.pallets.subtensor import subnet_account
from subnet.devnet.pallets.subtensor_networks import blocks_until_epoch
from subnet.devnet.pallets.subtensor_types import FIXED_U128
from subnet.devnet.runtime_api.declare import Api, View
from subnet.devnet.runtime_api.types import C_TAO, C_U16, C_U32, C_U64, FIXED_I64, net_uid
from subnet.devnet.runtime_api.values import VALUES, Subnet, exists, netuids, read, record
from subnet.devnet.scale import ACCOUNT, BOOL, BYTES, U64, U128, Compact, Enum, Option, Scale, Struct, Variant, Vec

_INFO = (
    "netuid rho kappa difficulty immunity_period max_allowed_validators min_allowed_weights max_weights_limit "
    "scaling_law_power subnetwork_n max_allowed_uids blocks_since_last_step tempo network_modality network_connect"
)
INFO = f"{_INFO} emission_values burn owner"
INFO_V2 = f"{_INFO} emission_value burn owner identity"
HYPERPARAMS = (
    "rho kappa immunity_period min_allowed_weights max_weights_limit tempo min_difficulty max_difficulty "
    "weights_version weights_rate_limit adjustment_interval activity_cutoff registration_allowed "
    "target_regs_per_interval min_burn max_burn bonds_moving_avg max_regs_per_block serving_rate_limit max_validators "
    "adjustment_alpha difficulty commit_reveal_period commit_reveal_weights_enabled alpha_high alpha_low "
    "liquid_alpha_enabled"
)
HYPERPARAMS_V2 = (
    f"{HYPERPARAMS} alpha_sigmoid_steepness yuma_version subnet_is_active transfers_enabled bonds_reset_enabled "
    "user_liquidity_enabled"
)
HYPERPARAMS_V3 = (
    "kappa immunity_period min_allowed_weights max_weights_limit tempo weights_version weights_rate_limit "
    "activity_cutoff activity_cutoff_factor registration_allowed target_regs_per_interval min_burn max_burn "
    "burn_half_life burn_increase_mult bonds_moving_avg max_regs_per_block serving_rate_limit max_validators "
    "commit_reveal_period commit_reveal_weights_enabled alpha_high alpha_low liquid_alpha_enabled "
    "alpha_sigmoid_steepness yuma_version subnet_is_active transfers_enabled bonds_reset_enabled "
    "user_liquidity_enabled owner_cut_enabled owner_cut_auto_lock_enabled min_childkey_take"
)
_INFOS = "pallet_subtensor::rpc_info::subnet_info"
SUBNET_INFO = record(f"{_INFOS}::SubnetInfo", INFO)
SUBNET_INFO_V2 = record(f"{_INFOS}::SubnetInfov2", INFO_V2)
_TAGS: dict[str, Scale[Any]] = {
    "Bool": BOOL,
    "U16": C_U16,
    "U32": C_U32,
    "U64": C_U64,
    "U128": Compact(U128),
    "TaoBalance": C_TAO,
    "I32F32": FIXED_I64,
    "U64F64": FIXED_U128,
}
HYPERPARAM_VALUE = Enum(
    f"{_INFOS}::HyperparamValue",
    [Variant(tag, index, [(None, scale)]) for index, (tag, scale) in enumerate(_TAGS.items())],
)
HYPERPARAM_ENTRY = Struct(f"{_INFOS}::HyperparamEntry", name=BYTES, value=HYPERPARAM_VALUE)


class SubnetInfoRuntimeApi(Api, version=2):
    """Subnets: what they are, how they are set, and their metagraphs."""


def _info(view: View, netuid: int, names: str) -> dict[str, Any] | None:
    return read(Subnet(view, netuid), names) if exists(view, netuid) else None


@SubnetInfoRuntimeApi.method(Option(SUBNET_INFO))
def get_subnet_info(view: View, netuid: net_uid) -> dict[str, Any] | None:
    """A subnet in brief; None if there is none of that netuid."""
    return _info(view, netuid, INFO)


@SubnetInfoRuntimeApi.method(Vec(Option(SUBNET_INFO)))
def get_subnets_info(view: View) -> list[dict[str, Any] | None]:
    """All subnets in brief, root too."""
    return [_info(view, netuid, INFO) for netuid in netuids(view)]


@SubnetInfoRuntimeApi.method(Option(SUBNET_INFO_V2))
def get_subnet_info_v2(view: View, netuid: net_uid) -> dict[str, Any] | None:
    """As get_subnet_info, with the subnet's identity."""
    return _info(view, netuid, INFO_V2)


@SubnetInfoRuntimeApi.method(Vec(Option(SUBNET_INFO_V2)))
def get_subnets_info_v2(view: View) -> list[dict[str, Any] | None]:
    """As get_subnets_info, with identities."""
    return [_info(view, netuid, INFO_V2) for netuid in netuids(view)]


@SubnetInfoRuntimeApi.method(Option(record(f"{_INFOS}::SubnetHyperparams", HYPERPARAMS)))
def get_subnet_hyperparams(view: View, netuid: net_uid) -> dict[str, Any] | None:
    """Hyperparameters, in the first shape they had."""
    return _info(view, netuid, HYPERPARAMS)


@SubnetInfoRuntimeApi.method(Option(record(f"{_INFOS}::SubnetHyperparamsV2", HYPERPARAMS_V2)))
def get_subnet_hyperparams_v2(view: View, netuid: net_uid) -> dict[str, Any] | None:
    """Hyperparameters, in their second shape."""
    return _info(view, netuid, HYPERPARAMS_V2)


def _tagged(name: str, value: Any) -> dict[str, Any]:
    tag = next(tag for tag, scale in _TAGS.items() if scale is VALUES[name].scale)
    return {"name": name.encode(), "value": (tag, value)}


@SubnetInfoRuntimeApi.method(Option(Vec(HYPERPARAM_ENTRY)))
def get_subnet_hyperparams_v3(view: View, netuid: net_uid) -> list[dict[str, Any]] | None:
    """Hyperparameters as a list of names and tagged values."""
    found = _info(view, netuid, HYPERPARAMS_V3)
    return None if found is None else [_tagged(name, value) for name, value in found.items()]


@SubnetInfoRuntimeApi.method(Option(ACCOUNT))
def get_subnet_account_id(view: View, netuid: net_uid) -> bytes | None:
    """The account that holds the subnet's TAO."""
    return subnet_account(netuid) if exists(view, netuid) else None


@SubnetInfoRuntimeApi.method(Option(U64))
def get_next_epoch_start_block(view: View, netuid: net_uid) -> int | None:
    """The block that the next epoch runs in; None if it has none."""
    tempo, pending = view.state.get(S.Tempo, netuid), view.state.get(S.PendingEpochAt, netuid)
    if not tempo or not exists(view, netuid):
        return None
    ahead = replace(view, block=view.block + 1)
    due = ahead.block + blocks_until_epoch(ahead, netuid)
    return min(due, pending) if pending else due
