"""Months in minutes: 4 validators and 64 miners on a local chain that fails, and what that cost.

The chain (a process, a block a second, tempo 12) is killed with -9 and started again on its state: once as soon as
weights are due, so that those on their way are lost; once, for longer, while none are; and in a long run once more.
The endpoint that everybody prefers falls silent for a while, its sockets open; of the miners 20% a minute are replaced
by a new hotkey or restarted. Bounds, or exit code 1:

- every validator's weights are in every epoch, as the chain has it, also in the one that the chain was killed before:
  it comes back with blocks left, three seconds each, as the real chain's window is longer than its six blocks here;
- resident memory of each validator, and of all miners together, grows by less than 5%, and open files by no more than
  4 a process, from the first third to the last third of what comes after two outages and the silence. Shared maps
  don't count: a miner's table of nonces is one, of a fixed size. In a run of less than 5 minutes memory may grow by
  15%: the metadata that a process reads anew when it goes back to an endpoint, once, are a tenth of all;
- no round fails, rounds go on while the chain is down, and no neuron reports a trouble at the end;
- every score is that of a run of the same seed without faults.

That run follows (``_soak_twin.py``): as many rounds of each validator, without chain, sockets and faults. What a miner
is worth changes from round to round, by seed and number, so that a round lost, counted twice or mixed up gives other
scores; the average remembers as many rounds as the run has. Compared are what each miner got in each round and its
average after it, and at the end the tables of scores. They are equal but for 1e-9 of arithmetic, with no allowance for
faults: the chain's failing keeps no miner from answering. Equal by construction is only what the soak did to miners
itself: in the rounds between a miner's stop and the first that asks it where it is back, whether it answered is taken
from the ledger (the column "firm" has the share of all scores that this leaves). A restart that an outage prolongs is
of that kind too; that a miner which is back is not asked for 60 s is not.

    python benchmarks/soak.py                # 60 seconds, and the start of everything before
    python benchmarks/soak.py --seconds 900  # make soak
    python benchmarks/soak.py --json         # {"missed": [0, 0, 0, 0], "broken": [], ...}
    python benchmarks/soak.py --keep FOLDER  # logs and ledgers stay there
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import _soak_neurons as neurons
import psutil
from _soak_stage import BLOCK_S, MINERS, PATIENCE, TEMPO, VALIDATORS, Stage
from _soak_twin import Absence, Seat, read_diary, seen_again
from _soak_verdict import (
    GROWTH,
    GROWTH_SHORT,
    LEFT,
    Epoch,
    Sample,
    Soak,
    beside_a_run_without_faults,
    row_of,
    show,
)
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from subnet import Chain
from subnet.errors import ChainError
from subnet.keys import load_key
from subnet.store import History
from subnet.types import Hotkey, Metagraph
from subnet.validators.weights import window

NETUID = 1
CHURN = 0.2  # of the miners a minute
QUIET = 0.75  # of the time: no miner comes or goes any more
SLOW_S = 3.0  # a block, until the epoch that the chain was killed before
SETTLED = 5  # rounds of every validator after it has asked the last miner that came
LONG = 300.0  # seconds of a run in which the chain is killed once more, later
MEASURED = 15.0  # seconds in which growth is seen, at the least
RECOVERY = 30.0  # seconds that a neuron's trouble may outlast the end


class Run:
    """One soak: its plan, and what it has seen so far."""

    def __init__(self, stage: Stage, chain: Chain, seconds: float, tell: Any) -> None:
        self.stage, self.chain, self.seconds, self.tell = stage, chain, seconds, tell
        self.soak = Soak(growth=GROWTH if seconds >= LONG else GROWTH_SHORT)
        self.chance = random.Random(stage.seed)
        self.began = self.began_unix = 0.0
        self.up = asyncio.Event()
        self.up.set()
        self.killed_at: list[int] = []  # heads
        self.judged = 0  # the last epoch that was looked at
        self.miners = {neurons.miner_key(i).ss58_address: i for i in range(MINERS)}
        self.judges = [Hotkey(neurons.validator_key(i).ss58_address) for i in range(VALIDATORS)]
        self.busy = asyncio.Lock()  # what registers a miner, or takes the chain away
        self.touched = dict.fromkeys(range(MINERS), 0.0)  # when each came last

    async def whole(self) -> None:
        """Everything from the first weights to the end."""
        snapshot = await self.chain.metagraph(NETUID)
        for hotkey, index in self.miners.items():
            self._seat(snapshot, Hotkey(hotkey), index)
            self.soak.absences.append(Absence(Hotkey(hotkey), 0.0, self.stage.ports[index], time.monotonic()))
        await self._first_dividends()
        self.began, self.began_unix = time.monotonic(), time.time()
        async with asyncio.TaskGroup() as group:
            watches = [group.create_task(one()) for one in (self._epochs, self._sample)]
            faults = [group.create_task(one()) for one in (self._faults, self._churn)]
            await asyncio.wait(faults)
            for fault in faults:
                fault.result()
            await self._settled()
            await self._until(1.0)
            self.soak.seconds = time.monotonic() - self.began
            for watch in watches:
                watch.cancel()
        await self._ask_all()

    async def _ask_all(self) -> None:
        """How the neurons are; what is wrong must pass soon."""
        until = time.monotonic() + RECOVERY
        while True:
            self.soak.said = [await one.ask("?") for one in self.stage.validators]
            wrong = {
                one.name: said["troubles"] for one, said in zip(self.stage.validators, self.soak.said, strict=True)
            }
            wrong |= {host.name: await host.ask(("well", 0)) for host in self.stage.hosts}
            self.soak.troubles = {name: troubles for name, troubles in wrong.items() if troubles}
            if not self.soak.troubles or time.monotonic() > until:
                return
            await asyncio.sleep(BLOCK_S)

    def _seat(self, snapshot: Metagraph, hotkey: Hotkey, index: int) -> None:
        one = snapshot.neuron(hotkey)
        if one is None:
            raise RuntimeError(f"{hotkey} has no uid")
        self.soak.seats.append(Seat(hotkey, index, int(one.uid), int(one.block_at_registration)))

    async def _until(self, share: float) -> None:
        await asyncio.sleep(max(0.0, self.began + share * self.seconds - time.monotonic()))

    async def _first_dividends(self) -> None:
        """Wait for every validator's weights, and an epoch that paid them: only then is none of them to be pruned."""
        self.tell("waiting for the first weights")

        async def paid() -> bool:
            ours = map((await self.chain.metagraph(NETUID)).neuron, self.judges)
            return all(one is not None and one.emission > 0 and one.last_update > 0 for one in ours)

        await _when(paid, "weights of every validator")

    async def _epochs(self) -> None:
        """Each epoch, as the chain has it: whose weights came after the last epoch and before this one."""
        last = None
        while True:
            try:
                await self.up.wait()
                epoch = await self.chain.next_epoch_block(NETUID)
                if epoch is None:
                    raise RuntimeError("the subnet has no epochs")
                await self.chain.wait_for_block(epoch, timeout=PATIENCE)
                before = await self.chain.metagraph(NETUID, block=epoch - 1)
            except ChainError:
                await asyncio.sleep(BLOCK_S / 4)
                continue
            last = epoch - TEMPO if last is None else last
            if epoch > last:
                took = {}
                for i, hotkey in enumerate(self.judges):
                    one = before.neuron(hotkey)
                    took[i] = one is not None and one.last_update >= last
                cut = any(epoch - LEFT < head < epoch for head in self.killed_at)
                self.soak.epochs.append(Epoch(epoch, took, cut))
            last = self.judged = int(epoch)

    async def _sample(self) -> None:
        watched = {one.name: [psutil.Process(one.process.pid)] for one in self.stage.validators}
        watched["miners"] = [psutil.Process(one.process.pid) for one in self.stage.hosts]  # who comes is with any
        self.soak.processes = {name: len(processes) for name, processes in watched.items()}
        while True:
            for name, processes in watched.items():
                memory = [process.memory_info() for process in processes]
                rss = sum(one.rss - one.shared for one in memory)
                files = sum(process.num_fds() for process in processes)
                self.soak.samples.setdefault(name, []).append(Sample(time.monotonic() - self.began, rss, files))
            await asyncio.sleep(1.0)

    async def _faults(self) -> None:
        """Early, so that what a fault loads for good is there before growth is measured."""
        await self._kill_before_epoch()
        await self._kill_between()
        await self._partition()
        await self._judged_to(await self.chain.next_epoch_block(NETUID) or 0)
        self.soak.warm = time.monotonic() - self.began
        if self.seconds >= LONG:
            await self._until(0.6)
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
                if head < epoch - LEFT:
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

        await _when(there, f"block {block}", BLOCK_S / 50)
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

        await _when(over, f"the epoch of block {epoch}")

    async def _partition(self) -> None:
        self.tell("an endpoint is silent")
        self.stage.gate.close_road()
        began = time.time()
        await asyncio.sleep(min(60.0, self.seconds / 6))
        self.stage.gate.open_road()
        self.soak.partitions.append((began, time.time()))
        self.tell("it speaks again")

    async def _churn(self) -> None:
        every, coming = 60 / (CHURN * MINERS), MINERS
        turn = 0
        while (due := self.began + every * (turn + 1)) < self.began + QUIET * self.seconds:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            turn += 1
            if turn % 2:
                async with self.busy:
                    await self._replace(coming)
                coming += 1
                self.soak.churned["replaced"] += 1
            else:
                await self._restart()
                self.soak.churned["restarted"] += 1

    async def _restart(self) -> None:
        longest = sorted(self.miners.items(), key=lambda one: self.touched[one[1]])[: MINERS // 2]
        hotkey, index = self.chance.choice(longest)
        since = time.monotonic()
        await self.stage.stop_miner(index)
        await self._start(Hotkey(hotkey), index, since)

    async def _start(self, hotkey: Hotkey, index: int, since: float) -> None:
        port = await self.stage.start_miner(index)
        self.touched[index] = time.monotonic()
        self.soak.absences.append(Absence(hotkey, since, port, self.touched[index]))

    async def _replace(self, index: int) -> None:
        """A new hotkey registers; who had the uid before ends."""
        hotkey = Hotkey(neurons.miner_key(index).ss58_address)
        since = time.monotonic()
        await self.chain.burned_register(load_key("//Bob"), NETUID, hotkey)
        snapshot = await self.chain.metagraph(NETUID)
        there = set(snapshot.hotkeys)
        gone = [left for left in self.miners if left not in there]
        if hotkey not in there or not set(self.judges) <= there or len(gone) != 1:
            raise RuntimeError(f"a registration did not replace one miner: {gone}")
        self._seat(snapshot, hotkey, index)
        self.soak.absences.append(Absence(Hotkey(gone[0]), since))
        await self.stage.stop_miner(self.miners.pop(gone[0]))
        self.miners[hotkey] = index
        await self._start(hotkey, index, since)

    async def _settled(self) -> None:
        """Until every validator has asked all miners where they are now, and held some rounds since."""
        self.tell("settling")
        until = time.monotonic() + PATIENCE
        last = {one.hotkey: one for one in self.soak.absences}
        here = [one for one in last.values() if one.port is not None]
        for i in range(VALIDATORS):
            wanted = 0
            while not wanted or self._rounds(i) < wanted:
                diary = read_diary(neurons.diary_of(self.stage.folder, i))
                if not wanted and all(seen_again(one, diary) for one in here):
                    wanted = self._rounds(i) + SETTLED
                if time.monotonic() > until:
                    self.tell(f"validator {i} does not get on")
                    return  # the verdict says what it lacks
                await asyncio.sleep(BLOCK_S)

    def _rounds(self, validator: int) -> int:
        with History(neurons.ledger_of(self.stage.folder, validator)) as history:
            last = history.last_round()
        return last.id if last else 0


async def _when(ready: Callable[[], Awaitable[bool]], what: str, pause: float = BLOCK_S / 10) -> None:
    until = time.monotonic() + PATIENCE
    while not await ready():
        if time.monotonic() > until:
            raise RuntimeError(f"not within {PATIENCE:g} s: {what}")
        await asyncio.sleep(pause)


async def soak(folder: Path, seconds: float, seed: int) -> dict[str, Any]:
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        task = bar.add_task("starting", total=seconds)

        def tell(what: str) -> None:
            bar.update(task, description=what)
            if not bar.console.is_terminal:
                print(f"{what} ...", file=sys.stderr)

        tell(f"starting {VALIDATORS} validators and {MINERS} miners")
        async with (
            Stage(folder, seed, neurons.alpha_of(seconds)) as stage,
            await Chain.connect(stage.url, timeout=neurons.CALL_TIMEOUT) as chain,
        ):
            await stage.start_neurons(NETUID)
            run = Run(stage, chain, seconds, tell)
            ticking = asyncio.create_task(_tick(bar, task, run))
            try:
                await run.whole()
            finally:
                ticking.cancel()
        ledgers = []
        for i in range(VALIDATORS):
            tell(f"the run without faults: validator {i}")
            ledgers.append(await beside_a_run_without_faults(stage, i, run.soak, run.began_unix))
    row = row_of(run.soak, ledgers)
    (folder / "soak.json").write_text(json.dumps(asdict(run.soak) | row))
    return row


async def _tick(bar: Progress, task: Any, run: Run) -> None:
    while True:
        if run.began:
            bar.update(task, completed=time.monotonic() - run.began)
        await asyncio.sleep(0.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="how long, from the first dividends on")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where logs and ledgers stay; made anew")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not 30 <= options.seconds < 1e6:
        parser.error("--seconds must be 30 at least")
    logging.disable(logging.WARNING)
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=False)
    kept = nullcontext(options.keep) if options.keep else tempfile.TemporaryDirectory(prefix="soak-")
    try:
        with kept as folder:
            row = asyncio.run(soak(Path(folder), options.seconds, options.seed))
    except KeyboardInterrupt:
        sys.exit(130)
    if options.json:
        print(json.dumps(row, indent=2))
    else:
        show(row)
    sys.exit(1 if row["broken"] else 0)


if __name__ == "__main__":
    main()
