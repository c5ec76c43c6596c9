"""What a command of ``subnet`` costs before it does anything: CPU beside a bare ``python -c pass``.

``subnet --help`` is to cost half a second of CPU at most. Each is a process of its own, the commands taken in turns,
their medians compared: ``python benchmarks/cli.py [--json] [--rounds N]``. Exit code 1 where --help costs more.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from statistics import median

LIMIT = 0.5  # seconds of CPU for --help
COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "subnet --help": ["-m", "subnet", "--help"],
    "subnet --version": ["-m", "subnet", "--version"],
    "subnet metagrph (misspelt)": ["-m", "subnet", "metagrph"],
    "subnet explain --help": ["-m", "subnet", "explain", "--help"],
    "subnet run --help": ["-m", "subnet", "run", "--help"],
    "subnet config get": ["-m", "subnet", "config", "get"],
    "subnet completion bash": ["-m", "subnet", "completion", "bash"],
}


def spent(arguments: list[str]) -> float:
    """Seconds of CPU, user and system, of one process."""

    def used() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before = used()
    subprocess.run([sys.executable, *arguments], capture_output=True, timeout=60)
    return used() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--rounds", type=int, default=9, help="processes of each command")
    arguments = parser.parse_args()
    for command in COMMANDS.values():
        spent(command)  # bytecode is written, files are in memory
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(arguments.rounds):
        for name, command in COMMANDS.items():
            seconds[name].append(spent(command))
    bare = median(seconds["python -c pass"])
    rows = {
        name: {"cpu_s": round(median(one), 4), "ratio": round(median(one) / bare, 2)} for name, one in seconds.items()
    }
    kept = rows["subnet --help"]["cpu_s"] <= LIMIT
    if arguments.json:
        print(json.dumps({"limit_s": LIMIT, "kept": kept, "rounds": arguments.rounds, "commands": rows}))
    else:
        print(f"{'':28} CPU, ms   times a bare python   (medians of {arguments.rounds})")
        for name, row in rows.items():
            print(f"{name:28} {row['cpu_s'] * 1000:7.0f}   {row['ratio']:5.2f}")
        print(f"subnet --help: {'within' if kept else 'OVER'} its {LIMIT} s of CPU")
    sys.exit(not kept)


if __name__ == "__main__":
    main()
