"""``subnet deploy MODULE:CLASS --print systemd|pm2|compose``: a neuron under something that keeps it running.

It only prints: what to do with the file stands on stderr. No secret is written: neurons sign with a wallet's hotkey,
which the unit may read and the coldkey beside it may not.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from subnet.cli import deployments
from subnet.cli.common import (
    ENDPOINT,
    Endpoint,
    GenesisHash,
    HotkeyName,
    Json,
    LogJson,
    Netuid,
    Verbose,
    Wallet,
    print_json,
)
from subnet.cli.onchain import is_local
from subnet.cli.run import ExternalIp, MetricsPort, Option, Target, parse_options
from subnet.errors import ConfigError


class Kind(StrEnum):
    """What keeps the neuron running."""

    SYSTEMD = "systemd"
    PM2 = "pm2"
    COMPOSE = "compose"


Print = Annotated[Kind, typer.Option("--print", help="For what: systemd, pm2 or compose (docker).")]
Port = Annotated[int | None, typer.Option("--port", min=1, max=65535, help="Miner: the port that it serves.")]
User = Annotated[
    str | None, typer.Option("--user", metavar="NAME", help="systemd: whose rights it has [default: yours].")
]
Gpu = Annotated[bool, typer.Option("--gpu", help="Leave it the machine's GPUs.")]
Folder = Annotated[
    Path | None, typer.Option("--folder", metavar="DIR", help="Where its code is [default: the current folder].")
]


def command(
    target: Target,
    netuid: Netuid,
    print_: Print,
    endpoint: Endpoint = ENDPOINT,
    genesis_hash: GenesisHash = None,
    wallet: Wallet = None,
    hotkey: HotkeyName = None,
    option: Option = None,
    port: Port = None,
    external_ip: ExternalIp = None,
    metrics_port: MetricsPort = None,
    folder: Folder = None,
    user: User = None,
    gpu: Gpu = False,
    as_json: Json = False,
    verbose: Verbose = False,
    log_json: LogJson = False,
) -> None:
    """Print what keeps a neuron running: a hardened systemd unit, a pm2 ecosystem file, or a compose file.

    Settings of now (endpoint, netuid, wallet, hotkey) are written into it, no secrets.
    """
    if not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", target, re.ASCII):
        raise ConfigError(f"{target!r} is not MODULE:CLASS", remedy="Write for instance miner:MyMiner.")
    if wallet is None or hotkey is None:
        raise ConfigError(
            "a deployed neuron signs with a wallet's hotkey",
            remedy="Add --wallet NAME --hotkey NAME; `subnet wallet create NAME` makes one.",
        )
    parse_options(option or [])
    neuron = Neuron(
        name=f"subnet-{netuid}-{re.sub(r'[^a-z0-9]+', '-', hotkey.lower()).strip('-') or 'neuron'}",
        target=target,
        netuid=netuid,
        endpoint=endpoint,
        genesis_hash=genesis_hash,
        wallet=wallet,
        hotkey=hotkey,
        options=tuple(option or ()),
        port=port,
        external_ip=external_ip,
        metrics_port=metrics_port,
        log_json=log_json,
    )
    here = (folder or Path.cwd()).expanduser().absolute()
    _check(neuron, here, user)
    made = {
        Kind.SYSTEMD: lambda: deployments.systemd(neuron, here, user, gpu=gpu),
        Kind.PM2: lambda: deployments.pm2(neuron, here),
        Kind.COMPOSE: lambda: deployments.compose(neuron, gpu=gpu, host_network=is_local(endpoint)),
    }[print_]()
    if as_json:
        print_json({"kind": print_.value, "file": made.file, "text": made.text, "next": made.next})
        return
    typer.echo(made.text, nl=False)
    sys.stdout.flush()
    typer.echo(f"# {made.file}: {made.next}", err=True)


@dataclass(frozen=True)
class Neuron:
    """What `subnet run` is told, whatever runs it."""

    name: str
    target: str
    netuid: int
    endpoint: str
    genesis_hash: str | None
    wallet: str
    hotkey: str
    options: tuple[str, ...]
    port: int | None
    external_ip: str | None
    metrics_port: int | None
    log_json: bool

    def words(self, state: str) -> list[str]:
        """The arguments of ``subnet``; its state is in the folder ``state``."""
        words = ["run", self.target, "--netuid", str(self.netuid), "--endpoint", self.endpoint]
        words += ["--wallet", self.wallet, "--hotkey", self.hotkey, "--state", state]
        optional = {"--genesis-hash": self.genesis_hash, "--external-ip": self.external_ip}
        if self.port is not None:
            optional |= {"--host": "0.0.0.0", "--port": str(self.port)}  # noqa: S104 - a miner is for others
        optional["--metrics-port"] = None if self.metrics_port is None else str(self.metrics_port)
        words += [word for name, value in optional.items() if value is not None for word in (name, value)]
        words += [word for option in self.options for word in ("--option", option)]
        return words + (["--log-json"] if self.log_json else [])


def _check(neuron: Neuron, folder: Path, user: str | None) -> None:
    """ConfigError for what none of the three could hold, and for names that leave the wallet."""
    from subnet.keys import hotkey_file
    from subnet.miners import Address

    hotkey_file(neuron.wallet, neuron.hotkey)
    if user is not None and not re.fullmatch(r"[a-z_][a-z0-9_-]{0,31}", user):
        raise ConfigError(f"{user!r} is no user's name", remedy="Name a user of that machine: --user miner.")
    for word in (*neuron.words(""), str(folder)):
        if not word.isprintable():  # line breaks are more than \n: YAML knows U+0085 and U+2028 too
            raise ConfigError(f"{word!r} can't be written into a unit", remedy="Leave out what is no printable text.")
    if neuron.port is not None:
        if neuron.external_ip is None:
            raise ConfigError(
                "a miner's address can't be found out from here",
                remedy="Add --external-ip with the address that validators can reach.",
            )
        if not neuron.external_ip.startswith("auto"):  # that is found where it runs
            Address("0.0.0.0", neuron.port, neuron.external_ip)  # noqa: S104
