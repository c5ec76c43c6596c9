"""What it costs to ask whether a nonce was used before and to remember it, in a table that is warm and fills.

Of private memory, of a file, and of a file shared by worker processes (a lock is taken and given back each time), with
nobody else at it and beside a worker that serves some 4,000 requests a second. Beside them stands a set with a
queue of expiries, which is what a server with a single process that may forget at a restart would write.

    python benchmarks/nonces.py            # a table
    python benchmarks/nonces.py --json     # {"ratios": {...}, "seconds": {...}}
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable
from contextlib import closing
from multiprocessing.synchronize import Event
from pathlib import Path

from subnet.nonces import NonceTable

HOTKEYS = [f"5Hotkey{i:041d}" for i in range(256)]
LIMIT = 5e-6
"""Seconds a request, at most."""
Check = Callable[[str, int], bool]


class InMemory:
    """The bare peer."""

    def __init__(self) -> None:
        self._seen: set[tuple[str, int]] = set()
        self._expiry: deque[tuple[float, tuple[str, int]]] = deque()

    def check_and_store(self, hotkey: str, nonce: int) -> bool:
        pair, now = (hotkey, nonce), time.monotonic()
        while self._expiry and self._expiry[0][0] <= now:
            self._seen.discard(self._expiry.popleft()[1])
        if pair in self._seen:
            return False
        self._seen.add(pair)
        self._expiry.append((now + 12.0, pair))
        return True


def a_request(check: Check, count: int) -> float:
    """Seconds a call, of ``count`` new nonces of 256 hotkeys in turn, every tenth of them asked twice."""
    began = time.time_ns()
    calls = [(HOTKEYS[i % len(HOTKEYS)], began + i - (i % 10 == 9)) for i in range(count)]
    calls = [(HOTKEYS[(i - 1) % len(HOTKEYS)] if i % 10 == 9 else hotkey, n) for i, (hotkey, n) in enumerate(calls)]
    started = time.perf_counter()
    accepted = sum(check(hotkey, nonce) for hotkey, nonce in calls)
    took = time.perf_counter() - started
    if accepted != count - count // 10:
        raise SystemExit(f"{accepted} of {count} were accepted")
    return took / count


def neighbour(path: str, ready: Event, stop: Event) -> None:
    """Another worker: a request, some other work, the next one."""
    with closing(NonceTable(Path(path), shared=True)) as table:
        ready.set()
        while not stop.is_set():
            table.check_and_store("5Neighbour", time.time_ns())
            time.sleep(0.0002)


def measure(runs: int, count: int, folder: Path) -> dict[str, list[float]]:
    """Seconds a request, of each kind in each run, in turn."""
    context = multiprocessing.get_context("spawn")
    ready, stop = context.Event(), context.Event()
    tables = {
        "private": NonceTable(),
        "file": NonceTable(folder / "one"),
        "shared": NonceTable(folder / "all", shared=True),
        "shared by two": NonceTable(folder / "two", shared=True),
    }
    time.sleep(max(table.ready_in() for table in tables.values()))
    other = context.Process(target=neighbour, args=(str(folder / "two"), ready, stop), daemon=True)
    kinds: dict[str, Check] = {"set and queue": InMemory().check_and_store}
    kinds |= {name: table.check_and_store for name, table in tables.items()}
    seconds: dict[str, list[float]] = {name: [] for name in kinds}
    for turn in range(-1, runs):  # one of each to warm up
        for name, check in kinds.items():
            if name == "shared by two":
                continue
            took = a_request(check, count)
            if turn >= 0:
                seconds[name].append(took)
    other.start()
    try:
        ready.wait(60)
        seconds["shared by two"] = [a_request(kinds["shared by two"], count) for _ in range(runs)]
    finally:
        stop.set()
        other.join(10)
        other.kill()
        for table in tables.values():
            table.close()
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--requests", type=int, default=5_000, help="of each kind in each run")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seconds = measure(options.runs, options.requests, Path(folder))
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    bare = medians["set and queue"]
    ratios = {name.replace(" ", "_"): median / bare for name, median in medians.items() if name != "set and queue"}
    if options.json:
        print(json.dumps({"ratios": ratios, "seconds": medians}, indent=2))
        return
    print(f"{'a request':<16}{'median':>10}   (at most {LIMIT * 1e6:.0f} us)")
    for name, median in medians.items():
        print(f"{name:<16}{median * 1e6:>7.2f} us{median / bare:>8.1f}x")


if __name__ == "__main__":
    main()
