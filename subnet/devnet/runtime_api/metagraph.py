"""SubnetInfoRuntimeApi: the metagraph, whole or in parts, and the dynamic info."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from subnet.devnet.pallets.commitments import Commitments
from subnet.devnet.pallets.subtensor import ROOT, storage_index
from subnet.devnet.pallets.subtensor import SubtensorModule as S
from subnet.devnet.pallets.subtensor_children import inherited
from subnet.devnet.pallets.subtensor_types import AXON_INFO
from subnet.devnet.pallets.subtensor_weights import stake_weight
from subnet.devnet.runtime_api.declare import View
from subnet.devnet.runtime_api.subnets import SubnetInfoRuntimeApi
from subnet.devnet.runtime_api.types import C_ALPHA, C_TAO, C_U8, C_U16, C_U64, mech_id, net_uid
from subnet.devnet.runtime_api.values import IDENTITIES, VALUES, Subnet, Value, exists, netuids, read, record
from subnet.devnet.scale import ACCOUNT, BOOL, Option, Struct, Tuple, Vec, vec_u16

DYNAMIC = (
    "netuid owner_hotkey owner_coldkey subnet_name token_symbol tempo last_step blocks_since_last_step emission "
    "alpha_in alpha_out tao_in alpha_out_emission alpha_in_emission tao_in_emission pending_alpha_emission "
    "pending_root_emission subnet_volume network_registered_at subnet_identity moving_price"
)
_OF_SUBNET = (
    "netuid name symbol identity network_registered_at owner_hotkey owner_coldkey block tempo last_step "
    "blocks_since_last_step subnet_emission alpha_in alpha_out tao_in alpha_out_emission alpha_in_emission "
    "tao_in_emission pending_alpha_emission pending_root_emission subnet_volume moving_price rho kappa "
    "min_allowed_weights max_weights_limit weights_version weights_rate_limit activity_cutoff max_validators num_uids "
    "max_uids burn difficulty registration_allowed pow_registration_allowed immunity_period min_difficulty "
    "max_difficulty min_burn max_burn adjustment_alpha adjustment_interval target_regs_per_interval "
    "max_regs_per_block serving_rate_limit commit_reveal_weights_enabled commit_reveal_period liquid_alpha_enabled "
    "alpha_high alpha_low bonds_moving_avg"
)
NO_AXON = dict.fromkeys(AXON_INFO.fields, 0)


def _column(item: Any) -> Callable[[Subnet], Any]:
    return lambda subnet: subnet.get(item)


def _per_hotkey(function: Callable[[Subnet, bytes], Any]) -> Callable[[Subnet], Any]:
    return lambda subnet: [function(subnet, hotkey) for hotkey in subnet.hotkeys]


def _axon(subnet: Subnet, hotkey: bytes) -> dict[str, int]:
    return subnet.get(S.Axons, hotkey) or NO_AXON


def _registered(subnet: Subnet) -> list[int]:
    return [subnet.get(S.BlockAtRegistration, uid) for uid in range(len(subnet.hotkeys))]


def _alpha(subnet: Subnet, hotkey: bytes) -> int:
    return inherited(subnet.state, hotkey, subnet.netuid, of=subnet.netuid)


def _tao(subnet: Subnet, hotkey: bytes) -> int:
    return inherited(subnet.state, hotkey, subnet.netuid, of=ROOT)


def _total(subnet: Subnet, hotkey: bytes) -> int:
    return stake_weight(subnet.state, hotkey, subnet.netuid)


def _dividends(subnet: Subnet, hotkey: bytes) -> tuple[bytes, int]:
    return hotkey, subnet.get(S.AlphaDividendsPerSubnet, hotkey)


# rank, trust and pruning_score are empty on the real chain, which no longer computes them
COLUMNS: dict[str, Value] = {
    "hotkeys": Value(Vec(ACCOUNT), lambda subnet: subnet.hotkeys),
    "coldkeys": Value(Vec(ACCOUNT), lambda subnet: subnet.coldkeys),
    "identities": Value(
        IDENTITIES, lambda subnet: [subnet.state.get(S.IdentitiesV2, coldkey) for coldkey in subnet.coldkeys]
    ),
    "axons": Value(Vec(AXON_INFO), _per_hotkey(_axon)),
    "active": Value(Vec(BOOL), _column(S.Active)),
    "validator_permit": Value(Vec(BOOL), _column(S.ValidatorPermit)),
    "pruning_score": Value(Vec(C_U16), lambda subnet: []),
    "last_update": Value(Vec(C_U64), _column(S.LastUpdate)),
    "emission": Value(Vec(C_ALPHA), _column(S.Emission)),
    "dividends": Value(Vec(C_U16), _column(S.Dividends)),
    "incentives": Value(Vec(C_U16), _column(S.Incentive)),
    "consensus": Value(Vec(C_U16), _column(S.Consensus)),
    "trust": Value(Vec(C_U16), lambda subnet: []),
    "rank": Value(Vec(C_U16), lambda subnet: []),
    "block_at_registration": Value(Vec(C_U64), _registered),
    "alpha_stake": Value(Vec(C_ALPHA), _per_hotkey(_alpha)),
    "tao_stake": Value(Vec(C_TAO), _per_hotkey(_tao)),
    "total_stake": Value(Vec(C_TAO), _per_hotkey(_total)),
    "tao_dividends_per_hotkey": Value(Vec(Tuple(ACCOUNT, C_TAO)), _per_hotkey(lambda subnet, hotkey: (hotkey, 0))),
    "alpha_dividends_per_hotkey": Value(Vec(Tuple(ACCOUNT, C_ALPHA)), _per_hotkey(_dividends)),
}


def _validators(subnet: Subnet) -> list[int]:
    """Uids with a permit and more stake than the threshold, by stake, ascending."""
    threshold = subnet.state.get(S.StakeThreshold)
    permits = subnet.get(S.ValidatorPermit)
    stakes = [
        (_total(subnet, hotkey), uid) for uid, hotkey in enumerate(subnet.hotkeys) if permits[uid : uid + 1] == [True]
    ]
    return [uid for stake, uid in sorted(stakes) if stake > threshold]


def _commitments(subnet: Subnet) -> list[tuple[bytes, bytes]]:
    """Registrations as they are stored: their SCALE bytes."""
    item, found = Commitments.CommitmentOf, []
    for _, who in subnet.state.keys(item, subnet.netuid):
        found.append((who, subnet.state.read(item.key(subnet.netuid, who)) or b""))
    return found


METAGRAPH_VALUES = {name: VALUES[name] for name in _OF_SUBNET.split()} | COLUMNS
SELECTIVE_VALUES = METAGRAPH_VALUES | {
    "validators": Value(Vec(C_U16), _validators),
    "commitments": Value(Vec(Tuple(ACCOUNT, Vec(C_U8))), _commitments),
}
_PATH = "pallet_subtensor::rpc_info::metagraph"
METAGRAPH = Struct(f"{_PATH}::Metagraph", **{name: value.scale for name, value in METAGRAPH_VALUES.items()})
SELECTIVE = Struct(
    f"{_PATH}::SelectiveMetagraph",
    **{name: value.scale if name == "netuid" else Option(value.scale) for name, value in SELECTIVE_VALUES.items()},
)
DYNAMIC_INFO = record("pallet_subtensor::rpc_info::dynamic_info::DynamicInfo", DYNAMIC)
_OF_MECHANISM = {"last_update": S.LastUpdate, "incentives": S.Incentive}  # what each mechanism has of its own


def _metagraph(view: View, netuid: int) -> dict[str, Any]:
    subnet = Subnet(view, netuid)
    return {name: value.read(subnet) for name, value in METAGRAPH_VALUES.items()}


def _selective(view: View, netuid: int, mecid: int, indexes: list[int]) -> dict[str, Any] | None:
    if not exists(view, netuid):
        return None
    subnet, asked = Subnet(view, netuid), set(indexes)
    found: dict[str, Any] = dict.fromkeys(SELECTIVE_VALUES)
    for index, (name, value) in enumerate(SELECTIVE_VALUES.items()):
        if index in asked and name in _OF_MECHANISM:
            found[name] = view.state.get(_OF_MECHANISM[name], storage_index(netuid, mecid))
        elif index in asked:
            found[name] = value.read(subnet)
    return found | {"netuid": netuid}


@SubnetInfoRuntimeApi.method(Option(METAGRAPH))
def get_metagraph(view: View, netuid: net_uid) -> dict[str, Any] | None:
    """A subnet, its hyperparameters and all of its neurons; None if there is none of that netuid."""
    return _metagraph(view, netuid) if exists(view, netuid) else None


@SubnetInfoRuntimeApi.method(Option(METAGRAPH))
def get_mechagraph(view: View, netuid: net_uid, mecid: mech_id) -> dict[str, Any] | None:
    """The metagraph of one mechanism; None if there is none of that number."""
    if not exists(view, netuid) or mecid >= view.state.get(S.MechanismCountCurrent, netuid):
        return None
    index = storage_index(netuid, mecid)
    own = {name: view.state.get(item, index) for name, item in _OF_MECHANISM.items()}
    return _metagraph(view, netuid) | own | {"netuid": index}


@SubnetInfoRuntimeApi.method(Option(SELECTIVE))
def get_selective_metagraph(view: View, netuid: net_uid, metagraph_indexes: vec_u16) -> dict[str, Any] | None:
    """Those fields of the metagraph whose numbers are asked for, by their order in the struct."""
    return _selective(view, netuid, 0, metagraph_indexes)


@SubnetInfoRuntimeApi.method(Option(SELECTIVE))
def get_selective_mechagraph(
    view: View, netuid: net_uid, subid: mech_id, metagraph_indexes: vec_u16
) -> dict[str, Any] | None:
    """As get_selective_metagraph, of one mechanism."""
    return _selective(view, netuid, subid, metagraph_indexes)


@SubnetInfoRuntimeApi.method(Option(DYNAMIC_INFO))
def get_dynamic_info(view: View, netuid: net_uid) -> dict[str, Any] | None:
    """A subnet's pool, emission and times."""
    return read(Subnet(view, netuid), DYNAMIC) if exists(view, netuid) else None


@SubnetInfoRuntimeApi.method(Vec(Option(DYNAMIC_INFO)))
def get_all_dynamic_info(view: View) -> list[dict[str, Any] | None]:
    """The same of all subnets, root too."""
    return [get_dynamic_info(view, netuid) for netuid in netuids(view)]
