"""@polkadot/api from npm, unmodified, against the local chain."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest

from subnet.devnet.runtime import APIS
from tests.clients.conftest import CI, HERE, Watched, run

pytestmark = [pytest.mark.client_polkadot, pytest.mark.timeout(300)]
TAO = 10**9
FOLDER = HERE / "polkadot"


@pytest.fixture(scope="module")
def seen(chain: Watched, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What tests/clients/polkadot/session.mjs saw."""
    if shutil.which("npm") is None and not CI:
        pytest.skip("@polkadot/api runs on node, and there is no npm here")
    if not (FOLDER / "node_modules").is_dir():
        pytest.fail("@polkadot/api is not installed: make test-clients")
    found = run(["node", FOLDER / "session.mjs", chain.url], tmp_path_factory.mktemp("home"))
    return dict(json.loads(found.stdout.splitlines()[-1]))


def test_it_connects(seen: dict[str, Any], chain: Watched) -> None:
    assert (seen["chain"], seen["spec"], seen["genesis"]) == ("subnet devnet", 425, chain.node.genesis_hash)


def test_it_sees_heads(seen: dict[str, Any]) -> None:
    first = seen["heads"][0]
    assert seen["heads"] == list(range(first, first + len(seen["heads"])))
    assert len(seen["heads"]) >= 3


def test_it_reads_storage_now_and_at_a_block(seen: dict[str, Any]) -> None:
    assert (seen["subnets"], seen["tempo"], seen["constant"]) == ([0], 100, "500")
    assert int(seen["aliceAtGenesis"]) == 1_000_000 * TAO


def test_a_transfer_and_its_events(seen: dict[str, Any]) -> None:
    assert int(seen["spent"]) == 5 * TAO + int(seen["fee"])
    assert int(seen["received"]) == 5 * TAO
    assert "balances.Transfer" in seen["events"]
    assert seen["events"][-1] == "system.ExtrinsicSuccess"
    assert seen["nonce"] == 1


def test_an_ed25519_key_signs(seen: dict[str, Any]) -> None:
    assert "system.Remarked" in seen["second"]


def test_a_failure_is_its_dispatch_error(seen: dict[str, Any]) -> None:
    assert json.loads(seen["refused"]) == {"token": "FundsUnavailable"}


def test_it_calls_runtime_apis_by_metadata_v15(seen: dict[str, Any]) -> None:
    assert seen["apis"] == [api.__name__[0].lower() + api.__name__[1:] for api in APIS]
    assert seen["metagraph"] == {"netuid": 0, "tempo": 100}


def test_nothing_it_asked_for_was_refused(seen: dict[str, Any], chain: Watched) -> None:
    assert chain.refused == set()
