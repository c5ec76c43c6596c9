"""The exact form against the runtime's own source, where it is built: see ``benchmarks/_runtime.py``."""

from __future__ import annotations

import importlib.util
import os
import random
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from subnet.scoring.yuma import EpochInput, EpochOutput, EpochParams, Sparse, Variant, epoch

PROGRAM = os.environ.get("SUBNET_TEST_RUNTIME")
HERE = Path(__file__).parent
SUMMED = 2**63  # beyond it the runtime's sum of stakes overflows

pytestmark = pytest.mark.skipif(not PROGRAM, reason="SUBNET_TEST_RUNTIME names no program")


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def large_case(seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """A small odd case's parameters on a subnet of up to 130 neurons, with stakes over ten orders of magnitude."""
    state, params = load(HERE / "test_exact.py").random_case(seed)
    rng = random.Random(seed)
    n = rng.choice((16, 40, 130))
    validators, block = rng.randint(1, min(n, 40)), state["block"]

    def matrix(fill: float) -> dict[int, list[tuple[int, int]]]:
        rows: dict[int, list[tuple[int, int]]] = {}
        for uid in range(validators):
            columns = [column for column in range(n) if rng.random() < fill]
            if rng.random() < 0.1:
                rng.shuffle(columns)
            rows[uid] = [(column, rng.choice((0, 1, 65535, rng.randint(0, 65535)))) for column in columns]
        return rows

    state |= {
        "stake": [int(10 ** rng.uniform(5, 16)) if uid < validators else 0 for uid in range(n)],
        "tao_stake": rng.choice((None, [rng.randint(0, 10**15) for _ in range(n)])),
        "weights": matrix(rng.random()),
        "bonds": matrix(rng.random()),
        "last_update": [rng.choice((block, block - 1, block - 50)) for _ in range(n)],
        "block_at_registration": [rng.choice((0, 0, 0, block - 20, block - 1)) for _ in range(n)],
        "validator_permit": [uid < validators for uid in range(n)],
        "oldest_commit": rng.choice((None, [rng.choice((2**63 - 1, block - 10)) for _ in range(n)])),
    }
    return state, params | {"owner_uid": rng.choice((None, rng.randrange(n)))}


def as_case(state: dict[str, Any], params: dict[str, Any]) -> tuple[EpochInput, EpochParams]:
    if sum(state["stake"]) + sum(state["tao_stake"] or ()) >= SUMMED:
        state["stake"] = [stake >> 5 for stake in state["stake"]]
    return EpochInput(**state | {m: Sparse.of(state[m]) for m in ("weights", "bonds")}), EpochParams(**params)


def differing(out: EpochOutput, want: dict[str, Any], state: EpochInput) -> list[str]:
    """Names of what isn't equal; head stores no rank, trust and pruning scores."""
    rows, before = out.bonds.rows(), state.bonds.rows()
    bonds = [
        before.get(uid, []) if row is None else [tuple(cell) for cell in row] for uid, row in enumerate(want["bonds"])
    ]
    found = [] if [rows.get(uid, []) for uid in range(state.n)] == bonds else ["bonds"]
    stored = {name: values for name, values in want.items() if name != "bonds" and values}
    return found + [name for name, values in stored.items() if getattr(out, name).tolist() != values]


@pytest.mark.parametrize("variant", ["head", "293"])
@pytest.mark.parametrize("make", ["random_case", "large_case"])
def test_the_exact_form_stores_what_the_runtime_stores(variant: Variant, make: str) -> None:
    assert PROGRAM
    first, count = int(os.environ.get("SUBNET_TEST_SEED", "0")), 2000 if make == "random_case" else 200
    odd = large_case if make == "large_case" else load(HERE / "test_exact.py").random_case
    cases = [(*as_case(*odd(seed)), variant) for seed in range(first, first + count)]
    wanted = load(HERE.parents[1] / "benchmarks" / "_runtime.py").outputs(Path(PROGRAM), cases)
    assert len(wanted) == count
    for seed, (case, want) in enumerate(zip(cases, wanted, strict=True), first):
        assert not differing(epoch(*case, exact=True), want, case[0]), seed
