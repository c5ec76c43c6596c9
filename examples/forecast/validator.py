"""The validator of the forecast subnet: a reputer, too. A round is a step of the topic's clock.

While the window is open everybody is asked for a hash, and the truth of the step before is settled: its losses go to
all miners, those of other validators come back from them, and what they come to moves the scores. When the window has
closed, the forecasts behind the hashes are asked for. Late, none, or not what was hashed: all count as absent, and
score 0 at once. The others wait in the ledger for their truth. Out of them comes the network's forecast, before anybody
knows the truth.

Log events: ``forecast`` (step, value, low, high, workers), ``settled`` (step, truth, utility, reputers, together).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from subnet.dendrite import Ok
from subnet.examples.forecast.memory import restore, save
from subnet.examples.forecast.network import Forecast, Learned, Network
from subnet.examples.forecast.protocol import Commit, Losses, Opened, Report, Reveal, holds
from subnet.examples.forecast.reports import told
from subnet.examples.forecast.topic import TopicFile
from subnet.types import Hotkey, Neuron, Uid
from subnet.validators import Validator
from subnet.validators.truths import Question

log = logging.getLogger(__name__)

LATE: Final = 0.3
"""A validator that comes when so much of a window is over waits for the next step."""
EXCHANGE: Final = 0.7
"""By that part of the next window the other validators' reports must have come."""
PAUSE: Final = 0.15
"""Seconds between two looks for them."""


class ForecastValidator(Validator):
    """Options: ``topic`` (the file with the clock), ``memory`` (a file: what was learned survives a restart),
    ``record`` (a file: a line of JSON for each forecast and each truth).
    """

    interval = 0.0  # the topic's clock says when
    alpha = 0.1

    def load(self) -> None:
        self.topic = TopicFile(self.option("topic", ""))()
        memory, record = self.option("memory", ""), self.option("record", "")
        self._memory, self._record = Path(memory) if memory else None, Path(record) if record else None
        self.network = Network(unit=float(np.std(np.diff(self.topic.history(0)))))
        if self._memory is not None:
            restore(self.network, self._memory)
        self.deadline = max(self.deadline, 3 * self.topic.seconds)
        self.truth_retry = 2 * self.topic.seconds
        self._asked = self.network.step
        self._open: dict[int, dict[Hotkey, Opened]] = {}
        self._peers: Sequence[Neuron] = ()
        self._settling = asyncio.Lock()

    async def round(self, peers: Sequence[Neuron]) -> Mapping[Uid, float]:
        self._peers = peers
        step = await self._next_step()
        sealed, _ = await asyncio.gather(self._commits(step, peers), self._settle_before(step))
        await asyncio.sleep(self.topic.closes(step) - time.time())
        opened = await self._reveals(step, peers, sealed)
        self._publish(step, self.network.forecast(step, opened), opened)
        return {peer.uid: 0.0 for peer in peers if peer.hotkey not in opened}

    async def judge_deferred(self, question: Question) -> Mapping[Hotkey, float] | None:
        """What a step before a restart was worth; the others are settled by the round that follows theirs."""
        step = int(question.id.rpartition(" ")[2])
        if step in self._open:
            return None
        return await self._settle(step, question.answers(Opened))

    # Asking.

    async def _next_step(self) -> int:
        """Wait for a step that was not asked about yet, early in its window."""
        now = time.time()
        step = max(self.topic.step_at(now), 0)
        late = now > self.topic.opens(step) + LATE * self.topic.window * self.topic.seconds
        if step <= self._asked or late:
            step = max(step, self._asked) + 1
        await asyncio.sleep(self.topic.opens(step) - now)
        self._asked = step
        return step

    async def _commits(self, step: int, peers: Sequence[Neuron]) -> dict[Hotkey, bytes]:
        """The hashes that came while the window was open."""
        workers, losses = self.network.past_losses()
        question = Commit(step=step, history=self.topic.history(step), workers=list(workers), losses=losses)
        replies = await self.query(peers, question, timeout=self._left(self.topic.closes(step)))
        return {r.hotkey: r.value.digest for r in replies if isinstance(r, Ok) and r.value.digest}

    async def _reveals(
        self, step: int, peers: Sequence[Neuron], sealed: Mapping[Hotkey, bytes]
    ) -> dict[Hotkey, Opened]:
        """What was behind the hashes, kept until its truth comes."""
        asked = [peer for peer in peers if peer.hotkey in sealed]
        replies = await self.query(asked, Reveal(step=step), timeout=self._left(self.topic.revealed(step)))
        good = [r for r in replies if isinstance(r, Ok) and holds(r.hotkey, step, sealed[r.hotkey], r.value)]
        opened = {reply.hotkey: reply.value for reply in good}
        if await self.defer(f"{self.topic.origin:.0f} {step}", good, due=self.topic.known(step)):
            self._open[step] = opened
        return opened

    @staticmethod
    def _left(until: float) -> float:
        return max(until - time.time(), 0.05)

    # The truth.

    async def _settle_before(self, step: int) -> None:
        """Settle what is open of earlier steps, oldest first."""
        for one in sorted(self._open):
            if one < step and time.time() >= self.topic.known(one):
                opened = self._open[one]
                scores = await self._settle(one, opened)
                if scores is not None:
                    await self.resolve(f"{self.topic.origin:.0f} {one}", scores)
                del self._open[one]

    async def _settle(self, step: int, opened: Mapping[Hotkey, Opened]) -> dict[Hotkey, float] | None:
        """The scores of a step whose truth is known; None while it is not, or where nobody can be judged."""
        async with self._settling:
            if step <= self.network.step:  # the ledger stopped between learning and scoring
                return self.network.scores if step == self.network.step else {}
            truth = self.topic.truth(step)
            mine = None if truth is None else self.network.report(step, opened, truth)
            if truth is None or mine is None:
                return None if truth is None else {}
            reports = await self._exchanged(step, mine)
            learned = self.network.learn(step, opened, truth, reports)
            if learned is None:
                return {}
            if self._memory is not None:
                await asyncio.to_thread(save, self.network, self._memory)
            self._settled(step, truth, learned)
            return learned.scores

    async def _exchanged(self, step: int, mine: Losses) -> dict[Hotkey, tuple[float, Losses]]:
        """Everybody's losses with their stake: ours, and those of other validators with a permit that come in time."""
        others = {n.hotkey: float(n.stake) for n in self.metagraph if n.validator_permit and n.hotkey != self.hotkey}
        me = self.metagraph.neuron(self.hotkey)
        until = self.topic.opens(step + 1) + EXCHANGE * self.topic.window * self.topic.seconds
        found: dict[Hotkey, Losses] = {}
        while True:
            replies = await self.query(self._peers, Report(step=step, mine=mine), timeout=max(self._left(until), 0.5))
            found |= told(reply.value for reply in replies if isinstance(reply, Ok))
            if others.keys() <= found.keys() or time.time() + PAUSE > until:
                break
            await asyncio.sleep(PAUSE)
        reports = {hotkey: (others[hotkey], losses) for hotkey, losses in found.items() if others.get(hotkey, 0) > 0}
        return {self.hotkey: (max(float(me.stake), 1.0) if me else 1.0, mine), **reports}

    # What is told.

    def _publish(self, step: int, forecast: Forecast | None, opened: Mapping[Hotkey, Opened]) -> None:
        if forecast is None:
            log.info("forecast", extra={"step": step, "workers": 0})
            return
        low, high = (forecast.interval[0], forecast.interval[-1]) if forecast.interval else (None, None)
        about = {"step": step, "value": forecast.value, "low": low, "high": high, "workers": len(opened)}
        log.info("forecast", extra=about)
        inferences = {hotkey: one.value for hotkey, one in opened.items() if one.value is not None}
        self._note({"kind": "forecast", "step": step, **msgspec.to_builtins(forecast), "inferences": inferences})

    def _settled(self, step: int, truth: float, learned: Learned) -> None:
        split = learned.outcome.split
        about: dict[str, Any] = {"step": step, "truth": truth, "utility": split.utility, "reputers": learned.reputers}
        log.info("settled", extra={**about, "together": len(learned.seats)})
        tasks = {"inferers": split.inferers, "forecasters": split.forecasters, "reputers_part": split.reputers}
        self._note({"kind": "truth", **about, **tasks, "scores": learned.scores, "seats": learned.seats})

    def _note(self, line: dict[str, Any]) -> None:
        """A line for whoever watches; a disk that is full must not end the round."""
        if self._record is not None:
            with contextlib.suppress(OSError), self._record.open("ab") as file:
                file.write(msgspec.json.encode(line) + b"\n")
