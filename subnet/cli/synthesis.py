"""``subnet synthesis``: one epoch of Allora's inference synthesis, given as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from subnet.cli.common import Json, LogJson, Verbose, case_bytes, print_json
from subnet.errors import ConfigError

if TYPE_CHECKING:
    from subnet.scoring.synthesis_cases import Column, Result

MAX_FILE = 16 * 1024 * 1024
"""Bytes of a case file; the largest topic's two epochs have under one."""


def command(
    case: Annotated[Path, typer.Argument(metavar="CASE.json", help="Two epochs' columns; - reads them from stdin.")],
    normalisation: Annotated[
        Literal["std", "mad"],
        typer.Option(help="How regrets are scaled: std, as in October 2024, or mad, as in v10."),
    ] = "std",
    as_json: Json = False,
    verbose: Verbose = False,
    log_json: LogJson = False,
) -> None:
    """Run one epoch of inference synthesis on a case and show the network's inference and who is paid.

    With --json every column that is computed for the current epoch comes under its own name.
    """
    from subnet.scoring.synthesis_cases import columns, read_case, run
    from subnet.scoring.synthesis_weights import Params

    try:
        result = run(read_case(case_bytes(case, MAX_FILE)), Params(normalisation=normalisation))
    except ValueError as error:
        raise ConfigError(
            f"{case} holds no epochs: {error}", remedy="docs/how-to/synthesis.md shows what a case looks like."
        ) from error
    if as_json:
        print_json(columns(result))
    else:
        _table(result, columns(result), normalisation)


def _table(result: Result, found: dict[str, Column], normalisation: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"Inference synthesis, {normalisation}", title_justify="left", box=None, header_style="dim")
    for heading in ("worker", "inference", "weight", "log loss", "regret", "score", "share"):
        table.add_column(heading, justify="left" if heading == "worker" else "right")
    made, weights = result.synthesis.inferences, result.synthesis.weights
    inferers, both = len(made.inferers), [*made.inferers, *made.forecasters]
    for worker, weight in enumerate(weights / weights.sum()):
        number, role, loss = worker, "inferer", "inference_loss"
        if worker >= inferers:
            number, role, loss = worker - inferers, "forecaster", "forecast_implied_inference_loss"
        names = (
            f"{loss}_{number}",
            f"inference_regret_worker_{worker}",
            f"{role}_score_{number}",
            f"{role}_reward_fraction_smooth_{number}",
        )
        cells = [_shown(found.get(name)) for name in names]
        table.add_row(f"{role} {number}", _shown(both[worker]), f"{weight:.4f}", *cells)
    console = Console(highlight=False)
    console.print(table)
    for line in _lines(found):
        console.print(line)


def _lines(found: dict[str, Column]) -> Iterator[str]:
    """The network's figures, as far as the case gives them."""
    low, high = (_shown(found[f"network_inference_errorbar_{index}"]) for index in (0, 4))
    yield f"network  {_shown(found['network_inference'])}, 95% of the weight within {low} and {high}"
    if "network_loss" in found:
        losses = (_shown(found[name]) for name in ("network_loss", "network_naive_loss"))
        yield "log loss {}, without forecasters {}".format(*losses)
    shares = {role: found.get(f"{role}_reward_fraction") for role in ("inferers", "forecasters", "reputers")}
    known = [f"{role} {share:.1%}" for role, share in shares.items() if share is not None]
    if known:
        yield f"rewards  {', '.join(known)}"


def _shown(value: float | None) -> str:
    return "" if value is None or value != value else f"{value:.6g}"
