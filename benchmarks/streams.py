"""How soon a miner stops computing a stream that nobody reads any more, and how far it runs ahead of its reader.

Miner and reader are processes of their own; the system's monotonic clock is one for both. A reader takes the first
message of a stream, is cancelled, and the time from ``cancel()`` to the end of the miner's generator is taken: of one
that waits for its model, of one that yields all the time, of a plain one in a thread whose steps take 5 ms (it
stops after the step that it is at), and of 64 readers cancelled at once until the last generator has ended. Beside
them stands bare aiohttp, from the same ``cancel()`` to its handler's CancelledError, in turn in the same run. Then a
reader takes one message of 64 KiB and no more, and what the miner has made by then is counted.

    python benchmarks/streams.py            # a table
    python benchmarks/streams.py --json     # {"ratios": {...}, "seconds": {...}, "most_seconds": {...}, ...}
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from multiprocessing.connection import Connection

import aiohttp
from aiohttp import web
from substrateinterface import Keypair

from subnet.admission import Limits
from subnet.axon import Axon
from subnet.dendrite import Dendrite
from subnet.synapse import Message, Synapse
from subnet.types import AxonInfo, Hotkey, Neuron, Uid

MINER, CALLER = Keypair.create_from_uri("//Miner"), Keypair.create_from_uri("//Validator")
CROWD = 64
STEP = 0.005
PIECE = 65_536
LIMIT = 0.1
"""Seconds that a producer may go on after its consumer was cancelled."""


class Token(Message):
    text: str


class Waiting(Synapse[Token], stream=True, timeout=60.0):
    """A first message, and then nothing."""


class Yielding(Synapse[Token], stream=True, timeout=60.0, max_reply=1 << 34):
    """Messages without a pause."""


class Stepping(Synapse[Token], stream=True, timeout=60.0):
    """A plain generator, a message every 5 ms."""


class Flooding(Synapse[Token], stream=True, timeout=60.0, max_reply=1 << 34):
    """Messages of 64 KiB."""


def serve(pipe: Connection) -> None:
    """An axon and a bare server; each end of a producer is told with its time, what was made on demand."""
    made = {"ours": 0, "bare": 0}

    def told() -> None:
        pipe.send(time.monotonic())

    async def waiting(request: Waiting) -> AsyncIterator[Token]:
        try:
            yield Token(text="first")
            await asyncio.Event().wait()
        finally:
            told()

    async def yielding(request: Yielding) -> AsyncIterator[Token]:
        try:
            while True:
                yield Token(text="on and on")
                await asyncio.sleep(0)
        finally:
            told()

    def stepping(request: Stepping) -> Iterator[Token]:
        try:
            while True:
                yield Token(text="step")
                time.sleep(STEP)
        finally:
            told()

    async def flooding(request: Flooding) -> AsyncIterator[Token]:
        while True:
            made["ours"] += 1
            yield Token(text="x" * PIECE)

    async def bare(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first")
        try:
            await asyncio.Event().wait()
        finally:
            told()
        return response

    async def bare_flood(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            made["bare"] += 1
            await response.write(b"x" * PIECE)

    async def main() -> None:
        app = web.Application()
        app.router.add_post("/", bare)
        app.router.add_post("/flood", bare_flood)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        axon = Axon(MINER, limits=Limits(running=2 * CROWD, hotkey_rate=1e9, hotkey_burst=10**9))
        for handler in (waiting, yielding, stepping, flooding):
            axon.serve(handler)
        async with axon:
            pipe.send((axon.port, runner.addresses[0][1]))
            while (asked := await asyncio.get_running_loop().run_in_executor(None, pipe.recv)) != "stop":
                pipe.send(made[asked])

    asyncio.run(main())


Take = Callable[[], Awaitable[object]]
"""Takes the next message of a stream."""
Opener = Callable[[AsyncExitStack], Awaitable[Take]]
"""Opens a stream for as long as its stack."""


class Reader:
    """The asking side of both kinds."""

    def __init__(self, pipe: Connection, dendrite: Dendrite, session: aiohttp.ClientSession) -> None:
        self._pipe, self._dendrite, self._session = pipe, dendrite, session
        axon, self._bare = pipe.recv()
        self._peer = Neuron(Uid(0), Hotkey(MINER.ss58_address), axon=AxonInfo("127.0.0.1", axon))

    def ours(self, request: Synapse[Token]) -> Opener:
        async def opened(stack: AsyncExitStack) -> Take:
            return (await stack.enter_async_context(self._dendrite.stream(self._peer, request))).__anext__

        return opened

    def bare(self, path: str) -> Opener:
        async def opened(stack: AsyncExitStack) -> Take:
            url = f"http://127.0.0.1:{self._bare}/{path}"
            return (await stack.enter_async_context(self._session.post(url))).content.readany

        return opened

    async def cancels(self, opener: Opener, crowd: int = 1) -> float:
        """Seconds from the cancel of ``crowd`` consumers to the end of the last producer."""
        loop = asyncio.get_running_loop()

        async def consume(reads: asyncio.Future[None]) -> None:
            try:
                async with AsyncExitStack() as stack:
                    take = await opener(stack)
                    await take()
                    reads.set_result(None)
                    while True:
                        await take()
            except Exception as error:
                if reads.done():
                    raise
                reads.set_exception(error)

        first = [loop.create_future() for _ in range(crowd)]
        consumers = [asyncio.create_task(consume(reads)) for reads in first]
        await asyncio.gather(*first)
        started = time.monotonic()
        for consumer in consumers:
            consumer.cancel()
        await asyncio.gather(*consumers, return_exceptions=True)
        return max([await self._answer() for _ in consumers]) - started

    async def ahead(self, kind: str, opener: Opener) -> float:
        """MiB that a producer has made for a reader that took the first 64 KiB, once it makes no more."""
        async with AsyncExitStack() as stack:
            await (await opener(stack))()
            before, made = -1.0, 0.0
            while made != before:
                await asyncio.sleep(0.3)
                self._pipe.send(kind)
                before, made = made, await self._answer()
        return made * PIECE / 2**20

    async def _answer(self) -> float:
        answer: float = await asyncio.get_running_loop().run_in_executor(None, self._pipe.recv)
        return answer


async def measure(pipe: Connection, cancels: int) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Seconds of each cancel, by kind, and MiB made ahead of a reader that does not read."""
    async with Dendrite(CALLER, per_host=2 * CROWD) as dendrite, aiohttp.ClientSession() as session:
        reader = Reader(pipe, dendrite, session)
        kinds = {
            "bare": (reader.bare(""), 1),
            "waiting": (reader.ours(Waiting()), 1),
            "yielding": (reader.ours(Yielding()), 1),
            "thread": (reader.ours(Stepping()), 1),
            f"waiting_{CROWD}": (reader.ours(Waiting()), CROWD),
        }
        seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
        for turn in range(-3, cancels):  # three of each for connections and caches
            for kind, (opener, crowd) in kinds.items():
                if crowd > 1 and turn >= cancels // 10:
                    continue
                took = await reader.cancels(opener, crowd)
                if turn >= 0:
                    seconds[kind].append(took)
        ahead = {
            "ours": await reader.ahead("ours", reader.ours(Flooding())),
            "bare": await reader.ahead("bare", reader.bare("flood")),
        }
    return seconds, ahead


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cancels", type=int, default=300, help="of each kind (of 64 at once, a tenth)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs,), daemon=True)
    process.start()
    try:
        taken, ahead = asyncio.run(measure(ours, options.cancels))
        ours.send("stop")
        process.join(10)
    finally:
        process.kill()
    seconds = {kind: statistics.median(times) for kind, times in taken.items()}
    most = {kind: max(times) for kind, times in taken.items()}
    ratios = {"cancel": seconds["waiting"] / seconds["bare"], "ahead": ahead["ours"] / ahead["bare"]}
    if options.json:
        print(json.dumps({"ratios": ratios, "seconds": seconds, "most_seconds": most, "ahead_mib": ahead}, indent=2))
    else:
        head = "from cancel() to the end of the producer"
        print(f"{head:<42}{'median':>10}{'most':>10}   (at most {LIMIT * 1e3:.0f} ms)")
        for kind, times in taken.items():
            what = f"{kind.replace('_', ', ')}{' at once' if '_' in kind else ''} ({len(times)} times)"
            print(f"{what:<42}{seconds[kind] * 1e3:>7.2f} ms{most[kind] * 1e3:>7.2f} ms")
        print(f"waiting/bare {ratios['cancel']:.2f}")
        print(f"made ahead of a reader that does not read: {ahead['ours']:.1f} MiB, bare {ahead['bare']:.1f} MiB")


if __name__ == "__main__":
    main()
