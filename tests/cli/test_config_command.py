"""subnet config: each value with its origin, and a file that is edited without losing a word."""

from __future__ import annotations

import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from subnet import config
from subnet.cli import config as command
from subnet.cli import main
from subnet.errors import ConfigError

FILE = """\
# the chain at home
endpoint = "ws://a:1"  # the near one

netuid = 3 # ours
"""


@pytest.fixture(autouse=True)
def toml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "subnet.toml"
    file.write_text(FILE)
    return file


def run(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["config", *args])
    return int(str(ended.value.code)), *capsys.readouterr()


def data(capsys: pytest.CaptureFixture[str], *args: str) -> Any:
    code, out, _ = run(capsys, *args, "--json")
    return json.loads(out) | {"code": code} if out.startswith("{") else json.loads(out)


def test_each_value_shows_its_origin(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUBNET_NETUID", "7")
    rows = {row["name"]: row for row in data(capsys, "get")}
    assert list(rows) == list(config.Settings.__struct_fields__)
    assert (rows["netuid"]["value"], rows["netuid"]["origin"], rows["netuid"]["place"]) == (
        7,
        "environment",
        "SUBNET_NETUID",
    )
    assert (rows["endpoint"]["value"], rows["endpoint"]["origin"]) == ("ws://a:1", "file")
    assert (rows["wallet"]["value"], rows["wallet"]["origin"]) == (None, "default")
    code, out, _ = run(capsys, "get")
    assert code == 0
    assert "SUBNET_NETUID" in out
    assert "endpoint in subnet.toml" in out
    assert run(capsys, "get", "netuid") == (0, "7\n", "(SUBNET_NETUID)\n")


def test_a_set_keeps_comments_and_order(toml: Path, capsys: pytest.CaptureFixture[str]) -> None:
    toml.chmod(0o640)
    assert run(capsys, "set", "netuid", "4")[0] == 0
    assert toml.read_text() == FILE.replace("netuid = 3 # ours", "netuid = 4 # ours")
    assert run(capsys, "set", "log_json", "true")[0] == 0
    assert config.load(environ={}).settings.log_json is True
    assert run(capsys, "set", "endpoint", "--unset")[0] == 0
    assert "# the chain at home" in toml.read_text()
    assert config.load(environ={}).settings.endpoint == config.Settings().endpoint
    assert toml.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in toml.parent.iterdir()] == ["subnet.toml"]


def test_a_file_is_made_where_there_is_none(
    toml: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = toml.parent / "other.toml"
    monkeypatch.setenv("SUBNET_CONFIG", str(elsewhere))
    assert data(capsys, "path") == {"path": str(elsewhere), "exists": False, "code": 0}
    assert data(capsys, "set", "wallet", "mine")["path"] == str(elsewhere)
    assert elsewhere.read_text() == 'wallet = "mine"\n'
    assert run(capsys, "path") == (0, f"{elsewhere}\n", "")
    assert toml.read_text() == FILE


def test_what_hides_it_is_told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUBNET_NETUID", "9")
    assert data(capsys, "set", "netuid", "4")["hidden_by"] == "SUBNET_NETUID"
    code, out, err = run(capsys, "set", "netuid", "4")
    assert (code, out) == (0, f"netuid = 4  (in {Path.cwd() / 'subnet.toml'})\n")
    assert "goes before it" in err
    monkeypatch.setenv("SUBNET_NETUID", "not a number")  # what the file says can be mended all the same
    assert data(capsys, "set", "netuid", "5")["code"] == 0


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("get", "netuidd"), "did you mean 'netuid'"),
        (("set", "netuidd", "1"), "did you mean 'netuid'"),
        (("set", "zzz", "1"), "known are endpoint"),
        (("set", "netuid", "x"), "can't be used"),
        (("set", "netuid", "65536"), "<= 65535"),
        (("set", "genesis_hash", "0x12"), "regex"),
        (("set", "verbose", "perhaps"), "can't be used"),
        (("set", "netuid"), "--unset"),
        (("set", "netuid", "1", "--unset"), "--unset"),
        (("set", "endpoint", "http://a"), "no websocket endpoint"),
        (("set", "endpoint", "ws://a,"), "no websocket endpoint"),
        (("set", "key", "0x" + "11" * 32), "secret"),
        (("set", "key", "//Alice///" + "11" * 32), "secret"),
        (("set", "key", "11" * 3000), "secret"),
        (("set", "key", "bottom drive obey lake curtain smoke basket hold race lonely fit walk"), "secret"),
    ],
)
def test_what_is_refused_changes_nothing(
    args: tuple[str, ...], words: str, toml: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = data(capsys, *args)
    assert told["code"] == 2
    assert words in told["error"]["message"] + told["error"]["remedy"]
    assert "11" * 32 not in json.dumps(told)
    assert toml.read_text() == FILE


@pytest.mark.parametrize("text", ["netuid = ", "a = " + "[" * 9000, "nettuid = 1", "\udcff"])
def test_a_file_that_is_broken_is_left_as_it_is_and_told(
    text: str, toml: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toml.write_bytes(text.encode(errors="surrogateescape"))
    for args in (("set", "netuid", "1"), ("get",)):
        assert run(capsys, *args)[0] == 2
    assert run(capsys, "path")[0] == 0
    with pytest.raises(SystemExit) as ended:
        main(["explain", "config"])
    assert ended.value.code == 0
    assert toml.read_bytes() == text.encode(errors="surrogateescape")


def test_a_secret_key_is_not_shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUBNET_KEY", "0x" + "22" * 32)
    for args in (("get",), ("get", "key"), ("get", "--json")):
        out = "".join(map(str, run(capsys, *args)))
        assert "2222" not in out
        assert command.SECRET in out
    monkeypatch.setenv("SUBNET_KEY", "//Alice")
    assert data(capsys, "get", "key")["value"] == "//Alice"


def test_a_link_stays_a_link_and_its_file_is_written(toml: Path, capsys: pytest.CaptureFixture[str]) -> None:
    real = toml.rename(toml.with_name("real.toml"))
    toml.symlink_to(real)
    assert run(capsys, "set", "netuid", "5")[0] == 0
    assert toml.is_symlink()
    assert "netuid = 5" in real.read_text()


@pytest.mark.parametrize("kind", ["device", "fifo", "loop", "folder"])
def test_only_a_plain_file_is_edited(
    kind: str, toml: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rename over SUBNET_CONFIG=/dev/null would leave root's machine without it."""
    odd = toml.with_name("odd")
    if kind == "device":
        odd = Path(os.devnull)
    elif kind == "fifo":
        os.mkfifo(odd)
    elif kind == "loop":
        odd.symlink_to(odd)
    else:
        odd.mkdir()
    monkeypatch.setenv("SUBNET_CONFIG", str(odd))
    monkeypatch.setattr(os, "replace", None)  # were it reached, nothing would be lost
    monkeypatch.setattr(Path, "replace", None)
    told = data(capsys, "set", "netuid", "5")
    assert told["code"] == 2
    assert "no file that can be edited" in told["error"]["message"]
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


def test_two_at_once_lose_nothing(toml: Path) -> None:
    def edit(job: tuple[str, object]) -> None:
        with command._held(toml):
            command._edit(toml, *job)

    jobs = [("netuid", 1), ("wallet", "w"), ("hotkey", "h"), ("verbose", True), ("log_json", True)] * 4
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(edit, jobs))
    loaded = config.load(environ={})
    assert {name: getattr(loaded.settings, name) for name, _ in jobs} == dict(jobs)
    assert "# the chain at home" in toml.read_text()


@settings(max_examples=50)
@given(st.text(max_size=40))
@example("\udcff")  # how Python hands on an argument that is not UTF-8
def test_any_text_comes_back(text: str) -> None:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "subnet.toml"
        file.write_text(FILE)
        try:
            command._edit(file, "wallet", text)
        except ConfigError:
            assert any(0xD800 <= ord(one) <= 0xDFFF for one in text)
            assert file.read_text() == FILE
        else:
            assert config.load(environ={}, path=file).settings.wallet == text
            assert file.read_text().startswith("# the chain at home")
        assert len(list(Path(folder).iterdir())) == 1
