"""Seconds and memory that the lab's simulations take.

    python benchmarks/simulate.py            # a table
    python benchmarks/simulate.py --json     # {"consensus_s": ..., "consensus_mib": ..., "placement_s": ..., ...}

``placement_s``: 350,000 nodes with a daily churn curve, a day in steps of a minute, under the adaptive policy.
``rounds_s``: 1,000 rounds of a Validator of one's own, 250 by each of four, with 16 miners of whom two always miss the
deadline of 2 s, over the simulated wire; models and rule cost nothing here.
``consensus_s``: 64 validators x 1,024 miners x 1,000 epochs of questions, answers, scores, weights and Yuma consensus,
with a cabal and a weight copier among them. Each repetition runs in a fresh process, so that its peak is its own;
the medians count.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

REPETITIONS = 3


def consensus() -> dict[str, Any]:
    """The sizes that were played."""
    from subnet.lab import Cabal, Scenario, WeightCopier
    from subnet.lab.engine import run

    attacks = [Cabal(miners=32, validators=4, stake=0.2), WeightCopier()]
    scenario = Scenario(attacks=attacks, validators=64, miners=1024, epochs=1000)
    record = run(scenario, seed=0)
    return {
        "validators": scenario.validators,
        "miners": scenario.miners,
        "epochs": scenario.epochs,
        "honest_share": round(record.honest_share, 4),
    }


def placement() -> dict[str, Any]:
    from subnet.lab.placement import PlacementScenario, place

    scenario = PlacementScenario()
    placed = place(scenario, "adaptive")
    return {
        "nodes": scenario.nodes,
        "hours": scenario.hours,
        "units": placed.done,
        "replicas": placed.placed,
        "lost": placed.lost,
    }


def rounds() -> dict[str, Any]:
    from _doubler import Doubler, DoublingValidator

    from subnet.lab.live import LiveScenario, Recipe
    from subnet.lab.live_actors import Slow
    from subnet.lab.live_run import run

    one, two = Recipe(DoublingValidator), Recipe(Doubler)
    late = Slow(seconds=60)
    scenario = LiveScenario(one, [two], attacks=[late], validators=4, miners=16, epochs=25, rounds=10)
    record = run(scenario, seed=0)
    return {
        "rounds": scenario.validators * scenario.epochs * scenario.rounds,
        "miners": scenario.miners,
        "late": late.miners,
        "honest_share": round(record.honest_share, 4),
    }


SIMULATIONS: dict[str, Callable[[], dict[str, Any]]] = {
    "consensus": consensus,
    "placement": placement,
    "rounds": rounds,
}


def timed(name: str) -> dict[str, Any]:
    """Run one simulation here: its seconds, this process's peak MiB, and what it says of itself."""
    started = time.perf_counter()
    played = SIMULATIONS[name]()
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1024**2)
    return {"seconds": seconds, "mib": peak, "played": played}


def median_of(name: str, repetitions: int) -> dict[str, Any]:
    taken = []
    for _ in range(repetitions):
        # a process for each: a peak never goes down again
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            taken.append(pool.apply(timed, (name,)))
    return {
        f"{name}_s": round(statistics.median(one["seconds"] for one in taken), 2),
        f"{name}_mib": round(statistics.median(one["mib"] for one in taken)),
        name: taken[0]["played"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--repetitions", type=int, default=REPETITIONS)
    parser.add_argument("--only", choices=SIMULATIONS, help="one of the simulations")
    args = parser.parse_args()
    found: dict[str, Any] = {}
    for name in [args.only] if args.only else SIMULATIONS:
        found |= median_of(name, args.repetitions)
    if args.json:
        print(json.dumps(found))
        return
    print(f"Python {platform.python_version()}, {platform.machine()}", file=sys.stderr)
    print(f"{'simulation':<12} {'seconds':>8} {'peak MiB':>9}  played")
    for name in SIMULATIONS:
        if f"{name}_s" in found:
            played = ", ".join(f"{key} {value}" for key, value in found[name].items())
            print(f"{name:<12} {found[f'{name}_s']:>8} {found[f'{name}_mib']:>9}  {played}")


if __name__ == "__main__":
    main()
