"""Keyfiles both ways: bittensor 11.3 reads ours, and we read its, coldkeys under their passwords too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from subnet.cli import main
from subnet.keys import load_coldkey, load_hotkey
from tests.clients.conftest import HERE, run

pytestmark = [pytest.mark.client_bittensor, pytest.mark.timeout(400)]
PYTHON = HERE.parents[1] / ".venv-bittensor" / "bin" / "python"
PASSWORD = "correct horse battery"

READS = """
import json, sys
from bittensor.wallet import Wallet
path, name, password = sys.argv[1:]
told = {}
for hotkey in ("default", "other"):
    wallet = Wallet(name, hotkey, path=path)
    told[hotkey] = wallet.hotkey.ss58_address
    assert wallet.hotkeypub.ss58_address == told[hotkey]
    signature = wallet.hotkey.sign(b"message")
    assert wallet.hotkeypub.verify(b"message", signature)
told["coldkey"] = wallet.get_coldkey(password=password).ss58_address
told["coldkeypub"] = wallet.coldkeypub.ss58_address
told["encrypted"] = wallet.coldkey_file.is_encrypted()
print(json.dumps(told))
"""
WRITES = """
import json, sys
from bittensor.wallet import Wallet
path, name, password = sys.argv[1:]
wallet = Wallet(name, "default", path=path)
wallet.create_new_coldkey(coldkey_password=password, suppress=True)
wallet.create_new_hotkey(suppress=True)
other = Wallet(name, "other", path=path)
other.create_new_hotkey(suppress=True, crypto_type=0)
print(json.dumps([wallet.coldkey.ss58_address, wallet.hotkey.ss58_address, other.hotkey.ss58_address]))
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if not PYTHON.is_file():
        pytest.fail("bittensor is not installed: make test-clients")
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def ours(capsys: pytest.CaptureFixture[str], *args: str) -> dict[str, dict[str, str]]:
    with pytest.raises(SystemExit) as ended:
        main(["wallet", *args, "--json"])
    assert ended.value.code == 0
    return dict(json.loads(capsys.readouterr().out))


def test_bittensor_reads_our_files(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "password").write_text(PASSWORD + "\n")
    made = ours(capsys, "create", "w", "--password-file", str(home / "password"))
    second = ours(capsys, "create", "w", "--hotkey", "other")
    found = json.loads(run([PYTHON, "-c", READS, str(home / ".bittensor/wallets"), "w", PASSWORD], home).stdout)
    assert found["coldkey"] == found["coldkeypub"] == made["coldkey"]["address"]
    assert found["default"] == made["hotkey"]["address"]
    assert found["other"] == second["hotkey"]["address"]
    assert found["encrypted"]


def test_we_read_bittensors_files(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = home / ".bittensor" / "wallets"
    cold, hot, other = json.loads(run([PYTHON, "-c", WRITES, str(folder), "w", PASSWORD], home).stdout)
    assert load_coldkey("w", password=lambda _: PASSWORD).ss58_address == cold
    assert load_hotkey("w", "default").ss58_address == hot
    assert load_hotkey("w", "other").ss58_address == other  # ed25519
    (home / "password").write_text(PASSWORD)
    file = str(folder / "w" / "coldkey")
    copied = ours(capsys, "import", "copy", "--file", file, "--password-file", str(home / "password"))
    assert copied["coldkey"]["address"] == cold
    for kind, key in (("default", hot), ("other", other)):
        ours(capsys, "import", "copy", "--as-hotkey", kind, "--file", str(folder / "w" / "hotkeys" / kind))
        assert load_hotkey("copy", kind).ss58_address == key
    again = json.loads(run([PYTHON, "-c", READS, str(folder), "copy", PASSWORD], home).stdout)
    assert (again["coldkey"], again["default"], again["other"]) == (cold, hot, other)
