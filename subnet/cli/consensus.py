"""``subnet consensus``: what the chain would have paid, for one epoch given as JSON."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from subnet.cli.common import Json, LogJson, Verbose, case_bytes, print_json
from subnet.errors import ConfigError

if TYPE_CHECKING:
    from subnet.scoring.difference import Difference
    from subnet.scoring.epoch import EpochOutput

MAX_FILE = 512 * 1024 * 1024
"""Bytes of a case file."""
_SHOWN = {"stake_weight": "stake", "consensus": "consensus", "incentive": "incentive", "dividends": "dividends"}


def command(
    case: Annotated[Path, typer.Argument(metavar="CASE.json", help="One epoch's input; - reads it from stdin.")],
    variant: Annotated[
        Literal["head", "293"], typer.Option(help="Whose rules: the runtime of June 2026 (head), or spec 293.")
    ] = "head",
    exact: Annotated[
        bool, typer.Option("--exact/--fast", help="The runtime's fixed point to the last bit, or float64.")
    ] = True,
    compare: Annotated[
        bool, typer.Option("--compare", help="Run both forms: how far float64 is from the chain, and its bound.")
    ] = False,
    as_json: Json = False,
    verbose: Verbose = False,
    log_json: LogJson = False,
) -> None:
    """Run one epoch of Yuma consensus on a case and show what it pays.

    With --json the arrays come under the storage items' names: Consensus, Incentive, Dividends, Bonds ...
    With --compare the largest difference of each array, in u16 or RAO, stands beside what it can be at most.
    """
    from subnet.scoring import difference
    from subnet.scoring.cases import NAMES, outcome, read_case
    from subnet.scoring.yuma import epoch

    try:
        state, params = read_case(case_bytes(case, MAX_FILE))
        found = difference.compare(state, params, variant) if compare else []
        out = epoch(state, params, variant, exact=exact)
    except ValueError as error:
        raise ConfigError(
            f"{case} holds no epoch: {error}", remedy="docs/how-to/consensus.md shows what a case looks like."
        ) from error
    rules = f"Yuma {3 if params.yuma3 else 1}, {variant}"
    if compare and as_json:
        print_json({NAMES[d.name]: {k: v for k, v in asdict(d).items() if k != "name"} for d in found})
    elif compare:
        _differences(found, f"{rules}, float64 against the chain's integers, block {state.block}")
    elif as_json:
        print_json(outcome(out))
    else:
        _table(out, f"{rules}, {'exact' if exact else 'float'}, block {state.block}")


def _table(out: EpochOutput, title: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, header_style="dim")
    for heading in ("uid", *_SHOWN.values(), "vtrust", "permit", "emission RAO"):
        table.add_column(heading, justify="right")
    columns = [getattr(out.floats, name) for name in (*_SHOWN, "validator_trust")]
    for uid, (permit, paid) in enumerate(zip(out.validator_permit, out.emission, strict=True)):
        shares = [f"{column[uid]:.4f}" if column[uid] else "·" for column in columns]
        table.add_row(str(uid), *shares, "✓" if permit else "", f"{paid:,}")
    Console(highlight=False).print(table)


def _differences(found: list[Difference], title: str) -> None:
    from rich.console import Console
    from rich.table import Table

    from subnet.scoring.cases import NAMES

    table = Table(title=title, title_justify="left", box=None, header_style="dim")
    table.add_column("")
    for heading in ("off by", "at most", "unit", "at uid", "fast", "exact"):
        table.add_column(heading, justify="right")
    for d in found:
        where = ("" if d.uid is None else str(d.uid), f"{d.fast:,}", f"{d.exact:,}") if d.largest else ("", "", "")
        bound = "no bound" if d.bound is None else f"{d.bound:,}"
        table.add_row(NAMES[d.name], f"{d.largest:,}", bound, d.unit, *where)
    Console(highlight=False).print(table)
