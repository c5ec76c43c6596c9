"""What a soak found, and whether it is within its bounds."""

from __future__ import annotations

import math
import platform
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import _soak_neurons as neurons
from _soak_stage import Stage
from _soak_twin import Absence, Held, Seat, open_rounds, plan, read_diary, results_of, seen_again, without_faults

from subnet.store import History, Result, Score
from subnet.types import Hotkey

GROWTH = 0.05
"""Of resident memory, between the medians of the early and the late samples."""
GROWTH_SHORT = 0.15
"""The same in a short run."""
FILES = 4
"""Open files of a process that may come on top in between: sockets to one of the chain's endpoints or to both, and one
or two on their way at the moment of a sample."""
TOLERANCE = 1e-9
"""Between a score, after any round, and that of the run without faults: of arithmetic alone. No miner that is up may
leave a round unanswered either: the chain's failing is no reason."""
NOTICED = 60.0
"""Seconds after which a validator asks a miner that is back, at the latest."""
ENDINGS = ("revealed", "open", "superseded", "never-landed")
"""What may become of a commit."""
LEFT = 3
"""Blocks before an epoch: a chain that was killed with fewer of them to come took the time for its weights away."""


@dataclass
class Epoch:
    """An epoch that ran: which validators' weights it had, and whether the chain was killed too late to make up for."""

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
    growth: float = GROWTH
    epochs: list[Epoch] = field(default_factory=list)
    sealed: list[Epoch] = field(default_factory=list)
    """Those of the subnet with commit-reveal, which has one validator."""
    commits: dict[str, int] = field(default_factory=dict)
    """How that one's commits ended, by outcome."""
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    processes: dict[str, int] = field(default_factory=dict)
    """How many a name in ``samples`` stands for, where these are several."""
    outages: list[tuple[float, float]] = field(default_factory=list)
    partitions: list[tuple[float, float]] = field(default_factory=list)
    churned: dict[str, int] = field(default_factory=lambda: {"replaced": 0, "restarted": 0})
    seats: list[Seat] = field(default_factory=list)
    absences: list[Absence] = field(default_factory=list)
    hits: list[int] = field(default_factory=list)
    """The epochs whose weights were due, and not all there, when the chain was killed."""
    said: list[Mapping[str, Any]] = field(default_factory=list)
    troubles: dict[str, list[str]] = field(default_factory=dict)
    """What the neurons' health said at the end, by process."""

    def missed(self, validator: int) -> int:
        """Epochs without this validator's weights that the chain was up for."""
        return sum(not epoch.took[validator] for epoch in self.epochs if not epoch.cut)


@dataclass(frozen=True)
class Ledger:
    """What a validator's ledger says: rounds, the pace of those while the chain was down beside all; how many scores of
    all rounds were compared with those of the run without faults, the share of these that no absence of the miner's
    left open, and how far they were off at most; and what is wrong in its books."""

    rounds: int
    failed: int
    pace: float
    scores: int
    firm: float
    off: float
    wrong: list[str]


async def beside_a_run_without_faults(stage: Stage, i: int, soak: Soak, began: float) -> Ledger:
    """Hold that run for validator ``i``, and read its ledger beside that one; ``began`` is unix time."""
    path, twin = (name(stage.folder, i) for name in (neurons.ledger_of, neurons.twin_of))
    diary = read_diary(neurons.diary_of(stage.folder, i))
    with History(path) as history:
        parts = plan(soak.seats, soak.absences, diary, results_of(history))
    await without_faults(twin, neurons.validator_key(i), neurons.Judge(stage.alpha), stage.seed, parts)
    return read_ledger(path, twin, soak, diary, began)


def read_ledger(path: Path, twin: Path, soak: Soak, diary: Sequence[Held], began: float) -> Ledger:
    """``twin`` is the ledger of the run without faults; ``began`` is unix time."""
    with History(path) as history, History(twin) as other:
        rounds = history.rounds(limit=1_000_000)
        ours = {one.id: history.results(one.id) for one in rounds}
        theirs = {one.id: other.results(one.id) for one in other.rounds(limit=1_000_000)}
        compared = [*moves(ours, theirs), *standings(history.scores(), other.scores(), soak.seats, soak.absences)]
    opened = open_rounds(soak.absences, diary)
    open_ones = sum(one.number in opened.get(one.hotkey, ()) for one in compared)
    wrong = [] if [one.id for one in rounds] == list(range(1, len(rounds) + 1)) else ["round numbers have gaps"]
    if not 0 <= len(diary) - len(rounds) <= 2:  # the last ones were given up at the end
        wrong.append(f"it held {len(diary)} rounds, and its ledger has {len(rounds)}")
    wrong += [words for one in compared if (words := one.wrong)]
    return Ledger(
        rounds=len(rounds),
        failed=sum(one.error is not None for one in rounds),
        pace=_pace([one.ended for one in rounds if one.ended >= began], soak),
        scores=len(compared),
        firm=1 - open_ones / max(1, len(compared)),
        off=max((one.off for one in compared), default=math.inf),
        wrong=[*wrong[:3], *unnoticed(soak.absences, diary)],
    )


@dataclass(frozen=True)
class Pair:
    """A miner's score after a round, and that of the run without faults; None where it did not move.
    ``number`` 0 is the table of scores at the end."""

    number: int
    hotkey: Hotkey
    ours: tuple[float, ...] | None
    theirs: tuple[float, ...] | None
    reason: str | None = None

    @property
    def off(self) -> float:
        if self.ours is None or self.theirs is None or len(self.ours) != len(self.theirs):
            return math.inf
        return max((abs(one - other) for one, other in zip(self.ours, self.theirs, strict=True)), default=0.0)

    @property
    def wrong(self) -> str | None:
        if self.off <= TOLERANCE:
            return None
        when = f"round {self.number}" if self.number else "the end"
        if self.reason is not None:
            return f"{when}: {self.hotkey} was up and did not answer ({self.reason})"
        return f"{when}: {self.hotkey} has {self.ours}, without faults {self.theirs}"


def moves(ours: Mapping[int, Sequence[Result]], theirs: Mapping[int, Sequence[Result]]) -> Iterator[Pair]:
    """Round by round: what each miner was worth in it, and its moving score after it."""
    for number in sorted({*ours, *theirs}):
        mine, other = (
            {one.hotkey: one for one in of.get(number, ()) if one.moving is not None} for of in (ours, theirs)
        )
        for hotkey in {**mine, **other}:
            a, b = mine.get(hotkey), other.get(hotkey)
            yield Pair(number, hotkey, _moved(a), _moved(b), a.reason if a and not (b and b.reason) else None)


def _moved(result: Result | None) -> tuple[float, float] | None:
    return None if result is None or result.moving is None else (result.score or 0.0, result.moving)


def standings(
    ours: Mapping[Hotkey, Score], theirs: Mapping[Hotkey, Score], seats: Sequence[Seat], absences: Sequence[Absence]
) -> Iterator[Pair]:
    """The tables at the end: of who is there; who is gone has no score."""
    gone = {absence.hotkey for absence in absences if absence.port is None}
    for seat in seats:
        a, b = (_stands(of.get(seat.hotkey)) for of in (ours, theirs))
        yield Pair(0, seat.hotkey, () if a is None and seat.hotkey in gone else a, () if seat.hotkey in gone else b)


def _stands(score: Score | None) -> tuple[float, ...] | None:
    return None if score is None else (score.value, score.mean, float(score.rounds))


def unnoticed(absences: Sequence[Absence], diary: Sequence[Held]) -> list[str]:
    """Miners that were back, and that the validator asked too late or never again."""
    gone = {absence.hotkey: absence.since for absence in absences if absence.port is None}
    late = []
    for one in absences:
        until = gone.get(one.hotkey, math.inf)
        if one.port is None or until - one.back < NOTICED:
            continue
        again = seen_again(one, diary)
        if again is None or again.began > one.back + NOTICED:
            when = "never again" if again is None else f"only {again.began - one.back:.0f} s later"
            late.append(f"{one.hotkey} was back, and asked {when}")
    return late[:3]


def _pace(ended: Sequence[float], soak: Soak) -> float:
    """Rounds a second while the chain was down for longer than a round or two, over all others."""
    outages = [(begin, until) for begin, until in soak.outages if until - begin > 2 * neurons.INTERVAL]
    inside = sum(any(begin <= end <= until for begin, until in outages) for end in ended)
    down = sum(until - begin for begin, until in outages)
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


def commits_of(path: Path) -> dict[str, int]:
    """How the commits in a ledger ended, by outcome; open ones under "open"."""
    with History(path) as history:
        return dict(Counter(one.outcome or "open" for one in history.commits(ended=None)))


def _unsealed(soak: Soak) -> list[str]:
    """What is wrong with the commits. One whose send was lost with the chain never landed, and another took its place;
    the last two may be on their way."""
    missed = [epoch.block for epoch in soak.sealed if not epoch.cut and not epoch.took[0]]
    broken = [f"nothing was committed for the epochs of blocks {missed} although the chain was up"] if missed else []
    broken += [f"{n} commits were lost: {how}" for how, n in soak.commits.items() if how not in ENDINGS]
    if soak.commits.get("revealed", 0) < len(soak.sealed) - 2:
        broken.append(f"of {len(soak.sealed)} epochs' commits {soak.commits.get('revealed', 0)} were revealed")
    return broken


def verdict(soak: Soak, ledgers: Sequence[Ledger]) -> list[str]:
    """What is out of bounds; nothing if all is well."""
    broken = [] if soak.hits else ["the chain was never killed while weights were due"]
    for block in soak.hits:
        if block not in [epoch.block for epoch in soak.epochs if not epoch.cut]:
            broken.append(f"the epoch of block {block}, for which the chain came back in time, was not seen")
    for i, ledger in enumerate(ledgers):
        name = f"validator {i}"
        if soak.missed(i):
            blocks = [epoch.block for epoch in soak.epochs if not epoch.cut and not epoch.took[i]]
            broken.append(f"{name} missed the epochs of blocks {blocks} although the chain was up")
        if not ledger.off <= TOLERANCE:
            broken.append(f"{name}: a score is {ledger.off:.2g} off that of a run without faults")
        if ledger.failed:
            broken.append(f"{name}: {ledger.failed} rounds failed")
        if not math.isnan(ledger.pace) and ledger.pace < 0.5:
            broken.append(f"{name} held {ledger.pace:.2f} times as many rounds while the chain was down")
        broken += [f"{name}: {one}" for one in ledger.wrong]
    broken += _unsealed(soak)
    broken += [f"{name} is not well at the end: {words}" for name, said in soak.troubles.items() for words in said]
    for name, samples in soak.samples.items():
        more, files, _, _ = growth(samples, soak.warm)
        if more > soak.growth:
            broken.append(f"{name}: resident memory grew by {more:.1%}")
        if files > FILES * soak.processes.get(name, 1):
            broken.append(f"{name}: {files} more open files")
    return broken


def row_of(found: Soak, ledgers: Sequence[Ledger]) -> dict[str, Any]:
    processes = {}
    for name, samples in found.samples.items():
        more, files, rss_late, files_late = growth(samples, found.warm)
        processes[name] = {
            "rss_mb": round(rss_late / 1e6, 1),
            "rss_growth": round(more, 4),
            "files": files_late,
            "files_growth": files,
        }
    return {
        "seconds": round(found.seconds, 1),
        "epochs": len(found.epochs),
        "epochs_cut": sum(epoch.cut for epoch in found.epochs),
        "missed": [found.missed(i) for i in range(len(ledgers))],
        "outages_s": [round(until - begin, 1) for begin, until in found.outages],
        "partition_s": [round(until - begin, 1) for begin, until in found.partitions],
        "churned": found.churned,
        "commits": found.commits,
        "rounds": [one.rounds for one in ledgers],
        "pace_while_down": [round(one.pace, 2) for one in ledgers],
        "killed_before": found.hits,
        "scores": [one.scores for one in ledgers],
        "firm": [round(one.firm, 4) for one in ledgers],
        "score_off": [one.off for one in ledgers],
        "said": [dict(one) for one in found.said],
        "processes": processes,
        "broken": verdict(found, ledgers),
    }


def show(row: dict[str, Any]) -> None:
    print(f"{platform.machine()}, Python {platform.python_version()}; {row['seconds']} s, {row['epochs']} epochs")
    churned = row["churned"]
    print(
        f"chain down for {row['outages_s']} s ({row['epochs_cut']} epochs cut, killed before {row['killed_before']}), "
        f"endpoint silent for {row['partition_s']} s, "
        f"{churned['replaced']} miners replaced, {churned['restarted']} restarted; commits: {row['commits']}"
    )
    print(
        f"{'':<14}{'missed':>8}{'rounds':>8}{'pace, chain down':>18}{'scores':>8}{'firm':>7}{'off':>9}"
        f"{'memory':>10}{'':>8}{'files':>7}"
    )
    for name, one in row["processes"].items():
        kind, _, number = name.partition("-")
        cells = f"{'':>58}"
        if kind == "validator":
            i = int(number)
            cells = f"{row['missed'][i]:>8}{row['rounds'][i]:>8}{row['pace_while_down'][i]:>18.2f}"
            cells += f"{row['scores'][i]:>8}{row['firm'][i]:>7.1%}{row['score_off'][i]:>9.1e}"
        memory = f"{one['rss_mb']:>7.1f} MB{one['rss_growth']:>+8.1%}"
        print(f"{name:<14}{cells}{memory}{one['files']:>7}{one['files_growth']:>+4}")
    for line in row["broken"]:
        print(f"BROKEN: {line}")
