"""What happens to the soak's chain, and what its epochs say of it: killed while weights are due and while none are, an
endpoint that falls silent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from _soak_stage import BLOCK_S, NETUID, PATIENCE, TEMPO, Stage
from _soak_verdict import LEFT, Epoch, Soak

from subnet import Chain
from subnet.errors import ChainError
from subnet.types import Hotkey
from subnet.validators.weights import window

SLOW_S = 3.0  # a block, until the epoch that the chain was killed before
LONG = 300.0  # seconds of a run in which the chain is killed once more, later
LATE = 0.6  # of the time: then
MEASURED = 15.0  # seconds in which growth is seen, at the least


class Faults:
    """Everything that the chain goes through in a run of so many ``seconds``; ``judges`` are its validators."""

    def __init__(
        self, stage: Stage, chain: Chain, soak: Soak, judges: Sequence[Hotkey], seconds: float, tell: Any
    ) -> None:
        self.stage, self.chain, self.soak, self.judges = stage, chain, soak, judges
        self.seconds, self.tell = seconds, tell
        self.up = asyncio.Event()
        self.up.set()
        self.busy = asyncio.Lock()  # what registers a miner, or takes the chain away
        self.killed_at: list[int] = []  # heads
        self.judged = 0  # the last epoch that was looked at

    async def all(self) -> None:
        """Early, so that what a fault loads for good is there before growth is measured."""
        began = time.monotonic()
        await self._kill_before_epoch()
        await self._kill_between()
        await self._partition()
        await self._judged_to(await self.chain.next_epoch_block(NETUID) or 0)
        self.soak.warm = time.monotonic() - began
        if self.seconds >= LONG:
            await asyncio.sleep(max(0.0, began + LATE * self.seconds - time.monotonic()))
            await self._kill_between()
        await asyncio.sleep(MEASURED)

    async def _kill_before_epoch(self) -> None:
        """As soon as weights are due. It comes back with blocks left for them, and slow ones: the real window is 45."""
        for _ in range(4):
            epoch = int(await self.chain.next_epoch_block(NETUID) or 0)
            opens = window(epoch, TEMPO)
            await self.chain.wait_for_block(opens - 1, timeout=PATIENCE)
            async with self.busy:
                head = await self._block(opens)
                if head <= opens + 1:  # else the weights are there already
                    await self._down(head, 0.0, SLOW_S)
                    then = map((await self.chain.metagraph(NETUID, block=head)).neuron, self.judges)
                    if not all(one is not None and one.last_update >= opens for one in then):
                        self.soak.hits.append(epoch)
                await self._judged_to(epoch)
                await self.stage.set_block_time(BLOCK_S)
            if self.soak.hits:
                return

    async def _kill_between(self) -> None:
        """While no weights are due, for longer."""
        head, epoch = await self.chain.block_number(), await self.chain.next_epoch_block(NETUID) or 0
        if head + LEFT >= window(epoch, TEMPO):
            await self._judged_to(epoch)
        async with self.busy:
            await self._down(await self.chain.block_number(), min(20.0, self.seconds / 15), BLOCK_S)

    async def _block(self, block: int) -> int:
        """The head, as soon as it is there: sooner than by wait_for_block, as weights are on their way."""
        head = 0

        async def there() -> bool:
            nonlocal head
            head = int(await self.chain.block_number())
            return head >= block

        await when(there, f"block {block}", BLOCK_S / 50)
        return head

    async def _down(self, head: int, seconds: float, block_s: float) -> None:
        self.stage.kill_chain()
        self.tell("the chain is down")
        self.up.clear()
        self.killed_at.append(head)
        began = time.time()
        await asyncio.sleep(seconds)
        await self.stage.start_chain(block_s)
        self.soak.outages.append((began, time.time()))
        self.up.set()
        if block_s == BLOCK_S:
            await self.chain.wait_for_block(head + 1, timeout=PATIENCE)
        self.tell("the chain is back")

    async def _judged_to(self, epoch: int) -> None:
        async def over() -> bool:
            return self.judged >= epoch

        await when(over, f"the epoch of block {epoch}")

    async def _partition(self) -> None:
        self.tell("an endpoint is silent")
        self.stage.gate.close_road()
        began = time.time()
        await asyncio.sleep(min(60.0, self.seconds / 6))
        self.stage.gate.open_road()
        self.soak.partitions.append((began, time.time()))
        self.tell("it speaks again")

    async def epochs(self, netuid: int, judges: Sequence[Hotkey], found: list[Epoch]) -> None:
        """Each epoch, as the chain has it: whose weights, or commits, came after the last epoch and before this one."""
        last = None
        while True:
            try:
                await self.up.wait()
                epoch = await self.chain.next_epoch_block(netuid)
                if epoch is None:
                    raise RuntimeError("the subnet has no epochs")
                await self.chain.wait_for_block(epoch, timeout=PATIENCE)
                before = await self.chain.metagraph(netuid, block=epoch - 1)
            except ChainError:
                await asyncio.sleep(BLOCK_S / 4)
                continue
            last = epoch - TEMPO if last is None else last
            if epoch > last:
                took = {}
                for i, hotkey in enumerate(judges):
                    one = before.neuron(hotkey)
                    took[i] = one is not None and one.last_update >= last
                cut = any(epoch - LEFT < head < epoch for head in self.killed_at)
                found.append(Epoch(epoch, took, cut))
            last = int(epoch)
            self.judged = last if netuid == NETUID else self.judged


async def when(ready: Callable[[], Awaitable[bool]], what: str, pause: float = BLOCK_S / 10) -> None:
    """Look again and again; RuntimeError if it is not so within PATIENCE seconds."""
    until = time.monotonic() + PATIENCE
    while not await ready():
        if time.monotonic() > until:
            raise RuntimeError(f"not within {PATIENCE:g} s: {what}")
        await asyncio.sleep(pause)
