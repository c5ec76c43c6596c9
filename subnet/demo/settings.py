"""One demo: its settings, and what it has come to so far."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from subnet.demo.checks import EPOCHS, Check
from subnet.demo.display import Now
from subnet.demo.record import Event, Record

if TYPE_CHECKING:
    from subnet.demo.play import Stage

ROUNDS: Final = 18
FEWEST_ROUNDS: Final = 12  # below that the reborn has no time to die, come back and be paid again
BLOCK_TIME: Final = 0.25  # seconds
INTERVAL: Final = 2.0  # seconds from one scoring round's start to the next one's
_LONGEST_TEMPO, _SHORTEST_TEMPO = 20, 10  # blocks


def tempo_for(rounds: int) -> int:
    """Blocks to an epoch such that more than ``EPOCHS`` of them pay while so many rounds go by."""
    fitting = int(rounds * INTERVAL / BLOCK_TIME) // (EPOCHS + 1)
    return max(_SHORTEST_TEMPO, min(_LONGEST_TEMPO, fitting))


@dataclass
class Demo(ABC):
    """One demo. ``folder`` takes its logs and state; ``tell`` gets each line of its story.

    A subclass says who takes part, what happens, what must hold at the end and what the picture shows.
    """

    folder: Path
    seed: int = 1
    rounds: int = ROUNDS
    tell: Callable[[str], None] = lambda _line: None
    record: Record = field(init=False)
    now: Now = field(default_factory=Now)
    started: float = field(default_factory=time.time)

    @property
    @abstractmethod
    def limit(self) -> float:
        """Seconds that the script may take, on a machine that is busy otherwise."""

    @abstractmethod
    async def script(self, stage: Stage) -> None:
        """What happens once the subnet is laid and the miners are starting, until all is paid."""

    @abstractmethod
    def checks(self) -> list[Check]:
        """What the finished record was held against."""

    @abstractmethod
    def draw(self, path: Path) -> Path:
        """Write the picture as a PNG. Raises ModuleNotFoundError without matplotlib."""

    @property
    def state(self) -> Path:
        """Where chain and neurons keep what they must remember."""
        return self.folder / "state"

    def seconds(self) -> float:
        """Since the start."""
        return time.time() - self.started

    def say(self, line: str) -> None:
        """Add a line to the story, stamped with the seconds since the start."""
        stamped = f"{self.seconds():5.1f} s  {line}"
        self.now.story.append(stamped)
        self.tell(stamped)

    def note(self, what: str, actor: str) -> None:
        """Record that something happened to an actor, and show it as its state."""
        self.now.states[actor] = what
        event = Event(what=what, actor=actor, seconds=self.seconds(), block=self.now.block)
        self.record.events.append(event)
