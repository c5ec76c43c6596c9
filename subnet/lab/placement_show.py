"""What placement policies made of a day: as a table and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from subnet.lab.placement import Placed, PlacementScenario
from subnet.scoring.moving import sliding_mean

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from rich.table import Table

_COLOURS = ("#7f7f7f", "#0072b2", "#d55e00", "#009e73")
LEGEND = """\
done      units with a verdict, of those that arrived
reissued  replicas placed again, because one was lost or results did not agree, for each 100 units done
replicas  results that came back for each unit done
median    from a unit's arrival to its verdict, in minutes; p99: of all but 1 in 100
busy      of the time that nodes were there; wasted: of that, on replicas that were lost
wrong     verdicts that were wrong, in a million"""


def title(s: PlacementScenario, seed: int) -> str:
    """What was played, in a line."""
    return (
        f"{s.nodes:,} nodes, {s.hours:g} hours in steps of {s.step} s, load {s.load:g}, "
        f"{s.cheaters:.1%} cheaters, seed {seed}"
    )


def table(outcomes: Sequence[Placed]) -> Table:
    """One line a policy."""
    from rich.table import Table

    grid = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 1, 0, 0))
    grid.add_column("policy", overflow="fold")
    for heading in ("done", "reissued", "replicas", "median", "p99", "busy", "wasted", "wrong"):
        grid.add_column(heading, justify="right", no_wrap=True)
    for one in outcomes:
        grid.add_row(
            one.policy,
            f"{one.done / max(one.created, 1):.1%}",
            f"{100 * one.reissued / max(one.done, 1):.1f}",
            f"{one.replication:.2f}",
            f"{one.wait(0.5) / 60:.0f}",
            f"{one.wait(0.99) / 60:.0f}",
            f"{one.busy / max(one.online, 1):.1%}",
            f"{one.wasted / max(one.busy, 1):.1%}",
            f"{one.wrong_per_million:.0f}",
        )
    return grid


def draw(outcomes: Sequence[Placed], path: Path) -> Path:
    """Write a PNG and give its path back: who is there, what waits, replicas a unit, and how long units take."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    s = outcomes[0].scenario
    hours = np.arange(s.steps) * s.step / 3600
    figure = Figure(figsize=(12, 7), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    there, waiting, replicas, latency = figure.subplots(2, 2).ravel()
    there.plot(hours, outcomes[0].series["online"], color="black", linewidth=1.4)
    for colour, one in zip(_COLOURS * len(outcomes), outcomes, strict=False):
        waiting.plot(hours, one.series["open"], color=colour, linewidth=1.4, label=one.policy)
        placed, done = (sliding_mean(one.series[name].astype(np.float64), 30) for name in ("placed", "done"))
        replicas.plot(hours, placed / np.maximum(done, 1e-9), color=colour, linewidth=1.4, label=one.policy)
        minutes = np.arange(one.latency.size) * s.step / 60
        latency.plot(minutes, np.cumsum(one.latency) / max(one.done, 1), color=colour, linewidth=1.6, label=one.policy)
    last = max(one.wait(0.99) for one in outcomes if one.done) if any(one.done for one in outcomes) else 60.0
    latency.set_xlim(0, last / 60 * 1.2)
    replicas.set_ylim(1, 4)
    for axes, text, unit in (
        (there, "nodes that are there", "hour (UTC)"),
        (waiting, "units without a verdict", "hour (UTC)"),
        (replicas, "replicas placed for each unit done, mean of half an hour", "hour (UTC)"),
        (latency, "share of the done units", "minutes from arrival to verdict"),
    ):
        axes.set_title(text, fontsize=10, loc="left")
        axes.set_xlabel(unit, fontsize=9)
        _plain(axes)
    there.set_ylim(bottom=0)
    waiting.set_ylim(bottom=0)
    latency.legend(fontsize=8, frameon=False, loc="lower right")
    figure.suptitle(title(s, outcomes[0].seed), fontsize=13, fontweight="bold")
    figure.savefig(path, format="png")
    return path


def _plain(axes: Axes) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.grid(visible=True, axis="both", alpha=0.2)
    axes.yaxis.set_major_formatter(lambda y, _: f"{y:,g}")
