"""The demo's picture: each miner's moving score over time, and below it what each epoch paid it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from subnet.demo.record import Actor, Record, Role

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ALPHA = 10**9
_GOOD = ("#0072b2", "#56b4e9", "#0b5394", "#6fa8dc")
_COLOURS = {Role.WEAK: "#e69f00", Role.RANDOM: "#7f7f7f", Role.COPIER: "#d55e00", Role.REBORN: "#009e73"}
_DASHES = ("-", (0, (6, 1.5)), (0, (2, 1.5)), (0, (6, 1.5, 1, 1.5)))
_LEAD = 4.0  # seconds shown before the first round
_GAP = 0.045  # least distance between two labels, as a part of the axis' height


def draw(record: Record, path: Path) -> Path:
    """Write the plot as a PNG of 1,650 x 1,200 pixels and give its path back."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 8), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    scores, pay = figure.subplots(2, 1, sharex=True)
    looks = _looks(record)
    _lines(scores, record, looks, {a.name: record.moving_scores(a.uid) for a in record.miners}, top=1.03)
    _lines(pay, record, looks, {a.name: _pay(record, a) for a in record.miners}, marker="o")
    scores.set_ylabel("moving score (mean of both validators)")
    pay.set_ylabel("emission per epoch (α)")
    pay.set_xlabel("seconds since the demo started")
    figure.suptitle(
        f"Who answered well, and who was paid: {len(record.miners)} miners, "
        f"{len(record.epochs)} epochs (seed {record.seed})",
        fontsize=14,
        fontweight="bold",
    )
    figure.savefig(path)
    return path


def _pay(record: Record, actor: Actor) -> list[tuple[float, float]]:
    return [(epoch.seconds, epoch.emission_of(actor.uid) / ALPHA) for epoch in record.epochs]


def _looks(record: Record) -> dict[str, dict[str, Any]]:
    good = record.of_role(Role.GOOD)
    looks: dict[str, dict[str, Any]] = {}
    for actor in record.miners:
        if actor.role == Role.GOOD:
            i = good.index(actor)
            looks[actor.name] = {"color": _GOOD[i % len(_GOOD)], "linestyle": _DASHES[i % len(_DASHES)]}
        else:
            looks[actor.name] = {"color": _COLOURS[actor.role], "linestyle": "-"}
    return looks


def _lines(
    axes: Axes,
    record: Record,
    looks: dict[str, dict[str, Any]],
    lines: dict[str, list[tuple[float, float]]],
    top: float | None = None,
    **style: Any,
) -> None:
    for name, points in lines.items():
        if points:
            x, y = zip(*points, strict=True)
            axes.plot(x, y, linewidth=2, markersize=4.5, **looks[name], **style)
    axes.set_ylim(bottom=0, top=top)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.grid(visible=True, axis="y", alpha=0.25)
    _absences(axes, record)
    ends = [(name, points[-1]) for name, points in lines.items() if points]
    if ends:
        right = max(x for _, (x, _) in ends)
        left = max(0.0, min((one.seconds for one in record.rounds), default=0.0) - _LEAD)
        axes.set_xlim(left=left, right=right + (right - left) * 0.13)
        for (name, _), height in zip(ends, spread([y for _, (_, y) in ends], axes), strict=True):
            axes.annotate(
                name,
                (right + (right - left) * 0.012, height),
                color=looks[name]["color"],
                va="center",
                fontweight="bold",
            )


def _absences(axes: Axes, record: Record) -> None:
    """Shade the time in which a killed miner was away."""
    for actor in record.of_role(Role.REBORN):
        killed, back = record.event("killed", actor.name), record.event("serving", actor.name)
        if killed is None:
            continue
        end = back.seconds if back else max((e.seconds for e in record.epochs), default=killed.seconds)
        axes.axvspan(killed.seconds, end, color=_COLOURS[Role.REBORN], alpha=0.1, linewidth=0)
        axes.annotate(
            f"{actor.name} is gone",
            ((killed.seconds + end) / 2, 1.0),
            xycoords=("data", "axes fraction"),
            ha="center",
            va="bottom",
            color=_COLOURS[Role.REBORN],
        )


def spread(heights: Sequence[float], axes: Axes) -> list[float]:
    """The heights moved apart as far as their labels need, in their order."""
    low, high = axes.get_ylim()
    gap = (high - low) * _GAP
    order = sorted(range(len(heights)), key=heights.__getitem__)
    placed: dict[int, float] = {}
    floor = low  # the lowest label stands above the axis
    for i in order:
        floor = placed[i] = max(heights[i], floor + gap)
    return [placed[i] for i in range(len(heights))]
