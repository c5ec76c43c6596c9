"""Runs a demo in front of somebody: a live view on a terminal, lines elsewhere; then account, plot, verdict."""

from __future__ import annotations

import asyncio
import json
import signal
import tempfile
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from subnet.demo import display
from subnet.demo.checks import ALPHA, Check
from subnet.demo.play import play
from subnet.demo.record import Record, Role
from subnet.demo.settings import Demo
from subnet.errors import DemoError

TERMINATED: Final = 128 + signal.SIGTERM
_REFRESH: Final = 4  # times a second
_ELSEWHERE: Final = "Run it from a folder that you may write to, or without --keep."


class Terminated(Exception):
    """SIGTERM came; the demo has ended its processes."""


@dataclass(frozen=True)
class Outcome:
    """What a demo came to: its record, the checks, the files' places, the seconds it took."""

    record: Record
    checks: list[Check]
    places: dict[str, Path]
    seconds: float

    @property
    def holds(self) -> bool:
        return all(check.passed for check in self.checks)

    def as_data(self) -> dict[str, Any]:
        """What ``--json`` prints: the verdict, who earned what (RAO), the checks, the places, the record."""
        return {
            "holds": self.holds,
            "seconds": round(self.seconds, 2),
            "earned_rao": {actor.name: self.record.gained(actor) for actor in self.record.actors},
            "checks": msgspec.to_builtins(self.checks),
            "places": {what: str(path) for what, path in self.places.items()},
            "record": self.record.as_data(),
        }


def new_folder(*, here: bool) -> Path:
    """A fresh ``subnet-demo-<time>``, in the current folder or in the system's temporary one."""
    try:
        parent = Path.cwd() if here else Path(tempfile.gettempdir())
    except OSError as error:
        raise DemoError(f"there is no folder to work in: {error.strerror}", remedy=_ELSEWHERE) from None
    name = time.strftime("subnet-demo-%Y%m%d-%H%M%S")
    for suffix in ("", *(f"-{i}" for i in range(2, 100))):
        folder = parent / (name + suffix)
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            continue
        except OSError as error:
            raise DemoError(f"{folder} can't be made: {error.strerror}", remedy=_ELSEWHERE) from None
        return folder
    raise DemoError(f"{parent} holds too many folders named {name}")


def perform(demo: Demo, console: Console, *, quiet: bool) -> Outcome:
    """Run ``demo`` to its end, shown on ``console`` (not if ``quiet``: then only its lines), and judge it.

    Raises DemoError or ChainError if it does not come to its end, KeyboardInterrupt and
    :class:`Terminated` if it is told to stop; no process is left then.
    """
    lively = console.is_terminal and not console.is_dumb_terminal and not quiet
    if not lively:
        demo.tell = lambda line: console.print(Text(line), soft_wrap=True)
        for line in demo.now.story:
            demo.tell(line)
    view = (
        Live(
            get_renderable=lambda: display.live(demo.record, demo.now, console.width, console.height),
            console=console,
            refresh_per_second=_REFRESH,
        )
        if lively
        else nullcontext()
    )
    try:
        with view:
            asyncio.run(_until_told(demo))
    except (KeyboardInterrupt, Terminated):
        console.print(f"Stopped: no process is left. Logs and chain state lie in {demo.folder}", soft_wrap=True)
        raise
    seconds = time.time() - demo.started
    return _judge(demo, seconds)


async def _until_told(demo: Demo) -> None:
    """:func:`play`, ended by SIGTERM as by Ctrl-C: through its ``finally`` clauses."""
    loop, performance = asyncio.get_running_loop(), asyncio.ensure_future(play(demo))
    told = []

    def end() -> None:
        told.append(True)
        performance.cancel()

    loop.add_signal_handler(signal.SIGTERM, end)
    try:
        await performance
    except asyncio.CancelledError:
        if told:
            raise Terminated from None
        raise
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


def _judge(demo: Demo, seconds: float) -> Outcome:
    verdicts = demo.checks()
    places = {"logs": demo.folder / "logs", "chain state": demo.state, "record": demo.folder / "demo.json"}
    try:
        places["plot"] = demo.draw(demo.folder / "demo.png")
    except ModuleNotFoundError:
        demo.say("no plot: matplotlib is not installed (the extra `examples` brings it)")
    outcome = Outcome(demo.record, verdicts, places, seconds)
    places["record"].write_text(json.dumps(outcome.as_data(), indent=1))
    return outcome


def compare(outcomes: list[Outcome]) -> Table:
    """One row a seed: what each role earned and whether the order held."""
    title = "Earned α, seed by seed"
    table = Table(
        title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, collapse_padding=True
    )
    names = [actor.name for actor in outcomes[0].record.miners]
    for heading in ("seed", *names, "good:weak", "copier", "secs", "checks"):
        table.add_column(heading, justify="left" if heading == "checks" else "right", overflow="fold")
    for outcome in outcomes:
        record = outcome.record
        earned = {name: record.emission(name) for name in names}
        good = min(earned[a.name] for a in record.of_role(Role.GOOD))
        weak = max(earned[a.name] for a in record.of_role(Role.WEAK))
        copied = max(earned[a.name] / max(earned[a.copies], 1) for a in record.of_role(Role.COPIER))
        failed = [check.name for check in outcome.checks if not check.passed]
        table.add_row(
            str(record.seed),
            *(f"{earned[name] / ALPHA:.2f}" for name in names),
            f"x{good / max(weak, 1):.1f}",
            f"{copied:.0%}",
            f"{outcome.seconds:.0f}",
            Text(f"{len(outcome.checks)} hold", style="green") if not failed else Text("; ".join(failed), "red"),
        )
    return table
