"""``subnet chain`` as a command: its flags, its banner, its one line of JSON, its end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from subnet.cli import main
from subnet.devnet import devnet
from subnet.devnet.accounts import DEVELOPMENT
from subnet.devnet.server import is_loopback
from subnet.errors import ConfigError, DevnetError

ROOT = Path(__file__).parents[2]
EXAMPLE = str(ROOT / "examples" / "genesis.toml")
WAIT = 60.0  # seconds; nothing takes that long unless it hangs


@asynccontextmanager
async def chain(*options: str, last: str = "") -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """The command, and what it printed up to a line that holds ``last`` (the first line without); ended by SIGTERM."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "subnet.cli", "chain", "--port", "0", *options),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "200"},
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(WAIT):
            text = line = (await process.stdout.readline()).decode()
            while line and last not in line:
                line = (await process.stdout.readline()).decode()
                text += line
        yield process, text
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        _, errors = await process.communicate()
        process.errors = errors.decode()  # type: ignore[attr-defined]


def ask(url: str, method: str, *params: Any) -> Any:
    body = json.dumps({"id": 1, "method": method, "params": params}).encode()
    with urllib.request.urlopen(url.replace("ws://", "http://"), body, timeout=WAIT) as reply:
        return json.loads(reply.read())["result"]


@pytest.mark.e2e
async def test_a_chain_is_declared_dumped_and_gone_on_with(tmp_path: Path) -> None:
    dump, state = str(tmp_path / "state"), str(tmp_path / "chain.db")
    async with chain("--genesis", EXAMPLE, "--manual", "--dump-state", dump, last="Ctrl-C") as (first, banner):
        for account in DEVELOPMENT:
            assert account.address in banner
        assert "never use them on a real network" in banner
        assert "Sudo is Alice. Blocks by dev_newBlock only." in banner
        assert "subnet 1 with 4 neurons" in banner
        url = next(word for word in banner.split() if word.startswith("ws://"))
        head = await asyncio.to_thread(ask, url, "dev_newBlock", 12)
    assert first.returncode == 0
    async with chain("--load-state", dump, "--state", state, "--manual", "--json") as (second, line):
        found = json.loads(line)
        assert await asyncio.to_thread(ask, found["url"], "chain_getHead") == head
        assert [one["uri"] for one in found["accounts"]] == [one.uri for one in DEVELOPMENT]
    assert second.returncode == 0
    async with chain("--genesis", EXAMPLE, "--state", state, "--manual", "--json") as (third, line):
        assert json.loads(line)["genesis"] == found["genesis"]
    assert "it goes on as it is" in third.errors  # type: ignore[attr-defined]


def test_a_dump_is_not_loaded_over_a_chain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state, dump = tmp_path / "chain.db", tmp_path / "state"
    with devnet(state=state, production="manual") as node:
        node.dump(dump)
    with pytest.raises(SystemExit) as ended:
        main(["chain", "--port", "0", "--load-state", str(dump), "--state", str(state)])
    assert ended.value.code == DevnetError.exit_code
    assert "holds a chain already" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("options", "error", "what"),
    [
        (["--instant", "--manual"], ConfigError, "exclude each other"),
        (["--genesis", EXAMPLE, "--load-state", EXAMPLE], DevnetError, "genesis file or a loaded state"),
        (["--load-state", EXAMPLE], DevnetError, "no state that this command wrote"),
        (["--block-time", "0"], DevnetError, "out of bounds"),
        (["--dump-state", str(ROOT)], DevnetError, "can't write"),
    ],
)
def test_flags_that_make_no_sense(
    options: list[str], error: type[ConfigError | DevnetError], what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["chain", "--port", "0", *options])
    assert ended.value.code == error.exit_code
    assert what in " ".join(capsys.readouterr().err.split())


def test_hosts_that_others_can_reach_are_told_apart() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.3.2.1", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.0.2.7", "example.org")))
