"""NeuronInfoRuntimeApi: neurons one by one, with or without their weights and bonds."""

from __future__ import annotations

from typing import Any

from subnet.devnet.pallets.subtensor import SubtensorModule as S
from subnet.devnet.pallets.subtensor_types import AXON_INFO, PROMETHEUS_INFO
from subnet.devnet.runtime_api.declare import Api, View
from subnet.devnet.runtime_api.types import C_ALPHA, C_NET_UID, C_U16, C_U64, net_uid
from subnet.devnet.runtime_api.values import Subnet, exists
from subnet.devnet.scale import ACCOUNT, BOOL, Option, Scale, Struct, Tuple, Vec, u16

_HEAD: dict[str, Scale[Any]] = {
    "hotkey": ACCOUNT,
    "coldkey": ACCOUNT,
    "uid": C_U16,
    "netuid": C_NET_UID,
    "active": BOOL,
    "axon_info": AXON_INFO,
    "prometheus_info": PROMETHEUS_INFO,
    "stake": Vec(Tuple(ACCOUNT, C_ALPHA)),
    "rank": C_U16,
    "emission": C_ALPHA,
    "incentive": C_U16,
    "consensus": C_U16,
    "trust": C_U16,
    "validator_trust": C_U16,
    "dividends": C_U16,
    "last_update": C_U64,
    "validator_permit": BOOL,
}
_PAIRS = Vec(Tuple(C_U16, C_U16))
_PATH = "pallet_subtensor::rpc_info::neuron_info"
LITE = Struct(f"{_PATH}::NeuronInfoLite", **_HEAD, pruning_score=C_U16)
FULL = Struct(f"{_PATH}::NeuronInfo", **_HEAD, weights=_PAIRS, bonds=_PAIRS, pruning_score=C_U16)
_COLUMNS: dict[str, Any] = {
    "active": S.Active,
    "emission": S.Emission,
    "incentive": S.Incentive,
    "consensus": S.Consensus,
    "validator_trust": S.ValidatorTrust,
    "dividends": S.Dividends,
    "last_update": S.LastUpdate,
    "validator_permit": S.ValidatorPermit,
}
# the real chain computes them no longer, and says this of everybody
_FIXED = {"rank": 0, "trust": 0, "pruning_score": 65535}
_NO_AXON, _NO_PROMETHEUS = (dict.fromkeys(kind.fields, 0) for kind in (AXON_INFO, PROMETHEUS_INFO))


class NeuronInfoRuntimeApi(Api, version=1):
    """Neurons of a subnet; none where there is no such subnet."""


class _Reader:
    """Neurons of one subnet; its columns are read once for all of them."""

    def __init__(self, view: View, netuid: int) -> None:
        self.subnet = Subnet(view, netuid)
        self.size = self.subnet.get(S.SubnetworkN) if exists(view, netuid) else 0
        self._columns = {name: self.subnet.get(item) for name, item in _COLUMNS.items()}

    def lite(self, uid: int) -> dict[str, Any]:
        subnet = self.subnet
        hotkey = subnet.get(S.Keys, uid)
        coldkey = subnet.state.get(S.Owner, hotkey)
        return {
            **{name: column[uid] if uid < len(column) else 0 for name, column in self._columns.items()},
            **_FIXED,
            "hotkey": hotkey,
            "coldkey": coldkey,
            "uid": uid,
            "netuid": subnet.netuid,
            "axon_info": subnet.get(S.Axons, hotkey) or _NO_AXON,
            "prometheus_info": subnet.get(S.Prometheus, hotkey) or _NO_PROMETHEUS,
            "stake": [(coldkey, subnet.state.get(S.TotalHotkeyAlpha, hotkey, subnet.netuid))],
        }

    def full(self, uid: int) -> dict[str, Any]:
        rows = {"weights": self.subnet.get(S.Weights, uid), "bonds": self.subnet.get(S.Bonds, uid)}
        return self.lite(uid) | {name: [pair for pair in row if pair[1]] for name, row in rows.items()}


@NeuronInfoRuntimeApi.method(Vec(FULL))
def get_neurons(view: View, netuid: net_uid) -> list[dict[str, Any]]:
    """All neurons of a subnet by uid, with weights and bonds."""
    reader = _Reader(view, netuid)
    return [reader.full(uid) for uid in range(reader.size)]


@NeuronInfoRuntimeApi.method(Option(FULL))
def get_neuron(view: View, netuid: net_uid, uid: u16) -> dict[str, Any] | None:
    """One neuron, with weights and bonds; None if the uid is nobody's."""
    reader = _Reader(view, netuid)
    return reader.full(uid) if uid < reader.size else None


@NeuronInfoRuntimeApi.method(Vec(LITE))
def get_neurons_lite(view: View, netuid: net_uid) -> list[dict[str, Any]]:
    """All neurons of a subnet by uid."""
    reader = _Reader(view, netuid)
    return [reader.lite(uid) for uid in range(reader.size)]


@NeuronInfoRuntimeApi.method(Option(LITE))
def get_neuron_lite(view: View, netuid: net_uid, uid: u16) -> dict[str, Any] | None:
    """One neuron; None if the uid is nobody's."""
    reader = _Reader(view, netuid)
    return reader.lite(uid) if uid < reader.size else None
