"""Conducts a demo: chain, subnet, neurons, its script, and an end when all is paid.

:func:`play` goes through it once and gives the record back; whatever ends it early (Ctrl-C, a
signal, an error) leaves through the troupe's ``with``, which ends every process it started.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Coroutine
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from subnet.demo.checks import EPOCHS
from subnet.demo.processes import Process, Troupe
from subnet.demo.record import Actor, Record
from subnet.demo.settings import BLOCK_TIME, Demo
from subnet.demo.stage import lay
from subnet.demo.watch import Watch
from subnet.errors import DemoError
from subnet.validators.weights import window

if TYPE_CHECKING:
    from subnet.chain import Chain

READY: Final = 120.0  # seconds for the chain, and again for all miners, to serve
SLOWEST: Final = 4.0  # times as long as planned may the rounds take, on a machine that is busy otherwise
_POLL: Final = 0.1


async def play(demo: Demo) -> Record:
    """Run the demo to its end. Raises DemoError, or ChainError, if it can't be brought there."""
    with Troupe(demo.folder) as troupe:
        demo.record.url = await _start_chain(demo, troupe)
        await together(_perform(demo, troupe), _guard(demo, troupe))
        await asyncio.to_thread(_curtain, troupe, demo)
    return demo.record


async def _perform(demo: Demo, troupe: Troupe) -> None:
    """Lay the subnet, then let everything go on at once until the plot has come to its end."""
    from subnet.chain import Chain

    async with await Chain.connect(demo.record.url, timeout=READY) as chain:
        await lay(chain, demo.record, demo.say, lambda actor: _enter(demo, troupe, actor))
        with closing(Watch(chain, demo)) as watch:
            try:
                async with asyncio.timeout(demo.limit):
                    await together(
                        demo.script(Stage(demo, troupe, watch, chain)),
                        watch.follow_blocks(),
                        watch.follow_epochs(),
                        watch.follow_rounds(),
                    )
            except TimeoutError:
                raise _too_slow(demo, demo.limit) from None


@dataclass(frozen=True)
class Stage:
    """What a script works with: the chain, the processes, and the watch that sees what they do."""

    demo: Demo
    troupe: Troupe
    watch: Watch
    chain: Chain

    def start(self, actor: Actor) -> None:
        """``subnet run``, as anybody would type it."""
        _start(self.demo, self.troupe, actor)

    async def all_serve(self) -> None:
        """Wait until the chain lists an address for every miner. Raises DemoError if one takes too long."""
        deadline = time.monotonic() + READY
        while True:
            metagraph = await self.chain.metagraph(self.demo.record.netuid)
            missing = []
            for actor in self.demo.record.miners:
                if metagraph.axons[actor.uid] is None:
                    missing.append(actor.name)
                else:
                    self.demo.now.states[actor.name] = "serving"
            if not missing:
                return
            if time.monotonic() > deadline:
                logs = self.demo.folder / "logs"
                raise DemoError(f"{', '.join(missing)} did not serve within {READY:.0f} s; see {logs}")
            await self.chain.wait_for_block(metagraph.block + 1, timeout=READY)

    async def paid(self) -> None:
        """Wait for an epoch that pays by weights set from now on, and for EPOCHS of them in all."""
        record, block = self.demo.record, self.demo.now.block
        await self.watch.until(lambda: _pays_for(record, block) and len(record.epochs) >= EPOCHS)


async def together(*work: Coroutine[Any, Any, None]) -> None:
    """Run all until the first ends or fails, and end the others."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _start(demo: Demo, troupe: Troupe, actor: Actor) -> None:
    options = [word for name, value in actor.options.items() for word in ("-o", f"{name}={value}")]
    where = ("--endpoint", demo.record.url, "--netuid", str(demo.record.netuid))
    whose = ("--key", actor.key, "--state", str(demo.state))
    troupe.start(actor.name, "run", actor.target, *where, *whose, *options)
    demo.now.states[actor.name] = "starting"


def _pays_for(record: Record, block: int) -> bool:
    """Whether the last epoch pays by weights that were set after ``block``."""
    return bool(record.epochs) and window(record.epochs[-1].block, record.tempo) > block


async def _guard(demo: Demo, troupe: Troupe) -> None:
    """Notice processes that end though nobody asked them to: without a miner the demo goes on."""
    miners = {actor.name for actor in demo.record.miners}
    while True:
        for process in troupe.dead():
            if process.name not in miners:
                raise _ended(process)
            troupe.processes.pop(process.name)
            demo.note("died", process.name)
            demo.say(f"{process.name} ended by itself with status {process.ended()}; {process.log} ends:")
            for line in process.tail().splitlines():
                demo.say(f"  {line}")
        await asyncio.sleep(_POLL)


async def _start_chain(demo: Demo, troupe: Troupe) -> str:
    """Start ``subnet chain``, wait until it says where it listens, and show its funded keys."""
    demo.state.mkdir(parents=True, exist_ok=True)
    ready = demo.folder / "chain.json"
    words = ("chain", "--json", "--port", "0", "--block-time", str(BLOCK_TIME))
    with ready.open("wb") as out:
        chain = troupe.start("chain", *words, "--state", str(demo.state / "chain.sqlite"), stdout=out.fileno())
    deadline = time.monotonic() + READY
    while not (line := ready.read_bytes()).endswith(b"\n"):
        if chain.ended() is not None:
            raise _ended(chain)
        if time.monotonic() > deadline:
            raise DemoError(f"the chain was not ready within {READY:.0f} s; see {chain.log}")
        await asyncio.sleep(_POLL / 2)
    banner: dict[str, Any] = json.loads(line.splitlines()[0])
    demo.say(f"local chain at {banner['url']}, genesis {banner['genesis'][:10]}…, a block every {BLOCK_TIME} s")
    funded = ", ".join(f"{a['uri']} {a['balance_rao'] / 10**9:,.0f} τ" for a in banner["accounts"])
    demo.say(f"funded keys: {funded}")
    return str(banner["url"])


def _enter(demo: Demo, troupe: Troupe, actor: Actor) -> None:
    """A miner comes up as soon as it is registered."""
    if actor.is_miner:
        _start(demo, troupe, actor)


def _curtain(troupe: Troupe, demo: Demo) -> None:
    troupe.stop([actor.name for actor in demo.record.actors])
    troupe.stop(["chain"])


def _ended(process: Process) -> DemoError:
    return DemoError(
        f"{process.name} ended by itself with status {process.ended()}; its log ends:\n{process.tail()}",
        remedy=f"Read {process.log}; it began with: {' '.join(process.command)}",
    )


def _too_slow(demo: Demo, limit: float) -> DemoError:
    record = demo.record
    return DemoError(
        f"after {limit:.0f} s there are {record.rounds_done()} of {demo.rounds} rounds"
        f" and {len(record.paid_epochs)} paid epochs; the logs lie in {demo.folder / 'logs'}",
        remedy="Run it on a machine that is less busy; if it is not, a validator's log says what it waits for.",
    )
