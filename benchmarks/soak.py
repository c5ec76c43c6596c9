"""Months in minutes: 4 validators and 64 miners on a local chain that fails, and what that cost.

The chain (a process, a block a second, tempo 12) is killed with -9 and started again on its state: once as soon as
weights are due, so that those on their way are lost; once, for longer, while none are; and in a long run once more.
The endpoint that everybody prefers falls silent for a while, its sockets open; of the miners 20% a minute are replaced
by a new hotkey or restarted. Bounds, or exit code 1:

- every validator's weights are in every epoch, as the chain has it, also in the one that the chain was killed before:
  it comes back with blocks left, three seconds each, as the real chain's window is longer than its six blocks here;
- a fifth validator has a subnet of its own, of three miners, that wants hash commits: one in every epoch, none of them
  lost, and revealed in time;
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
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import _soak_neurons as neurons
import psutil
from _soak_faults import LONG, Faults, when
from _soak_stage import BLOCK_S, MINERS, NETUID, PATIENCE, SEALED, VALIDATORS, Stage
from _soak_twin import Absence, Seat, read_diary, seen_again
from _soak_verdict import (
    GROWTH,
    GROWTH_SHORT,
    Sample,
    Soak,
    beside_a_run_without_faults,
    commits_of,
    row_of,
    show,
)
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from subnet import Chain
from subnet.keys import load_key
from subnet.store import History
from subnet.types import Hotkey, Metagraph

CHURN = 0.2  # of the miners a minute
QUIET = 0.75  # of the time: no miner comes or goes any more
SETTLED = 5  # rounds of every validator after it has asked the last miner that came
RECOVERY = 30.0  # seconds that a neuron's trouble may outlast the end


class Run:
    """One soak: its plan, and what it has seen so far."""

    def __init__(self, stage: Stage, chain: Chain, seconds: float, tell: Any) -> None:
        self.stage, self.chain, self.seconds, self.tell = stage, chain, seconds, tell
        self.soak = Soak(growth=GROWTH if seconds >= LONG else GROWTH_SHORT)
        self.chance = random.Random(stage.seed)
        self.began = self.began_unix = 0.0
        self.miners = {neurons.miner_key(i).ss58_address: i for i in range(MINERS)}
        self.judges = [Hotkey(neurons.validator_key(i).ss58_address) for i in range(VALIDATORS)]
        self.sealer = Hotkey(neurons.validator_key(VALIDATORS).ss58_address)
        self.faults = Faults(stage, chain, self.soak, self.judges, seconds, tell)
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
            watches = [
                group.create_task(self.faults.epochs(NETUID, self.judges, self.soak.epochs)),
                group.create_task(self.faults.epochs(SEALED, [self.sealer], self.soak.sealed)),
                group.create_task(self._sample()),
            ]
            faults = [group.create_task(one()) for one in (self.faults.all, self._churn)]
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
            everyone = [*self.stage.validators, *self.stage.sealed]
            self.soak.said = [await one.ask("?") for one in everyone]
            wrong = {one.name: said["troubles"] for one, said in zip(everyone, self.soak.said, strict=True)}
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

        await when(paid, "weights of every validator")

    async def _sample(self) -> None:
        watched = {one.name: [psutil.Process(one.process.pid)] for one in (*self.stage.validators, *self.stage.sealed)}
        watched["miners"] = [psutil.Process(one.process.pid) for one in self.stage.hosts]  # who comes is with any
        self.soak.processes = {name: len(processes) for name, processes in watched.items()}
        while True:
            for name, processes in watched.items():
                memory = [process.memory_info() for process in processes]
                rss = sum(one.rss - one.shared for one in memory)
                files = sum(process.num_fds() for process in processes)
                self.soak.samples.setdefault(name, []).append(Sample(time.monotonic() - self.began, rss, files))
            await asyncio.sleep(1.0)

    async def _churn(self) -> None:
        every, coming = 60 / (CHURN * MINERS), MINERS
        turn = 0
        while (due := self.began + every * (turn + 1)) < self.began + QUIET * self.seconds:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            turn += 1
            if turn % 2:
                async with self.faults.busy:
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
            await stage.start_neurons()
            run = Run(stage, chain, seconds, tell)
            ticking = asyncio.create_task(_tick(bar, task, run))
            try:
                await run.whole()
            finally:
                ticking.cancel()
        run.soak.commits = commits_of(neurons.ledger_of(folder, VALIDATORS))
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
