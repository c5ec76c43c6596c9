"""A validator's life: registered? → ledger → load → rounds, truths, weights and metagraph, each in its loop.

Rounds (:mod:`subnet.validators.rounds`), users' requests (:mod:`subnet.validators.organic`) and truths that arrive
(:mod:`subnet.validators.truths`) end in the scorebook (:mod:`subnet.validators.scorebook`), whatever the chain does
meanwhile: they work on the last metagraph snapshot. Scores belong to hotkeys: of one that left, or left and came
back, the score is void; one that was not judged keeps its score.

Log events: ``validating`` (round, scores), ``round`` (round, block, asked, answered, scored,
seconds, failures: how many peers for which reason), ``round_failed`` (the same, with the
traceback), ``no_peers``, ``score_ignored`` (uid, reason), ``score_dropped`` (hotkey, uid),
``loop_failed``, ``fresh_ledger`` (genesis, others: the last chains that it
has scored on), ``stopped``, and those of the truths, the organic API, :mod:`subnet.registration`,
:mod:`subnet.validators.mechanisms` and :mod:`subnet.validators.setter`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from subnet.errors import ConfigError
from subnet.follower import Follower
from subnet.health import Health
from subnet.pulse import Pulse
from subnet.registration import Registration
from subnet.service import Loops, Service, load, warn_unread
from subnet.store import Ledger, Score
from subnet.types import Hotkey, Netuid
from subnet.validators.commits import check_form
from subnet.validators.mechanisms import MechanismCount
from subnet.validators.rounds import Rounds
from subnet.validators.scorebook import Scorebook
from subnet.validators.setter import WeightPolicy, WeightSetter
from subnet.validators.truths import Truths

if TYPE_CHECKING:
    from substrateinterface import Keypair

    from subnet.service import ChainClient
    from subnet.telemetry import Metrics
    from subnet.validators.base import Validator
    from subnet.validators.gateway import Gate, Gateway
    from subnet.validators.querier import Querier

log = logging.getLogger(__name__)

FRESH: Final = "Nothing was scored on this chain so far. If one of the others is meant, correct --endpoint."


class ValidatorService(Service):
    """Runs one Validator on one subnet under one hotkey.

    ``chain``, ``key`` and ``querier`` (default: a Dendrite of its own) stay the caller's; ``path`` is the
    ledger's file. With ``gate`` users may ask through it (:mod:`subnet.validators.gateway`).
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
        gate: Gate | None = None,
    ) -> None:
        super().__init__()
        self.health = health or Health()
        self.validator, self.netuid, self.hotkey = validator, netuid, Hotkey(key.ss58_address)
        self.loops = Loops(self.health, metrics)
        self.follower = Follower(
            chain, netuid, self.hotkey, every=validator.refresh_blocks, metrics=metrics, health=self.health
        )
        self.follower.listen(lambda snapshot: validator.attach(self.hotkey, snapshot))
        self.follower.listen(Registration(netuid, self.hotkey, self.health).look)
        self._chain, self._key, self._path, self._querier = chain, key, path, querier
        self._metrics, self._gate = metrics, gate
        self.gateway: Gateway | None = None
        self._ledger: Ledger | None = None
        self._book: Scorebook | None = None
        self._close: list[Any] = []

    @property
    def scores(self) -> Mapping[Hotkey, Score]:
        """The moving scores, as they are on disk; none before :meth:`start`."""
        return self._book.scores if self._book is not None else {}

    @property
    def failed_rounds(self) -> int:
        """Rounds that ended in an error since the start."""
        return self._book.failed_rounds if self._book is not None else 0

    async def start(self) -> None:
        """Validating when this returns.

        Raises NotRegistered, ChainError, StoreError, DeclarationError if load() fails, ConfigError for settings that
        can't work, and MissingExtra if time-locked commits are asked for and can't be made here.
        """
        book, rounds, truths = await self.prepare()
        log.info("validating", extra={"round": book.next_round, "scores": len(self.scores)})
        self.loops.start("metagraph", self.follower.follow)
        pulse = Pulse(
            self._chain,
            stall=self.validator.stall,
            patience=self.validator.strange,
            health=self.health,
            give_up=self.give_up,
            metrics=self._metrics,
        )
        self.loops.start("pulse", pulse.look)
        for mechanism in range(self.validator.mechanisms):
            setter = self._setter(book.ledger, mechanism)
            self.follower.listen(setter.look)
            self.loops.start(f"weights-{mechanism}" if mechanism else "weights", setter.step)
        count = MechanismCount(self._chain, self.netuid, self.validator.mechanisms)
        self.loops.start("mechanisms", count.look)
        self.loops.start("truths", truths.step)
        for _ in range(rounds.lanes):
            self.loops.start("rounds", rounds.one)
        await self._open_gate(book)
        self.health.ready = True

    async def prepare(self) -> tuple[Scorebook, Rounds, Truths]:
        """Everything that :meth:`start` does before its loops begin; raises what it raises."""
        await self.follower.registered()
        ledger = self._ledger = await asyncio.to_thread(self._open)
        book = self._book = Scorebook(self.validator, ledger, lambda: self.follower.snapshot, self._metrics)
        truths = Truths(self.validator, book, ledger, lambda: self.follower.snapshot)
        self.validator.use(self._querier or self._dendrite(), truths)
        await load(self.validator)
        self.validator.check()
        check_form(self.validator.commit)
        if self._gate is not None and not self.validator.organic:
            raise ConfigError(
                f"{type(self.validator).__name__} has no synapses that users may ask",
                remedy="Declare them: organic = (Classify,), or leave --organic-port out.",
            )
        await asyncio.to_thread(book.restore)
        warn_unread(self.validator.options, type(self.validator).__name__)
        return book, Rounds(self.validator, book, lambda: self.follower.snapshot, self.health), truths

    async def stop(self) -> None:
        """Stop the loops and close what was opened; idempotent. A round under way is given up."""
        self.health.ready = False
        if self.gateway is not None:
            await self.gateway.stop()
        await self.loops.stop()
        if self._book is not None:
            await self._book.settled()
        dendrites, self._close = self._close, []
        for dendrite in dendrites:
            await dendrite.close()
        ledger, self._ledger = self._ledger, None
        if ledger is not None:
            await asyncio.to_thread(ledger.close)
            log.info("stopped", extra={"failures": dict(self.loops.failures)})

    async def _open_gate(self, book: Scorebook) -> None:
        """Let users in, where that is wanted."""
        if self._gate is None:
            return
        from subnet.validators.gateway import Gateway
        from subnet.validators.organic import Organic

        organic = Organic(self.validator, book, lambda: self.follower.snapshot, self._metrics)
        self.gateway = Gateway(organic, self._gate, self._metrics)
        await self.gateway.start()
        self.loops.start("organic", organic.step)

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
        ledger = Ledger(
            self._path,
            genesis_hash=self._chain.genesis_hash,
            netuid=self.netuid,
            validator=self.hotkey,
            keep_days=self.validator.keep_days,
            keep_receipts_days=self.validator.keep_receipts_days,
        )
        others = ledger.other_chains()[:3]
        if others and ledger.next_round() == 1:
            log.warning("fresh_ledger", extra={"genesis": self._chain.genesis_hash, "others": others, "remedy": FRESH})
        return ledger

    def _dendrite(self) -> Querier:
        from subnet.dendrite import Dendrite

        dendrite = Dendrite(self._key, netuid=self.netuid, genesis_hash=self._chain.genesis_hash)
        self._close.append(dendrite)
        return dendrite
