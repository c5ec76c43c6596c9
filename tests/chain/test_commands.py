"""subnet create, register, stake, metagraph: as a user runs them, on the local chain."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import typer
from rich.console import Console

from subnet.cli import main, onchain
from subnet.cli.metagraph import table
from subnet.cli.stake import parse_tao
from subnet.devnet import Devnet, devnet
from subnet.errors import ConfigError, KeyfileError
from subnet.keys import load_key
from subnet.types import AxonInfo, Block, Coldkey, Hotkey, Metagraph, Netuid

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
        assert (wanted["dry_run"], wanted["fee_rao"] > 0) == (True, True)
        done = data(capsys, *command)
        assert (done["fee_rao"], done["amount_rao"]) == (wanted["fee_rao"], 2_500_000_000)
    for command in (("create",), ("create", "--start", netuid), ("register", "-n", netuid)):
        code, out, _ = run(capsys, *command, "--key", "//Dave", "--dry-run")
        assert code == 0
        assert "Nothing was sent" in out

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


SPENDING = [("create",), ("register", "-n", "1"), ("stake", "1", "-n", "1"), ("transfer", BOB, "1")]


@pytest.mark.parametrize("command", SPENDING)
def test_a_real_network_is_not_spent_on_unasked(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, *command, "--key", "//Alice", "-e", "wss://entrypoint.invalid:443")
    assert code == 2
    assert "--yes" in err


def test_a_no_is_a_no(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typer, "confirm", lambda *_, **__: (_ for _ in ()).throw(typer.Abort()))
    onchain.confirm("Spend?", "ws://localhost:9944", yes=False)
    onchain.confirm("Spend?", "wss://entrypoint.invalid", yes=True)
    with pytest.raises(typer.Abort):
        onchain.confirm("Spend?", "wss://entrypoint.invalid", yes=False)


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
