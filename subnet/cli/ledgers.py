"""What the commands that read a validator's ledger share: which file, which miner, which span of time."""

from __future__ import annotations

import re
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from subnet.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from subnet.store import History

NARROWEST = 80  # columns: below it the terminal breaks lines, since a number that is cut would be taken for another
PIPED = 160  # columns: what is not read on a terminal is never cut

LedgerFile = Annotated[
    Path | None,
    typer.Option("--ledger", metavar="FILE", help="The validator's ledger [default: the one below --state]."),
]
State = Annotated[
    Path | None,
    typer.Option("--state", metavar="DIR", help="The folder of `subnet run` [default: ~/.local/state/subnet]."),
]
NetuidFilter = Annotated[
    int | None, typer.Option("--netuid", "-n", min=0, max=65535, help="The subnet. [env: SUBNET_NETUID]")
]
ValidatorFilter = Annotated[
    str | None, typer.Option("--validator", metavar="SS58", help="The validator's hotkey, where there are several.")
]


def open_history(ledger: Path | None, state: Path | None, netuid: int | None, validator: str | None) -> History:
    """The ledger that is meant. Raises ConfigError where none or several are, StoreError where it can't be read."""
    from subnet.cli.run import default_state
    from subnet.store import History

    if ledger is not None:
        return History(ledger, netuid=netuid, validator=validator)
    folder = (state or default_state()).expanduser()
    found = sorted(folder.glob(f"validator-{'*' if netuid is None else netuid}-{validator or '*'}.sqlite"))
    if not found:
        about = f" of netuid {netuid}" if netuid is not None else ""
        raise ConfigError(
            f"{folder} holds no validator's ledger{about}", remedy="Name it: --ledger FILE, or its folder: --state DIR."
        )
    if len(found) > 1:
        raise ConfigError(
            f"{folder} holds {len(found)} ledgers: {', '.join(path.name for path in found[:5])}",
            remedy="Choose with --netuid, --validator or --ledger FILE.",
        )
    return History(found[0], netuid=netuid, validator=validator)


def miner(text: str | None) -> int | str | None:
    """A uid as a number, an address as it is."""
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 6 else text


def moment(text: str | None, option: str) -> float | None:
    """A point in time as unix seconds: ``90s``, ``30m``, ``2h`` or ``7d`` ago, or ISO 8601 (local unless it says
    otherwise). Raises ConfigError."""
    if text is None:
        return None
    ago = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)([smhd])", text)
    if ago:
        return time.time() - float(ago[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86_400}[ago[2]]
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        raise ConfigError(
            f"{option} {text!r} is no time", remedy="Write for instance 2h, 7d or 2026-01-31T08:00."
        ) from None


def shown_time(seconds: float) -> str:
    """Local time to the second."""
    try:
        return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):  # a damaged file may say anything
        return "?"


def console() -> Console:
    """Where tables are printed: as wide as the terminal, if it is no mere strip, or wide enough for a file."""
    from rich.console import Console

    made = Console(highlight=False)
    return Console(highlight=False, width=max(made.width, NARROWEST if made.is_terminal else PIPED))
