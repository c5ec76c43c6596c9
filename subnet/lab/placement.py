"""A placement policy under churn: some hundred thousand nodes and a day in steps of a minute, in arrays.

:func:`place` plays one policy (:mod:`subnet.validators.placement`) against a world (:class:`PlacementScenario`):
nodes come and go (:mod:`subnet.lab.churn`), crash, straggle and cheat; units arrive, are placed, come back or are lost
and are issued again until enough equal results are there. The world draws from generators of its own, so that two
policies meet the same nodes, the same churn and the same units.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from subnet.errors import ConfigError
from subnet.lab.churn import Churn
from subnet.lab.units import COLLUDING, EMPTY, LOST, PLACES, RIGHT, UNDER_WAY, WRONG, Replicas, Rows, Units
from subnet.validators.placement import ChoicesPlacement, Nodes, Policy, RandomPlacement, View, missing

MAX_NODES: Final = 4_000_000
PASSES: Final = 4
"""Times that a step tries to place what found no node."""
FORGETS: Final = 0.1
"""Weight of a unit's end in its node's reliability."""
LEAST_DEADLINE: Final = 600.0
"""Seconds that a replica has beyond what was expected of it."""


@dataclass(frozen=True)
class PlacementScenario:
    """The world. Hours and seconds are virtual; the defaults are assumptions (docs/decisions/017-placement.md).

    ``load`` is the arriving work as a share of what the nodes that are there could do if each unit were done once; in
    the last ``drain_hours`` none arrives. ``unit_seconds`` is a unit's mean work on the reference machine.
    ``always_on`` (a share of the nodes) never leave; the others stay ``session_hours`` and are away ``away_hours`` on
    average, and come back more often around their ``peak_hour`` by ``daily`` (0: no curve, below 1). ``cheaters`` (a
    share of the nodes) hand in a wrong result, the same as each other, in ``cheat`` of their units; ``errors`` of all
    results are wrong by accident. ``crashes`` of replicas are never heard of again, ``stragglers`` take ``straggle``
    times as long. A node takes ``room`` units at a time and works on one; one that is gone is noticed ``grace``
    seconds later. A replica is given up at ``slack`` times the time that was expected. Raises ConfigError.
    """

    nodes: int = 350_000
    hours: float = 24.0
    drain_hours: float = 0.0
    step: int = 60
    load: float = 0.35
    unit_seconds: float = 900.0
    always_on: float = 0.15
    session_hours: float = 3.0
    session_shape: float = 0.6
    away_hours: float = 5.0
    daily: float = 0.9
    peak_hour: float = 19.0
    cheaters: float = 0.02
    cheat: float = 0.2
    errors: float = 0.001
    crashes: float = 0.005
    stragglers: float = 0.02
    straggle: float = 10.0
    room: int = 2
    grace: float = 300.0
    slack: float = 3.0

    def __post_init__(self) -> None:
        rules = {
            f"nodes is {self.nodes}, expected 1..{MAX_NODES:,}": 1 <= self.nodes <= MAX_NODES,
            f"hours is {self.hours}, expected above 0, at most 720": 0 < self.hours <= 720,
            f"drain_hours is {self.drain_hours}, expected 0..hours": 0 <= self.drain_hours <= self.hours,
            f"step is {self.step}, expected 10..3600 seconds, a divisor of a day": (
                10 <= self.step <= 3600 and 86_400 % self.step == 0
            ),
            f"load is {self.load}, expected above 0, at most 4": 0 < self.load <= 4,
            f"unit_seconds is {self.unit_seconds}, expected 10..86400": 10 <= self.unit_seconds <= 86_400,
            f"session_shape is {self.session_shape}, expected 0.2..5": 0.2 <= self.session_shape <= 5,
            f"daily is {self.daily}, expected 0 <= daily < 1": 0 <= self.daily < 1,
            f"room is {self.room}, expected 1..16": 1 <= self.room <= 16,
            "session_hours and away_hours are 0.01..10000": all(
                0.01 <= hours <= 10_000 for hours in (self.session_hours, self.away_hours)
            ),
            "straggle and slack are at least 1, grace not negative": (
                1 <= self.straggle <= 1000 and 1 <= self.slack <= 1000 and 0 <= self.grace <= 86_400
            ),
            f"peak_hour is {self.peak_hour}, expected 0..24": 0 <= self.peak_hour <= 24,
        }
        for name in ("always_on", "cheaters", "cheat", "errors", "crashes", "stragglers"):
            share = getattr(self, name)
            rules[f"{name} is {share}, expected 0..1"] = 0 <= share <= 1
        for wrong, holds in rules.items():
            if not holds:
                raise ConfigError(wrong)

    @property
    def steps(self) -> int:
        return max(1, math.ceil(self.hours * 3600 / self.step))

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def arrivals(self) -> float:
        """Units a step, on average."""
        there = self.always_on + (1 - self.always_on) * self.session_hours / (self.session_hours + self.away_hours)
        return self.load * self.nodes * there * self.step / self.unit_seconds


@dataclass(eq=False)
class Placed:
    """What a policy made of a day: counts of units and replicas, and a series for each.

    ``created`` = ``done`` + ``open``, and ``placed`` = ``returned`` + ``lost`` + ``under_way``; a replica is lost when
    its node leaves, crashes or is late. ``reissued`` counts replicas for units of which one was lost, or whose results
    did not agree. ``latency`` counts done units by the steps from arrival to verdict. ``busy`` and ``wasted`` (on
    replicas that were lost) are node-seconds, ``online`` those that nodes were there.
    """

    policy: str
    scenario: PlacementScenario
    seed: int
    created: int = 0
    done: int = 0
    wrong: int = 0
    open: int = 0
    placed: int = 0
    returned: int = 0
    lost: int = 0
    under_way: int = 0
    reissued: int = 0
    busy: float = 0.0
    wasted: float = 0.0
    online: float = 0.0
    latency: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    series: dict[str, npt.NDArray[np.int64]] = field(default_factory=dict)

    def wait(self, quantile: float) -> float:
        """Seconds from a unit's arrival to its verdict that ``quantile`` of the done units did not exceed."""
        if not self.done:
            return math.nan
        reached = np.cumsum(self.latency) >= quantile * self.done
        return float(np.argmax(reached)) * self.scenario.step

    @property
    def replication(self) -> float:
        """Replicas that came back for each unit that is done; 1 is the least."""
        return self.returned / self.done if self.done else math.nan

    @property
    def wrong_per_million(self) -> float:
        return 1e6 * self.wrong / self.done if self.done else math.nan

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        counts = ("created", "done", "open", "placed", "returned", "lost", "under_way", "reissued", "wrong")
        return {
            "policy": self.policy,
            **{name: getattr(self, name) for name in counts},
            "wrong_per_million": _rounded(self.wrong_per_million),
            "replicas_per_unit": _rounded(self.replication),
            "latency_s": {f"p{q:g}": _rounded(self.wait(q / 100)) for q in (50, 90, 99)},
            "utilisation": _rounded(self.busy / self.online if self.online else math.nan),
            "wasted": _rounded(self.wasted / self.busy if self.busy else math.nan),
            "online_nodes": {"least": int(self.series["online"].min()), "most": int(self.series["online"].max())},
        }


def place(
    scenario: PlacementScenario, policy: str, seed: int = 0, progress: Callable[[], object] | None = None
) -> Placed:
    """Play a policy, one of :data:`POLICIES`; the same scenario and seed give the same result.

    ``progress`` is called after each step. Raises ConfigError for a policy that is not there or a negative seed.
    """
    if policy not in POLICIES:
        raise ConfigError(f"there is no policy {policy!r}", remedy=f"Known: {', '.join(POLICIES)}.")
    if seed < 0:
        raise ConfigError(f"seed is {seed}, expected 0 or more")
    world = _World(scenario, policy, seed)
    for _ in range(scenario.steps):
        world.step()
        if progress is not None:
            progress()
    return world.finish()


class _World:
    """One run's state: nodes, units, replicas. ``step`` goes through arrivals, ends and placing."""

    def __init__(self, s: PlacementScenario, policy: str, seed: int) -> None:
        streams = np.random.SeedSequence(seed).spawn(5)
        made, churn, self.arrivals, self.fates, self.dice = (np.random.default_rng(stream) for stream in streams)
        self.s, self.now = s, 0
        self.keys = made.integers(0, 2**64, s.nodes, dtype=np.uint64)
        self.cheats = made.random(s.nodes) < s.cheaters
        self.policy: Policy = POLICIES[policy](self.keys)
        self.churn = Churn(s, churn)
        self.busy_until = np.zeros(s.nodes, dtype=np.float32)  # as it is; view.free_at is what the policy expects
        self.view = View(
            now=0.0,
            there=self.churn.online.copy(),
            room=np.full(s.nodes, s.room, dtype=np.int8),
            free_at=np.zeros(s.nodes, dtype=np.float32),
            came_at=self.churn.since.astype(np.float32) * np.float32(s.step),
            speed=np.exp(0.4 * made.standard_normal(s.nodes) - 0.08).astype(np.float32),  # a mean of 1
            reliability=np.full(s.nodes, 0.9, dtype=np.float32),
            streak=np.zeros(s.nodes, dtype=np.int32),
        )
        self.units, self.replicas = Units(1024), Replicas(s.nodes * s.room)
        self.gone: deque[npt.NDArray[np.int64]] = deque()
        self.out = Placed(self.policy.name, s, seed)
        names = ("online", "open", "placed", "done", "lost", "wrong")
        self.out.series = {name: np.zeros(s.steps, dtype=np.int64) for name in names}
        self.out.latency = np.zeros(s.steps + 1, dtype=np.int64)

    def step(self) -> None:
        self.view.now = float(self.now * self.s.step)
        before = (self.out.placed, self.out.done, self.out.lost, self.out.wrong)
        self._move()
        over = (self.s.steps - self.now) * self.s.step <= self.s.drain_hours * 3600
        count = 0 if over else int(self.arrivals.poisson(self.s.arrivals))
        work = self.s.unit_seconds * np.exp(0.5 * self.arrivals.standard_normal(count, dtype=np.float32) - 0.125)
        self.units.add(self.arrivals.integers(0, 2**64, count, dtype=np.uint64), work, self.now)
        self.out.created += count
        self._settle(self.replicas.take_due(self.now))
        self._place()
        self._note(before)
        self.now += 1

    def finish(self) -> Placed:
        self.out.open, self.out.under_way = self.units.open, self.replicas.under_way
        return self.out

    def _move(self) -> None:
        """Who comes is there at once, who goes is missed a little later."""
        came, went = self.churn.tick()
        self.view.there[came] = True
        self.busy_until[came] = self.view.free_at[came] = self.view.came_at[came] = self.view.now
        self.gone.append(went)
        if len(self.gone) > self.s.grace // self.s.step:
            missed = self.gone.popleft()
            self.view.there[missed] = self.churn.online[missed]

    def _settle(self, due: Rows) -> None:
        """Replicas whose end is seen now: results count, what was lost is issued again."""
        if not due.size:
            return
        view, units, out = self.view, self.units, self.out
        unit, node = self.replicas.unit[due], self.replicas.node[due]
        kind, spent = self.replicas.kind[due], self.replicas.spent[due]
        back = kind != LOST
        np.add.at(view.room, node, np.ones(node.size, dtype=np.int8))
        view.reliability[node] += np.float32(FORGETS) * (back - view.reliability[node])
        out.returned += int(back.sum())
        out.lost += int((~back).sum())
        out.busy += float(spent.sum(dtype=np.float64))
        out.wasted += float(spent[~back].sum(dtype=np.float64))
        place = self.replicas.place[due]
        units.result[unit, place] = kind
        units.nodes[unit[~back], place[~back]] = -1
        self._judge(units.distinct(unit))

    def _judge(self, rows: Rows) -> None:
        """Units of which something was heard: a verdict, or what it still lacks."""
        units = self.units
        results, quorum = units.result[rows], units.quorum[rows]
        right, colluding = _count(results, RIGHT), _count(results, COLLUDING)
        accidental = np.where(quorum == 1, _count(results, WRONG), 0)  # alone it counts, against another it never does
        good = right >= quorum
        decided = good | (colluding >= quorum) | (accidental >= quorum)
        self._accept(rows[decided], good[decided])
        rows, results, quorum = rows[~decided], results[~decided], quorum[~decided]
        if not rows.size:
            return
        under_way = _count(results, UNDER_WAY)
        need = missing(quorum, np.maximum(right, colluding)[~decided], under_way)
        empty = _count(results, EMPTY)
        anew = (empty == PLACES) | ((empty == 0) & (under_way == 0))
        stuck = rows[anew]  # nothing is left of it, or as many results as are kept don't agree: it begins anew
        units.result[stuck], units.nodes[stuck] = EMPTY, -1
        units.quorum[stuck] = 0
        need[anew] = 1
        need[(empty == 0) & ~anew] = 0  # until one of those under way is heard of
        self.out.reissued += int(np.maximum(need - units.need[rows], 0).sum())
        units.need[rows] = need

    def _accept(self, rows: Rows, good: npt.NDArray[np.bool_]) -> None:
        units, out = self.units, self.out
        out.done += rows.size
        out.wrong += int((~good).sum())
        out.latency += np.bincount(self.now - units.born[rows], minlength=out.latency.size)
        replicated = units.quorum[rows] > 1
        canonical = np.where(good, RIGHT, COLLUDING)[replicated]
        results, nodes = units.result[rows[replicated]], units.nodes[rows[replicated]]
        agrees = results == canonical[:, None]
        agreeing = nodes[agrees].astype(np.intp)
        np.add.at(self.view.streak, agreeing, np.ones(agreeing.size, dtype=np.int32))
        self.view.streak[nodes[(results >= RIGHT) & ~agrees]] = 0
        units.close(rows)

    def _place(self) -> None:
        view, units = self.view, self.units
        self.policy.begin(view)
        rows = units.pending(self.s.room * int(np.count_nonzero(view.there)))
        for _ in range(PASSES):
            if not rows.size:
                return
            nodes = self.policy.place(self.dice, units.key[rows], units.work[rows], units.nodes[rows], view)
            found = nodes >= 0
            self._begin(rows[found], nodes[found])
            rows = rows[units.need[rows] > 0]

    def _begin(self, rows: Rows, nodes: Nodes) -> None:
        """Put replicas on their nodes, and decide what becomes of each."""
        units = self.units
        first = units.quorum[rows] == 0
        units.quorum[rows[first]] = self.policy.quorums(self.dice, nodes[first], self.view)
        units.need[rows] = np.where(first, units.quorum[rows], units.need[rows]) - 1
        place = units.begin(rows, nodes)
        ids = self.replicas.add(rows.size)
        self.replicas.unit[ids], self.replicas.place[ids], self.replicas.node[ids] = rows, place, nodes
        self.replicas.due[ids], self.replicas.kind[ids], self.replicas.spent[ids] = self._fate(units.work[rows], nodes)
        self.view.room[nodes] -= 1
        self.out.placed += rows.size

    def _fate(self, work: npt.NDArray[np.float32], nodes: Nodes) -> tuple[Any, Any, Any]:
        """For each replica: the step in which its end is seen, its result, and the seconds that its node spends."""
        s, view, now = self.s, self.view, np.float32(self.view.now)
        luck = self.fates.random((4, nodes.size), dtype=np.float32)
        expected = work / view.speed[nodes]
        view.free_at[nodes] = hoped = np.maximum(view.free_at[nodes], now) + expected
        deadline = now + s.slack * (hoped - now) + LEAST_DEADLINE
        start = np.maximum(self.busy_until[nodes], now)
        finish = start + np.where(luck[0] < s.stragglers, s.straggle, 1.0) * expected
        self.busy_until[nodes] = np.minimum(finish, np.maximum(start, deadline))  # a node gives up what is too late
        leaves = np.where(self.churn.online[nodes], self.churn.until[nodes].astype(np.float32) * s.step, now)
        back = (luck[1] >= s.crashes) & (finish <= leaves) & (finish <= deadline)
        seen = np.where(back, finish, np.minimum(np.where(finish > leaves, leaves + s.grace, np.inf), deadline))
        due = np.maximum(np.ceil(seen / s.step), self.now + 1).astype(np.int32)
        result = np.where(luck[2] < s.errors, WRONG, RIGHT)
        result = np.where(self.cheats[nodes] & (luck[3] < s.cheat), COLLUDING, result)
        return (
            due,
            np.where(back, result, LOST),
            np.maximum(np.minimum(np.minimum(finish, deadline), leaves) - start, 0),
        )

    def _note(self, before: tuple[int, int, int, int]) -> None:
        series, out = self.out.series, self.out
        there = int(np.count_nonzero(self.churn.online))
        series["online"][self.now] = there
        series["open"][self.now] = self.units.open
        for name, was in zip(("placed", "done", "lost", "wrong"), before, strict=True):
            series[name][self.now] = getattr(out, name) - was
        out.online += there * self.s.step


def _count(results: npt.NDArray[np.int8], kind: int) -> npt.NDArray[np.int8]:
    """How many of a unit's places hold ``kind``: (n, PLACES) to (n,)."""
    total = np.zeros(results.shape[0], dtype=np.int8)
    for column in range(PLACES):
        total += results[:, column] == kind
    return total


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else float(f"{value:.6g}")


POLICIES: Final[dict[str, Callable[[npt.NDArray[np.uint64]], Policy]]] = {
    "random": lambda keys: RandomPlacement(quorum=2),
    "choices": lambda keys: ChoicesPlacement(keys, adaptive=False),
    "adaptive": ChoicesPlacement,
}
"""What can be played: random nodes, the best of a few by hashing, and that with adaptive replication."""
