"""What the round engine costs: a validator's rounds over 256 loopback miners beside the bare fan-out.

The bare peer is the same query by the same dendrite over the same connections, and the same scores out of the
replies; nothing is sampled, moved, written or counted. The engine's rounds do all of that: the block ends when results,
receipts and scores of its last round are on disk (SQLite, synced) and the metrics are set. Blocks of ten, one round
after the other as with interval 0, take turns in one run; the ratio is the median of the pairs' ratios. "alone" is a
single round, until it is on disk, beside a single fan-out. CPU is that of the validator's process. The miners are
256 axons, each with its hotkey and port, in a process of their own.

    python benchmarks/round.py            # a table
    python benchmarks/round.py --json     # {"ratio": ..., "bare_ms": ..., "engine_ms": ..., ...}
    python benchmarks/round.py --profile  # where the engine's share goes
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import json
import logging
import multiprocessing
import platform
import pstats
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Annotated

import numpy as np
from substrateinterface import Keypair

from subnet.admission import Limits
from subnet.axon import Axon
from subnet.dendrite import Dendrite, Ok
from subnet.store import Ledger
from subnet.synapse import Message, Spec, Synapse, Tensor
from subnet.telemetry import Metrics
from subnet.types import AxonInfo, Block, Coldkey, Hotkey, Metagraph, Netuid, Neuron, Uid
from subnet.validators import Validator
from subnet.validators.rounds import Rounds
from subnet.validators.scorebook import Scorebook

MINERS = 256
BLOCK = 10
IMAGES = np.arange(64 * 64, dtype=np.uint8).reshape(64, 8, 8)
GENESIS = "0x" + "11" * 32


class Labels(Message):
    digits: Annotated[Tensor, Spec("int64", ("n",))]


class Classify(Synapse[Labels], timeout=60.0):
    images: Annotated[Tensor, Spec("uint8", ("n", 8, 8))]


class Judge(Validator):
    interval = 0.0

    async def round(self, peers: Sequence[Neuron]) -> Mapping[Uid, float]:
        replies = await self.query(peers, Classify(images=IMAGES))
        return {r.uid: float((r.value.digits == IMAGES[:, 0, 0]).mean()) if isinstance(r, Ok) else 0.0 for r in replies}


def key(i: int) -> Keypair:
    return Keypair.create_from_uri(f"//Miner{i}")


def serve(pipe: Connection, receipts: bool) -> None:
    async def classify(request: Classify) -> Labels:
        return Labels(digits=np.asarray(request.images[:, 0, 0], dtype=np.int64))

    async def main() -> None:
        ports = []
        for i in range(MINERS):
            axon = Axon(key(i), netuid=Netuid(2), genesis_hash=GENESIS, limits=Limits(), receipts=receipts)
            axon.serve(classify)
            await axon.start()
            ports.append(axon.port)
        pipe.send(ports)
        await asyncio.get_running_loop().run_in_executor(None, pipe.recv)

    asyncio.run(main())


@contextmanager
def miners(receipts: bool) -> Iterator[list[int]]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, receipts), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        ours.send("stop")
        process.join(10)
        process.kill()


def metagraph(ports: Sequence[int], validator: Hotkey) -> Metagraph:
    """The miners, and the validator as the last uid."""
    n = len(ports) + 1
    hotkeys = (*(Hotkey(key(i).ss58_address) for i in range(len(ports))), validator)
    columns = {name: np.zeros(n, "uint16") for name in ("consensus", "incentive", "dividends", "validator_trust")}
    wide = ("stake", "emission", "last_update", "block_at_registration")
    flags = {name: np.ones(n, "bool") for name in ("active", "validator_permit")}
    return Metagraph(
        netuid=Netuid(2),
        block=Block(1),
        block_hash=GENESIS,
        tempo=360,
        hotkeys=hotkeys,
        coldkeys=(Coldkey(""),) * n,
        axons=(*(AxonInfo("127.0.0.1", port) for port in ports), None),
        **columns,
        **{name: np.zeros(n, "uint64") for name in wide},
        **flags,
    )


async def measure(ports: Sequence[int], folder: Path, pairs: int, *, receipts: bool, profile: bool) -> dict[str, float]:
    """Median milliseconds of both, and the median of their ratios."""
    mine = Keypair.create_from_uri("//Validator")
    hotkey = Hotkey(mine.ss58_address)
    snapshot, judge = metagraph(ports, hotkey), Judge()
    judge.attach(hotkey, snapshot)
    ledger = Ledger(folder / "round.sqlite", genesis_hash=GENESIS, netuid=Netuid(2), validator=hotkey)
    book = Scorebook(judge, ledger, lambda: snapshot, Metrics(netuid=2, hotkey=hotkey, role="validator"))
    book.restore()
    rounds = Rounds(judge, book, lambda: snapshot)
    profiler, times = cProfile.Profile(), []
    async with Dendrite(mine, netuid=Netuid(2), genesis_hash=GENESIS, receipts=receipts) as dendrite:
        judge.use(dendrite)
        peers = judge.sample(snapshot)

        async def bare() -> None:
            replies = await dendrite.query(peers, Classify(images=IMAGES))
            scores = {r.uid: float((r.value.digits == IMAGES[:, 0, 0]).mean()) for r in replies if isinstance(r, Ok)}
            if len(scores) != MINERS or min(scores.values()) < 1.0:
                raise SystemExit(f"{MINERS - len(scores)} miners of the bare fan-out did not answer")

        async def engine() -> None:
            left = iter(range(BLOCK))

            async def lane() -> None:
                for _ in left:
                    await rounds.one()

            await asyncio.gather(*(lane() for _ in range(rounds.lanes)))

        async def fan_outs() -> None:
            for _ in range(BLOCK):
                await bare()

        kinds = {"bare": fan_outs, "engine": engine, "bare alone": bare, "engine alone": rounds.one}
        for pair in range(pairs + 1):
            took = {}
            for name, work in list(kinds.items())[:: 1 if pair % 2 else -1]:
                if profile and name == "engine":
                    profiler.enable()
                began, used = time.perf_counter(), time.process_time()
                await work()
                took[name], took[f"{name} cpu"] = time.perf_counter() - began, time.process_time() - used
                profiler.disable()
            times.append(took)
    last = ledger.last_round()
    if last is None or last.answered != MINERS or last.error or len(ledger.scores()) != MINERS:
        raise SystemExit(f"the engine's rounds did not go well: {last}")
    ledger.close()
    if profile:
        pstats.Stats(profiler).sort_stats("tottime").print_stats(30)
    times = times[1:]  # connections and caches

    def median(name: str) -> float:
        return statistics.median(took[name] for took in times) * 1000

    return {
        "ratio": statistics.median(took["engine"] / took["bare"] for took in times),
        "ratio_alone": statistics.median(took["engine alone"] / took["bare alone"] for took in times),
        "bare_ms": median("bare") / BLOCK,
        "engine_ms": median("engine") / BLOCK,
        "bare_cpu_ms": median("bare cpu") / BLOCK,
        "engine_cpu_ms": median("engine cpu") / BLOCK,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=12, help="pairs of ten fan-outs and ten rounds")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--profile", action="store_true", help="print where the engine's rounds spend their time")
    options = parser.parse_args()
    logging.disable(logging.INFO)
    found: dict[str, dict[str, float]] = {}
    for receipts in (True, False):
        name = "with receipts" if receipts else "without"
        with miners(receipts) as ports, tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
            print(f"{MINERS} miners, {name} ...", file=sys.stderr)
            found[name] = asyncio.run(
                measure(ports, Path(folder), options.pairs, receipts=receipts, profile=options.profile)
            )
    if options.json:
        print(json.dumps({"miners": MINERS, "pairs": options.pairs} | found, indent=2))
        return
    print(f"{platform.machine()}, Python {platform.python_version()}; medians of {options.pairs} pairs, a round each")
    print(f"{'':<14}{'bare':>10}{'engine':>12}{'ratio':>8}{'alone':>8}{'CPU bare':>14}{'engine':>12}")
    for name, row in found.items():
        wall = f"{name:<14}{row['bare_ms']:>7.1f} ms{row['engine_ms']:>9.1f} ms{row['ratio']:>8.3f}"
        print(f"{wall}{row['ratio_alone']:>8.3f}{row['bare_cpu_ms']:>11.1f} ms{row['engine_cpu_ms']:>9.1f} ms")


if __name__ == "__main__":
    main()
