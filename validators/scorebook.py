"""Where scores move: judgements in, one after the other, each on disk before it counts in memory.

A :class:`Judgement` is what came of a round, of users' requests, or of a truth that arrived. :meth:`Scorebook.record`
takes them in the order in which it is called, moves the scores of the hotkeys that are still on the subnet,
puts all of it into the ledger as one transaction under the next round's number, and only then takes
the new scores as ours.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from subnet.errors import StoreError
from subnet.store import Kind, Ledger, Result, Round, Score
from subnet.types import Block, Hotkey, Metagraph, Uid
from subnet.validators.journal import Journal
from subnet.validators.weights import current

if TYPE_CHECKING:
    from subnet.telemetry import Metrics
    from subnet.validators.base import Validator

log = logging.getLogger(__name__)

MOST_REASONS: Final = 8
"""Kinds of failure that a round's log line names, the most frequent first."""
LARGEST: Final = 1e100
"""What a score is cut to, so that its square is a number too."""
TURN: Final = "sampling turn"
"""The note under which the ledger keeps when the sampling policy's turn began."""
_EVENTS: Final = {Kind.SYNTHETIC: "round", Kind.ORGANIC: "organic", Kind.TRUTH: "truth"}


@dataclass(slots=True)
class Judgement:
    """What came of one round: scores by hotkey, what was heard, the error that ended it.

    ``registered`` is when each hotkey had taken its uid as it answered; who is missing there: as ``metagraph`` has it.
    """

    metagraph: Metagraph
    kind: Kind = Kind.SYNTHETIC
    subject: str | None = None
    started: float = field(default_factory=time.time)
    seconds: float = 0.0
    heard: Journal = field(default_factory=dict)
    scores: dict[Hotkey, float] = field(default_factory=dict)
    registered: Mapping[Hotkey, Block] = field(default_factory=dict)
    error: BaseException | None = None

    def registration(self, hotkey: Hotkey) -> int | None:
        """The block at which it had taken its uid; None if it had none."""
        return self.registered.get(hotkey, _registration(self.metagraph, hotkey))


class Scorebook:
    """The moving scores of one validator, as its ledger has them.

    ``snapshot`` gives the newest metagraph; ``scores`` are the scores by hotkey.
    """

    def __init__(
        self,
        validator: Validator,
        ledger: Ledger,
        snapshot: Callable[[], Metagraph],
        metrics: Metrics | None = None,
    ) -> None:
        self.ledger = ledger
        self.scores: Mapping[Hotkey, Score] = ledger.scores()
        self.failed_rounds = 0
        self._validator, self._snapshot, self._metrics = validator, snapshot, metrics
        self._next = ledger.next_round()
        self._one_at_a_time = asyncio.Lock()

    def restore(self) -> None:
        """Give the validator what the ledger remembers: scores, windows, whom it asked last."""
        validator = self._validator
        validator.remember(self.scores, {})
        self.ledger.keep_window(validator.window)
        validator.recent = self.ledger.samples()
        if validator.sampling != "all":
            validator.sampler.asked = self.ledger.last_asked()
            validator.sampler.turn = float(self.ledger.notes().get(TURN, 0.0))

    @property
    def next_round(self) -> int:
        """The number of the round that is recorded next."""
        return self._next

    async def record(self, judgement: Judgement) -> bool:
        """Move the scores, put the round on disk, and only then take the new scores as ours.

        False, and nothing has changed, if the judgement's question is closed. Raises StoreError. What has begun is
        brought to its end even if the caller is cancelled.
        """
        return await asyncio.shield(asyncio.ensure_future(self._record(judgement)))

    async def settled(self) -> None:
        """Wait until nothing is being recorded."""
        async with self._one_at_a_time:
            pass

    async def _record(self, judgement: Judgement) -> bool:
        async with self._one_at_a_time:
            judged = self._judged(judgement)
            scores = self._moved(judgement, judged)
            done = self._round(judgement)
            left = [old for hotkey, old in self.scores.items() if not _goes_on(old, scores.get(hotkey))]
            gone = [old.hotkey for old in left]
            changed = [score for hotkey, score in scores.items() if score is not self.scores.get(hotkey)]
            moved = {hotkey: scores[hotkey].value for hotkey in judged if hotkey in scores}
            results, notes = _results(judgement, moved), self._notes()
            if not await asyncio.to_thread(self.ledger.record, done, results, changed, gone, notes):
                if done.subject is not None:
                    return False
                raise StoreError(f"round {done.id} is in the ledger already", remedy="Restart the validator.")
            self._next = done.id + 1
            self.scores = scores
            self._validator.remember(scores, {hotkey: judged[hotkey] for hotkey in moved})
        self._tell(done, judgement, left)
        return True

    def _round(self, judgement: Judgement) -> Round:
        return Round(
            id=self._next,
            block=judgement.metagraph.block,
            started=judgement.started,
            ended=time.time(),
            asked=len(judgement.heard),
            answered=sum(heard.answered for heard in judgement.heard.values()),
            error=None if judgement.error is None else f"{type(judgement.error).__name__}: {judgement.error}",
            kind=judgement.kind,
            rule=self._validator.rule,
            subject=judgement.subject,
        )

    def _judged(self, judgement: Judgement) -> dict[Hotkey, float]:
        """The scores that count: of hotkeys that have been on the subnet ever since they answered."""
        now = self._snapshot()
        if now is judgement.metagraph and not judgement.registered:
            return {hotkey: score for hotkey, score in judgement.scores.items() if now.uid_of(hotkey) is not None}
        return {
            hotkey: score
            for hotkey, score in judgement.scores.items()
            if judgement.registration(hotkey) == _registration(now, hotkey) is not None
        }

    def _moved(self, judgement: Judgement, judged: Mapping[Hotkey, float]) -> dict[Hotkey, Score]:
        """All scores after the round, of the hotkeys that are on the subnet now."""
        now, block, memory = self._snapshot(), judgement.metagraph.block, self._validator.memory
        moving = current(self.scores, now)
        scores = {}
        for hotkey, value in self._validator.move(moving, judged).items():
            neuron, old = now.neuron(hotkey), self.scores.get(hotkey) if hotkey in moving else None
            if neuron is None:
                continue
            if old is not None and hotkey not in judged and old.value == value and old.uid == neuron.uid:
                scores[hotkey] = old
                continue
            registered = neuron.block_at_registration
            old = old or Score(hotkey, neuron.uid, 0.0, 0, registered, block, 0.0, since=self._next)
            rounds, mean, variance = old.rounds, old.mean, old.variance
            if hotkey in judged:
                rounds += 1
                mean, variance = _spread(old, judged[hotkey], min(rounds, memory))
            value = finite(value, uid=neuron.uid)  # a rule of the user's own may give anything
            scores[hotkey] = Score(
                hotkey, neuron.uid, value, rounds, registered, block, time.time(), old.since, mean, variance
            )
        return scores

    def _notes(self) -> dict[str, str]:
        if self._validator.sampling != "uniform":
            return {}
        return {TURN: repr(self._validator.sampler.turn)}

    def _tell(self, done: Round, judgement: Judgement, left: Sequence[Score]) -> None:
        for score in left:
            log.info("score_dropped", extra={"hotkey": score.hotkey, "uid": score.uid})
        told: dict[str, Any] = {
            "round": done.id,
            "block": done.block,
            "asked": done.asked,
            "answered": done.answered,
            "scored": len(judgement.scores),
            "seconds": round(judgement.seconds, 3),
        }
        if done.subject is not None:
            told["question"] = done.subject
        failures = Counter(heard.reason for heard in judgement.heard.values() if heard.reason)
        if failures:
            told["failures"] = dict(failures.most_common(MOST_REASONS))
        if judgement.error is None:
            log.info(_EVENTS[done.kind], extra=told)
        else:
            self.failed_rounds += 1
            log.error(f"{_EVENTS[done.kind]}_failed", extra=told | {"error": done.error}, exc_info=judgement.error)
        if self._metrics is None:
            return
        self._metrics.count("subnet_rounds_total", outcome="ok" if judgement.error is None else "failed")
        if done.kind is Kind.SYNTHETIC:
            self._metrics.gauge("subnet_round_seconds", judgement.seconds)
            self._metrics.gauge("subnet_round_asked", done.asked)
            self._metrics.gauge("subnet_round_answered", done.answered)
        moved = {hotkey: self.scores[hotkey].value for hotkey in judgement.scores if hotkey in self.scores}
        self._metrics.gauges("subnet_score", "peer", moved)
        for score in left:
            if score.hotkey not in self.scores:
                self._metrics.forget("subnet_score", peer=score.hotkey)


def by_hotkey(metagraph: Metagraph, returned: Mapping[Uid, float], but: Hotkey) -> dict[Hotkey, float]:
    """A round's scores by hotkey, finite; raises TypeError or ValueError for what is no mapping of scores."""
    if not isinstance(returned, Mapping):
        raise TypeError(f"round() returned {type(returned).__name__}, expected a mapping of uid to score")
    accepted, hotkeys = {}, metagraph.hotkeys
    for given, score in returned.items():
        uid = int(given)
        if not 0 <= uid < len(hotkeys) or hotkeys[uid] == but:
            log.warning("score_ignored", extra={"uid": uid, "reason": "no peer"})
            continue
        accepted[hotkeys[uid]] = finite(score, uid=uid)
    return accepted


def finite(score: float, **about: object) -> float:
    """A score that can count: NaN and infinities are 0, what is enormous is cut. Raises TypeError, ValueError."""
    value = float(score)
    if not math.isfinite(value):
        log.warning("score_ignored", extra=about | {"reason": f"{value} counts as 0"})
        return 0.0
    return value if -LARGEST < value < LARGEST else math.copysign(LARGEST, value)


def _spread(old: Score, score: float, count: int) -> tuple[float, float]:
    """Mean and variance with one more score, of about ``count`` that are remembered.

    Source: Welford, "Note on a method for calculating corrected sums of squares and products", Technometrics 1962;
    with a ``count`` that no longer grows it is the exponentially weighted form.
    """
    off = score - old.mean
    mean = old.mean + off / count
    return mean, (1 - 1 / count) * (old.variance + off * off / count)


def _goes_on(old: Score, new: Score | None) -> bool:
    return new is not None and new.registered == old.registered


def _registration(metagraph: Metagraph, hotkey: Hotkey) -> int | None:
    neuron = metagraph.neuron(hotkey)
    return None if neuron is None else neuron.block_at_registration


def _results(judgement: Judgement, moved: Mapping[Hotkey, float]) -> list[Result]:
    """What the ledger keeps of each miner that was asked or judged, by uid; ``moved`` are the moving scores."""
    results = []
    for hotkey in {**judgement.heard, **judgement.scores}:
        heard = judgement.heard.get(hotkey)
        uid = heard.uid if heard else judgement.metagraph.uid_of(hotkey)
        if uid is None:
            continue
        results.append(
            Result(
                hotkey,
                uid,
                judgement.scores.get(hotkey),
                reason=heard.reason if heard else None,
                elapsed=heard.elapsed if heard else None,
                moving=moved.get(hotkey),
                receipts=heard.receipts if heard else (),
            )
        )
    return sorted(results, key=lambda result: result.uid)
