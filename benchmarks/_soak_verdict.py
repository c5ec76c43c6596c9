"""What a soak found, and whether it is within its bounds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import _soak_neurons as neurons

from subnet.store import History
from subnet.types import Hotkey

GROWTH = 0.05
"""Of resident memory, between the medians of the early and the late samples."""
FILES = 4
"""Open files that may come on top in between: a socket or two on their way at the moment of a sample."""
TOLERANCE = 0.005
"""Between a final score and that of a run without faults."""
SETTLED = 10
"""Rounds that every validator holds after the last miner came or went: what a miner's own absence cost it is
worn off then (0.5 to the 10th is 0.001)."""


@dataclass
class Epoch:
    """An epoch that ran: which validators' weights it had, and whether the chain was killed while they were due."""

    block: int
    took: dict[int, bool]
    cut: bool


@dataclass
class Sample:
    """Of one process: seconds since the start of the measurement, resident bytes that are its own, open files."""

    at: float
    rss: int
    files: int


@dataclass
class Soak:
    """All that was measured."""

    seconds: float = 0.0
    warm: float = 0.0
    epochs: list[Epoch] = field(default_factory=list)
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    outages: list[tuple[float, float]] = field(default_factory=list)
    partitions: list[tuple[float, float]] = field(default_factory=list)
    churned: dict[str, int] = field(default_factory=lambda: {"replaced": 0, "restarted": 0})
    said: list[Mapping[str, Any]] = field(default_factory=list)

    def missed(self, validator: int) -> int:
        """Epochs without this validator's weights that the chain was up for."""
        return sum(not epoch.took[validator] for epoch in self.epochs if not epoch.cut)


@dataclass(frozen=True)
class Ledger:
    """What a validator's ledger says: rounds, the pace of those while the chain was down beside all, how far its
    scores are from those of a run without faults, and what is wrong in its books."""

    rounds: int
    failed: int
    pace: float
    scores: int
    off: float
    wrong: list[str]


def read_ledger(path: Path, soak: Soak, worths: Mapping[Hotkey, float], began: float) -> Ledger:
    """``worths`` are those of the miners that the chain holds now; ``began`` is unix time."""
    with History(path) as history:
        rounds = history.rounds(limit=1_000_000)
        results = {one.id: history.results(one.id) for one in rounds}
        scores = history.scores()
    wrong = [] if [one.id for one in rounds] == list(range(1, len(rounds) + 1)) else ["round numbers have gaps"]
    moving: dict[Hotkey, float] = {}
    for one in rounds:
        for result in results[one.id]:
            if result.moving is None or result.score is None:
                continue
            expected = neurons.ALPHA * result.score + (1 - neurons.ALPHA) * moving.get(result.hotkey, 0.0)
            if not math.isclose(expected, result.moving, abs_tol=1e-9):
                wrong.append(f"round {one.id}: a score moved to {result.moving}, not {expected}")
            moving[result.hotkey] = result.moving
    # Without faults each round scores each miner its worth, so that the average comes to this:
    off = [
        abs(scores[hotkey].value - part * (1 - (1 - neurons.ALPHA) ** scores[hotkey].rounds))
        if hotkey in scores
        else 1.0
        for hotkey, part in worths.items()
    ]
    return Ledger(
        rounds=len(rounds),
        failed=sum(one.error is not None for one in rounds),
        pace=_pace([one.ended for one in rounds if one.ended >= began], soak),
        scores=len(scores),
        off=max(off, default=1.0),
        wrong=wrong[:3],
    )


def _pace(ended: Sequence[float], soak: Soak) -> float:
    """Rounds a second while the chain was down, over those while it was up."""
    inside = sum(any(begin <= end <= until for begin, until in soak.outages) for end in ended)
    down = sum(until - begin for begin, until in soak.outages)
    up = soak.seconds - down
    if down <= 0 or up <= 0 or len(ended) == inside:
        return math.nan
    return (inside / down) / ((len(ended) - inside) / up)


def growth(samples: Sequence[Sample], warm: float) -> tuple[float, int, int, int]:
    """Of resident memory (a share) and open files, from the first third of the samples after ``warm`` seconds to the
    last; and both late."""
    counted = [one for one in samples if one.at >= warm]
    third = max(1, len(counted) // 3)
    early, late = counted[:third], counted[-third:]

    def medians(name: str) -> tuple[float, float]:
        return (
            statistics.median(getattr(one, name) for one in early),
            statistics.median(getattr(one, name) for one in late),
        )

    (rss, rss_late), (files, files_late) = medians("rss"), medians("files")
    return rss_late / rss - 1, round(files_late - files), round(rss_late), round(files_late)


def verdict(soak: Soak, ledgers: Sequence[Ledger]) -> list[str]:
    """What is out of bounds; nothing if all is well."""
    broken = []
    for i, ledger in enumerate(ledgers):
        name = f"validator {i}"
        if soak.missed(i):
            blocks = [epoch.block for epoch in soak.epochs if not epoch.cut and not epoch.took[i]]
            broken.append(f"{name} missed the epochs of blocks {blocks} although the chain was up")
        if ledger.off > TOLERANCE:
            broken.append(f"{name}: a score is {ledger.off:.4f} off that of a run without faults")
        if ledger.failed:
            broken.append(f"{name}: {ledger.failed} rounds failed")
        if not math.isnan(ledger.pace) and ledger.pace < 0.5:
            broken.append(f"{name} held {ledger.pace:.2f} times as many rounds while the chain was down")
        broken += [f"{name}: {one}" for one in ledger.wrong]
    for name, samples in soak.samples.items():
        more, files, _, _ = growth(samples, soak.warm)
        if more > GROWTH:
            broken.append(f"{name}: resident memory grew by {more:.1%}")
        if files > FILES:
            broken.append(f"{name}: {files} more open files")
    return broken
