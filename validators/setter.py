"""Sets a validator's weights once per tempo, and believes the chain only.

One pass of the loop waits until the epoch's window opens, reads metagraph and hyperparameters
anew, turns the scores that hold now into weights, sends them, and reads back what the chain holds.
What fails is logged with its remedy, counted, and tried again in the next block until the epoch
runs. A restart inside the window asks the chain whether the weights are there already.

Log events, each with its ``epoch``: ``weights_set`` (block, uids, weights, extrinsic),
``weights_found`` (block: they were there already), ``weights_waiting`` (reason, remedy; once per
epoch and reason), ``weights_failed`` (code, error, remedy), ``weights_missed``.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from subnet.errors import ExtrinsicFailed
from subnet.service import register_remedy
from subnet.store import Score, WeightsSet
from subnet.types import Hotkey, Metagraph, Netuid, Neuron, Uid
from subnet.validators.weights import as_weights, current, window

if TYPE_CHECKING:
    from substrateinterface import Keypair

    from subnet.chain import Hyperparameters
    from subnet.service import ChainClient
    from subnet.store import Ledger
    from subnet.telemetry import Metrics

log = logging.getLogger(__name__)

Weigh = Callable[[Mapping[Hotkey, float], Metagraph], Mapping[Uid, float]]

STALL: Final = 180.0
"""Seconds without a new block before the chain counts as stalled."""
_STRIDE: Final = 5  # blocks between two looks at the clock: an owner may change the tempo meanwhile
_BREATH: Final = 0.1


class NotNow(Exception):
    """Inside this module: why there is nothing to send in this block, and what would mend it."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.reason, self.remedy = reason, remedy
        self.ordinary = reason in ("no-permit", "no-scores", "rate-limited")  # these pass by themselves


class WeightSetter:
    """Sends the weights of one validator; ``counts`` holds how often each outcome happened.

    ``scores`` gives the moving scores as they are now; ``weigh`` turns them into shares by uid.
    """

    def __init__(
        self,
        chain: ChainClient,
        key: Keypair,
        netuid: Netuid,
        ledger: Ledger,
        *,
        scores: Callable[[], Mapping[Hotkey, Score]],
        weigh: Weigh,
        metrics: Metrics | None = None,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._chain, self._key, self._netuid, self._ledger = chain, key, netuid, ledger
        self._scores, self._weigh, self._metrics = scores, weigh, metrics
        self._hotkey = Hotkey(key.ss58_address)
        self._done: int | None = None  # the epoch whose weights the chain holds
        self._sent: tuple[int, dict[Uid, int]] | None = None  # the last epoch we sent for, and what
        self._told: tuple[int, str] | None = None

    async def step(self) -> float:
        """One pass: set the weights if it is time, then wait for the block to look again."""
        head = await self._chain.block_number()
        epoch = await self._chain.next_epoch_block(self._netuid)
        if epoch is None:
            await self._chain.wait_for_block(head + _STRIDE, timeout=STALL)
            return _BREATH
        self._note_missed(epoch)
        tempo = (await self._chain.hyperparameters(self._netuid)).tempo
        opens = window(epoch, tempo)
        if self._done == epoch:
            target = int(epoch)
        elif head < opens:
            target = opens
        else:
            await self._attempt(epoch, opens)
            target = head + 1
        await self._chain.wait_for_block(min(target, head + _STRIDE), timeout=STALL)
        return _BREATH

    async def _attempt(self, epoch: int, opens: int) -> None:
        try:
            await self._set(epoch, opens)
        except NotNow as wait:
            if self._told != (epoch, wait.reason):
                self._told = (epoch, wait.reason)
                told = {"epoch": epoch, "reason": wait.reason, "remedy": wait.remedy}
                log.log(logging.INFO if wait.ordinary else logging.WARNING, "weights_waiting", extra=told)
        except ExtrinsicFailed as error:
            self._count("failed")
            told = {"code": error.code, "error": error.message, "remedy": error.remedy}
            log.warning("weights_failed", extra={"epoch": epoch, **told})

    async def _set(self, epoch: int, opens: int) -> None:
        metagraph, rules = await asyncio.gather(
            self._chain.metagraph(self._netuid), self._chain.hyperparameters(self._netuid)
        )
        me = self._allowed(metagraph, rules)
        if await self._there_already(me, epoch, opens):
            return
        uids, weights = self._weights(metagraph, rules, me)
        if metagraph.block - me.last_update < rules.weights_rate_limit:
            remedy = f"The subnet takes a validator's weights every {rules.weights_rate_limit} blocks."
            raise NotNow("rate-limited", remedy)
        self._sent = (epoch, _nonzero(uids, weights))
        included = await self._chain.set_weights(
            self._key, self._netuid, uids, weights, version_key=rules.weights_version_key
        )
        if await self._held(me.uid) != self._sent[1]:
            self._count("unseen")
            told = {
                "block": included.block,
                "epoch": epoch,
                "error": "the chain holds other weights than were sent",
            }
            log.warning("weights_failed", extra=told | {"code": "weights.unseen", "remedy": "They are sent again."})
            return
        self._done = epoch
        self._count("ok")
        told = {"block": included.block, "epoch": epoch, "uids": uids, "weights": weights}
        await self._keep(WeightsSet(included.block, tuple(uids), tuple(weights), included.extrinsic_hash, time.time()))
        log.info("weights_set", extra=told | {"extrinsic": included.extrinsic_hash})

    async def _there_already(self, me: Neuron, epoch: int, opens: int) -> bool:
        """Whether the chain took this epoch's weights, although nobody here saw it: this process was killed in
        between, or the answer got lost."""
        if me.last_update < opens or me.last_update <= me.block_at_registration:
            return False
        held = await self._held(me.uid)
        if not held or (self._sent is not None and self._sent != (epoch, held)):
            return False
        self._done = epoch
        await self._keep(WeightsSet(me.last_update, tuple(held), tuple(held.values()), "", time.time()))
        log.info("weights_found", extra={"block": me.last_update, "epoch": epoch})
        return True

    async def _keep(self, weights: WeightsSet) -> None:
        def keep() -> None:
            last = self._ledger.weights(limit=1)
            if not last or last[0].block != weights.block:
                self._ledger.add_weights(weights)

        await asyncio.to_thread(keep)

    def _allowed(self, metagraph: Metagraph, rules: Hyperparameters) -> Neuron:
        """Our neuron, if it may set weights as things stand; NotNow says what keeps it from it."""
        me = metagraph.neuron(self._hotkey)
        if me is None:
            raise NotNow("not-registered", register_remedy(self._netuid, self._hotkey))
        if not me.validator_permit and me.hotkey != metagraph.owner_hotkey:
            raise NotNow(
                "no-permit",
                "Permits are given at each epoch by stake, and count from the next on: wait for it, or stake more.",
            )
        if rules.commit_reveal_enabled:
            raise NotNow("commit-reveal", "The subnet takes committed weights only; its owner can switch that off.")
        return me

    def _weights(self, metagraph: Metagraph, rules: Hyperparameters, me: Neuron) -> tuple[list[Uid], list[int]]:
        shares = self._weigh(current(self._scores(), metagraph), metagraph)
        try:
            uids, weights = as_weights(
                shares,
                own_uid=me.uid,
                min_allowed_weights=rules.min_allowed_weights,
                max_weights_limit=rules.max_weights_limit,
            )
        except ValueError as error:
            raise NotNow("limits", f"{error}; score more miners.") from None
        if not uids:
            raise NotNow("no-scores", "No miner has a score above zero yet.")
        return uids, weights

    async def _held(self, uid: Uid) -> dict[Uid, int]:
        """What the chain holds as our weights now, without zeros."""
        row = (await self._chain.weights(self._netuid)).get(uid, [])
        return {target: weight for target, weight in row if weight}

    def _note_missed(self, epoch: int) -> None:
        """Say so if an epoch ran for which there were weights that the chain never took."""
        if self._sent is None or epoch <= self._sent[0]:
            return
        (sent, _), self._sent = self._sent, None
        if self._done != sent:
            self._count("missed")
            log.error("weights_missed", extra={"epoch": sent, "remedy": "Read why they failed above."})

    def _count(self, outcome: str) -> None:
        self.counts[outcome] += 1
        if self._metrics is not None:
            self._metrics.count("subnet_weights_set_total", outcome=outcome)


def _nonzero(uids: list[Uid], weights: list[int]) -> dict[Uid, int]:
    return {uid: weight for uid, weight in zip(uids, weights, strict=True) if weight}
