"""What the demo shows: a live view while it runs, and its closing account. Pure rendering with rich.

``live`` and ``account`` turn a :class:`~subnet.demo.record.Record` (and, while it runs, the
:class:`Now`) into renderables; they read nothing else, so that a test can look at any moment of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from subnet.demo.checks import Check
from subnet.demo.record import Actor, Epoch, Record, Role, Share

ALPHA = 10**9
ROOMY, WIDE = 104, 144  # columns from which on headings are whole, and from which on everything shows
_FIGURES = (
    ("score", "score"),
    ("weight", "weight"),
    ("consensus", "cons."),
    ("incentive", "inc."),
    ("dividends", "div."),
    ("vtrust", "vtr."),
    ("epoch α", "ep. α"),
    ("total α", "tot. α"),
)
_BLOCKS = "▁▂▃▄▅▆▇█"
_TRACE = 13  # scores in the small curve
_BAR = 18  # columns of the longest bar
_AROUND = 6  # lines above the table, its heading, and one below all
_LINES = 7  # of the story below the table
_COLOURS = {
    Role.OWNER: "bright_black",
    Role.VALIDATOR: "magenta",
    Role.GOOD: "deep_sky_blue1",
    Role.WEAK: "yellow",
    Role.RANDOM: "white",
    Role.COPIER: "red",
    Role.REBORN: "green",
    Role.FORECASTER: "green",
    Role.USELESS: "white",
}
_STATES = {
    "serving": "green",
    "scoring": "green",
    "starting": "yellow",
    "killed": "bold red",
    "restarted": "yellow",
    "died": "bold red",
}


@dataclass
class Now:
    """The moment: chain height, the epoch's blocks so far, each actor's state, the story told until here."""

    block: int = 0
    epoch_start: int = 0
    seconds: float = 0.0
    states: dict[str, str] = field(default_factory=dict)
    story: list[str] = field(default_factory=list)


def live(record: Record, now: Now, width: int, height: int = 50) -> RenderableType:
    """The view while it runs, for a terminal of ``width`` columns and ``height`` lines."""
    room = max(1, min(_LINES, height - len(record.actors) - _AROUND))
    story = Text("\n".join(now.story[-room:]), style="dim", no_wrap=True, overflow="ellipsis")
    return Group(_head(record, now), _neurons(record, now, width), story)


def _head(record: Record, now: Now) -> RenderableType:
    done, tempo = min(record.rounds_done(), record.rounds_wanted), max(record.tempo, 1)
    grid = Table.grid(padding=(0, 2))
    grid.add_row(
        Text(f"subnet {record.netuid} at {record.url}" if record.netuid else "a local chain", style="bold"),
        f"block {now.block}",
        f"{now.seconds:.0f} s",
    )
    bars = Table.grid(padding=(0, 1))
    into = min(max(now.block - now.epoch_start, 0), tempo)
    bars.add_row(
        "rounds",
        ProgressBar(total=max(record.rounds_wanted, 1), completed=done, width=18),
        f"{done} of {record.rounds_wanted}",
        f"  epochs {len(record.epochs)}",
        ProgressBar(total=tempo, completed=into, width=10),
        f"{into}/{record.tempo}",
    )
    return Panel(Group(grid, bars), title="subnet demo", title_align="left", border_style="bright_black", expand=False)


def _neurons(record: Record, now: Now, width: int) -> Table:
    roomy, wide = width >= ROOMY, width >= WIDE
    table = Table(box=None, header_style="bold", pad_edge=False, collapse_padding=True)
    table.add_column("uid", justify="right", no_wrap=True)
    table.add_column("neuron", no_wrap=True, min_width=11)
    if wide:
        table.add_column("what it does", no_wrap=True, style="dim")
    table.add_column("state", no_wrap=True, min_width=9 if roomy else 8)
    for heading, short in _FIGURES:
        table.add_column(heading if roomy else short, justify="right", no_wrap=True, min_width=5)
    if roomy:
        table.add_column("scores so far", no_wrap=True, min_width=_TRACE)
    for actor in record.actors:
        state = now.states.get(actor.name, "")
        row: list[RenderableType] = [str(actor.uid), actor.name, *([actor.about] if wide else [])]
        row += [Text(state, style=_STATES.get(state, "")), *_figures(record, actor)]
        trace = [score for _, score in record.moving_scores(actor.uid)]
        table.add_row(*row, *([spark(trace)] if roomy else []), style=_COLOURS[actor.role])
    return table


def _figures(record: Record, actor: Actor) -> list[str]:
    """The cells under ``_FIGURES``; empty where there is nothing yet."""
    share = _share(record.epochs[-1], actor.uid) if record.epochs else None
    scores = record.moving_scores(actor.uid)
    given = [weights.get(actor.uid, 0.0) for weights in record.weights.values()]
    return [
        f"{scores[-1][1]:.3f}" if scores else "",
        _part(sum(given) / len(given) if given else None),
        _part(share.consensus if share else None),
        _part(share.incentive if share else None),
        _part(share.dividends if share else None),
        _part(share.validator_trust if share else None),
        _alpha(share.emission if share else 0),
        _alpha(record.gained(actor)),
    ]


def _share(epoch: Epoch, uid: int) -> Share | None:
    return next((share for share in epoch.shares if share.uid == uid), None)


def _part(value: float | None) -> str:
    return f"{value:.3f}" if value else ""


def _alpha(amount: int) -> str:
    return f"{amount / ALPHA:.3f}" if amount else ""


def spark(values: Sequence[float]) -> str:
    """The last values, each 0 to 1, as a curve of block characters."""
    top = len(_BLOCKS) - 1
    return "".join(_BLOCKS[round(min(max(v, 0.0), 1.0) * top)] for v in values[-_TRACE:])


def account(record: Record, checks: Sequence[Check], places: dict[str, Path], seconds: float) -> RenderableType:
    """The closing account: who earned what, whether the order held, where things lie."""
    failed = sum(not check.passed for check in checks)
    verdict = Text(f"The order of pay holds: {len(checks)} checks passed in {seconds:.0f} s.", "bold green")
    if failed:
        verdict = Text(f"The order of pay does NOT hold: {failed} of {len(checks)} failed.", "bold red")
    lies = Table.grid(padding=(0, 2))
    for what, path in places.items():
        lies.add_row(Text(what, style="dim"), Text(str(path), overflow="fold"))
    return Group(Text(), _earnings(record), Text(), _verdicts(checks), Text(), verdict, lies)


def _earnings(record: Record) -> Table:
    table = Table(title="Who earned what", title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column("uid", justify="right", min_width=3)
    table.add_column("neuron", min_width=11)
    table.add_column("what it does", no_wrap=True)
    table.add_column("earned α", justify="right", min_width=8)
    table.add_column("", min_width=_BAR)
    most = max((record.gained(actor) for actor in record.miners), default=0) or 1
    for actor in sorted(record.actors, key=lambda a: (not a.is_miner, -record.gained(a))):
        earned = record.gained(actor)
        bar = "█" * round(_BAR * earned / most) if actor.is_miner else ""
        table.add_row(str(actor.uid), actor.name, actor.about, f"{earned / ALPHA:.3f}", bar, style=_COLOURS[actor.role])
    return table


def _verdicts(checks: Sequence[Check]) -> Table:
    table = Table(title="Checks", title_justify="left", title_style="bold", box=None, show_header=False)
    for check in checks:
        mark = Text("✓", style="green") if check.passed else Text("✗", style="bold red")
        table.add_row(mark, Text(check.name, no_wrap=True), Text(check.detail, style="dim"))
    return table
