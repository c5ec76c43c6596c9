"""Whether the chain opened a commit: by its own event, not by a row of weights that looks right.

Where the weights stay what they were, their row is the commit's whether it was opened or not, and a reveal moves no
other entry of the chain. So a commit counts as opened by the event in the block in which it left the chain's list;
that block is found by halving the span in which it must lie.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from subnet.chain.weights import storage_index
from subnet.errors import ChainRefused
from subnet.types import Block, Hotkey, Netuid

if TYPE_CHECKING:
    from subnet.chain import Event
    from subnet.service import ChainClient
    from subnet.store import Commit

_BY_HASH = ("WeightsRevealed", "WeightsBatchRevealed")
_BY_TIME = ("TimelockedWeightsRevealed", "CRV3WeightsRevealed")  # the second up to spec 293


class Openings:
    """Follows a hotkey's commits in one mechanism of a subnet, by the chain's lists and events."""

    def __init__(self, chain: ChainClient, netuid: Netuid, hotkey: Hotkey, mechanism: int) -> None:
        self._chain, self._netuid, self._hotkey, self._mechanism = chain, netuid, hotkey, mechanism
        self._index = storage_index(netuid, mechanism)
        self._seen: dict[str, int] = {}  # by hash: the last block in which it was seen on the list
        self._found: dict[str, Block] = {}  # by hash: the block in which it was opened

    async def lists(self, commit: Commit, block: int | None = None) -> bool:
        """Whether the chain lists the commit as one still to be opened, after ``block`` (None: now)."""
        if commit.salt:
            hashed = await self._chain.weight_commits(self._netuid, self._hotkey, block, mecid=self._mechanism)
            return any(one.hash == commit.hash for one in hashed)
        sealed = await self._chain.timelocked_commits(self._netuid, block, mecid=self._mechanism)
        return any(one.hotkey == self._hotkey and one.block in (None, commit.block) for one in sealed)

    async def pending(self, commit: Commit) -> bool:
        """Whether the chain lists it now; remembers where it was seen."""
        head = int(await self._chain.block_number())
        found = await self.lists(commit)
        if found:
            self._seen[commit.hash] = head - 1  # another block of the head's number, without it, may replace it
        return found

    async def opened(self, commit: Commit) -> Block | None:
        """The block in which the chain opened a commit that it lists no more; None if it left the list otherwise.

        Raises ChainRefused if the node has forgotten too much to tell.
        """
        found = self._found.get(commit.hash)
        if found is not None and await self._opens_in(found, commit):  # else a fork has moved it
            return found
        listed, gone = self._seen.get(commit.hash, int(commit.block or 0)), int(await self._chain.block_number())
        forgotten: ChainRefused | None = None
        while gone - listed > 1:
            middle = (listed + gone) // 2
            try:
                still = await self.lists(commit, middle)
            except ChainRefused as error:
                still, forgotten = True, error  # what is not known there is looked for later on
            listed, gone = (middle, gone) if still else (listed, middle)
        if gone > listed and await self._opens_in(Block(gone), commit):
            self._found[commit.hash] = Block(gone)
            return Block(gone)
        if forgotten is not None:
            raise forgotten
        return None

    def forget(self, commit: Commit) -> None:
        """It is done with."""
        self._seen.pop(commit.hash, None)
        self._found.pop(commit.hash, None)

    async def _opens_in(self, block: Block, commit: Commit) -> bool:
        return any(self._opens(event, commit) for event in await self._chain.events(block))

    def _opens(self, event: Event, commit: Commit) -> bool:
        if event.module != "SubtensorModule":
            return False
        told = _flat(event.attributes)
        if commit.salt:
            return event.name in _BY_HASH and {self._hotkey, self._index, commit.hash} <= told
        return event.name in _BY_TIME and {self._hotkey, self._index} <= told


def _flat(value: Any) -> set[Any]:
    """All the single values in an event's attributes, however deep."""
    if isinstance(value, dict):
        value = tuple(value.values())
    return set().union(*map(_flat, value)) if isinstance(value, tuple | list) else {value}
