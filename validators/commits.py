"""Weights on a subnet with commit-reveal: what was committed, and its way to the chain's rows of weights.

A commit is on disk, salt and all, before a byte of it is sent: whatever dies in between, what the chain
holds can be revealed, and nothing is revealed that the chain does not hold. From then on the chain alone
says what became of it: one that it lists is *committed*, one that it says it opened
(:mod:`subnet.validators.openings`) and whose weights stand in its row is *revealed*, and one that left the list
otherwise is *lost*. Hash commits are revealed by us, in the one epoch that is for them, again in each block until it
is done; time-locked ones (extra ``drand``) are opened by the chain, and only looked for.

Log events: ``weights_committed`` (epoch, block, due, form), ``weights_set`` once they are revealed and read
back, ``reveal_failed`` (code, error, remedy), ``weights_lost`` (committed, outcome, remedy).
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from subnet.chain.weights import WeightCommit
from subnet.errors import ChainRefused, ChainTimeout, ConfigError, ExtrinsicFailed, MissingExtra
from subnet.health import Health, Streak
from subnet.store import Commit, WeightsSet
from subnet.types import Block, Hotkey, Netuid, Uid
from subnet.validators.epochs import Tally
from subnet.validators.openings import Openings
from subnet.validators.weights import FORMS

if TYPE_CHECKING:
    from substrateinterface import Keypair

    from subnet.chain import Included
    from subnet.chain.sending import Sending
    from subnet.service import ChainClient
    from subnet.store import Ledger

log = logging.getLogger(__name__)

LANDS_WITHIN: Final = 64
"""Blocks after which a commit that the chain does not list never will be: its extrinsic is dead by then."""
_FINAL: Final = ("ExpiredWeightCommit", "CommitRevealDisabled")
"""Refusals of a reveal that will not pass in a later block."""
_REMEDY: Final = "The next epoch's weights take their place; look for what kept the reveal away above."


class Commits:
    """The commits of one validator in one mechanism of one subnet.

    ``form`` is ``"hash"``, ``"timelock"``, or ``"auto"``: time-locked where bittensor-drand is installed and
    the chain opens such commits, by hash elsewhere. ``tally`` counts each outcome, ``health`` hears of reveals
    that go on being refused and of commits that were lost, ``sending`` says how extrinsics are sent. Raises
    ConfigError for another form.
    """

    def __init__(
        self,
        chain: ChainClient,
        key: Keypair,
        netuid: Netuid,
        ledger: Ledger,
        *,
        form: str,
        mechanism: int,
        sending: Sending,
        tally: Tally,
        health: Health | None = None,
    ) -> None:
        if form not in FORMS:
            raise ConfigError(f"weights can't be committed by {form!r}", remedy=f"Write one of {', '.join(FORMS)}.")
        self._chain, self._key, self._netuid, self._ledger = chain, key, netuid, ledger
        self._hotkey, self._mechanism = Hotkey(key.ss58_address), mechanism
        self._sending, self._tally, self._health = sending, tally, health or Health()
        self._name = part("reveals", mechanism)
        self._refusals = Streak(self._health, self._name)
        self._openings = Openings(chain, netuid, self._hotkey, mechanism)
        self._latest = self._last_revealed(ledger)
        self._unseen: set[str] = set()  # hashes of those that were opened, but not seen in the row yet
        self._timelocked = form == "timelock" or (form == "auto" and _has_drand())
        self._may_fall_back = form == "auto"
        self.open = ledger.commits(mechanism)
        """Those that the chain has not finished with, oldest first."""

    def _last_revealed(self, ledger: Ledger) -> Commit | None:
        """The last one that we revealed, in this life or a former one: a fork may take its reveal away."""
        revealed = [one for one in ledger.commits(self._mechanism, ended=True) if one.outcome == "revealed"]
        return revealed[-1] if revealed and revealed[-1].salt else None

    async def doubt(self, block: int) -> None:
        """Commits that were seen in a block after this one are unseen again: the chain went back, and may hold them
        anew, or never."""
        for commit in self.open:
            if commit.block is not None and commit.block > block:
                await asyncio.to_thread(self._ledger.unsee_commit, commit.hash, Block(block))
                self._openings.forget(commit)
                self.open = await asyncio.to_thread(self._ledger.commits, self._mechanism)

    async def has_one_since(self, opens: int) -> bool:
        """Whether the chain holds a commit of ours from block ``opens`` on, whoever saw it arrive."""
        for commit in self.open:
            if commit.block is None:
                await self._look_for(commit)
        return any(commit.block is not None and commit.block >= opens for commit in self.open)

    async def still_has_one_since(self, opens: int) -> bool:
        """The same, of those whose arrival was seen: a fork may have taken them away since."""
        for commit in self.open:
            if commit.block is not None and commit.block >= opens and not await self._openings.pending(commit):
                await asyncio.to_thread(self._ledger.unsee_commit, commit.hash, commit.head)
                self.open = await asyncio.to_thread(self._ledger.commits, self._mechanism)
        return await self.has_one_since(opens)

    async def commit(
        self, uids: Sequence[Uid], weights: Sequence[int], version_key: int, *, epoch: int, head: int
    ) -> None:
        """Commit to weights for the epoch of block ``epoch``. Raises what the send raises; it is on disk then."""
        if self._timelocked:
            try:
                await self._commit_timelocked(uids, weights, version_key, epoch, head)
                return
            except ExtrinsicFailed as error:
                if not (self._may_fall_back and error.name == "CallDisabled"):
                    raise
                log.info("no_timelock", extra={"error": error.message})
                self._timelocked = False
        made = WeightCommit.fresh(
            self._hotkey, self._netuid, uids, weights, version_key=version_key, mechanism=self._mechanism
        )
        commit = self._entry(made.hash, made.uids, made.weights, made.salt, version_key, head)
        await self._send(commit, epoch, lambda: self._chain.commit_weights(self._key, made, **self._sending))

    async def _commit_timelocked(
        self, uids: Sequence[Uid], weights: Sequence[int], version_key: int, epoch: int, head: int
    ) -> None:
        name = "timelock:" + secrets.token_hex(16)  # what is sent is made in the send: it has no hash before
        commit = self._entry(name, tuple(uids), tuple(weights), (), version_key, head)
        await self._send(
            commit,
            epoch,
            lambda: self._chain.commit_timelocked_weights(
                self._key, self._netuid, uids, weights, version_key, mechanism=self._mechanism, **self._sending
            ),
        )

    async def _send(self, commit: Commit, epoch: int, send: Callable[[], Awaitable[Included]]) -> None:
        """On disk first. What the chain refused is done with; of what else went wrong, the chain knows the end."""
        await asyncio.to_thread(self._ledger.keep_commit, commit)
        self.open = [*self.open, commit]
        try:
            included = await send()
        except ExtrinsicFailed:
            await self._settle(commit, "refused")
            raise
        except ChainTimeout:
            self._tally.count("timeout")
            raise
        await self._took(commit, included.block, epoch)

    def went_openly(self) -> None:
        """The chain takes weights as they are: no reveal will come to end what was told of those that were lost."""
        if not self.open:
            self._refusals.passed()

    async def follow(self, head: int, tempo: int) -> bool:
        """One pass: reveal what is due, look for what the chain opens. True if the next block wants another one."""
        await self._look_back(head, tempo)
        for commit in list(self.open):
            if commit.block is None and not await self._look_for(commit) and head > commit.head + LANDS_WITHIN:
                await self._lost(commit, "never-landed")
        due = [commit for commit in self.open if commit.due is not None and commit.due <= head]
        if not due:
            return False
        newest = max(due, key=lambda commit: (commit.due or 0, commit.made))
        for commit in due:
            if commit.due != newest.due:  # the epoch in which it could be opened is over
                await self._close(commit, head, tempo)
            elif commit is not newest:  # the chain drops it when it reveals the newer one
                await self._settle(commit, "superseded")
        if newest.salt:
            return await self._reveal(newest, head, tempo)
        return await self._await_opening(newest, head, tempo)

    async def _look_back(self, head: int, tempo: int) -> None:
        """A fork may have taken the last reveal away, as one of a few blocks' depth does: it is due again then."""
        latest = self._latest
        if latest is None:
            return
        if self._is_over(latest, head, tempo):
            self._latest = None  # no block can take it anew
        elif await self._openings.lists(latest):
            self._tell_unseen(latest, head, "the chain went back to before the reveal", "It is revealed again.")
            await asyncio.to_thread(self._ledger.reopen_commit, latest.hash)
            self.open = await asyncio.to_thread(self._ledger.commits, self._mechanism)
            self._latest = None

    async def _reveal(self, commit: Commit, head: int, tempo: int) -> bool:
        if not await self._openings.pending(commit):
            return await self._gone(commit, head, tempo)
        opened = WeightCommit(
            self._hotkey, self._netuid, commit.uids, commit.weights, commit.salt, commit.version_key, self._mechanism
        )
        try:
            included = await self._chain.reveal_weights(self._key, opened, **self._sending)
        except ChainTimeout:
            self._tally.count("timeout")
            raise
        except ExtrinsicFailed as error:
            self._tally.count("reveal-failed")
            self._refusals.failed(error.message, error.remedy)
            told = {"code": error.code, "error": error.message, "remedy": error.remedy}
            log.warning("reveal_failed", extra={"committed": commit.block, "block": head, **told})
            if error.name in _FINAL or self._is_over(commit, head, tempo):
                await self._lost(commit, "expired")
                return False
            return True
        return await self._see(commit, included.block, head, tempo, extrinsic=included.extrinsic_hash)

    async def _await_opening(self, commit: Commit, head: int, tempo: int) -> bool:
        if not await self._openings.pending(commit):
            return await self._gone(commit, head, tempo)
        if self._is_over(commit, head, tempo):
            await self._lost(commit, "not-opened")
            return False
        return True

    async def _close(self, commit: Commit, head: int, tempo: int) -> None:
        """The end of one of a former epoch: it may have been opened there while nobody looked."""
        if await self._openings.pending(commit):
            await self._lost(commit, "expired" if commit.salt else "not-opened")
        elif await self._gone(commit, head, tempo):
            await self._lost(commit, "unseen")

    async def _gone(self, commit: Commit, head: int, tempo: int) -> bool:
        """Why a commit left the chain's list. True if the next block wants another look."""
        try:
            opened = await self._openings.opened(commit)
            if opened is not None:
                return await self._see(commit, opened, head, tempo)
        except ChainRefused as error:  # raised, it would keep the next epoch's weights back too
            self._tell_unseen(
                commit, head, f"nobody can tell whether the chain opened it: {error.message}", error.remedy
            )
            await self._settle(commit, "unseen")
            return False
        await self._lost(commit, "not-listed" if commit.salt else "not-opened")
        return False

    async def _see(self, commit: Commit, block: Block, head: int, tempo: int, *, extrinsic: str = "") -> bool:
        """Read back what the chain opened in ``block``. True if the next block wants another look."""
        held = await held_weights(self._chain, self._netuid, self._hotkey, self._mechanism, block)
        if held == nonzero(commit.uids, commit.weights):
            await self._revealed(commit, block, extrinsic)
            return False
        if extrinsic or commit.hash not in self._unseen:
            self._unseen.add(commit.hash)
            self._tell_unseen(commit, block, "the chain's row is not what was revealed", "It is looked for again.")
        if self._is_over(commit, head, tempo):
            await self._lost(commit, "unseen")
            return False
        return True

    def _is_over(self, commit: Commit, head: int, tempo: int) -> bool:
        """Whether no later block can take the reveal: that is one epoch after the first."""
        return head > int(commit.due or 0) + tempo + 1

    def _tell_unseen(self, commit: Commit, block: int, error: str, remedy: str) -> None:
        self._tally.count("unseen")
        self._health.trouble(self._name, error, remedy)
        told = {"code": "weights.unseen", "error": error, "remedy": remedy}
        log.warning("reveal_failed", extra={"committed": commit.block, "block": block, **told})

    async def _revealed(self, commit: Commit, block: Block, extrinsic: str) -> None:
        told: dict[str, Any] = {"committed": commit.block, "uids": list(commit.uids), "weights": list(commit.weights)}
        uids = tuple(Uid(uid) for uid in commit.uids)
        kept = WeightsSet(block, uids, commit.weights, extrinsic, time.time(), self._mechanism)
        await asyncio.to_thread(keep_weights, self._ledger, kept)
        await self._settle(commit, "revealed")
        self._refusals.passed()
        self._latest = commit if commit.salt else None  # what the chain opened, it opens on every fork
        self._tally.count("ok")
        log.info("weights_set", extra={"block": block, "extrinsic": extrinsic, **told})

    async def _look_for(self, commit: Commit) -> bool:
        """Whether the chain lists a commit whose arrival nobody saw; notes its block."""
        if commit.salt:
            listed = await self._chain.weight_commits(self._netuid, self._hotkey, mecid=self._mechanism)
            found = [one.block for one in listed if one.hash == commit.hash]
        else:
            sealed = await self._chain.timelocked_commits(self._netuid, mecid=self._mechanism)
            found = [
                one.block
                for one in sealed
                if one.hotkey == self._hotkey and one.block is not None and one.block > commit.head
            ]
        if not found:
            return False
        await self._took(commit, found[-1], None)
        return True

    async def _took(self, commit: Commit, block: Block, epoch: int | None) -> None:
        try:
            due = await self._chain.reveal_block(self._netuid, block)
        except ChainRefused:  # the node has forgotten that block; the chain will say whether it is too early
            due = block
        self._tally.count("committed")
        await self._update(commit, block=block, due=due)
        form = "hash" if commit.salt else "timelock"
        log.info("weights_committed", extra={"epoch": epoch, "block": block, "due": due, "form": form})

    async def _lost(self, commit: Commit, outcome: str) -> None:
        await self._settle(commit, outcome)
        if commit.block is None:
            return  # it never reached the chain, and was sent again as another
        self._tally.without(outcome)
        self._health.trouble(self._name, f"the weights committed in block {commit.block} are lost: {outcome}", _REMEDY)
        log.error("weights_lost", extra={"committed": commit.block, "outcome": outcome, "remedy": _REMEDY})

    def _entry(
        self,
        name: str,
        uids: tuple[int, ...],
        weights: tuple[int, ...],
        salt: tuple[int, ...],
        version_key: int,
        head: int,
    ) -> Commit:
        return Commit(name, self._mechanism, uids, weights, salt, version_key, Block(head), time.time())

    async def _settle(self, commit: Commit, outcome: str) -> None:
        await self._update(commit, outcome=outcome)
        self._openings.forget(commit)
        self._unseen.discard(commit.hash)

    async def _update(self, commit: Commit, **changes: Any) -> None:
        await asyncio.to_thread(self._ledger.update_commit, commit.hash, **changes)
        self.open = await asyncio.to_thread(self._ledger.commits, self._mechanism)


async def held_weights(
    chain: ChainClient, netuid: Netuid, hotkey: Hotkey, mechanism: int, block: int | None = None
) -> dict[int, int]:
    """A hotkey's weights on the chain after ``block`` (None: now), without zeros; none where it has no uid."""
    metagraph, rows = await asyncio.gather(
        chain.metagraph(netuid, block, mecid=mechanism), chain.weights(netuid, block, mecid=mechanism)
    )
    uid = metagraph.uid_of(hotkey)
    return {} if uid is None else {int(target): weight for target, weight in rows.get(uid, []) if weight}


def keep_weights(ledger: Ledger, weights: WeightsSet) -> None:
    """Keep weights that the chain holds, once: who was killed before it noted them may have kept them already."""
    last = ledger.weights(limit=1, mechanism=weights.mechanism)
    if not last or last[0].block != weights.block:
        ledger.add_weights(weights)


def nonzero(uids: Sequence[int], weights: Sequence[int]) -> dict[int, int]:
    """Weights by uid as a row of the chain compares with them."""
    return {int(uid): weight for uid, weight in zip(uids, weights, strict=True) if weight}


def check_form(form: str) -> None:
    """Raises MissingExtra where commits are to be time-locked and this environment can't make them."""
    if form == "timelock" and not _has_drand():
        raise MissingExtra(
            "commit=timelock needs bittensor-drand",
            remedy="Run: pip install 'subnetkit[drand]'; or use commit=hash, or auto.",
        )


def part(what: str, mechanism: int) -> str:
    """What a part of a mechanism is called in health and logs."""
    return f"{what} of mechanism {mechanism}" if mechanism else what


def _has_drand() -> bool:
    return importlib.util.find_spec("bittensor_drand") is not None
