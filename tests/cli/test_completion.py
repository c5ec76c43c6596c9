"""Completion: what bash itself offers from the script, and that nothing is forgotten in any of the three."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from subnet.cli import COMMANDS, completion, main
from subnet.cli.building import leaves
from tests.test_imports import loaded_by

ASK = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
_subnet
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("completion") / "subnet"
    file.write_text(completion.bash())
    return file


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("metag", ["metagraph"]),
        ("wal", ["wallet"]),
        ("xx", []),
        ("wallet cr", ["create"]),
        ("wallet create --no-", ["--no-coldkey", "--no-password"]),
        ("create --no-", ["--no-start"]),
        ("metagraph --net", ["--netuid"]),
        ("history --kind o", ["organic"]),
        ("history sc", ["scores"]),
        ("chain --tempo-rule ", ["head", "legacy"]),
        ("completion ", ["bash", "zsh", "fish", "--help"]),
        ("no-such-command --", []),
        ("config set --u", ["--unset"]),
    ],
)
def test_bash_offers(script: Path, words: str, offered: list[str]) -> None:
    done = subprocess.run(
        ["bash", "-c", ASK, "bash", str(script), "subnet", *words.split(" ")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout.split(), done.stderr) == (offered, "")


@pytest.mark.parametrize("shell", list(completion.Shell))
def test_no_command_and_no_option_is_forgotten(shell: completion.Shell, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["completion", shell.value, "--json"])
    assert ended.value.code == 0
    script = json.loads(capsys.readouterr().out)["script"]
    mark = "-l {}" if shell is completion.Shell.FISH else "--{}"
    for name in COMMANDS:
        assert name in script
        for words, command in leaves(name):
            assert all(word in script for word in words.split())
            long = [one[2:] for parameter in command.params for one in parameter.opts if one.startswith("--")]
            assert [one for one in long if mark.format(one) not in script] == []


def test_it_brings_nothing_heavy() -> None:
    code = (
        "import contextlib, io, subnet.cli\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        "    subnet.cli.main(['completion', 'bash'])"
    )
    heavy = {"torch", "ray", "matplotlib", "sklearn", "scipy", "substrateinterface", "aiohttp"}
    assert not loaded_by(code) & heavy
