"""subnet doctor: every finding can be had, with its remedy; and the whole of it against a local chain."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import shlex
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest

from subnet.chain import Chain, Hyperparameters
from subnet.chain.weights import WeightCommit
from subnet.cli import findings, main
from subnet.cli import findings_chain as on_chain
from subnet.cli.findings import Finding
from subnet.devnet import Devnet, devnet
from subnet.errors import DoctorFailed
from subnet.keys import load_key
from subnet.store import Commit, Ledger, ledger_path
from subnet.types import Block, Coldkey, Hotkey, Metagraph, Netuid, Uid
from tests.waiting import dead_port

ALICE, BOB, DAVE = (Hotkey(load_key(uri).ss58_address) for uri in ("//Alice", "//Bob", "//Dave"))
TAO = 10**9


def said(finding: Finding, level: str, words: str) -> None:
    assert (finding.level, words in finding.message) == (level, True), finding
    assert bool(finding.remedy) == (level != "ok"), finding


@pytest.mark.parametrize(
    ("ahead", "stale", "level", "words"),
    [
        (0.0, None, "ok", "0.0 s old"),
        (9.9, None, "ok", "9.9 s old"),
        (10.1, None, "fail", "10.1 s ahead"),
        (-1.9, None, "ok", "old"),
        (-2.1, None, "fail", "2.1 s behind"),
        (-2.1, 15.0, "fail", "2.1 s behind"),
        (40.0, 15.0, "warn", "no new block"),
    ],
)
def test_clock(ahead: float, stale: float | None, level: str, words: str) -> None:
    said(findings.clock(ahead, stale), level, words)


def test_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said(findings.disk(tmp_path / "not" / "yet"), findings.disk(tmp_path).level, f"at {tmp_path}")
    said(findings.room(tmp_path, 3 << 30), "ok", "3.0 GiB")
    said(findings.room(tmp_path, 1 << 30), "warn", "1.0 GiB")
    said(findings.room(tmp_path, 1 << 20), "fail", "0.0 GiB")
    monkeypatch.setattr("os.access", lambda *_: False)
    said(findings.disk(tmp_path), "fail", "can't be written")


def test_keyfiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "key"
    (missing,) = findings.keyfiles(file)
    said(missing, "fail", "can't be read")
    file.touch(0o640)
    (open_,) = findings.keyfiles(file)
    said(open_, "fail", "mode 0640")
    assert open_.remedy == f"chmod 600 {file}"
    file.chmod(0o600)
    said(*findings.keyfiles(file), "ok", "alone")
    monkeypatch.setattr("os.getuid", lambda: 12345)
    said(*findings.keyfiles(file), "warn", "belongs to user")


class Answers(BaseHTTPRequestHandler):
    """``/health`` with what the class says, and what an axon says to a GET elsewhere."""

    troubles: Any = ()

    def do_GET(self) -> None:
        body = {"error": {"code": "wire.wrong-method"}} if self.path == "/" else {"troubles": self.troubles}
        self.send_response(503)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: Any) -> None:
        """Into nobody's output."""


@pytest.fixture
def answering() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield int(server.server_address[1])
    server.shutdown()
    thread.join()
    server.server_close()


def test_ports(answering: int) -> None:
    said(findings.listening("127.0.0.1", answering), "ok", "an axon listens")
    said(findings.reachable("127.0.0.1", answering), "ok", "answers")
    with dead_port() as port:
        said(findings.listening("127.0.0.1", port), "fail", "can't be listened at")
        said(findings.reachable("127.0.0.1", port), "fail", "nobody answers")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    said(findings.listening("127.0.0.1", port), "ok", "is free")
    said(findings.listening("192.0.2.7", 1), "fail", "can't be listened at")


def test_an_axon_whose_process_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel goes on to take connections for it."""
    monkeypatch.setattr(findings, "PATIENCE", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as hung:
        said(findings.reachable(*hung.getsockname()), "fail", "says nothing")


def test_an_axon_that_hangs_up_is_alive() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: server.accept()[0].close())
        said(findings.reachable(*server.getsockname()), "ok", ":")


def test_health(answering: int, monkeypatch: pytest.MonkeyPatch) -> None:
    said(*findings.health(answering), "ok", "well")
    monkeypatch.setattr(Answers, "troubles", [{"name": "weights", "reason": "late", "remedy": "hurry"}])
    assert list(findings.health(answering)) == [Finding("health", "fail", "weights: late", "hurry")]
    for garbage in (3, [3], None, [{"name": 1}], "x"):
        monkeypatch.setattr(Answers, "troubles", garbage)
        said(*findings.health(answering), "fail", "no neuron answers")
    with dead_port() as port:
        said(*findings.health(port), "fail", "no neuron answers")


def test_libraries() -> None:
    said(*findings.libraries(), "ok", "Python 3")
    versions = {"a": "1.0", "b": "2.5"}

    def installed(name: str) -> str:
        if name not in versions:
            raise findings.metadata.PackageNotFoundError(name)
        return versions[name]

    wanted = ["a>=1", "b>=2,<2.4", "c", "d; extra == 'torch'", "e; python_version < '3'"]
    old, missing = findings.libraries(wanted, installed)
    said(old, "fail", "b 2.5 is not")
    said(missing, "fail", "c is not installed")


def test_endpoints() -> None:
    good = on_chain.Measured("ws://a", [0.01, 0.02, 9.0], 100, "0x1")
    slow = dataclasses.replace(good, endpoint="ws://b", seconds=[0.9])
    behind = dataclasses.replace(good, endpoint="ws://c", head=90)
    dead = on_chain.Measured("ws://d", trouble="refused")
    found = list(on_chain.latency([good, slow, behind, dead]))
    said(found[0], "ok", "20 ms")
    said(found[1], "warn", "900 ms")
    said(found[2], "warn", "10 blocks behind")
    said(found[3], "fail", "refused")
    other = dataclasses.replace(good, endpoint="ws://e", genesis="0x2")
    said(list(on_chain.latency([good, other]))[-1], "fail", "different chains")


def graph(**columns: Any) -> Metagraph:
    """Alice with the most stake, then Bob; nobody has a permit."""
    shares = dict.fromkeys(("consensus", "incentive", "dividends", "validator_trust"), np.zeros(2, np.uint16))
    whole: dict[str, Any] = shares | {
        "stake": np.array([9 * TAO, TAO], np.uint64),
        "emission": np.zeros(2, np.uint64),
        "last_update": np.array([900, 900], np.uint64),
        "block_at_registration": np.array([1, 1], np.uint64),
        "active": np.ones(2, bool),
        "validator_permit": np.zeros(2, bool),
    }
    return Metagraph(
        netuid=Netuid(1),
        block=Block(1000),
        block_hash="0x",
        tempo=100,
        hotkeys=(ALICE, BOB),
        coldkeys=(Coldkey(ALICE), Coldkey(BOB)),
        axons=(None, None),
        **whole | columns,
    )


def rules(**fields: Any) -> Hyperparameters:
    kinds = {field.name: str(field.type) for field in dataclasses.fields(Hyperparameters)}
    plain: dict[str, Any] = {name: False if kind == "bool" else 0 for name, kind in kinds.items()}
    known = {"netuid": Netuid(1), "tempo": 100, "activity_cutoff": 500, "max_validators": 1, "reveal_period": 1}
    return Hyperparameters(**plain | known | fields)


def test_registration_stake_and_permit() -> None:
    typed = on_chain.Typed(1, BOB, "--wallet w", "ws://a:1,ws://b:2")
    unknown = on_chain.registration(graph(), dataclasses.replace(typed, hotkey=DAVE, endpoint=None))
    said(unknown, "fail", "no uid on subnet 1")
    assert unknown.remedy == f"subnet register --netuid 1 --hotkey {DAVE} --wallet w"
    said(on_chain.registration(graph(), typed), "ok", "uid 1")
    alice, bob = graph().neurons
    little = on_chain.stake(bob, rules(stake_threshold=TAO * 5 // 2), "validator", typed)
    said(little, "fail", "asks 2.500")
    assert little.remedy == f"subnet stake 2 --netuid 1 --hotkey {BOB} --wallet w --endpoint ws://a:1,ws://b:2"
    said(on_chain.stake(bob, rules(stake_threshold=2 * TAO), "miner", typed), "ok", "needs none")
    said(on_chain.stake(alice, rules(stake_threshold=2 * TAO), "validator", typed), "ok", "9.000")
    said(on_chain.stake(bob, rules(), "validator", typed), "ok", "1.000")
    none = graph(stake=np.array([9 * TAO, 0], np.uint64)).neurons[1]
    said(on_chain.stake(none, rules(), "validator", typed), "fail", "no stake")
    low = on_chain.permit(graph(), bob, rules(), "validator", typed)
    said(low, "fail", "number 2, and 1 may validate, of 9.000 or more")
    assert low.remedy.startswith("subnet stake 9 ")  # eight, and a little to be above
    said(on_chain.permit(graph(), alice, rules(), "validator", typed), "warn", "number 1, and 1 may")
    said(on_chain.permit(graph(), bob, rules(), "miner", typed), "ok", "needs none")
    permitted = graph(validator_permit=np.ones(2, bool))
    said(on_chain.permit(permitted, permitted.neurons[1], rules(), "validator", typed), "ok", "may set")
    said(on_chain.permit(graph(owner_hotkey=BOB), bob, rules(), "validator", typed), "ok", "may set")


def commit(name: str, version_key: int = 0, salt: tuple[int, ...] = (1,)) -> Commit:
    return Commit(name, 0, (Uid(0),), (1,), salt, version_key, 1, 0.0)


def test_version_key() -> None:
    said(on_chain.version_key(rules(weights_version_key=3), None, []), "ok", "asks for 3")
    said(on_chain.version_key(rules(weights_version_key=3), 3, [commit("0x1", 3)]), "ok", "asks for 3")
    said(on_chain.version_key(rules(weights_version_key=3), 2, []), "fail", "made for 2")
    said(on_chain.version_key(rules(weights_version_key=3), None, [commit("0x1", 2)]), "warn", "older version key")


def test_commit_reveal() -> None:
    on = rules(commit_reveal_enabled=True)

    def one(head: int, due: dict[str, int], kept: list[Commit] | None) -> Finding:
        (found,) = on_chain.commit_reveal(on, head, due, kept)
        return found

    said(*on_chain.commit_reveal(rules(), 1, {}, None), "ok", "off")
    said(one(1, {}, None), "ok", "no commit is open")
    said(one(10, {"0x1": 50}, [commit("0x1")]), "ok", "from block 50")
    said(one(60, {"0x1": 50}, [commit("0x1")]), "warn", "is due")
    said(one(60, {"0x1": 50}, None), "warn", "is due")
    said(one(60, {"0x1": 50}, [commit("0x2")]), "fail", "not in the ledger")
    said(one(60, {"0x1": 50}, [commit("0x1", salt=())]), "fail", "not in the ledger")
    said(one(151, {"0x1": 50}, [commit("0x1")]), "fail", "too late")


def test_mechanisms() -> None:
    assert list(on_chain.mechanisms({})) == []
    (served,) = on_chain.mechanisms({1: False})
    assert served.level == "ok"
    (lacking,) = on_chain.mechanisms({1: False, 2: True})
    assert (lacking.level, "mechanism 2" in lacking.message) == ("warn", True)
    assert "mechanisms=3" in lacking.remedy


def test_weights_age() -> None:
    neuron = graph().neurons[0]
    said(on_chain.weights_age(neuron, rules(), 1000), "ok", "set 100 blocks ago")
    said(on_chain.weights_age(neuron, rules(), 1200), "warn", "set 300")
    said(on_chain.weights_age(neuron, rules(), 1500), "fail", "inactive after 500")


@pytest.fixture(scope="module")
def node() -> Iterator[Devnet]:
    genesis = Path(__file__).parents[2] / "examples" / "genesis.toml"
    with devnet(genesis=genesis, block_time=0.2) as running:
        yield running


def ask(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, dict[str, list[dict[str, str]]]]:
    with pytest.raises(SystemExit) as ended:
        main(["doctor", "--json", *args])
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] == (ended.value.code == 0)
    by_check: dict[str, list[dict[str, str]]] = {}
    for one in told["findings"]:
        by_check.setdefault(one["check"], []).append(one)
    return int(str(ended.value.code or 0)), by_check


@pytest.mark.e2e
def test_against_a_chain(
    node: Devnet, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUBNET_ENDPOINT", node.url)
    monkeypatch.setenv("HOME", str(tmp_path))
    code, found = ask(capsys, "--state", str(tmp_path))
    assert [one["level"] for one in found["clock"] + found["endpoint"]] == ["ok", "ok"]
    assert found["neuron"][0]["level"] == "skipped"
    assert code == 0

    code, found = ask(capsys, "-n", "1", "--key", "//Ferdie", "--state", str(tmp_path))
    assert (code, found["registration"][0]["level"]) == (DoctorFailed.exit_code, "fail")
    with pytest.raises(SystemExit) as ended:  # typed as it stands, it mends
        main(shlex.split(found["registration"][0]["remedy"])[1:])
    assert (ended.value.code, "subnet 1" in capsys.readouterr().out) == (0, True)
    validator = ("-n", "1", "--key", "//Ferdie", "--role", "validator", "--state", str(tmp_path))
    code, found = ask(capsys, *validator)
    assert (found["registration"][0]["level"], found["stake"][0]["level"]) == ("ok", "fail")
    with pytest.raises(SystemExit):
        main(shlex.split(found["stake"][0]["remedy"])[1:])
    capsys.readouterr()
    assert ask(capsys, *validator)[1]["stake"][0]["level"] == "ok"

    monkeypatch.setenv("SUBNET_ENDPOINT", "ws://127.0.0.1:1")
    code, found = ask(capsys, "-n", "1", "--key", "//Nobody", "-e", node.url, "--state", str(tmp_path))
    assert found["registration"][0]["remedy"].endswith(f" --key //Alice --endpoint {node.url}")
    monkeypatch.setenv("SUBNET_ENDPOINT", node.url)

    code, found = ask(capsys, "-n", "1", "--wallet", "none", "--hotkey", "none", "--state", str(tmp_path))
    assert code == DoctorFailed.exit_code
    assert (found["keyfile"][0]["level"], "hotkey" in found) == ("fail", False)  # told once
    assert (found["neuron"][0]["message"], "netuid" in found["neuron"][0]["remedy"]) == ("no hotkey to look at", False)

    code, found = ask(capsys, "-n", "77", "--key", "//Alice", "--state", str(tmp_path))
    assert "77" in found["chain"][0]["message"]

    code, found = ask(capsys, "-e", f"{node.url},ws://127.0.0.1:1", "--state", str(tmp_path))
    assert sorted(one["level"] for one in found["endpoint"]) == ["fail", "ok"]


@pytest.mark.e2e
def test_a_miner_and_a_validator_with_a_commit(
    node: Devnet, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUBNET_ENDPOINT", node.url)
    monkeypatch.setattr(findings, "PATIENCE", 0.5)
    code, found = ask(capsys, "-n", "1", "--key", "//Charlie//fast", "--state", str(tmp_path))
    assert (code, found["axon"][0]["level"]) == (DoctorFailed.exit_code, "fail")
    assert found["permit"][0]["message"] == "a miner needs none"

    validator = ("-n", "1", "--key", "//Bob//validator", "--role", "validator", "--state", str(tmp_path))
    code, found = ask(capsys, *validator, "--version-key", "0")
    assert {one["level"] for check in ("stake", "permit", "version-key", "weights") for one in found[check]} == {"ok"}
    assert found["commit-reveal"][0]["message"].startswith("off")

    made = asyncio.run(committed(node.url))
    _, found = ask(capsys, *validator)
    assert made.hash[:12] in found["commit-reveal"][0]["message"]
    with Ledger(ledger_path(tmp_path, 1, made.hotkey), netuid=1, validator=made.hotkey, genesis_hash="0x"):
        pass  # a ledger that has lost its salts
    code, found = ask(capsys, *validator)
    assert (code, found["commit-reveal"][0]["level"]) == (DoctorFailed.exit_code, "fail")
    assert "not in the ledger" in found["commit-reveal"][0]["message"]
    with pytest.raises(SystemExit):
        main(["doctor", *validator])
    assert "FAIL  commit-reveal" in capsys.readouterr().out


async def committed(url: str) -> WeightCommit:
    """A commit of the validator's on the chain."""
    made = WeightCommit.fresh(load_key("//Bob//validator").ss58_address, 1, [2, 3], [1, 2])
    async with await Chain.connect(url) as chain:
        on = {"netuid": 1, "enabled": True}
        await chain.sudo(load_key("//Alice"), "AdminUtils", "sudo_set_commit_reveal_weights_enabled", on)
        await chain.commit_weights(load_key("//Bob//validator"), made)
    return made
