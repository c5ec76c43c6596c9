"""Draw new examples for every property test until the time is over: ``python scripts/fuzz.py SECONDS [PATH ...]``.

CI draws the same examples each time, so that what fails there is what a change broke. This looks for what nobody
has met yet: each round runs the property tests with a seed of its own and ten times the examples. A failure ends
it with the seed, and hypothesis keeps the example in .hypothesis.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
USUAL = ("tests/wire", "tests/scoring", "tests/chain", "tests/devnet", "tests/compat")


def main() -> int:
    seconds, paths = float(sys.argv[1]), sys.argv[2:]
    known = [path for folder in USUAL for path in sorted((ROOT / folder).glob("test_*.py"))]
    files = paths or [str(path) for path in known if "hypothesis" in path.read_text()]
    until, rounds = time.monotonic() + seconds, 0
    while (left := until - time.monotonic()) > 0:
        seed = random.SystemRandom().randrange(1 << 32)
        print(f"round {rounds + 1}, seed {seed}, {left:.0f} s left", flush=True)
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-n0",
            "-q",
            "-x",
            "-m",
            "hypothesis",
            f"--hypothesis-seed={seed}",
            *files,
        ]
        environment = os.environ | {"HYPOTHESIS_PROFILE": "explore"}
        try:
            done = subprocess.run(command, cwd=ROOT, env=environment, timeout=left + 60, check=False)
        except subprocess.TimeoutExpired:
            break
        if done.returncode:
            print(f"found something: HYPOTHESIS_PROFILE=explore {' '.join(command[1:])}")
            return done.returncode
        rounds += 1
    print(f"{rounds} rounds, nothing found")
    return 0


if __name__ == "__main__":
    sys.exit(main())
