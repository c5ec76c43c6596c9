"""``subnet run``: what it finds, and what it says where it finds nothing."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from subnet.cli import main
from subnet.cli.onchain import signing_key
from subnet.cli.run import default_state, find, parse_options
from subnet.errors import ConfigError, DeclarationError, KeyfileError
from subnet.miners import Miner
from subnet.validators import Validator

PROTOCOL = """
from subnet import Caller, Message, Miner, Synapse, Validator
class Pong(Message): ...
class Ping(Synapse[Pong]): ...
class PingMiner(Miner):
    def ping(self, request: Ping, caller: Caller) -> Pong:
        return Pong()
class PingValidator(Validator):
    async def round(self, peers):
        return {}
class Unfinished(Validator): ...
class Idle(Miner): ...
nothing = 3
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, with a subnet in it; what is imported from there is forgotten afterwards."""
    (tmp_path / "pinging.py").write_text(PROTOCOL)
    (tmp_path / "broken.py").write_text("1 / 0")
    (tmp_path / "script.py").write_text("raise SystemExit(0)")
    (tmp_path / "needs.py").write_text("import a_library_that_nobody_has")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name in ("pinging", "broken", "needs", "script"):
            del sys.modules[name]


def test_classes_are_found_in_the_current_folder() -> None:
    assert issubclass(find("pinging:PingMiner"), Miner)
    assert issubclass(find("pinging:PingValidator"), Validator)


@pytest.mark.parametrize(
    ("target", "error", "says"),
    [
        ("pinging", ConfigError, "miner:DigitsMiner"),
        (":PingMiner", ConfigError, "miner:DigitsMiner"),
        ("pinning:PingMiner", ConfigError, "Did you mean pinging?"),
        ("pinging.deeper:PingMiner", ConfigError, "current folder"),
        ("pinging:PingMinner", ConfigError, "Did you mean pinging:PingMiner?"),
        ("pinging:nothing", DeclarationError, "pinging:PingMiner"),
        ("pinging:Ping", DeclarationError, "pinging:PingMiner"),
        ("pinging:Unfinished", DeclarationError, "async def round"),
        ("needs:Anything", DeclarationError, "Install a_library_that_nobody_has"),
        ("broken:Anything", DeclarationError, "traceback"),
        ("script:Anything", DeclarationError, "traceback"),  # it would have ended the command as if all were well
    ],
)
def test_what_is_not_there_is_said_with_what_was_meant(target: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error) as caught:
        find(target)
    assert says in caught.value.remedy  # type: ignore[attr-defined]


def test_the_traceback_of_a_broken_module_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(DeclarationError, match="ZeroDivisionError"):
        find("broken:Anything")
    assert "ZeroDivisionError" in (caplog.records[0].exc_text or "")
    assert caplog.records[0].levelno == logging.ERROR


def test_options_are_name_and_value() -> None:
    assert parse_options(["a=1", "b=x=y", "c="]) == {"a": "1", "b": "x=y", "c": ""}
    for wrong in (["a"], ["=1"], ["a=1", "a=2"]):
        with pytest.raises(ConfigError, match="-o"):
            parse_options(wrong)


def test_a_key_comes_from_a_uri_or_a_wallet(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    alice = signing_key("//Alice", None, None)
    assert alice.ss58_address.startswith("5Grwva")
    with pytest.raises(ConfigError, match="no key"):
        signing_key(None, None, "miner")
    monkeypatch.setenv("HOME", str(folder))
    with pytest.raises(KeyfileError, match="can't be read"):
        signing_key(None, "default", "miner")


def test_state_lies_where_the_system_says(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    assert default_state() == folder / "subnet"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(folder))
    assert default_state() == folder / ".local" / "state" / "subnet"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["pinging:PingMiner"], 2, "no key to sign with"),
        (["./pinging.py:PingMiner"], 2, "such as pinging"),
        (["pinging:Idle", "--key", "//Bob"], 4, "Idle has no handler"),
        (["pinging:PingMiner", "--key", "//Bob", "-o", "min_stake=much"], 2, "min_stake"),
        (["pinging:PingMiner", "--key", "//Bob", "--host", "0.0.0.0"], 2, "--external-ip"),
        (["pinging:PingMiner", "--key", "//Bob", "--host", "10.0.0.1", "--insecure"], 2, "unsigned"),
        (["pinging:PingMiner", "--key", "//Bob", "--organic-port", "0"], 2, "for validators"),
        (["pinging:PingValidator", "--key", "//Bob", "--trusted-proxy", "127.0.0.1"], 2, "--organic-port"),
        (
            ["pinging:PingValidator", "--key", "//Bob", "--organic-port", "0", "--trusted-proxy", "::1"],
            2,
            "--organic-tokens",
        ),
        (["pinging:PingMiner", "--key", "//Bob", "-e", "ws://127.0.0.1:9"], 21, "endpoint"),
    ],
)
def test_errors_end_with_their_own_exit_codes(
    arguments: list[str], code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    handlers, level = list(logging.getLogger().handlers), logging.getLogger().level
    try:
        with pytest.raises(SystemExit) as ended:
            main(["run", "--netuid", "1", *arguments])
    finally:
        logging.getLogger().handlers[:] = handlers
        logging.getLogger().setLevel(level)
    assert ended.value.code == code
    assert says in capsys.readouterr().err
