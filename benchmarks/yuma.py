"""Milliseconds for one Yuma epoch, float and exact, alone and in batches, on dense random matrices.

    python benchmarks/yuma.py            # two tables
    python benchmarks/yuma.py --json     # [{"neurons": 256, "validators": 64, "rules": ..., "float_ms": ..., ...}]
    python benchmarks/yuma.py --runtime runtime-epoch     # and the runtime's own epoch, in the same run

The first table: one epoch of a state as the chain stores it (`float`, `exact`; the ratio is exact over float), and on
dense arrays (`dense`, float). Beside it the largest difference of the two forms' u16 vectors and of their bonds, each
with the bound of :mod:`subnet.scoring.difference` where it is.
The second: `batch` epochs together, per epoch, and how many times faster that is than one after the other.

The median of the repetitions counts. 90% of the cells of Weights and Bonds are filled, which is more than a subnet has.

The runtime's own epoch is its Rust source compiled for this machine (`benchmarks/_runtime.py` builds the program
from a clone of subtensor), without Substrate and wasm around it. Its output is compared too.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import _runtime
import numpy as np

from subnet.scoring.batch import DenseInput, epochs
from subnet.scoring.difference import compare
from subnet.scoring.yuma import EpochInput, EpochParams, Sparse, epoch

SIZES = ((256, 64, 30), (1024, 64, 10), (4096, 256, 5))
BATCHES = ((16, 4, 1000), (64, 8, 256), (256, 64, 32))
RULES = {
    "yuma 1": EpochParams(),
    "yuma 3": EpochParams(yuma3=True),
    "yuma 3, liquid": EpochParams(yuma3=True, liquid_alpha=True),
}
FILLED = 0.9
BLOCK = 1000


def random_matrix(rng: np.random.Generator, neurons: int, validators: int) -> Sparse:
    row, column = np.nonzero(rng.random((validators, neurons)) < FILLED)
    return Sparse(row, column, rng.integers(1, 65536, row.size))


def random_state(neurons: int, validators: int, seed: int) -> EpochInput:
    rng = np.random.default_rng(seed)
    permit = np.arange(neurons) < validators
    return EpochInput(
        block=BLOCK,
        stake=np.where(permit, rng.integers(10**12, 10**14, neurons), 0),
        weights=random_matrix(rng, neurons, validators),
        bonds=random_matrix(rng, neurons, validators),
        last_update=np.full(neurons, BLOCK - 1),
        block_at_registration=np.zeros(neurons, dtype=np.int64),
        validator_permit=permit,
        rao_emission=360 * 10**9,
    )


def dense(states: list[EpochInput], validators: int) -> DenseInput:
    """Of one state, without a leading axis."""

    def stacked(arrays: list[Any]) -> Any:
        return np.stack(arrays) if len(arrays) > 1 else arrays[0]

    return DenseInput(
        stake=stacked([s.stake for s in states]),
        weights=stacked([s.weights.dense(s.n)[:validators] for s in states]),
        bonds=stacked([s.bonds.dense(s.n)[:validators] for s in states]),
        block=BLOCK,
        last_update=stacked([s.last_update for s in states]),
        rao_emission=states[0].rao_emission,
    )


def milliseconds(run: Callable[[], object], repetitions: int) -> float:
    run()  # the first has pages to fetch
    taken = []
    for _ in range(repetitions):
        started = time.perf_counter()
        run()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken) * 1000


def alone(seed: int, runtime: Path | None) -> list[dict[str, Any]]:
    rows = []
    for neurons, validators, repetitions in SIZES:
        state = random_state(neurons, validators, seed)
        arrays = dense([state], validators)
        for name, rules in RULES.items():
            row = {"neurons": neurons, "validators": validators, "rules": name}
            row |= forms(state, arrays, rules, repetitions) | differences(state, rules)
            if runtime:
                row |= beside(runtime, state, rules)
            rows.append(row)
    return rows


def forms(state: EpochInput, arrays: DenseInput, rules: EpochParams, repetitions: int) -> dict[str, Any]:
    fast = milliseconds(lambda: epoch(state, rules), repetitions)
    exact = milliseconds(lambda: epoch(state, rules, exact=True), repetitions)
    on_arrays = milliseconds(lambda: epochs(arrays, rules), repetitions)
    figures = {"float_ms": fast, "exact_ms": exact, "ratio": exact / fast, "dense_ms": on_arrays}
    return {name: round(figure, 2) for name, figure in figures.items()}


def differences(state: EpochInput, rules: EpochParams) -> dict[str, Any]:
    found = {d.name: d for d in compare(state, rules)}
    vectors = [found[name] for name in ("consensus", "incentive", "dividends", "validator_trust")]
    worst = max(vectors, key=lambda d: d.largest)
    bonds = found["bonds"]
    return {
        "off_u16": worst.largest,
        "off_u16_bound": worst.bound,
        "bonds_off_u16": bonds.largest,
        "bonds_off_u16_bound": bonds.bound,
    }


def beside(runtime: Path, state: EpochInput, rules: EpochParams) -> dict[str, Any]:
    out = epoch(state, rules, exact=True)
    (stored,) = _runtime.outputs(runtime, [(state, rules, "head")])
    vectors = ("consensus", "incentive", "dividends", "emission")
    equal = all(getattr(out, name).tolist() == stored[name] for name in vectors)
    took = _runtime.median_ms(runtime, state, rules, "head", 3)
    return {"runtime_ms": round(took, 2), "runtime_equal": equal}


def batched(seed: int) -> list[dict[str, Any]]:
    rows = []
    for neurons, validators, batch in BATCHES:
        states = [random_state(neurons, validators, seed + i) for i in range(batch)]
        together, one = dense(states, validators), dense(states[:1], validators)
        for name, rules in RULES.items():
            row: dict[str, Any] = {"neurons": neurons, "validators": validators, "rules": name, "batch": batch}
            for form in ("float", "exact"):
                single, each = gain(one, together, rules, batch, exact=form == "exact")
                row |= {f"batched_{form}_ms": round(each, 4), f"{form}_gain": round(single / each, 1)}
            rows.append(row)
    return rows


def gain(one: DenseInput, together: DenseInput, rules: EpochParams, batch: int, *, exact: bool) -> tuple[float, float]:
    """Milliseconds of an epoch alone, and of one in the batch."""
    single = milliseconds(lambda: epochs(one, rules, exact=exact), 15)
    return single, milliseconds(lambda: epochs(together, rules, exact=exact), 5) / batch


def table(rows: list[dict[str, Any]], headings: dict[str, str]) -> None:
    shown = {key: heading for key, heading in headings.items() if key in rows[0]}
    lines = [list(shown.values())] + [[str(row[key]) for key in shown] for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runtime", type=Path, help="the runtime's own epoch, as benchmarks/_runtime.py builds it")
    args = parser.parse_args()
    single, many = alone(args.seed, args.runtime), batched(args.seed)
    if args.json:
        print(json.dumps(single + many))
        return
    print(f"Python {platform.python_version()}, numpy {np.__version__}, {platform.machine()}", file=sys.stderr)
    what = {"neurons": "neurons", "validators": "validators", "rules": "rules"}
    forms = {"float_ms": "float ms", "exact_ms": "exact ms", "ratio": "ratio", "dense_ms": "dense ms"}
    runtime = {"runtime_ms": "runtime ms", "runtime_equal": "equal"}
    off = {"off_u16": "off", "off_u16_bound": "bound", "bonds_off_u16": "bonds off", "bonds_off_u16_bound": "bound"}
    table(single, what | forms | runtime | off)
    print()
    gains = {"batched_float_ms": "float ms each", "float_gain": "gain"}
    table(many, what | {"batch": "batch"} | gains | {"batched_exact_ms": "exact ms each", "exact_gain": "gain"})


if __name__ == "__main__":
    main()
