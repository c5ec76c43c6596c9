"""The topic: a real series, month by month, and the clock that all sides go by.

The series is the sea surface temperature off Peru, 1950 to 2010, 732 monthly means in °C, which statsmodels carries
(``statsmodels.datasets.elnino``; NOAA's Climate Prediction Center, public domain). The first ``KNOWN`` months are
history. Then each step of the clock is a month::

    opens(n) ── commits ──► closes(n) ── reveals ──► opens(n + 1): the truth of step n is known

Everybody has the clock from the same small file, so nobody can be told a wrong hour by somebody who asks.
"""

from __future__ import annotations

import importlib.util
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from subnet.errors import ConfigError

Floats = npt.NDArray[np.float64]

KNOWN: Final = 552
"""Months that are history before the first step: 1950 to 1995."""
SEASON: Final = 12
FIRST_YEAR: Final = 1950
MOST_BYTES: Final = 10_000
"""Of a topic's file."""


class Topic(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When the steps are: step 0 opens at ``origin`` (unix seconds), each takes ``seconds``.

    Commits are taken in the first part ``window`` of a step, reveals in the next part ``reveal``.
    """

    origin: float = 0.0
    seconds: float = 60.0
    window: float = 0.5
    reveal: float = 0.3

    def __post_init__(self) -> None:
        fine = 0 <= self.origin < 1e12 and 0.1 <= self.seconds <= 1e8
        if not fine or not (self.window > 0 and self.reveal > 0 and self.window + self.reveal < 1):
            raise ValueError("origin from 0, seconds from 0.1, window and reveal above 0 and below 1 together")

    def step_at(self, now: float) -> int:
        """The step that is open at ``now``; below 0 before the first."""
        return int((now - self.origin) // self.seconds)

    def opens(self, step: int) -> float:
        return self.origin + step * self.seconds

    def closes(self, step: int) -> float:
        """When no commit counts any more, and reveals begin."""
        return self.opens(step) + self.window * self.seconds

    def revealed(self, step: int) -> float:
        """When no reveal counts any more."""
        return self.opens(step) + (self.window + self.reveal) * self.seconds

    def known(self, step: int) -> float:
        """When the truth of ``step`` is known."""
        return self.opens(step + 1)

    def index(self, step: int) -> int:
        """Which month of the series a step is about; after the last one the steps begin anew."""
        return KNOWN + step % (len(series()) - KNOWN)

    def history(self, step: int) -> Floats:
        """(n,) °C: the months before that of ``step``, oldest first."""
        return series()[: self.index(step)]

    def truth(self, step: int, now: float | None = None) -> float | None:
        """The month's temperature in °C; None as long as it is not known."""
        if (time.time() if now is None else now) < self.known(step):
            return None
        return float(series()[self.index(step)])

    def month(self, step: int) -> str:
        """``1996-01`` and so on."""
        return month_of(self.index(step))


@dataclass
class TopicFile:
    """A topic in a JSON file, read when it is first asked for: who runs it may write it after the neurons started.

    Without a path it is the topic that needs no file: step 0 at unix time 0, a minute a step.
    """

    path: str
    _topic: Topic | None = None

    def __call__(self) -> Topic:
        """The topic. Raises ConfigError if there is no such file, or it holds none."""
        if self._topic is None:
            self._topic = read_topic(Path(self.path)) if self.path else Topic()
        return self._topic


def read_topic(path: Path) -> Topic:
    """The topic in a file. Raises ConfigError if it can't be read or holds something else."""
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(MOST_BYTES), type=Topic)
    except (OSError, msgspec.DecodeError, ValueError) as error:
        raise ConfigError(
            f"{path} holds no topic: {error}",
            remedy='Write for instance {"origin": 1700000000, "seconds": 60}, the same for all neurons.',
        ) from None


def write_topic(path: Path, topic: Topic) -> None:
    """Put a topic where the neurons look for it, whole or not at all."""
    draft = path.with_suffix(".part")
    draft.write_bytes(msgspec.json.encode(topic))
    draft.rename(path)


@cache
def series() -> Floats:
    """(732,) °C, read-only: the monthly means from January 1950 on. Raises ConfigError without statsmodels.

    The file is read where statsmodels keeps it: to import statsmodels takes seconds, in each neuron.
    """
    found = importlib.util.find_spec("statsmodels")
    if found is None or not found.submodule_search_locations:
        raise ConfigError(
            "the forecast example's series comes with statsmodels, which is not installed",
            remedy="Install the extra `examples`: in a clone, pip install -e '.[examples]'.",
        )
    path = Path(found.submodule_search_locations[0], "datasets", "elnino", "elnino.csv")
    try:
        with path.open() as file:
            months = np.loadtxt(file, delimiter=",", skiprows=1)[:, 1:].ravel()
    except (OSError, ValueError, IndexError) as error:
        raise ConfigError(
            f"{path} is not the series that it was: {error}",
            remedy="Install the version of statsmodels that constraints.txt names.",
        ) from None
    months.flags.writeable = False
    return months


def month_of(index: int) -> str:
    """The month at ``index`` of the series: ``1950-01`` is 0."""
    year, month = divmod(index, SEASON)
    return f"{FIRST_YEAR + year}-{month + 1:02d}"
