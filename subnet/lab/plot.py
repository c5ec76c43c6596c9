"""A report as a picture: what each attack earned beside what it would have honestly, over time and in all."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from subnet.lab.report import Report, Verdict
from subnet.lab.show import title
from subnet.scoring.moving import sliding_mean

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PAYS, _LOSES, _HONEST = "#d55e00", "#0072b2", "#7f7f7f"
SHOWN = 12
"""Attacks whose lines are drawn: those that gain most."""
SMOOTHED = 5
"""Epochs that a point of such a line is the mean of."""


def draw(report: Report, path: Path) -> Path:
    """Write a PNG and give its path back: gains with their intervals, and income by epoch of each attack."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = report.verdicts[:SHOWN]
    columns = 3
    rows = math.ceil(len(shown) / columns)
    top = 0.6 + 0.32 * len(report.verdicts)
    figure = Figure(figsize=(12, top + 2.1 * rows + 1), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    above, below = np.asarray(figure.subfigures(2, 1, height_ratios=(top, 2.1 * rows)), dtype=object)
    _gains(above.subplots(), report)
    axes = np.atleast_1d(below.subplots(rows, columns, sharex=True, squeeze=False)).ravel()
    for ax, verdict in zip(axes, shown, strict=False):
        _income(ax, verdict, report.epochs)
    for ax in axes[len(shown) :]:
        ax.set_axis_off()
    below.supxlabel("epoch; income is a share of what an epoch pays", fontsize=9)
    figure.suptitle(title(report), fontsize=13, fontweight="bold")
    figure.savefig(path, format="png")
    return path


def _gains(axes: Axes, report: Report) -> None:
    """One bar an attack, cut at +/- 100% so that a swarm's doesn't flatten the others."""
    verdicts = report.verdicts[::-1]
    gains = np.array([v.gain.mean for v in verdicts])
    limit = 1.05
    bars = np.clip(gains, -limit, limit)
    axes.barh(range(len(verdicts)), bars, color=[_PAYS if v.pays else _LOSES for v in verdicts], height=0.62)
    for i, v in enumerate(verdicts):
        low, high = np.clip((v.gain.low, v.gain.high), -limit, limit)
        axes.plot((low, high), (i, i), color="black", linewidth=1.2)
        text = "from nothing" if math.isinf(v.gain.mean) else f"{v.gain.mean:+.1%}"
        axes.annotate(text, (max(bars[i], high, 0.0), i), (4, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set_yticks(range(len(verdicts)), [v.attack for v in verdicts], fontsize=9)
    axes.set_xlim(-limit, max(0.25, float(bars.max()) + 0.2))
    axes.axvline(0, color="black", linewidth=0.8)
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:+.0%}" if x else "0")
    axes.set_title("gain over honest work, with its 95% interval (orange: it pays)", fontsize=10, loc="left")
    _plain(axes)


def _income(axes: Axes, verdict: Verdict, epochs: int) -> None:
    x = np.linspace(0, epochs, verdict.paid.size, endpoint=False)
    axes.plot(x, sliding_mean(verdict.honest, SMOOTHED), color=_HONEST, linewidth=1.4, label="honest")
    colour = _PAYS if verdict.pays else _LOSES
    axes.plot(x, sliding_mean(verdict.paid, SMOOTHED), color=colour, linewidth=1.6, label="attack")
    axes.set_title(verdict.attack, fontsize=9, loc="left")
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(lambda y, _: f"{y:.1%}")
    axes.tick_params(labelsize=8)
    axes.legend(fontsize=7, frameon=False)
    _plain(axes)


def _plain(axes: Axes) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.grid(visible=True, axis="both", alpha=0.2)
