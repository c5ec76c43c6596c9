"""The digits demo: good, weak, guessing and copying miners; one is killed half-way and comes back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from subnet.demo import checks
from subnet.demo.cast import MINERS, cast
from subnet.demo.checks import Check
from subnet.demo.play import READY, SLOWEST
from subnet.demo.plot import draw
from subnet.demo.record import Record, Role
from subnet.demo.settings import BLOCK_TIME, INTERVAL, Demo, tempo_for

if TYPE_CHECKING:
    from subnet.demo.play import Stage

AGAIN: Final = 4  # rounds, at least, that the reborn serves after its return
OVERDUE: Final = 30  # rounds after its death in which it must be back


@dataclass
class DigitsDemo(Demo):
    """``miners`` beyond six are more good ones."""

    miners: int = MINERS

    def __post_init__(self) -> None:
        self.record = Record(seed=self.seed, rounds_wanted=self.rounds, block_time=BLOCK_TIME)
        self.record.tempo = tempo_for(self.rounds)
        self.record.actors = cast(self.folder, seed=self.seed, miners=self.miners, interval=INTERVAL)

    @property
    def limit(self) -> float:
        return READY + SLOWEST * self.rounds * INTERVAL

    def checks(self) -> list[Check]:
        return checks.run(self.record)

    def draw(self, path: Path) -> Path:
        return draw(self.record, path)

    async def script(self, stage: Stage) -> None:
        """Wait for the miners, let rounds pass, kill one, bring it back, and stop once the last round is paid."""
        record, watch = self.record, stage.watch
        await stage.all_serve()
        for validator in record.of_role(Role.VALIDATOR):  # only now: who comes up first shall have no lead
            stage.start(validator)
        self.say("all miners serve; the validators begin")
        (reborn,) = record.of_role(Role.REBORN)
        await watch.until(lambda: record.rounds_done() >= self.rounds * 2 // 5 and len(record.paid_epochs) >= 2)
        victim = stage.troupe.processes.pop(reborn.name, None)
        if victim is not None:  # else it died by itself, and was shown
            victim.kill()
        self.note("killed", reborn.name)
        self.say(f"kill -9 {reborn.name}, after round {record.rounds_done()}")
        gone = record.rounds_done()
        await watch.until(lambda: record.rounds_done() >= gone + max(2, self.rounds // 6))
        stage.start(reborn)
        self.note("restarted", reborn.name)
        self.say(f"{reborn.name} is started again, as it was")
        await watch.until(lambda: record.event("serving", reborn.name) or record.rounds_done() >= gone + OVERDUE)
        enough = max(self.rounds, record.rounds_done() + AGAIN)
        await watch.until(lambda: record.rounds_done() >= enough)
        self.say(f"{record.rounds_done()} rounds are scored; one more epoch pays for the last of them")
        await stage.paid()
