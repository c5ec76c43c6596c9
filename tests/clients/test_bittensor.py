"""bittensor 11.3 from PyPI, unmodified, in an environment of its own, against the local chain."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from substrateinterface import Keypair

from subnet.devnet.pallets.subtensor import SubtensorModule as S
from subnet.devnet.pallets.subtensor_staking import stake_of
from tests.clients.conftest import HERE, Watched, run

pytestmark = [pytest.mark.client_bittensor, pytest.mark.timeout(400)]
TAO = 10**9
BIN = HERE.parents[1] / ".venv-bittensor" / "bin"
OWNER, VALIDATOR, MINER = (
    Keypair.create_from_uri(uri) for uri in ("//Alice//owner", "//Bob//validator", "//Charlie//miner")
)
BOB = Keypair.create_from_uri("//Bob")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not (BIN / "btcli").is_file():
        pytest.fail("bittensor is not installed: make test-clients")
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def seen(chain: Watched, home: Path) -> dict[str, Any]:
    """What tests/clients/bittensor/session.py saw."""
    found = run([BIN / "python", HERE / "bittensor" / "session.py", chain.url], home)
    return dict(json.loads(found.stdout.splitlines()[-1]))


def btcli(chain: Watched, home: Path, *words: str) -> str:
    """``btcli`` with this chain as its only endpoint."""
    network = ["--network", chain.url, "--fallback-endpoints", "none", "--archive-endpoints", "none"]
    return run([BIN / "btcli", *words, *network], home).stdout


def test_balances(seen: dict[str, Any]) -> None:
    assert seen["spec_version"] == 425
    assert seen["balance_rao"] == 1_000_000 * TAO
    # the stake, two fees and one registration: TAO left, none came from nowhere
    assert 0 < seen["balance_rao"] - seen["balance_after_rao"] - 100 * TAO < 2 * TAO


def test_a_subnet_is_registered_and_started(seen: dict[str, Any], chain: Watched) -> None:
    state = chain.node.node.chain.state
    assert seen["subnet_cost_rao"] == 1000 * TAO
    assert state.get(S.SubnetOwnerHotkey, seen["netuid"]) == OWNER.public_key
    assert state.get(S.FirstEmissionBlockNumber, seen["netuid"]) is not None


def test_neurons_register_through_the_mev_shield(seen: dict[str, Any]) -> None:
    assert seen["shielded"] is True


def test_the_metagraph_says_what_the_state_says(seen: dict[str, Any]) -> None:
    assert [row["hotkey"] for row in seen["metagraph"]] == [key.ss58_address for key in (OWNER, VALIDATOR, MINER)]
    miner = seen["metagraph"][seen["uids"]["miner"]]
    assert miner["axon"] == "10.1.2.3:8091"
    assert seen["neurons"] == seen["full_neurons"] == [row["hotkey"] for row in seen["metagraph"]]
    assert seen["hyperparameters"]["tempo"] == 4
    assert seen["hyperparameters"]["commit_reveal_weights_enabled"] is False


def test_stake_is_where_it_was_put(seen: dict[str, Any], chain: Watched) -> None:
    assert seen["stake_rao"] >= 100 * TAO
    assert seen["stake_fee_rao"] > 0
    state = chain.node.node.chain.state
    assert stake_of(state, VALIDATOR.public_key, BOB.public_key, seen["netuid"]) >= seen["stake_rao"]


def test_weights_are_set_and_pay(seen: dict[str, Any]) -> None:
    validator, miner = (seen["metagraph"][seen["uids"][role]] for role in ("validator", "miner"))
    assert seen["weights"] == {str(validator["uid"]): {str(miner["uid"]): 1.0}}
    assert (miner["incentive"], validator["dividends"]) == (1.0, 1.0)
    assert miner["alpha_rao"] > 0


def test_btcli_query_metagraph(seen: dict[str, Any], chain: Watched, home: Path) -> None:
    netuid = str(seen["netuid"])
    graph = json.loads(btcli(chain, home, "query", "metagraph", "--netuid", netuid, "--json"))
    assert graph["hotkeys"] == seen["neurons"]
    assert graph["axons"][seen["uids"]["miner"]]["port"] == 8091
    assert VALIDATOR.ss58_address in btcli(chain, home, "query", "metagraph", "--netuid", netuid)


def test_btclis_lists(seen: dict[str, Any], chain: Watched, home: Path) -> None:
    subnets = json.loads(btcli(chain, home, "subnets", "list", "--json"))
    assert {row["netuid"]: row["neurons"] for row in subnets} == {0: 0, seen["netuid"]: 3}
    stakes = btcli(chain, home, "stake", "list", "--coldkey", BOB.ss58_address, "--json")
    assert VALIDATOR.ss58_address in stakes
    balance = btcli(chain, home, "wallet", "balance", BOB.ss58_address, "--json")
    assert BOB.ss58_address in balance


def test_nothing_it_asked_for_was_refused(seen: dict[str, Any], chain: Watched) -> None:
    assert chain.refused == set()


def test_what_is_refused_is_heard(chain: Watched) -> None:
    request = {"jsonrpc": "2.0", "id": 1, "method": "state_call", "params": ["BabeApi_configuration", "0x"]}
    body = json.dumps(request).encode()
    http = urllib.request.Request(chain.url.replace("ws", "http"), body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(http, timeout=60) as answer:
        assert "BabeApi_configuration is not found" in json.load(answer)["error"]["message"]
    assert any("BabeApi_configuration" in name for name in chain.refused)


def test_the_guard_refuses_what_is_not_loopback(home: Path) -> None:
    # the event alone: nothing is connected to
    code = "import sys; sys.audit('socket.connect', None, ('192.0.2.1', 443))"
    command = [str(BIN / "python"), "-c", code]
    environment = {"PYTHONPATH": str(HERE / "guard"), "HOME": str(home)}
    found = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert found.returncode != 0
    assert "REFUSED: 192.0.2.1 is not loopback" in found.stderr
