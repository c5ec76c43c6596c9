"""The client's figures: one subnet of 256 read our way, substrate-interface's and bittensor's, from the same node.

    python benchmarks/chain.py metagraph connect [--bittensor PYTHON]

``--bittensor`` names the interpreter of an environment with bittensor 11 in it; its read runs there, in a
process of its own, and is timed there. All times are of warm processes, imports left out, and count
the node's own work too; a median of some reads each.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from typing import Any

from chain import NEURONS, Row, bench_node, hotkeys
from substrateinterface import SubstrateInterface

from subnet.chain import Chain
from subnet.chain.cache import VARIABLE

READS, SLOW_READS, CONNECTIONS = 21, 5, 7
PALLET = "SubtensorModule"
MAPS = ("Keys", "BlockAtRegistration", "Axons", "Prometheus", "NeuronCertificates")
VECTORS = (
    "Active",
    "Consensus",
    "Dividends",
    "Emission",
    "Incentive",
    "LastUpdate",
    "StakeWeight",
    "ValidatorPermit",
    "ValidatorTrust",
)
SCALARS = ("NetworksAdded", "SubnetworkN", "Tempo", "SubnetOwnerHotkey", "MechanismCountCurrent")

BITTENSOR = """
import asyncio, json, statistics, sys, time
import bittensor
url, reads = sys.argv[1], int(sys.argv[2])

async def timed(read):
    await read()
    taken = []
    for _ in range(reads):
        began = time.perf_counter()
        found = await read()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken), len(found.hotkeys if hasattr(found, "hotkeys") else found)

async def main():
    async with bittensor.Client(url, substrate=bittensor.RpcSubstrate(url)) as chain:
        seconds, neurons = await timed(lambda: chain.subnets.metagraph(1))
    print(json.dumps({"seconds": seconds, "neurons": neurons, "version": bittensor.__version__}))

asyncio.run(main())
"""


def ask_as_substrate_interface_does(node: SubstrateInterface) -> int:
    """What :meth:`Chain.metagraph` reads, by query_map for what is keyed by subnet and query_multi for the rest.

    Both are that library's ways to ask for many entries at once. Returns the number of neurons.
    """
    block = node.get_chain_head()
    maps = {item: node.query_map(PALLET, item, [1], block_hash=block, page_size=1000).records for item in MAPS}
    for item in (*VECTORS, *SCALARS):
        node.query(PALLET, item, [1], block_hash=block)
    node.query(PALLET, "TaoWeight", block_hash=block)
    keys = [account.value for _, account in maps["Keys"]]
    wanted = [("Owner", [key]) for key in keys]
    wanted += [("TotalHotkeyAlpha", [key, netuid]) for netuid in (1, 0) for key in keys]
    node.query_multi([node.create_storage_key(PALLET, item, params) for item, params in wanted], block_hash=block)
    return len(keys)


def median(read: Callable[[], Any], times: int) -> float:
    """The median's seconds; the first, which warms caches on both sides, is left out."""
    taken = []
    for _ in range(times + 1):
        began = time.perf_counter()
        read()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken[1:])


async def ours_of(url: str) -> tuple[float, float]:
    """Seconds for a metagraph and for a matrix of weights, over one connection."""

    async def timed(read: Callable[[], Awaitable[Any]]) -> float:
        await read()
        taken = []
        for _ in range(READS):
            began = time.perf_counter()
            await read()
            taken.append(time.perf_counter() - began)
        return statistics.median(taken)

    async with await Chain.connect(url, timeout=60.0) as chain:
        assert len(await chain.metagraph(1)) == NEURONS
        return await timed(lambda: chain.metagraph(1)), await timed(lambda: chain.weight_matrix(1))


def metagraph(bittensor: str | None) -> list[Row]:
    """256 neurons, read three ways from one node."""
    with bench_node(hotkeys()) as node:
        node.ask(("dev_newBlock", []))
        ours, weights = asyncio.run(ours_of(node.url))
        with SubstrateInterface(node.url) as theirs:
            assert ask_as_substrate_interface_does(theirs) == NEURONS
            by_map = median(lambda: ask_as_substrate_interface_does(theirs), SLOW_READS)
        rows = [
            Row(f"client: metagraph of {NEURONS} uids", ours * 1000, "ms", 60.0),
            Row("client: the same by substrate-interface's query_map", by_map * 1000, "ms"),
            Row("client: ours over that", ours / by_map, "", 0.2),
            Row(f"client: weights of {NEURONS} uids as a sparse matrix", weights * 1000, "ms"),
        ]
        return rows + by_bittensor(bittensor, node.url, ours)


def by_bittensor(python: str | None, url: str, ours: float) -> list[Row]:
    """The same read by bittensor; a row without a value says why there is none."""
    what = "client: the same by bittensor"
    if python is None:
        return [Row(f"{what}: left out (no --bittensor PYTHON)", None, "")]
    done = subprocess.run(
        [python, "-c", BITTENSOR, url, str(SLOW_READS)], capture_output=True, text=True, timeout=600, check=False
    )
    if done.returncode:
        words = done.stderr.strip().splitlines()
        return [Row(f"{what}: it failed ({words[-1][:80] if words else done.returncode})", None, "")]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["neurons"] == NEURONS, found
    seconds = found["seconds"]
    return [
        Row(f"{what} {found['version']}", seconds * 1000, "ms"),
        Row("client: ours over that", ours / seconds, ""),
    ]


def connect(bittensor: str | None) -> list[Row]:
    """From nothing to the first read, with what is kept on disk, without it, and by substrate-interface."""

    async def first_read(url: str) -> None:
        async with await Chain.connect(url, timeout=60.0) as chain:
            assert (await chain.hyperparameters(1)).max_uids >= NEURONS

    def theirs(url: str) -> None:
        with SubstrateInterface(url) as node:
            assert node.query(PALLET, "MaxAllowedUids", [1]).value >= NEURONS

    with bench_node(hotkeys()) as node, tempfile.TemporaryDirectory() as folder:
        node.ask(("dev_newBlock", []))
        kept, fresh = [], []
        for _ in range(CONNECTIONS):  # in turn, so that a busy moment weighs on both
            for place, taken in ((folder, kept), ("-", fresh)):
                os.environ[VARIABLE] = place
                taken.append(median(lambda: asyncio.run(first_read(node.url)), 3))
        by_interface = median(lambda: theirs(node.url), SLOW_READS)
    cached, uncached = statistics.median(kept), statistics.median(fresh)
    return [
        Row("client: connect to first read, metadata from disk", cached, "s", 0.3),
        Row("client: the same, metadata from the node", uncached, "s"),
        Row("client: from disk over from the node", cached / uncached, "", 0.8),
        Row("client: the same by substrate-interface (one item)", by_interface, "s"),
    ]


GROUPS: dict[str, Callable[[str | None], list[Row]]] = {"metagraph": metagraph, "connect": connect}
