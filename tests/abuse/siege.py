"""An axon under attack, and what honest callers see meanwhile.

    python tests/abuse/siege.py --seconds 10      # every attack, as a table for docs/security.md

The victim and the attacker are processes of their own; this one is the honest callers: four validators at
127.0.0.1 that each ask as soon as they were answered.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import psutil
from abuse_protocol import HONEST, MINER, Question
from attacks import ATTACKS

from subnet.dendrite import Dendrite, Ok
from subnet.types import AxonInfo, Hotkey, Netuid, Neuron, Uid

HERE = Path(__file__).parent
CALLERS = 4


@dataclass(frozen=True)
class Outcome:
    """What honest callers saw in ``seconds``: answers of those asked, p50 and p99 in seconds; MiB of the victim."""

    attack: str
    strikes: int
    asked: int
    answered: int
    p50: float
    p99: float
    memory_before: float
    memory_most: float
    failures: tuple[str, ...]
    noise: int
    """Bytes that the victim wrote to its stderr: an attacker must not fill a disk with a log."""


@contextmanager
def victim(stderr: IO[bytes]) -> Iterator[tuple[int, psutil.Process]]:
    """A running miner: its port and process. It must have lived to the end, and end when told to."""
    command = [sys.executable, str(HERE / "victim.py")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline()), psutil.Process(process.pid)
        if process.poll() is not None:
            raise RuntimeError(f"the victim died with {process.returncode}")
        process.terminate()
        if process.wait(60) != 0:
            raise RuntimeError(f"the victim ended with {process.returncode}")
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def besiege(attack: str, seconds: float) -> Outcome:
    """One attack on a fresh victim. Raises RuntimeError if the victim or the attacker fell."""
    with tempfile.TemporaryFile() as noise, victim(noise) as (port, process):
        asyncio.run(_ask(port, 0.5))  # connections and caches
        before = process.memory_info().rss
        attacker = subprocess.Popen(
            [sys.executable, str(HERE / "attacks.py"), attack, str(port), str(seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert attacker.stdin is not None
        assert attacker.stdout is not None
        try:
            attacker.stdout.readline()
            attacker.stdin.write("\n")
            attacker.stdin.flush()
            times, failures, most = asyncio.run(_ask(port, seconds, process))
            strikes = attacker.stdout.readline()
            if attacker.wait(120) != 0 or not strikes:
                raise RuntimeError(f"the attacker {attack} ended with {attacker.returncode}")
        finally:
            attacker.kill()
            attacker.wait()
            attacker.stdin.close()
            attacker.stdout.close()
        most = max(most, process.memory_info().rss)
        loudness = noise.tell()
    times.sort()
    return Outcome(
        attack,
        int(strikes),
        len(times) + len(failures),
        len(times),
        statistics.median(times) if times else float("inf"),
        times[int(len(times) * 0.99)] if times else float("inf"),
        before / 2**20,
        most / 2**20,
        tuple(sorted(set(failures))),
        loudness,
    )


async def _ask(port: int, seconds: float, watch: psutil.Process | None = None) -> tuple[list[float], list[str], int]:
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    times: list[float] = []
    failures: list[str] = []
    most = 0
    peer = Neuron(Uid(0), Hotkey(MINER.ss58_address), axon=AxonInfo("127.0.0.1", port))
    async with Dendrite(HONEST, netuid=Netuid(2)) as dendrite:

        async def caller() -> None:
            while loop.time() < until:
                started = loop.time()
                (reply,) = await dendrite.query([peer], Question(numbers=np.arange(8)))
                if isinstance(reply, Ok):
                    times.append(loop.time() - started)
                else:
                    failures.append(f"{reply.code}: {reply.message}")
                await asyncio.sleep(0.005)

        async def keep_watch() -> None:
            nonlocal most
            while watch is not None and loop.time() < until:
                most = max(most, watch.memory_info().rss)
                await asyncio.sleep(0.1)

        await asyncio.gather(keep_watch(), *(caller() for _ in range(CALLERS)))
    return times, failures, most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("attacks", nargs="*", choices=[*ATTACKS, []], help="which ones (default: all)")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each attack")
    arguments = parser.parse_args()
    print("| attack | strikes | honest answered | p50 ms | p99 ms | memory MiB |")
    print("|---|---|---|---|---|---|")
    for attack in arguments.attacks or ATTACKS:
        one = besiege(attack, arguments.seconds)
        print(
            f"| {attack.replace('_', ' ')} | {one.strikes:,} | {one.answered:,} of {one.asked:,} | {one.p50 * 1e3:.1f}"
            f" | {one.p99 * 1e3:.1f} | {one.memory_before:.0f} to {one.memory_most:.0f} |",
            flush=True,
        )
        for failure in one.failures[:3]:
            print(f"  {failure}", file=sys.stderr)


if __name__ == "__main__":
    main()
