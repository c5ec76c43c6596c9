"""Metadata: scalecodec reads it and writes it back to the byte, and it says what the real chain's says."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from scalecodec.base import RuntimeConfigurationObject, ScaleBytes
from scalecodec.type_registry import load_type_registry_preset
from substrateinterface.storage import StorageKey

from subnet.devnet.metadata import type_name
from subnet.devnet.pallet import CallSpec, Event, Item, Pallet
from subnet.devnet.pallets.admin import AdminUtils
from subnet.devnet.pallets.commitments import Commitments
from subnet.devnet.pallets.subtensor import SubtensorModule
from subnet.devnet.pallets.subtensor_errors import Error
from subnet.devnet.pallets.utility import RUNTIME_CALL
from subnet.devnet.runtime import runtime

DATA = Path(__file__).parents[1] / "data"
CATALOG = json.loads((DATA / "subtensor_catalog.json").read_text())
HEAD = json.loads((DATA / "subtensor_head.json").read_text())
# newtypes of the runtime, written here as what they hold
PLAIN = {
    "NetUid": "u16",
    "NetUidStorageIndex": "u16",
    "MechId": "u8",
    "TaoBalance": "u64",
    "AlphaBalance": "u64",
    "AxonInfoOf": "AxonInfo",
    "PrometheusInfoOf": "PrometheusInfo",
    "NeuronCertificateOf": "NeuronCertificate",
    "ChainIdentityOfV2": "ChainIdentityV2",
    "SubnetIdentityOfV3": "SubnetIdentityV3",
    "U64F64": "FixedU128",
    "I96F32": "FixedI128",
    "VecDeque": "Vec",
}


def plain(name: str) -> str:
    name = re.sub(r"<T as [\w:]+>::|T::|\w+::", "", name).replace(" ", "")
    name = re.sub(r"BoundedVec<(\w+),.*>", r"BoundedVec<\1>", name)
    name = re.sub(r"Box<(\w+)<.*>>", r"\1", name)
    for long, short in PLAIN.items():
        name = re.sub(rf"\b{long}\b", short, name)
    return name.replace("AccountId32", "AccountId")


@lru_cache(maxsize=1)
def decoded() -> tuple[Any, Any]:
    config = RuntimeConfigurationObject()
    config.update_type_registry(load_type_registry_preset("core"))
    metadata = config.create_scale_object("MetadataVersioned", ScaleBytes(runtime().metadata))
    metadata.decode()
    config.add_portable_registry(metadata)
    return config, metadata


def test_scalecodec_writes_back_the_same_bytes() -> None:
    config = RuntimeConfigurationObject()
    config.update_type_registry(load_type_registry_preset("core"))
    _, metadata = decoded()
    assert bytes(config.create_scale_object("MetadataVersioned").encode(metadata.value).data) == runtime().metadata


def test_every_storage_key_is_the_clients() -> None:
    config, metadata = decoded()
    samples = {
        "u16": 513,
        "u32": 7,
        "u64": 9,
        "Vec<u8>": "0x" + "cd" * 32,
        "T::AccountId": "0x" + "ab" * 32,
        "RateLimitKey": "NetworkLastRegistered",
    }
    ours = {**samples, "T::AccountId": b"\xab" * 32, "RateLimitKey": ("NetworkLastRegistered", None)}
    ours["Vec<u8>"] = b"\xcd" * 32
    checked = 0
    for pallet in runtime().pallets:
        for name, item in pallet.storage.items():
            kinds = [type_name(scale) for _, scale in item.keys]
            theirs = StorageKey.create_from_storage_function(
                pallet.name, name, [samples[kind] for kind in kinds], runtime_config=config, metadata=metadata
            )
            key = item.key(*(ours[kind] for kind in kinds))
            assert theirs.data == key, f"{pallet.name}.{name}"
            assert item.split(key) == tuple(ours[kind] for kind in kinds)
            checked += 1
    assert checked > 120


def test_every_default_decodes() -> None:
    config, metadata = decoded()
    for pallet in metadata.pallets:
        for item in pallet.storage or ():
            if item.value["modifier"] == "Default":
                kind = item.get_value_type_string()
                data = ScaleBytes(item.value_object["default"].value_object)
                config.create_scale_object(kind, data, metadata=metadata).decode(check_remaining=True)


STORAGE = [
    name
    for name, row in CATALOG["storage"].items()
    if name in SubtensorModule.storage
    and "hashers" in (row.get("head") or {})
    and "//" not in row["head"]["value"]  # a row that the catalog has cut off
]


@pytest.mark.parametrize("name", STORAGE)
def test_storage_is_the_real_chains(name: str) -> None:
    head, item = CATALOG["storage"][name]["head"], SubtensorModule.storage[name]
    assert [hasher.name for hasher, _ in item.keys] == head["hashers"]
    assert [plain(type_name(scale)) for _, scale in item.keys] == [plain(key) for key in head["keys"]]
    assert plain(type_name(item.value)) == plain(head["value"])
    assert item.optional == head["optional"]


def test_all_storage_of_the_catalog_at_head_is_here() -> None:
    head = {name for name, row in CATALOG["storage"].items() if row.get("head")}
    assert head - set(SubtensorModule.storage) == set()


def test_of_older_storage_what_clients_still_ask_for_is_here() -> None:
    older = {name for name, row in CATALOG["storage"].items() if not row.get("head")}
    # followed by PendingServerEmission and PendingValidatorEmission, (root dividends,) IdentitiesV2, SubnetIdentitiesV3
    gone = {"PendingEmission", "TaoDividendsPerSubnet", "Identities", "SubnetIdentities"}
    assert older - set(SubtensorModule.storage) == gone


# calls that head has no more
OLDER = {"sudo_set_max_weight_limit": {"index": 12, "args": ["netuid: u16", "max_weight_limit: u16"], "pays_no": False}}
CALLS = [
    (kind, spec)
    for kind, pallet in (("calls", SubtensorModule), ("admin", AdminUtils), ("commitments", Commitments))
    for spec in pallet.calls.values()
]


@pytest.mark.parametrize(("kind", "spec"), CALLS, ids=lambda one: getattr(one, "name", one))
def test_calls_are_the_real_chains(kind: str, spec: CallSpec) -> None:
    runtime()
    head = OLDER.get(spec.name) or HEAD[kind][spec.name]
    assert spec.index == head["index"]
    assert spec.pays is not head["pays_no"]
    ours = [f"{arg}:{plain(type_name(scale))}" for arg, scale in spec.args.items()]
    assert ours == [plain(arg) for arg in head["args"]]


LEFT_OUT = {
    "calls": """
        add_stake_burn announce_coldkey_swap associate_evm_key burn_alpha claim_root clear_coldkey_swap_announcement
        disable_voting_power_tracking dispute_coldkey_swap dissolve_network enable_voting_power_tracking faucet
        lock_stake move_lock recycle_alpha register_leased_network reset_coldkey_swap
        root_dissolve_network schedule_swap_coldkey set_auto_parent_delegation_enabled
        set_coldkey_auto_stake_hotkey set_perpetual_lock set_reject_locked_alpha set_root_claim_type
        sudo_set_num_root_claims sudo_set_root_claim_threshold sudo_set_voting_power_ema_alpha swap_coldkey
        swap_coldkey_announced swap_hotkey swap_hotkey_v2 terminate_lease update_symbol""",
    "admin": """
        schedule_grandpa_change sudo_set_coldkey_swap_announcement_delay sudo_set_coldkey_swap_reannouncement_delay
        sudo_set_dissolve_network_schedule_duration sudo_set_ema_price_halving_period sudo_set_evm_chain_id
        sudo_set_net_tao_flow_enabled sudo_set_owner_cut_auto_lock_enabled sudo_set_subnet_moving_alpha
        sudo_set_tao_flow_cutoff sudo_set_tao_flow_normalization_exponent sudo_set_tao_flow_smoothing_factor
        sudo_set_total_issuance sudo_toggle_evm_precompile swap_authorities""",
    "commitments": "",
}


@pytest.mark.parametrize("kind", LEFT_OUT)
def test_all_calls_are_here_or_left_out_by_name(kind: str) -> None:
    missing = set(HEAD[kind]) - {spec.name for one, spec in CALLS if one == kind}
    assert missing == set(LEFT_OUT[kind].split())


EVENTS = [
    (pallet.name, event) for pallet in (SubtensorModule, AdminUtils, Commitments) for event in pallet.events.values()
]


@pytest.mark.parametrize(("pallet", "event"), EVENTS, ids=lambda one: getattr(one, "name", one))
def test_events_are_the_real_chains(pallet: str, event: Event) -> None:
    head = HEAD["events"][pallet][event.name]
    assert event.index == head["index"]
    assert [plain(type_name(scale)) for _, scale in event.fields] == [plain(kind) for _, kind in head["args"]]
    assert [label for label, _ in event.fields] == [label for label, _ in head["args"]]


def test_of_the_catalogs_events_only_those_of_what_is_left_out_are_missing() -> None:
    # older time-locked commits, and delegates, whom no call makes any more
    gone = {"CRV3WeightsCommitted", "CRV3WeightsRevealed", "DelegateAdded"}
    assert set(CATALOG["events"]) - set(SubtensorModule.events) == gone


@pytest.mark.parametrize("pallet", [SubtensorModule, AdminUtils, Commitments], ids=lambda one: one.name)
def test_errors_are_the_real_chains_and_without_gaps(pallet: type[Pallet]) -> None:
    # clients find an error by its place in the list
    assert pallet.errors is not None
    assert [error.name for error in pallet.errors] == HEAD["errors"][pallet.name]
    assert [error.value for error in pallet.errors] == list(range(len(pallet.errors)))


def test_of_the_catalogs_errors_only_what_head_has_no_more_is_missing() -> None:
    gone = {"SubNetworkDoesNotExist"}
    assert set(CATALOG["errors"]) - gone <= {error.name for error in Error}


def test_signed_extensions_are_343s() -> None:
    _, metadata = decoded()
    found = [one["identifier"] for one in metadata.value[1]["V14"]["extrinsic"]["signed_extensions"]]
    assert found == [row[0] for row in CATALOG["signed_extensions"]["343"]["signed"]]


def test_a_maps_prefix_is_shared_by_its_keys() -> None:
    item: Item[Any] = SubtensorModule.storage["Keys"]
    assert item.key(1, 2).startswith(item.key(1))
    assert item.key(1).startswith(item.key())


COMPOSED: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    (
        "Commitments",
        "set_commitment",
        {"netuid": 1, "info": {"fields": [[{"Raw5": "0x68656c6c6f"}, {"Sha256": "0x" + "11" * 32}]]}},
        {"netuid": 1, "info": {"fields": [("Raw5", b"hello"), ("Sha256", b"\x11" * 32)]}},
    ),
    (
        "SubtensorModule",
        "set_children",
        {"hotkey": "0x" + "22" * 32, "netuid": 1, "children": [(2**64 - 1, "0x" + "33" * 32)]},
        {"hotkey": b"\x22" * 32, "netuid": 1, "children": [(2**64 - 1, b"\x33" * 32)]},
    ),
    (
        "SubtensorModule",
        "batch_set_weights",
        {"netuids": [1, 300], "weights": [[(0, 65535)], []], "version_keys": [0, 2**40]},
        {"netuids": [1, 300], "weights": [[(0, 65535)], []], "version_keys": [0, 2**40]},
    ),
    (
        "SubtensorModule",
        "commit_timelocked_weights",
        {"netuid": 1, "commit": "0x010203", "reveal_round": 5, "commit_reveal_version": 4},
        {"netuid": 1, "commit": b"\1\2\3", "reveal_round": 5, "commit_reveal_version": 4},
    ),
    (
        "AdminUtils",
        "sudo_set_mechanism_emission_split",
        {"netuid": 1, "maybe_split": [1, 65534]},
        {"netuid": 1, "maybe_split": [1, 65534]},
    ),
    (
        "AdminUtils",
        "sudo_set_recycle_or_burn",
        {"netuid": 1, "recycle_or_burn": "Recycle"},
        {"netuid": 1, "recycle_or_burn": ("Recycle", None)},
    ),
]


@pytest.mark.parametrize(("pallet", "name", "theirs", "ours"), COMPOSED, ids=[case[1] for case in COMPOSED])
def test_what_clients_compose_from_it_decodes(
    pallet: str, name: str, theirs: dict[str, Any], ours: dict[str, Any]
) -> None:
    config, metadata = decoded()
    call = config.create_scale_object("Call", metadata=metadata)
    data = call.encode({"call_module": pallet, "call_function": name, "call_args": theirs})
    runtime().activate()
    found = RUNTIME_CALL.decode(bytes(data.data))
    assert found.name == f"{pallet}.{name}"
    assert found.args == ours


def test_a_commitment_reads_as_clients_expect() -> None:
    config, metadata = decoded()
    (item,) = [
        one for pallet in metadata.pallets for one in pallet.storage or () if one.value["name"] == "CommitmentOf"
    ]
    stored = {"deposit": 0, "block": 7, "info": {"fields": [("Raw2", b"hi")]}}
    data = ScaleBytes(Commitments.CommitmentOf.value.encode(stored))
    value = config.create_scale_object(item.get_value_type_string(), data, metadata=metadata).decode()
    assert value == {"deposit": 0, "block": 7, "info": {"fields": [{"Raw2": "0x6869"}]}}
