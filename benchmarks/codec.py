"""Tensors on the wire: the codec beside memcpy, and the memory that a 64 MiB tensor costs at each end.

    python benchmarks/codec.py            # a table
    python benchmarks/codec.py --json     # {"ratios": {"codec_memcpy": …, "request_sender": …, …}, "seconds": …}

Encode + decode of 1 MiB of float32 is timed in turn with a copy of the same bytes. Then a dendrite in one
process sends 64 MiB to an axon in another, and gets 64 MiB back; each end's peak of resident memory above what it
had before, in multiples of the tensor. (The sender, which has the tensor, makes the encoded body; the receiver
the body, of which its tensor is a view.)
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import multiprocessing
import statistics
import threading
import time
from multiprocessing.connection import Connection
from typing import Annotated

import numpy as np
import psutil
from substrateinterface import Keypair

from subnet import codec
from subnet.admission import Limits
from subnet.axon import Axon
from subnet.dendrite import Dendrite, Ok
from subnet.synapse import Message, MiB, Spec, Synapse, Tensor
from subnet.types import AxonInfo, Hotkey, Neuron, Uid

SIZE = 64 * MiB
MINER, CALLER = (Keypair.create_from_uri(f"//{name}") for name in ("Miner", "Caller"))


class Sum(Message):
    value: float


class Values(Message):
    values: Annotated[Tensor, Spec("float32", ("m",))]


class Give(Synapse[Values], timeout=60.0, max_reply=SIZE + MiB):
    count: int


class Add(Synapse[Sum], timeout=60.0, max_request=SIZE + MiB):
    values: Annotated[Tensor, Spec("float32", ("n",))]


class Peak:
    """The most that this process grew by while watched, in bytes."""

    def __enter__(self) -> Peak:
        gc.collect()
        self._process, self._over = psutil.Process(), threading.Event()
        self.before = self.most = self._process.memory_info().rss
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._over.wait(0.001):
            self.most = max(self.most, self._process.memory_info().rss)

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def grown(self) -> float:
        return (self.most - self.before) / SIZE


def codec_against_memcpy(runs: int) -> tuple[float, float]:
    """Median seconds of encode + decode of 1 MiB, and of a copy of it."""
    message = Add(values=np.arange(MiB // 4, dtype=np.float32))
    raw = message.values.tobytes()
    target = bytearray(len(raw))
    ours, copies = [], []
    for _ in range(runs):
        started = time.perf_counter()
        codec.decode(Add, codec.encode(message))
        ours.append(time.perf_counter() - started)
        started = time.perf_counter()
        target[:] = raw
        copies.append(time.perf_counter() - started)
    return statistics.median(ours), statistics.median(copies)


def serve(pipe: Connection) -> None:
    async def add(request: Add) -> Sum:
        return Sum(value=float(request.values[-1]))

    values = np.ones(SIZE // 4, dtype=np.float32)

    async def give(request: Give) -> Values:
        return Values(values=values[: request.count])

    async def main() -> None:
        axon = Axon(MINER, limits=Limits(unverified_bytes=4 * SIZE))
        axon.serve(add)
        axon.serve(give)
        async with axon:
            pipe.send(axon.port)
            loop = asyncio.get_running_loop()
            while await loop.run_in_executor(None, pipe.recv) == "watch":
                with Peak() as peak:
                    pipe.send("watching")
                    await loop.run_in_executor(None, pipe.recv)
                pipe.send(peak.grown)

    asyncio.run(main())


async def memory(runs: int) -> dict[str, float]:
    """Median growth of each end, in multiples of the tensor, when it is the request and when it is the reply."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs,), daemon=True)
    process.start()
    peer = Neuron(Uid(0), Hotkey(MINER.ss58_address), axon=AxonInfo("127.0.0.1", ours.recv()))
    large = Add(values=np.ones(SIZE // 4, dtype=np.float32))
    grown: dict[str, list[float]] = {}
    async with Dendrite(CALLER) as dendrite:
        await dendrite.query([peer], Add(values=np.ones(4, np.float32)))  # connections and caches
        for kind, request in [("request", large), ("reply", Give(count=SIZE // 4))] * runs:
            ours.send("watch")
            ours.recv()
            with Peak() as peak:
                (reply,) = await dendrite.query([peer], request)
            if not isinstance(reply, Ok):
                raise SystemExit(f"the tensor did not arrive: {reply}")
            ours.send("done")
            here, there = ("sender", "receiver") if kind == "request" else ("receiver", "sender")
            grown.setdefault(f"{kind}_{here}", []).append(peak.grown)
            grown.setdefault(f"{kind}_{there}", []).append(ours.recv())
            del reply
    ours.send("stop")
    process.join(10)
    process.kill()
    return {name: statistics.median(values) for name, values in grown.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=201)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    ours, copy = codec_against_memcpy(arguments.runs)
    ratios = {"codec_memcpy": ours / copy} | asyncio.run(memory(3))
    if arguments.json:
        print(json.dumps({"ratios": ratios, "seconds": {"codec": ours, "memcpy": copy}}))
        return
    print(
        f"encode + decode 1 MiB of float32    {ours * 1e6:5.0f} us, {ratios['codec_memcpy']:.2f}x a memcpy (at most 3)"
    )
    for kind in ("request", "reply"):
        for end in ("sender", "receiver"):
            name = f"64 MiB {kind}: memory of its {end}"
            print(f"{name:38} {ratios[f'{kind}_{end}']:.2f}x the tensor (under 1.25)")


if __name__ == "__main__":
    main()
