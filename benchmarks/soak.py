"""Months in minutes: 4 validators and 64 miners on a local chain that fails, and what that cost.

The chain (a process, a block a second, tempo 12) is killed with -9 and started again on its state twice; the endpoint
that everybody prefers falls silent for a while, its sockets open; of the miners 20% a minute are replaced by a new
hotkey or restarted. Bounds, or exit code 1:

- every validator's weights are in every epoch, as the chain has it, unless the chain was killed while they were due;
- resident memory of each validator, and of all miners together, grows by less than 5%, and open files by no more than
  4, from the first third of what comes after the first outage and the silence to the last third. Shared maps don't
  count: a miner's table of nonces is one, of a fixed size that fills up;
- no round fails, rounds go on while the chain is down, and each ledger's scores follow from its rounds;
- at the end every score is within 0.005 of what a run of the same seed without faults comes to. That is computed, not
  run: the seed gives each miner a worth, every round without faults scores it that, so the average of n rounds is
  worth (1 - 0.5^n). Miners stop coming and going when 3/4 of the time are over, and the run ends 10 rounds later at
  the earliest, because a miner's own absence rightly costs it.

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
import platform
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import _soak_neurons as neurons
import psutil
from _soak_stage import BLOCK_S, MINERS, PATIENCE, TEMPO, VALIDATORS, Stage
from _soak_verdict import SETTLED, Epoch, Ledger, Sample, Soak, growth, read_ledger, verdict
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from subnet import Chain
from subnet.errors import ChainError
from subnet.keys import load_key
from subnet.store import History
from subnet.types import Hotkey
from subnet.validators.weights import window

NETUID = 1
CHURN = 0.2  # of the miners a minute
QUIET = 0.75  # of the time: no miner comes or goes any more


class Run:
    """One soak: its plan, and what it has seen so far."""

    def __init__(self, stage: Stage, chain: Chain, seconds: float, tell: Any) -> None:
        self.stage, self.chain, self.seconds, self.tell = stage, chain, seconds, tell
        self.soak = Soak()
        self.chance = random.Random(stage.seed)
        self.began = self.began_unix = 0.0
        self.up = asyncio.Event()
        self.up.set()
        self.killed_at: list[int] = []  # heads
        self.judged = 0  # the last epoch that was looked at
        self.miners = {neurons.miner_key(i).ss58_address: i for i in range(MINERS)}
        self.judges = [Hotkey(neurons.validator_key(i).ss58_address) for i in range(VALIDATORS)]
        self.busy = asyncio.Lock()  # what registers a miner, or takes the chain away

    async def whole(self) -> None:
        """Everything from the first weights to the end."""
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
        self.soak.said = [await one.ask("?") for one in self.stage.validators]

    async def _until(self, share: float) -> None:
        await asyncio.sleep(max(0.0, self.began + share * self.seconds - time.monotonic()))

    async def _first_dividends(self) -> None:
        """Wait for every validator's weights, and an epoch that paid them: only then is none of them to be pruned."""
        self.tell("waiting for the first weights")
        until = time.monotonic() + PATIENCE
        while True:
            snapshot = await self.chain.metagraph(NETUID)
            ours = [snapshot.neuron(hotkey) for hotkey in self.judges]
            if all(one is not None and one.emission > 0 and one.last_update > 0 for one in ours):
                return
            if time.monotonic() > until:
                raise RuntimeError(f"no weights of every validator within {PATIENCE:g} s")
            await asyncio.sleep(BLOCK_S / 2)

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
            if last is not None and epoch > last:
                opens = window(epoch, TEMPO)
                took = {}
                for i, hotkey in enumerate(self.judges):
                    one = before.neuron(hotkey)
                    took[i] = one is not None and one.last_update >= last
                cut = any(opens - 1 <= head < epoch for head in self.killed_at)
                self.soak.epochs.append(Epoch(epoch, took, cut))
            last = self.judged = int(epoch)

    async def _sample(self) -> None:
        watched = {one.name: [psutil.Process(one.process.pid)] for one in self.stage.validators}
        watched["miners"] = [psutil.Process(one.process.pid) for one in self.stage.hosts]  # who comes is with any
        while True:
            for name, processes in watched.items():
                memory = [process.memory_info() for process in processes]
                rss = sum(one.rss - one.shared for one in memory)
                files = sum(process.num_fds() for process in processes)
                self.soak.samples.setdefault(name, []).append(Sample(time.monotonic() - self.began, rss, files))
            await asyncio.sleep(1.0)

    async def _faults(self) -> None:
        """Early, so that what a fault loads for good is there before growth is measured; and one later."""
        await self._until(0.05)
        await self._kill()
        await self._partition()
        self.soak.warm = time.monotonic() - self.began
        await self._until(0.6)
        await self._kill()

    async def _kill(self) -> None:
        async with self.busy:
            epoch = await self.chain.next_epoch_block(NETUID)
            await self._judged_to(epoch or 0)  # no weights are due right after
            head = await self.chain.block_number()
            self.tell("the chain is down")
            self.up.clear()
            self.killed_at.append(int(head))
            self.stage.kill_chain()
            began = time.time()
            await asyncio.sleep(min(20.0, self.seconds / 15))
            await self.stage.start_chain()
            self.soak.outages.append((began, time.time()))
            self.up.set()
            await self.chain.wait_for_block(head + 1, timeout=PATIENCE)
            self.tell("the chain is back")

    async def _judged_to(self, epoch: int) -> None:
        until = time.monotonic() + PATIENCE
        while self.judged < epoch:
            if time.monotonic() > until:
                raise RuntimeError(f"the epoch of block {epoch} does not come")
            await asyncio.sleep(BLOCK_S / 10)

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
                index = self.chance.choice(sorted(self.miners.values()))
                await self.stage.stop_miner(index)
                await self.stage.start_miner(index)
                self.soak.churned["restarted"] += 1

    async def _replace(self, index: int) -> None:
        """A new hotkey registers; who had the uid before ends."""
        hotkey = neurons.miner_key(index).ss58_address
        await self.chain.burned_register(load_key("//Bob"), NETUID, hotkey)
        there = set((await self.chain.metagraph(NETUID)).hotkeys)
        gone = [left for left in self.miners if left not in there]
        if hotkey not in there or not set(self.judges) <= there or len(gone) != 1:
            raise RuntimeError(f"a registration did not replace one miner: {gone}")
        await self.stage.stop_miner(self.miners.pop(gone[0]))
        self.miners[hotkey] = index
        await self.stage.start_miner(index)

    async def _settled(self) -> None:
        """Until every validator has seen all miners serve, and held some rounds since."""
        self.tell("settling")
        until = time.monotonic() + PATIENCE
        while True:
            snapshot = await self.chain.metagraph(NETUID)
            if all((one := snapshot.neuron(Hotkey(hotkey))) and one.axon for hotkey in self.miners):
                break
            if time.monotonic() > until:
                raise RuntimeError("a miner is not announced on the chain")
            await asyncio.sleep(BLOCK_S)
        wanted = [self._rounds(i) + SETTLED + 4 for i in range(VALIDATORS)]  # some are under way, by the last metagraph
        while any(self._rounds(i) < want for i, want in enumerate(wanted)):
            if time.monotonic() > until:
                raise RuntimeError("the validators hold no rounds any more")
            await asyncio.sleep(BLOCK_S)

    def _rounds(self, validator: int) -> int:
        with History(neurons.ledger_of(self.stage.folder, validator)) as history:
            last = history.last_round()
        return last.id if last else 0

    def ledgers(self) -> list[Ledger]:
        worths = {Hotkey(hotkey): neurons.worth(self.stage.seed, index) for hotkey, index in self.miners.items()}
        return [
            read_ledger(neurons.ledger_of(self.stage.folder, i), self.soak, worths, self.began_unix)
            for i in range(VALIDATORS)
        ]


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
        async with Stage(folder, seed) as stage, await Chain.connect(stage.url, timeout=neurons.CALL_TIMEOUT) as chain:
            await stage.start_neurons(NETUID)
            run = Run(stage, chain, seconds, tell)
            ticking = asyncio.create_task(_tick(bar, task, run))
            try:
                await run.whole()
            finally:
                ticking.cancel()
            ledgers = run.ledgers()
    row = _row(run.soak, ledgers)
    (folder / "soak.json").write_text(json.dumps(asdict(run.soak) | row))
    return row


async def _tick(bar: Progress, task: Any, run: Run) -> None:
    while True:
        if run.began:
            bar.update(task, completed=time.monotonic() - run.began)
        await asyncio.sleep(0.5)


def _row(found: Soak, ledgers: Sequence[Ledger]) -> dict[str, Any]:
    processes = {}
    for name, samples in found.samples.items():
        more, files, rss_late, files_late = growth(samples, found.warm)
        processes[name] = {
            "rss_mb": round(rss_late / 1e6, 1),
            "rss_growth": round(more, 4),
            "files": files_late,
            "files_growth": files,
        }
    return {
        "seconds": round(found.seconds, 1),
        "epochs": len(found.epochs),
        "epochs_cut": sum(epoch.cut for epoch in found.epochs),
        "missed": [found.missed(i) for i in range(VALIDATORS)],
        "outages_s": [round(until - begin, 1) for begin, until in found.outages],
        "partition_s": [round(until - begin, 1) for begin, until in found.partitions],
        "churned": found.churned,
        "rounds": [one.rounds for one in ledgers],
        "pace_while_down": [round(one.pace, 2) for one in ledgers],
        "score_off": [round(one.off, 6) for one in ledgers],
        "said": [dict(one) for one in found.said],
        "processes": processes,
        "broken": verdict(found, ledgers),
    }


def show(row: dict[str, Any]) -> None:
    print(f"{platform.machine()}, Python {platform.python_version()}; {row['seconds']} s, {row['epochs']} epochs")
    churned = row["churned"]
    print(
        f"chain down for {row['outages_s']} s ({row['epochs_cut']} epochs cut), "
        f"endpoint silent for {row['partition_s']} s, "
        f"{churned['replaced']} miners replaced, {churned['restarted']} restarted"
    )
    print(
        f"{'':<14}{'missed':>8}{'rounds':>8}{'pace, chain down':>18}{'score off':>11}{'memory':>10}{'':>8}{'files':>7}"
    )
    for name, one in row["processes"].items():
        kind, _, number = name.partition("-")
        cells = f"{'':>45}"
        if kind == "validator":
            i = int(number)
            cells = f"{row['missed'][i]:>8}{row['rounds'][i]:>8}{row['pace_while_down'][i]:>18.2f}"
            cells += f"{row['score_off'][i]:>11.5f}"
        memory = f"{one['rss_mb']:>7.1f} MB{one['rss_growth']:>+8.1%}"
        print(f"{name:<14}{cells}{memory}{one['files']:>7}{one['files_growth']:>+4}")
    for line in row["broken"]:
        print(f"BROKEN: {line}")


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
