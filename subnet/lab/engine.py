"""One run: epoch after epoch of questions, answers, scores, weights and pay, all in arrays on a virtual clock.

:func:`run` is a pure function of a scenario and a seed. Honest neurons, the world and each attack draw from
generators of their own, so that two runs which differ in one attack share everything else: their difference is the
attack's.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np

from subnet.lab import rules
from subnet.lab.actors import Asked, Uids
from subnet.lab.record import Run
from subnet.lab.scenario import Scenario
from subnet.lab.settlement import Paid, Settlement
from subnet.lab.tasks import Answers, Floats
from subnet.lab.voting import Group, asked_of, stakes, vote

USUAL_LATENCY = 0.3
"""Of the timeout: how long an honest answer takes, on average."""


class World:
    """The state of one run; :func:`run` drives it."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        scenario.check_together()
        self.scenario = s = scenario
        self.rule = rules.fresh(s.rule)
        # one stream for the world, one for skills, one for the honest, and one for each attack
        streams = np.random.SeedSequence(seed).spawn(3 + len(s.attacks))
        # SFC64: answers are mostly normal draws, and it makes them three times as fast as the default
        self.rng, self.skills, *own = (np.random.Generator(np.random.SFC64(stream)) for stream in streams)
        self.groups = _groups(s, own)
        self.owner = np.zeros(s.miners, dtype=np.int64)  # whose seat it is, by index in groups
        self.base = _abilities(s, self.groups, self.skills)
        self.offset = s.honest.drift * self.skills.standard_normal(s.miners)
        self.registered = np.full(s.miners, -s.immunity, dtype=np.int64)
        self.pool = s.task.draw(self.rng, (s.pool,)) if s.pool else None
        self.moving = np.zeros((s.validators, s.miners))
        late = max(group.actor.looks_back for group in self.groups)
        self.chain = Settlement(stakes(s), s.miners, s.params, s.variant, reveal=s.reveal, history=late)
        for index, group in enumerate(self.groups):
            self.owner[group.seats] = index
            group.actor.start(s.validators, s.miners, s.pool, group.rng)

    def epoch(self, t: int) -> Paid:
        """Play epoch ``t``; what it paid."""
        self._age(t)
        self._register(t)
        seen = self._ask(t)
        self._score(seen)
        self._vote(t)
        paid = self.chain.settle()
        if self.scenario.growth:
            grown = self.chain.stake + self.scenario.growth * paid.validator[: self.scenario.validators]
            self.chain.stake = grown / grown.sum()
        return paid

    def _age(self, t: int) -> None:
        """Skills drift: each miner's own autoregression around its ability."""
        h = self.scenario.honest
        if h.drift and t:
            noise = self.skills.standard_normal(self.offset.size)
            self.offset = h.memory * self.offset + np.sqrt(1 - h.memory**2) * h.drift * noise
        self.skill = np.clip(self.base + self.offset, 0.0, 1.0)

    def _register(self, t: int) -> None:
        """New honest miners take the seats of those that earned least and are past their immunity."""
        s = self.scenario
        if not s.registrations:
            return
        count = int(self.skills.poisson(s.registrations))
        abilities = _able(s, self.skills, count)
        open_seats = np.flatnonzero(t - self.registered >= s.immunity)
        earned = self.chain.incentive[s.validators + open_seats]
        taken = open_seats[np.lexsort((self.registered[open_seats], earned))[:count]]
        self.base[taken] = abilities[: taken.size]
        self.registered[taken] = t
        self.moving[:, taken] = 0.0
        self.chain.register(s.validators + taken)
        self.owner[taken] = 0
        for index, group in enumerate(self.groups):
            group.seats = np.flatnonzero(self.owner == index)

    def _ask(self, t: int) -> rules.Round:
        s = self.scenario
        truth, ids = self._questions(t)
        answers = np.full((s.validators, s.miners, s.questions), np.nan, dtype=np.float32)
        elapsed = np.full((s.validators, s.miners), np.inf, dtype=np.float32)
        for group in sorted(self.groups, key=lambda g: g.actor.after_others):
            if group.seats.size:
                self._answer(group, t, truth, ids, answers, elapsed)
        late = ~(elapsed <= s.timeout)
        if late.any():
            elapsed[late] = np.inf
            answers[late] = np.nan
        return rules.Round(t, answers, truth, elapsed, s.timeout, t - self.registered, s.task)

    def _questions(self, t: int) -> tuple[Answers, Uids]:
        s = self.scenario
        shape = (s.validators, s.questions)
        if self.pool is None:
            return s.task.draw(self.rng, shape), t * shape[0] * shape[1] + np.arange(shape[0] * shape[1]).reshape(shape)
        ids = self.rng.integers(s.pool, size=shape)
        return self.pool[ids], ids

    def _answer(self, group: Group, t: int, truth: Answers, ids: Uids, answers: Answers, elapsed: Answers) -> None:
        s, seats = self.scenario, group.seats
        asked = Asked(
            epoch=t,
            rng=group.rng,
            task=s.task,
            truth=truth,
            ids=ids,
            pool=s.pool,
            seats=seats,
            skill=self.skill[seats],
            answers=answers,
            elapsed=elapsed,
            incentive=self.chain.incentive[s.validators :],
            stake=self.chain.stake,
            timeout=s.timeout,
        )
        usual = s.timeout * USUAL_LATENCY * np.exp(0.2 * group.rng.standard_normal(seats.size, dtype=np.float32))
        given = asked_of(group.actor, "answer", t, asked.shape, asked)
        took = asked_of(group.actor, "elapse", t, seats.shape, asked, usual)
        where = _slice(seats)
        answers[:, where] = given
        elapsed[:, where] = took
        if np.isnan(given.min()):  # a minimum passes NaN on, and costs little
            elapsed[:, seats] = np.where(np.isnan(given).all(axis=2), np.inf, elapsed[:, seats])

    def _score(self, seen: rules.Round) -> None:
        scores = rules.scored(self.rule, seen)
        move = getattr(self.rule, "move", None)
        if move is not None:
            self.moving = rules.checked(self.rule, "move", move(self.moving, scores), scores.shape)
        else:
            self.moving *= 1 - self.scenario.alpha
            self.moving += self.scenario.alpha * scores

    def _vote(self, t: int) -> None:
        weigh = getattr(self.rule, "weigh", None)
        own = self.moving if weigh is None else rules.checked(self.rule, "weigh", weigh(self.moving), self.moving.shape)
        vote(self.chain, self.groups, t, own)


def _slice(seats: Uids) -> Uids | slice:
    """Seats side by side as a slice, which is written to several times faster."""
    first, last = int(seats[0]), int(seats[-1])
    return slice(first, last + 1) if last - first + 1 == seats.size else seats


def run(scenario: Scenario, seed: int, progress: Callable[[], object] | None = None) -> Run:
    """Play a scenario; the same scenario and seed give the same run, bit for bit on one machine.

    ``progress`` is called after each epoch. Raises DeclarationError where the rule or an actor fails.
    """
    world = World(scenario, seed)
    record = Run.empty(scenario, groups=len(world.groups))
    for t in range(scenario.epochs):
        paid = world.epoch(t)
        record.note(t, paid, world.owner, world.chain.stake)
        if progress is not None:
            progress()
    return record


def _groups(s: Scenario, streams: list[np.random.Generator]) -> list[Group]:
    """The honest first, and then the attacks in order on the seats that are left."""
    honest, *others = streams
    m, v = s.honest_miners, s.honest_validators
    groups = [Group(copy.copy(s.honest), honest, np.arange(m), np.arange(v))]
    for actor, rng in zip(s.attacks, others, strict=True):
        groups.append(Group(copy.deepcopy(actor), rng, m + np.arange(actor.miners), v + np.arange(actor.validators)))
        m, v = m + actor.miners, v + actor.validators
    return groups


def _able(s: Scenario, rng: np.random.Generator, count: int) -> Floats:
    return (s.honest.skill or 0.0) + s.honest.spread * rng.standard_normal(count)


def _abilities(s: Scenario, groups: list[Group], rng: np.random.Generator) -> Floats:
    able = _able(s, rng, s.miners)
    for group in groups[1:]:
        if group.actor.skill is not None:
            able[group.seats] += group.actor.skill - (s.honest.skill or 0.0)
    return able
