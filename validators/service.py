"""A validator's life: registered? → ledger → load → rounds, weights and metagraph, each in its loop.

A round asks, scores and is recorded, whatever the chain does meanwhile: it works on the last
metagraph snapshot. A round that raises, hangs or is cancelled inside is logged and counted, and the
next one comes. Scores belong to hotkeys: of one that left, or left and came back, the score is void;
one that was not judged keeps its score. Memory follows the ledger: a score moves when its round is
on disk, not before.

Log events: ``validating`` (round, scores), ``round`` (round, block, asked, answered, scored,
seconds, failures: how many peers for which reason), ``round_failed`` (the same, with the
traceback), ``no_peers``, ``score_ignored`` (uid, reason), ``score_dropped`` (hotkey, uid),
``loop_failed``, ``stopped``, and those of :mod:`subnet.validators.setter`.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from subnet.errors import StoreError
from subnet.health import Health
from subnet.service import Follower, Loops, Service, load, warn_unread
from subnet.store import Ledger, Result, Round, Score
from subnet.types import Hotkey, Metagraph, Netuid, Neuron, Uid
from subnet.validators.base import Heard, begin_journal
from subnet.validators.setter import WeightPolicy, WeightSetter
from subnet.validators.weights import current

if TYPE_CHECKING:
    from substrateinterface import Keypair

    from subnet.service import ChainClient
    from subnet.telemetry import Metrics
    from subnet.validators.base import Querier, Validator

log = logging.getLogger(__name__)

MOST_REASONS: Final = 8
"""Kinds of failure that a round's log line names, the most frequent first."""
GRACE: Final = 2.0
"""Seconds that a cancelled round has to end before the next one starts without it."""
_IDLE: Final = 1.0


@dataclass(slots=True)
class Judgement:
    """What came of one call of ``round``: scores by hotkey, what was heard, the error that ended it."""

    metagraph: Metagraph
    started: float = field(default_factory=time.time)
    heard: dict[Hotkey, Heard] = field(default_factory=dict)
    scores: dict[Hotkey, float] = field(default_factory=dict)
    error: BaseException | None = None


class ValidatorService(Service):
    """Runs one Validator on one subnet under one hotkey.

    ``chain``, ``key`` and ``querier`` (default: a Dendrite of its own) stay the caller's; ``path`` is the
    ledger's file. ``scores`` holds the moving scores, as they are on disk.
    """

    def __init__(
        self,
        validator: Validator,
        chain: ChainClient,
        key: Keypair,
        netuid: Netuid,
        *,
        path: Path,
        querier: Querier | None = None,
        metrics: Metrics | None = None,
        health: Health | None = None,
    ) -> None:
        self.health = health or Health()
        self.validator, self.netuid, self.hotkey = validator, netuid, Hotkey(key.ss58_address)
        self.loops = Loops()
        self.scores: Mapping[Hotkey, Score] = {}
        self.failed_rounds = 0
        self.follower = Follower(chain, netuid, self.hotkey, every=validator.refresh_blocks, metrics=metrics)
        self.follower.listen(lambda snapshot: validator.attach(self.hotkey, snapshot))
        self._chain, self._key, self._path, self._querier = chain, key, path, querier
        self._metrics = metrics
        self._ledger: Ledger | None = None
        self._close: list[Any] = []
        self._lonely = False

    async def start(self) -> None:
        """Validating when this returns.

        Raises NotRegistered, ChainError, StoreError, and DeclarationError if load() fails.
        """
        await self.follower.registered()
        ledger = self._ledger = await asyncio.to_thread(self._open)
        self.scores = ledger.scores()
        self.validator.use(self._querier or self._dendrite())
        await load(self.validator)
        self.validator.check()
        warn_unread(self.validator.options, type(self.validator).__name__)
        log.info("validating", extra={"round": ledger.next_round(), "scores": len(self.scores)})
        self.loops.start("metagraph", self.follower.follow)
        for mechanism in range(self.validator.mechanisms):
            setter = self._setter(ledger, mechanism)
            self.loops.start(f"weights-{mechanism}" if mechanism else "weights", setter.step)
        self.loops.start("rounds", self._round)
        self.health.ready = True

    async def stop(self) -> None:
        """Stop the loops and close what was opened; idempotent. A round under way is given up."""
        self.health.ready = False
        await self.loops.stop()
        dendrites, self._close = self._close, []
        for dendrite in dendrites:
            await dendrite.close()
        ledger, self._ledger = self._ledger, None
        if ledger is not None:
            await asyncio.to_thread(ledger.close)
            log.info("stopped", extra={"failures": dict(self.loops.failures)})

    def _setter(self, ledger: Ledger, mechanism: int) -> WeightSetter:
        policy = WeightPolicy(self.validator.burn, self.validator.commit, self.validator.final)
        return WeightSetter(
            self._chain,
            self._key,
            self.netuid,
            ledger,
            scores=lambda: self.scores,
            weigh=partial(self.validator.weigh_mechanism, mechanism),
            policy=policy,
            mechanism=mechanism,
            metrics=self._metrics,
            health=self.health,
        )

    def _open(self) -> Ledger:
        return Ledger(
            self._path,
            genesis_hash=self._chain.genesis_hash,
            netuid=self.netuid,
            validator=self.hotkey,
            keep_days=self.validator.keep_days,
            keep_receipts_days=self.validator.keep_receipts_days,
        )

    def _dendrite(self) -> Querier:
        from subnet.dendrite import Dendrite

        dendrite = Dendrite(self._key, netuid=self.netuid, genesis_hash=self._chain.genesis_hash)
        self._close.append(dendrite)
        return dendrite

    async def _round(self) -> float:
        """One pass of the loop: sample, judge, record; the pause until the next round's start."""
        began = time.monotonic()
        snapshot = self.follower.snapshot
        peers = list(self.validator.sample(snapshot))
        if not peers:
            if not self._lonely:
                log.info("no_peers", extra={"block": snapshot.block, "neurons": len(snapshot)})
            self._lonely = True
            return max(self.validator.interval, _IDLE)
        self._lonely = False
        judgement = await self._judge(snapshot, peers)
        await self._record(judgement, time.monotonic() - began)
        pause = self.validator.interval - (time.monotonic() - began)
        return max(pause, 0.0 if judgement.error is None else _IDLE)

    async def _judge(self, snapshot: Metagraph, peers: Sequence[Neuron]) -> Judgement:
        """Call ``round`` in a task of its own, so that neither its exceptions nor a cancel inside ends the loop."""
        judgement = Judgement(snapshot)
        task = asyncio.create_task(self._guarded(judgement, peers), name="round")
        try:
            await asyncio.wait({task}, timeout=self.validator.deadline)
            late = not task.done()
        finally:
            task.cancel()
        if late:
            await asyncio.wait({task}, timeout=GRACE)
            judgement = Judgement(
                snapshot,
                judgement.started,
                dict(judgement.heard),
                error=TimeoutError(f"the round took more than {self.validator.deadline} s"),
            )
        return judgement

    async def _guarded(self, judgement: Judgement, peers: Sequence[Neuron]) -> None:
        judgement.heard = begin_journal()
        try:
            judgement.scores = self._accepted(judgement.metagraph, await self.validator.round(peers))
        except BaseException as error:  # a SystemExit or a cancel out of user code ends its round only
            judgement.error = error

    def _accepted(self, metagraph: Metagraph, returned: Mapping[Uid, float]) -> dict[Hotkey, float]:
        """The round's scores by hotkey, finite; raises TypeError or ValueError for what is no mapping of scores."""
        if not isinstance(returned, Mapping):
            raise TypeError(f"round() returned {type(returned).__name__}, expected a mapping of uid to score")
        accepted = {}
        for uid, score in returned.items():
            if not 0 <= int(uid) < len(metagraph) or metagraph.hotkeys[int(uid)] == self.hotkey:
                log.warning("score_ignored", extra={"uid": int(uid), "reason": "no peer"})
                continue
            value = float(score)
            if not math.isfinite(value):
                log.warning("score_ignored", extra={"uid": int(uid), "reason": f"{value} counts as 0"})
                value = 0.0
            accepted[metagraph.hotkeys[int(uid)]] = value
        return accepted

    async def _record(self, judgement: Judgement, seconds: float) -> None:
        """Move the scores, put the round on disk, and only then take the new scores as ours."""
        if self._ledger is None:
            return
        number = await asyncio.to_thread(self._ledger.next_round)
        scores = self._moved(judgement)
        done = Round(
            id=number,
            block=judgement.metagraph.block,
            started=judgement.started,
            ended=time.time(),
            asked=len(judgement.heard),
            answered=sum(heard.answered for heard in judgement.heard.values()),
            error=None if judgement.error is None else _told(judgement.error),
        )
        gone = [hotkey for hotkey in self.scores if hotkey not in scores]
        changed = [score for hotkey, score in scores.items() if score is not self.scores.get(hotkey)]
        results = _results(judgement, scores)
        if not await asyncio.to_thread(self._ledger.record, done, results, changed, gone):
            raise StoreError(f"round {number} is in the ledger already", remedy="Restart the validator.")
        for hotkey in gone:
            log.info("score_dropped", extra={"hotkey": hotkey, "uid": self.scores[hotkey].uid})
        self.scores = scores
        self._tell(done, judgement, seconds, gone)

    def _moved(self, judgement: Judgement) -> dict[Hotkey, Score]:
        """All scores after the round: of the hotkeys that are on the subnet now, and were when it began."""
        now, then = self.follower.snapshot, judgement.metagraph
        moving = current(self.scores, now)
        stayed = {hotkey for hotkey in judgement.scores if _registered(now, hotkey) == _registered(then, hotkey)}
        judged = {hotkey: score for hotkey, score in judgement.scores.items() if hotkey in stayed}
        moved = self.validator.move(moving, judged)
        scores = {}
        for hotkey, value in moved.items():
            neuron, old = now.neuron(hotkey), self.scores.get(hotkey) if hotkey in moving else None
            if neuron is None:
                continue
            if old is not None and hotkey not in judged and old.value == value and old.uid == neuron.uid:
                scores[hotkey] = old
                continue
            rounds = (old.rounds if old else 0) + (hotkey in judged)
            registered = neuron.block_at_registration
            scores[hotkey] = Score(hotkey, neuron.uid, float(value), rounds, registered, then.block, time.time())
        return scores

    def _tell(self, done: Round, judgement: Judgement, seconds: float, gone: Sequence[Hotkey]) -> None:
        told: dict[str, Any] = {
            "round": done.id,
            "block": done.block,
            "asked": done.asked,
            "answered": done.answered,
            "scored": len(judgement.scores),
            "seconds": round(seconds, 3),
        }
        failures = Counter(heard.reason for heard in judgement.heard.values() if heard.reason)
        if failures:
            told["failures"] = dict(failures.most_common(MOST_REASONS))
        if judgement.error is None:
            log.info("round", extra=told)
        else:
            self.failed_rounds += 1
            log.error("round_failed", extra=told | {"error": done.error}, exc_info=judgement.error)
        if self._metrics is None:
            return
        self._metrics.count("subnet_rounds_total", outcome="ok" if judgement.error is None else "failed")
        self._metrics.gauge("subnet_round_seconds", seconds)
        for hotkey in judgement.scores:
            if hotkey in self.scores:
                self._metrics.gauge("subnet_score", self.scores[hotkey].value, peer=hotkey)
        for hotkey in gone:
            self._metrics.forget("subnet_score", peer=hotkey)


def _registered(metagraph: Metagraph, hotkey: Hotkey) -> int | None:
    neuron = metagraph.neuron(hotkey)
    return None if neuron is None else neuron.block_at_registration


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _results(judgement: Judgement, scores: Mapping[Hotkey, Score]) -> list[Result]:
    """What the ledger keeps of each miner that was asked or judged, by uid."""
    results = []
    for hotkey in {**judgement.heard, **judgement.scores}:
        uid = judgement.metagraph.uid_of(hotkey)
        heard = judgement.heard.get(hotkey)
        if uid is None:
            continue
        moved = hotkey in judgement.scores and hotkey in scores
        results.append(
            Result(
                hotkey,
                uid,
                judgement.scores.get(hotkey),
                reason=heard.reason if heard else None,
                elapsed=heard.elapsed if heard else None,
                moving=scores[hotkey].value if moved else None,
                receipts=tuple(heard.receipts) if heard else (),
            )
        )
    return sorted(results, key=lambda result: result.uid)
