"""The books of a placement's simulation: units that wait for a verdict, and replicas that are under way.

Both are pools of rows that are used again, so that memory grows with what is open at a time and not with what was
ever done.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from subnet.validators.placement import NOBODY, Keys, Nodes

Rows = npt.NDArray[np.int64]

PLACES: Final = 6
"""Replicas of a unit whose nodes and results are kept at a time."""
EMPTY, UNDER_WAY, RIGHT, COLLUDING, WRONG = range(5)
"""What a unit's place holds: nothing, a replica that is worked on, or a result: the right one, the one that all
cheaters agree on, or an accidental one that nobody else has."""
LOST: Final = EMPTY


class Units:
    """Columns over the units that are open; a free row's ``born`` is -1."""

    def __init__(self, size: int) -> None:
        self.key: Keys = np.zeros(size, dtype=np.uint64)
        self.work = np.zeros(size, dtype=np.float32)
        self.born = np.full(size, -1, dtype=np.int32)
        self.quorum = np.zeros(size, dtype=np.int8)  # 0: not known yet
        self.need = np.zeros(size, dtype=np.int8)
        self.nodes = np.full((size, PLACES), NOBODY, dtype=np.int32)
        self.result = np.full((size, PLACES), EMPTY, dtype=np.int8)
        self._free = np.arange(size)[::-1].copy()
        self._left = size

    @property
    def open(self) -> int:
        return self.born.size - self._left

    def add(self, key: Keys, work: npt.NDArray[np.float32], now: int) -> None:
        """New units, each with a first replica to be placed."""
        while self._left < key.size:
            self._grow()
        rows = self._free[self._left - key.size : self._left]
        self._left -= key.size
        self.key[rows], self.work[rows], self.born[rows] = key, work, now
        self.quorum[rows], self.need[rows] = 0, 1

    def close(self, rows: Rows) -> None:
        self.born[rows], self.need[rows], self.quorum[rows] = -1, 0, 0
        self.nodes[rows], self.result[rows] = NOBODY, EMPTY
        self._free[self._left : self._left + rows.size] = rows
        self._left += rows.size

    def pending(self, most: int) -> Rows:
        """Units that need a replica, the oldest first, at most ``most``."""
        rows = np.flatnonzero(self.need != 0)
        if rows.size > most:
            rows = rows[np.argpartition(self.born[rows], most)[:most]] if most else rows[:0]
        return rows[np.argsort(self.born[rows], kind="stable")]

    def distinct(self, rows: Rows) -> Rows:
        """Each of ``rows`` once, in order."""
        marks = np.zeros(self.born.size, dtype=np.bool_)
        marks[rows] = True
        return np.flatnonzero(marks)

    def begin(self, rows: Rows, nodes: Nodes) -> npt.NDArray[np.int8]:
        """Put ``nodes`` to work on the units of ``rows``; the place that each has there."""
        place = np.zeros(rows.size, dtype=np.int64)
        for column in range(PLACES - 1, -1, -1):  # the first empty one is found last
            place[self.result[rows, column] == EMPTY] = column
        self.nodes[rows, place], self.result[rows, place] = nodes, UNDER_WAY
        return place.astype(np.int8)

    def _grow(self) -> None:
        size = self.born.size
        for name in ("key", "work", "born", "quorum", "need", "nodes", "result"):
            column = getattr(self, name)
            more = np.full_like(column, -1 if name in ("born", "nodes") else 0)
            setattr(self, name, np.concatenate((column, more)))
        free = np.empty(2 * size, dtype=np.int64)
        free[: self._left] = self._free[: self._left]
        free[self._left : self._left + size] = np.arange(size, 2 * size)[::-1]
        self._free, self._left = free, self._left + size


class Replicas:
    """Columns over the replicas under way; a free row's ``due`` is -1. Their ends are known to the simulator alone."""

    def __init__(self, size: int) -> None:
        self.due = np.full(size, -1, dtype=np.int32)
        self.unit = np.zeros(size, dtype=np.int64)
        self.place = np.zeros(size, dtype=np.int8)
        self.node: Nodes = np.zeros(size, dtype=np.int64)
        self.kind = np.zeros(size, dtype=np.int8)
        self.spent = np.zeros(size, dtype=np.float32)
        self._free = np.arange(size)[::-1].copy()
        self._left = size

    @property
    def under_way(self) -> int:
        return self.due.size - self._left

    def add(self, count: int) -> Rows:
        """Rows for ``count`` new ones; there are always enough, since a node takes only what it has room for."""
        rows = self._free[self._left - count : self._left]
        self._left -= count
        return rows

    def take_due(self, now: int) -> Rows:
        """The rows whose end is seen at step ``now``; read them before the next :meth:`add`."""
        rows = np.flatnonzero(self.due == now)
        self.due[rows] = -1
        self._free[self._left : self._left + rows.size] = rows
        self._left += rows.size
        return rows
