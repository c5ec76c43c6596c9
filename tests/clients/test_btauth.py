"""btauth/1 both ways against its other implementation: bittensor 11.3 from PyPI signs and verifies."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import subprocess
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from substrateinterface import Keypair

from subnet import auth
from subnet.auth import Caller
from subnet.axon import Axon
from subnet.dendrite import Dendrite, Failure, Ok
from subnet.keys import load_key
from subnet.synapse import Message, Synapse
from subnet.types import AxonInfo, Hotkey, Neuron, Uid
from tests.clients.conftest import HERE, run

pytestmark = [pytest.mark.client_bittensor, pytest.mark.timeout(300)]
PYTHON = HERE.parents[1] / ".venv-bittensor" / "bin" / "python"
MINER = load_key("//Miner")


class Repeated(Message):
    text: str
    caller: str


class Repeat(Synapse[Repeated], timeout=60.0):
    text: str
    times: int


async def repeat(request: Repeat, caller: Caller) -> Repeated:
    return Repeated(text=request.text * request.times, caller=caller.hotkey)


async def test_our_axon_serves_what_bittensor_signs(tmp_path: Path) -> None:
    axon = Axon(MINER)
    axon.serve(repeat)
    async with axon:
        command = [PYTHON, HERE / "bittensor" / "btauth_client.py", f"http://127.0.0.1:{axon.port}", MINER.ss58_address]
        done = await asyncio.to_thread(run, command, tmp_path)
    seen = json.loads(done.stdout.splitlines()[-1])
    for scheme in ("sr25519", "ed25519"):
        sender = load_key("//Caller", scheme=scheme).ss58_address
        for kind in ("msgpack", "json"):
            assert seen[f"{scheme} {kind}"] == {
                "status": 200,
                "reply": {"text": "hellohellohello", "caller": sender},
            }
    codes = {name: (one["status"], one["reply"].get("code")) for name, one in seen.items()}
    assert codes["another body signed"] == (401, "auth.bad-signature")
    assert codes["another receiver"] == (421, "auth.wrong-receiver")
    assert codes["no receiver"] == (421, "auth.wrong-receiver")
    assert codes["old"] == (401, "auth.stale")
    assert codes["once"][0] == 200
    assert codes["twice"] == (409, "auth.replayed")
    assert [codes[f"any order {n}"][0] for n in range(256)] == [200] * 256


@pytest.fixture
def server(tmp_path: Path) -> Iterator[int]:
    """The port of a plain aiohttp server that verifies with bittensor's own http_auth."""
    process = subprocess.Popen(
        [PYTHON, HERE / "bittensor" / "btauth_server.py", MINER.ss58_address],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(HERE / "guard")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait(60)
        process.stdout.close()


@pytest.mark.parametrize("scheme", ["sr25519", "ed25519"])
async def test_bittensor_accepts_what_our_dendrite_sends(server: int, scheme: str) -> None:
    caller = load_key("//Caller", scheme=scheme)
    peers = [
        Neuron(Uid(i), Hotkey(key.ss58_address), axon=AxonInfo("127.0.0.1", server))
        for i, key in enumerate((MINER, load_key("//Other")))
    ]
    async with Dendrite(caller, receipts=False) as dendrite:
        good, other = await dendrite.query(peers, Repeat(text="ab", times=2))
        many = await dendrite.query(peers[:1] * 64, Repeat(text="ab", times=1))
    assert isinstance(good, Ok)
    assert (good.value.text, good.value.caller) == ("abab", caller.ss58_address)
    assert isinstance(other, Failure)
    assert other.code == "WrongReceiver"
    assert all(isinstance(one, Ok) for one in many)


def test_another_import_is_all_that_changes(tmp_path: Path) -> None:
    """Every public name of http_auth is here, and its functions take the same arguments with the same defaults."""
    done = run([PYTHON, HERE / "bittensor" / "btauth_cases.py", "--names"], tmp_path)
    theirs = json.loads(done.stdout)
    assert set(theirs["names"]) <= set(auth.__all__)
    for name, parameters in theirs["functions"].items():
        ours = inspect.signature(getattr(auth, name)).parameters.values()
        assert [[p.name, p.kind.name, repr(p.default)] for p in ours] == parameters, name


NOW = 1_760_000_000_000_000_000
ALICE = load_key("//Alice")
ALICE_ELSEWHERE = Keypair.create_from_uri("//Alice", ss58_format=0).ss58_address
SAID: dict[str, list[str | None]] = {
    "Version": [None, "", "2", "1 ", "01"],
    "Hotkey": [None, "", "5Grw", "5" * 5000, "\n", ALICE.ss58_address + " ", ALICE_ELSEWHERE],
    "Nonce": [None, "", "soon", "1e18", "-1", "0", f"+{NOW}", f" {NOW} ", f"{NOW:_}", "0x1", "9" * 39, "9" * 5000],
    "Crypto": [None, "sr25519", "ed25519", "SR25519", " Ed25519 ", "0", "1", "2", "ecdsa", ""],
    "Signature": [None, "", "0x", "0xzz", "00" * 63, "00" * 64, "0x" + "00" * 64, "0x" + "00" * 65],
    "Receiver": [None, "", "-", ALICE.ss58_address, MINER.ss58_address + " "],
}
CHANGES: list[dict[str, str | None]] = [{f"X-Bittensor-{name}": said} for name in SAID for said in SAID[name]]


def a_case(said_instead: dict[str, str | None], scheme: str = "sr25519", **changes: Any) -> dict[str, Any]:
    said = {"method": "POST", "path": "/x?a=1"}
    key = load_key("//Alice", scheme=scheme)
    signed = auth.sign(key, **said, body=b"body", receiver_ss58=MINER.ss58_address, nonce_ns=NOW)
    sent = {name: value for name, value in (signed | said_instead).items() if value is not None}
    rest = {"body": b"body".hex(), "self_hotkey_ss58": MINER.ss58_address, "now_ns": NOW}
    return said | rest | {"headers": sent} | changes


def both(cases: list[dict[str, Any]]) -> list[tuple[Any, Any]]:
    """What http_auth and what we make of each, with one store of nonces over all."""
    command = [PYTHON, HERE / "bittensor" / "btauth_cases.py"]
    done = subprocess.run(command, input=json.dumps(cases), capture_output=True, text=True, timeout=150, check=True)
    store = auth.InMemoryNonceStore()

    def ours(headers: dict[str, str], body: str, **said: Any) -> Any:
        try:
            caller = auth.verify(headers, bytes.fromhex(body), nonce_store=store, **said)
        except Exception as error:
            return type(error).__name__
        return [caller.hotkey_ss58, caller.nonce_ns, caller.crypto_type]

    return [(there, ours(**case)) for case, there in zip(cases, json.loads(done.stdout), strict=True)]


def test_each_single_fault_is_told_as_there() -> None:
    cases = [a_case(change, scheme) for change in CHANGES for scheme in ("sr25519", "ed25519")]
    cases += [a_case({}, now_ns=NOW + age) for age in (-(2 * 10**9) - 1, -2 * 10**9, 10**10, 10**10 + 1)]
    for change in (
        {"method": "post"},
        {"method": "PUT"},
        {"path": "/x"},
        {"body": "00"},
        {"max_age": 60.0},
        {"max_age": 58.0},
        {"self_hotkey_ss58": ALICE.ss58_address},
        {"require_receiver": False},
    ):
        cases.append(a_case({}, **change))
    unbound: Any = auth.sign(ALICE, method="POST", path="/x?a=1", body=b"body", nonce_ns=NOW + 1)
    for required in (True, False):
        cases.append(a_case({}, headers=unbound, require_receiver=required))
    cases.append(a_case({}, headers={name.upper(): value for name, value in a_case({})["headers"].items()}))
    outcomes = both(cases)
    assert [there for there, _ in outcomes] == [here for _, here in outcomes]
    assert {str(there) for there, _ in outcomes} > {
        "MalformedAuth",
        "WrongReceiver",
        "StaleRequest",
        "BadSignature",
        "ReplayedRequest",
        "ValueError",
    }


def test_of_two_faults_neither_takes_what_the_other_refuses() -> None:
    pairs = [one | other for one, other in combinations(CHANGES, 2) if one.keys() != other.keys()]
    outcomes = both([a_case({})] + [a_case(change) for change in pairs])  # the first one is the only one that is new
    assert outcomes[0][0] == outcomes[0][1] == [ALICE.ss58_address, NOW, 1]
    accepted = [(there == "ReplayedRequest", here == "ReplayedRequest") for there, here in outcomes[1:]]
    assert all(there == here for there, here in accepted)
    assert (True, True) in accepted
