"""Placement: which node works on which unit, where nodes come and go. Pure functions on arrays.

Work is cut in independent units, each named by the hash of its content (:func:`key_of`), so that the same unit goes to
the same few nodes whoever asks, and a unit that was lost is issued again::

    units ─► Ring.candidates: d nodes by consistent hashing ─► least_loaded: the likeliest to answer soonest
      ─► quorums: how many equal results a unit needs, by the node's record ─► missing: what to issue again

A subnet has at most some thousand nodes: :func:`rendezvous` is all that a Validator's round needs::

    who = rendezvous(keys_of(units), keys_of(peer.hotkey for peer in peers), replicas=2)  # (U, 2) indices in peers

:class:`RandomPlacement` and :class:`ChoicesPlacement` put the pieces together for many more;
``subnet simulate-placement`` compares them under churn.

Sources: Thaler and Ravishankar, "Using name-based mappings to increase hit rates", IEEE/ACM ToN 1998 (rendezvous);
Karger et al., "Consistent hashing and random trees", STOC 1997; Mitzenmacher, "The power of two choices in randomized
load balancing", IEEE TPDS 2001; adaptive replication as in BOINC (sched/sched_send.cpp, validator.cpp at c5c6cb79).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.uint64]
Nodes = npt.NDArray[np.int64]
Had = npt.NDArray[np.int32] | npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

NOBODY: Final = -1
"""Stands for a node where there is none."""
TRUSTED_AFTER: Final = 10
"""Valid results in a row before a node's work may go unreplicated (BOINC's CONS_VALID_UNREPLICATED)."""
YOUNG: Final = 600.0
"""Seconds that a node counts as having been there when it has just come."""
_STEPS: Final = 8
MAX_PAIRS: Final = 2**26
"""Units x nodes of one :func:`rendezvous`, at most: it takes 24 bytes for each."""


def key_of(content: bytes | str) -> int:
    """The 64-bit name of a unit's content, or of a node's hotkey: BLAKE2b, 8 bytes, little-endian."""
    data = content.encode() if isinstance(content, str) else content
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "little")


def keys_of(contents: Iterable[bytes | str]) -> Keys:
    """:func:`key_of` of each, (n,) uint64."""
    return np.fromiter((key_of(one) for one in contents), dtype=np.uint64)


def mixed(keys: Keys, salt: int | Keys = 0) -> Keys:
    """Another 64 bits for each key, as good as independent for each ``salt``: the finaliser of SplitMix64.

    Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
    """
    step = np.uint64(0x9E3779B97F4A7C15)
    with np.errstate(over="ignore"):  # arithmetic modulo 2**64 is meant
        z = np.asarray(keys, dtype=np.uint64) + step * (np.asarray(salt, dtype=np.uint64) + np.uint64(1))
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(z ^ (z >> np.uint64(31)))


def rendezvous(units: Keys, nodes: Keys, replicas: int) -> npt.NDArray[np.int64]:
    """Indices into ``nodes``, (U, r), for ``units`` (U,): the r nodes whose hash with the unit is highest, best first.

    r is ``replicas``, or the number of nodes if that is smaller. A node that goes takes its own units along and moves
    no other; one that comes takes its share evenly from all. Raises ValueError for more than :data:`MAX_PAIRS` pairs.
    """
    if replicas < 1:
        raise ValueError(f"replicas is {replicas}, expected at least 1")
    if units.size * nodes.size > MAX_PAIRS:
        raise ValueError(
            f"{units.size} units x {nodes.size} nodes are too many at once; place fewer units, or use Ring"
        )
    weights = mixed(mixed(nodes)[None, :] ^ np.asarray(units, dtype=np.uint64)[:, None])
    highest_first = np.argsort(~weights, axis=1, kind="stable")
    return highest_first[:, :replicas].astype(np.int64)


class Ring:
    """Consistent hashing over many nodes that come and go: ``keys`` (N,) are theirs, :meth:`join` says who is there."""

    def __init__(self, keys: Keys) -> None:
        self._order = np.argsort(keys, kind="stable")
        self._keys = np.asarray(keys, dtype=np.uint64)[self._order]
        self._shift = np.uint64(64 - max(1, int(keys.size).bit_length() - 1))  # about two nodes a bucket
        self._buckets = (self._keys >> self._shift).astype(np.int64)
        self.join(np.ones(keys.size, dtype=np.bool_))

    def join(self, there: npt.NDArray[np.bool_]) -> None:
        """From here on the ring is of the nodes that ``there`` (N,) marks."""
        on = np.flatnonzero(there[self._order])
        self._there, self._nodes = self._keys[on], self._order[on]
        counts = np.bincount(self._buckets[on], minlength=1 << int(64 - self._shift))
        self._starts = np.cumsum(counts) - counts  # the first place of each bucket

    def candidates(self, units: Keys, choices: int) -> Nodes:
        """(U, d) nodes: those that follow d hashes of each unit on the ring; NOBODY where the ring is empty.

        A node may stand twice in a row.
        """
        if not self._nodes.size:
            return np.full((units.size, choices), NOBODY, dtype=np.int64)
        places = self._following(mixed(units[:, None], np.arange(choices, dtype=np.uint64)).ravel())
        places[places == self._nodes.size] = 0  # past the last comes the first
        return self._nodes.take(places).reshape(units.size, choices)

    def _following(self, keys: Keys) -> npt.NDArray[np.int64]:
        """As ``searchsorted``, several times faster: from the start of a key's bucket it is a few steps."""
        places = self._starts.take((keys >> self._shift).astype(np.int64))
        last = self._nodes.size - 1
        short = np.arange(keys.size)
        for _ in range(_STEPS):
            at = places.take(short)
            short = short[(at <= last) & (self._there.take(at, mode="clip") < keys.take(short))]
            if not short.size:
                return places
            places[short] += 1
        places[short] = np.searchsorted(self._there, keys[short])  # keys may have been chosen to crowd a bucket
        return places


@dataclass
class View:
    """What a policy knows of N nodes, arrays (N,): from their heartbeats and their own record, not from the future.

    ``now`` is a time in seconds. ``there``: heard of lately. ``room``: units that it will still take. ``free_at``: when
    it is expected to have done what it has. ``came_at``: since when it has been there without a break. ``speed``: of
    the reference machine's. ``reliability``: the part of its units that came back in time, 0..1. ``streak``: valid
    results in a row.
    """

    now: float

    there: npt.NDArray[np.bool_]
    room: npt.NDArray[np.int8]
    free_at: Floats
    came_at: Floats
    speed: Floats
    reliability: Floats
    streak: npt.NDArray[np.int32]


class Policy(Protocol):
    """Who gets a unit's next replica, and how many equal results it needs."""

    @property
    def name(self) -> str: ...

    def begin(self, view: View) -> None:
        """Called once before units are placed at one time."""

    def place(self, dice: np.random.Generator, units: Keys, work: Floats, taken: Had, view: View) -> Nodes:
        """(U,) nodes, one for each unit (``work`` seconds on the reference machine); NOBODY where none was found.

        No node gets more than one in a call, none without room, and none that stands in the unit's row of ``taken``
        (U, R), the nodes that have had it.
        """

    def quorums(self, dice: np.random.Generator, nodes: Nodes, view: View) -> npt.NDArray[np.int8]:
        """(U,) equal results that units need whose first replica went to ``nodes``."""


class RandomPlacement:
    """Any node with room, and the same quorum for every unit: what the others are measured against."""

    def __init__(self, quorum: int = 2) -> None:
        self.quorum = _checked(quorum)
        self.name = f"random, quorum {quorum}"
        self._free: npt.NDArray[np.int64] = np.zeros(0, dtype=np.int64)

    def begin(self, view: View) -> None:
        self._free = np.flatnonzero(view.there & (view.room > 0))

    def place(self, dice: np.random.Generator, units: Keys, work: Floats, taken: Had, view: View) -> Nodes:
        if not self._free.size:
            return np.full(units.size, NOBODY, dtype=np.int64)
        drawn = self._free[dice.integers(self._free.size, size=units.size)]
        fits = (view.room[drawn] > 0) & ~(taken == drawn[:, None]).any(axis=1)
        return one_each(np.where(fits, drawn, NOBODY), view.there.size)

    def quorums(self, dice: np.random.Generator, nodes: Nodes, view: View) -> npt.NDArray[np.int8]:
        return np.full(nodes.size, self.quorum, dtype=np.int8)


class ChoicesPlacement:
    """Of ``choices`` nodes that hashing gives a unit, the one likeliest to answer soonest; ``adaptive`` replication.

    ``quorum`` is for the units of nodes that are not trusted, of all if ``adaptive`` is off.
    """

    def __init__(self, keys: Keys, *, choices: int = 4, quorum: int = 2, adaptive: bool = True) -> None:
        if not 1 <= choices <= 64:
            raise ValueError(f"choices is {choices}, expected 1..64")
        self.choices, self.quorum, self.adaptive = choices, _checked(quorum), adaptive
        self.name = f"{choices} choices, " + (f"adaptive quorum 1 or {quorum}" if adaptive else f"quorum {quorum}")
        self._ring = Ring(keys)
        self._turn = 0

    def begin(self, view: View) -> None:
        self._ring.join(view.there & (view.room > 0))
        self._turn = 0

    def place(self, dice: np.random.Generator, units: Keys, work: Floats, taken: Had, view: View) -> Nodes:
        # what was not placed by its own hashes tries others; the first turn is the same for the same unit
        keys = mixed(units, 1 << 32 | self._turn) if self._turn else units
        self._turn += 1
        return one_each(least_loaded(self._ring.candidates(keys, self.choices), work, taken, view), view.there.size)

    def quorums(self, dice: np.random.Generator, nodes: Nodes, view: View) -> npt.NDArray[np.int8]:
        if not self.adaptive:
            return np.full(nodes.size, self.quorum, dtype=np.int8)
        return quorums(view.streak[nodes], dice, least=self.quorum)


def least_loaded(candidates: Nodes, work: Floats, taken: Had, view: View) -> Nodes:
    """Of each unit's candidates (U, d), the one with the least expected time to an answer; (U,), NOBODY if none can.

    That time is seconds = wait + work / speed, over the chance that the unit comes back, since what does not is done
    over: reliability x (age + A) / (age + A + seconds) with A = :data:`YOUNG`, because who has been there for long
    stays for long (Godfrey, Shenker, Stoica, "Minimizing churn in distributed systems", SIGCOMM 2006).
    """
    rows = np.arange(candidates.shape[0])
    now = np.float32(view.now)
    free_at, came_at, speed, reliability, room = (  # clipped, NOBODY reads as node 0, and is barred below
        column.take(candidates, mode="clip")
        for column in (view.free_at, view.came_at, view.speed, view.reliability, view.room)
    )
    seconds = np.maximum(free_at - now, 0) + work[:, None] / speed
    age = now - came_at + np.float32(YOUNG)
    costs = seconds * (age + seconds) / (age * np.maximum(reliability, np.float32(0.02)))
    costs[(candidates == NOBODY) | (room <= 0)] = np.inf
    seen = np.flatnonzero(_last(taken) != NOBODY)  # most units are new
    had = (candidates[seen][:, :, None] == taken[seen][:, None, :]).any(axis=2)
    costs[seen] = np.where(had, np.float32(np.inf), costs[seen])
    best = np.argmin(costs, axis=1)
    return np.where(np.isfinite(costs[rows, best]), candidates[rows, best], NOBODY)


def _last(taken: Had) -> Had:
    """The highest in each row (U,), NOBODY in one that is empty; several times faster than a maximum along the rows."""
    highest = np.full(taken.shape[0], NOBODY, dtype=taken.dtype)
    for column in taken.T:
        np.maximum(highest, column, out=highest)
    return highest


def one_each(nodes: Nodes, count: int) -> Nodes:
    """``nodes`` (U,) of ``count`` nodes with each node left to the first unit that has it; NOBODY for the others."""
    claims = np.empty(count + 1, dtype=np.int64)  # the last place is NOBODY's
    index = np.arange(nodes.size)
    claims[nodes[::-1]] = index[::-1]  # of equal indices the last assignment stays
    return np.where(claims[nodes] == index, nodes, NOBODY)


def quorums(streak: npt.NDArray[np.int32], dice: np.random.Generator, *, least: int = 2) -> npt.NDArray[np.int8]:
    """Equal results that a unit needs, (n,), by the ``streak`` of the node that has its first replica.

    One from a node with at least :data:`TRUSTED_AFTER` valid results in a row, but with probability 1 / streak, and
    from everybody else, ``least``. Source: BOINC's adaptive replication.
    """
    trusted = streak >= TRUSTED_AFTER
    checked = dice.random(streak.size) * np.maximum(streak, 1) < 1.0
    return np.where(trusted & ~checked, 1, least).astype(np.int8)


def missing(
    quorum: npt.NDArray[np.int8], agreeing: npt.NDArray[np.int8], under_way: npt.NDArray[np.int8]
) -> npt.NDArray[np.int8]:
    """Replicas to issue, (n,): what a quorum lacks beside those that agree already and those ``under_way``."""
    lacking: npt.NDArray[np.int8] = np.maximum(quorum - agreeing - under_way, 0).astype(np.int8)
    return lacking


def _checked(quorum: int) -> int:
    if not 1 <= quorum <= 4:
        raise ValueError(f"quorum is {quorum}, expected 1..4")
    return quorum
