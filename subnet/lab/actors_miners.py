"""Miners that would be paid for work they don't do, one class a trick."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from subnet.lab.actors import Actor, Asked
from subnet.lab.tasks import Answers


@dataclass
class Lazy(Actor):
    """Answers without looking: at random, always the same, or with what it answered before (``cached``).

    A cached answer is given to a question that it has met (the scenario's ``pool`` is small); it works for the others
    every ``every`` epochs only and hands in its last answers in between.
    """

    miners: int = 4
    how: Literal["random", "constant", "cached"] = "random"
    every: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.how not in ("random", "constant", "cached"):
            raise ValueError(f"how is {self.how!r}, expected random, constant or cached")
        if self.every < 1:
            raise ValueError("every must be at least 1 epoch")

    def start(self, validators: int, miners: int, pool: int, rng: np.random.Generator) -> None:
        self._met = np.full((miners, pool), np.nan, dtype=np.float32)
        self._last = np.zeros((0, 0, 0), dtype=np.float32)

    def answer(self, asked: Asked) -> Answers:
        if self.how == "random":
            return asked.task.guess(asked.rng, asked.shape)
        if self.how == "constant":
            return np.zeros(asked.shape, dtype=np.float32)
        if asked.pool:
            return self._remembered(asked)
        if asked.epoch % self.every == 0 or self._last.shape != asked.shape:
            self._last = asked.attempt()
        return self._last

    def _remembered(self, asked: Asked) -> Answers:
        known = self._met[asked.seats][:, asked.ids].transpose(1, 0, 2)
        answers = np.where(np.isnan(known), asked.attempt(), known)
        for v in range(asked.ids.shape[0]):
            self._met[asked.seats[:, None], asked.ids[v][None, :]] = answers[v]
        return answers


@dataclass
class Copier(Actor):
    """Hands in a peer's answers, ``lag`` seconds after the peer: the best-paid one's, or anyone's
    (``whom="random"``)."""

    after_others: ClassVar[bool] = True
    miners: int = 4
    whom: Literal["best", "random"] = "best"
    lag: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.whom not in ("best", "random"):
            raise ValueError(f"whom is {self.whom!r}, expected best or random")
        if not 0 <= self.lag < float("inf"):
            raise ValueError("lag is in seconds, not negative")

    def answer(self, asked: Asked) -> Answers:
        peers = np.setdiff1d(np.arange(asked.answers.shape[1]), asked.seats)
        if self.whom == "best":
            source = peers[[np.argmax(asked.incentive[peers])] * asked.seats.size]
        else:
            source = asked.rng.choice(peers, asked.seats.size)
        self._source = source
        return asked.answers[:, source]

    def elapse(self, asked: Asked, usual: Answers) -> Answers:
        return np.asarray(asked.elapsed[0, self._source] + self.lag, dtype=np.float32)


@dataclass
class _OneOfMany(Actor):
    """An operator who is honest with one miner and leaves the other seats empty."""

    def answer(self, asked: Asked) -> Answers:
        answers = asked.attempt()
        answers[:, 1:] = np.nan
        return answers


@dataclass
class Sybil(Actor):
    """A swarm: one model behind many hotkeys, each handing in its answer, with ``jitter`` (standard deviation) added.

    It gains if many hotkeys are paid more than the one honest miner would be.
    """

    miners: int = 8
    jitter: float = 0.0

    def answer(self, asked: Asked) -> Answers:
        one = asked.attempt()[:, :1]
        answers = np.repeat(one, asked.seats.size, axis=1)
        if self.jitter:
            answers += asked.rng.standard_normal(answers.shape, dtype=np.float32) * np.float32(self.jitter)
        return answers

    def honestly(self) -> Actor:
        return _OneOfMany(self.miners, self.validators, self.stake)


@dataclass
class Sandbagger(Actor):
    """Works only while it is paid less than ``content`` of the miners' median; else it answers with ``idle`` skill."""

    miners: int = 4
    content: float = 0.8
    idle: float = 0.2

    def answer(self, asked: Asked) -> Answers:
        enough = self.content * float(np.median(asked.incentive))
        works = asked.incentive[asked.seats] < enough if enough else np.ones(asked.seats.size, dtype=np.bool_)
        return asked.attempt(np.where(works, asked.skill, np.minimum(self.idle, asked.skill)))


@dataclass
class Overfitter(Actor):
    """Knows the questions beforehand of a share ``leaked`` of the validators (their seed), and every question it has
    met (the scenario's ``pool`` is small); answers those perfectly and the others with little ``skill``."""

    miners: int = 4
    skill: float | None = 0.2
    leaked: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.leaked <= 1:
            raise ValueError(f"leaked is {self.leaked}, expected 0..1")

    def start(self, validators: int, miners: int, pool: int, rng: np.random.Generator) -> None:
        self._seeds = rng.random(validators) < self.leaked
        self._met = np.zeros(pool, dtype=np.bool_)

    def answer(self, asked: Asked) -> Answers:
        known = np.broadcast_to(self._seeds[:, None], asked.truth.shape)
        if asked.pool:
            known = known | self._met[asked.ids]
            self._met[asked.ids] = True
        return np.where(known[:, None, :], asked.truth[:, None, :], asked.attempt())


@dataclass
class ModelSwapper(Actor):
    """Serves a good model for ``after`` epochs, then a cheap one of skill ``cheap`` in a share ``part`` of its
    answers."""

    miners: int = 4
    after: int = 50
    cheap: float = 0.2
    part: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.after < 0 or not 0 <= self.part <= 1 or not 0 <= self.cheap <= 1:
            raise ValueError("after is in epochs, cheap and part are in 0..1")

    @property
    def begins(self) -> int:
        return self.after

    def answer(self, asked: Asked) -> Answers:
        good = asked.attempt()
        if asked.epoch < self.after:
            return good
        swapped = asked.rng.random(asked.shape, dtype=np.float32) < self.part
        return np.where(swapped, asked.attempt(np.minimum(self.cheap, asked.skill)), good)


@dataclass
class Intermittent(Actor):
    """Comes and goes: up for ``up`` epochs on average and then away for ``down``."""

    miners: int = 4
    up: float = 10.0
    down: float = 5.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.up >= 1 and self.down >= 1):
            raise ValueError("up and down are at least one epoch")

    def start(self, validators: int, miners: int, pool: int, rng: np.random.Generator) -> None:
        self._up = rng.random(miners) < self.up / (self.up + self.down)

    def answer(self, asked: Asked) -> Answers:
        changes = asked.rng.random(self._up.size) < np.where(self._up, 1 / self.up, 1 / self.down)
        self._up ^= changes
        answers = asked.attempt()
        answers[:, ~self._up[asked.seats]] = np.nan
        return answers


@dataclass
class Slow(Actor):
    """Answers honestly but takes ``factor`` times as long; what comes after the timeout does not come."""

    miners: int = 4
    factor: float = 3.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.factor < float("inf"):
            raise ValueError("factor is above 0")

    def elapse(self, asked: Asked, usual: Answers) -> Answers:
        return np.asarray(usual * self.factor, dtype=np.float32)
