"""``subnet receipts``: a round's signed replies under one Merkle root, exported and verified offline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from subnet.cli.common import Json, LogJson, Verbose, print_json
from subnet.errors import ConfigError

if TYPE_CHECKING:
    from subnet.store import History

MAX_FILE = 1 << 30
"""Bytes of an export that is verified."""


def command(
    file: Annotated[Path, typer.Argument(help="A validator's ledger (.sqlite), or with --verify an export.")],
    round_id: Annotated[int | None, typer.Option("--round", min=1, help="Export this round, as JSON.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the export to this file; stdout without.")] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Verify an export: no chain, no network.")] = False,
    as_json: Json = False,
    verbose: Verbose = False,
    log_json: LogJson = False,
) -> None:
    """List the rounds of a ledger that have receipts; with --round export one; with --verify check an export."""
    if verify:
        if round_id is not None or out is not None:
            raise ConfigError("--verify takes an export and nothing else", remedy="Leave --round and --out out.")
        _verify(file, as_json)
        return
    if out is not None and round_id is None:
        raise ConfigError("--out without --round has nothing to write", remedy="Say which --round.")
    from subnet.store import History

    with History(file) as history:
        if round_id is None:
            _list(history, as_json)
        else:
            _export(history, round_id, out, as_json)


def _list(history: History, as_json: bool) -> None:
    counts = history.receipt_counts()
    if as_json:
        print_json([{"round": number, "receipts": count} for number, count in counts.items()])
    elif not counts:
        typer.echo("no receipts are kept here")
    else:
        typer.echo("round  receipts")
        for number, count in counts.items():
            typer.echo(f"{number:5}  {count:8}")


def _export(history: History, round_id: int, out: Path | None, as_json: bool) -> None:
    from subnet.evidence import export_round

    evidence = export_round(history, round_id)
    if out is None:
        typer.echo(evidence.to_json())
        return
    try:
        out.write_bytes(evidence.to_json() + b"\n")
    except OSError as error:
        raise ConfigError(f"{out} can't be written: {error.strerror}", remedy="Give another --out.") from error
    summary = {"round": round_id, "receipts": evidence.size, "root": evidence.root, "file": str(out)}
    if as_json:
        print_json(summary)
    else:
        typer.echo(f"round {round_id}: {evidence.size} receipts under root {evidence.root}, in {out}")


def _verify(file: Path, as_json: bool) -> None:
    from subnet.evidence import Evidence

    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_FILE + 1)
    except OSError as error:
        raise ConfigError(f"{file} can't be read: {error.strerror}", remedy="Check the path.") from error
    if len(data) > MAX_FILE:
        raise ConfigError(f"{file} is larger than {MAX_FILE} bytes", remedy="This is no export of one round.")
    evidence = Evidence.from_json(data)
    found = evidence.verify()
    if as_json:
        print_json(
            {
                "root": evidence.root,
                "validator": evidence.validator,
                "netuid": evidence.netuid,
                "round": evidence.round,
                "receipts": found.receipts,
                "miners": found.miners,
            }
        )
    else:
        typer.echo(
            f"round {evidence.round} of {evidence.validator} on netuid {evidence.netuid}: {found.receipts} receipts of"
            f" {found.miners} miners hold, under root {evidence.root}"
        )
