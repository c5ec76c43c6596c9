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
from subnet.devnet.pallet import Item
from subnet.devnet.pallets.subtensor import SubtensorModule
from subnet.devnet.pallets.subtensor_errors import Error
from subnet.devnet.runtime import runtime

CATALOG = json.loads((Path(__file__).parents[1] / "data" / "subtensor_catalog.json").read_text())
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
    "U64F64": "FixedU128",
    "I96F32": "FixedI128",
    "VecDeque": "Vec",
}


def plain(name: str) -> str:
    name = name.replace("T::", "")
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
    samples = {"u16": 513, "u32": 7, "T::AccountId": "0x" + "ab" * 32, "RateLimitKey": "NetworkLastRegistered"}
    ours = {**samples, "T::AccountId": b"\xab" * 32, "RateLimitKey": ("NetworkLastRegistered", None)}
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


def test_what_the_catalog_lists_and_this_chain_lacks() -> None:
    head = {name for name, row in CATALOG["storage"].items() if row.get("head")}
    missing = head - set(SubtensorModule.storage)
    assert missing == {
        "CRV3WeightCommits",
        "IdentitiesV2",
        "MechanismEmissionSplit",
        "PendingChildKeys",
        "SubnetIdentitiesV3",
        "TimelockedWeightCommits",
    }


CALLS = {spec.name: spec for spec in SubtensorModule.calls.values()}


@pytest.mark.parametrize("name", sorted(CALLS))
def test_calls_are_the_real_chains(name: str) -> None:
    runtime()
    head = CATALOG["calls"][name]["head"]
    spec = CALLS[name]
    assert spec.index == head["index"]
    assert spec.pays is not head["pays_no"]
    ours = [f"{arg}: {plain(type_name(scale))}" for arg, scale in spec.args.items()]
    assert ours == [plain(arg) for arg in head["args"]]


@pytest.mark.parametrize("name", sorted(set(CATALOG["events"]) & set(SubtensorModule.events)))
def test_events_are_the_real_chains(name: str) -> None:
    row, event = CATALOG["events"][name]["343"], SubtensorModule.events[name]
    assert event.index == row["index"]
    theirs = [kind.split("::")[-1].rstrip(")") for _, kind in row["args"]]
    assert [plain(type_name(scale)) for _, scale in event.fields] == [plain(kind) for kind in theirs]
    assert [label for label, _ in event.fields] == [label for label, _ in row["args"]]


def test_errors_are_the_real_chains_and_without_gaps() -> None:
    # clients find an error by its place in the list
    assert [error.value for error in Error] == list(range(len(Error)))
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
