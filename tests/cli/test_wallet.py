"""subnet wallet: what is written, shown, refused, and never shown again."""

from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subnet import keyfiles
from subnet.cli import main, passwords
from subnet.cli.onchain import hotkey_address, signing_key
from subnet.errors import ConfigError, KeyfileError
from subnet.keyfiles import decrypt, encrypt, keyfile_bytes, read_file, write_new
from subnet.keys import key_in, load_coldkey, load_hotkey, load_key, read_keyfile

MNEMONIC = "bottom drive obey lake curtain smoke basket hold race lonely fit walk"
ADDRESS = "5DfhGyQdFobKM8NsWvEeAKk5EQQgYe9AydgJ7rMB6E1EqRzV"
PASSWORD = "correct horse"
# A coldkey as bittensor 11.3 wrote it, of the mnemonic and under the password above
FIELD = Path(__file__).parents[1] / "data" / "bittensor-coldkey"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, and a key derivation that takes no half gigabyte."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    _cheap(monkeypatch)
    return tmp_path


def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyfiles, "_OPERATIONS", 3)
    monkeypatch.setattr(keyfiles, "_MEMORY", 8192)


@pytest.fixture
def password(home: Path) -> str:
    file = home / "password"
    file.write_text(PASSWORD + "\nand a line that is none of it\n")
    return str(file)


def run(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["wallet", *args])
    assert isinstance(ended.value.code, int)
    return ended.value.code, *capsys.readouterr()


def data(capsys: pytest.CaptureFixture[str], *args: str) -> Any:
    code, out, err = run(capsys, *args, "--json")
    assert code == 0, out + err
    return json.loads(out)


def error(capsys: pytest.CaptureFixture[str], *args: str) -> dict[str, str]:
    code, out, _ = run(capsys, args[0], "--json", *args[1:])
    assert code != 0
    return dict(json.loads(out)["error"])


def wallets(home: Path) -> Path:
    return home / ".bittensor" / "wallets"


def test_a_wallet_is_made_listed_and_used(
    home: Path, password: str, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    os.umask(0o022)
    made = data(capsys, "create", "w", "--password-file", password, "--verbose")
    cold, hot = made["coldkey"], made["hotkey"]
    assert (cold["encrypted"], hot["encrypted"]) == (True, False)
    assert load_key(cold["mnemonic"]).ss58_address == cold["address"]
    files = sorted(path.relative_to(wallets(home)) for path in wallets(home).rglob("*") if path.is_file())
    assert [*map(str, files)] == ["w/coldkey", "w/coldkeypub.txt", "w/hotkeys/default", "w/hotkeys/defaultpub.txt"]
    for path in (home / ".bittensor").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    assert load_hotkey("w", "default").ss58_address == hot["address"]
    assert load_coldkey("w", password=lambda _: PASSWORD).ss58_address == cold["address"]

    second = data(capsys, "create", "w", "--hotkey", "two")
    assert "coldkey" not in second
    (listed,) = data(capsys, "list")
    assert listed["coldkey"]["address"] == cold["address"]
    assert listed["coldkey"]["encrypted"]
    assert [one["address"] for one in listed["hotkeys"]] == [hot["address"], second["hotkey"]["address"]]
    code, out, _ = run(capsys, "list")
    assert (code, cold["address"] in out, cold["mnemonic"] in out) == (0, True, False)
    assert not any(word in caplog.text for word in (cold["mnemonic"], hot["mnemonic"], PASSWORD))


def test_the_words_are_shown_once_and_the_coldkeys_stand_nowhere_on_the_disk(
    home: Path, password: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "create", "w", "--words", "24", "--password-file", password)
    assert (code, err) == (0, "")
    phrases = [line.strip() for line in out.splitlines() if len(line.split()) == 24]
    assert [load_key(phrase).ss58_address for phrase in phrases] == [
        line.split()[1] for line in out.splitlines() if "/hotkeys/default" in line or line.endswith("coldkey")
    ]
    assert "write them down" in out
    assert not any(phrases[0].encode() in path.read_bytes() for path in home.rglob("*") if path.is_file())


@pytest.mark.parametrize("word", ["../x", "", ".x", "a/b", "-x", "x\n", "xpub.txt", "x" * 65, "ü"])
def test_names_that_are_none(word: str, capsys: pytest.CaptureFixture[str], home: Path) -> None:
    assert error(capsys, "create", "--no-password", "--hotkey", word, "--", "w")["code"] == "config"
    assert error(capsys, "create", "--no-password", "--", word)["code"] == "config"
    assert not wallets(home).exists()


def test_a_key_is_never_written_over(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data(capsys, "create", "w", "--no-password")
    before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    assert "there already" in error(capsys, "create", "w", "--no-password")["message"]
    (home / "m").write_text(MNEMONIC)
    assert "there already" in error(capsys, "import", "w", "--file", "m", "--no-password")["message"]
    assert {path: path.read_bytes() for path in home.rglob("*") if path.is_file() and path.name != "m"} == before
    with pytest.raises(KeyfileError, match="there already"):
        write_new(wallets(home) / "w" / "coldkey", b"x")


def test_what_fails_half_way_leaves_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The coldkey's words were not shown yet: a coldkey that stayed would be lost to its owner."""
    (wallets(home) / "w" / "hotkeys").mkdir(parents=True)
    (wallets(home) / "w" / "hotkeys" / "defaultpub.txt").mkdir()
    assert error(capsys, "create", "w", "--no-password")["code"] == "keyfile"
    assert not [path for path in wallets(home).rglob("*") if path.is_file()]


@pytest.mark.parametrize("options", [(), ("--json",)])
@pytest.mark.parametrize("sink", ["/dev/full", "pipe"])
def test_words_that_nobody_could_be_shown_leave_no_key(sink: str, options: tuple[str, ...], home: Path) -> None:
    if sink == "pipe":
        read, write = os.pipe()
        os.close(read)
    else:
        write = os.open(sink, os.O_WRONLY)
    command = [sys.executable, "-m", "subnet", "wallet", "create", "w", "--no-password", *options]
    with os.fdopen(write, "w") as out:
        done = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.returncode in (1, 3)
    assert "Traceback" not in done.stderr
    assert not [path for path in wallets(home).rglob("*") if path.is_file()]


def test_a_link_that_leads_nowhere_is_in_the_way(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (wallets(home) / "w").mkdir(parents=True)
    (wallets(home) / "w" / "coldkey").symlink_to(home / "gone")
    (home / "m").write_text(MNEMONIC)
    assert "there already" in error(capsys, "import", "w", "--file", "m", "--no-password")["message"]
    assert "coldkey" not in data(capsys, "create", "w", "--no-password")
    assert not (home / "gone").exists()


def test_a_wallet_whose_coldkey_is_elsewhere_gets_none(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data(capsys, "create", "cool", "--no-coldkey")
    assert not (wallets(home) / "cool" / "coldkey").exists()
    write_new(wallets(home) / "watch" / "coldkeypub.txt", keyfile_bytes(load_key(MNEMONIC), public=True))
    assert "coldkey" not in data(capsys, "create", "watch")
    (home / "m").write_text(MNEMONIC)
    (home / "alice").write_text("//Alice")
    assert "says that this wallet's" in error(capsys, "import", "watch", "--file", "alice", "--no-password")["message"]
    data(capsys, "import", "watch", "--file", "m", "--no-password")
    assert load_coldkey("watch").ss58_address == ADDRESS


@pytest.mark.parametrize(
    ("secret", "address"),
    [
        (MNEMONIC, ADDRESS),
        (f"  {MNEMONIC}\n", ADDRESS),
        ("0x" + "11" * 32, "5DtDLm5rQHShDqojQpsvcN8tRXHVFaecfDoRet1SU6BFD9Fi"),
        ("//Alice", "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"),
        (keyfile_bytes(load_key(MNEMONIC)).decode(), ADDRESS),
        (keyfile_bytes(load_key("//Alice", scheme="ed25519")).decode(), None),
    ],
)
def test_every_way_to_import(secret: str, address: str | None, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "secret").write_text(secret)
    told = data(capsys, "import", "w", "--as-hotkey", "h", "--file", "secret")["hotkey"]
    assert told["address"] == (address or load_key("//Alice", scheme="ed25519").ss58_address)
    assert load_hotkey("w", "h").ss58_address == told["address"]
    assert "mnemonic" not in told


@pytest.mark.parametrize(
    "secret", ["", "a b c", "zoo " * 12, "0x12", "{}", '{"secretSeed": 1}', "\xff" * 9, "x" * 99999]
)
def test_what_is_no_secret_is_not_imported(secret: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "secret").write_text(secret)
    told = error(capsys, "import", "w", "--as-hotkey", "h", "--file", "secret")
    assert told["code"] == "keyfile"
    assert "zoo" not in json.dumps(told)
    assert not wallets(home).exists()


def test_stdin_is_a_file(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(MNEMONIC.encode())))
    assert data(capsys, "import", "w", "--as-hotkey", "h", "--file", "-")["hotkey"]["address"] == ADDRESS


def test_a_files_mode_is_watched(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data(capsys, "create", "w", "--no-password")
    (wallets(home) / "w" / "hotkeys" / "default").chmod(0o644)
    assert data(capsys, "list")[0]["hotkeys"][0]["exposed"]
    assert "chmod 600" in run(capsys, "list")[1]


def test_lists_of_nothing_and_of_rubbish(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert data(capsys, "list") == []
    assert "subnet wallet create" in run(capsys, "list")[1]
    (wallets(home) / "w" / "hotkeys").mkdir(parents=True)
    (wallets(home) / "w" / "coldkey").write_bytes(b"\xff\x00")
    (wallets(home) / "w" / "hotkeys" / "h").write_text("[" * 50_000)
    (listed,) = data(capsys, "list")
    assert (listed["coldkey"]["address"], listed["hotkeys"][0]["address"]) == (None, None)


def test_without_a_terminal_nothing_is_asked(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for args in (("create", "w"), ("import", "w")):
        told = error(capsys, *args)
        assert "without a terminal" in told["message"]
        assert "file" in told["remedy"]


def test_passwords_are_typed_twice_and_not_short(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    typed: list[str] = []
    monkeypatch.setattr("sys.stdin", io.StringIO())
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("getpass.getpass", lambda prompt: typed.pop(0))
    typed[:] = [PASSWORD, PASSWORD]
    assert passwords.new_password(None, "w") == PASSWORD
    typed[:] = [PASSWORD, "another horse"]
    with pytest.raises(KeyfileError, match="differ"):
        passwords.new_password(None, "w")
    typed[:] = ["short"]
    with pytest.raises(KeyfileError, match="8 characters"):
        passwords.new_password(None, "w")
    typed[:] = [PASSWORD]
    assert passwords.password_of(None)(home) == PASSWORD
    (home / "empty").write_text("\nx")
    with pytest.raises(KeyfileError, match="no password"):
        passwords.password_of("empty")(home)
    with pytest.raises(ConfigError, match="can't be read"):
        passwords.password_of("not there")(home)


@given(st.binary(max_size=300), st.text(min_size=1, max_size=30))
def test_what_was_encrypted_is_decrypted_by_its_password_alone(plain: bytes, word: str) -> None:
    with pytest.MonkeyPatch.context() as patched:
        _cheap(patched)
        shut = encrypt(plain, word)
        assert decrypt(shut, word, Path("f")) == plain
        assert plain not in shut or len(plain) < 4
        for broken in (shut[:-1], shut[:5], shut[:40] + bytes([shut[40] ^ 1]) + shut[41:]):
            with pytest.raises(KeyfileError, match="does not open"):
                decrypt(broken, word, Path("f"))
        with pytest.raises(KeyfileError, match="does not open"):
            decrypt(shut, word + "x", Path("f"))


def test_older_encryptions_are_named() -> None:
    with pytest.raises(KeyfileError, match="before 2022"):
        decrypt(b"$ANSIBLE_VAULT;1.1", "x", Path("f"))


@pytest.mark.parametrize(
    ("kind", "scheme"), [(0, "ed25519"), (1, "sr25519"), ("ed25519", "ed25519"), (None, "sr25519")]
)
def test_bittensors_numbers_of_the_schemes(kind: Any, scheme: str, home: Path) -> None:
    """11.3 writes cryptoType as a number, and did so for ed25519 hotkeys too."""
    fields = {"secretSeed": "0x" + "11" * 32, "cryptoType": kind}
    wanted = load_key("0x" + "11" * 32, scheme=scheme)
    assert key_in(json.dumps(fields).encode(), home).ss58_address == wanted.ss58_address


@pytest.mark.parametrize("kind", [2, True, "ecdsa", [], -1])
def test_other_schemes_are_refused(kind: Any, home: Path) -> None:
    with pytest.raises(KeyfileError, match="neither"):
        key_in(json.dumps({"secretSeed": "0x" + "11" * 32, "cryptoType": kind}).encode(), home)


@pytest.mark.slow  # half a gigabyte and some seconds, as the ecosystem chose it
def test_a_coldkey_of_bittensor_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert read_keyfile(FIELD, password=lambda _: PASSWORD).ss58_address == ADDRESS
    fields = json.loads(read_file(FIELD, lambda _: PASSWORD))
    ours = json.loads(keyfile_bytes(load_key(MNEMONIC)))
    assert ours == fields


def test_an_encrypted_hotkey_signs_by_its_password_and_is_named_without_it(
    capsys: pytest.CaptureFixture[str], home: Path, password: str
) -> None:
    made = data(capsys, "create", "mine", "--no-password")
    hotkey = home / ".bittensor/wallets/mine/hotkeys/default"
    hotkey.write_bytes(keyfiles.encrypt(hotkey.read_bytes(), PASSWORD))
    address = made["hotkey"]["address"]
    assert signing_key(None, "mine", "default", password).ss58_address == address
    assert signing_key(str(hotkey), None, None, password).ss58_address == address
    assert hotkey_address("default", None, "mine") == address  # from the public file
    with pytest.raises(ConfigError, match="without a terminal") as caught:
        signing_key(None, "mine", "default")
    assert "--password-file" in caught.value.remedy
    (home / "wrong").write_text("incorrect horse")
    with pytest.raises(KeyfileError, match="does not open"):
        signing_key(None, "mine", "default", str(home / "wrong"))
    hotkey.with_name("defaultpub.txt").unlink()
    with pytest.raises(KeyfileError, match="is encrypted"):
        hotkey_address("default", None, "mine")
