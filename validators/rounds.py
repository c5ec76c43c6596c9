"""The round engine: who is asked when, how long a round may take, and in which order rounds count.

A validator has ``rounds_at_once`` places and a lane more, each lane a loop over :meth:`Rounds.one`: wait for a place
and for the next start (``interval`` seconds after the last one's, whichever lane that was), sample, call
``round`` under its deadline, leave the place, wait for the rounds that began earlier, and hand the judgement to the
scorebook. So rounds may overlap, none waits for the disk, and scores still move in the order in which their rounds
began. A round that raises, hangs or is cancelled inside is recorded with its error, and the next one comes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from subnet.errors import SubnetError
from subnet.health import Health, Streak
from subnet.types import Metagraph, Neuron
from subnet.validators.journal import begin_journal
from subnet.validators.scorebook import Judgement, Scorebook, by_hotkey

if TYPE_CHECKING:
    from subnet.validators.base import Validator

log = logging.getLogger(__name__)

GRACE: Final = 2.0
"""Seconds that a cancelled round has to end before it is given up."""
TURNS: Final = 8
"""Turns of the loop after which a round that begins now has its requests on the way; it takes four."""
IDLE: Final = 1.0
"""Seconds before the next start, at the least, where there was nobody to ask or a round failed."""


class Rounds:
    """Asks, judges and records; ``snapshot`` gives the newest metagraph, ``health`` hears of ever more failures."""

    def __init__(
        self,
        validator: Validator,
        book: Scorebook,
        snapshot: Callable[[], Metagraph],
        health: Health | None = None,
    ) -> None:
        self._validator, self._book, self._snapshot = validator, book, snapshot
        self._streak = Streak(health or Health(), "rounds")
        self._places = asyncio.Semaphore(validator.rounds_at_once)
        self._door = asyncio.Lock()  # one lane at a time begins a round
        self._opens = 0.0  # when the next one may begin, by the loop's clock
        self._last: asyncio.Future[None] | None = None  # of the round that began last: done when it is recorded
        self._lonely = False

    @property
    def lanes(self) -> int:
        """How many loops over :meth:`one` keep the places taken while a round is being recorded."""
        return self._validator.rounds_at_once + 1

    async def one(self) -> float:
        """One pass of a lane: one round, from its start until it is recorded; the pause before the next pass."""
        recorded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            async with self._places:
                async with self._door:
                    snapshot, peers = await self._begin()
                    if not peers:
                        return 0.0
                    earlier, self._last = self._last, recorded
                judgement = await self._judge(snapshot, peers)
            if earlier is not None:
                await asyncio.wait({earlier})
            await self._let_the_next_ask_first()
            await self._book.record(judgement)
            self._tell(judgement.error)
        finally:
            if not recorded.done():
                recorded.set_result(None)
        return 0.0

    def _tell(self, error: BaseException | None) -> None:
        if error is None:
            self._streak.passed()
        else:
            remedy = error.remedy if isinstance(error, SubnetError) else "The log has the traceback, at round_failed."
            self._streak.failed(f"{type(error).__name__}: {error}", remedy)

    async def _let_the_next_ask_first(self) -> None:
        """Where another round begins at once, its requests go out before this one is recorded: the miners work
        meanwhile, and the disk's thread does not wait for the loop at its busiest."""
        for _ in range(TURNS):
            await asyncio.sleep(0)

    async def _begin(self) -> tuple[Metagraph, Sequence[Neuron]]:
        """Wait until the next round may begin; whom it asks, by which metagraph."""
        await asyncio.sleep(max(0.0, self._opens - time.monotonic()))
        self._opens = time.monotonic() + self._validator.interval
        snapshot = self._snapshot()
        peers = list(self._validator.sample(snapshot))
        if not peers:
            self._not_before(IDLE)
            if not self._lonely:
                log.info("no_peers", extra={"block": snapshot.block, "neurons": len(snapshot)})
        self._lonely = not peers
        return snapshot, peers

    def _not_before(self, pause: float) -> None:
        self._opens = max(self._opens, time.monotonic() + pause)

    async def _judge(self, snapshot: Metagraph, peers: Sequence[Neuron]) -> Judgement:
        """Call ``round`` in a task of its own, so that neither its exceptions nor a cancel inside ends the loop."""
        judgement, began = Judgement(snapshot), time.monotonic()
        task = asyncio.create_task(self._guarded(judgement, peers), name="round")
        try:
            await asyncio.wait({task}, timeout=self._validator.deadline)
            late = not task.done()
        finally:
            task.cancel()
        if late:
            await asyncio.wait({task}, timeout=GRACE)
            judgement = Judgement(
                snapshot,
                started=judgement.started,
                heard=dict(judgement.heard),  # what it does from now on is nobody's concern
                error=TimeoutError(f"the round took more than {self._validator.deadline} s"),
            )
        judgement.seconds = time.monotonic() - began
        if judgement.error is not None:
            self._not_before(IDLE)
        return judgement

    async def _guarded(self, judgement: Judgement, peers: Sequence[Neuron]) -> None:
        judgement.heard = begin_journal()
        try:
            returned = await self._validator.round(peers)
            judgement.scores = by_hotkey(judgement.metagraph, returned, self._validator.hotkey)
        except BaseException as error:  # a SystemExit or a cancel out of user code ends its round only
            judgement.error = error
