"""Watches a running subnet into the record: epochs from the chain, rounds from the validators' stores.

Nothing here is private to the demo: each epoch is read as the metagraph of the block that ran it, and
the stores are opened for reading while their validators write.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from subnet.demo.record import Actor, Epoch, Role, Round, Share
from subnet.demo.settings import Demo
from subnet.errors import StoreError
from subnet.store import History, ledger_path
from subnet.types import U16_MAX, Block, Metagraph, Uid

if TYPE_CHECKING:
    from collections.abc import Callable

    from subnet.chain import Chain

POLL: Final = 0.25  # seconds between looks into the stores
PATIENCE: Final = 120.0  # seconds for a block that is due
ALPHA: Final = 10**9


class Watch:
    """Fills a demo's record, and what it shows now, from ``chain`` and from the validators' stores."""

    def __init__(self, chain: Chain, demo: Demo) -> None:
        self.chain, self.demo, self.record, self.now = chain, demo, demo.record, demo.now
        self.changed = asyncio.Event()
        self._stores: dict[str, History] = {}

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait until the record, which the loops below fill, says so."""
        while not condition():
            self.changed.clear()
            await self.changed.wait()

    async def follow_blocks(self) -> None:
        """Keep the shown height fresh."""
        while True:
            self.now.block = int(await self.chain.wait_for_block(self.now.block + 1, timeout=PATIENCE))
            self.now.seconds = self.demo.seconds()

    async def follow_epochs(self) -> None:
        """Read the subnet in each block that runs an epoch, as soon as it has."""
        netuid, tempo = self.record.netuid, self.record.tempo
        due = await self.chain.next_epoch_block(netuid)
        if due is None:
            raise StoreError("the chain names no coming epoch")  # can't be: the subnet has started
        while True:
            self.now.epoch_start = int(due) - tempo
            await self.chain.wait_for_block(due, timeout=PATIENCE)
            if not self.record.epochs:
                self.record.balances_before = await self._balances(int(due) - 1)
            await self._epoch(await self.chain.metagraph(netuid, int(due)))
            self.changed.set()
            due = Block(due + tempo)  # not what the chain names next: after a pause of ours that may be a later one

    async def _epoch(self, metagraph: Metagraph) -> None:
        weights = await self.chain.weights(self.record.netuid, metagraph.block)
        self.record.balances_after = await self._balances(metagraph.block)
        before = {s.uid for s in self.record.epochs[-1].shares if s.permit} if self.record.epochs else set()
        epoch = Epoch(
            number=len(self.record.epochs) + 1,
            block=int(metagraph.block),
            seconds=self.demo.seconds(),
            shares=shares(metagraph),
        )
        self.record.weights = {
            actor.name: _as_parts(weights.get(Uid(actor.uid), [])) for actor in self.record.of_role(Role.VALIDATOR)
        }
        self.record.epochs.append(epoch)
        new = [a.name for a in self.record.actors if _permitted(epoch, a) and a.uid not in before]
        if new:
            self.demo.say(f"block {epoch.block}: epoch {epoch.number} gave permits to {', '.join(new)}")
        paid = [(a.name, epoch.emission_of(a.uid)) for a in self.record.miners if epoch.emission_of(a.uid)]
        if paid:
            told = ", ".join(f"{name} {amount / ALPHA:.2f}" for name, amount in paid)
            self.demo.say(f"block {epoch.block}: epoch {epoch.number} paid {told} α")

    async def _balances(self, block: int) -> dict[int, int]:
        """TotalHotkeyAlpha of the cast at ``block``, by uid."""
        return {
            actor.uid: int(
                await self.chain.query(
                    "SubtensorModule", "TotalHotkeyAlpha", actor.hotkey, self.record.netuid, block=block
                )
            )
            for actor in self.record.actors
        }

    async def follow_rounds(self) -> None:
        """Read each validator's new rounds from its store."""
        while True:
            for validator in self.record.of_role(Role.VALIDATOR):
                await asyncio.to_thread(self._read, validator)
            self.changed.set()
            await asyncio.sleep(POLL)

    def _read(self, validator: Actor) -> None:
        store = self._store(validator)
        if store is None:
            return
        last = max((r.number for r in self.record.rounds if r.validator == validator.name), default=0)
        uids = {actor.hotkey: actor.uid for actor in self.record.miners}
        for one in store.rounds(after=last):
            moving = {uids[h]: score.value for h, score in store.scores().items() if h in uids}
            scores = {uids[r.hotkey]: r.score for r in store.results(one.id) if r.hotkey in uids}
            given = {uid: score for uid, score in scores.items() if score is not None}
            self.record.rounds.append(
                Round(
                    validator=validator.name,
                    number=one.id,
                    seconds=one.ended - self.demo.started,
                    scores=given,
                    moving=moving,
                )
            )
            self._notice_return(given)

    def _notice_return(self, scores: dict[int, float]) -> None:
        for actor in self.record.of_role(Role.REBORN):
            back = self.record.event("serving", actor.name) is None
            if back and self.record.event("restarted", actor.name) and scores.get(actor.uid, 0.0) > 0:
                self.demo.note("serving", actor.name)
                self.demo.say(f"{actor.name} answers again, on the hotkey it had")

    def _store(self, validator: Actor) -> History | None:
        if validator.name not in self._stores:
            path = ledger_path(self.demo.state, self.record.netuid, validator.hotkey)
            try:
                self._stores[validator.name] = History(path, validator=validator.hotkey)
            except StoreError:
                return None  # its validator has not come so far yet
            self.now.states[validator.name] = "scoring"
        return self._stores[validator.name]

    def close(self) -> None:
        """Let go of the stores."""
        for store in self._stores.values():
            store.close()


def shares(metagraph: Metagraph) -> list[Share]:
    """What each uid got in the epoch that ran in the metagraph's block."""
    return [
        Share(
            uid=uid,
            emission=int(metagraph.emission[uid]),
            incentive=int(metagraph.incentive[uid]) / U16_MAX,
            consensus=int(metagraph.consensus[uid]) / U16_MAX,
            dividends=int(metagraph.dividends[uid]) / U16_MAX,
            validator_trust=int(metagraph.validator_trust[uid]) / U16_MAX,
            permit=bool(metagraph.validator_permit[uid]),
        )
        for uid in range(len(metagraph))
    ]


def _permitted(epoch: Epoch, actor: Actor) -> bool:
    return any(share.permit for share in epoch.shares if share.uid == actor.uid)


def _as_parts(row: list[tuple[Uid, int]]) -> dict[int, float]:
    total = sum(weight for _, weight in row)
    return {int(uid): weight / total for uid, weight in row} if total else {}
