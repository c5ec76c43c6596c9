"""What a demo leaves behind, as plain data: who took part, what was scored, what the chain paid.

Written by ``watch``; read by ``display``, ``checks`` and ``plot``, and printed as
it stands by ``subnet demo --json``. Seconds count from the demo's start; amounts are RAO of alpha.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

TOGETHER = 0.5  # seconds: rounds of two validators that end closer than this are one point of a curve


class Role(StrEnum):
    """What an actor is there to show."""

    OWNER = "owner"
    VALIDATOR = "validator"
    GOOD = "good"
    WEAK = "weak"
    RANDOM = "random"
    COPIER = "copier"
    REBORN = "reborn"
    FORECASTER = "forecaster"
    USELESS = "useless"


class Actor(msgspec.Struct, frozen=True):
    """One neuron of the cast. ``options`` are the ``-o name=value`` of its ``subnet run``."""

    name: str
    role: Role
    about: str
    key: str
    """Its hotkey as a development key: ``//GoodA``."""
    target: str = ""
    """``module:Class`` that it runs; the owner runs nothing."""
    options: dict[str, str] = {}
    copies: str = ""
    """The name of the miner whose answers it hands in as its own."""
    uid: int = -1
    hotkey: str = ""

    @property
    def is_miner(self) -> bool:
        return self.role not in (Role.OWNER, Role.VALIDATOR)


class Share(msgspec.Struct, frozen=True):
    """One uid in one epoch: what the chain gave it and why. Shares are 0 to 1."""

    uid: int
    emission: int
    incentive: float
    consensus: float
    dividends: float
    validator_trust: float
    permit: bool


class Epoch(msgspec.Struct, frozen=True):
    """One run of Yuma consensus: the subnet as it stood in the block that ran it."""

    number: int
    block: int
    seconds: float
    shares: list[Share]

    def emission_of(self, uid: int) -> int:
        """RAO paid to ``uid`` in this epoch."""
        return next((share.emission for share in self.shares if share.uid == uid), 0)


class Round(msgspec.Struct, frozen=True):
    """One scoring round of one validator: its scores (0 to 1) and, after it, its moving scores, by uid."""

    validator: str
    number: int
    seconds: float
    scores: dict[int, float]
    moving: dict[int, float]


class Event(msgspec.Struct, frozen=True):
    """Something that happened to an actor: ``what`` is "killed", "restarted", "serving" or "died"."""

    what: str
    actor: str
    seconds: float
    block: int


class Record(msgspec.Struct):
    """Everything the demo saw, in the order it saw it."""

    seed: int
    rounds_wanted: int
    url: str = ""
    netuid: int = 0
    block_time: float = 0.0
    tempo: int = 0
    actors: list[Actor] = []
    epochs: list[Epoch] = []
    rounds: list[Round] = []
    events: list[Event] = []
    weights: dict[str, dict[int, float]] = {}
    """By validator: its last weights on the chain, each as a share of their sum."""
    balances_before: dict[int, int] = {}
    """TotalHotkeyAlpha by uid when the watch began, and below when it ended."""
    balances_after: dict[int, int] = {}

    def actor(self, name: str) -> Actor:
        """The actor of this name; KeyError if nobody has it."""
        for actor in self.actors:
            if actor.name == name:
                return actor
        raise KeyError(name)

    def of_role(self, role: Role) -> list[Actor]:
        """The actors with this role, by uid."""
        return [actor for actor in self.actors if actor.role == role]

    @property
    def miners(self) -> list[Actor]:
        return [actor for actor in self.actors if actor.is_miner]

    @property
    def paid_epochs(self) -> list[Epoch]:
        """The epochs from the first that paid a miner on: before it nobody had been weighed."""
        uids = {actor.uid for actor in self.miners}
        for i, epoch in enumerate(self.epochs):
            if any(share.uid in uids and share.emission > 0 for share in epoch.shares):
                return self.epochs[i:]
        return []

    def emission(self, name: str) -> int:
        """RAO that the actor got in all epochs together."""
        uid = self.actor(name).uid
        return sum(epoch.emission_of(uid) for epoch in self.epochs)

    def gained(self, actor: Actor) -> int:
        """RAO by which the stake on the actor's hotkey grew: emission, and for the owner its cut of all."""
        return self.balances_after.get(actor.uid, 0) - self.balances_before.get(actor.uid, 0)

    def event(self, what: str, actor: str) -> Event | None:
        """The first such event of the actor."""
        return next((e for e in self.events if e.what == what and e.actor == actor), None)

    def moving_scores(self, uid: int) -> list[tuple[float, float]]:
        """(seconds, moving score) of one miner, averaged over the validators as they last saw it."""
        latest: dict[str, float] = {}
        line: list[tuple[float, float]] = []
        for one in self.rounds:
            if uid in one.moving:
                latest[one.validator] = one.moving[uid]
                if line and one.seconds - line[-1][0] < TOGETHER:
                    line.pop()
                line.append((one.seconds, sum(latest.values()) / len(latest)))
        return line

    def rounds_done(self) -> int:
        """Rounds that every validator has finished."""
        done = [
            max((r.number for r in self.rounds if r.validator == v.name), default=0)
            for v in self.of_role(Role.VALIDATOR)
        ]
        return min(done, default=0)

    def as_data(self) -> dict[str, Any]:
        """The record as JSON would hold it (keys are text)."""
        data: dict[str, Any] = msgspec.to_builtins(self, str_keys=True)
        return data
