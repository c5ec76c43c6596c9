"""The forecast demo's picture: the series, the miners' forecasts, the network's with its interval; below, the pay."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from subnet.demo.forecast_checks import WARM_UP, rmse
from subnet.demo.forecast_record import ForecastRecord, Step
from subnet.demo.plot import spread
from subnet.demo.record import Actor, Role
from subnet.examples.forecast.topic import KNOWN, month_of, series

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ALPHA = 10**9
BEFORE = 14  # months of history before the first forecast
BEFORE_PAY = 10.0  # seconds shown before the first epoch that paid miners
_NETWORK = "#1a1a1a"
_COLOURS = {
    "boosting": "#0072b2",
    "arima": "#009e73",
    "smoothing": "#cc79a7",
    "torch": "#e69f00",
    "naive": "#8c8c8c",
    "forecaster": "#7b5ea7",
    "useless": "#a6761d",
    "old-copier": "#d55e00",
    "hash-copier": "#b2182b",
}
_LATER = "#444444"  # a miner that has no colour of its own


def draw(record: ForecastRecord, path: Path) -> Path:
    """Write the plot as a PNG of 1,800 x 1,350 pixels and give its path back."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 9), dpi=150, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    temperatures, pay = figure.subplots(2, 1, height_ratios=(2, 1))
    steps = record.settled()
    _forecasts(temperatures, record, steps)
    _pay(pay, record)
    figure.suptitle("Sea surface temperature off Peru: what the miners said, what the network made of it, who was paid")
    figure.savefig(path)
    return path


def _forecasts(axes: Axes, record: ForecastRecord, steps: list[Step]) -> None:
    _frame(axes)
    axes.set_ylabel("°C, monthly mean")
    if not steps:
        return
    at = [KNOWN + step.number for step in steps]
    past = range(at[0] - BEFORE, at[-1] + 1)
    sure = [(x, step.interval) for x, step in zip(at, steps, strict=True) if step.interval]
    months = [x for x, _ in sure]
    for (low, high), shade, label in (((0, 4), "#c6dbef", "95% interval"), ((1, 3), "#9ecae1", "68% interval")):
        lows, highs = [q[low] for _, q in sure], [q[high] for _, q in sure]
        axes.fill_between(months, lows, highs, color=shade, linewidth=0, label=f"network, {label}")
    for actor in record.miners:
        points = [(x, s.inferences[actor.name]) for x, s in zip(at, steps, strict=True) if actor.name in s.inferences]
        copier = actor.role == Role.COPIER
        if not points and copier:
            axes.plot([], [], color=_colour(actor), linestyle="none", marker="x", label=f"{actor.name} (never counted)")
        if points:
            axes.plot(
                *zip(*points, strict=True),
                color=_colour(actor),
                linestyle="none",
                marker="x" if copier else "o",
                markersize=5 if copier else 4,
                label=f"{actor.name} ({_error(steps, actor.name)})",
            )
    axes.plot(at, [s.value for s in steps], color=_NETWORK, linewidth=2, label=f"network forecast ({_error(steps)})")
    truths = [series()[x] for x in past]
    axes.plot(past, truths, color="#d62728", linewidth=1.3, marker=".", markersize=6, label="what came", zorder=4)
    axes.axvline(at[0] - 0.5, color="#999999", linewidth=1, linestyle=":")
    axes.annotate("first forecast", (at[0] - 0.7, 1.0), xycoords=("data", "axes fraction"), ha="right", va="top")
    ticks = [x for x in past if x % 6 == 0]
    axes.set_xticks(ticks, [month_of(x) for x in ticks])
    seen = [*truths, *(q[i] for _, q in sure[WARM_UP:] for i in (0, 4)), *(s.value for s in steps)]
    margin = 0.08 * (max(seen) - min(seen))
    axes.set_ylim(min(seen) - margin, max(seen) + margin)  # a first interval or a wild miner shall not flatten it
    axes.set_xlim(past[0] - 0.5, at[-1] + 0.5)
    title = f"RMSE in °C, after the first {WARM_UP} steps"
    legend = axes.legend(loc="center left", bbox_to_anchor=(1.005, 0.5), title=title, frameon=False, fontsize=9)
    legend.get_title().set_fontsize(9)


def _pay(axes: Axes, record: ForecastRecord) -> None:
    """What each miner has earned so far, epoch by epoch."""
    _frame(axes)
    axes.set_ylabel("earned so far (α)")
    axes.set_xlabel("seconds since the demo started")
    ends: list[tuple[Actor, float]] = []
    for actor in record.miners:
        total, line = 0, []
        for epoch in record.epochs:
            total += epoch.emission_of(actor.uid)
            line.append((epoch.seconds, total / ALPHA))
        if line:
            axes.plot(*zip(*line, strict=True), color=_colour(actor), linewidth=2, marker="o", markersize=3.5)
            ends.append((actor, total / ALPHA))
    axes.set_ylim(bottom=0)
    if not ends:
        return
    paid = record.paid_epochs or record.epochs
    right, left = record.epochs[-1].seconds, max(paid[0].seconds - BEFORE_PAY, record.epochs[0].seconds)
    axes.set_xlim(left, right)
    heights = spread([height for _, height in ends], axes)
    for (actor, earned), height in zip(ends, heights, strict=True):
        text = f"{actor.name}  {earned:.2f}"
        place = (right + (right - left) * 0.01, height)
        axes.annotate(text, place, color=_colour(actor), va="center", fontsize=9, annotation_clip=False)


def _frame(axes: Axes) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.grid(visible=True, axis="y", alpha=0.25)


def _colour(actor: Actor) -> Any:
    return _COLOURS.get(actor.name, _LATER)


def _error(steps: list[Step], miner: str | None = None) -> str:
    return f"{rmse(steps[WARM_UP:], miner):.2f}"
