"""Options that several commands share, as annotated types: one name, one meaning, one help text.

A command takes them as ``def command(netuid: Netuid, endpoint: Endpoint = ENDPOINT, ...)``. Where the
flag is not given, the value comes from the environment or subnet.toml (subnet.config), and from the
command's own default last; a netuid has none. The dispatcher acts on ``verbose`` and ``log_json``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from subnet.errors import ConfigError

ENDPOINT = "ws://127.0.0.1:9944"

Endpoint = Annotated[
    str,
    typer.Option(
        "--endpoint",
        "-e",
        metavar="URL[,URL...]",
        help="The chain's websocket, or several, the preferred one first. [env: SUBNET_ENDPOINT]",
    ),
]
GenesisHash = Annotated[
    str | None,
    typer.Option(
        "--genesis-hash",
        metavar="HASH",
        help="The chain's first block: any other chain is refused. [env: SUBNET_GENESIS_HASH]",
    ),
]
Netuid = Annotated[int, typer.Option("--netuid", "-n", min=0, max=65535, help="The subnet. [env: SUBNET_NETUID]")]
Key = Annotated[
    str | None,
    typer.Option(
        "--key",
        metavar="KEY",
        help="A development key (//Alice), seed or keyfile, in place of a wallet. [env: SUBNET_KEY]",
    ),
]
Wallet = Annotated[
    str | None,
    typer.Option("--wallet", "-w", metavar="NAME", help="The wallet that holds the keys. [env: SUBNET_WALLET]"),
]
HotkeyName = Annotated[
    str | None,
    typer.Option("--hotkey", metavar="NAME", help="The wallet's hotkey. [env: SUBNET_HOTKEY]"),
]
PasswordFile = Annotated[
    str | None,
    typer.Option(
        "--password-file",
        metavar="FILE",
        help="Holds the key's password, in place of a question. [env: SUBNET_PASSWORD_FILE]",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Log everything. [env: SUBNET_VERBOSE]")]
LogJson = Annotated[bool, typer.Option("--log-json", help="Log JSON lines. [env: SUBNET_LOG_JSON]")]


def print_json(value: Any) -> None:
    """One JSON document on stdout, ended by a newline and flushed."""
    typer.echo(json.dumps(value, default=str))


def case_bytes(case: Path, limit: int) -> bytes:
    """A case file, or stdin for ``-``. ConfigError where it can't be read or is larger than ``limit`` bytes."""
    try:
        if str(case) == "-":
            data = sys.stdin.buffer.read(limit + 1)
        else:
            with case.open("rb") as file:
                data = file.read(limit + 1)
    except OSError as error:
        raise ConfigError(f"{case} can't be read: {error.strerror}", remedy="Check the path.") from error
    if len(data) > limit:
        raise ConfigError(f"{case} is larger than {limit} bytes", remedy="Give one epoch a file.")
    return data
