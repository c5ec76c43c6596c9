"""A report as a table for people."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from subnet.lab.report import Estimate, Report, Verdict

if TYPE_CHECKING:
    from rich.table import Table


def title(report: Report) -> str:
    """What was played, in a line."""
    hidden = f"commit-reveal {report.reveal} tempos" if report.reveal else "commit-reveal off"
    seeds = f"{len(report.seeds)} seed{'s' if len(report.seeds) > 1 else ''}"
    size = f"{report.validators} validators, {report.miners} miners, {report.epochs} epochs"
    return f"{report.rule}: {size}, {seeds}, {hidden}"


def table(report: Report) -> Table:
    """One line an attack, the one that gains most first."""
    from rich.table import Table

    grid = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 1, 0, 0))
    grid.add_column("attack", overflow="fold")
    for heading in ("gain", "pays", "honest", "harm", "found", "vtrust", "own", "stake"):
        grid.add_column(heading, justify="right", no_wrap=True)
    for verdict in report.verdicts:
        grid.add_row(*_row(verdict))
    return grid


def _row(v: Verdict) -> tuple[str, ...]:
    return (
        v.attack,
        percent(v.gain),
        "[red]yes[/red]" if v.pays else "no",
        f"{v.honest_share.mean:.3f}",
        f"{v.harm.mean:+.1%}",
        "never" if math.isinf(v.detection) else f"{v.detection:.0f}",
        f"{v.vtrust.mean:.3f}",
        "" if math.isnan(v.own_vtrust) else f"{v.own_vtrust:.3f}",
        stake(v.smallest_stake),
    )


def percent(estimate: Estimate) -> str:
    """``+12.0% ±0.6``: the mean and half the interval."""
    if math.isinf(estimate.mean):
        return "from nothing"
    return f"{estimate.mean:+.1%} ±{(estimate.high - estimate.low) * 50:.1f}"


def failed(report: Report) -> list[str]:
    """A line for each attack under which rounds ended in an error."""
    shown = [v for v in report.verdicts if v.failed_rounds]
    return [f"{v.attack}: {v.failed_rounds:.1%} of the honest validators' rounds failed" for v in shown]


def stake(share: float | None) -> str:
    from subnet.lab.search import LOWEST

    if share is None:
        return ""
    if math.isinf(share):
        return "none"
    return "any" if share <= LOWEST else f"{share:.2f}"


LEGEND = """\
gain    income over that of the same seats and stake if honest, ± 95% interval
honest  the honest miners' share of the pay for work
harm    what the honest lost
found   epochs until it earns under half of an honest income, for good
vtrust  of the honest validators; own: of the attack's
stake   the share of all stake from which it pays"""
