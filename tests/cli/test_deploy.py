"""subnet deploy: what it prints parses where it is meant to be read, says the same command, and holds no secret."""

from __future__ import annotations

import configparser
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from subnet.cli import deployments, main

NASTY = "a=b c$d%e\"f'g\\h#i: j"
BASE = ("miner:MyMiner", "-n", "2", "--wallet", "cold", "--hotkey", "Hot.1", "-e", "wss://entrypoint.invalid:443")
MINER = ("--port", "8091", "--external-ip", "203.0.113.7", "--metrics-port", "9100", "-o", NASTY)
WORDS = [
    *("run", "miner:MyMiner", "--netuid", "2", "--endpoint", "wss://entrypoint.invalid:443"),
    *("--wallet", "cold", "--hotkey", "Hot.1", "--state", "STATE", "--external-ip", "203.0.113.7"),
    *("--host", "0.0.0.0", "--port", "8091", "--metrics-port", "9100", "--option", NASTY),
]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["deploy", *args])
    return int(str(ended.value.code)), *capsys.readouterr()


def made(capsys: pytest.CaptureFixture[str], kind: str, *args: str) -> str:
    code, out, err = run(capsys, *BASE, "--print", kind, *args)
    assert code == 0, err
    assert err.startswith("# ")
    return out


def words(state: str) -> list[str]:
    return [state if word == "STATE" else word for word in WORDS]


def unit(text: str) -> configparser.SectionProxy:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)
    return parser["Service"]


def test_a_unit_is_hardened_and_hides_the_coldkey(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    service = unit(made(capsys, "systemd", *MINER))
    wanted = {
        "NoNewPrivileges": "yes",
        "ProtectSystem": "strict",
        "ProtectHome": "read-only",
        "PrivateDevices": "yes",
        "CapabilityBoundingSet": "",
        "UMask": "0077",
        "Restart": "always",
        "StateDirectory": "subnet-2-hot-1",
        "WorkingDirectory": str(here),
    }
    assert {name: service[name] for name in wanted} == wanted
    assert service["InaccessiblePaths"].endswith("/.bittensor/wallets/cold/coldkey")
    assert unit(made(capsys, "systemd", "--gpu"))["PrivateDevices"] == "no"
    quoted = service["ExecStart"].partition("--option ")[2]
    assert quoted == '"a=b c$$d%%e\\"f\'g\\\\h#i: j"'


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_systemd_itself_takes_the_unit(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = here / "subnet-2-hot-1.service"
    file.write_text(made(capsys, "systemd", *MINER))
    done = subprocess.run(["systemd-analyze", "verify", str(file)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    file.write_text(file.read_text().replace("Restart=always", "Restart=perhaps"))  # it does look
    done = subprocess.run(["systemd-analyze", "verify", str(file)], capture_output=True, text=True, timeout=60)
    assert "restart" in done.stderr


def test_pm2_gets_the_same_command(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (app,) = json.loads(made(capsys, "pm2", *MINER))["apps"]
    assert app["args"] == words(str(here / ".local/state/subnet"))
    assert (app["name"], app["interpreter"], app["cwd"]) == ("subnet-2-hot-1", "none", str(here))


def compose(text: str) -> dict[str, Any]:
    """As compose reads it: YAML, then ``$$`` for ``$``; a lone ``$`` would be a variable."""
    assert "$" not in text.replace("$$", "")
    return dict(yaml.safe_load(text.replace("$$", "$"))["services"]["neuron"])


def test_compose_gets_the_same_command_and_one_hotkey(capsys: pytest.CaptureFixture[str]) -> None:
    service = compose(made(capsys, "compose", *MINER))
    assert service["command"] == ["subnet", *words("/state")]
    assert (service["read_only"], service["cap_drop"], service["ports"]) == (True, ["ALL"], ["8091:8091"])
    key = service["volumes"][1]
    assert (key["source"], key["read_only"]) == ("~/.bittensor/wallets/cold/hotkeys/Hot.1", True)
    assert not any("coldkey" in str(volume) for volume in service["volumes"])
    assert "9100/health" in service["healthcheck"]["test"][-1]
    assert service["build"]["dockerfile_inline"].startswith("FROM ")
    local = compose(made(capsys, "compose", "-e", "ws://127.0.0.1:9944"))
    assert (local["network_mode"], "ports" in local, "healthcheck" in local) == ("host", False, False)
    assert "nvidia" in str(compose(made(capsys, "compose", "--gpu"))["deploy"])


def test_as_data(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, *BASE, "--print", "compose", "--json")
    told = json.loads(out)
    assert (code, err, told["file"], told["kind"]) == (0, "", "compose.yaml", "compose")
    assert compose(told["text"])["command"][0] == "subnet"


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--wallet", "../x"), "no name"),
        (("-o", "a=b\nExecStartPre=/bin/sh"), "can't be written"),
        (("-o", "novalue"), "NAME=VALUE"),
        (("--port", "8091"), "found out"),
        (("--port", "8091", "--external-ip", "x"), "no IP"),
        (("-o", "a=b\u2028c"), "can't be written"),
        (("-o", "a=b\u0085c"), "can't be written"),
        (("--user", "a\nb"), "no user"),
        (("--folder", "/x\ny"), "can't be written"),
        (("--key", "//Alice"), "--key"),
    ],
)
@pytest.mark.parametrize("kind", ["systemd", "compose"])
def test_what_no_unit_can_hold_is_refused(
    more: tuple[str, ...], says: str, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, *BASE, "--print", kind, *more)
    assert code in (2, 3)
    assert (out, says in err) == ("", True), err


def test_a_user_of_another_machine_is_not_guessed_at(capsys: pytest.CaptureFixture[str]) -> None:
    """The coldkey would be looked for in the wrong home, and be left readable."""
    code, out, err = run(capsys, *BASE, "--print", "systemd", "--user", "nobody-of-this-name")
    assert (code, out, "no user" in err) == (2, "", True)


def test_an_odd_wallets_coldkey_is_hidden_under_its_own_name(capsys: pytest.CaptureFixture[str]) -> None:
    service = unit(made(capsys, "systemd", "--wallet", "wal$x %h"))
    assert service["InaccessiblePaths"].endswith('/.bittensor/wallets/wal$x %%h/coldkey"')
    assert '--wallet "wal$$x %%h"' in service["ExecStart"]


def test_an_address_may_be_found_where_it_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (app,) = json.loads(made(capsys, "pm2", "--port", "8091", "--external-ip", "auto:eth0"))["apps"]
    assert app["args"][app["args"].index("--external-ip") + 1] == "auto:eth0"


def test_a_class_and_a_wallet_are_needed(capsys: pytest.CaptureFixture[str]) -> None:
    assert "MODULE:CLASS" in run(capsys, "miner.py", *BASE[1:], "--print", "pm2")[2]
    assert "wallet" in run(capsys, "a:B", "-n", "1", "--print", "pm2")[2]
    assert "--print" in run(capsys, *BASE)[2]


def test_words_are_quoted_only_where_they_have_to_be() -> None:
    plain = ("run", "--port", "wss://x:443,wss://y", "a=b", "0.0.0.0")
    assert [deployments._quoted(word) for word in plain] == list(plain)
    assert deployments._quoted("") == '""'
