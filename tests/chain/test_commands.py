"""subnet create, register, stake, metagraph: as a user runs them, on the local chain."""

from __future__ import annotations

import asyncio
import io
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from rich.console import Console

from subnet.chain import Call, Estimate, calls
from subnet.cli import main, onchain
from subnet.cli.metagraph import table
from subnet.cli.stake import parse_tao
from subnet.devnet import Devnet, devnet
from subnet.errors import ConfigError, Declined, KeyfileError
from subnet.keys import load_key
from subnet.types import AxonInfo, Block, Coldkey, Hotkey, Metagraph, Netuid, Rao

GENESIS = Path(__file__).parents[2] / "examples" / "genesis.toml"
ALICE, BOB = (load_key(uri).ss58_address for uri in ("//Alice", "//Bob"))


@pytest.fixture(scope="module")
def node() -> Iterator[Devnet]:
    with devnet(block_time=0.1, tempo=10, start_call_delay=5) as running:
        yield running


def run(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    """The command's exit code, stdout and stderr."""
    with pytest.raises(SystemExit) as ended:
        main(args)
    code = ended.value.code
    assert isinstance(code, int)
    return code, *capsys.readouterr()


def data(capsys: pytest.CaptureFixture[str], *args: str) -> Any:
    code, out, err = run(capsys, *args, "--json")
    assert code == 0, err
    return json.loads(out)


@pytest.mark.e2e
def test_a_subnet_by_hand(node: Devnet, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUBNET_ENDPOINT", node.url)
    made = data(capsys, "create", "--key", "//Alice", "--no-start")
    netuid = str(made["netuid"])
    assert (made["hotkey"], "started" in made) == (ALICE, False)
    assert data(capsys, "create", "--key", "//Alice", "--start", netuid)["started"] > made["block"]

    bob = data(capsys, "register", "--key", "//Bob", "-n", netuid)
    miner = data(capsys, "register", "--key", "//Bob", "-n", netuid, "--hotkey", "//Miner")
    assert (bob["hotkey"], bob["uid"], miner["uid"]) == (BOB, 1, 2)
    staked = data(capsys, "stake", "12.5", "--key", "//Bob", "-n", netuid)
    assert (staked["amount_rao"], staked["stake_rao"]) == (12_500_000_000, 12_500_000_000)

    back = ("stake", "2.5", "--remove", "--key", "//Bob", "-n", netuid)
    for command in (back, ("transfer", ALICE, "2.5", "--key", "//Bob")):
        wanted = data(capsys, *command, "--dry-run")
        assert (wanted["dry_run"], wanted["fee_rao"] > 0, "price_rao" in wanted) == (True, True, False)
        done = data(capsys, *command)
        assert (done["fee_rao"], done["amount_rao"]) == (wanted["fee_rao"], 2_500_000_000)
    for command in (("create",), ("create", "--start", netuid), ("register", "-n", netuid)):
        code, out, _ = run(capsys, *command, "--key", "//Dave", "--dry-run")
        assert code == 0
        assert "Nothing was sent" in out
        assert ("TAO and a fee" in out) == ("--start" not in command)

    shown = data(capsys, "metagraph", "-n", netuid)
    assert [neuron["hotkey"] for neuron in shown["neurons"]] == [ALICE, BOB, miner["hotkey"]]
    assert shown["neurons"][2]["coldkey"] == BOB
    assert len(data(capsys, "metagraph", "-n", netuid, "--block", str(made["block"]))["neurons"]) == 1

    monkeypatch.setenv("COLUMNS", "200")
    code, out, _ = run(capsys, "metagraph", "-n", netuid)
    assert code == 0
    assert all(word in out for word in ("(owner)", "permit", onchain.short(BOB)))

    code, out, _ = run(capsys, "register", "--key", "//Bob", "-n", netuid, "--json")
    assert code == 26
    assert json.loads(out)["error"]["name"] == "HotKeyAlreadyRegisteredInSubNet"
    code, _, err = run(capsys, "metagraph", "-n", "999")
    assert code == 29
    assert "subnet create" in err


def test_an_endpoint_where_nobody_listens(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "metagraph", "-n", "1", "-e", "ws://127.0.0.1:1")
    assert code == 21
    assert "`subnet chain`" in err


def test_a_dry_run_on_a_real_network_needs_no_yes(capsys: pytest.CaptureFixture[str]) -> None:
    """It gets as far as connecting, to where nobody listens."""
    code, _, err = run(capsys, "transfer", BOB, "1", "--key", "//Alice", "--dry-run", "-e", "ws://127.0.0.1:1")
    assert code == 21
    code, _, err = run(capsys, "transfer", "nobody", "1", "--key", "//Alice")
    assert code == 2
    assert "no address" in err


@pytest.mark.parametrize("command", [("metagraph",), ("register",), ("stake", "1"), ("hyperparameters",)])
def test_a_subnet_is_never_assumed(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, *command, "--key", "//Alice") if command[0] != "metagraph" else run(capsys, *command)
    assert code == 2
    assert "--netuid" in err


SPENDING = [
    ("create",),
    ("register", "-n", "1"),
    ("stake", "1", "-n", "1"),
    ("transfer", BOB, "1"),
    ("hyperparameters", "-n", "1", "-s", "tempo=10"),
    ("weights", "-n", "1", "-s", "1=1"),
]


@pytest.mark.parametrize("command", SPENDING)
def test_a_real_network_is_not_spent_on_unasked(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, *command, "--key", "//Alice", "-e", "wss://entrypoint.invalid:443")
    assert code == 2
    assert "--yes" in err


class Node:
    """A chain of this genesis, which tells every fee."""

    def __init__(self, genesis_hash: str) -> None:
        self.genesis_hash = genesis_hash

    async def estimate(self, call: Call, key: object) -> Estimate:
        return Estimate(str(call), "0x", ALICE, 0, Rao(1_500_000), 0, 0)


FINNEY, OTHER = next(iter(onchain.PUBLIC)), "0x" + "12" * 32


@pytest.mark.parametrize(
    ("genesis", "endpoint", "yes", "asks"),
    [
        (OTHER, "ws://localhost:9944", False, False),
        (OTHER, "wss://entrypoint.invalid", True, False),
        (OTHER, "wss://entrypoint.invalid", False, True),
        (FINNEY, "ws://localhost:9944", False, True),
        (FINNEY, "ws://localhost:9944", True, False),
    ],
)
async def test_who_is_asked_and_a_no_is_a_no(
    genesis: str, endpoint: str, yes: bool, asks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real network's node on this machine spends real money all the same."""
    asked: list[str] = []
    monkeypatch.setattr(typer, "confirm", lambda question, **_: asked.append(question))
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    node: Any = Node(genesis)
    call, key = calls.transfer(BOB, 1), load_key("//Alice")
    if not asks:
        await onchain.confirm(node, "Spend?", endpoint, yes=yes, call=call, key=key)
        assert asked == []
        return
    with pytest.raises(Declined):
        await onchain.confirm(node, "Spend?", endpoint, yes=yes, call=call, key=key)
    assert "The fee is 0.0015 TAO" in asked[0]
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    with pytest.raises(ConfigError, match="real money") as caught:
        await onchain.confirm(node, "Spend?", endpoint, yes=yes)
    assert "--yes" in caught.value.remedy


def test_ctrl_c_ends_the_question(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under asyncio the first one would only be noted, and the question stay."""

    def interrupted(question: str, **_: bool) -> bool:
        signal.raise_signal(signal.SIGINT)
        return True

    async def ask() -> None:
        node: Any = Node(OTHER)
        await onchain.confirm(node, "Spend?", "wss://entrypoint.invalid", yes=False)

    monkeypatch.setattr(typer, "confirm", interrupted)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(ask())


@pytest.mark.e2e
@pytest.mark.subnet_chain(genesis=GENESIS)
@pytest.mark.parametrize(
    ("command", "question"),
    [
        (("register", "-n", "1", "--key", "//Alice", "--hotkey", "//New"), "Register 5F"),
        (("stake", "5", "-n", "1", "--key", "//Alice"), "Stake 5 TAO on 5G"),
        (("stake", "5", "-n", "1", "--key", "//Alice", "--remove"), "Take 5 alpha back from 5G"),
        (("transfer", BOB, "5", "--key", "//Alice"), f"Send 5 TAO to {BOB}"),
        (("create", "--key", "//Alice"), "Create a subnet for 1000 TAO"),
        (("create", "--key", "//Alice", "--start", "1"), "Start subnet 1"),
        (("hyperparameters", "-n", "1", "--key", "//Alice", "-s", "tempo=11"), "Set tempo=11"),
        (("weights", "-n", "1", "--key", "//Bob//validator", "-s", "2=1"), "Set the weights of "),
    ],
)
def test_whatever_spends_asks_first_and_a_dry_run_tells_the_deed(
    command: tuple[str, ...],
    question: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    subnet_chain: Devnet,
) -> None:
    monkeypatch.setenv("SUBNET_ENDPOINT", subnet_chain.url)
    asked: list[str] = []
    monkeypatch.setattr(typer, "confirm", lambda question, **_: asked.append(question))
    monkeypatch.setattr(onchain, "is_local", lambda endpoint: False)
    code, out, _ = run(capsys, *command, "--dry-run")
    assert (code, "Nothing was sent" in out, asked) == (0, True, [])
    if command[0] in ("register", "stake", "transfer"):
        assert f"To {question[0].lower()}{question[1:]}" in out
    before = subnet_chain.node.chain.head.number
    code, _, err = run(capsys, *command)
    assert (code, "--yes" in err, asked) == (2, True, [])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    code, out, err = run(capsys, *command)
    assert (code, out) == (Declined.exit_code, ""), err
    assert asked[0].startswith(question)
    assert subnet_chain.node.chain.head.number == before  # a block for every extrinsic: there was none


@pytest.mark.e2e
@pytest.mark.subnet_chain(genesis=GENESIS)
def test_rules_and_weights_by_hand(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, subnet_chain: Devnet
) -> None:
    monkeypatch.setenv("SUBNET_ENDPOINT", subnet_chain.url)
    mine = ("-n", "1", "--key", "//Bob//validator")
    wanted = data(capsys, "weights", *mine, "-s", "2=1", "-s", "3=0.5", "--dry-run")
    assert (wanted["dry_run"], wanted["fee_rao"]) == (True, 0)
    shown = ("weights", "-n", "1", "--validator", "1")
    before = data(capsys, *shown)["validators"][0]["weights"]
    assert before != wanted["weights"]
    done = data(capsys, "weights", *mine, "-s", "2=1", "-s", "3=0.5")
    assert done["weights"] == wanted["weights"]
    held = data(capsys, *shown)["validators"]
    assert (held[0]["weights"], held[0]["shares"]["2"]) == ({"2": 65535, "3": 32768}, pytest.approx(2 / 3, abs=1e-4))
    assert "2=0.6667 3=0.3333" in run(capsys, "weights", "-n", "1")[1]
    for bad, words in (
        ("1=1", "itself"),
        ("9=1", "no uid 9"),
        ("2=x", "no share"),
        ("2=-1", "no share"),
        ("x=1", "uid"),
    ):
        code, _, err = run(capsys, "weights", *mine, "-s", bad)
        assert (code, words in err) == (2, True), err
    assert run(capsys, "weights", "-n", "1", "--key", "//Ferdie", "-s", "2=1")[0] == 25
    assert (
        run(capsys, "weights", "-n", "1", "--dry-run")[0]
        == run(capsys, "hyperparameters", "-n", "1", "--dry-run")[0]
        == 2
    )

    rules = ("hyperparameters", "-n", "1", "--key", "//Alice", "-s", "tempo=11", "-s", "kappa=1")
    priced = data(capsys, *rules, "--dry-run")
    assert (len(priced["calls"]), priced["fee_rao"] > 0) == (2, True)
    assert data(capsys, "hyperparameters", "-n", "1")["tempo"] == 10
    assert "Nothing was sent" in run(capsys, *rules, "--dry-run")[1]
    assert data(capsys, *rules)["tempo"] == 11


@pytest.mark.parametrize(
    ("endpoint", "local"),
    [
        ("ws://127.0.0.1:9944", True),
        ("ws://127.8.8.8", True),
        ("ws://[::1]:9944", True),
        ("ws://localhost:9944", True),
        ("wss://localhost.example:443", False),
        ("ws://10.0.0.1:9944", False),
        ("wss://entrypoint.invalid", False),
        ("ws://127.0.0.1:9944,ws://localhost:9945", True),
        ("ws://127.0.0.1:9944, wss://entrypoint.invalid", False),
    ],
)
def test_only_this_machine_is_local(endpoint: str, local: bool) -> None:
    assert onchain.is_local(endpoint) is local


@pytest.mark.parametrize("endpoint", ["ws://[::1", "http://127.0.0.1:9944", ""])
def test_what_is_no_endpoint_is_neither(endpoint: str) -> None:
    with pytest.raises(ConfigError, match="no websocket endpoint"):
        onchain.may_spend(endpoint, yes=False)


@pytest.mark.e2e
def test_another_chain_than_the_settings_name_is_refused(
    node: Devnet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SUBNET_GENESIS_HASH", "0x" + "00" * 32)
    code, _, err = run(capsys, "metagraph", "--netuid", "0", "--endpoint", node.url)
    assert code == 24
    assert "--genesis-hash" in err
    several = f"ws://127.0.0.1:1,{node.url}"
    data(capsys, "metagraph", "--netuid", "0", "--endpoint", several, "--genesis-hash", node.genesis_hash)


def test_which_hotkey_is_meant() -> None:
    assert onchain.hotkey_address(None, "//Bob", None) == BOB
    assert onchain.hotkey_address("//Alice", "//Bob", None) == ALICE
    assert onchain.hotkey_address(ALICE, None, "wallet") == ALICE
    for hotkey, key, wallet in (("name", "//Bob", None), (None, None, "wallet")):
        with pytest.raises(ConfigError):
            onchain.hotkey_address(hotkey, key, wallet)
    with pytest.raises(KeyfileError):
        onchain.hotkey_address("name", None, "no such wallet")
    with pytest.raises(ConfigError, match="no key"):
        onchain.coldkey(None, None)


@pytest.mark.parametrize("text", ["", "x", "-1", "0", "1e-10", "NaN", "Infinity", "1e30", "0x10"])
def test_amounts_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_tao(text)


@pytest.mark.parametrize(("text", "rao"), [("1", 10**9), ("0.000000001", 1), ("12.5", 12_500_000_000), ("1e3", 10**12)])
def test_amounts(text: str, rao: int) -> None:
    assert parse_tao(text) == rao


@pytest.mark.parametrize(("width", "wide"), [(80, False), (132, True)])
def test_the_metagraphs_table_fits_its_terminal(width: int, wide: bool) -> None:
    shares = dict.fromkeys(("consensus", "incentive", "dividends", "validator_trust"), np.uint16(65535))
    amounts = dict.fromkeys(("stake", "emission"), np.uint64(5_000_123456789))
    blocks = dict.fromkeys(("last_update", "block_at_registration"), np.uint64(7))
    columns: dict[str, Any] = {name: np.full(2, value) for name, value in (shares | amounts | blocks).items()}
    metagraph = Metagraph(
        netuid=Netuid(1),
        block=Block(99_999),
        block_hash="0x",
        tempo=360,
        hotkeys=(Hotkey(ALICE), Hotkey(BOB)),
        coldkeys=(Coldkey(ALICE), Coldkey(BOB)),
        axons=(AxonInfo("203.0.113.255", 65535), None),
        active=np.ones(2, bool),
        validator_permit=np.ones(2, bool),
        owner_hotkey=Hotkey(ALICE),
        **columns,
    )
    out = io.StringIO()
    Console(width=width, file=out).print(table(metagraph, width))
    _, headings, owner, _ = out.getvalue().splitlines()
    assert owner.split()[0] == "0"
    assert owner.split()[-1] == "99992"
    assert owner.count("5,000.123") == 2
    assert owner.count("1.000") == 4
    assert ("203.0.113.255:65535" in owner) is wide
    assert ("(owner)" if wide else "owner") in owner
    assert ("incentive" if wide else "incent") in headings


def test_no_number_is_cut_in_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    from subnet.cli import ledgers, metagraph

    for name, value in {"COLUMNS": "40", "FORCE_COLOR": "1"}.items():
        monkeypatch.setenv(name, value)
    assert metagraph._console(metagraph.NARROWEST).width == ledgers.console().width == 80
    assert metagraph._console().width == 40  # --watch goes back over its lines, which must not be broken
