"""Miners of the forecast subnet: five models, two forecasters of losses, and two copiers that show what a seal is for.

All answer ``Commit`` with a salted hash, ``Reveal`` with what was hashed (not before the window has closed by their own
clock, whoever asks), and hold the validators' ``Report``\\s so that these find each other's. Options of all:
``topic`` (the file with the clock), ``tap`` (a folder: let everybody hear what leaves this miner).

    subnet run subnet.examples.forecast.miner:ArimaMiner -o topic=topic.json
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

import numpy as np

from subnet.auth import Caller
from subnet.errors import NotPermitted
from subnet.examples.forecast import models
from subnet.examples.forecast.protocol import (
    MOST_NUMBERS,
    MOST_REPORTS,
    SALT,
    Board,
    Commit,
    Losses,
    Opened,
    Report,
    Reveal,
    Sealed,
    seal,
)
from subnet.examples.forecast.tap import Tap
from subnet.examples.forecast.topic import KNOWN, TopicFile, series
from subnet.miners import Miner
from subnet.types import Hotkey

REMEMBERED: Final = 1024
"""Commits that a miner remembers: 64 validators, 16 steps."""
HELD: Final = 4
"""Steps back whose reports a miner holds."""
PATIENCE: Final = 0.8
"""Which part of a window a copier waits for what it wants to hear."""
_POLL: Final = 0.05  # seconds


@dataclass(frozen=True)
class _Committed:
    digest: bytes
    opened: Opened | None


class SealingMiner(Miner):
    """What all of them share: commits, reveals, reports. A subclass says what it commits to."""

    def load(self) -> None:
        self.topic = TopicFile(self.option("topic", ""))
        folder = self.option("tap", "")
        self.tap = Tap(folder) if folder else None
        self._committed: OrderedDict[tuple[Hotkey, int], _Committed] = OrderedDict()
        self._boards: OrderedDict[int, dict[Hotkey, Losses]] = OrderedDict()
        self._lock = threading.Lock()

    def commit(self, request: Commit, caller: Caller) -> Sealed:
        """The hash of our forecast; the same again for a caller who asks again."""
        self.check_open(request.step)
        key = (caller.hotkey, request.step)
        with self._lock:  # two validators' questions are one computation after the other
            if key not in self._committed:
                answer = self._answer(request)
                opened = Opened(salt=secrets.token_bytes(SALT), value=answer.value, losses=answer.losses)
                self.remember(key, seal(self.hotkey, request.step, opened), opened)
            digest = self._committed[key].digest
        if self.tap is not None:
            self.tap.let_out(request.step, digest)
        return Sealed(digest=digest)

    def _answer(self, request: Commit) -> Opened:
        """What to commit to; its salt does not count."""
        raise NotPermitted("this miner has no forecast of its own")

    def reveal(self, request: Reveal, caller: Caller) -> Opened:
        """What the caller's hash was of, once the window has closed by our own clock."""
        if time.time() < self.topic().closes(request.step):
            raise NotPermitted("the window is still open", remedy="Ask when it has closed by the topic's clock.")
        with self._lock:
            committed = self._committed.get((caller.hotkey, request.step))
        if committed is None or committed.opened is None:
            raise NotPermitted(f"nothing was committed to you in step {request.step}", remedy="Ask by Commit first.")
        if self.tap is not None:
            self.tap.let_out(request.step, committed.digest, committed.opened)
        return committed.opened

    def report(self, request: Report, caller: Caller) -> Board:
        """Hold the caller's losses, the first that it sends for a step, and say what others sent."""
        now = self.topic().step_at(time.time())
        if not now - HELD <= request.step <= now or request.mine.losses.size > MOST_NUMBERS:
            raise NotPermitted(f"step {request.step} is none of the last {HELD}", remedy="Report when the truth comes.")
        with self._lock:
            board = self._boards.setdefault(request.step, {})
            if len(board) < MOST_REPORTS:
                board.setdefault(caller.hotkey, request.mine)
            while len(self._boards) > HELD + 1:
                del self._boards[min(self._boards)]
            return Board(reports={hotkey: losses for hotkey, losses in board.items() if hotkey != caller.hotkey})

    def check_open(self, step: int) -> None:
        """Raise NotPermitted unless commits for ``step`` are taken now."""
        topic, now = self.topic(), time.time()
        if topic.step_at(now) != step or now >= topic.closes(step):
            raise NotPermitted(f"step {step} takes no commits now", remedy="Ask while its window is open.")

    def remember(self, key: tuple[Hotkey, int], digest: bytes, opened: Opened | None) -> None:
        """Keep what was committed to; the oldest goes where there are too many."""
        self._committed[key] = _Committed(digest, opened)
        while len(self._committed) > REMEMBERED:
            self._committed.popitem(last=False)


class NaiveMiner(SealingMiner):
    """Says that next month is as this one. The other models are better; somebody has to be the yardstick."""

    def load(self) -> None:
        super().load()
        self.model = self.make()
        self.model.forecast(series()[:KNOWN])  # imports and the first fit, before anybody waits

    def make(self) -> models.Model:
        """The model that answers."""
        return models.Naive()

    def _answer(self, request: Commit) -> Opened:
        return Opened(salt=b"", value=self.model.forecast(request.history))


class SeasonalMiner(NaiveMiner):
    """Says that next month is as it was a year ago."""

    def make(self) -> models.Model:
        return models.SeasonalNaive()


class SmoothingMiner(NaiveMiner):
    """Exponential smoothing with a season."""

    def make(self) -> models.Model:
        return models.Smoothing()


class ArimaMiner(NaiveMiner):
    """ARMA errors around a yearly wave."""

    def make(self) -> models.Model:
        return models.Arima()


class BoostingMiner(NaiveMiner):
    """Gradient boosting. Option: ``seed``."""

    def make(self) -> models.Model:
        return models.Boosting(self.option("seed", 0))


class TorchMiner(NaiveMiner):
    """A small torch network; needs the extra ``torch``. Option: ``seed``."""

    def make(self) -> models.Model:
        return models.Network(self.option("seed", 0))


class LossForecaster(SealingMiner):
    """Forecasts no temperature but what each inferer will lose, from what they lost before."""

    def load(self) -> None:
        super().load()
        self.model = models.Expectations()

    def _answer(self, request: Commit) -> Opened:
        expected = self.model.forecast(request.losses, request.history)
        known = {name: float(x) for name, x in zip(request.workers, expected, strict=True) if np.isfinite(x)}
        return Opened(salt=b"", losses=known)


class UselessForecaster(SealingMiner):
    """Forecasts losses by chance. Option: ``seed``."""

    def load(self) -> None:
        super().load()
        self.random = np.random.default_rng(self.option("seed", 0))

    def _answer(self, request: Commit) -> Opened:
        return Opened(salt=b"", losses={name: float(self.random.normal(-1.0, 0.5)) for name in request.workers})


class StaleCopier(SealingMiner):
    """Has no model. Hears what another miner reveals, and commits to it in the next step: the best a copier can do
    where forecasts are sealed. Option: ``of`` (the other's tap).
    """

    def load(self) -> None:
        super().load()
        self.other = Tap(self.option("of", "tap"))

    def _answer(self, request: Commit) -> Opened:
        known = [one for one in self.other.heard(request.step - 1).values() if one is not None]
        return Opened(salt=b"", value=known[0].value if known else float(request.history[-1]))


class HashCopier(SealingMiner):
    """Has no model. Hands in another's hash as its own, and opens it with what that one reveals. Option: ``of``."""

    def load(self) -> None:
        super().load()
        self.other = Tap(self.option("of", "tap"))

    def commit(self, request: Commit, caller: Caller) -> Sealed:
        """The other's hash, as soon as it is heard; none where too little is left of the window."""
        self.check_open(request.step)
        topic = self.topic()
        until = topic.opens(request.step) + PATIENCE * topic.window * topic.seconds
        while not (heard := self.other.heard(request.step)):
            if time.time() > until:
                return Sealed(digest=b"")
            time.sleep(_POLL)
        digest = next(iter(heard))
        self.remember((caller.hotkey, request.step), digest, None)
        return Sealed(digest=digest)

    def reveal(self, request: Reveal, caller: Caller) -> Opened:
        """What the other opened that hash to, as soon as it has."""
        topic, committed = self.topic(), self._committed.get((caller.hotkey, request.step))
        until = topic.closes(request.step) + PATIENCE * topic.reveal * topic.seconds
        while committed is not None and time.time() < until:
            opened = self.other.heard(request.step).get(committed.digest)
            if opened is not None:
                return opened
            time.sleep(_POLL)
        raise NotPermitted("nothing was heard", remedy="Ask the miner that was copied.")
