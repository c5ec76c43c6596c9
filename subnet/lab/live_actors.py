"""Who takes part when the user's own Validator and Miner are played: actors that answer typed messages.

A :class:`LiveActor` is an :class:`subnet.lab.Actor` whose miners get each request as a :class:`Question` and answer it
in :meth:`LiveActor.reply`; the base class lets the user's own Miner answer. Attacks know nothing of what the messages
mean: they withhold, delay, repeat, copy, shuffle and spoil. A trick that needs to know more is a subclass with a
``reply`` of its own, or simply another Miner (:class:`OwnMiner`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
import numpy as np

from subnet import codec
from subnet.lab import actors_miners, actors_validators
from subnet.lab.actors import Actor, kebab
from subnet.lab.tasks import Floats
from subnet.miners import Miner
from subnet.synapse import Message, Synapse, tensor_fields
from subnet.types import Hotkey, Uid

MEMORY = 64
"""Replies that an actor remembers, to guess from."""
GUESSED = 4096
"""Values of one tensor that are kept of them."""


@dataclass(eq=False)
class Question:
    """One request as a simulated miner gets it.

    ``seat`` is its place among the actor's own miners, ``uid`` its uid, ``validator`` who asks. ``honest()`` is what
    the user's own Miner would answer, ``honest(0)`` what the actor's first one would (it raises what an axon would send
    instead of a reply); ``peer(uid)`` waits for what another miner hands in to the same validator, None if it gives
    nothing. ``incentive`` (M,) is the last epoch's, by miner; ``first_uid`` the first miner's uid. Delays are
    ``asyncio.sleep``, on the virtual clock.
    """

    request: Synapse[Any]
    epoch: int
    seat: int
    uid: Uid
    validator: Hotkey
    dice: np.random.Generator
    incentive: Floats
    first_uid: int
    honest: Callable[..., Awaitable[Message]]
    peer: Callable[[Uid], Awaitable[Message | None]]


@dataclass
class LiveActor(Actor):
    """A group of neurons that does honest work: its miners answer with the user's own Miner, its validators judge."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.skill is not None:
            raise ValueError("there is no skill here: a miner is as good as the Miner that it runs")
        self.begin()

    def begin(self) -> None:
        """Make what it remembers; called before each run."""
        self._replies: deque[Message] = deque(maxlen=MEMORY)

    async def reply(self, asked: Question) -> Message | bytes:
        """Answer a request: a message, or bytes that go out as they are. To raise ConnectionError is to be away."""
        return await asked.honest()

    def honestly(self) -> Actor:
        return LiveActor(self.miners, self.validators, self.stake)

    def remember(self, reply: Message) -> None:
        """Keep an honest reply to guess from."""
        self._replies.append(reply)

    def guess(self, dice: np.random.Generator, like: Message, part: float = 1.0) -> Message:
        """A reply of the form of ``like`` with ``part`` of its values drawn from earlier replies.

        It is valid on the wire and says nothing of the question: what somebody knows who knows only the statistics.
        """
        tensors = tensor_fields(type(like))
        changed: dict[str, Any] = {}
        for name in type(like).__struct_fields__:
            value = getattr(like, name)
            earlier = [getattr(one, name) for one in self._replies if type(one) is type(like)]
            if name in tensors and value is not None:
                swapped = dice.random(value.shape) < part
                changed[name] = np.where(swapped, _drawn(dice, value, earlier), value).astype(value.dtype)
            elif earlier and dice.random() < part:
                changed[name] = earlier[dice.integers(len(earlier))]
        return msgspec.structs.replace(like, **changed)


def _drawn(dice: np.random.Generator, like: Any, earlier: list[Any]) -> Any:
    """An array like this one with values from ``earlier`` ones; zeros if there are none."""
    pool = [np.ravel(one) for one in earlier if one is not None and one.size]
    if not pool:
        return np.zeros_like(like)
    values = np.concatenate(pool)[-GUESSED:]
    return values[dice.integers(values.size, size=like.shape)]


@dataclass
class Lazy(LiveActor):
    """Answers without looking: with values drawn at random from earlier replies, with always the same one, or with its
    last honest reply, which it renews every ``every`` requests (``cached``)."""

    miners: int = 2
    how: Literal["random", "constant", "cached"] = "random"
    every: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.how not in ("random", "constant", "cached"):
            raise ValueError(f"how is {self.how!r}, expected random, constant or cached")
        if self.every < 1:
            raise ValueError("every must be at least 1 request")

    def begin(self) -> None:
        super().begin()
        self._last: dict[tuple[int, type], tuple[int, Message]] = {}

    async def reply(self, asked: Question) -> Message | bytes:
        if self.how == "random":
            honest = await asked.honest()
            answer = self.guess(asked.dice, honest)
            self.remember(honest)
            return answer
        key = (asked.seat, type(asked.request))
        used, last = self._last.get(key, (0, None))
        if last is None or (self.how == "cached" and used >= self.every):
            used, last = 0, await asked.honest()
        self._last[key] = used + 1, last
        return last


@dataclass
class Copier(LiveActor, actors_miners.Copier):
    """Hands in what a peer hands in to the same validator, ``lag`` seconds later: the best-paid one's reply, or
    anyone's (``whom="random"``)."""

    miners: int = 2
    lag: float = 0.2

    async def reply(self, asked: Question) -> Message | bytes:
        own = int(asked.uid) - asked.seat - asked.first_uid  # the actor's first miner
        peers = np.setdiff1d(np.arange(asked.incentive.size), own + np.arange(self.miners))
        source = peers[np.argmax(asked.incentive[peers])] if self.whom == "best" else asked.dice.choice(peers)
        copied = await asked.peer(Uid(asked.first_uid + int(source)))
        await asyncio.sleep(self.lag)
        if copied is None:
            raise ConnectionError("there was nothing to copy")
        return copied


@dataclass
class Sybil(LiveActor):
    """A swarm: one model behind many hotkeys. Each hands in what the first one's Miner answers to its request.

    It gains if many hotkeys are paid more than the one honest miner would be.
    """

    miners: int = 2

    async def reply(self, asked: Question) -> Message | bytes:
        return await asked.honest(0)

    def honestly(self) -> Actor:
        return OneOfMany(self.miners, self.validators, self.stake)


@dataclass
class OneOfMany(LiveActor):
    """An operator who is honest with one miner and leaves the other seats empty."""

    async def reply(self, asked: Question) -> Message | bytes:
        if asked.seat:
            raise ConnectionError("nobody sits here")
        return await asked.honest()


@dataclass
class Sandbagger(LiveActor):
    """Works only while it is paid less than ``content`` of the miners' median; else it guesses."""

    miners: int = 2
    content: float = 0.8

    async def reply(self, asked: Question) -> Message | bytes:
        enough = self.content * float(np.median(asked.incentive))
        honest = await asked.honest()
        own = asked.incentive[int(asked.uid) - asked.first_uid]
        answer = honest if not enough or own < enough else self.guess(asked.dice, honest)
        self.remember(honest)
        return answer


@dataclass
class ModelSwapper(LiveActor):
    """Serves the user's Miner for ``after`` epochs, and then a cheap model that gets ``part`` of the values wrong."""

    miners: int = 2
    after: int = 10
    part: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.after < 0 or not 0 <= self.part <= 1:
            raise ValueError("after is in epochs, part in 0..1")

    @property
    def begins(self) -> int:
        return self.after

    async def reply(self, asked: Question) -> Message | bytes:
        honest = await asked.honest()
        answer = honest if asked.epoch < self.after else self.guess(asked.dice, honest, self.part)
        self.remember(honest)
        return answer


@dataclass
class Intermittent(LiveActor, actors_miners.Intermittent):
    """Comes and goes: up for ``up`` epochs on average and then away for ``down``."""

    miners: int = 2
    up: float = 6.0
    down: float = 3.0

    def begin(self) -> None:
        super().begin()
        self._state: dict[int, tuple[int, bool]] = {}

    async def reply(self, asked: Question) -> Message | bytes:
        epoch, up = self._state.get(asked.seat, (-1, True))
        if epoch != asked.epoch:
            if epoch >= 0:
                up ^= bool(asked.dice.random() < (1 / self.up if up else 1 / self.down))
            self._state[asked.seat] = asked.epoch, up
        if not up:
            raise ConnectionError("away")
        return await asked.honest()


@dataclass
class Slow(LiveActor):
    """Answers honestly, ``seconds`` late; what comes after the timeout does not come."""

    miners: int = 2
    seconds: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.seconds < float("inf"):
            raise ValueError("seconds can't be negative")

    async def reply(self, asked: Question) -> Message | bytes:
        await asyncio.sleep(self.seconds)
        return await asked.honest()


@dataclass
class PoisonedReplies(LiveActor):
    """Sends what should break a validator that trusts it: NaN in every number, one item less, another number of
    dimensions, bytes that are no message; ``how="all"`` takes them in turn."""

    miners: int = 2
    how: Literal["all", "nan", "short", "reshaped", "garbage"] = "all"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.how not in ("all", "nan", "short", "reshaped", "garbage"):
            raise ValueError(f"how is {self.how!r}, expected all, nan, short, reshaped or garbage")

    def begin(self) -> None:
        super().begin()
        self._turn = 0

    async def reply(self, asked: Question) -> Message | bytes:
        self._turn += 1
        how = ("nan", "short", "reshaped", "garbage")[self._turn % 4] if self.how == "all" else self.how
        if how == "garbage":
            return asked.dice.bytes(256)
        honest = await asked.honest()
        fields = {name: getattr(honest, name) for name in type(honest).__struct_fields__}
        return codec.encode_data({name: _spoilt(value, how) for name, value in fields.items()})


def _spoilt(value: Any, how: str) -> Any:
    if not isinstance(value, np.ndarray):
        return float("nan") if how == "nan" and isinstance(value, float) else value
    if how == "short":
        return value[:-1] if value.ndim else value
    if how == "reshaped":
        return value[..., None]
    if value.dtype.kind in "fc":
        return np.full_like(value, np.nan)
    return np.full_like(value, np.iinfo(value.dtype).max) if value.dtype.kind in "iu" else value


@dataclass
class Cabal(LiveActor, actors_validators.Cabal):
    """Miners that guess, and validators who vote for them with a share ``part`` of their weight."""

    miners: int = 2
    validators: int = 1
    stake: float = 0.2

    async def reply(self, asked: Question) -> Message | bytes:
        honest = await asked.honest()
        answer = self.guess(asked.dice, honest)
        self.remember(honest)
        return answer


@dataclass
class OwnMiner(LiveActor):
    """An attack that is a Miner of the user's own, such as one that guesses; ``kind`` runs in its seats."""

    miners: int = 2
    kind: type[Miner] = Miner
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def recipe(self) -> Any:
        """Who sits in its seats."""
        from subnet.lab.live import Recipe

        return Recipe(self.kind, self.options)

    @property
    def name(self) -> str:
        return kebab(self.kind.__name__)

    def described(self) -> str:
        said = [f"miners={self.miners}"] * (self.miners != 2) + [f"{k}={v}" for k, v in self.options.items()]
        return f"{self.name}({', '.join(said)})" if said else self.name
