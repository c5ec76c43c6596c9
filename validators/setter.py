"""Sets a validator's weights once per tempo, and believes the chain only.

One pass of the loop waits until the epoch's window opens, reads metagraph and hyperparameters
anew, turns the scores that hold now into weights, sends them, and reads back what the chain holds.
What fails is logged with its remedy, counted, and tried again in the next block until the epoch
runs. In the last blocks before it, the chain is asked whether it still holds them: a fork may have
taken them away. A restart inside the window asks whether the weights are there already. Where the
subnet wants commits, :mod:`subnet.validators.commits` sends and later reveals them. Each mechanism
of a subnet has a setter of its own.

Log events, each with its ``epoch``: ``weights_set`` (block, uids, weights, extrinsic),
``weights_found`` (block: they were there already), ``weights_waiting`` (reason, remedy; once per
epoch and reason), ``weights_failed`` (code, error, remedy), ``weights_missed`` (reason, remedy:
:mod:`subnet.validators.epochs`); and ``chain_reset`` (block, was: the heads).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from subnet.chain.endpoints import LAG
from subnet.errors import ChainError, ChainTimeout, ConfigError, ExtrinsicFailed
from subnet.follower import next_block
from subnet.health import Health
from subnet.service import register_remedy
from subnet.store import Score, WeightsSet
from subnet.types import Block, Hotkey, Metagraph, Netuid, Neuron, Uid
from subnet.validators.commits import Commits, held_weights, keep_weights, nonzero, part
from subnet.validators.epochs import PASSING, Epochs, Tally, Why
from subnet.validators.weights import FORMS, as_weights, burned, current, window

if TYPE_CHECKING:
    from substrateinterface import Keypair

    from subnet.chain import Hyperparameters
    from subnet.chain.sending import Sending
    from subnet.service import ChainClient
    from subnet.store import Ledger
    from subnet.telemetry import Metrics

log = logging.getLogger(__name__)

Weigh = Callable[[Mapping[Hotkey, float], Metagraph], Mapping[Uid, float]]

PATIENCE: Final = 36.0
"""Seconds that a send is followed: three of the real chain's blocks. The next pass sees whether it landed after all."""
FINAL_PATIENCE: Final = 96.0
"""The same until finality, which lags by some blocks."""
STALL: Final = 180.0
"""Seconds without a new block before the chain counts as stalled."""
_STRIDE: Final = 5  # blocks between two looks at the clock: an owner may change the tempo meanwhile
_LAST_LOOKS: Final = 6  # blocks before the epoch, at most, in which it is seen whether the weights are there still
_BREATH: Final = 0.1


@dataclass(frozen=True, slots=True)
class WeightPolicy:
    """How scores become the chain's weights.

    ``burn`` (0 to 1) is the share that goes to the subnet's owner, whose incentive the chain burns; while nobody
    has a score above zero, all of it does (with 0, nothing is sent then). ``commit`` is how weights are committed
    where the subnet wants that: ``"hash"``, ``"timelock"``, ``"auto"``. With ``final`` an extrinsic counts when
    its block can't be replaced any more, else when it is in a block. Raises ConfigError for what can't work.
    """

    burn: float = 0.0
    commit: str = "auto"
    final: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.burn <= 1:
            raise ConfigError(f"burn can't be {self.burn}", remedy="Write a share from 0 to 1.")
        if self.commit not in FORMS:
            raise ConfigError(f"commit can't be {self.commit!r}", remedy=f"Write one of {', '.join(FORMS)}.")


class NotNow(Exception):
    """Inside this module: why there is nothing to send in this block, and what would mend it."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.reason, self.remedy = reason, remedy
        self.ordinary = reason in PASSING


class WeightSetter:
    """Sends the weights of one validator in one mechanism; ``counts`` holds how often each outcome happened.

    ``scores`` gives the moving scores as they are now; ``weigh`` turns them into shares by uid. ``health``
    hears of what keeps the weights from the chain.
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
        policy: WeightPolicy = WeightPolicy(),
        mechanism: int = 0,
        metrics: Metrics | None = None,
        health: Health | None = None,
    ) -> None:
        self._tally = Tally(mechanism, metrics)
        self.counts: Counter[str] = self._tally.counts
        self._chain, self._key, self._netuid, self._ledger = chain, key, netuid, ledger
        self._scores, self._weigh = scores, weigh
        self._policy, self._mechanism, self._health = policy, mechanism, health or Health()
        self._reach = part("chain", mechanism)  # or one mechanism that is well would end another's trouble
        self._epochs = Epochs(part("weights", mechanism), self._tally, self._health)
        self._hotkey = Hotkey(key.ss58_address)
        self._sending: Sending = (
            {"wait": "finality", "timeout": FINAL_PATIENCE} if policy.final else {"timeout": PATIENCE}
        )
        self._commits = Commits(
            chain,
            key,
            netuid,
            ledger,
            form=policy.commit,
            mechanism=mechanism,
            sending=self._sending,
            tally=self._tally,
            health=self._health,
        )
        self._sent: tuple[int, dict[int, int]] | None = None  # the last epoch we sent for, and what
        self._told: tuple[int, str] | None = None  # the epoch and reason of the last NotNow
        self._highest = 0  # the head, as far as it had come

    def look(self, snapshot: Metagraph) -> None:
        """A metagraph was read: where it has our uid, or permit, its lack is no trouble any more. The next weights,
        which would show that too, may be an hour away."""
        me = snapshot.neuron(self._hotkey)
        if me is not None:
            self._epochs.mended("not-registered")
            if me.validator_permit or me.hotkey == snapshot.owner_hotkey:
                self._epochs.mended("no-permit")

    async def step(self) -> float:
        """One pass: set the weights if it is time, then wait for the block to look again."""
        try:
            return await self._step()
        except ChainError as error:
            self._health.trouble(self._reach, error.message, error.remedy)
            self._epochs.kept_back(Why.of(error))
            raise
        except (Exception, SystemExit) as error:  # out of user code, for one: the loop logs it and goes on
            self._epochs.kept_back(Why.of(error))
            raise

    async def _step(self) -> float:
        head = await self._chain.block_number()
        await self._note_reset(head)
        epoch = await self._chain.next_epoch_block(self._netuid)
        if epoch is None:
            self._health.well(self._reach)
            await next_block(self._chain, head + _STRIDE, seen=head, timeout=STALL)
            return _BREATH
        if self._epochs.is_new(epoch):
            head = await self._chain.block_number()  # the epoch may have run since the head was read
        if self._epochs.turn(epoch, head):
            self._sent = None
        tempo = (await self._chain.hyperparameters(self._netuid)).tempo
        again = await self._commits.follow(head, tempo)
        opens = window(epoch, tempo)
        closes = epoch - min(_LAST_LOOKS, (epoch - opens) // 2)
        if self._epochs.done == epoch and head >= closes:
            await self._look_again(epoch, opens, head)
        if self._epochs.done == epoch:
            target = max(head + 1, closes)
        elif head < opens:
            target = opens
        else:
            await self._attempt(epoch, opens, head)
            target = head + 1
        self._health.well(self._reach)
        until = head + 1 if again else min(target, head + _STRIDE)
        await next_block(self._chain, until, seen=head, timeout=STALL)
        return _BREATH

    async def _attempt(self, epoch: int, opens: int, head: int) -> None:
        try:
            await self._set(epoch, opens, head)
        except NotNow as wait:
            self._epochs.kept_back(Why(wait.reason, wait.remedy))
            if not wait.ordinary:
                self._epochs.trouble(wait.reason, wait.reason, wait.remedy)
            if self._told != (epoch, wait.reason):
                self._told = (epoch, wait.reason)
                told = {"epoch": epoch, "reason": wait.reason, "remedy": wait.remedy}
                log.log(logging.INFO if wait.ordinary else logging.WARNING, "weights_waiting", extra=told)
        except ExtrinsicFailed as error:
            self._failed(epoch, "failed", Why("refused", error.remedy, error.message), error.code)

    async def _set(self, epoch: int, opens: int, head: int) -> None:
        count = await self._chain.mechanism_count(self._netuid) if self._mechanism else 1
        if self._mechanism >= count:
            raise NotNow("no-mechanism", f"The subnet has {count}: run with -o mechanisms={count}.")
        metagraph, rules = await asyncio.gather(
            self._chain.metagraph(self._netuid, mecid=self._mechanism), self._chain.hyperparameters(self._netuid)
        )
        me = self._allowed(metagraph)
        if rules.commit_reveal_enabled and await self._commits.has_one_since(opens):
            self._epochs.arrived(epoch)
            return
        if not rules.commit_reveal_enabled and await self._there_already(me, epoch, opens):
            self._epochs.arrived(epoch)
            return
        uids, weights = self._weights(metagraph, rules, me)
        if metagraph.block - me.last_update < rules.weights_rate_limit:
            remedy = f"The subnet takes a validator's weights every {rules.weights_rate_limit} blocks."
            raise NotNow("rate-limited", remedy)
        self._sent = (epoch, nonzero(uids, weights))
        if rules.commit_reveal_enabled:
            await self._commits.commit(uids, weights, rules.weights_version_key, epoch=epoch, head=head)
            self._epochs.arrived(epoch)
        else:
            await self._set_openly(uids, weights, rules.weights_version_key, epoch)

    async def _set_openly(self, uids: list[Uid], weights: list[int], version_key: int, epoch: int) -> None:
        try:
            included = await self._chain.set_weights(
                self._key, self._netuid, uids, weights, version_key, mechanism=self._mechanism, **self._sending
            )
        except ChainTimeout:
            self._tally.count("timeout")  # whether it landed, the next pass sees
            raise
        if await self._held() != nonzero(uids, weights):
            error = f"the chain holds other weights than were sent in block {included.block}"
            self._failed(epoch, "unseen", Why("unseen", "They are sent again.", error), "weights.unseen")
            return
        self._epochs.arrived(epoch)
        self._commits.went_openly()
        self._tally.count("ok")
        told = {"block": included.block, "epoch": epoch, "uids": uids, "weights": weights}
        await self._keep(included.block, uids, weights, included.extrinsic_hash)
        log.info("weights_set", extra=told | {"extrinsic": included.extrinsic_hash})

    async def _there_already(self, me: Neuron, epoch: int, opens: int) -> bool:
        """Whether the chain took this epoch's weights, although nobody here saw it: this process was killed in
        between, or the answer got lost."""
        if me.last_update < opens or me.last_update <= me.block_at_registration:
            return False
        held = await self._held()
        if not held or (self._sent is not None and self._sent != (epoch, held)):
            return False
        self._commits.went_openly()
        await self._keep(me.last_update, list(held), list(held.values()), "")
        log.info("weights_found", extra={"block": me.last_update, "epoch": epoch})
        return True

    async def _look_again(self, epoch: int, opens: int, head: int) -> None:
        """A fork may have taken away what the chain showed: there is time to send it again."""
        metagraph, rules = await asyncio.gather(
            self._chain.metagraph(self._netuid, mecid=self._mechanism), self._chain.hyperparameters(self._netuid)
        )
        if metagraph.block < head:
            return  # of a node that is behind the one before it
        me = metagraph.neuron(self._hotkey)
        if rules.commit_reveal_enabled:
            held = await self._commits.still_has_one_since(opens)
        else:
            held = bool(await self._held())
        if held and me is not None and me.last_update >= opens:
            return
        self._epochs.done, self._sent = None, None
        error = "the chain does not hold the weights any more that it showed before"
        self._failed(epoch, "unseen", Why("unseen", "They are sent again.", error), "weights.gone")

    def _failed(self, epoch: int, outcome: str, why: Why, code: str) -> None:
        self._tally.count(outcome)
        self._epochs.kept_back(why)
        self._epochs.trouble(why.reason, why.error, why.remedy)
        log.warning("weights_failed", extra={"epoch": epoch, "code": code, "error": why.error, "remedy": why.remedy})

    async def _keep(self, block: Block, uids: Sequence[int], weights: Sequence[int], extrinsic: str) -> None:
        targets, now = tuple(Uid(uid) for uid in uids), time.time()
        kept = WeightsSet(block, targets, tuple(weights), extrinsic, now, self._mechanism)
        await asyncio.to_thread(keep_weights, self._ledger, kept)

    def _allowed(self, metagraph: Metagraph) -> Neuron:
        """Our neuron, if it may set weights as things stand; NotNow says what keeps it from it."""
        me = metagraph.neuron(self._hotkey)
        if me is None:
            raise NotNow("not-registered", register_remedy(self._netuid, self._hotkey))
        if not me.validator_permit and me.hotkey != metagraph.owner_hotkey:
            raise NotNow(
                "no-permit",
                "Permits are given at each epoch by stake, and count from the next on: wait for it, or stake more.",
            )
        return me

    def _weights(self, metagraph: Metagraph, rules: Hyperparameters, me: Neuron) -> tuple[list[Uid], list[int]]:
        shares: Mapping[Uid, float] = self._weigh(current(self._scores(), metagraph), metagraph)
        own: Uid | None = me.uid
        if self._policy.burn:
            owner = metagraph.uid_of(metagraph.owner_hotkey)
            if owner is None:
                raise NotNow("no-owner", "The subnet's owner has no uid to burn by; run without burn meanwhile.")
            shares = burned(shares, self._policy.burn, owner, me.uid)
            own = None if owner == me.uid else own  # the chain drops every self-weight but the owner's
        try:
            uids, weights = as_weights(
                shares,
                own_uid=own,
                min_allowed_weights=rules.min_allowed_weights,
                max_weights_limit=rules.max_weights_limit,
            )
        except ValueError as error:
            raise NotNow("limits", f"{error}; score more miners.") from None
        if not uids:
            raise NotNow("no-scores", "No miner has a score above zero yet.")
        return uids, weights

    async def _note_reset(self, head: int) -> None:
        """Forget what was in blocks that are gone, where the chain (a local one) went back to an earlier block.

        By a few blocks a fork, or a node that is late, explains it; and what is forgotten, the chain is asked for.
        """
        was, self._highest = self._highest, max(self._highest, head)
        await self._commits.doubt(head + LAG)
        if head + LAG < was:
            log.warning("chain_reset", extra={"block": head, "was": was})
            self._highest = head
            self._sent = self._told = None
            self._epochs.forget()

    async def _held(self) -> dict[int, int]:
        return await held_weights(self._chain, self._netuid, self._hotkey, self._mechanism)
