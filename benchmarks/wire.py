"""Signed round trips a second, and a fan-out to 256 axons, beside the bare libraries that they stand on.

The bare peer is aiohttp + msgpack + sr25519 and nothing else: it signs and verifies each request once. Ours does
the same under btauth/1 with every check of the axon, once without receipts (as much cryptography as the bare
peer) and once with them (a second signature and verification). All are measured in turn in the same
run, server in one process, client in this one; the ratio is the median of the runs' ratios.

    python benchmarks/wire.py            # a table
    python benchmarks/wire.py --v10 .venv-v10/bin/python   # beside bittensor 10.5's pair
    python benchmarks/wire.py --json     # {"ratios": {...}, "rates": {...}, "seconds": {...}}
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import msgpack
import numpy as np
import sr25519
from aiohttp import web
from substrateinterface import Keypair

from subnet.admission import Limits
from subnet.axon import Axon
from subnet.dendrite import Dendrite, Ok
from subnet.synapse import Message, Spec, Synapse, Tensor
from subnet.types import AxonInfo, Hotkey, Neuron, Uid

PORTS, PATHS = 16, 16
IMAGES = np.arange(64 * 64, dtype=np.uint8).reshape(64, 8, 8)
UNLIMITED = Limits(hotkey_rate=1e9, hotkey_burst=10**9, address_burst=4096, running=1024, queue=4096)


class Labels(Message):
    digits: Annotated[Tensor, Spec("int64", ("n",))]


class Classify(Synapse[Labels], timeout=60.0):
    images: Annotated[Tensor, Spec("uint8", ("n", 8, 8))]


CLASSES = [type(f"Classify{i:02d}", (Classify,), {"__module__": __name__}) for i in range(PATHS)]


def answer(images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.asarray(images[:, 0, 0], dtype=np.int64)


# The two servers, each in a process of its own.


def serve_ours(pipe: Connection, receipts: bool) -> None:
    async def main() -> None:
        ports = []
        for i in range(PORTS):
            axon = Axon(_miner(i), limits=UNLIMITED, receipts=receipts)
            for cls in CLASSES:
                axon.serve(_handler(cls))
            await axon.start()
            ports.append(axon.port)
        await _serve_until_told(pipe, ports)

    asyncio.run(main())


def _handler(cls: type[Classify]) -> Callable[..., Awaitable[Labels]]:
    async def classify(request: Classify) -> Labels:
        return Labels(digits=answer(request.images))

    classify.__annotations__ = {"request": cls, "return": Labels}
    return classify


def serve_bare(pipe: Connection, receipts: bool) -> None:
    caller = Keypair.create_from_uri("//Validator").public_key

    async def echo(request: web.Request) -> web.Response:
        body = await request.read()
        signature = bytes.fromhex(request.headers["X-Signature"])
        if not sr25519.verify(signature, hashlib.sha256(body).digest(), caller):
            return web.Response(status=401)
        data = msgpack.unpackb(body)
        images = np.frombuffer(data["images"], np.uint8).reshape(data["shape"])
        return web.Response(body=msgpack.packb({"digits": answer(images).tobytes()}))

    async def main() -> None:
        ports = []
        for _ in range(PORTS):
            app = web.Application()
            app.router.add_post("/{name}", echo)
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
            await site.start()
            ports.append(runner.addresses[0][1])
        await _serve_until_told(pipe, ports)

    asyncio.run(main())


async def _serve_until_told(pipe: Connection, ports: list[int]) -> None:
    """Tell the ports, then this process's CPU time so far whenever asked, until told to stop."""
    pipe.send(ports)
    while await asyncio.get_running_loop().run_in_executor(None, pipe.recv) == "cpu":
        pipe.send(time.process_time())


def _miner(i: int) -> Keypair:
    return Keypair.create_from_uri(f"//Miner{i}")


@contextmanager
def server(
    target: Callable[[Connection, bool], None], receipts: bool
) -> Iterator[tuple[list[int], Callable[[], float]]]:
    """The ports of a server in a process of its own, and what tells that process's CPU time in seconds."""

    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(theirs, receipts), daemon=True)
    process.start()

    def cpu() -> float:
        ours.send("cpu")
        return float(ours.recv())

    try:
        yield ours.recv(), cpu
    finally:
        ours.send("stop")
        process.join(10)
        process.kill()


# The two clients: one(i) asks server i // PATHS for path i % PATHS.


@asynccontextmanager
async def client_ours(ports: list[int], receipts: bool) -> AsyncIterator[Callable[[int], Awaitable[None]]]:
    peers = [
        Neuron(Uid(i), Hotkey(_miner(i // PATHS).ss58_address), axon=AxonInfo("127.0.0.1", ports[i // PATHS]))
        for i in range(PORTS * PATHS)
    ]
    requests = [cls(images=IMAGES) for cls in CLASSES]
    async with Dendrite(Keypair.create_from_uri("//Validator"), receipts=receipts, per_host=1024) as dendrite:

        async def one(i: int) -> None:
            (result,) = await dendrite.query([peers[i]], requests[i % PATHS])
            if not isinstance(result, Ok):
                raise SystemExit(f"a request failed: {result}")

        async def fan_out() -> None:
            results = await dendrite.query(peers, [requests[i % PATHS] for i in range(len(peers))])
            if not all(isinstance(result, Ok) for result in results):
                raise SystemExit("a request of the fan-out failed")

        one.fan_out = fan_out  # type: ignore[attr-defined]
        yield one


@asynccontextmanager
async def client_bare(ports: list[int], receipts: bool) -> AsyncIterator[Callable[[int], Awaitable[None]]]:
    key = Keypair.create_from_uri("//Validator")
    pair = (key.public_key, key.private_key)
    urls = [f"http://127.0.0.1:{ports[i // PATHS]}/Classify{i % PATHS:02d}" for i in range(PORTS * PATHS)]
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def one(i: int) -> None:
            body = msgpack.packb({"images": IMAGES.tobytes(), "shape": IMAGES.shape})
            signature = sr25519.sign(pair, hashlib.sha256(body).digest()).hex()
            async with session.post(urls[i], data=body, headers={"X-Signature": signature}) as response:
                data = msgpack.unpackb(await response.read())
                if response.status != 200 or len(np.frombuffer(data["digits"], np.int64)) != len(IMAGES):
                    raise SystemExit(f"a bare request failed: {response.status}")

        async def fan_out() -> None:
            await asyncio.gather(*(one(i) for i in range(len(urls))))

        one.fan_out = fan_out  # type: ignore[attr-defined]
        yield one


async def rate(one: Callable[[int], Awaitable[None]], in_flight: int, requests: int) -> float:
    """Round trips a second with ``in_flight`` workers that ask one after the other."""
    left = iter(range(requests))

    async def worker() -> None:
        for i in left:
            await one(i % (PORTS * PATHS))

    start = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(in_flight)))
    return requests / (time.perf_counter() - start)


async def measure(kind: str, requests: int) -> dict[str, float]:
    """One server, one client: rates at 64 and 256 in flight (1/s), seconds for the fan-out to 256 axons, and what
    a round trip at 64 costs each process in seconds of CPU, which a busy machine blurs less than it does rates."""
    serve, client = (serve_bare, client_bare) if kind == "bare" else (serve_ours, client_ours)
    receipts = kind == "receipts"
    with server(serve, receipts) as (ports, server_cpu):
        async with client(ports, receipts) as one:
            await rate(one, 64, 300)  # connections and caches
            fan_out = one.fan_out  # type: ignore[attr-defined]
            await fan_out()
            times = []
            for _ in range(5):
                start = time.perf_counter()
                await fan_out()
                times.append(time.perf_counter() - start)
            cpu = time.process_time(), server_cpu()
            at_64 = await rate(one, 64, requests)
            return {
                "client": (time.process_time() - cpu[0]) / requests,
                "server": (server_cpu() - cpu[1]) / requests,
                "64": at_64,
                "256": await rate(one, 256, requests),
                "fanout": statistics.median(times),
            }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=3000, help="round trips a measurement")
    parser.add_argument("--runs", type=int, default=5, help="runs of each kind, in turn")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--v10", metavar="PYTHON", help="a Python that has bittensor 10.5: its pair is measured too")
    options = parser.parse_args()
    runs: dict[str, list[dict[str, float]]] = {"bare": [], "signed": [], "receipts": []}
    for run in range(options.runs):
        for kind, measured in runs.items():
            if not options.json:
                print(f"\rrun {run + 1} of {options.runs}: {kind:<9}", end="", file=sys.stderr, flush=True)
            measured.append(asyncio.run(measure(kind, options.requests)))
    report(runs, v10_rate(options.v10) if options.v10 else None, as_json=options.json)


def v10_rate(python: str) -> float:
    """Round trips a second of bittensor 10.5's axon and dendrite at 64 in flight: the median of three."""
    guard = Path(__file__).resolve().parents[1] / "tests/clients/guard"  # it asks strangers for its address otherwise
    command = [python, str(Path(__file__).with_name("_v10_pair.py")), "640", "64"]
    environment = {"PATH": os.environ["PATH"], "HOME": tempfile.gettempdir(), "PYTHONPATH": str(guard)}
    rates = []
    for _ in range(3):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=True)
        rates.append(json.loads(done.stdout.splitlines()[-1])["rate"])
    return statistics.median(rates)


def report(runs: dict[str, list[dict[str, float]]], v10: float | None, *, as_json: bool) -> None:
    def median(kind: str, what: str) -> float:
        return statistics.median(run[what] for run in runs[kind])

    def ratio(kind: str, what: str) -> float:
        return statistics.median(mine[what] / bare[what] for mine, bare in zip(runs[kind], runs["bare"], strict=True))

    rows = [(kind, *(median(kind, what) for what in ("64", "256", "fanout"))) for kind in runs]
    ratios = {
        "signed_64": ratio("signed", "64"),
        "signed_256": ratio("signed", "256"),
        "fanout_256": ratio("signed", "fanout"),
        "receipts_64": ratio("receipts", "64"),
        "receipts_256": ratio("receipts", "256"),
        "receipts_fanout_256": ratio("receipts", "fanout"),
    }
    if v10:
        ratios |= {"v10_signed_64": median("signed", "64") / v10, "v10_receipts_64": median("receipts", "64") / v10}
    if as_json:
        rates = {kind: {"64": at64, "256": at256} for kind, at64, at256, _ in rows}
        seconds: dict[str, dict[str, float]] = {
            kind: {"fanout_256": fanout, "cpu_client": median(kind, "client"), "cpu_server": median(kind, "server")}
            for kind, _, _, fanout in rows
        }
        if v10:
            rates["v10"] = {"64": v10}
        print(json.dumps({"ratios": ratios, "rates": rates, "seconds": seconds}, indent=2))
        return
    print(f"\r{platform.machine()}, Python {platform.python_version()}, aiohttp {aiohttp.__version__}; medians")
    print(f"{'':<10}{'64 in flight':>14}{'256 in flight':>15}{'256 axons':>12}{'CPU client':>14}{'CPU server':>14}")
    for kind, at64, at256, fanout in rows:
        client, serving = (f"{median(kind, side) * 1e6:>11.0f} µs" for side in ("client", "server"))
        print(f"{kind:<10}{at64:>12.0f}/s{at256:>13.0f}/s{fanout * 1000:>9.0f} ms{client}{serving}")
    for kind in ("signed", "receipts"):
        at64, at256 = ratios[f"{kind}_64"], ratios[f"{kind}_256"]
        fanout = ratios["fanout_256" if kind == "signed" else "receipts_fanout_256"]
        print(f"{kind + '/bare':<14}{at64:>10.2f}{at256:>15.2f}{fanout:>11.2f}x")
    if v10:
        times = f"signed {ratios['v10_signed_64']:.0f}x, with receipts {ratios['v10_receipts_64']:.0f}x"
        print(f"bittensor 10.5 at 64 in flight: {v10:.0f}/s; {times}")


if __name__ == "__main__":
    main()
