"""A miner in a process of its own, under its default limits: ``python victim.py`` prints its port and serves."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator

import numpy as np
from abuse_protocol import MINER, Answer, Gush, Question

from subnet.axon import Axon
from subnet.types import Netuid


async def square(request: Question) -> Answer:
    return Answer(squares=np.square(request.numbers))


async def gush(request: Gush) -> AsyncIterator[Answer]:
    while True:
        yield Answer(squares=np.arange(50_000))


async def main() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    axon = Axon(MINER, netuid=Netuid(2))
    axon.serve(square)
    axon.serve(gush)
    async with axon:
        print(axon.port, flush=True)
        await stop.wait()


asyncio.run(main())
