"""substrate-interface, unmodified, against `subnet chain` in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from substrateinterface import Keypair, SubstrateInterface
from substrateinterface.exceptions import SubstrateRequestException

pytestmark = [pytest.mark.e2e, pytest.mark.client_substrate_interface]
TAO = 10**9
ALICE, BOB = (Keypair.create_from_uri(f"//{name}") for name in ("Alice", "Bob"))


def start(*options: str) -> tuple[subprocess.Popen[str], dict[str, Any]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "subnet.cli", "chain", "--port", "0", "--json", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise AssertionError(process.communicate()[1])
    return process, json.loads(line)


def end(process: subprocess.Popen[str], how: int = signal.SIGTERM) -> int:
    process.send_signal(how)
    process.communicate(timeout=60)
    return process.returncode


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    process, info = start("--instant", "--tempo", "4", "--start-call-delay", "0")
    yield info["url"]
    assert end(process) == 0


@pytest.fixture
def substrate(endpoint: str) -> Iterator[SubstrateInterface]:
    client = SubstrateInterface(url=endpoint)
    yield client
    client.close()


def send(client: SubstrateInterface, key: Keypair, call: Any, **options: Any) -> Any:
    extrinsic = client.create_signed_extrinsic(call, key, **options)
    return client.submit_extrinsic(extrinsic, wait_for_inclusion=True)


def sudo(client: SubstrateInterface, name: str, **params: Any) -> Any:
    inner = client.compose_call("AdminUtils", name, params)
    return send(client, ALICE, client.compose_call("Sudo", "sudo", {"call": inner}))


def subtensor(client: SubstrateInterface, key: Keypair, name: str, **params: Any) -> Any:
    return send(client, key, client.compose_call("SubtensorModule", name, params))


def read(client: SubstrateInterface, item: str, *keys: Any) -> Any:
    return client.query("SubtensorModule", item, list(keys)).value


@pytest.mark.parametrize("era", [None, {"period": 64}], ids=["immortal", "mortal"])
def test_a_transfer(substrate: SubstrateInterface, era: Any) -> None:
    before = substrate.query("System", "Account", [BOB.ss58_address])["data"]["free"].value
    call = substrate.compose_call("Balances", "transfer_keep_alive", {"dest": BOB.ss58_address, "value": TAO})
    receipt = send(substrate, ALICE, call, era=era)
    assert receipt.is_success
    assert receipt.total_fee_amount > 0
    assert receipt.weight["ref_time"] > 0
    names = [f"{event.value['module_id']}.{event.value['event_id']}" for event in receipt.triggered_events]
    assert names[-1] == "System.ExtrinsicSuccess"
    assert "Balances.Transfer" in names
    at_parent = substrate.get_block_header(receipt.block_hash)["header"]["parentHash"]
    account = ("System", "Account", [BOB.ss58_address])
    assert substrate.query(*account)["data"]["free"].value == before + TAO
    assert substrate.query(*account, block_hash=at_parent)["data"]["free"].value == before
    block = substrate.get_block(receipt.block_hash, include_author=False)
    assert [one.value["call"]["call_function"] for one in block["extrinsics"]] == ["set", "transfer_keep_alive"]


def test_a_failure_has_its_name(substrate: SubstrateInterface) -> None:
    receipt = subtensor(substrate, BOB, "start_call", netuid=77)
    assert not receipt.is_success
    assert receipt.error_message["name"] == "SubnetNotExists"


@pytest.mark.parametrize(
    ("lie", "data"),
    [("signature", "Transaction has a bad signature"), ("nonce", "Transaction is outdated")],
)
def test_the_pool_refuses_in_the_real_nodes_words(substrate: SubstrateInterface, lie: str, data: str) -> None:
    call = substrate.compose_call("System", "remark", {"remark": b"x"})
    send(substrate, BOB, call)
    options: dict[str, Any] = {"signature": "0x" + "11" * 64} if lie == "signature" else {"nonce": 0}
    extrinsic = substrate.create_signed_extrinsic(call, BOB, **options)
    with pytest.raises(SubstrateRequestException) as caught:
        substrate.submit_extrinsic(extrinsic)
    assert caught.value.args[0] == {"code": 1010, "message": "Invalid Transaction", "data": data}


def test_maps_and_constants(substrate: SubstrateInterface) -> None:
    accounts = {account.value for account, _ in substrate.query_map("System", "Account", page_size=2)}
    assert {ALICE.ss58_address, BOB.ss58_address} <= accounts
    assert substrate.get_constant("Aura", "SlotDuration").value == 12_000
    assert substrate.get_constant("Balances", "ExistentialDeposit").value == 500
    assert substrate.ss58_format == 42


def test_heads_arrive(substrate: SubstrateInterface, endpoint: str) -> None:
    def heard(header: Any, update: int, subscription: str) -> Any:
        if update == 0:
            other = SubstrateInterface(url=endpoint)
            other.rpc_request("dev_newBlock", [{"count": 2}])
            other.close()
        return header["header"]["number"] if update == 2 else None

    number = substrate.get_block_number(substrate.get_chain_head())
    assert substrate.subscribe_block_headers(heard) == number + 2


def test_from_a_registration_to_its_emission(substrate: SubstrateInterface) -> None:
    """register_network, start_call, hyperparameters, registration, stake, serving, weights, epochs."""
    owner, validator, miner = (Keypair.create_from_uri(f"//flow/{name}") for name in ("owner", "v", "m"))
    assert subtensor(substrate, ALICE, "register_network", hotkey=owner.ss58_address).is_success
    assert subtensor(substrate, ALICE, "start_call", netuid=1).is_success
    assert sudo(substrate, "sudo_set_commit_reveal_weights_enabled", netuid=1, enabled=False).is_success
    assert sudo(substrate, "sudo_set_weights_set_rate_limit", netuid=1, weights_set_rate_limit=0).is_success
    receipt = sudo(substrate, "sudo_set_kappa", netuid=9, kappa=1)
    assert receipt.is_success  # the outer call; the inner one failed
    (sudid,) = [event.value["attributes"] for event in receipt.triggered_events if event.value["event_id"] == "Sudid"]
    assert sudid["sudo_result"] == {"Err": {"Module": {"index": 19, "error": "0x00000000"}}}
    for key in (validator, miner):
        assert subtensor(substrate, BOB, "burned_register", netuid=1, hotkey=key.ss58_address).is_success
    stake = {"hotkey": validator.ss58_address, "netuid": 1, "amount_staked": 100 * TAO}
    assert subtensor(substrate, BOB, "add_stake", **stake).is_success
    axon = {"version": 1, "ip": 2130706433, "port": 8091, "ip_type": 4, "protocol": 4}
    rest = {"placeholder1": 0, "placeholder2": 0}
    assert subtensor(substrate, miner, "serve_axon", netuid=1, **axon, **rest).is_success
    assert read(substrate, "Axons", 1, miner.ss58_address)["port"] == 8091
    substrate.rpc_request("dev_newBlock", [{"count": 5}])
    weights = {"netuid": 1, "dests": [2], "weights": [1], "version_key": 0}
    assert subtensor(substrate, validator, "set_weights", **weights).is_success
    substrate.rpc_request("dev_newBlock", [{"count": 10}])
    assert read(substrate, "Incentive", 1) == [0, 0, 65535]
    assert read(substrate, "Emission", 1)[2] > 0
    assert read(substrate, "TotalHotkeyAlpha", miner.ss58_address, 1) > TAO
    keys = {uid.value: hotkey.value for uid, hotkey in substrate.query_map("SubtensorModule", "Keys", [1])}
    assert keys == {0: owner.ss58_address, 1: validator.ss58_address, 2: miner.ss58_address}


# the command
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it_cleanly(how: int) -> None:
    process, info = start("--block-time", "0.05", "--accounts", "7", "--balance", "5")
    assert [one["name"] for one in info["accounts"]][-1] == "dev/0"
    assert {one["balance_rao"] for one in info["accounts"]} == {5 * TAO}
    client = SubstrateInterface(url=info["url"])
    assert client.get_block_hash(0) == info["genesis"]
    assert end(process, how) == 0
    client.close()


def test_a_taken_port_ends_with_a_remedy() -> None:
    process, info = start("--manual")
    port = info["url"].rsplit(":", 1)[1]
    found = subprocess.run(
        [sys.executable, "-m", "subnet.cli", "chain", "--port", port],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert end(process) == 0
    assert found.returncode == 6
    assert "is in use" in found.stderr
    assert "--port" in found.stderr
    assert "Traceback" not in found.stderr


def test_the_banner_warns() -> None:
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "subnet.cli", "chain", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "160"},
    )
    assert process.stdout is not None
    banner = ""
    deadline = time.monotonic() + 60
    while "Ctrl-C" not in banner and time.monotonic() < deadline:
        banner += process.stdout.readline()
    process.terminate()
    process.communicate(timeout=60)
    for words in ("ws://127.0.0.1:", "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY", "//Alice", "never use"):
        assert words in banner
    assert "Different from the real chain" in banner
