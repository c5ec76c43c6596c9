"""The front door: the table of commands, errors as text or JSON, exit codes, settings as defaults."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import subnet
from subnet import cli
from subnet.cli.building import leaves
from subnet.cli.common import ENDPOINT, Endpoint, HotkeyName, Json, LogJson, Netuid, Verbose, print_json
from subnet.config import Settings
from subnet.errors import ChainUnreachable


def run(*args: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "subnet", *args]
    return subprocess.run(
        command, cwd=cwd, env=os.environ | env, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """A command of its own in the table, and no settings file about."""
    module = ModuleType("subnet.cli.probe")

    def command(
        what: str,
        endpoint: Endpoint = ENDPOINT,
        netuid: Netuid = 0,
        hotkey: HotkeyName = None,
        as_json: Json = False,
        verbose: Verbose = False,
        log_json: LogJson = False,
    ) -> None:
        """Try the house."""
        if what == "fail":
            raise ChainUnreachable("nobody at\x1b[2J " + endpoint)
        if what == "interrupt":
            raise KeyboardInterrupt
        print_json({"endpoint": endpoint, "netuid": netuid, "hotkey": hotkey})

    module.command = command  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "subnet.cli.probe", module)
    monkeypatch.setitem(cli.COMMANDS, "probe", "Try the house.")
    monkeypatch.chdir(tmp_path)
    return module


def call(*args: str) -> int:
    with pytest.raises(SystemExit) as end:
        cli.main(args)
    assert isinstance(end.value.code, int)
    return end.value.code


@pytest.mark.parametrize("args", [(), ("--help",), ("-h",)])
def test_help_lists_every_command(args: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert call(*args) == 0
    out = capsys.readouterr().out
    assert all(f"  {name} " in out and text in out for name, text in cli.COMMANDS.items())


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--version") == 0
    assert capsys.readouterr().out == f"subnet {subnet.__version__}\n"


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_in_the_table_says_what_it_does_takes_json_and_shows_its_help(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, command in leaves(name):
        assert command.help
        assert "--json" in {option for one in command.params for option in one.opts}
        assert call(*words.split(), "--help") == 0
        assert f"Usage: subnet {words}" in capsys.readouterr().out


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_under_json_a_wrong_use_of_any_command_is_an_object(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for words, _ in leaves(name):
        assert call(*words.split(), "--json", "--no-such-option") == 2
        out, err = capsys.readouterr()
        error = json.loads(out)["error"]
        assert (error["code"], err) == ("usage", "")
        assert f"subnet {words} --help" in error["remedy"]


def test_every_file_of_a_command_is_in_the_table() -> None:
    folder = Path(cli.__file__).parent
    starts = ("\ndef command(", "\nasync def command(", "\nSUBCOMMANDS: ")
    files = {f.stem for f in folder.glob("*.py") if any(start in f.read_text() for start in starts)}
    assert {f"subnet.cli.{file}" for file in files} == set(map(cli.module_of, cli.COMMANDS))


def test_a_mistyped_command_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("metagraf") == 2
    assert "Did you mean `subnet metagraph`?" in capsys.readouterr().err
    assert call("xyzzy") == 2
    assert "`subnet --help` lists them" in capsys.readouterr().err
    assert call("metagraf", "--json") == 2
    told = json.loads(capsys.readouterr().out)["error"]
    assert (told["code"], told["remedy"]) == ("usage", "Did you mean `subnet metagraph`?")


def test_a_mistyped_subcommand_and_option_are_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("wallet", "lst") == 2
    assert "Did you mean 'list'?" in capsys.readouterr().err
    assert call("wallet", "list", "--jsn", "--json") == 2
    assert "Did you mean --json?" in json.loads(capsys.readouterr().out)["error"]["message"]


def test_settings_reach_subcommands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "subnet.toml").write_text('hotkey = "filed"\n')
    assert call("wallet", "create", "w", "--no-password", "--json") == 0
    assert json.loads(capsys.readouterr().out)["hotkey"]["path"].endswith("/hotkeys/filed")


def test_a_mistyped_option_is_a_usage_error(probe: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("probe", "ok", "--netiud", "1") == 2
    err = capsys.readouterr().err
    assert "Usage: subnet probe" in err
    assert "--netuid" in err


def test_an_error_is_text_with_its_code_and_remedy(probe: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("probe", "fail") == ChainUnreachable.exit_code
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"error[chain.unreachable]: nobody at\\x1b[2J {ENDPOINT}\n  {ChainUnreachable.remedy}\n"


def test_an_error_is_an_object_under_json(probe: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("probe", "fail", "--json") == ChainUnreachable.exit_code
    out, err = capsys.readouterr()
    assert err == ""
    assert json.loads(out)["error"] == {
        "code": "chain.unreachable",
        "message": f"nobody at\x1b[2J {ENDPOINT}",
        "remedy": ChainUnreachable.remedy,
    }


def test_ctrl_c_ends_quietly(probe: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("probe", "interrupt") == 130
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    "args",
    [("--help",), ("config", "get"), ("config", "get", "--json"), ("explain", "nope", "--json"), ("nope", "--json")],
)
def test_a_stdout_that_takes_nothing_ends_without_a_traceback(args: tuple[str, ...], tmp_path: Path) -> None:
    def to(out: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "subnet", *args]
        with os.fdopen(out, "w") as file:
            return subprocess.run(
                command, cwd=tmp_path, stdout=file, stderr=subprocess.PIPE, text=True, timeout=60, check=False
            )

    full = to(os.open("/dev/full", os.O_WRONLY))
    assert (full.returncode, full.stderr) == (1, "subnet: the output can't be written: No space left on device\n")
    read, write = os.pipe()
    os.close(read)
    unread = to(write)
    assert (unread.returncode, unread.stderr) == (1, "")
    closed = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m subnet {' '.join(args)} >&-"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    assert (closed.returncode, closed.stderr) == (2 if "nope" in args else 0, "")


def test_an_option_before_the_command_is_told_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--json", "metagraph") == 2
    assert "after the command" in json.loads(capsys.readouterr().out)["error"]["remedy"]


def test_settings_are_defaults_and_flags_win(
    probe: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("subnet.toml").write_text('endpoint = "ws://file:1"\nnetuid = 4\nhotkey = "filed"\n')
    monkeypatch.setenv("SUBNET_NETUID", "5")
    assert call("probe", "ok", "--endpoint", "ws://flag:1") == 0
    assert json.loads(capsys.readouterr().out) == {"endpoint": "ws://flag:1", "netuid": 5, "hotkey": "filed"}


def test_a_setting_out_of_range_is_a_config_error(
    probe: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SUBNET_NETUID", "70000")
    assert call("probe", "ok") == 2
    assert "error[config]: SUBNET_NETUID" in capsys.readouterr().err


def test_the_shared_default_is_the_settings_own() -> None:
    assert Settings().endpoint == ENDPOINT


def test_verbose_logs_the_traceback(tmp_path: Path) -> None:
    quiet, loud = run("explain", "auth.x", cwd=tmp_path), run("explain", "auth.x", "--verbose", cwd=tmp_path)
    assert quiet.returncode == loud.returncode == 2
    assert "Traceback" not in quiet.stderr
    assert "Traceback" in loud.stderr
    lines = run("explain", "auth.x", "--verbose", "--log-json", cwd=tmp_path).stderr.splitlines()
    assert json.loads(lines[0])["logger"] == "subnet.cli"


@pytest.mark.parametrize("module", ["subnet", "subnet.cli"])
def test_python_m_runs_it(module: str) -> None:
    done = subprocess.run([sys.executable, "-m", module, "--version"], capture_output=True, text=True, timeout=60)
    assert done.stdout == f"subnet {subnet.__version__}\n"


def test_help_costs_little_cpu() -> None:
    """Half as much as asyncio's import where this was written; numpy's is twice that, a client library's five times."""

    def spent(*arguments: str) -> float:
        def used() -> float:
            usage = resource.getrusage(resource.RUSAGE_CHILDREN)
            return usage.ru_utime + usage.ru_stime

        before = used()
        subprocess.run([sys.executable, *arguments], capture_output=True, timeout=60, check=True)
        return used() - before

    help_costs = min(spent("-m", "subnet", "--help") for _ in range(3))
    assert help_costs < 2 * min(spent("-c", "import asyncio") for _ in range(3))
