"""Milliseconds for one Yuma epoch, float and exact, on dense random matrices.

    python benchmarks/yuma.py            # a table; the ratio is exact over float
    python benchmarks/yuma.py --json     # [{"neurons": ..., "validators": ..., "rules": ..., "float_ms": ..., ...}]

The median of the repetitions counts. 90% of the cells of Weights and Bonds are filled, which is
more than a subnet has.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time

import numpy as np

from subnet.scoring.yuma import EpochInput, EpochParams, Sparse, epoch

SIZES = ((256, 64, 30), (1024, 64, 10), (4096, 256, 5))
RULES = {
    "yuma 1": EpochParams(),
    "yuma 3": EpochParams(yuma3=True),
    "yuma 3, liquid": EpochParams(yuma3=True, liquid_alpha=True),
}
FILLED = 0.9


def random_matrix(rng: np.random.Generator, neurons: int, validators: int) -> Sparse:
    row, column = np.nonzero(rng.random((validators, neurons)) < FILLED)
    return Sparse(row, column, rng.integers(1, 65536, row.size))


def random_state(neurons: int, validators: int, seed: int) -> EpochInput:
    rng = np.random.default_rng(seed)
    permit = np.arange(neurons) < validators
    return EpochInput(
        block=1000,
        stake=np.where(permit, rng.integers(10**12, 10**14, neurons), 0),
        weights=random_matrix(rng, neurons, validators),
        bonds=random_matrix(rng, neurons, validators),
        last_update=np.full(neurons, 999),
        block_at_registration=np.zeros(neurons, dtype=np.int64),
        validator_permit=permit,
        rao_emission=360 * 10**9,
    )


def milliseconds(state: EpochInput, rules: EpochParams, repetitions: int, *, exact: bool) -> float:
    taken = []
    for _ in range(repetitions):
        started = time.perf_counter()
        epoch(state, rules, exact=exact)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rows = []
    for neurons, validators, repetitions in SIZES:
        state = random_state(neurons, validators, args.seed)
        for name, rules in RULES.items():
            fast = milliseconds(state, rules, repetitions, exact=False)
            exact = milliseconds(state, rules, repetitions, exact=True)
            figures = {"float_ms": round(fast, 2), "exact_ms": round(exact, 2), "ratio": round(exact / fast, 2)}
            rows.append({"neurons": neurons, "validators": validators, "rules": name, **figures})
    if args.json:
        print(json.dumps(rows))
        return
    print(f"Python {platform.python_version()}, numpy {np.__version__}, {platform.machine()}", file=sys.stderr)
    print(f"{'neurons':>8} {'validators':>10}  {'rules':<15} {'float ms':>9} {'exact ms':>9} {'ratio':>6}")
    for r in rows:
        print(
            f"{r['neurons']:>8} {r['validators']:>10}  {r['rules']:<15} "
            f"{r['float_ms']:>9} {r['exact_ms']:>9} {r['ratio']:>6}"
        )


if __name__ == "__main__":
    main()
