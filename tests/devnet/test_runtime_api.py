"""Runtime APIs: metadata V15 as scalecodec reads it, and every answer decoded by what V15 says of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scalecodec.base import RuntimeConfigurationObject, ScaleBytes
from scalecodec.type_registry import load_type_registry_preset

from subnet.devnet.pallets.subtensor import SubtensorModule as S
from subnet.devnet.rpc import RpcError
from subnet.devnet.runtime import runtime
from subnet.devnet.runtime_api.call import call_runtime
from subnet.devnet.runtime_api.metagraph import SELECTIVE_VALUES
from subnet.devnet.scale import U16, U32, ScaleError, compact
from tests.devnet.conftest import Bench

TAO = 10**9
V15 = {
    "types": {
        "V15": {
            "type": "struct",
            "type_mapping": [
                ["magic", "[u8; 4]"],
                ["version", "u8"],
                ["types", "PortableRegistry"],
                ["pallets", "Vec<V15Pallet>"],
                ["extrinsic", "V15Extrinsic"],
                ["runtime_type", "SiLookupTypeId"],
                ["apis", "Vec<V15Api>"],
                ["outer", "(SiLookupTypeId, SiLookupTypeId, SiLookupTypeId)"],
                ["custom", "Vec<(Text, (SiLookupTypeId, Bytes))>"],
            ],
        },
        "V15Pallet": {"type": "struct", "type_mapping": [["pallet", "PalletMetadataV14"], ["docs", "Vec<Text>"]]},
        "V15Extrinsic": {
            "type": "struct",
            "type_mapping": [
                ["version", "u8"],
                ["address", "SiLookupTypeId"],
                ["call", "SiLookupTypeId"],
                ["signature", "SiLookupTypeId"],
                ["extra", "SiLookupTypeId"],
                ["signed_extensions", "Vec<SignedExtensionMetadataV14>"],
            ],
        },
        "V15Api": {
            "type": "struct",
            "type_mapping": [["name", "Text"], ["methods", "Vec<V15Method>"], ["docs", "Vec<Text>"]],
        },
        "V15Method": {
            "type": "struct",
            "type_mapping": [
                ["name", "Text"],
                ["inputs", "Vec<(Text, SiLookupTypeId)>"],
                ["output", "SiLookupTypeId"],
                ["docs", "Vec<Text>"],
            ],
        },
    }
}


@lru_cache(maxsize=1)
def decoded() -> tuple[Any, Any]:
    config = RuntimeConfigurationObject(ss58_format=42)
    config.update_type_registry(load_type_registry_preset("core"))
    config.update_type_registry(V15)
    metadata = config.create_scale_object("V15", ScaleBytes(runtime().metadata_v15))
    metadata.decode(check_remaining=True)
    metadata.portable_registry = metadata["types"]
    config.add_portable_registry(metadata)
    return config, metadata


@lru_cache(maxsize=1)
def described() -> dict[str, Any]:
    _, metadata = decoded()
    apis = metadata.value["apis"]
    return {f"{api['name']}_{method['name']}": method for api in apis for method in api["methods"]}


def ask(bench: Bench, name: str, data: bytes = b"", block: int | None = None) -> Any:
    """A method's answer, decoded to its last byte by what metadata V15 says that it is."""
    config, _ = decoded()
    number = bench.chain.head.number if block is None else block
    raw = call_runtime(bench.chain, name, data, number)
    answer = config.create_scale_object(f"scale_info::{described()[name]['output']}", ScaleBytes(raw))
    return answer.decode(check_remaining=True)


def address(key: bytes) -> str:
    from scalecodec.utils.ss58 import ss58_encode

    return ss58_encode(key.hex(), 42)


@pytest.fixture
def subnet(bench: Bench) -> Bench:
    """Subnet 1 with the owner and three hotkeys of Bob's; the second has stake of Bob's and of Charlie's."""
    _, second, _ = bench.subnet(3)
    for who, amount in ((bench.bob, 50 * TAO), (bench.charlie, 7 * TAO)):
        call = {"hotkey": second, "netuid": 1, "amount_staked": amount}
        assert bench.send(who, "SubtensorModule", "add_stake", **call) is None
    axon = {"version": 1, "ip": 16909060, "port": 8091, "ip_type": 4, "protocol": 4, "placeholder1": 0}
    assert bench.send(second, "SubtensorModule", "serve_axon", netuid=1, **axon, placeholder2=0) is None
    bench.blocks(6)
    return bench


def test_v15_says_what_v14_says_and_encodes_to_the_same_bytes() -> None:
    config, metadata = decoded()
    assert bytes(config.create_scale_object("V15").encode(metadata.value).data) == runtime().metadata_v15
    names = [one["pallet"]["name"] for one in metadata.value["pallets"]]
    assert names == [pallet.name for pallet in runtime().pallets]
    assert all(one["docs"] for one in metadata.value["pallets"])
    types = {one["id"]: one["type"] for one in metadata.value["types"]["types"]}
    paths = [types[number]["path"][-1] for number in metadata.value["outer"]]
    assert paths == ["RuntimeCall", "RuntimeEvent", "RuntimeError"]


def test_every_type_that_v15_names_is_in_its_registry() -> None:
    _, metadata = decoded()
    known = len(metadata.value["types"]["types"])
    used = [number for method in described().values() for _, number in method["inputs"]]
    used += [method["output"] for method in described().values()]
    assert used
    assert max(used) < known
    assert set(described()) == set(runtime().methods)


def test_metadata_of_the_versions_there_are(bench: Bench) -> None:
    assert ask(bench, "Metadata_metadata_versions") == [14, 15]
    for number, wanted in ((14, runtime().metadata), (15, runtime().metadata_v15)):
        found = call_runtime(bench.chain, "Metadata_metadata_at_version", U32.encode(number), 0)
        assert found == b"\1" + compact(len(wanted)) + wanted
    assert call_runtime(bench.chain, "Metadata_metadata_at_version", U32.encode(16), 0) == b"\0"


def test_the_runtime_version_names_the_apis() -> None:
    # what clients that read no V15 go by: the hash of each name
    hashes = {api.__name__: api.identity().hex() for api in runtime().apis}
    assert hashes["Metadata"] == "37e397fc7c91f5e4"
    assert hashes["TransactionPaymentApi"] == "37c8bb1350a9a2a8"
    assert hashes["Core"] == "df6acb689907609b"


def test_neurons(subnet: Bench) -> None:
    lite = ask(subnet, "NeuronInfoRuntimeApi_get_neurons_lite", U16.encode(1))
    assert [one["uid"] for one in lite] == [0, 1, 2, 3]
    assert lite[2]["hotkey"] == address(subnet.key("hotkey 1"))
    assert lite[2]["coldkey"] == address(subnet.bob)
    assert lite[2]["stake"][0][1] >= 57 * TAO
    assert (lite[2]["axon_info"]["ip"], lite[2]["axon_info"]["port"]) == (16909060, 8091)
    assert lite[2]["validator_permit"] is True
    assert lite[3]["axon_info"]["port"] == 0
    assert ask(subnet, "NeuronInfoRuntimeApi_get_neuron_lite", U16.encode(1) + U16.encode(2)) == lite[2]
    assert ask(subnet, "NeuronInfoRuntimeApi_get_neuron_lite", U16.encode(1) + U16.encode(4)) is None
    assert ask(subnet, "NeuronInfoRuntimeApi_get_neurons_lite", U16.encode(9)) == []
    assert ask(subnet, "NeuronInfoRuntimeApi_get_neuron", U16.encode(9) + U16.encode(0)) is None


def test_a_full_neuron_has_its_weights(subnet: Bench) -> None:
    weights = {"netuid": 1, "dests": [1, 3], "weights": [65535, 13107], "version_key": 0}
    assert subnet.send(subnet.key("hotkey 1"), "SubtensorModule", "set_weights", **weights) is None
    neurons = ask(subnet, "NeuronInfoRuntimeApi_get_neurons", U16.encode(1))
    assert [tuple(pair) for pair in neurons[2]["weights"]] == [(1, 65535), (3, 13107)]
    assert neurons[0]["weights"] == []


def test_the_metagraph(subnet: Bench) -> None:
    graph = ask(subnet, "SubnetInfoRuntimeApi_get_metagraph", U16.encode(1))
    assert graph["netuid"] == 1
    assert graph["num_uids"] == 4
    assert graph["block"] == subnet.chain.head.number
    assert bytes(graph["name"]) == b"unknown"
    assert graph["owner_coldkey"] == address(subnet.alice)
    assert graph["hotkeys"][2] == address(subnet.key("hotkey 1"))
    assert graph["axons"][2]["port"] == 8091
    assert graph["total_stake"][2] == graph["alpha_stake"][2] >= 57 * TAO
    assert graph["tempo"] == 5
    assert len(graph["last_update"]) == len(graph["incentives"]) == len(graph["identities"]) == 4
    assert ask(subnet, "SubnetInfoRuntimeApi_get_metagraph", U16.encode(9)) is None
    root = ask(subnet, "SubnetInfoRuntimeApi_get_metagraph", U16.encode(0))
    assert (bytes(root["name"]), root["hotkeys"]) == (b"root", [])


def test_an_older_block_is_read_as_it_was(subnet: Bench) -> None:
    head = subnet.chain.head.number
    then = ask(subnet, "SubnetInfoRuntimeApi_get_metagraph", U16.encode(1))
    assert subnet.send(subnet.bob, "SubtensorModule", "burned_register", netuid=1, hotkey=subnet.key("late")) is None
    assert ask(subnet, "SubnetInfoRuntimeApi_get_metagraph", U16.encode(1))["num_uids"] == 5
    assert ask(subnet, "SubnetInfoRuntimeApi_get_metagraph", U16.encode(1), block=head) == then
    delegates = ask(subnet, "DelegateInfoRuntimeApi_get_delegates", block=head)
    assert delegates == ask(subnet, "DelegateInfoRuntimeApi_get_delegates", block=head)


def test_a_metagraph_in_parts(subnet: Bench) -> None:
    names = list(SELECTIVE_VALUES)
    asked = [names.index(name) for name in ("hotkeys", "burn", "validators", "last_update")]
    data = U16.encode(1) + compact(len(asked) + 1) + b"".join(map(U16.encode, [*asked, 999]))
    part = ask(subnet, "SubnetInfoRuntimeApi_get_selective_metagraph", data)
    whole = ask(subnet, "SubnetInfoRuntimeApi_get_metagraph", U16.encode(1))
    assert {name for name, value in part.items() if value is not None} == {
        "netuid",
        "hotkeys",
        "burn",
        "validators",
        "last_update",
    }
    assert (part["hotkeys"], part["burn"], part["last_update"]) == (
        whole["hotkeys"],
        whole["burn"],
        whole["last_update"],
    )
    assert 2 in part["validators"]
    mechanism = ask(subnet, "SubnetInfoRuntimeApi_get_selective_mechagraph", data[:2] + b"\0" + data[2:])
    assert mechanism == part


def test_mechanisms(subnet: Bench) -> None:
    whole = ask(subnet, "SubnetInfoRuntimeApi_get_metagraph", U16.encode(1))
    assert ask(subnet, "SubnetInfoRuntimeApi_get_mechagraph", U16.encode(1) + b"\0") == whole
    assert ask(subnet, "SubnetInfoRuntimeApi_get_mechagraph", U16.encode(1) + b"\1") is None


def test_commitments_in_the_metagraph(subnet: Bench) -> None:
    info = {"fields": [("Raw5", b"hello")]}
    assert subnet.send(subnet.key("hotkey 1"), "Commitments", "set_commitment", netuid=1, info=info) is None
    data = U16.encode(1) + compact(1) + U16.encode(73)
    ((who, registration),) = ask(subnet, "SubnetInfoRuntimeApi_get_selective_metagraph", data)["commitments"]
    assert who == address(subnet.key("hotkey 1"))
    assert bytes(registration).endswith(b"hello")


def test_hyperparameters_in_all_their_shapes(subnet: Bench) -> None:
    first = ask(subnet, "SubnetInfoRuntimeApi_get_subnet_hyperparams", U16.encode(1))
    second = ask(subnet, "SubnetInfoRuntimeApi_get_subnet_hyperparams_v2", U16.encode(1))
    entries = ask(subnet, "SubnetInfoRuntimeApi_get_subnet_hyperparams_v3", U16.encode(1))
    third = {entry["name"]: next(iter(entry["value"].values())) for entry in entries}
    tags = {entry["name"]: next(iter(entry["value"])) for entry in entries}
    assert first["tempo"] == second["tempo"] == third["tempo"] == 5
    assert first["kappa"] == third["kappa"] == 32767
    assert second["yuma_version"] == third["yuma_version"] == 3
    assert (tags["tempo"], tags["min_burn"], tags["activity_cutoff"]) == ("U16", "TaoBalance", "U64")
    assert (tags["activity_cutoff_factor"], tags["burn_increase_mult"]) == ("U32", "U64F64")
    assert third["alpha_sigmoid_steepness"] == {"bits": 1000 << 32}
    assert ask(subnet, "SubnetInfoRuntimeApi_get_subnet_hyperparams_v3", U16.encode(9)) is None


def test_subnets_in_brief(subnet: Bench) -> None:
    infos = ask(subnet, "SubnetInfoRuntimeApi_get_subnets_info_v2")
    assert [one["netuid"] for one in infos] == [0, 1]
    assert ask(subnet, "SubnetInfoRuntimeApi_get_subnet_info_v2", U16.encode(1)) == infos[1]
    assert ask(subnet, "SubnetInfoRuntimeApi_get_subnet_info", U16.encode(9)) is None
    dynamic = ask(subnet, "SubnetInfoRuntimeApi_get_all_dynamic_info")
    assert dynamic[1]["tao_in"] >= 1000 * TAO
    assert ask(subnet, "SubnetInfoRuntimeApi_get_dynamic_info", U16.encode(9)) is None


def test_the_next_epoch(subnet: Bench) -> None:
    due = ask(subnet, "SubnetInfoRuntimeApi_get_next_epoch_start_block", U16.encode(1))
    before = subnet.state.get(S.LastEpochBlock, 1)
    while subnet.chain.head.number < due - 1:
        subnet.blocks(1)
    assert subnet.state.get(S.LastEpochBlock, 1) == before
    subnet.blocks(1)
    assert subnet.state.get(S.LastEpochBlock, 1) == due
    assert ask(subnet, "SubnetInfoRuntimeApi_get_next_epoch_start_block", U16.encode(9)) is None


def test_stakes(subnet: Bench) -> None:
    hotkey, coldkey = subnet.key("hotkey 1"), subnet.charlie
    (mine,) = ask(subnet, "StakeInfoRuntimeApi_get_stake_info_for_coldkey", coldkey)
    assert (mine["netuid"], mine["hotkey"], mine["is_registered"]) == (1, address(hotkey), True)
    assert mine["stake"] >= 7 * TAO
    one = ask(subnet, "StakeInfoRuntimeApi_get_stake_info_for_hotkey_coldkey_netuid", hotkey + coldkey + U16.encode(1))
    assert one == mine
    many = ask(subnet, "StakeInfoRuntimeApi_get_stake_info_for_coldkeys", compact(2) + coldkey + subnet.dave)
    assert many == [(address(coldkey), [mine]), (address(subnet.dave), [])]
    data = compact(1) + coldkey + b"\1" + compact(2) + U16.encode(1) + U16.encode(9)
    free = ask(subnet, "StakeInfoRuntimeApi_get_stake_availability_for_coldkeys", data)
    amounts = {"total": mine["stake"], "locked": 0, "available": mine["stake"]}
    assert free == [(address(coldkey), [(1, amounts)])]
    everywhere = ask(subnet, "StakeInfoRuntimeApi_get_stake_availability_for_coldkeys", compact(1) + coldkey + b"\0")
    assert everywhere == free


def test_delegates(subnet: Bench) -> None:
    hotkey = subnet.key("hotkey 1")
    take = {"hotkey": hotkey, "take": 5000}
    assert subnet.send(subnet.bob, "SubtensorModule", "decrease_take", **take) is None
    one = ask(subnet, "DelegateInfoRuntimeApi_get_delegate", hotkey)
    assert (one["take"], one["owner_ss58"], one["registrations"]) == (5000, address(subnet.bob), [1])
    assert {who for who, _ in one["nominators"]} == {address(subnet.bob), address(subnet.charlie)}
    assert one in ask(subnet, "DelegateInfoRuntimeApi_get_delegates")
    ((delegate, (netuid, stake)),) = ask(subnet, "DelegateInfoRuntimeApi_get_delegated", subnet.charlie)
    assert (delegate["delegate_ss58"], netuid) == (address(hotkey), 1)
    assert stake >= 7 * TAO
    assert ask(subnet, "DelegateInfoRuntimeApi_get_delegate", subnet.key("nobody")) is None


def test_prices(subnet: Bench) -> None:
    assert ask(subnet, "SwapRuntimeApi_current_alpha_price", U16.encode(1)) == TAO
    assert ask(subnet, "SwapRuntimeApi_current_alpha_price", U16.encode(9)) == 0
    assert [one["netuid"] for one in ask(subnet, "SwapRuntimeApi_current_alpha_price_all")] == [0, 1]
    data = U16.encode(1) + (5 * TAO).to_bytes(8, "little")
    for name in ("sim_swap_tao_for_alpha", "sim_swap_alpha_for_tao"):
        found = ask(subnet, f"SwapRuntimeApi_{name}", data)
        assert (found["tao_amount"], found["alpha_amount"], found["tao_fee"]) == (5 * TAO, 5 * TAO, 0)
    assert ask(subnet, "SubnetRegistrationRuntimeApi_get_network_registration_cost") > 1000 * TAO


def test_fees(bench: Bench, signed: Callable[..., bytes]) -> None:
    from substrateinterface import Keypair

    call = bench.call("Balances", "transfer_keep_alive", dest=("Id", bench.bob), value=TAO)
    raw = signed(bench.chain, Keypair.create_from_uri("//Alice"), call, 0, tip=11)
    data = raw + U32.encode(len(raw))
    info = ask(bench, "TransactionPaymentApi_query_info", data)
    details = ask(bench, "TransactionPaymentApi_query_fee_details", data)
    assert info["partial_fee"] == sum(details["inclusion_fee"].values()) + 11
    assert details["inclusion_fee"]["len_fee"] == len(raw)
    assert info["weight"]["ref_time"] > 0
    free = bench.call("SubtensorModule", "set_weights", netuid=1, dests=[], weights=[], version_key=0)
    raw = signed(bench.chain, Keypair.create_from_uri("//Alice"), free, 0)
    assert ask(bench, "TransactionPaymentApi_query_fee_details", raw + U32.encode(len(raw)))["inclusion_fee"] is None


@pytest.mark.parametrize("name", sorted(runtime().methods))
def test_every_method_refuses_what_does_not_decode(bench: Bench, name: str) -> None:
    with pytest.raises(RpcError, match=f"{name} can't decode its input"):
        call_runtime(bench.chain, name, bytes(range(7)) * 40_000, 0)


def test_too_many_coldkeys_are_refused(bench: Bench) -> None:
    keys = b"".join(hashlib.sha256(bytes([n % 256, n // 256])).digest() for n in range(257))
    with pytest.raises(RpcError, match="at most 256 at once"):
        call_runtime(bench.chain, "StakeInfoRuntimeApi_get_stake_info_for_coldkeys", compact(257) + keys, 0)


@given(name=st.sampled_from(sorted(runtime().methods)), data=st.binary(max_size=80))
def test_whatever_comes_is_answered_or_refused(name: str, data: bytes) -> None:
    """Any bytes for any method: an answer that decodes, or ScaleError."""
    view = _empty()
    try:
        answer = runtime().methods[name].run(view, data)
    except ScaleError:
        return
    config, _ = decoded()
    output = f"scale_info::{described()[name]['output']}"
    config.create_scale_object(output, ScaleBytes(answer)).decode(check_remaining=True)


@lru_cache(maxsize=1)
def _empty() -> Any:
    from subnet.devnet.runtime_api.declare import View

    bench = Bench()
    return View(bench.state, 0, bench.chain.spec, runtime().dispatch, runtime=runtime())


def test_generic_types_have_the_parameters_that_polkadot_js_reads() -> None:
    _, metadata = decoded()
    params = {
        "::".join(one["type"]["path"]): [param["name"] for param in one["type"]["params"]]
        for one in metadata.value["types"]["types"]
    }
    assert params["frame_system::EventRecord"] == ["E", "T"]
    extrinsic = "sp_runtime::generic::unchecked_extrinsic::UncheckedExtrinsic"
    assert params[extrinsic] == ["Address", "Call", "Signature", "Extra"]


def test_a_legacy_chain_answers_too(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(tempo_rule="legacy")
    bench.subnet(1)
    for name in runtime().methods:
        inputs = described()[name]["inputs"]
        if [argument for argument, _ in inputs] == ["netuid"]:
            assert ask(bench, name, U16.encode(1))
    due = ask(bench, "SubnetInfoRuntimeApi_get_next_epoch_start_block", U16.encode(1))
    assert (due + 1 + 2) % (5 + 1) == 0
    assert due > bench.chain.head.number
